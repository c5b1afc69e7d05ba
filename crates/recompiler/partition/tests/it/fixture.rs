//! Folders with sources, and the commands that turn them into programs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use tidegate_drivers::inspect::{Inspection, binary};
use tidegate_drivers::tools::{Language, Tools};

/// A temporary folder with sources.
pub(crate) struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// A folder with these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The C driver in the folder, on `arguments` (separated by spaces).
    pub(crate) fn driver(&self, arguments: &str) -> Command {
        self.driver_for(Language::C, arguments)
    }

    /// The driver for a language.
    pub(crate) fn driver_for(&self, language: Language, arguments: &str) -> Command {
        let arguments: Vec<_> = arguments.split_whitespace().map(OsString::from).collect();
        // These programs are to run without the runtime.
        let tools = Tools {
            runtime: None,
            library: None,
            ..Tools::find_for(language).unwrap()
        };
        let mut command = tidegate_drivers::cc::command(&arguments, &tools).unwrap();
        command.current_dir(self.folder.path());
        command
    }

    /// Compiles with the C driver; `functions` is the list to select, empty = by size.
    pub(crate) fn compile(&self, functions: &str, arguments: &str) {
        self.compile_for(Language::C, functions, arguments);
    }

    /// Compiles with the driver for a language.
    pub(crate) fn compile_for(&self, language: Language, functions: &str, arguments: &str) {
        let mut command = self.driver_for(language, arguments);
        if !functions.is_empty() {
            let list = self.path("functions.list");
            std::fs::write(&list, functions.replace(' ', "\n")).unwrap();
            command.env("TIDEGATE_FUNCTIONS", list);
        }
        succeed(&command.output().unwrap(), arguments);
    }

    /// Runs another tool in the folder; gives what it prints.
    pub(crate) fn run(&self, command_line: &str) -> String {
        let mut words = command_line.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        let output = command.args(words).current_dir(self.folder.path()).output();
        succeed(
            &output.unwrap_or_else(|error| panic!("{command_line}: {error}")),
            command_line,
        )
    }

    /// Runs a program of the folder; gives what it prints.
    pub(crate) fn execute(&self, name: &str) -> String {
        succeed(&Command::new(self.path(name)).output().unwrap(), name)
    }

    pub(crate) fn inspect(&self, name: &str) -> Inspection {
        binary(&self.path(name)).unwrap()
    }

    /// The names of a program's switchable functions, sorted.
    pub(crate) fn switchable(&self, name: &str) -> Vec<String> {
        let mut names: Vec<_> = self
            .inspect(name)
            .functions
            .into_iter()
            .map(|function| function.name)
            .collect();
        names.sort();
        names
    }
}

fn succeed(output: &Output, what: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {} {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a tool is installed; says so where it is not.
pub(crate) fn has(tool: &str, test: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| Path::new(&folder).join(tool).is_file());
    if !found {
        eprintln!("SKIP {test}: {tool} is not installed");
    }
    found
}

/// A driver's program beside the tests; says so where it is not built.
pub(crate) fn driver_program(name: &str, test: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join(name);
    if !path.is_file() {
        eprintln!("SKIP {test}: {name} is not built");
        return None;
    }
    Some(path)
}

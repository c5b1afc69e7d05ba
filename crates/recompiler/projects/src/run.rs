//! Builds a project and runs its own tests: plain, or by the drivers and in a storm.

use crate::list::Project;
use crate::storm::{Report, Storm};
use crate::{ProjectError, at, fetch};
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The preloaded library that holds a process until its storm has begun.
const HOLD: &str = include_str!("hold.c");

/// Functions of each process that take part in the short form.
const SHORT_FUNCTIONS: u32 = 25;

/// Where the drivers and the worker are.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The folder of `tidegate-cc`, `tidegate-cargo`, `tidegate-worker` and the libraries.
    pub folder: PathBuf,
    /// A folder for what can be used again.
    pub kept: PathBuf,
}

/// How much of a project is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A few functions, a part of the tests.
    Short,
    /// All functions of some size, all tests.
    Long,
}

/// What became of a suite.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it passed.
    pub passed: bool,
    /// The end of what it said.
    pub said: String,
    /// How long it took.
    pub elapsed: Duration,
}

/// A project that was tested.
#[derive(Clone, Debug)]
pub struct Tested {
    /// By the drivers, in a storm.
    pub stormed: Outcome,
    /// What the storm did.
    pub storm: Report,
    /// The plain build on the same tests, where it was asked for or the other one failed.
    pub plain: Option<Outcome>,
}

/// Whose compilers build it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Switchable,
}

/// Builds `project` with the drivers and runs its tests in a storm; on the plain build, too, where they fail or
/// `compare` wants it.
///
/// # Errors
/// [`ProjectError`]: what kept it from being tested.
pub fn test(project: &Project, tools: &Tools, form: Form, compare: bool) -> Result<Tested, ProjectError> {
    for need in project.needs.iter().chain(&["setpriv", "clang-22"]) {
        require(need)?;
    }
    let folder = tempfile::tempdir().map_err(at("a temporary folder"))?;
    let bench = Bench {
        project,
        tools,
        form,
        folder: folder.path(),
    };
    let sources = bench.build(Kind::Switchable)?;
    let hold = bench.build_hold()?;
    let most = match form {
        Form::Short => SHORT_FUNCTIONS,
        Form::Long => u32::MAX,
    };
    let storm = Storm::start(folder.path(), &tools.folder.join("tidegate-worker"), most)?;
    let mut environment: Vec<(&str, OsString)> = storm
        .environment()
        .map(|(name, path)| (name, path.into_os_string()))
        .into();
    environment.push(("LD_PRELOAD", hold.into_os_string()));
    let stormed = bench.run(Kind::Switchable, &sources, &environment)?;
    let storm = storm.finish();
    let plain = if compare || !stormed.passed {
        let sources = bench.build(Kind::Plain)?;
        Some(bench.run(Kind::Plain, &sources, &[])?)
    } else {
        None
    };
    Ok(Tested {
        stormed,
        storm,
        plain,
    })
}

fn require(tool: &str) -> Result<(), ProjectError> {
    let found = Command::new(tool).arg("--version").stdin(Stdio::null()).output();
    found.map(|_| ()).map_err(|_| ProjectError::Tool(tool.to_owned()))
}

struct Bench<'a> {
    project: &'a Project,
    tools: &'a Tools,
    form: Form,
    folder: &'a Path,
}

impl Bench<'_> {
    /// Fetches and builds; gives the sources' folder.
    fn build(&self, kind: Kind) -> Result<PathBuf, ProjectError> {
        let place = self.folder.join(kind.name());
        std::fs::create_dir_all(&place).map_err(at(&place))?;
        let sources = fetch::fetch(self.project.source, &place, &self.tools.kept)?;
        let output = self.shell(kind, &sources, self.project.build)?.output();
        let output = output.map_err(at("sh"))?;
        if output.status.success() {
            return Ok(sources);
        }
        let said = [output.stdout, output.stderr].concat();
        Err(ProjectError::Build {
            name: self.project.name,
            kind: kind.name(),
            output: end_of(&String::from_utf8_lossy(&said)),
        })
    }

    /// Runs the tests.
    fn run(
        &self,
        kind: Kind,
        sources: &Path,
        environment: &[(&str, OsString)],
    ) -> Result<Outcome, ProjectError> {
        let suite = match self.form {
            Form::Short => self.project.short,
            Form::Long => self.project.long,
        };
        let begin = Instant::now();
        let mut command = self.shell(kind, sources, suite)?;
        for (name, value) in environment {
            command.env(name, value);
        }
        let output = command.output().map_err(at("sh"))?;
        let said = [output.stdout, output.stderr].concat();
        Ok(Outcome {
            passed: output.status.success(),
            said: end_of(&String::from_utf8_lossy(&said)),
            elapsed: begin.elapsed(),
        })
    }

    /// A line of shell at idle priority, as the worker is: beside busy programs of a higher one the worker would hardly
    /// run at all. It ends with this thread.
    fn shell(&self, kind: Kind, sources: &Path, line: &str) -> Result<Command, ProjectError> {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "nice", "-n", "19", "sh", "-ec", line])
            .current_dir(sources)
            .stdin(Stdio::null())
            .env(
                "JOBS",
                std::thread::available_parallelism()
                    .map_or(1, usize::from)
                    .to_string(),
            )
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("MAKEFLAGS");
        for (variable, tool) in [("CC", "cc"), ("CXX", "c++"), ("PROJECT_CARGO", "cargo")] {
            command.env(variable, self.tool(kind, tool)?);
        }
        if !self.project.functions.is_empty() && self.form == Form::Short {
            let list = self.folder.join("functions");
            std::fs::write(&list, self.project.functions.join("\n")).map_err(at(&list))?;
            command.env("TIDEGATE_FUNCTIONS", list);
        }
        Ok(command)
    }

    /// The compiler, or cargo, by its single word.
    fn tool(&self, kind: Kind, tool: &str) -> Result<PathBuf, ProjectError> {
        if kind == Kind::Plain {
            return Ok(PathBuf::from(match tool {
                "cc" => "clang-22",
                "c++" => "clang++-22",
                other => other,
            }));
        }
        if tool == "c++" {
            // The C compiler's driver under another name.
            let link = self.folder.join("tidegate-c++");
            if !link.exists() {
                symlink(self.tools.folder.join("tidegate-cc"), &link).map_err(at(&link))?;
            }
            return Ok(link);
        }
        Ok(self.tools.folder.join(format!("tidegate-{tool}")))
    }

    fn build_hold(&self) -> Result<PathBuf, ProjectError> {
        let (source, library) = (self.folder.join("hold.c"), self.folder.join("hold.so"));
        std::fs::write(&source, HOLD).map_err(at(&source))?;
        let mut command = Command::new("clang-22");
        command
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source)
            .arg("-ldl");
        let output = command.output().map_err(at("clang-22"))?;
        if output.status.success() {
            return Ok(library);
        }
        Err(ProjectError::Build {
            name: "hold",
            kind: "plain",
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Switchable => "switchable",
        }
    }
}

/// The last lines: what a failure is told by.
fn end_of(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

//! `tidegate cc` and `tidegate c++`: become clang and clang++.
//!
//! The process is replaced, so exit status, signals and output are clang's by construction.

use crate::DriverError;
use crate::command_line::{self, FILE_REASONS_VARIABLE};
use crate::link;
use crate::tools::{Language, Tools};
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Runs clang on `arguments` (without the program's name) in place of this process. Comes back only where
/// clang could not be started.
pub fn cc(arguments: &[OsString]) -> Result<Infallible, DriverError> {
    become_clang(arguments, Language::C)
}

/// As [`cc`], with clang++.
pub fn cxx(arguments: &[OsString]) -> Result<Infallible, DriverError> {
    become_clang(arguments, Language::CPlusPlus)
}

fn become_clang(arguments: &[OsString], language: Language) -> Result<Infallible, DriverError> {
    let tools = Tools::find_for(language)?;
    let mut command = command(arguments, &tools)?;
    Err(DriverError::Start {
        source: command.exec(),
        program: tools.clang,
    })
}

/// The command that [`cc`] becomes. Asks clang for its plan where it may be going to link.
pub fn command(arguments: &[OsString], tools: &Tools) -> Result<Command, DriverError> {
    // What response files say counts, too; where one cannot be read, clang says so.
    let words = link::expand(arguments).unwrap_or_else(|_| arguments.to_vec());
    let traits = command_line::traits(&words);
    let mut all = command_line::compiler_arguments(arguments, traits, tools);
    let may_link = !traits.never_links && !traits.inner && !arguments.is_empty();
    let has_runtime = tools.runtime.is_some() || tools.library.is_some();
    if may_link
        && has_runtime
        && let Some(linked) = command_line::linked(&plan(&all, tools)?)
    {
        command_line::append(&mut all, command_line::runtime_arguments(tools, linked));
    }
    let mut command = Command::new(&tools.clang);
    command.args(&all);
    let reasons = command_line::file_reasons(traits);
    if reasons.is_empty() {
        command.env_remove(FILE_REASONS_VARIABLE);
    } else {
        command.env(FILE_REASONS_VARIABLE, reasons);
    }
    Ok(command)
}

/// What clang says it would run.
fn plan(arguments: &[OsString], tools: &Tools) -> Result<String, DriverError> {
    let start = |source| DriverError::Start {
        source,
        program: tools.clang.clone(),
    };
    let mut command = Command::new(&tools.clang);
    command.arg("-###").args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(start)?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

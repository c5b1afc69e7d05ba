//! `tidegate cargo` as a single word.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use tidegate_drivers::EXIT_ENVIRONMENT;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let Err(error) = tidegate_drivers::cargo::cargo(&arguments);
    eprintln!("{}", error.report("tidegate-cargo"));
    ExitCode::from(EXIT_ENVIRONMENT)
}

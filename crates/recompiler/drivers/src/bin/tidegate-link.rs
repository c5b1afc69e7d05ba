//! The linker that rustc calls under `tidegate cargo`.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use tidegate_drivers::EXIT_ENVIRONMENT;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let Err(error) = tidegate_drivers::link::link(&arguments);
    eprintln!("{}", error.report("tidegate-link"));
    ExitCode::from(EXIT_ENVIRONMENT)
}

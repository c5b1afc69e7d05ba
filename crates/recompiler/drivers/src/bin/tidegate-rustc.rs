//! The wrapper that `tidegate cargo` puts before rustc.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use tidegate_drivers::EXIT_ENVIRONMENT;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let Err(error) = tidegate_drivers::rustc::rustc(&arguments);
    eprintln!("{}", error.report("tidegate-rustc"));
    ExitCode::from(EXIT_ENVIRONMENT)
}

//! `tidegate cc` as a single word, for build systems that quote `$CC`. Called `tidegate-c++` (by a link: cargo allows
//! no such name), it is `tidegate c++`.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use tidegate_drivers::EXIT_ENVIRONMENT;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<_> = arguments.collect();
    let Err(error) = if program.to_string_lossy().ends_with("tidegate-c++") {
        tidegate_drivers::cxx(&arguments)
    } else {
        tidegate_drivers::cc(&arguments)
    };
    eprintln!("{}", error.report(&program.to_string_lossy()));
    ExitCode::from(EXIT_ENVIRONMENT)
}

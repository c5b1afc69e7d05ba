//! `tidegate cc` as a single word, for build systems that quote `$CC`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The environment is not as needed; clang itself never ends with it.
const EXIT_ENVIRONMENT: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let Err(error) = tidegate_drivers::cc(&arguments);
    let mut text = format!("tidegate-cc: {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    eprintln!("{text}\nhint: {}", error.hint());
    ExitCode::from(EXIT_ENVIRONMENT)
}

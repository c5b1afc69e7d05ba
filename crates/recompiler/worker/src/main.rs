//! The recompiler's worker: one request on standard input, one answer on standard output, then the end.
//!
//! A process per compile, because LLVM can abort, hang or eat memory: that costs one variant, never the daemon
//! and never the app. What it does, in order: [`sandbox`], [`compile`].

#![cfg_attr(
    not(test),
    expect(
        clippy::wildcard_imports,
        reason = "LLVM's C API is one flat list of names that carry its prefix"
    )
)]

mod bind;
mod compile;
mod exact;
mod flatten;
mod pipelines;
mod prepare;
mod sandbox;

use std::io::{Read, Write};
use std::process::ExitCode;
use tidegate_format::request::{CompileError, CompileErrorKind, Request, Response};

/// Most bytes of a request: a blob of the largest size, and room for the rest.
const REQUEST_LENGTH_MAX: u64 = 96 << 20;

fn main() -> ExitCode {
    if std::env::args()
        .nth(1)
        .is_some_and(|argument| argument == "--version")
    {
        return write(compile::version().as_bytes());
    }
    write(&Response(answer()).to_bytes())
}

fn write(bytes: &[u8]) -> ExitCode {
    let written = std::io::stdout().write_all(bytes);
    if written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn answer() -> Result<Vec<u8>, CompileError> {
    let user = sandbox::user_from_arguments(std::env::args().skip(1));
    let user = user.map_err(|detail| CompileError {
        kind: CompileErrorKind::Environment,
        detail,
    })?;
    sandbox::enter(user).map_err(|(what, error)| CompileError {
        kind: CompileErrorKind::Environment,
        detail: format!("{what}: {error}"),
    })?;
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(REQUEST_LENGTH_MAX).read_to_end(&mut bytes);
    read.map_err(|error| CompileError {
        kind: CompileErrorKind::Request,
        detail: error.to_string(),
    })?;
    let request = Request::read(&bytes);
    let request = request.map_err(|error| CompileError {
        kind: CompileErrorKind::Request,
        detail: error.to_string(),
    })?;
    compile::compile(&request)
}

//! The recompiler's worker: a request on the standard input, an answer on the standard output.
//!
//! A process per compile, because LLVM can abort, hang or eat memory: that costs one variant, never the daemon
//! and never the app. What it does, in order: [`options`], [`sandbox`], [`compile`]; or [`serve`], where a warm
//! parent forks for each compile.

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
mod options;
mod passes;
mod pipelines;
mod prepare;
mod sandbox;
mod serve;
mod specialise;

use options::{Options, Task};
use std::io::{Read, Write};
use std::process::ExitCode;
use tidegate_format::image::CpuFeatures;
use tidegate_format::request::{CompileError, CompileErrorKind, Request, Response};

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => return write(&environment_failure(&usage)),
    };
    if options.task == Task::Version {
        return write(compile::version().as_bytes());
    }
    if let Err((step, error)) = sandbox::enter(options.user) {
        return write(&environment_failure(&format!("{step}: {error}")));
    }
    if options.task == Task::Serve {
        let served = serve::serve(options.cpu_seconds, &answer, options.fault);
        return if served.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    if let Err((step, error)) = sandbox::seal(options.cpu_seconds) {
        return write(&environment_failure(&format!("{step}: {error}")));
    }
    if let Some(fault) = options.fault {
        fault.happen();
    }
    once(&options)
}

/// One input, one output.
fn once(options: &Options) -> ExitCode {
    let mut bytes = Vec::new();
    let read = std::io::stdin()
        .take(serve::ORDER_LENGTH_MAX)
        .read_to_end(&mut bytes);
    if let Err(error) = read {
        return write(&failure(CompileErrorKind::Request, error.to_string()));
    }
    let done = match &options.task {
        Task::Record => read_request(&bytes).and_then(|request| compile::record(&request)),
        Task::Passes {
            scenario,
            candidate,
            function,
        } => {
            let request = Request {
                scenario: *scenario,
                candidate: *candidate,
                cpu_features: CpuFeatures::V3,
                tune_cpu: String::new(),
                tunables: Vec::new(),
                constants: Vec::new(),
                blob: Vec::new(),
            };
            compile::passes_over(&bytes, function, &request)
        }
        _ => return write(&answer(&bytes)),
    };
    match done {
        Ok(text) => write(&text),
        Err(error) => write(&Response(Err(error)).to_bytes()),
    }
}

/// The answer to a request's bytes.
fn answer(bytes: &[u8]) -> Vec<u8> {
    Response(read_request(bytes).and_then(|request| compile::compile(&request))).to_bytes()
}

fn read_request(bytes: &[u8]) -> Result<Request, CompileError> {
    Request::read(bytes).map_err(|error| CompileError {
        kind: CompileErrorKind::Request,
        detail: error.to_string(),
    })
}

fn failure(kind: CompileErrorKind, detail: String) -> Vec<u8> {
    Response(Err(CompileError { kind, detail })).to_bytes()
}

fn environment_failure(detail: &str) -> Vec<u8> {
    failure(CompileErrorKind::Environment, detail.to_owned())
}

fn write(bytes: &[u8]) -> ExitCode {
    let written = std::io::stdout().write_all(bytes);
    if written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

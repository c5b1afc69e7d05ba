//! The project's own tools; `cargo xtask --help` lists them.
//!
//! They know the shipped binary from outside only. Each verb is a module; this file only wires them.

#![forbid(unsafe_code)]

mod bed;
mod bench;
mod demo;
mod enter;
mod load;
mod random;
mod test;
mod tidy;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tools")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build everything once and run every suite
    Test(test::Arguments),
    /// Check that the pages, the crate graph and the shape of the code are as we say
    Tidy,
    /// Measure promised numbers; exit status 1 where a bound does not hold
    Bench(bench::Arguments),
    /// Show the main job at work, in under four minutes
    Demo(demo::Arguments),
    /// Check on this host that observing is inert and that everything is put back
    Prove(demo::prove::Arguments),
    /// Boot a virtual host and run checks in it
    Bed(bed::Arguments),
    /// Record real contention for the bench `waiting`
    Record(bench::RecordArguments),
    /// Serve open-loop requests and write their latencies
    Load(load::Arguments),
    /// Follow a shape of demand
    #[command(hide = true)]
    Shape(load::shape::ShapeArguments),
    /// Play a part in a chain of calls
    #[command(hide = true)]
    Calls(load::CallsArguments),
    /// Enter groups and become a command
    #[command(hide = true)]
    Enter(enter::Arguments),
    /// Tidy up when the pipe on standard input closes
    #[command(hide = true)]
    Janitor,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// True where all is well, false where something was found.
fn run(arguments: &Arguments) -> Result<bool> {
    match &arguments.verb {
        Verb::Test(options) => test::run(options),
        Verb::Tidy => tidy::run(),
        Verb::Bench(options) => bench::run(options),
        Verb::Demo(options) => demo::run(options),
        Verb::Bed(options) => bed::run(options),
        Verb::Prove(options) => demo::prove::run(options),
        Verb::Record(options) => bench::record(options).map(|()| true),
        Verb::Load(options) => load::run(options).map(|()| true),
        Verb::Shape(options) => load::shape::run(options).map(|()| true),
        Verb::Calls(options) => load::call(options).map(|()| true),
        Verb::Enter(options) => enter::run(options).map(|()| true),
        Verb::Janitor => demo::janitor::run(),
    }
}

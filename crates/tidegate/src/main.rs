//! The `tidegate` command: it parses, wires rooms together, and prints. It decides nothing itself.
#![forbid(unsafe_code)]

mod cli;
mod daemon;
mod doctor;
mod edges;
mod failure;
mod local_time;
mod out;
mod place;
mod policy_file;
mod remember;
mod source;
mod table;
mod train;
mod verbs;
mod watch;
mod when;

use crate::out::note;
use clap::Parser as _;
use cli::{Cli, Verb};
use failure::Outcome;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some((driver, arguments)) = compiler_arguments() {
        return verbs::code::compile(driver, &arguments);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                failure::Status::Usage as u8
            } else {
                0
            });
        }
    };
    match dispatch(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note!("{failure}");
            ExitCode::from(failure.status as u8)
        }
    }
}

/// The driver and its arguments, after `tidegate cc` and its like or of a program called `tidegate-cc`: they
/// belong to the compiler, whatever they look like.
fn compiler_arguments() -> Option<(verbs::code::Driver, Vec<OsString>)> {
    let mut arguments = std::env::args_os();
    let program = arguments.next()?;
    let name = std::path::Path::new(&program).file_name()?;
    let by_name = name.to_str().and_then(|name| name.strip_prefix("tidegate-"));
    if let Some(driver) = by_name.and_then(verbs::code::driver) {
        return Some((driver, arguments.collect()));
    }
    let driver = verbs::code::driver(arguments.next()?.to_str()?)?;
    Some((driver, arguments.collect()))
}

fn dispatch(verb: Verb) -> Outcome {
    match verb {
        Verb::Run(arguments) => daemon::run(&arguments),
        Verb::Doctor(arguments) => verbs::read::doctor(&arguments),
        Verb::Check(arguments) => verbs::check::check(&arguments),
        Verb::Top(arguments) => verbs::top::top(&arguments),
        Verb::Apps(arguments) => verbs::read::apps(&arguments),
        Verb::Map(arguments) => verbs::read::map(&arguments),
        Verb::Graph(arguments) => verbs::graph::graph(&arguments),
        Verb::Plan(arguments) => verbs::read::plan(&arguments),
        Verb::Leases(arguments) => verbs::read::leases(&arguments),
        Verb::Actions(arguments) => verbs::read::actions(&arguments),
        Verb::Explain(arguments) => verbs::read::explain(&arguments),
        Verb::Report(arguments) => verbs::read::report(&arguments),
        Verb::Calibration(arguments) => verbs::calibration::calibration(&arguments),
        Verb::Pause(arguments) => verbs::control::pause(&arguments),
        Verb::Resume(arguments) => verbs::control::resume(&arguments),
        Verb::Restore(arguments) => verbs::restore::restore(&arguments),
        Verb::Replay(arguments) => verbs::record::replay(&arguments),
        Verb::Dump(arguments) => verbs::record::dump(&arguments),
        Verb::Import(arguments) => verbs::record::import(&arguments),
        Verb::Backtest(arguments) => verbs::backtest::backtest(&arguments),
        Verb::Train(arguments) => verbs::train::train(&arguments),
        Verb::Event(arguments) => verbs::control::event(&arguments),
        Verb::Cc(_) | Verb::Cxx(_) | Verb::Cargo(_) => Ok(()),
        Verb::Inspect(arguments) => verbs::code::inspect(&arguments),
        Verb::Switch(arguments) => verbs::code::switch(&arguments),
        Verb::Cache(arguments) => verbs::code::cache(&arguments),
        Verb::Completions { shell } => {
            verbs::pages::completions(shell);
            Ok(())
        }
        Verb::Man { folder } => verbs::pages::man(&folder),
        Verb::Guardian(arguments) => daemon::guardian(&arguments),
    }
}

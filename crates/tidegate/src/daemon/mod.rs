//! `tidegate run`: the threads of the daemon and how they meet.
//!
//! One thread samples, one records, one writes knobs, one serves HTTP, one compiles and tries variants; the
//! main thread runs the loop ([`core`]) and is the only one that holds the state. They speak by bounded
//! channels, so that a slow disk or a slow browser delays nobody else.

mod actor;
mod answer;
mod calendar;
mod coder;
mod core;
mod fast;
pub(crate) mod graph;
mod models;
mod night;
mod recorder;
mod sampler;
mod start;

use crate::cli::{GuardianArguments, RunArguments};
use crate::failure::{Failure, Outcome};
use crate::out::note;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tidegate_engine::PeakModel;
use tidegate_types::{Event, Sample};

/// What the main thread waits for.
pub(crate) enum Message {
    /// A reading, and what discovery saw with it.
    Sample(Box<Sample>, Vec<Event>),
    /// What happened between samples, in order.
    Events(Vec<Event>),
    /// A trained model that is to be promoted, by the name under which it lies in the store.
    Model(Arc<str>, Arc<PeakModel>),
    /// Read the policy again.
    Reload(Option<SyncSender<Result<String, String>>>),
    /// End.
    Stop,
}

/// Messages that may wait before a sender has to.
pub(crate) const QUEUE: usize = 1024;

/// Runs until a signal says stop.
pub(crate) fn run(arguments: &RunArguments) -> Outcome {
    start::run(arguments)
}

/// The undo process; it ends when everything is back.
pub(crate) fn guardian(arguments: &GuardianArguments) -> Outcome {
    let config = actor::guardian_config(arguments)?;
    let report = tidegate_act::guardian::run(&config).map_err(Failure::environment)?;
    if let Some(reason) = &report.reason {
        note!(
            "the guardian took over from process {}: {reason}",
            arguments.daemon
        );
    }
    for entry in &report.restored {
        note!("{:?} of {}: {:?}", entry.knob, entry.app, entry.outcome);
    }
    Ok(())
}

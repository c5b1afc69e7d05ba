//! `tidegate train`.

use super::print_json;
use crate::cli::TrainArguments;
use crate::failure::Outcome;
use crate::out::{note, say};
use crate::place::Folders;
use crate::train::{self, Ended};
use crate::when;
use serde_json::json;

/// Trains on the recorded history; the daemon takes up what is better.
pub(crate) fn train(arguments: &TrainArguments) -> Outcome {
    train::hold_back();
    let folders = Folders::of(&arguments.places);
    let told = |text: &str| note!("{text}");
    let now_utc_ms = when::now_utc_ms();
    let ended = train::train(
        &folders.data,
        arguments.cpu_seconds,
        arguments.anew,
        now_utc_ms,
        told,
    )?;
    match ended {
        Ended::Judged(result) if arguments.format.json => print_json(&result)?,
        Ended::Judged(result) => say!("{}", result.words()),
        Ended::TooFew(why) if arguments.format.json => print_json(&json!({ "too_few": why }))?,
        Ended::Unfinished { grown, of } if arguments.format.json => {
            print_json(&json!({ "grown": grown, "of": of }))?;
        }
        Ended::TooFew(why) => say!("too little to learn from: {why}"),
        Ended::Unfinished { grown, of } => say!("{grown} of {of} trees are grown; the next training goes on"),
    }
    Ok(())
}

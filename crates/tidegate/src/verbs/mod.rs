//! One function per verb.

pub(crate) mod backtest;
pub(crate) mod calibration;
pub(crate) mod check;
pub(crate) mod code;
pub(crate) mod control;
pub(crate) mod graph;
pub(crate) mod pages;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod restore;
pub(crate) mod top;
pub(crate) mod train;

use crate::failure::Failure;
use crate::out::say;
use serde::Serialize;

/// Prints a value as JSON to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::environment)?;
    say!("{text}");
    Ok(())
}

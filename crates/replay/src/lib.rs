//! A record through the engine, and the peers' rules over the same record.
//!
//! [`run`] answers "would it decide the same again": every recorded tick is fed to the engine from a
//! checkpoint, and plans are compared byte for byte. [`policies`] holds the rules of other systems as small
//! pure modules behind one trait, and [`side_by_side`] runs them over what the store has of a host and scores
//! them alike. Nothing here acts on a host or reads a clock; it reads a store and computes.
#![forbid(unsafe_code)]

pub mod policies;
mod run;
mod side;

pub use run::{Difference, ReplayError, ReplayReport, run, run_with};
pub use side::{RuleScore, SideBySide, side_by_side};

//! The pure middle of tidegate: one [`tick`] turns an input into an output.
//!
//! Everything impure stands at the two ends. A tick reads no clock, no file and no random source, so
//! the same [`State`] and the same inputs give the same bytes: live, replayed from a record, and in a
//! test. The order inside a tick is the order of the loop: what happened, what was measured, what is
//! expected, what should hold.
#![forbid(unsafe_code)]

mod checkpoint;
mod config;
mod state;
mod tick;

pub use checkpoint::CheckpointError;
pub use config::{Config, Sabotage};
pub use state::State;
pub use tick::{plan_bytes, tick};
pub use tidegate_forecast::models::peaks::PeakModel;

//! Decides what should hold: from the map, the sample, the apps and the policy to a plan.
//!
//! [`policy`] reads what the user allows; [`Planner`] keeps the little memory that decisions need
//! (what is being protected now, what was found before we touched it, what someone else took back) and
//! turns one map into one [`tidegate_types::Plan`]. Nothing here reads a clock, a file or a random
//! device: the same inputs give the same plan, byte for byte, live and replayed.
//!
//! It does not write any knob, does not know paths below a mount point, and does not forecast.
#![forbid(unsafe_code)]

mod allocate;
pub mod criticality;
mod episode;
mod found;
mod gate;
mod planner;
pub mod policy;
mod reconcile;
mod requests;
mod weights;

pub use planner::{PlanConfig, Planner};

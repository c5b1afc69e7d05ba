//! The forecast room: from samples to the contention probability map.
//!
//! [`Forecaster`] is fed one sample per second, and asked for a map every ten seconds and at once when
//! something happened. Inside, demand is told from usage (`demand`), contention is labelled (`events`),
//! repeating bursts are tracked (`periodic`), an event model speaks for the rest (`features`, `model`),
//! and every probability is calibrated, scored and trusted by its own past (`calibrate`, `score`,
//! `confidence`). It is pure: no clock, no I/O, no randomness, so the same samples give the same bytes.
//!
//! It does not decide anything: leases and shifts are the planner's.
#![forbid(unsafe_code)]

mod config;
mod forecaster;

pub use config::ForecastConfig;
pub use forecaster::Forecaster;

//! The forecast room: from samples to the contention probability map.
//!
//! [`Forecaster`] is fed one sample per second, and asked for a map every ten seconds and at once when
//! something happened. Inside, demand is told from usage (`demand`) and added up over the apps of a unit (`sums`), a
//! sample becomes what each unit showed (`readings`), contention is labelled (`events`), repeating bursts are tracked
//! (`periodic`), announced events are kept (`declared`), and for the rest speak an event model (`features`, `model`) and
//! a trained one (`usage`). `map` joins them; every
//! probability is calibrated, scored and trusted by its own past (`calibrate`, `score`, `confidence`). It is pure:
//! no clock, no I/O, no randomness, so the same samples give the same bytes.
//!
//! It does not decide anything: leases and shifts are the planner's.
#![forbid(unsafe_code)]

pub mod backtest;
mod calibrate;
mod code;
mod confidence;
mod config;
mod declared;
mod demand;
mod drivers;
mod events;
mod features;
mod forecaster;
mod graph;
mod kin;
mod leads;
mod map;
mod model;
pub mod models;
mod periodic;
mod readings;
mod report;
mod ring;
mod score;
mod signs;
mod sums;
mod timeline;
mod unit;
mod usage;

pub use config::ForecastConfig;
pub use features::{FEATURE_NAMES, FEATURES, Features};
pub use forecaster::{APPS_MAX, Forecaster, UNITS_MAX};
pub use graph::read::{Declared, Finding, declared};
pub use model::{EventModel, Logistic, Model, WINDOWS};
pub use report::{DependencyReport, EdgeReport, UnitScore};
pub use score::{RELIABILITY_BINS, Reliability, ReliabilityBin, WindowScore};
pub use unit::UNIT_STATE_BYTES_MAX;
pub use usage::ModelReport;

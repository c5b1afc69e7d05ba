//! What the caller decides once, before the first tick.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_forecast::ForecastConfig;
use tidegate_plan::PlanConfig;
use tidegate_types::Mode;

/// Fault injection: makes the forecast wrong on purpose, so that a bench can show that it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sabotage {
    /// Seconds that every expected onset and end is moved by; into the past where it is negative.
    pub shift_onsets_s: f64,
}

/// Settings of the loop. They are part of the checkpoint, so a replay runs under the same ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Seconds between two maps when nothing happens.
    pub map_every_s: f64,
    /// Seconds without a sample after which the time between is a gap.
    pub gap_s: f64,
    /// The policy's modes are lowered to this, never raised.
    pub mode_ceiling: Mode,
    /// Groups that are never acted on, nor any group above them, each with the reason: the caller's shell.
    pub protected: BTreeMap<Arc<str>, Arc<str>>,
    /// Settings of the forecast.
    pub forecast: ForecastConfig,
    /// Settings of the planner.
    pub plan: PlanConfig,
    /// Fault injection; all zero in real life.
    pub sabotage: Sabotage,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            map_every_s: 10.0,
            gap_s: 5.0,
            mode_ceiling: Mode::Enforce,
            protected: BTreeMap::new(),
            forecast: ForecastConfig::default(),
            plan: PlanConfig::default(),
            sabotage: Sabotage::default(),
        }
    }
}

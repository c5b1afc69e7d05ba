//! How the forecasts of a unit have done, for people and for the API.

use crate::model::WINDOWS;
use crate::score::WindowScore;
use crate::unit::UnitState;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tidegate_types::{AppName, DependencyOrigin, Unit};

/// One dependency, and how the downstream follows the upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// Who calls.
    pub upstream: AppName,
    /// Who is called.
    pub downstream: AppName,
    /// Where it is known from.
    pub places: Vec<(DependencyOrigin, Arc<str>)>,
    /// Median seconds from a rise upstream to contention at the downstream's CPU limit; absent before any was seen.
    pub lag_s: Option<f64>,
    /// Spread of that lag in seconds.
    pub lag_spread_s: Option<f64>,
    /// Share of the rises that contention followed, recent ones first in weight.
    pub followed_share: Option<f64>,
    /// Rises that were followed up, faded by age.
    pub rises: f64,
}

/// The dependency graph as it is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DependencyReport {
    /// Between apps that are there, sorted.
    pub edges: Vec<EdgeReport>,
    /// What is wrong with the declared ones.
    pub remarks: Vec<String>,
}

/// The scores of one unit, over untreated outcomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitScore {
    /// Which unit.
    pub unit: Unit,
    /// Window lengths in seconds.
    pub windows_s: [u32; WINDOWS],
    /// Scores, in the order of the windows.
    pub windows: [WindowScore; WINDOWS],
    /// Mean distance between predicted and actual onsets in seconds, recent ones first in weight.
    pub onset_error_s: Option<f64>,
    /// Events that were seen.
    pub events: u64,
    /// Share of the recent onsets that a repeating pattern had expected.
    pub explained_share: f64,
    /// Whether it is handled by the reactive rule for lack of skill.
    pub demoted: bool,
}

impl UnitScore {
    pub(crate) fn new(unit: &Unit, state: &UnitState, windows_s: [u32; WINDOWS]) -> Self {
        Self {
            unit: unit.clone(),
            windows_s,
            windows: state.scorer.untreated,
            onset_error_s: state.scorer.onset_error_s,
            events: state.events as u64,
            explained_share: state.periodic.explained_share(),
            demoted: state.scorer.demoted,
        }
    }
}

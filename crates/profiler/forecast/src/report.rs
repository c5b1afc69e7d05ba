//! How the forecasts of a unit have done, for people and for the API.

use crate::model::WINDOWS;
use crate::score::WindowScore;
use crate::unit::UnitState;
use serde::{Deserialize, Serialize};
use tidegate_types::Unit;

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

//! How far predictions deserve belief, as rows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Predictions of about the same probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReliabilityBinRow {
    /// How many.
    pub count: u64,
    /// Mean probability that was said.
    pub said: f64,
    /// Share that came true.
    pub came: f64,
}

/// The predictions of one window: of all units, of one model, or of one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CalibrationRow {
    /// Of which unit; absent for all.
    pub unit: Option<String>,
    /// Length of the window in seconds.
    pub window_s: u32,
    /// What the predictions rested on; absent for all.
    pub model: Option<String>,
    /// Predictions with a known, untreated outcome.
    pub scored: u64,
    /// Predictions whose outcome was treated or unknown; they judge nothing.
    pub set_aside: u64,
    /// Share of them in which an event began or went on.
    pub base_rate: Option<f64>,
    /// Mean squared error of the probability.
    pub brier: Option<f64>,
    /// Brier skill score against always saying the base rate; absent while every outcome was the same.
    pub skill: Option<f64>,
    /// Mean distance between what was said and what came, over tenths of probability.
    pub calibration_error: Option<f64>,
    /// Share of the onsets that lay within the named 10 % to 90 % quantiles; 0.8 is right.
    pub onset_coverage: Option<f64>,
    /// Peaks of demand that were named ahead and are known.
    #[serde(default)]
    pub peaks: u64,
    /// Share of them within the named 10 % to 90 % quantiles; 0.8 is right.
    #[serde(default)]
    pub peak_coverage: Option<f64>,
    /// Share of them above the 90 % quantile; 0.1 is right.
    #[serde(default)]
    pub peak_above: Option<f64>,
    /// Probability from which a prediction counts as an alarm at the chosen false-alarm rate.
    pub alarm_from: Option<f64>,
    /// Onsets that had predictions before them.
    pub onsets: u64,
    /// Those before which the alarm stood.
    pub onsets_alarmed: u64,
    /// Median seconds that the alarm stood without a break before those.
    pub lead_s: Option<f64>,
    /// What was said against what came; empty tenths are left out.
    pub reliability: Vec<ReliabilityBinRow>,
    /// True while the unit is handled by the reactive rule for lack of skill.
    pub demoted: bool,
}

/// Rows by unit, window and model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CalibrationView {
    /// Share of the quiet windows that may be alarmed; thresholds and leads follow from it.
    pub false_alarm_share: f64,
    /// All units first, per window; then each model, then each unit.
    pub rows: Vec<CalibrationRow>,
}

//! Contention as it was seen, and what became of predictions.

use crate::{AppName, BootTime, PredictionId, Source, Unit};
use serde::{Deserialize, Serialize};

/// Whether tidegate was acting on the unit when the outcome was seen. Only untreated outcomes judge
/// a forecast; a treated one must not teach "no contention".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// Nobody of ours acted.
    Untreated,
    /// A lease was in effect; the label is what would have been without it.
    Treated,
    /// Data was missing, so nothing can be said.
    Unknown,
}

/// One event of contention: a non-elastic app waited for a unit longer than the threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentionEvent {
    /// Where.
    pub unit: Unit,
    /// First moment of waiting (of demand above the found limit, when treated).
    pub begin: BootTime,
    /// Last moment; `None` while it goes on.
    pub end: Option<BootTime>,
    /// Whether it was prevented or eased by a lease.
    pub treatment: Treatment,
    /// Highest waiting seen, as a share of time.
    pub peak_waiting: f64,
    /// Apps that waited or drove it, worst first.
    pub apps: Vec<AppName>,
}

/// A scored prediction for one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which prediction.
    pub prediction: PredictionId,
    /// Of which unit.
    pub unit: Unit,
    /// When it was made.
    pub made: BootTime,
    /// Window length in seconds.
    pub window_s: u32,
    /// The probability that was given.
    pub probability: f64,
    /// The confidence that was given.
    pub confidence: f64,
    /// What made it.
    pub source: Source,
    /// Whether an event began or went on within the window; `None` when unknown.
    pub happened: Option<bool>,
    /// Whether the answer was seen under treatment.
    pub treatment: Treatment,
    /// Actual onset less predicted median onset, in seconds, where both exist.
    pub onset_error_s: Option<f64>,
    /// Whether the actual onset lay within the predicted q10 to q90, where both exist.
    pub onset_covered: Option<bool>,
    /// Where the highest demand within the window lay, where a peak was predicted and is known.
    #[serde(default)]
    pub peak: Option<PeakPlace>,
}

/// Where a peak lay against its predicted quantiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeakPlace {
    /// Below q10.
    Below,
    /// From q10 to q90.
    Within,
    /// Above q90.
    Above,
}

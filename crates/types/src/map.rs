//! The resource contention probability map.

use crate::{AppName, BootTime, Moment, Unit};
use serde::{Deserialize, Serialize};

/// Names one prediction for ever; `tidegate explain` takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PredictionId(pub u64);

/// Three points of a distribution, in the unit of what they describe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// One in ten is below.
    pub q10: f64,
    /// The median.
    pub q50: f64,
    /// One in ten is above.
    pub q90: f64,
}

/// P(an event begins or goes on at any time within the window after now).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowProbability {
    /// Length of the window in seconds.
    pub window_s: u32,
    /// 0 to 1; never falls as the window grows.
    pub probability: f64,
    /// Highest demand within the window, as means of five seconds in the unit's own measure, for units that apps
    /// share: the sum of what they ask for.
    #[serde(default)]
    pub peak: Option<Quantiles>,
}

/// What a prediction rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A repeating burst that was found in history.
    Periodic,
    /// An event that was announced.
    Declared,
    /// A timer or a cron table that fires.
    Scheduled,
    /// An app upstream whose demand rose.
    Upstream,
    /// The event classifier.
    Classifier,
    /// The sum of what apps ask for, against what there is.
    Demand,
    /// The model that was trained on many series, beside the event classifier.
    Trained,
    /// What is now goes on.
    Persistence,
    /// The unit lost its skill: only the present is used.
    Reactive,
}

/// An app's part in a contention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// Who.
    pub app: AppName,
    /// Share of the expected demand, 0 to 1.
    pub share: f64,
}

/// The forecast for one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, in a plain record"
)]
pub struct MapEntry {
    /// The name of this prediction.
    pub id: PredictionId,
    /// Of which unit.
    pub unit: Unit,
    /// Probabilities, shortest window first.
    pub windows: Vec<WindowProbability>,
    /// How much the probabilities deserve trust, 0 to 1.
    pub confidence: f64,
    /// Seconds since boot at which the next event is expected to begin, where one can say.
    pub onset: Option<Quantiles>,
    /// Seconds since boot at which it is expected to end.
    pub end: Option<Quantiles>,
    /// Expected peak of demand, in the unit's own measure (cores, bytes, bytes/s).
    pub peak: Option<Quantiles>,
    /// True where the peaks that were seen were cut off: the real one may be higher.
    #[serde(default)]
    pub peak_censored: bool,
    /// Apps that drive it, largest share first.
    pub drivers: Vec<Driver>,
    /// One sentence: why.
    pub reason: String,
    /// What it rests on.
    pub source: Source,
    /// False while the model has not seen enough of this unit.
    pub trained: bool,
    /// Begin of the event that goes on now.
    pub ongoing_since: Option<BootTime>,
    /// True while the event's waiting has stopped, and it is not yet known whether for good. Kept true to the last
    /// sample in the map that is in force.
    #[serde(default)]
    pub ebbing: bool,
    /// True while the unit is handled by the reactive rule for lack of skill.
    pub demoted: bool,
}

impl MapEntry {
    /// The probability for the shortest window that is at least `window_s` long.
    pub fn probability(&self, window_s: u32) -> Option<f64> {
        self.windows
            .iter()
            .find(|window| window.window_s >= window_s)
            .map(|window| window.probability)
    }
}

/// What an app has asked for in the last minutes, where usage does not say it: something held it back, or it takes
/// whatever it is allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppDemand {
    /// Who.
    pub app: AppName,
    /// Demand for CPU over the last minutes, in cores.
    pub cores: Quantiles,
    /// True where the upper part is only a lower bound: it was never seen asking for so much while free.
    pub censored: bool,
    /// True where it takes whatever it is allowed, so that only its floor counts.
    pub elastic: bool,
}

/// Every unit's forecast, made at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContentionMap {
    /// When it was made.
    pub made: Moment,
    /// Sorted by unit.
    pub entries: Vec<MapEntry>,
    /// Apps whose demand is another than their usage, sorted by name.
    #[serde(default)]
    pub demands: Vec<AppDemand>,
}

impl ContentionMap {
    /// The demand of `app`, where it is another than its usage.
    pub fn demand(&self, app: &AppName) -> Option<&AppDemand> {
        self.demands
            .binary_search_by(|demand| demand.app.cmp(app))
            .ok()
            .map(|position| &self.demands[position])
    }

    /// The forecast for `unit`.
    pub fn entry(&self, unit: &Unit) -> Option<&MapEntry> {
        self.entries
            .binary_search_by(|entry| entry.unit.cmp(unit))
            .ok()
            .map(|position| &self.entries[position])
    }
}

//! The contention map and what became of it, as rows.

use super::finite;
use crate::words::{SourceWord, TreatmentWord};
use serde::{Deserialize, Serialize};
use tidegate_types::{
    AppDemand, BootTime, ContentionEvent, ContentionMap, MapEntry, Moment, Quantiles, Source, Treatment,
};
use utoipa::ToSchema;

/// Three points of a distribution, in the unit that the name of the field says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuantileRow {
    /// One in ten is below.
    pub q10: f64,
    /// The median.
    pub q50: f64,
    /// One in ten is above.
    pub q90: f64,
}

impl QuantileRow {
    /// `quantiles` as they are; `None` where one of them is no finite number.
    pub fn new(quantiles: &Quantiles) -> Option<Self> {
        Some(Self {
            q10: finite(quantiles.q10)?,
            q50: finite(quantiles.q50)?,
            q90: finite(quantiles.q90)?,
        })
    }

    /// Quantiles in seconds since boot as milliseconds since the Unix epoch, by the clocks of `made`.
    pub fn wall(quantiles: &Quantiles, made: Moment) -> Option<Self> {
        let wall = |seconds| made.utc_ms_of(BootTime::from_seconds(seconds)) as f64;
        let row = Self::new(quantiles)?;
        Some(Self {
            q10: wall(row.q10),
            q50: wall(row.q50),
            q90: wall(row.q90),
        })
    }
}

/// P(contention begins or goes on within the window).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WindowRow {
    /// Length of the window in seconds.
    pub window_s: u32,
    /// 0 to 1.
    pub probability: f64,
    /// Highest demand within the window, in the unit's own measure, of units that apps share.
    #[serde(default)]
    pub peak: Option<QuantileRow>,
}

/// An app's part in a contention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DriverRow {
    /// Who.
    pub app: String,
    /// Share of the expected demand, 0 to 1.
    pub share: f64,
}

/// The forecast for one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MapRow {
    /// The name of this prediction; `explain` takes it as `pID`.
    pub id: u64,
    /// Of which unit, such as `cpu`, `disk:vda` or `limit:web/cpu`.
    pub unit: String,
    /// Probabilities, shortest window first.
    pub windows: Vec<WindowRow>,
    /// How much the probabilities deserve trust, 0 to 1.
    pub confidence: f64,
    /// When the next event is expected to begin, in milliseconds since the Unix epoch.
    pub onset_utc_ms: Option<QuantileRow>,
    /// When it is expected to end, in milliseconds since the Unix epoch.
    pub end_utc_ms: Option<QuantileRow>,
    /// Expected peak of demand, in the unit's own measure (cores, bytes, bytes per second).
    pub peak: Option<QuantileRow>,
    /// True where the peaks that were seen were cut off: the real one may be higher.
    #[serde(default)]
    pub peak_censored: bool,
    /// Apps that drive it, largest share first.
    pub drivers: Vec<DriverRow>,
    /// One sentence: why.
    pub reason: String,
    /// What it rests on.
    #[schema(value_type = SourceWord)]
    pub source: Source,
    /// False while the model has not seen enough of this unit.
    pub trained: bool,
    /// Begin of the event that goes on now, in milliseconds since the Unix epoch.
    pub ongoing_since_utc_ms: Option<i64>,
    /// True while the unit is handled by the reactive rule for lack of skill.
    pub demoted: bool,
}

impl MapRow {
    /// The row of `entry` in a map that was made at `made`.
    pub fn new(entry: &MapEntry, made: Moment) -> Self {
        let wall =
            |quantiles: &Option<Quantiles>| quantiles.as_ref().and_then(|q| QuantileRow::wall(q, made));
        Self {
            id: entry.id.0,
            unit: entry.unit.to_string(),
            windows: entry
                .windows
                .iter()
                .filter_map(|window| {
                    Some(WindowRow {
                        window_s: window.window_s,
                        probability: finite(window.probability)?,
                        peak: window.peak.as_ref().and_then(QuantileRow::new),
                    })
                })
                .collect(),
            confidence: finite(entry.confidence).unwrap_or(0.0),
            onset_utc_ms: wall(&entry.onset),
            end_utc_ms: wall(&entry.end),
            peak: entry.peak.as_ref().and_then(QuantileRow::new),
            peak_censored: entry.peak_censored,
            drivers: entry
                .drivers
                .iter()
                .map(|driver| DriverRow {
                    app: driver.app.to_string(),
                    share: finite(driver.share).unwrap_or(0.0),
                })
                .collect(),
            reason: entry.reason.clone(),
            source: entry.source,
            trained: entry.trained,
            ongoing_since_utc_ms: entry.ongoing_since.map(|begin| made.utc_ms_of(begin)),
            demoted: entry.demoted,
        }
    }

    /// The highest probability of any window; 0 where there is none.
    pub fn worst(&self) -> f64 {
        self.windows
            .iter()
            .fold(0.0, |worst, window| worst.max(window.probability))
    }
}

/// What an app has asked for in the last minutes: something held it back, or it takes whatever it is allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DemandRow {
    /// Who.
    pub app: String,
    /// Demand for CPU, in cores.
    pub cores: QuantileRow,
    /// True where the upper part is only a lower bound.
    pub censored: bool,
    /// True where it takes whatever it is allowed.
    pub elastic: bool,
}

impl DemandRow {
    fn new(demand: &AppDemand) -> Option<Self> {
        Some(Self {
            app: demand.app.to_string(),
            cores: QuantileRow::new(&demand.cores)?,
            censored: demand.censored,
            elastic: demand.elastic,
        })
    }
}

/// Every unit's forecast.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MapView {
    /// When it was made, in milliseconds since the Unix epoch; 0 before the first map.
    pub made_utc_ms: i64,
    /// Sorted by unit.
    pub rows: Vec<MapRow>,
    /// Apps whose demand is another than their usage, sorted by name.
    #[serde(default)]
    pub demands: Vec<DemandRow>,
}

impl MapView {
    /// `map` as rows.
    pub fn new(map: &ContentionMap) -> Self {
        Self {
            made_utc_ms: map.made.utc_ms,
            rows: map
                .entries
                .iter()
                .map(|entry| MapRow::new(entry, map.made))
                .collect(),
            demands: map.demands.iter().filter_map(DemandRow::new).collect(),
        }
    }
}

/// One event of contention as it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContentionRow {
    /// Where.
    pub unit: String,
    /// First moment, in milliseconds since the Unix epoch.
    pub begin_utc_ms: i64,
    /// Last moment, in milliseconds since the Unix epoch; `null` while it goes on.
    pub end_utc_ms: Option<i64>,
    /// Whether a lease prevented or eased it.
    #[schema(value_type = TreatmentWord)]
    pub treatment: Treatment,
    /// Highest waiting seen, as a share of time.
    pub peak_waiting_ratio: Option<f64>,
    /// Apps that waited or drove it, worst first.
    pub apps: Vec<String>,
}

impl ContentionRow {
    /// The row of `event`, by the clocks of `now`.
    pub fn new(event: &ContentionEvent, now: Moment) -> Self {
        Self {
            unit: event.unit.to_string(),
            begin_utc_ms: now.utc_ms_of(event.begin),
            end_utc_ms: event.end.map(|end| now.utc_ms_of(end)),
            treatment: event.treatment,
            peak_waiting_ratio: finite(event.peak_waiting),
            apps: event.apps.iter().map(ToString::to_string).collect(),
        }
    }
}

/// How well one unit is foreseen over one window, counted over untreated outcomes.
///
/// A prediction of one half or more is an alarm. `skill` is one less the Brier score over that of always
/// saying the unit's own base rate (Brier skill score): 1 is perfect, 0 is no better than the base rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SkillRow {
    /// Of which unit.
    pub unit: String,
    /// Length of the window in seconds.
    pub window_s: u32,
    /// Predictions with a known, untreated outcome.
    pub scored: u64,
    /// Predictions whose outcome was treated or unknown; they judge nothing.
    pub set_aside: u64,
    /// Alarms that came true.
    pub hits: u64,
    /// Events without an alarm.
    pub misses: u64,
    /// Alarms without an event.
    pub false_alarms: u64,
    /// Mean squared error of the probability.
    pub brier: Option<f64>,
    /// Brier skill score; `null` while every outcome was the same.
    pub skill: Option<f64>,
    /// Outcomes whose onset was both foreseen and seen.
    #[serde(default)]
    pub onset_errors: u64,
    /// Mean absolute error of the median onset over them, in seconds.
    pub onset_error_s: Option<f64>,
    /// True while the unit is handled by the reactive rule.
    pub demoted: bool,
}

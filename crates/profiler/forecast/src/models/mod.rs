//! Event and series models over streams of five-minute means.
//!
//! `past` keeps a series' recent values; `features` and `exceedances` turn them, with a threshold, into one row of
//! numbers; `ridge` is the per-series linear forecaster whose residual blocks give the tails; `series` joins the
//! three. `trained` holds the boosted models that `training` makes from many series (`gbdt`), and `mix` decides per
//! series how far to trust body and blocks.
//!
//! Each model of a series stands in a module of its own behind [`SeriesModel`]; [`Kind`] names them.
//!
//! `peaks` is the model that answers for the live map: it needs no forecaster of its own per series.
//!
//! The models know values and thresholds only: no apps, no units, no waiting. They are pure; the same stream
//! gives the same bytes.

pub mod auto;
pub mod blend;
pub mod boosted;
pub mod calendar;
mod cholesky;
pub mod ets;
pub mod exceedances;
pub mod features;
pub mod gbdt;
pub mod host;
mod kind;
pub mod learner;
pub mod linear;
pub mod lstm;
pub mod mix;
pub mod mstl;
pub mod naive;
pub mod past;
mod paths;
pub mod peaks;
pub mod prophet;
pub mod ridge;
pub mod rows;
pub mod series;
mod sorting;
pub mod stack;
pub mod trained;
pub mod training;
pub mod waiting;

use calendar::Calendar;
pub use kind::Kind;
use learner::Learner;
use past::{HORIZON, NotLater};
use std::sync::Arc;
use trained::Trained;

/// Levels of the quantiles of a forecast.
pub const LEVELS: [f64; QUANTILES] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];
/// Number of quantiles of a forecast.
pub const QUANTILES: usize = 12;
/// Number of targets of a forecast: see [`TARGETS`].
pub const TARGET_COUNT: usize = 5;
/// What is forecast: the value 1, 3 and 12 steps ahead, and the maximum over the next 3 and 12 steps.
pub const TARGETS: [&str; TARGET_COUNT] = ["s1", "s3", "s12", "m3", "m12"];
/// Number of windows, of 1, 3 and 12 steps, that events are forecast for.
pub const WINDOW_COUNT: usize = 3;
/// The target whose exceedance is the event of each window.
pub const WINDOW_TARGETS: [usize; WINDOW_COUNT] = [0, 3, 4];
/// Thresholds of a series.
pub const THRESHOLDS: usize = 2;
/// Quantiles of all targets, absolute.
pub type Quantiles = [[f64; QUANTILES]; TARGET_COUNT];

/// A number for each window and threshold: chances, or what they deserve.
pub type Chances = [[f64; THRESHOLDS]; WINDOW_COUNT];

/// A forecast for one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Quantiles at [`LEVELS`] of each target, absolute, rising.
    pub quantiles: Quantiles,
    /// P(above each threshold) within each window.
    pub chances: [[f64; THRESHOLDS]; WINDOW_COUNT],
}

/// A model of one series: it follows the values as they come, and answers from the last one.
pub trait SeriesModel: Send + std::fmt::Debug {
    /// Takes in the mean over the step that begins at `time_s` (Unix seconds); what is not finite is missing.
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater>;

    /// Takes in the mean over the minute that begins at `time_s`; most models have no use for it.
    fn observe_fine(&mut self, _time_s: i64, _value: f64) {}

    /// Beginning of the last step, in Unix seconds; `None` before the first.
    fn last_s(&self) -> Option<i64>;

    /// The forecast from the last value; `None` where that is missing.
    fn forecast(&mut self) -> Option<Forecast>;

    /// How sure the chances of the last forecast are, 0 to 1; `None` where the model does not say.
    fn confidence(&self) -> Option<Chances> {
        None
    }

    /// Hands rows whose outcome is now known to the host's learner; called after every observation.
    fn teach(&mut self, _learner: &mut Learner) {}

    /// Goes by another local time from now on; before, it is UTC.
    fn set_calendar(&mut self, _calendar: &Arc<Calendar>) {}

    /// Goes on with other forests.
    fn adopt(&mut self, _trained: &Arc<Trained>) {}
}

/// Chances by window and threshold from chances by threshold and window.
pub(crate) fn transposed(
    by_threshold: [[f64; WINDOW_COUNT]; THRESHOLDS],
) -> [[f64; THRESHOLDS]; WINDOW_COUNT] {
    std::array::from_fn(|window| by_threshold.map(|chances| chances[window]))
}

/// The quantile of sorted values, at least one, by linear interpolation.
pub(crate) fn quantile<T: Copy + Into<f64>>(sorted: &[T], level: f64) -> f64 {
    let position = level * (sorted.len() - 1) as f64;
    let below = position as usize;
    let (low, high): (f64, f64) = (
        sorted[below].into(),
        sorted[(below + 1).min(sorted.len() - 1)].into(),
    );
    low + (high - low) * position.fract()
}

/// The five targets of one path of the next [`HORIZON`] values; NaN where a value that counts is missing.
pub fn targets_of(path: &[f64; HORIZON]) -> [f64; TARGET_COUNT] {
    let highest = |count: usize| {
        let known = path[..count].iter().all(|value| !value.is_nan());
        let highest = path[..count].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if known { highest } else { f64::NAN }
    };
    [path[0], path[2], path[11], highest(3), highest(12)]
}

/// Log-odds of a probability, kept away from certainty.
pub fn log_odds(probability: f64) -> f64 {
    let kept = probability.clamp(1e-5, 1.0 - 1e-5);
    (kept / (1.0 - kept)).ln()
}

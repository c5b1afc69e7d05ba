//! Event and series models over streams of five-minute means.
//!
//! `past` keeps a series' recent values; `features` and `exceedances` turn them, with a threshold, into one row of
//! numbers; `ridge` is the per-series linear forecaster whose residual blocks give the tails; `series` joins the
//! three. `trained` holds the boosted models that `training` makes from many series (`gbdt`), `mix` decides per series
//! how far to trust body and blocks, and `host` answers for all series of a stream.
//!
//! The models know values and thresholds only: no apps, no units, no waiting. They are pure; the same stream
//! gives the same bytes.

pub mod exceedances;
pub mod features;
pub mod gbdt;
pub mod host;
pub mod mix;
pub mod past;
pub mod ridge;
pub mod series;
pub mod trained;
pub mod training;

use past::HORIZON;

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
/// Quantiles of all targets, absolute.
pub type Quantiles = [[f64; QUANTILES]; TARGET_COUNT];

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

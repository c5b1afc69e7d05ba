//! Point forecasts with the blocks of their own past errors over them.
//!
//! A forecaster that only gives a path of points becomes a distribution by what it missed: the twelve errors of one
//! past origin stay together, so that maxima over a window and rare jumps come out as they were seen. The paths of the
//! last days are kept, one per step; errors are taken when a forecast is wanted.

use super::naive::forecast_of;
use super::past::{DAY, HORIZON, Past};
use super::{Forecast, THRESHOLDS, targets_of};
use std::collections::VecDeque;

/// Paths that are kept: those of five days, and the present one's outcome.
const KEPT: usize = 5 * DAY + HORIZON;
/// Every how many origins an error is laid over the path.
const EVERY: usize = 2;

/// The paths of the last days, the last one at the front.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    paths: VecDeque<[f64; HORIZON]>,
}

impl Paths {
    /// Takes in the path from the last value of a series; NaN where there is none.
    pub(crate) fn push(&mut self, path: [f64; HORIZON]) {
        self.paths.truncate(KEPT - 1);
        self.paths.push_front(path);
    }

    /// Forgets all, for paths that are about to be made anew.
    pub(crate) fn clear(&mut self) {
        self.paths.clear();
    }

    /// The last path, with the errors of earlier ones on `past` over it. `None` where the last one is unknown.
    pub(crate) fn forecast(&self, past: &Past, thresholds: &[f64; THRESHOLDS]) -> Option<Forecast> {
        let now = self.paths.front()?;
        if now.iter().any(|point| point.is_nan()) {
            return None;
        }
        let origins = self.paths.iter().enumerate().skip(HORIZON).step_by(EVERY);
        let outcomes = origins.map(|(back, path)| {
            targets_of(&std::array::from_fn(|step| {
                now[step] + past.back(back - 1 - step) - path[step]
            }))
        });
        let known: Vec<_> = outcomes
            .filter(|targets| targets.iter().all(|target| target.is_finite()))
            .collect();
        Some(forecast_of(&known, &targets_of(now), thresholds))
    }
}

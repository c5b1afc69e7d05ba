//! Prophet: a curve of trend, seasons and holidays, refitted once a day (Taylor and Letham, American Statistician 2018).
//!
//! A line whose slope may change at 25 knots (Laplace prior), Fourier series for day, week and year, a step for each
//! holiday, normal noise: `terms` lays them out, `fit` finds the most probable weights, `simulate` draws futures with a
//! fixed seed. It knows the time and nothing of the last values, so it is worth little minutes ahead and something where
//! seasons rule; what it says can be taken apart into its terms.
//!
//! `docs/decisions` says why the fit is ours. A forecast depends on the values alone, not on when others were asked for:
//! the fit is that of the last day's end, made when it is first needed.

mod file;
mod fit;
mod simulate;
mod terms;

use super::calendar::Calendar;
use super::gbdt::Random;
use super::naive::forecast_of;
use super::past::{DAY, NotLater, Past};
use super::{Forecast, SeriesModel, THRESHOLDS, targets_of};
pub use file::Refused;
use std::sync::Arc;
use terms::Terms;

/// Steps that a fit looks at: two weeks.
const FITTED: usize = 14 * DAY;
/// Observations between two fits; in the first day there are more.
const REFIT: u64 = DAY as u64;
const REFIT_EARLY: u64 = 24;
/// Known values that a fit needs.
const VALUES_MIN: usize = 24;

/// A fitted curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    terms: Terms,
    /// One weight per term, in units of `scale`.
    weights: Vec<f64>,
    /// Standard deviation of the noise, in units of `scale`.
    noise: f64,
    /// The greatest absolute value.
    scale: f64,
}

/// What the curve is made of at one moment, in the values' units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parts {
    /// The line with its knots.
    pub trend: f64,
    /// The seasons of a day, a week and a year; 0 where too little was known.
    pub seasons: [f64; 3],
    /// The holiday that is on.
    pub holiday: f64,
}

impl Fitted {
    /// Fits the curve to the finite ones of `values` at `times_s` (Unix seconds, rising). `None` where fewer than
    /// two hours' worth of five-minute values are known, or nothing moves.
    pub fn new(times_s: &[i64], values: &[f64], calendar: &Calendar) -> Option<Self> {
        fit::fit(times_s, values, calendar)
    }

    /// The curve at `time_s`, in units of the scale.
    fn point(&self, calendar: &Calendar, time_s: i64) -> f64 {
        let row = self.terms.row(calendar, time_s);
        row.iter()
            .zip(&self.weights)
            .map(|(term, weight)| term * weight)
            .sum()
    }

    /// The changes of slope.
    fn knots(&self) -> &[f64] {
        &self.weights[2..self.terms.trend()]
    }

    /// Standard deviation of the noise, in the values' units.
    pub fn noise(&self) -> f64 {
        self.noise * self.scale
    }

    /// The curve at `time_s` (Unix seconds), taken apart.
    pub fn parts(&self, calendar: &Calendar, time_s: i64) -> Parts {
        let row = self.terms.row(calendar, time_s);
        let sum = |part: std::ops::Range<usize>| {
            let terms = row[part.clone()].iter().zip(&self.weights[part]);
            self.scale * terms.map(|(term, weight)| term * weight).sum::<f64>()
        };
        let parts = self.terms.parts();
        Parts {
            trend: sum(0..self.terms.trend()),
            seasons: std::array::from_fn(|season| sum(parts[season].clone())),
            holiday: sum(parts[3].clone()),
        }
    }
}

/// The curve of one series.
#[derive(Clone, Debug)]
pub struct Prophet {
    past: Past,
    thresholds: [f64; THRESHOLDS],
    fitted: Option<Fitted>,
    /// How many steps ago the values ended that a fit is due on.
    due: Option<usize>,
}

impl Prophet {
    /// A series with one value every `step_s` seconds.
    pub fn new(step_s: u32, thresholds: [f64; THRESHOLDS]) -> Self {
        Self {
            past: Past::keeping(step_s, FITTED + DAY),
            thresholds,
            fitted: None,
            due: None,
        }
    }

    /// The fit that speaks now.
    pub fn fitted(&mut self) -> Option<&Fitted> {
        if let Some(ago) = self.due.take() {
            self.refit(ago);
        }
        self.fitted.as_ref()
    }

    /// Goes on with a fit that was made before, until the next one is due.
    pub fn resume(&mut self, fitted: Fitted) {
        self.fitted = Some(fitted);
        self.due = None;
    }

    /// Fits to the two weeks that ended `ago` steps ago.
    fn refit(&mut self, ago: usize) {
        let all = self.past.tail(ago + FITTED);
        let values = &all[..all.len().saturating_sub(ago)];
        let first = (values.len() + ago).cast_signed() as i64 - 1;
        let at_s = |place: i64| self.past.last_s() - (first - place) * self.past.step_s();
        let times_s: Vec<i64> = (0..values.len().cast_signed() as i64).map(at_s).collect();
        self.fitted = Fitted::new(&times_s, values, self.past.calendar());
    }
}

impl SeriesModel for Prophet {
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater> {
        let steps = self.past.push(time_s, value)?;
        let seen = self.past.seen();
        if seen.is_multiple_of(REFIT) || (seen < REFIT && seen.is_multiple_of(REFIT_EARLY)) {
            self.due = Some(0);
        } else if let Some(ago) = &mut self.due {
            *ago += steps;
        }
        Ok(())
    }

    fn set_calendar(&mut self, calendar: &Arc<Calendar>) {
        self.past.set_calendar(calendar);
    }

    fn last_s(&self) -> Option<i64> {
        self.past.newest_s()
    }

    /// Before the first fit, and where nothing moves, the last value is all there is to say.
    fn forecast(&mut self) -> Option<Forecast> {
        let last = self.past.back(0);
        if last.is_nan() {
            return None;
        }
        let (now_s, step_s) = (self.past.last_s(), self.past.step_s());
        self.fitted();
        let outcomes = self.fitted.as_ref().map_or_else(Vec::new, |fitted| {
            let mut random = Random(now_s.cast_unsigned());
            let futures = simulate::futures(fitted, self.past.calendar(), (now_s, step_s), &mut random);
            futures.iter().map(targets_of).collect()
        });
        let repeated = targets_of(&[last; super::past::HORIZON]);
        Some(forecast_of(&outcomes, &repeated, &self.thresholds))
    }
}

#[cfg(test)]
mod tests;

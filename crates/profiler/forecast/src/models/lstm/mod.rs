//! A recurrent network over the last four hours, trained on many series.
//!
//! `network` is the arithmetic, `fit` the training; here a series is turned into what the network reads, and answered.

mod dense;
mod fit;
pub mod network;

use super::calendar::Calendar;
use super::past::{HORIZON, NotLater, Past};
use super::series::{EVENT_ROW, Series};
use super::trained::Trained;
use super::{Forecast, SeriesModel, THRESHOLDS, transposed};
pub use fit::{Options, fit};
use network::{STEPS, Sequence};
use std::sync::Arc;

/// Inputs are cut off here, in scales.
const INPUT_MAX: f32 = 20.0;
/// Standardised inputs of the threshold head are cut off here.
const EVENT_MAX: f32 = 8.0;

/// A trained network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lstm {
    /// Weights of all layers; empty where none was trained.
    pub(crate) weights: Vec<f32>,
    /// Mean and deviation of each number of the event row.
    pub(crate) middle: Vec<f32>,
    pub(crate) spread: Vec<f32>,
}

impl Lstm {
    /// Whether anything was trained.
    pub fn is_trained(&self) -> bool {
        self.weights.len() == network::WEIGHTS
    }

    /// The event row as the network reads it; what is missing is as usual.
    fn event(&self, row: &[f32; EVENT_ROW]) -> [f32; EVENT_ROW] {
        std::array::from_fn(|place| {
            let value = (row[place] - self.middle[place]) / self.spread[place];
            if value.is_nan() {
                0.0
            } else {
                value.clamp(-EVENT_MAX, EVENT_MAX)
            }
        })
    }
}

/// The last steps of a series: the values, what followed a day and a week before each, time of day and of the hour.
fn sequence_of(past: &Past) -> Sequence {
    let (base, scale, middle) = (past.last(), past.scale(), past.middle());
    let (calendar, weekday) = (past.calendar(), past.calendar().weekday(past.last_s()));
    let [day, week] = [1, 7].map(|days| past.days_back(days) - HORIZON);
    std::array::from_fn(|step| {
        let back = STEPS - 1 - step;
        let at_s = past.last_s() - 300 * back.cast_signed() as i64;
        let day_s = calendar.of_day_s(at_s);
        let angle = std::f64::consts::TAU * day_s as f64;
        let inputs = [
            (past.back(back) - base) / scale,
            (past.back(back + day) - base) / scale,
            (past.back(back + week) - base) / scale,
            (past.back(back) - middle) / scale,
            (angle / 86_400.0).sin(),
            (angle / 86_400.0).cos(),
            (angle / 3600.0).sin(),
            (angle / 3600.0).cos(),
            f64::from(u8::from(weekday >= 5)),
        ];
        inputs.map(|input| {
            let input = input as f32;
            if input.is_nan() {
                0.0
            } else {
                input.clamp(-INPUT_MAX, INPUT_MAX)
            }
        })
    })
}

/// The network, following one series.
#[derive(Clone, Debug)]
pub struct Recurrent {
    trained: Arc<Trained>,
    series: Series,
    thresholds: [f64; THRESHOLDS],
}

impl Recurrent {
    /// A series with one value every `step_s` seconds.
    pub fn new(trained: Arc<Trained>, step_s: u32, thresholds: [f64; THRESHOLDS]) -> Self {
        Self {
            trained,
            series: Series::new(step_s),
            thresholds,
        }
    }
}

impl SeriesModel for Recurrent {
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater> {
        self.series.observe(time_s, value).map(|_| ())
    }

    fn set_calendar(&mut self, calendar: &Arc<Calendar>) {
        self.series.set_calendar(calendar);
    }

    fn observe_fine(&mut self, time_s: i64, value: f64) {
        self.series.observe_fine(time_s, value);
    }

    fn last_s(&self) -> Option<i64> {
        self.series.past().newest_s()
    }

    /// Without a trained network the residual blocks speak.
    fn forecast(&mut self) -> Option<Forecast> {
        let moment = self.series.moment()?;
        let lstm = &self.trained.network;
        if !lstm.is_trained() {
            return Some(Forecast {
                quantiles: moment.blocks.quantiles(),
                chances: transposed(self.thresholds.map(|threshold| moment.blocks.chances(threshold))),
            });
        }
        let (hidden, quantiles) = network::body(&lstm.weights, &sequence_of(self.series.past()));
        let chances = self.thresholds.map(|threshold| {
            let row = self
                .series
                .event_row(&moment, &self.series.exceedances(threshold))
                .0;
            network::chances(&lstm.weights, &hidden, &lstm.event(&row)).map(f64::from)
        });
        let absolute = |quantile: f32| moment.base + moment.scale * f64::from(quantile);
        Some(Forecast {
            quantiles: quantiles.map(|target| target.map(absolute)),
            chances: transposed(chances),
        })
    }
}

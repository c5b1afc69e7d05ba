//! The linear forecaster and its residual blocks alone, without anything trained elsewhere.

use super::calendar::Calendar;
use super::past::NotLater;
use super::series::Series;
use super::{Forecast, SeriesModel, THRESHOLDS, transposed};
use std::sync::Arc;

/// The ridge regression of one series.
#[derive(Clone, Debug)]
pub struct Linear {
    series: Series,
    thresholds: [f64; THRESHOLDS],
}

impl Linear {
    /// A series with one value every `step_s` seconds.
    pub fn new(step_s: u32, thresholds: [f64; THRESHOLDS]) -> Self {
        Self {
            series: Series::new(step_s),
            thresholds,
        }
    }
}

impl SeriesModel for Linear {
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater> {
        self.series.observe(time_s, value).map(|_| ())
    }

    fn set_calendar(&mut self, calendar: &Arc<Calendar>) {
        self.series.set_calendar(calendar);
    }

    fn last_s(&self) -> Option<i64> {
        self.series.past().newest_s()
    }

    fn forecast(&mut self) -> Option<Forecast> {
        let moment = self.series.moment()?;
        Some(Forecast {
            quantiles: moment.blocks.quantiles(),
            chances: transposed(self.thresholds.map(|threshold| moment.blocks.chances(threshold))),
        })
    }
}

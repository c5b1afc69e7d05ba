//! All series of a host: one model each, and what they learn from each other.
//!
//! Every series is followed by a model of its own. Beside them a learner collects what happened after moments that
//! were drawn in all series, and from time to time lets the shipped forests grow trees for this host (`learner`);
//! models that use forests then go on with those.

use super::calendar::Calendar;
use super::learner::Learner;
use super::past::NotLater;
use super::trained::Trained;
use super::{Chances, Forecast, Kind, SeriesModel, THRESHOLDS};
use std::sync::Arc;

/// The series of a host.
#[derive(Debug)]
pub struct Host {
    kind: Kind,
    trained: Arc<Trained>,
    series: Vec<Box<dyn SeriesModel>>,
    learner: Option<Learner>,
    calendar: Arc<Calendar>,
}

impl Host {
    /// No series yet; models of `kind` will follow them, and start from `trained` where they use it.
    pub fn new(kind: Kind, trained: Arc<Trained>) -> Self {
        let learner = kind.learns().then(|| Learner::new(Arc::clone(&trained)));
        Self {
            kind,
            trained,
            series: Vec::new(),
            learner,
            calendar: Arc::default(),
        }
    }

    /// Begins to follow a series with one value every `step_s` seconds, and returns its place.
    pub fn add(&mut self, step_s: u32, thresholds: [f64; THRESHOLDS]) -> usize {
        let mut model = self.kind.follow(&self.trained, step_s, thresholds);
        model.set_calendar(&self.calendar);
        self.series.push(model);
        self.series.len() - 1
    }

    /// All series, also those that come later, go by this local time.
    pub fn set_calendar(&mut self, calendar: Arc<Calendar>) {
        for model in &mut self.series {
            model.set_calendar(&calendar);
        }
        self.calendar = calendar;
    }

    /// Takes in one value of the series at `place`; what is not finite is missing.
    pub fn observe(&mut self, place: usize, time_s: i64, value: f64) -> Result<(), NotLater> {
        self.series[place].observe(time_s, value)?;
        let Some(learner) = &mut self.learner else {
            return Ok(());
        };
        self.series[place].teach(learner);
        if let Some(trained) = learner.learn() {
            self.trained = trained;
            for model in &mut self.series {
                model.adopt(&self.trained);
            }
        }
        Ok(())
    }

    /// Takes in the mean of one minute.
    pub fn observe_fine(&mut self, place: usize, time_s: i64, value: f64) {
        self.series[place].observe_fine(time_s, value);
    }

    /// When the series was last observed, in Unix seconds.
    pub fn last_s(&self, place: usize) -> Option<i64> {
        self.series[place].last_s()
    }

    /// The forecast from the last value; `None` where it is missing.
    pub fn forecast(&mut self, place: usize) -> Option<Forecast> {
        self.series[place].forecast()
    }

    /// How sure the chances of the last forecast are; see [`SeriesModel::confidence`].
    pub fn confidence(&self, place: usize) -> Option<Chances> {
        self.series[place].confidence()
    }
}

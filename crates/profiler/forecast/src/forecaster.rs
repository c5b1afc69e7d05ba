//! The state of the forecast, and its one way in and out.

use crate::ForecastConfig;
use serde::{Deserialize, Serialize};
use tidegate_types::{
    AppName, Apps, ContentionEvent, ContentionMap, DeclaredEvent, Lease, Moment, Notice, Outcome, Sample,
};

/// Everything that the forecast remembers. Serialisable, so that a checkpoint and the same samples give
/// the same maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecaster {
    config: ForecastConfig,
    outcomes: Vec<Outcome>,
    notices: Vec<Notice>,
}

impl Forecaster {
    /// A forecaster that has seen nothing.
    pub fn new(config: ForecastConfig) -> Self {
        Self {
            config,
            outcomes: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Takes one sample in; returns contention that began or ended with it.
    pub fn observe(
        &mut self,
        _sample: &Sample,
        _apps: &Apps,
        _active_leases: &[Lease],
    ) -> Vec<ContentionEvent> {
        Vec::new()
    }

    /// Takes in an announced event.
    pub fn declare(&mut self, _event: DeclaredEvent) {}

    /// Says that nothing is known of the time between the last sample and `now`.
    pub fn gap(&mut self, _now: Moment) {}

    /// Says that an app went away; what was learned of it is kept for its return.
    pub fn app_gone(&mut self, _app: &AppName) {}

    /// The map at `now`.
    pub fn map(&mut self, now: Moment, _apps: &Apps) -> ContentionMap {
        let _ = &self.config;
        ContentionMap {
            made: now,
            entries: Vec::new(),
        }
    }

    /// Predictions whose windows closed since the last call.
    pub fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// What there is to say since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

//! The models by name.

use super::boosted::Boosted;
use super::ets::Ets;
use super::linear::Linear;
use super::naive::{Naive, Repeats};
use super::trained::Trained;
use super::{SeriesModel, THRESHOLDS};
use std::sync::Arc;

/// A model that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Boosted events and body with residual blocks; needs trained forests to differ from the ridge.
    Boosted,
    /// Ridge autoregression with residual blocks.
    Ridge,
    /// Exponential smoothing.
    Ets,
    /// The last value.
    Persistence,
    /// The value of a day ago.
    SeasonalNaive,
    /// The value of a week ago.
    WeeklyNaive,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Boosted,
        Self::Ridge,
        Self::Ets,
        Self::Persistence,
        Self::SeasonalNaive,
        Self::WeeklyNaive,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boosted => "boosted",
            Self::Ridge => "ridge",
            Self::Ets => "ets",
            Self::Persistence => "persistence",
            Self::SeasonalNaive => "seasonal-naive",
            Self::WeeklyNaive => "weekly-naive",
        }
    }

    /// The model that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Follows a series with one value every `step_s` seconds.
    pub fn follow(
        self,
        trained: &Arc<Trained>,
        step_s: u32,
        thresholds: [f64; THRESHOLDS],
    ) -> Box<dyn SeriesModel> {
        match self {
            Self::Boosted => Box::new(Boosted::new(Arc::clone(trained), step_s, thresholds)),
            Self::Ridge => Box::new(Linear::new(step_s, thresholds)),
            Self::Ets => Box::new(Ets::new(step_s, thresholds)),
            Self::Persistence => Box::new(Naive::new(Repeats::Last, step_s, thresholds)),
            Self::SeasonalNaive => Box::new(Naive::new(Repeats::Day, step_s, thresholds)),
            Self::WeeklyNaive => Box::new(Naive::new(Repeats::Week, step_s, thresholds)),
        }
    }
}

//! The models by name.

use super::auto::Auto;
use super::boosted::Boosted;
use super::ets::Ets;
use super::linear::Linear;
use super::lstm::Recurrent;
use super::mstl::Mstl;
use super::naive::{Naive, Repeats};
use super::prophet::Prophet;
use super::trained::Trained;
use super::{SeriesModel, THRESHOLDS};
use std::sync::Arc;

/// A model that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Several of them, each trusted as far as it has been right; forests are taught by the host.
    Auto,
    /// Boosted events and body with residual blocks; needs trained forests to differ from the ridge.
    Boosted,
    /// The recurrent network with its threshold head; without a trained one, the residual blocks.
    Lstm,
    /// Ridge autoregression with residual blocks.
    Ridge,
    /// Exponential smoothing.
    Ets,
    /// Seasons of a day and a week by loess, the rest smoothed.
    Mstl,
    /// A curve of trend, seasons and holidays that knows the time alone.
    Prophet,
    /// The last value.
    Persistence,
    /// The value of a day ago.
    SeasonalNaive,
    /// The value of a week ago.
    WeeklyNaive,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Auto,
        Self::Boosted,
        Self::Lstm,
        Self::Ridge,
        Self::Ets,
        Self::Mstl,
        Self::Prophet,
        Self::Persistence,
        Self::SeasonalNaive,
        Self::WeeklyNaive,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Boosted => "boosted",
            Self::Lstm => "lstm",
            Self::Ridge => "ridge",
            Self::Ets => "ets",
            Self::Mstl => "mstl",
            Self::Prophet => "prophet",
            Self::Persistence => "persistence",
            Self::SeasonalNaive => "seasonal-naive",
            Self::WeeklyNaive => "weekly-naive",
        }
    }

    /// The model that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the host's rows teach the forests.
    pub fn learns(self) -> bool {
        self == Self::Auto
    }

    /// Follows a series with one value every `step_s` seconds.
    pub fn follow(
        self,
        trained: &Arc<Trained>,
        step_s: u32,
        thresholds: [f64; THRESHOLDS],
    ) -> Box<dyn SeriesModel> {
        match self {
            Self::Auto => Box::new(Auto::new(Arc::clone(trained), step_s, thresholds)),
            Self::Boosted => Box::new(Boosted::new(Arc::clone(trained), step_s, thresholds)),
            Self::Lstm => Box::new(Recurrent::new(Arc::clone(trained), step_s, thresholds)),
            Self::Ridge => Box::new(Linear::new(step_s, thresholds)),
            Self::Ets => Box::new(Ets::new(step_s, thresholds)),
            Self::Mstl => Box::new(Mstl::new(step_s, thresholds)),
            Self::Prophet => Box::new(Prophet::new(step_s, thresholds)),
            Self::Persistence => Box::new(Naive::new(Repeats::Last, step_s, thresholds)),
            Self::SeasonalNaive => Box::new(Naive::new(Repeats::Day, step_s, thresholds)),
            Self::WeeklyNaive => Box::new(Naive::new(Repeats::Week, step_s, thresholds)),
        }
    }
}

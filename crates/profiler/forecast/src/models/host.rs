//! All series of a stream, and what they are answered with.

use super::mix::Mix;
use super::past::NotLater;
use super::series::{Moment, Series};
use super::trained::Trained;
use super::{Quantiles, WINDOW_COUNT};

/// Thresholds of a series.
pub const THRESHOLDS: usize = 2;
/// Observations between two rounds of the competition between body and blocks.
const MIX_EVERY: u64 = 7;

/// A forecast for one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Quantiles at [`super::LEVELS`] of each target, absolute, rising.
    pub quantiles: Quantiles,
    /// P(above each threshold) within each window.
    pub chances: [[f64; THRESHOLDS]; WINDOW_COUNT],
}

#[derive(Clone, Debug)]
struct Followed {
    series: Series,
    thresholds: [f64; THRESHOLDS],
    mix: Mix,
}

/// All series of a stream.
#[derive(Clone, Debug)]
pub struct Host {
    trained: Trained,
    followed: Vec<Followed>,
}

impl Host {
    /// No series yet. Without trees in `trained`, the residual blocks speak alone.
    pub fn new(trained: Trained) -> Self {
        Self {
            trained,
            followed: Vec::new(),
        }
    }

    /// Adds a series and returns its place.
    pub fn add(&mut self, step_s: u32, thresholds: [f64; THRESHOLDS]) -> usize {
        self.followed.push(Followed {
            series: Series::new(step_s),
            thresholds,
            mix: Mix::default(),
        });
        self.followed.len() - 1
    }

    /// Takes in one value of the series at `place`; what is not finite is missing.
    pub fn observe(&mut self, place: usize, time_s: i64, value: f64) -> Result<(), NotLater> {
        let followed = &mut self.followed[place];
        let steps = followed.series.observe(time_s, value)?;
        followed.mix.observe(followed.series.past(), steps);
        if followed.series.past().seen().is_multiple_of(MIX_EVERY)
            && let Some(moment) = followed.series.moment()
        {
            let blocks = moment.blocks.quantiles();
            let body = body(&self.trained, &moment, &blocks);
            followed.mix.remember(body, blocks);
        }
        Ok(())
    }

    /// Takes in the mean of one minute.
    pub fn observe_fine(&mut self, place: usize, time_s: i64, value: f64) {
        self.followed[place].series.observe_fine(time_s, value);
    }

    /// When the series was last observed, in Unix seconds.
    pub fn last_s(&self, place: usize) -> Option<i64> {
        let past = self.followed[place].series.past();
        (!past.is_empty()).then(|| past.last_s())
    }

    /// The forecast from the last value; `None` where it is missing.
    pub fn forecast(&self, place: usize) -> Option<Forecast> {
        let followed = &self.followed[place];
        let moment = followed.series.moment()?;
        let mut chances = [[0.0; THRESHOLDS]; WINDOW_COUNT];
        for (column, threshold) in followed.thresholds.iter().enumerate() {
            let (row, blocks) = followed.series.event_row(&moment, *threshold);
            for (window, forest) in self.trained.events.iter().enumerate() {
                let trained = !forest.trees.is_empty();
                chances[window][column] = if trained {
                    forest.probability(&row)
                } else {
                    blocks[window]
                };
            }
        }
        let blocks = moment.blocks.quantiles();
        Some(Forecast {
            quantiles: followed.mix.join(&body(&self.trained, &moment, &blocks), &blocks),
            chances,
        })
    }
}

/// The quantiles of the boosted body; those of the blocks where nothing was trained.
fn body(trained: &Trained, moment: &Moment, blocks: &Quantiles) -> Quantiles {
    let row = moment.body_row(blocks);
    std::array::from_fn(|target| {
        let mut quantiles = moment.start(&blocks[target]);
        trained.body[target].add_to(&row, &mut quantiles);
        quantiles.map(|quantile| moment.base + moment.scale * f64::from(quantile))
    })
}

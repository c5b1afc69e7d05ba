//! The model that was trained on many series, on one of them: boosted events, a boosted body, and its own blocks.
//!
//! Events are answered by the forests that take the threshold as an input. Quantiles are shared out between the
//! boosted body and the residual blocks by how well each did on this series. Without trees the blocks speak alone.

use super::mix::Mix;
use super::past::NotLater;
use super::series::{Moment, Series};
use super::trained::Trained;
use super::{Forecast, Quantiles, SeriesModel, THRESHOLDS, WINDOW_COUNT};
use std::sync::Arc;

/// Observations between two rounds of the competition between body and blocks.
const MIX_EVERY: u64 = 7;

/// The trained models, following one series.
#[derive(Clone, Debug)]
pub struct Boosted {
    trained: Arc<Trained>,
    series: Series,
    thresholds: [f64; THRESHOLDS],
    mix: Mix,
}

impl Boosted {
    /// A series with one value every `step_s` seconds.
    pub fn new(trained: Arc<Trained>, step_s: u32, thresholds: [f64; THRESHOLDS]) -> Self {
        Self {
            trained,
            series: Series::new(step_s),
            thresholds,
            mix: Mix::default(),
        }
    }

    fn chances(&self, moment: &Moment) -> [[f64; THRESHOLDS]; WINDOW_COUNT] {
        let mut chances = [[0.0; THRESHOLDS]; WINDOW_COUNT];
        for (column, threshold) in self.thresholds.iter().enumerate() {
            let (row, blocks) = self.series.event_row(moment, *threshold);
            for (window, forest) in self.trained.events.iter().enumerate() {
                let trained = !forest.trees.is_empty();
                chances[window][column] = if trained {
                    forest.probability(&row)
                } else {
                    blocks[window]
                };
            }
        }
        chances
    }
}

impl SeriesModel for Boosted {
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater> {
        let steps = self.series.observe(time_s, value)?;
        self.mix.observe(self.series.past(), steps);
        if self.series.past().seen().is_multiple_of(MIX_EVERY)
            && let Some(moment) = self.series.moment()
        {
            let blocks = moment.blocks.quantiles();
            self.mix.remember(body(&self.trained, &moment, &blocks), blocks);
        }
        Ok(())
    }

    fn observe_fine(&mut self, time_s: i64, value: f64) {
        self.series.observe_fine(time_s, value);
    }

    fn last_s(&self) -> Option<i64> {
        let past = self.series.past();
        (!past.is_empty()).then(|| past.last_s())
    }

    fn forecast(&mut self) -> Option<Forecast> {
        let moment = self.series.moment()?;
        let blocks = moment.blocks.quantiles();
        Some(Forecast {
            quantiles: self.mix.join(&body(&self.trained, &moment, &blocks), &blocks),
            chances: self.chances(&moment),
        })
    }
}

/// The quantiles of the boosted body.
fn body(trained: &Trained, moment: &Moment, blocks: &Quantiles) -> Quantiles {
    let row = moment.body_row(blocks);
    std::array::from_fn(|target| {
        if trained.body[target].trees.is_empty() {
            return blocks[target];
        }
        let mut quantiles = moment.start(&blocks[target]);
        trained.body[target].add_to(&row, &mut quantiles);
        quantiles.map(|quantile| moment.base + moment.scale * f64::from(quantile))
    })
}

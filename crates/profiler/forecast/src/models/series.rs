//! One series with its past, its row and its linear forecaster: what every learned model reads.

use super::calendar::Calendar;
use super::exceedances::{Exceedances, Highs, THRESHOLD};
use super::features::{MINUTES, MINUTES_ROW, SERIES, minutes_row, series_row};
use super::past::{NotLater, Past};
use super::ridge::{Blocks, Ridge};
use super::{QUANTILES, Quantiles, TARGET_COUNT, WINDOW_COUNT};
use std::sync::Arc;

/// Length of the row that all models read: the series' row, the ridge's five forecasts and its volatility.
pub const COMMON_ROW: usize = SERIES + TARGET_COUNT + 1;
/// Length of the row that the body's models read: the common row and quantiles of the blocks.
pub const BODY_ROW: usize = COMMON_ROW + TARGET_COUNT * BLOCK_LEVELS.len();
/// Length of the row that the network reads: the common row and what the threshold adds.
pub const EVENT_ROW: usize = COMMON_ROW + THRESHOLD;
/// Length of the row that the event forests read: the same, and the threshold against the last minutes.
pub const FOREST_ROW: usize = EVENT_ROW + MINUTES_ROW;
/// The trained body starts from this share of what the blocks say: trees that start from nothing have weak tails, and
/// trees that start from all of it hardly differ from it. Measured on the training parts of the development traces.
const START_SHARE: f64 = 0.5;
/// Places in [`super::LEVELS`] of the quantiles that the body's row holds: .1, .5, .9 and .99.
const BLOCK_LEVELS: [usize; 4] = [1, 5, 9, 11];

/// Forgets in a row of the forests what one-minute values said, as if there had been none.
pub fn without_minutes(row: &mut [f32; FOREST_ROW]) {
    row[MINUTES].fill(f32::NAN);
    row[EVENT_ROW..].fill(f32::NAN);
}

/// The same in a row of the body.
pub fn body_without_minutes(row: &mut [f32; BODY_ROW]) {
    row[MINUTES].fill(f32::NAN);
}

/// Whether a row of the forests knows the newest minute.
pub(crate) fn knows_minutes(row: &[f32; FOREST_ROW]) -> bool {
    !row[EVENT_ROW].is_nan()
}

/// A series as it is followed.
#[derive(Clone, Debug)]
pub struct Series {
    past: Past,
    ridge: Ridge,
    row: [f32; SERIES],
}

/// What is known at one moment: the input of all models.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The forecast of the residual blocks.
    pub blocks: Blocks,
    /// The common row.
    pub row: [f32; COMMON_ROW],
    /// The last value, absolute.
    pub base: f64,
    /// Absolute size of one unit of the row.
    pub scale: f64,
    highs: Highs,
}

impl Moment {
    /// Where the trained body starts from: the quantiles of the blocks, from the last value on, in scales, drawn
    /// half way to the last value.
    pub fn start(&self, quantiles: &[f64; QUANTILES]) -> [f32; QUANTILES] {
        quantiles.map(|quantile| (START_SHARE * (quantile - self.base) / self.scale) as f32)
    }

    /// The body's row, with `quantiles` of the blocks.
    pub fn body_row(&self, quantiles: &Quantiles) -> [f32; BODY_ROW] {
        let mut row = [f32::NAN; BODY_ROW];
        row[..COMMON_ROW].copy_from_slice(&self.row);
        let levels = quantiles
            .iter()
            .flat_map(|target| BLOCK_LEVELS.map(|level| target[level]));
        for (value, quantile) in row[COMMON_ROW..].iter_mut().zip(levels) {
            *value = ((quantile - self.base) / self.scale) as f32;
        }
        row
    }
}

impl Series {
    /// A series with one value every `step_s` seconds.
    pub fn new(step_s: u32) -> Self {
        Self {
            past: Past::new(step_s),
            ridge: Ridge::new(),
            row: [f32::NAN; SERIES],
        }
    }

    /// Takes in the mean over the step that begins at `time_s`; what is not finite is missing. Returns how many
    /// steps passed since the one before.
    pub fn observe(&mut self, time_s: i64, value: f64) -> Result<usize, NotLater> {
        let steps = self.past.push(time_s, value)?;
        self.row = series_row(&self.past);
        self.ridge.observe(&self.past, &self.row, steps);
        Ok(steps)
    }

    /// Goes by another local time from now on; before, it is UTC.
    pub fn set_calendar(&mut self, calendar: &Arc<Calendar>) {
        self.past.set_calendar(calendar);
    }

    /// Takes in the mean over the minute that begins at `time_s`.
    pub fn observe_fine(&mut self, time_s: i64, value: f64) {
        self.past.push_fine(time_s, value);
    }

    /// The values of the last days.
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// Share of the numbers about the series that are known, but those of one-minute values.
    pub(crate) fn known_inputs(&self) -> f64 {
        let inputs = &self.row[..MINUTES.start];
        let known = inputs.iter().filter(|value| !value.is_nan()).count();
        known as f64 / inputs.len() as f64
    }

    /// What is known now; `None` before the first value, and while the last one is missing.
    pub fn moment(&self) -> Option<Moment> {
        let blocks = self.ridge.forecast()?;
        let (base, scale) = (self.past.last(), self.past.scale());
        let mut row = [f32::NAN; COMMON_ROW];
        row[..SERIES].copy_from_slice(&self.row);
        for (value, point) in row[SERIES..].iter_mut().zip(blocks.point) {
            *value = ((point - base) / scale) as f32;
        }
        row[COMMON_ROW - 1] = (blocks.volatility / scale) as f32;
        Some(Moment {
            blocks,
            row,
            base,
            scale,
            highs: Highs::new(&self.past),
        })
    }

    /// Which of the kept values were above a threshold.
    pub fn exceedances(&self, threshold: f64) -> Exceedances {
        Exceedances::new(&self.past, threshold)
    }

    /// The network's row for one threshold, without one-minute values, and the chances that the residual blocks give.
    pub fn event_row(&self, moment: &Moment, above: &Exceedances) -> ([f32; EVENT_ROW], [f64; WINDOW_COUNT]) {
        let mut row = [f32::NAN; EVENT_ROW];
        let chances = self.fill_event_row(moment, above, &mut row);
        row[MINUTES].fill(f32::NAN);
        (row, chances)
    }

    /// The forests' row for one threshold, and the chances that the residual blocks give.
    pub fn forest_row(
        &self,
        moment: &Moment,
        above: &Exceedances,
    ) -> ([f32; FOREST_ROW], [f64; WINDOW_COUNT]) {
        let mut row = [f32::NAN; FOREST_ROW];
        let chances = self.fill_event_row(moment, above, &mut row);
        row[EVENT_ROW..].copy_from_slice(&minutes_row(&self.past, above.threshold()));
        (row, chances)
    }

    fn fill_event_row(&self, moment: &Moment, above: &Exceedances, row: &mut [f32]) -> [f64; WINDOW_COUNT] {
        let chances = moment.blocks.chances(above.threshold());
        row[..COMMON_ROW].copy_from_slice(&moment.row);
        let added = above.row(&self.past, &moment.highs, Some((&moment.blocks, &chances)));
        row[COMMON_ROW..EVENT_ROW].copy_from_slice(&added);
        chances
    }
}

//! The model that answers for the live map: the chance that the highest load of each five minutes exceeds a threshold,
//! and how high it will be within the hour.
//!
//! A host has thousands of units, and a linear forecaster for each would take a hundred kilobytes. These forests
//! therefore read what the series says of itself and what the threshold adds, and nothing else: places of the row that
//! belong to the linear forecaster are missing. They learn from series that begin anew now and then, so that they answer
//! for a unit of half an hour as for one of a month.
//!
//! The shipped model is where a host begins; `training` grows further trees from the host's own rows on top of it.

pub mod growth;
pub mod training;

use super::exceedances::{Exceedances, Highs};
use super::features::{SERIES, minutes_row, series_row};
use super::gbdt::Forest;
use super::past::{DAY, Past};
use super::series::{BODY_ROW, COMMON_ROW, EVENT_ROW, FOREST_ROW, body_without_minutes};
use super::trained::{FileError, Trained};
use super::{QUANTILES, WINDOW_COUNT};

/// Length of a step in seconds.
pub const STEP_S: u32 = 300;
/// Windows of the chances in seconds.
pub const WINDOWS_S: [u32; WINDOW_COUNT] = [300, 900, 3600];
/// Steps that must be known before the model is asked; it learned from none shorter.
pub const STEPS_MIN: usize = 2;
/// The target that the height is forecast for: the maximum over the next twelve steps.
pub(crate) const HEIGHT: usize = 4;

const MAGIC: &[u8; 4] = b"TGPM";
const VERSION: u16 = 1;
const HEAD: usize = MAGIC.len() + 2 + 4;

/// The model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeakModel {
    /// Rows of this host that it learned from; 0 for the one that ships.
    pub host_rows: u32,
    /// Forests for the events, and of the body that of the hour's maximum.
    pub trained: Trained,
}

/// What is foretold of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foretold {
    /// P(above the threshold) within each of [`WINDOWS_S`], rising.
    pub chances: [f64; WINDOW_COUNT],
    /// Quantiles of the hour's maximum at [`super::LEVELS`], absolute.
    pub height: [f64; QUANTILES],
}

/// Load over capacity that contention is assumed to begin at before any was seen: the limit less what rounding takes.
const NEAR_CAPACITY: f64 = 0.95;
/// A unit that came higher without contention: so much above its highest, in scales.
const ABOVE_HIGHEST: f64 = 0.25;

/// The load above which contention is expected: matched to the share of steps that had some (steps counted, and those of
/// them with contention), so that a unit that never waits at its limit is not called contended there. `None` where
/// nothing tells.
pub(crate) fn matched_threshold(
    past: &Past,
    (counted, contended): (f32, f32),
    has_capacity: bool,
) -> Option<f64> {
    let week = past.tail(7 * DAY).iter().copied();
    let mut known: Vec<f64> = week.filter(|value| value.is_finite()).collect();
    if known.is_empty() {
        return None;
    }
    if contended <= 0.0 {
        let highest = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let above = highest + ABOVE_HIGHEST * past.scale();
        return has_capacity.then_some(if highest > NEAR_CAPACITY {
            above
        } else {
            NEAR_CAPACITY
        });
    }
    let share = f64::from((contended + 0.5) / (counted + 1.0)).min(1.0);
    let place = ((1.0 - share) * known.len() as f64) as usize;
    let place = place.saturating_sub(1).min(known.len() - 1);
    let (_, at, _) = known.select_nth_unstable_by(place, f64::total_cmp);
    Some(*at)
}

/// The row that all forests read.
pub(crate) fn common_row(past: &Past) -> [f32; COMMON_ROW] {
    let mut row = [f32::NAN; COMMON_ROW];
    row[..SERIES].copy_from_slice(&series_row(past));
    row
}

/// The event forests' row for one threshold.
pub(crate) fn event_row(past: &Past, common: &[f32; COMMON_ROW], threshold: f64) -> [f32; FOREST_ROW] {
    let mut row = [f32::NAN; FOREST_ROW];
    row[..COMMON_ROW].copy_from_slice(common);
    let added = Exceedances::new(past, threshold).row(past, &Highs::new(past), None);
    row[COMMON_ROW..EVENT_ROW].copy_from_slice(&added);
    row[EVENT_ROW..].copy_from_slice(&minutes_row(past, threshold));
    row
}

/// The body's row, which knows no minutes.
pub(crate) fn body_row(common: &[f32; COMMON_ROW]) -> [f32; BODY_ROW] {
    let mut row = [f32::NAN; BODY_ROW];
    row[..COMMON_ROW].copy_from_slice(common);
    body_without_minutes(&mut row);
    row
}

impl PeakModel {
    /// The model that ships with this program; `trained/MODEL-CARD.md` says what it learned from.
    pub fn shipped() -> Result<Self, FileError> {
        Self::from_bytes(Self::shipped_bytes())
    }

    /// Its file.
    pub fn shipped_bytes() -> &'static [u8] {
        include_bytes!("../../../trained/peaks.tgpm")
    }

    /// What is foretold at the end of `past`; `None` where too little is known.
    pub fn foretell(&self, past: &Past, threshold: f64) -> Option<Foretold> {
        if past.len() < STEPS_MIN || !past.last().is_finite() || !threshold.is_finite() {
            return None;
        }
        let common = common_row(past);
        let row = event_row(past, &common, threshold);
        let chances = self.chances(&row);
        let mut height = [0.0_f32; QUANTILES];
        self.trained.body[HEIGHT].add_to(&body_row(&common), &mut height);
        Some(Foretold {
            chances,
            height: height.map(|value| past.last() + past.scale() * f64::from(value)),
        })
    }

    /// The chances for one row of [`event_row`].
    pub(crate) fn chances(&self, row: &[f32; FOREST_ROW]) -> [f64; WINDOW_COUNT] {
        let mut highest = 0.0_f64;
        let forests = self.trained.events_for(row);
        std::array::from_fn(|window| {
            highest = highest.max(forests[window].probability(row));
            highest
        })
    }

    /// The bytes of the model file: a magic, a version, the count of the host's rows, and the forests as `trained`
    /// writes them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.host_rows.to_le_bytes());
        bytes.extend(self.trained.to_bytes());
        bytes
    }

    /// Reads the bytes of a model file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        if !bytes.starts_with(MAGIC) {
            return Err(FileError::NotAModel);
        }
        let (head, forests) = bytes.split_at_checked(HEAD).ok_or(FileError::Damaged)?;
        let found = u16::from_le_bytes([head[4], head[5]]);
        if found != VERSION {
            return Err(FileError::Version { found });
        }
        let trained = Trained::from_bytes(forests)?;
        let speaks = |forest: &Forest| !forest.trees().is_empty();
        if !trained.events.iter().all(speaks) || trained.body[HEIGHT].trees().is_empty() {
            return Err(FileError::Unsound);
        }
        Ok(Self {
            host_rows: u32::from_le_bytes([head[6], head[7], head[8], head[9]]),
            trained,
        })
    }
}

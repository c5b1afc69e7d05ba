//! What one app asked of one unit, in rows that all apps have in common.
//!
//! Fine rows are `ROW_S` long and reach back half an hour; coarse ones gather sixty of them and reach back a day. A
//! row of a time in which the app was not there is unknown, and a row in which it waited may be a lower bound.
//! All rings are written at the same moments, so that equal places from the newest on are equal times.

use crate::ring::push;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Seconds of a fine row.
pub(super) const ROW_S: f64 = 5.0;
/// Fine rows that are kept, and how many of them make a coarse one.
pub(super) const FINE: usize = 360;
pub(super) const ROWS_PER_COARSE: usize = 60;
/// Coarse rows that are kept.
pub(super) const COARSE: usize = 288;

/// An amount that is known, known as a lower bound, or unknown. Never below 0; four bytes, since there are millions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Level(f32);

impl Level {
    /// Nothing is known.
    pub(super) const UNKNOWN: Self = Self(f32::NAN);

    /// An amount, or with `bound` at least so much. The sign bit says which.
    pub(super) fn new(amount: f64, bound: bool) -> Self {
        let amount = amount.max(0.0) as f32;
        Self(if bound { -amount } else { amount })
    }

    /// The amount, or its lower bound.
    pub(super) fn amount(self) -> Option<f64> {
        (!self.0.is_nan()).then(|| f64::from(self.0.abs()))
    }

    /// Whether it may be more.
    pub(super) fn is_bound(self) -> bool {
        self.0.is_sign_negative() && !self.0.is_nan()
    }
}

/// The mean of a row that is being filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Filling {
    sum: f32,
    seconds: f32,
    bound_s: f32,
}

impl Filling {
    fn add(&mut self, level: Level, seconds: f64) {
        let Some(amount) = level.amount() else { return };
        self.sum += (amount * seconds) as f32;
        self.seconds += seconds as f32;
        self.bound_s += if level.is_bound() { seconds as f32 } else { 0.0 };
    }

    /// The mean so far, a bound where the larger part of the time was.
    fn level(self) -> Level {
        if self.seconds <= 0.0 {
            return Level::UNKNOWN;
        }
        let mean = f64::from(self.sum / self.seconds);
        Level::new(mean, self.bound_s > self.seconds / 2.0)
    }
}

/// The rows of one app on one unit, newest at the back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Track {
    pub(super) fine: VecDeque<Level>,
    pub(super) coarse: VecDeque<Level>,
    row: Filling,
    block: Filling,
    /// Rows since it was last known.
    unknown_rows: u32,
}

impl Track {
    /// A track that was 0 for the last so many rows.
    pub(super) fn idle(rows: usize, blocks: usize) -> Self {
        let nothing = Level::new(0.0, false);
        Self {
            fine: std::iter::repeat_n(nothing, rows.min(FINE)).collect(),
            coarse: std::iter::repeat_n(nothing, blocks.min(COARSE)).collect(),
            ..Self::default()
        }
    }

    /// Takes in what was asked for in the last `seconds`.
    pub(super) fn add(&mut self, level: Level, seconds: f64) {
        self.row.add(level, seconds);
    }

    /// The row is over.
    pub(super) fn close_row(&mut self) {
        let level = std::mem::take(&mut self.row).level();
        self.block.add(level, ROW_S);
        self.unknown_rows = if level.amount().is_some() {
            0
        } else {
            self.unknown_rows.saturating_add(1)
        };
        push(&mut self.fine, level, FINE);
    }

    /// The coarse row is over.
    pub(super) fn close_block(&mut self) {
        let level = std::mem::take(&mut self.block).level();
        push(&mut self.coarse, level, COARSE);
    }

    /// Rows since anything was known.
    pub(super) fn unknown_rows(&self) -> u32 {
        self.unknown_rows
    }

    /// Whether anything but 0 is remembered.
    pub(super) fn any(&self) -> bool {
        let remembered = self.fine.iter().chain(&self.coarse);
        let mut amounts = remembered.filter_map(|level| level.amount());
        amounts.any(|amount| amount > 0.0)
    }

    /// The present: the row that is being filled, or the newest.
    pub(super) fn now(&self) -> Level {
        let filling = self.row.level();
        if filling.amount().is_some() {
            return filling;
        }
        self.fine.back().copied().unwrap_or(Level::UNKNOWN)
    }
}

//! Whether the peaks that were said came, and what is learned from that.
//!
//! Each quantile of each window carries an offset in units of its own spread, moved after each outcome by how far its
//! share of misses is from the right one (adaptive conformal inference in the form of quantile tracking: Gibbs and
//! Candès 2021, Angelopoulos and others 2023), so that coverage holds in the long run whatever the sum does. Windows
//! overlap, so an outcome weighs as much as the time since the one before is of the window. A peak that is only known
//! as a lower bound counts where it is above what was said.

use super::track::{Level, ROW_S};
use crate::model::WINDOWS;
use crate::ring::push;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tidegate_types::{PeakPlace, PredictionId, Quantiles};

/// Sums that are kept: the longest window and a little more.
const ROWS: usize = 740;
/// Peaks that are said while the longest window is open.
const SAID_MAX: usize = 768;
/// Share of a window that must have been measured.
const KNOWN_SHARE: f64 = 0.75;
/// How far one outcome of full weight moves an offset, in spreads.
const PACE: f64 = 0.25;
/// Offsets stay within so many spreads.
const OFFSET_MAX: f64 = 6.0;
/// The least spread, as a share of the median.
const SPREAD_MIN: f64 = 0.05;
/// The quantiles that are said.
const RANKS: [f64; 3] = [0.1, 0.5, 0.9];

/// What was said at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SaidPeaks {
    id: PredictionId,
    /// Rows that were over.
    row: u64,
    /// q10, q50 and q90, each as its own offset moved it.
    peaks: [Option<[f32; 3]>; WINDOWS],
    /// Rows since the one before.
    spacing_rows: u16,
}

/// What was said of one unit's peaks, and how it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Peaks {
    said: VecDeque<SaidPeaks>,
    sums: VecDeque<Level>,
    rows: u64,
    offsets: [[f32; 3]; WINDOWS],
}

fn spread(raw: &Quantiles) -> f64 {
    (raw.q90 - raw.q10).max(SPREAD_MIN * raw.q50)
}

fn in_order(mut moved: [f64; 3]) -> [f64; 3] {
    moved.sort_by(f64::total_cmp);
    moved
}

impl Peaks {
    /// The sum of a row that is over.
    pub(super) fn take_row(&mut self, sum: Level) {
        push(&mut self.sums, sum, ROWS);
        self.rows += 1;
    }

    /// What experience makes of quantiles.
    pub(super) fn calibrated(&self, window: usize, raw: &Quantiles) -> Quantiles {
        let [q10, q50, q90] = in_order(self.moved(window, raw));
        Quantiles { q10, q50, q90 }
    }

    /// Each quantile with its own offset; they may have changed places.
    fn moved(&self, window: usize, raw: &Quantiles) -> [f64; 3] {
        let spread = spread(raw);
        let mut moved = [raw.q10, raw.q50, raw.q90];
        for (value, offset) in moved.iter_mut().zip(self.offsets[window]) {
            *value = (*value + f64::from(offset) * spread).max(0.0);
        }
        moved
    }

    /// Remembers what is said as `id`, given the quantiles before experience.
    pub(super) fn remember(&mut self, id: PredictionId, raw: &[Option<Quantiles>; WINDOWS]) {
        let before = self.said.back().map_or(self.rows, |last| last.row);
        let peaks = std::array::from_fn(|window| {
            let moved = self.moved(window, raw[window].as_ref()?);
            Some(moved.map(|value| value as f32))
        });
        push(
            &mut self.said,
            SaidPeaks {
                id,
                row: self.rows,
                peaks,
                spacing_rows: u16::try_from(self.rows - before).unwrap_or(u16::MAX),
            },
            SAID_MAX,
        );
    }

    /// Where the peak lay that came in the window number `window` after `id` was said; `learn` says whether to learn
    /// from it. `None` where nothing was said or it is not known.
    pub(super) fn judge(
        &mut self,
        id: PredictionId,
        window: usize,
        window_s: u32,
        learn: bool,
    ) -> Option<PeakPlace> {
        let place = self.said.binary_search_by_key(&id, |said| said.id).ok()?;
        let said = &self.said[place];
        let moved = said.peaks[window]?.map(f64::from);
        let [q10, _, q90] = in_order(moved);
        let steps = (f64::from(window_s) / ROW_S).ceil();
        let peak = self.peak(said.row + 1, steps as u64)?;
        let weight = (f64::from(said.spacing_rows.max(1)) / steps).min(1.0);
        let amount = peak.amount()?;
        if peak.is_bound() && amount <= q90 {
            return None;
        }
        if learn {
            let offsets = self.offsets[window].iter_mut();
            for ((offset, said), rank) in offsets.zip(moved).zip(RANKS) {
                let missed = f64::from(u8::from(amount > said));
                let moved = f64::from(*offset) + PACE * weight * (missed - (1.0 - rank));
                *offset = moved.clamp(-OFFSET_MAX, OFFSET_MAX) as f32;
            }
        }
        Some(match amount {
            amount if amount < q10 => PeakPlace::Below,
            amount if amount > q90 => PeakPlace::Above,
            _ => PeakPlace::Within,
        })
    }

    /// The highest of `steps` rows from the row number `from` on.
    fn peak(&self, from: u64, steps: u64) -> Option<Level> {
        let oldest = self.rows - self.sums.len() as u64;
        let first = usize::try_from(from.checked_sub(oldest)?).ok()?;
        let steps = usize::try_from(steps).ok()?;
        let rows = self
            .sums
            .range(first..(first + steps).min(self.sums.len()).max(first));
        let known: Vec<Level> = rows.copied().filter(|sum| sum.amount().is_some()).collect();
        if (known.len() as f64) < KNOWN_SHARE * steps as f64 {
            return None;
        }
        known.into_iter().max_by(|left, right| {
            left.amount()
                .partial_cmp(&right.amount())
                .unwrap_or(std::cmp::Ordering::Equal)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles that are too low and too narrow come to cover what they should, and do so again after a change.
    #[test]
    fn coverage_comes_to_hold_whatever_is_said_at_first() {
        let mut peaks = Peaks::default();
        let raw = Quantiles {
            q10: 0.9,
            q50: 1.0,
            q90: 1.1,
        };
        let (mut last, mut above, mut below) = (0_u64, 0, 0);
        let rounds = 6000_u64;
        for round in 0..rounds {
            let id = PredictionId(round + 1);
            peaks.remember(id, &[Some(raw), None, None, None]);
            let shift = if round < rounds / 2 { 1.5 } else { 0.4 };
            for row in 0..13 {
                last = last.wrapping_mul(6_364_136_223_846_793_005);
                last = last.wrapping_add(1_442_695_040_888_963_407 + row);
                let drawn = (last >> 11) as f64 / (1_u64 << 53) as f64;
                peaks.take_row(Level::new(shift + 0.5 * drawn, false));
            }
            let place = peaks.judge(id, 0, 60, true).expect("known");
            let settled = (500..rounds / 2).contains(&round) || round > rounds / 2 + 500;
            above += u32::from(settled && place == PeakPlace::Above);
            below += u32::from(settled && place == PeakPlace::Below);
        }
        let share = |count: u32| f64::from(count) / 5000.0;
        assert!((share(above) - 0.1).abs() < 0.02, "{above}");
        assert!((share(below) - 0.1).abs() < 0.02, "{below}");
    }

    #[test]
    fn a_bound_judges_only_what_it_is_above() {
        let mut peaks = Peaks::default();
        let raw = Quantiles {
            q10: 0.5,
            q50: 1.0,
            q90: 1.5,
        };
        let said = [Some(raw), None, None, None];
        peaks.remember(PredictionId(7), &said);
        for _ in 0..13 {
            peaks.take_row(Level::new(1.2, true));
        }
        assert_eq!(peaks.judge(PredictionId(7), 0, 60, false), None);
        assert_eq!(
            peaks.judge(PredictionId(7), 1, 60, false),
            None,
            "nothing was said"
        );
        peaks.remember(PredictionId(8), &said);
        for _ in 0..13 {
            peaks.take_row(Level::new(1.7, true));
        }
        assert_eq!(peaks.judge(PredictionId(8), 0, 60, false), Some(PeakPlace::Above));
    }
}

//! The highest load of each five minutes of one unit, over eight days: what the trained model reads.
//!
//! Minutes of the last hour and five-minute steps before them are kept by the wall clock, so that the same time of day is
//! found again. A forecast lays them out as steps that end with the last whole minute: nothing is older than a minute.
//! What was not measured is NaN. A clock that is set back moves what is kept along; one that is set forward leaves a gap.

use super::height::Height;
use crate::models::past::{FINE, KEPT, Past};
use crate::models::peaks::matched_threshold;
use crate::ring::push;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Minutes that are kept, and the steps that they are laid out as.
const MINUTES: u8 = 60;
const MINUTES_PER_STEP: u8 = 5;
/// Steps over which the share of those with contention is counted: a week.
const COUNTED: f32 = 2016.0;
/// Steps that a start from similar units is worth.
const KIN_STEPS: f32 = 12.0;

/// The peaks of one unit: at most some 5 KB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peaks {
    /// Number of the minute that is being gathered, since the epoch.
    minute: Option<i64>,
    gathered: Gathered,
    /// Of the step that is being gathered.
    step: Gathered,
    /// Closed minutes and closed steps, newest last.
    minutes: VecDeque<f32>,
    steps: VecDeque<Height>,
    /// Steps that were counted, and those of them with contention; both fade.
    counted: f32,
    contended: f32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Gathered {
    highest: Option<f32>,
    contended: bool,
}

impl Gathered {
    fn add(&mut self, load: Option<f32>, contended: bool) {
        if let Some(load) = load {
            self.highest = Some(self.highest.map_or(load, |highest| highest.max(load)));
        }
        self.contended |= contended;
    }

    fn value(self) -> f32 {
        self.highest.unwrap_or(f32::NAN)
    }
}

impl Peaks {
    /// Takes in a sample: the load, over the capacity where there is one, and whether contention was on.
    pub(crate) fn observe(&mut self, utc_ms: i64, load: Option<f64>, contended: bool) {
        let minute = utc_ms.div_euclid(60_000);
        match self.minute {
            Some(last) if minute > last => self.close(last, minute),
            _ => {}
        }
        self.minute = Some(minute);
        let load = load
            .filter(|load| load.is_finite())
            .map(|load| load.max(0.0) as f32);
        self.gathered.add(load, contended);
        self.step.add(load, contended);
    }

    fn close(&mut self, from: i64, to: i64) {
        let per_step = i64::from(MINUTES_PER_STEP);
        let gathered = std::mem::take(&mut self.gathered);
        self.push_minute(gathered.value());
        let missing = usize::try_from(to - from - 1).unwrap_or(usize::MAX);
        (0..missing.min(MINUTES.into())).for_each(|_| self.push_minute(f32::NAN));
        let steps =
            usize::try_from(to.div_euclid(per_step) - from.div_euclid(per_step)).unwrap_or(usize::MAX);
        if steps == 0 {
            return;
        }
        let step = std::mem::take(&mut self.step);
        self.count(step);
        if steps > KEPT {
            self.steps.clear();
            return;
        }
        self.push_step(step.value());
        (1..steps).for_each(|_| self.push_step(f32::NAN));
    }

    fn push_minute(&mut self, value: f32) {
        push(&mut self.minutes, value, MINUTES.into());
    }

    fn push_step(&mut self, value: f32) {
        push(&mut self.steps, value.into(), KEPT);
    }

    fn count(&mut self, step: Gathered) {
        if step.highest.is_none() {
            return;
        }
        self.counted += 1.0;
        self.contended += if step.contended { 1.0 } else { 0.0 };
        if self.counted > COUNTED {
            self.counted *= 0.9;
            self.contended *= 0.9;
        }
    }

    /// Share of the steps with contention, and how many were counted.
    pub(crate) fn contended_share(&self) -> (f64, f64) {
        let share = self.contended / self.counted.max(1.0);
        (share.into(), self.counted.into())
    }

    /// Begins with what similar units have seen.
    pub(crate) fn begin_like(&mut self, share: f64) {
        self.counted += KIN_STEPS;
        self.contended += KIN_STEPS * share as f32;
    }

    /// Lays out what is known as steps that end with the last closed minute, and the newest minutes. False where nothing
    /// is.
    pub(crate) fn lay_out(&self, past: &mut Past) -> bool {
        let Some(minute) = self.minute else { return false };
        let per_step = i64::from(MINUTES_PER_STEP);
        let step_minutes = usize::from(MINUTES_PER_STEP);
        let recent = self.minutes.len() / step_minutes;
        if recent == 0 {
            return false;
        }
        // Steps that the minutes already tell, and the one that reaches into them.
        let older = if self.minutes.len() < usize::from(MINUTES) {
            0
        } else {
            let newest = minute.div_euclid(per_step) - 1;
            let last_older = (minute - 1 - i64::from(MINUTES) - (per_step - 1)).div_euclid(per_step);
            let told = usize::try_from(newest - last_older).unwrap_or(0);
            self.steps.len().saturating_sub(told)
        };
        let skipped = self.minutes.len() - recent * step_minutes;
        let step_of = |step: usize| {
            let from = skipped + step * step_minutes;
            let minutes = self.minutes.range(from..from + step_minutes);
            f64::from(minutes.copied().fold(f32::NAN, f32::max))
        };
        let steps = self.steps.range(..older);
        let mut values: Vec<f64> = steps.map(|height| f64::from(*height)).collect();
        values.extend((0..recent).map(step_of));
        past.replace((minute - per_step) * 60, values.into_iter());
        let newest = self.minutes.iter().rev().take(FINE).rev();
        let first = minute - newest.len().cast_signed() as i64;
        for (minute, value) in (first..).zip(newest) {
            past.push_fine(minute * 60, f64::from(*value));
        }
        true
    }

    /// The load above which contention is expected; `None` where nothing tells.
    pub(crate) fn threshold(&self, past: &Past, has_capacity: bool) -> Option<f64> {
        matched_threshold(past, (self.counted, self.contended), has_capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of a load that is 0.9 in the first ten seconds of every 20th minute.
    fn watched(from_s: i64, seconds: i64) -> Peaks {
        let mut peaks = Peaks::default();
        for second in from_s..from_s + seconds {
            let busy = second % 1200 < 10;
            peaks.observe(second * 1000, Some(if busy { 0.9 } else { 0.1 }), busy);
        }
        peaks
    }

    #[test]
    fn steps_end_with_the_last_whole_minute_whatever_the_grid() {
        for minutes in [10, 57, 120, 121, 122, 123, 124, 3000, 20_000_i64] {
            let peaks = watched(0, minutes * 60 + 1);
            let mut past = Past::new(300);
            assert!(peaks.lay_out(&mut past));
            assert_eq!(past.last_s(), (minutes - 5) * 60);
            let steps = past.len();
            assert!(steps <= KEPT && steps + 1 >= usize::try_from(minutes / 5).expect("positive").min(KEPT));
            for (back, step) in (0..steps.min(12)).zip(1..) {
                let begin = minutes - 5 * step;
                let busy = (begin..begin + 5).any(|minute| minute % 20 == 0);
                assert_eq!(past.back(back) > 0.5, busy, "{back} steps before {minutes}");
            }
            for (back, value) in past.minutes().iter().take(minutes.min(10) as usize).enumerate() {
                let busy = (minutes - 1 - back.cast_signed() as i64) % 20 == 0;
                assert_eq!(*value > 0.5, busy, "{back} minutes before {minutes}");
            }
            let high = (0..steps).filter(|back| past.back(*back) > 0.5).count();
            assert!(high.abs_diff(steps / 4) <= 2, "{high} of {steps}");
        }
    }

    #[test]
    fn gaps_are_missing_and_clocks_may_be_set() {
        let mut peaks = watched(0, 7200);
        peaks.observe(10_800_000, Some(0.1), false);
        peaks.observe(10_860_000, Some(0.1), false);
        let mut past = Past::new(300);
        assert!(peaks.lay_out(&mut past));
        assert!(past.back(1).is_nan() && past.back(11).is_nan() && !past.back(13).is_nan());
        // Set back by an hour: what is kept moves along, and nothing is lost or doubled.
        let before = past.len();
        peaks.observe(7_260_000, Some(0.2), false);
        peaks.observe(7_320_000, Some(0.2), false);
        assert!(peaks.lay_out(&mut past));
        assert!(past.len().abs_diff(before) <= 1, "{} {before}", past.len());
        // Set forward by a year: nothing that is kept would still be looked at.
        peaks.observe(31_000_000_000, Some(0.2), false);
        assert!(peaks.steps.is_empty());
    }

    #[test]
    fn the_threshold_is_matched_to_what_was_seen() {
        let peaks = watched(0, 86_400);
        let mut past = Past::new(300);
        peaks.lay_out(&mut past);
        let matched = peaks.threshold(&past, true).expect("seen");
        assert!((0.09..0.9).contains(&matched), "{matched}");
        let mut calm = Peaks::default();
        (0..3600).for_each(|second| calm.observe(second * 1000, Some(0.2), false));
        calm.lay_out(&mut past);
        assert_eq!(calm.threshold(&past, true), Some(0.95));
        assert_eq!(calm.threshold(&past, false), None);
        let mut full = Peaks::default();
        (0..3600).for_each(|second| full.observe(second * 1000, Some(1.0), false));
        full.lay_out(&mut past);
        assert!(
            full.threshold(&past, true).expect("capacity") > 1.0,
            "full, and nobody waits"
        );
    }
}

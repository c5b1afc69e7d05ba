//! What an app asked for while nothing held it back.
//!
//! A histogram with a long memory says how much it asks for when it asks for more than a bound. The last minutes are
//! kept second by second, so that they can be run once more as if a limit had been there: work that finds no room
//! waits, and of the seconds in which something would have waited, what arrived in them is what the app may be asking
//! for while it is held now. Most of them only work off what had piled up, which the histogram alone cannot tell.

use super::elastic::is_whole;
use crate::ring::push;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bins of the histogram; with `BIN_RATIO` they reach from `BIN_FIRST_CORES` to some 1,500 cores.
const BINS: usize = 64;
const BIN_FIRST_CORES: f64 = 0.004;
const BIN_RATIO: f64 = 1.22;
/// What was seen free fades with this many seconds, so that last week's size is not believed for ever.
const MEMORY_S: f64 = 86_400.0;
/// Seconds that must lie above a bound before they fill in for it.
const FILL_SECONDS: f64 = 5.0;
/// Seconds that are kept one by one.
const SECONDS_MAX: usize = 600;
/// A limit that held the app back within so many seconds hides the large part of what it asks for: what is seen free
/// under it meanwhile would teach that the app is small.
const HELD_MEMORY_S: f64 = 3600.0;
/// A limit is another one from this ratio on.
const OTHER_LIMIT: f64 = 1.05;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Free {
    bins: Vec<f32>,
    seconds: VecDeque<f32>,
    /// The limit that last held it back, and how long ago.
    held_at_cores: f64,
    held_ago_s: f64,
}

fn bin_of(cores: f64) -> usize {
    ((cores / BIN_FIRST_CORES).max(1.0).ln() / BIN_RATIO.ln()).clamp(0.0, BINS as f64 - 1.0) as usize
}

impl Free {
    /// Takes in that nothing held it back. `allowed` is its limit.
    pub(super) fn observe(&mut self, usage_cores: f64, allowed_cores: Option<f64>, interval_s: f64) {
        if self.bins.is_empty() {
            self.bins = vec![0.0; BINS];
        }
        // Adding to the bins in place of fading each of them; all are taken down when their sum gets large.
        self.bins[bin_of(usage_cores)] += interval_s as f32;
        let total: f32 = self.bins.iter().sum();
        if f64::from(total) > MEMORY_S {
            self.bins.iter_mut().for_each(|weight| *weight *= 0.5);
        }
        self.held_ago_s += interval_s;
        let room = allowed_cores.unwrap_or(f64::INFINITY) > OTHER_LIMIT * self.held_at_cores;
        if self.held_at_cores > 0.0 && !room && self.held_ago_s < HELD_MEMORY_S {
            return;
        }
        push(&mut self.seconds, usage_cores as f32, SECONDS_MAX);
    }

    /// Takes in that something held it back at `bound_cores`.
    pub(super) fn held(&mut self, bound_cores: f64) {
        self.held_at_cores = bound_cores;
        self.held_ago_s = 0.0;
    }

    /// The median of what it asked for, where that was at least `bound_cores`; `None` where that was hardly seen.
    pub(super) fn median_above(&self, bound_cores: f64) -> Option<f64> {
        let first = bin_of(bound_cores);
        let above = self.bins.get(first..)?;
        let total: f32 = above.iter().sum();
        if f64::from(total) < FILL_SECONDS {
            return None;
        }
        let mut left = total / 2.0;
        for (offset, weight) in above.iter().enumerate() {
            left -= weight;
            if left <= 0.0 {
                let middle = BIN_FIRST_CORES * BIN_RATIO.powf((first + offset) as f64 + 0.5);
                return Some(middle.max(bound_cores));
            }
        }
        None
    }

    /// What arrived, in cores, in those of the last free seconds in which something would have waited under a limit of
    /// `bound_cores`; empty where that was hardly seen.
    pub(super) fn under(&self, bound_cores: f64) -> Vec<f32> {
        let (mut waiting, mut arrived, mut above) = (0.0, Vec::new(), 0.0);
        for cores in &self.seconds {
            let wanted = waiting + f64::from(*cores);
            waiting = (wanted - bound_cores).max(0.0);
            if waiting > 0.0 {
                arrived.push(*cores);
            }
            above += f64::from(u8::from(f64::from(*cores) > bound_cores));
        }
        if above >= FILL_SECONDS {
            arrived
        } else {
            Vec::new()
        }
    }

    /// Share of the last free seconds that were no whole number of cores.
    pub(super) fn slack_share(&self) -> f64 {
        let slack = self.seconds.iter().filter(|cores| !is_whole(f64::from(**cores)));
        slack.count() as f64 / (self.seconds.len() as f64).max(FILL_SECONDS)
    }

    /// The most that it asked for in the last free seconds; 0 where there are none.
    pub(super) fn highest(&self) -> f64 {
        self.seconds.iter().copied().fold(0.0, f32::max).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 s at .9 in every 40 s, else .1: under .3, what has piled up takes 15 s more.
    fn bursty() -> Free {
        let mut free = Free::default();
        for second in 0..400 {
            free.observe(if second % 40 < 5 { 0.9 } else { 0.1 }, None, 1.0);
        }
        free
    }

    #[test]
    fn most_held_seconds_work_off_what_had_piled_up() {
        let free = bursty();
        let arrived = free.under(0.3);
        let high = arrived.iter().filter(|cores| **cores > 0.5).count();
        assert!((19..=21).contains(&(arrived.len() / 10)), "{}", arrived.len());
        assert_eq!(high, 50);
        let median = free.median_above(0.3).expect("seen above");
        assert!((median / 0.9 - 1.0).abs() < 0.12, "{median}");
        assert!(free.under(0.95).is_empty() && free.median_above(1.2).is_none());
    }

    #[test]
    fn what_is_seen_free_under_a_limit_that_holds_it_does_not_make_it_small() {
        let mut free = bursty();
        for _ in 0..2000 {
            free.held(0.3);
            free.observe(0.1, Some(0.3), 1.0);
        }
        assert!(!free.under(0.3).is_empty(), "the bursts are remembered");
        for _ in 0..700 {
            free.observe(0.1, None, 1.0);
        }
        assert!(
            free.under(0.3).is_empty(),
            "without the limit, new times are learned"
        );
    }
}

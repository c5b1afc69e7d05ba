//! Whether an app takes whatever it is allowed.
//!
//! Two things show it: it sat on a whole number of cores for long, as programs do whose every thread always runs; or it
//! used all of clearly different allowances, each for long, and never left slack. An allowance is a limit or, without
//! one, a whole number of cores. An app that was seen to ask for less works off what had piled up; one that was seen to
//! ask for more filled its limits because they were too small. Neither is elasticity.

use super::free::Free;
use serde::{Deserialize, Serialize};

/// Seconds of filling an allowance before it counts.
const FULL_S: f64 = 60.0;
/// Seconds of sitting on whole cores that show it without a second allowance.
const WHOLE_CORES_S: f64 = 120.0;
/// The allowances that it filled must differ by this factor.
const LEVELS: f64 = 1.5;
/// Memory of the share of slack seconds.
const MEMORY_S: f64 = 120.0;
/// More slack than this share of time is not elastic.
const SLACK: f64 = 0.05;
/// Of what was seen free, this share may lie below whole cores.
const SEEN_SLACK: f64 = 0.1;
/// Usage within this share of a whole number of cores counts as whole.
const WHOLE_CORES: f64 = 0.02;

/// What one sample shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) usage_cores: f64,
    pub(super) limit_cores: Option<f64>,
    /// It used all that its limit gives.
    pub(super) full: bool,
    /// Nothing held it back.
    pub(super) free: bool,
}

/// The evidence so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Elastic {
    yes: bool,
    slack_share: f64,
    whole_cores_s: f64,
    /// Allowances that were filled for long enough.
    lowest_cores: f64,
    highest_cores: f64,
    /// The one that is being filled, and for how long.
    present_cores: f64,
    present_s: f64,
}

/// Whether `cores` is a whole number of them, one at least.
pub(super) fn is_whole(cores: f64) -> bool {
    cores.round() >= 1.0 && (cores / cores.round() - 1.0).abs() < WHOLE_CORES
}

impl Elastic {
    pub(super) fn yes(&self) -> bool {
        self.yes
    }

    pub(super) fn observe(&mut self, shown: &Shown, seen: &Free, interval_s: f64) {
        let whole = is_whole(shown.usage_cores);
        let slack = shown.free && !whole;
        let pace = (interval_s / MEMORY_S).min(1.0);
        self.slack_share += pace * (f64::from(u8::from(slack)) - self.slack_share);
        if slack {
            *self = Self {
                yes: self.yes,
                slack_share: self.slack_share,
                ..Self::default()
            };
        } else if whole && !shown.full {
            self.fill(shown.usage_cores.round(), interval_s);
        } else if let Some(limit) = shown.limit_cores.filter(|_| shown.full) {
            self.fill(limit, interval_s);
        }
        if whole {
            self.whole_cores_s += interval_s;
        }
        let filled_two = self.lowest_cores > 0.0 && self.highest_cores >= LEVELS * self.lowest_cores;
        let asked_for_other =
            seen.slack_share() > SEEN_SLACK || seen.highest() * (1.0 - WHOLE_CORES) > self.highest_cores;
        if (filled_two || self.whole_cores_s >= WHOLE_CORES_S) && !asked_for_other {
            self.yes = true;
        }
        if self.slack_share > SLACK {
            self.yes = false;
        }
    }

    fn fill(&mut self, cores: f64, interval_s: f64) {
        if (cores / self.present_cores - 1.0).abs() > WHOLE_CORES || self.present_cores == 0.0 {
            (self.present_cores, self.present_s) = (cores, 0.0);
        }
        self.present_s += interval_s;
        if self.present_s >= FULL_S {
            let first = self.lowest_cores == 0.0;
            self.lowest_cores = if first {
                cores
            } else {
                self.lowest_cores.min(cores)
            };
            self.highest_cores = self.highest_cores.max(cores);
        }
    }
}

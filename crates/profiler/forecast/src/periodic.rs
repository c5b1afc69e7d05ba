//! Repeating bursts of one unit: found, tracked, predicted and forgotten.
//!
//! Onsets that no known pattern explains lie in a short list; each new one starts a search for a period
//! among them (`search`). A pattern that was found is then tracked slot by slot (`pattern`): each expected
//! onset is hit or missed, which tells how sure the next one is, how often one is skipped, how large the
//! jitter is, and when the repetition has stopped. Times are boot-clock seconds as `f64`, so that a reboot
//! may move what was learned below zero.
//!
//! It does not know what an onset is made of: labels, demand and treatment are `events`' business.

mod pattern;
mod search;
mod spread;

pub(crate) use pattern::{Pattern, Slot};

use serde::{Deserialize, Serialize};

/// Onsets without a pattern that are kept: enough for three repetitions of the slowest of four patterns
/// with as many stray ones between them.
const LOOSE_MAX: usize = 64;
/// Patterns per unit; more than this is not seen in practice, and each costs a walk per map.
const PATTERNS_MAX: usize = 4;
/// Onsets given back to the search when a pattern ends.
const GIVEN_BACK: usize = 6;
/// Claims that failed make the next claim dearer, up to this many.
const FAILED_CLAIMS_MAX: u32 = 20;

/// What is expected of the repeating bursts within some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    /// The pattern whose burst comes next.
    pub(crate) pattern: &'a Pattern,
    /// Its next slot.
    pub(crate) slot: Slot,
}

/// The repeating bursts of one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Periodic {
    loose_s: Vec<f64>,
    patterns: Vec<Pattern>,
    failed_claims: u32,
    /// Onsets seen, and how many of them were expected by a pattern; both fade.
    seen: f64,
    explained: f64,
}

/// What became of an onset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Explained {
    /// A pattern expected it.
    Yes,
    /// No pattern did.
    No,
    /// It completed a new pattern.
    NewPattern,
}

impl Periodic {
    /// Takes in a confirmed onset at `at_s`.
    pub(crate) fn onset(&mut self, at_s: f64) -> Explained {
        self.seen = self.seen * 0.95 + 1.0;
        self.explained *= 0.95;
        let nearest = self
            .patterns
            .iter()
            .enumerate()
            .filter_map(|(position, pattern)| Some((position, pattern.distance(at_s)?)))
            .min_by(|left, right| left.1.total_cmp(&right.1));
        if let Some((position, _)) = nearest {
            self.explained += 1.0;
            let pattern = &mut self.patterns[position];
            pattern.hit(at_s);
            if pattern.confirmed() >= 3 {
                self.failed_claims = 0;
            }
            return Explained::Yes;
        }
        self.keep_loose(at_s);
        self.claim()
    }

    fn keep_loose(&mut self, at_s: f64) {
        let place = self.loose_s.partition_point(|other| *other <= at_s);
        self.loose_s.insert(place, at_s);
        if self.loose_s.len() > LOOSE_MAX {
            self.loose_s.remove(0);
        }
    }

    fn claim(&mut self) -> Explained {
        if self.patterns.len() >= PATTERNS_MAX {
            return Explained::No;
        }
        let Some(found) = search::search(&self.loose_s, self.failed_claims) else {
            return Explained::No;
        };
        self.loose_s.retain(|at_s| !found.onsets_s.contains(at_s));
        self.explained += found.onsets_s.len().min(8) as f64;
        self.explained = self.explained.min(self.seen);
        self.patterns.push(Pattern::new(&found));
        Explained::NewPattern
    }

    /// Counts the slots that passed without an onset by `now_s`; drops patterns that have stopped.
    pub(crate) fn advance(&mut self, now_s: f64) {
        for pattern in &mut self.patterns {
            pattern.advance(now_s);
        }
        let ended = |pattern: &Pattern| pattern.has_ended();
        let gone: Vec<Pattern> = self
            .patterns
            .iter()
            .filter(|pattern| ended(pattern))
            .cloned()
            .collect();
        self.patterns.retain(|pattern| !ended(pattern));
        for pattern in gone {
            if pattern.confirmed() < 2 {
                self.failed_claims = (self.failed_claims + 1).min(FAILED_CLAIMS_MAX);
            }
            let onsets_s = pattern.onsets_s();
            for at_s in &onsets_s[onsets_s.len().saturating_sub(GIVEN_BACK)..] {
                self.keep_loose(*at_s);
            }
        }
    }

    /// Takes in that the burst that began at `begin_s` lasted `duration_s`.
    pub(crate) fn ended(&mut self, begin_s: f64, duration_s: f64) {
        self.patterns
            .iter_mut()
            .for_each(|pattern| pattern.ended(begin_s, duration_s));
    }

    /// Nothing is known of the time up to `now_s`: slots in it were neither hit nor missed.
    pub(crate) fn skip_to(&mut self, now_s: f64) {
        for pattern in &mut self.patterns {
            pattern.skip_to(now_s);
        }
    }

    /// Moves every time by `delta_s`, after a reboot.
    pub(crate) fn shift(&mut self, delta_s: f64) {
        self.loose_s.iter_mut().for_each(|at_s| *at_s += delta_s);
        self.patterns
            .iter_mut()
            .for_each(|pattern| pattern.shift(delta_s));
    }

    /// P(some pattern's burst begins in (`quiet_until_s`, `until_s`]).
    pub(crate) fn probability(&self, quiet_until_s: f64, until_s: f64) -> f64 {
        let none: f64 = self
            .patterns
            .iter()
            .map(|pattern| 1.0 - pattern.probability(quiet_until_s, until_s))
            .product();
        (1.0 - none).clamp(0.0, 1.0)
    }

    /// The burst that is expected next, given that none began before `quiet_until_s`.
    pub(crate) fn next(&self, quiet_until_s: f64) -> Option<Expected<'_>> {
        self.patterns
            .iter()
            .filter_map(|pattern| {
                Some(Expected {
                    pattern,
                    slot: pattern.next_slot(quiet_until_s)?,
                })
            })
            .min_by(|left, right| left.slot.onset.q50.total_cmp(&right.slot.onset.q50))
    }

    /// Share of the recent onsets that patterns explain, 0 to 1.
    pub(crate) fn explained_share(&self) -> f64 {
        if self.seen > 0.0 {
            (self.explained / self.seen).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Whether any pattern is alive.
    pub(crate) fn speaks(&self) -> bool {
        !self.patterns.is_empty()
    }
}

#[cfg(test)]
mod tests;

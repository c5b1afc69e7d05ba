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
/// Onsets that a pattern explains at once when it has proved itself.
const PROVED_WORTH: f64 = 12.0;
/// Stray onsets are counted over so many periods, and this many are assumed.
const STRAY_PERIODS: f64 = 10.0;
const STRAYS_ASSUMED: f64 = 0.5;
/// Onsets between the slots that show a shorter period, as many as of the pattern itself; and how much shorter.
const FILLING_ONSETS: usize = 2;
const FILLED_PERIOD: f64 = 0.75;
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
    named: Named,
}

/// Onsets that were expected with at least an even chance, and how many of them came; both fade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) all: f64,
    pub(crate) came: f64,
}

impl Named {
    fn add(&mut self, probability: f64, came: bool) {
        if probability >= 0.5 {
            self.all = self.all * 0.95 + 1.0;
            self.came = self.came * 0.95 + f64::from(u8::from(came));
        }
    }
}

/// What became of an onset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Explained {
    /// No pattern expected it, or none that has proved itself.
    No,
    /// A pattern that has proved itself expected it.
    Yes,
    /// With it, a pattern has proved itself: the onsets before it are explained, too.
    Proved,
}

/// Predictions that must come true before a pattern counts as an explanation. Three onsets in step may be
/// coincidence; taking the onsets away from the event model on their word would leave it blind.
const PROOFS: u32 = 3;

impl Periodic {
    /// Takes in a confirmed onset at `at_s`.
    pub(crate) fn onset(&mut self, at_s: f64) -> Explained {
        if !at_s.is_finite() {
            return Explained::No;
        }
        self.seen = self.seen * 0.95 + 1.0;
        self.explained *= 0.95;
        let nearest = self
            .patterns
            .iter()
            .enumerate()
            .filter_map(|(position, pattern)| Some((position, pattern.distance(at_s)?)))
            .min_by(|left, right| left.1.total_cmp(&right.1));
        if let Some((position, _)) = nearest {
            let pattern = &mut self.patterns[position];
            let since_s = at_s - STRAY_PERIODS * pattern.period_s();
            let recent = |onsets_s: &[f64]| onsets_s.iter().filter(|at_s| **at_s >= since_s).count() as f64;
            // Its own onsets count in half: where there is no pattern, they were strays, too.
            let own = if pattern.confirmed() < PROOFS { 1.0 } else { 0.5 };
            let strays = recent(&self.loose_s) + own * recent(pattern.onsets_s());
            pattern.hit(at_s, (strays + STRAYS_ASSUMED) / STRAY_PERIODS, &mut self.named);
            return match pattern.confirmed() {
                0..PROOFS => Explained::No,
                PROOFS => {
                    self.failed_claims /= 2;
                    let onsets = (pattern.onsets_s().len() as f64).min(PROVED_WORTH);
                    self.explained = (self.explained + onsets).min(self.seen);
                    Explained::Proved
                }
                _ => {
                    self.explained += 1.0;
                    Explained::Yes
                }
            };
        }
        self.keep_loose(at_s);
        self.claim();
        Explained::No
    }

    fn keep_loose(&mut self, at_s: f64) {
        let place = self.loose_s.partition_point(|other| *other <= at_s);
        self.loose_s.insert(place, at_s);
        if self.loose_s.len() > LOOSE_MAX {
            self.loose_s.remove(0);
        }
    }

    /// A pattern may have been found at a multiple of its period, when the onsets between happened to be missing:
    /// where those onsets fill it up, the shorter period takes its place.
    fn fill_up(&mut self) -> bool {
        for pattern in &mut self.patterns {
            let mut all_s = self.loose_s.clone();
            all_s.extend_from_slice(pattern.onsets_s());
            all_s.sort_by(f64::total_cmp);
            let Some(found) = search::search(&all_s, self.failed_claims) else {
                continue;
            };
            let shorter = found.period_s < FILLED_PERIOD * pattern.period_s();
            let of_pattern = |at_s: &f64| pattern.onsets_s().contains(at_s);
            let between = found.onsets_s.iter().filter(|at_s| !of_pattern(at_s)).count();
            let shared = found.onsets_s.len() - between;
            if shorter && between >= FILLING_ONSETS && shared >= FILLING_ONSETS {
                self.loose_s.retain(|at_s| !found.onsets_s.contains(at_s));
                *pattern = Pattern::new(&found);
                return true;
            }
        }
        false
    }

    fn claim(&mut self) {
        if self.fill_up() {
            return;
        }
        if self.patterns.len() >= PATTERNS_MAX {
            return;
        }
        if let Some(found) = search::search(&self.loose_s, self.failed_claims) {
            self.loose_s.retain(|at_s| !found.onsets_s.contains(at_s));
            self.patterns.push(Pattern::new(&found));
        }
    }

    /// Counts the slots that passed without an onset by `now_s`; drops patterns that have stopped.
    pub(crate) fn advance(&mut self, now_s: f64) {
        for pattern in &mut self.patterns {
            pattern.advance(now_s, &mut self.named);
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

    /// The clocks on the wall were put on by `ahead_s` (put back, when negative): rhythms of whole days go by them.
    pub(crate) fn follow_the_wall(&mut self, ahead_s: f64) {
        self.patterns
            .iter_mut()
            .filter(|pattern| pattern.keeps_days())
            .for_each(|pattern| pattern.shift(-ahead_s));
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

    /// Onsets in patterns that have not yet proved themselves, and how likely those patterns are no coincidence.
    pub(crate) fn unproved(&self) -> Option<(f64, f64)> {
        let unproved = || {
            self.patterns
                .iter()
                .filter(|pattern| pattern.confirmed() < PROOFS)
        };
        let onsets: f64 = unproved().map(|pattern| pattern.onsets_s().len() as f64).sum();
        let alive = unproved().map(Pattern::alive).fold(0.0, f64::max);
        (onsets > 0.0).then_some((onsets, alive))
    }

    /// The pattern that is most likely to go on.
    pub(crate) fn strongest(&self) -> Option<&Pattern> {
        self.patterns
            .iter()
            .max_by(|left, right| left.alive().total_cmp(&right.alive()))
    }

    /// How the onsets that were named have fared.
    pub(crate) fn named(&self) -> Named {
        self.named
    }

    /// Whether any pattern is alive.
    pub(crate) fn speaks(&self) -> bool {
        !self.patterns.is_empty()
    }
}

#[cfg(test)]
mod tests;

//! One repeating burst, followed slot by slot.
//!
//! A slot is where the next onset is expected. Onsets come at a fixed beat with jitter around it (a schedule),
//! or each so long after the one before (a timer that is set anew); both predictors run, and the one with the
//! smaller errors so far speaks. A Bayesian filter holds the probability that the pattern is still alive: a
//! stopped one misses all slots, a live one only the share that it is known to skip.

use super::search::{Found, Line};
use super::spread::{ERRORS_MAX, Spread};
use super::{Named, PROOFS};
use serde::{Deserialize, Serialize};
use tidegate_types::Quantiles;

const DAY_S: f64 = 86_400.0;
/// The longest rhythm that goes by days: four weeks.
const DAYS_MOST: f64 = 28.0;
/// A period that is so many seconds off whole days is one of whole days.
const DAY_SLACK_S: f64 = 120.0;
/// Onsets that the beat is fitted through: longer memory would follow a drifting beat too slowly.
const ONSETS_MAX: usize = 32;
/// Durations that are kept.
const DURATIONS_MAX: usize = 12;
/// Seconds from an onset until the labels confirm it: a slot is missed only after that.
const CONFIRMATION_S: f64 = 4.0;
/// A slot reaches at least and at most these shares of the period to each side.
const SLOT_SHARE_MIN: f64 = 0.04;
const SLOT_SHARE_MAX: f64 = 0.12;
/// Share of slots that is skipped before any was seen: `SKIP_PRIOR` of `SKIP_PRIOR + HIT_PRIOR`.
const HIT_PRIOR: f64 = 4.5;
const SKIP_PRIOR: f64 = 0.5;
/// What was seen of hits and skips fades by this per slot, so that a change shows after some fifty.
const FADE: f64 = 0.98;
/// The chance per slot that a pattern stops is one over the slots it has lived, within these bounds. The upper
/// bound on slots makes three misses of a pattern that skips one in six mean that it stopped.
const LIVED_MIN: f64 = 30.0;
const LIVED_MAX: f64 = 80.0;
/// Below this probability of being alive, after two misses in a row, a pattern is dropped.
const ALIVE_MIN: f64 = 0.03;
/// A pattern that has proved itself is kept for so many silent slots, in which it resumes with this probability:
/// one onset in its place then says more than three of a new pattern.
const SILENT_SLOTS: u32 = 12;
const RESUMES: f64 = 0.05;
/// Slots ahead that are looked at: beyond these the windows are certain or the pattern is gone.
const SLOTS_AHEAD_MAX: i64 = 256;
/// A slot less likely than this names no onset: acting ahead on it would mostly be in vain.
const NAMED_FROM: f64 = 0.4;
/// A slot of which less than this is left to come is over: the next one is what is expected.
const SLOT_OVER: f64 = 0.1;

/// The timer speaks when its errors are below this share of the beat's; under a beat they are the larger ones.
const TIMER_SHARE: f64 = 0.75;
/// So many onsets in a row at multiples of several slots show that the period is that multiple.
const MULTIPLE_ONSETS: usize = 6;

fn greatest_common_divisor(left: i64, right: i64) -> i64 {
    if right == 0 {
        left.abs()
    } else {
        greatest_common_divisor(right, left % right)
    }
}

/// The next expected onset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slot {
    /// When, as seconds on the boot clock.
    pub(crate) onset: Quantiles,
    /// How likely it is to come at all.
    pub(crate) probability: f64,
}

/// One repeating burst.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pattern {
    onsets_s: Vec<f64>,
    slots: Vec<i64>,
    origin_s: f64,
    period_s: f64,
    period_error_s: f64,
    next: i64,
    alive: f64,
    hits: f64,
    settled: f64,
    lived: f64,
    missed_in_a_row: u32,
    confirmed: u32,
    errors_s: Vec<f64>,
    spread: Spread,
    beat_error_s: f64,
    timer_error_s: f64,
    durations_s: Vec<f64>,
}

impl Pattern {
    pub(super) fn new(found: &Found) -> Self {
        let skip = found.onsets_s.len().saturating_sub(ONSETS_MAX);
        let last = found.slots.last().copied().unwrap_or(0);
        let mut pattern = Self {
            onsets_s: found.onsets_s[skip..].to_vec(),
            slots: found.slots[skip..].to_vec(),
            origin_s: 0.0,
            period_s: found.period_s,
            period_error_s: 0.0,
            next: last + 1,
            alive: found.belief,
            hits: found.onsets_s.len() as f64 - 1.0,
            settled: last as f64,
            lived: last as f64,
            missed_in_a_row: 0,
            confirmed: 0,
            errors_s: Vec::new(),
            spread: Spread::default(),
            beat_error_s: 0.0,
            timer_error_s: 0.0,
            durations_s: Vec::new(),
        };
        pattern.refit();
        pattern.alive *= 1.0 - pattern.stop_chance();
        pattern
    }

    /// Length of the period in seconds.
    pub(crate) fn period_s(&self) -> f64 {
        self.period_s
    }

    /// Half the width that four in five onsets stay within, in seconds.
    pub(crate) fn jitter_s(&self) -> f64 {
        (self.spread.quantile(0.9) - self.spread.quantile(0.1)) / 2.0
    }

    /// Share of slots in which a burst comes, while the pattern lives.
    pub(crate) fn hit_rate(&self) -> f64 {
        (self.hits + HIT_PRIOR) / (self.settled + HIT_PRIOR + SKIP_PRIOR)
    }

    /// How likely it is that the pattern is there and goes on.
    pub(crate) fn alive(&self) -> f64 {
        self.alive
    }

    /// Predictions that came true.
    pub(crate) fn confirmed(&self) -> u32 {
        self.confirmed
    }

    /// Slots missed since the last burst.
    pub(crate) fn missed_in_a_row(&self) -> u32 {
        self.missed_in_a_row
    }

    /// How long its bursts lasted, oldest first.
    pub(crate) fn durations_s(&self) -> &[f64] {
        &self.durations_s
    }

    pub(super) fn onsets_s(&self) -> &[f64] {
        &self.onsets_s
    }

    /// Takes in that the burst that began at `begin_s` lasted `duration_s`.
    pub(crate) fn ended(&mut self, begin_s: f64, duration_s: f64) {
        if self.onsets_s.last() != Some(&begin_s) {
            return;
        }
        if self.durations_s.len() >= DURATIONS_MAX {
            self.durations_s.remove(0);
        }
        self.durations_s.push(duration_s);
    }

    fn stop_chance(&self) -> f64 {
        1.0 / self.lived.clamp(LIVED_MIN, LIVED_MAX)
    }

    fn beat_s(&self, slot: i64) -> f64 {
        self.origin_s + self.period_s * slot as f64
    }

    fn timer_s(&self, slot: i64) -> f64 {
        match (self.onsets_s.last(), self.slots.last()) {
            (Some(at_s), Some(last)) => at_s + self.period_s * (slot - last) as f64,
            _ => self.beat_s(slot),
        }
    }

    fn center_s(&self, slot: i64) -> f64 {
        if self.timer_error_s < TIMER_SHARE * self.beat_error_s {
            self.timer_s(slot)
        } else {
            self.beat_s(slot)
        }
    }

    /// Half the width of `slot` in seconds, wider the longer nothing was seen.
    fn reach_s(&self, slot: i64) -> f64 {
        let since = (slot - self.slots.last().copied().unwrap_or(slot)) as f64;
        let widest_s = self.spread.quantile(1.0).max(-self.spread.quantile(0.0));
        let reach_s = 2.0 * widest_s + 0.5 + 2.0 * self.period_error_s * since;
        reach_s.clamp(SLOT_SHARE_MIN * self.period_s, SLOT_SHARE_MAX * self.period_s)
    }

    /// Distance of `at_s` from the slot that it falls into; `None` beside every open slot.
    pub(super) fn distance(&self, at_s: f64) -> Option<f64> {
        let slot = self.slot_of(at_s)?;
        let distance_s = (at_s - self.center_s(slot)).abs();
        (distance_s <= self.reach_s(slot)).then_some(distance_s)
    }

    fn slot_of(&self, at_s: f64) -> Option<i64> {
        let ahead = ((at_s - self.center_s(self.next)) / self.period_s).round() as i64;
        (0..SLOTS_AHEAD_MAX).contains(&ahead).then_some(self.next + ahead)
    }

    /// Takes in the onset of one of its slots, where `strays` onsets per period come beside any pattern.
    pub(super) fn hit(&mut self, at_s: f64, strays: f64, named: &mut Named) {
        let Some(slot) = self.slot_of(at_s) else { return };
        while self.next < slot {
            self.miss(named);
        }
        named.add(self.alive * self.hit_rate(), true);
        let by_chance = (strays * 2.0 * self.reach_s(slot) / self.period_s).min(0.5);
        let live = self.alive * self.hit_rate();
        self.alive = live / (live + (1.0 - self.alive) * by_chance);
        self.note_errors(slot, at_s);
        let passed = 1.0 + f64::from(self.missed_in_a_row);
        let fade = FADE.powf(passed);
        self.hits = self.hits * fade + 1.0;
        self.settled = self.settled * fade + passed;
        self.missed_in_a_row = 0;
        self.confirmed = self.confirmed.saturating_add(1);
        if self.onsets_s.len() >= ONSETS_MAX {
            self.onsets_s.remove(0);
            self.slots.remove(0);
        }
        self.onsets_s.push(at_s);
        self.slots.push(slot);
        self.next = slot + 1;
        self.lived += 1.0;
        self.take_the_longer_period();
        self.refit();
        self.alive *= 1.0 - self.stop_chance();
    }

    /// Where all recent onsets lie a multiple of slots apart, that multiple is the period.
    fn take_the_longer_period(&mut self) {
        let recent = self.slots.len().saturating_sub(MULTIPLE_ONSETS);
        let last = self.slots.last().copied().unwrap_or(0);
        let multiple = self.slots[recent..]
            .iter()
            .fold(0, |common, slot| greatest_common_divisor(common, last - slot));
        if self.slots.len() < MULTIPLE_ONSETS || multiple < 2 {
            return;
        }
        let belongs: Vec<bool> = self
            .slots
            .iter()
            .map(|slot| (last - slot) % multiple == 0)
            .collect();
        let mut keep = belongs.iter();
        self.onsets_s.retain(|_| keep.next().copied().unwrap_or(false));
        self.slots.retain(|slot| (last - slot) % multiple == 0);
        self.slots
            .iter_mut()
            .for_each(|slot| *slot = (*slot - last) / multiple);
        self.next = 1;
        self.settled = -self.slots.first().copied().unwrap_or(0) as f64;
        self.hits = self.slots.len() as f64 - 1.0;
        self.errors_s.clear();
    }

    fn note_errors(&mut self, slot: i64, at_s: f64) {
        // What was said before the onset: choosing the predictor by the onset itself would flatter the spread.
        let error_s = at_s - self.center_s(slot);
        let (beat_s, timer_s) = (
            (at_s - self.beat_s(slot)).abs(),
            (at_s - self.timer_s(slot)).abs(),
        );
        let pace = if self.errors_s.is_empty() { 1.0 } else { 0.12 };
        self.beat_error_s += pace * (beat_s - self.beat_error_s);
        self.timer_error_s += pace * (timer_s - self.timer_error_s);
        if self.errors_s.len() >= ERRORS_MAX {
            self.errors_s.remove(0);
        }
        self.errors_s.push(error_s);
    }

    fn refit(&mut self) {
        let line = Line::through(&self.slots, &self.onsets_s);
        self.period_s = line.period_s;
        self.origin_s = line.origin_s;
        self.period_error_s = line.period_error_s;
        let count = self.onsets_s.len() as f64;
        // The first onsets say little of their own jitter: it is drawn towards what is usual.
        let usual_s = 0.1 + 0.008 * self.period_s;
        let freedom = (count - 2.0).max(0.0);
        let jitter_s = ((line.deviation_s.powi(2) * freedom + usual_s.powi(2)) / (freedom + 1.0)).sqrt();
        let leverage = (1.0 + 4.0 / count).sqrt();
        self.spread = Spread::new(&self.errors_s, jitter_s * leverage);
    }

    fn miss(&mut self, named: &mut Named) {
        let hit_rate = self.hit_rate();
        named.add(self.alive * hit_rate, false);
        self.alive = self.alive * (1.0 - hit_rate) / (1.0 - self.alive * hit_rate);
        self.missed_in_a_row = self.missed_in_a_row.saturating_add(1);
        self.lived += 1.0;
        self.next += 1;
        self.alive *= 1.0 - self.stop_chance();
        if self.confirmed >= PROOFS {
            self.alive = self.alive.max(RESUMES);
        }
    }

    pub(super) fn advance(&mut self, now_s: f64, named: &mut Named) {
        while self.center_s(self.next) + self.reach_s(self.next) + CONFIRMATION_S < now_s && !self.has_ended()
        {
            self.miss(named);
        }
    }

    pub(super) fn skip_to(&mut self, now_s: f64) {
        let ahead = ((now_s - self.center_s(self.next) + self.reach_s(self.next)) / self.period_s).ceil();
        self.next += ahead.clamp(0.0, 1e9) as i64;
    }

    pub(super) fn has_ended(&self) -> bool {
        let silent = if self.confirmed >= PROOFS { SILENT_SLOTS } else { 2 };
        self.missed_in_a_row >= silent && self.alive < ALIVE_MIN.max(2.0 * RESUMES)
    }

    /// Whether it comes at the same time of the day.
    pub(super) fn keeps_days(&self) -> bool {
        let days = self.period_s() / DAY_S;
        let whole = days.round();
        (1.0..=DAYS_MOST).contains(&whole) && (days - whole).abs() * DAY_S <= DAY_SLACK_S
    }

    pub(super) fn shift(&mut self, delta_s: f64) {
        self.onsets_s.iter_mut().for_each(|at_s| *at_s += delta_s);
        self.origin_s += delta_s;
    }

    /// P(alive) once no onset came by `quiet_until_s`, and the share of the next slot that has passed.
    fn alive_at(&self, quiet_until_s: f64) -> (f64, f64) {
        let passed = self.spread.share_below(quiet_until_s - self.center_s(self.next));
        let hit_rate = self.hit_rate();
        let alive = self.alive * (1.0 - hit_rate * passed) / (1.0 - self.alive * hit_rate * passed);
        (alive, passed)
    }

    /// P(a burst begins in (`quiet_until_s`, `until_s`]), given that none began since the last one.
    pub(crate) fn probability(&self, quiet_until_s: f64, until_s: f64) -> f64 {
        let (alive, passed) = self.alive_at(quiet_until_s);
        let hit_rate = self.hit_rate();
        let stop_chance = self.stop_chance();
        let reached = self
            .spread
            .share_below(until_s - self.center_s(self.next))
            .max(passed);
        let first = hit_rate * (reached - passed) / (1.0 - hit_rate * passed).max(1e-9);
        let mut waiting = alive * (1.0 - first);
        let mut stopped = 1.0 - alive;
        for slot in self.next + 1..self.next + SLOTS_AHEAD_MAX {
            let share = self.spread.share_below(until_s - self.center_s(slot));
            if share <= 0.0 || waiting < 1e-4 {
                break;
            }
            stopped += waiting * stop_chance;
            waiting *= (1.0 - stop_chance) * (1.0 - hit_rate * share);
        }
        (1.0 - stopped - waiting).clamp(0.0, 1.0)
    }

    /// The next slot that an onset may still come in.
    pub(crate) fn next_slot(&self, quiet_until_s: f64) -> Option<Slot> {
        let (alive, passed) = self.alive_at(quiet_until_s);
        let hit_rate = self.hit_rate();
        let current = alive * hit_rate * (1.0 - passed) / (1.0 - hit_rate * passed).max(1e-9);
        let (slot, passed, probability) = if current >= SLOT_OVER {
            (self.next, passed, current)
        } else {
            (self.next + 1, 0.0, alive * (1.0 - self.stop_chance()) * hit_rate)
        };
        if self.alive * hit_rate < NAMED_FROM || probability < SLOT_OVER {
            return None;
        }
        let center_s = self.center_s(slot);
        let at = |rank: f64| center_s + self.spread.quantile(passed + (1.0 - passed) * rank);
        Some(Slot {
            onset: Quantiles {
                q10: at(0.1),
                q50: at(0.5),
                q90: at(0.9),
            },
            probability,
        })
    }
}

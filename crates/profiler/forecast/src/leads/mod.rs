//! What comes before a unit's events: the rise of an app upstream, or a timer that fires.
//!
//! Each such *sign* is followed for a while: an onset after it is a hit and teaches the lag between the two, none is
//! a miss. Lags are pooled into a median and a spread; an onset far from the others is no hit of this sign. How often
//! the sign is followed, less how often an onset would lie in the same stretch by chance, is what the sign adds to
//! the probability; where the two are no different, it says nothing. Signs during an event, or in times of which
//! nothing is known, teach nothing.
//!
//! Timers are known ahead, so a sign may lie in the future; rises are known when they are seen. Times are boot-clock
//! seconds. It does not know where signs come from.

mod rise;

pub(crate) use rise::Rises;

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tidegate_types::{AppName, Quantiles};

/// Signs of one unit that are followed; the one that has said least makes room.
const LEADS_MAX: usize = 12;
/// Lags that are remembered of each.
const LAGS_MAX: usize = 24;
/// Signs that wait for what follows: two hours of one every minute.
const WAITING_MAX: usize = 128;
/// Until a lag is known, an onset follows a rise within so many seconds; and a timer.
const RISE_HORIZON_S: f64 = 120.0;
const FIRE_HORIZON_S: f64 = 60.0;
/// Onsets are dated to a second or so: an onset may seem to come a little before its sign.
const EARLY_S: f64 = 1.5;
/// Lags known before an onset may be too far from them to count.
const LAGS_KNOWN: usize = 3;
/// Farther from the median lag than this many spreads, and this many seconds, is another event.
const FAR_SPREADS: f64 = 4.0;
const FAR_S: f64 = 2.0;
/// Smallest spread of a lag: samples are a second apart.
const SPREAD_MIN_S: f64 = 0.4;
/// Share of the median lag that its spread is taken to be before any was measured, per lag that is known.
const SPREAD_ASSUMED: f64 = 0.3;
/// Followed and not followed that are assumed of an app upstream, and of a timer: most jobs keep nobody waiting.
const RISE_PRIOR: (f64, f64) = (0.5, 1.0);
const FIRE_PRIOR: (f64, f64) = (0.15, 0.85);
/// Hits from which a rise speaks at all.
const RISE_HITS_MIN: f64 = 1.9;
/// Hits and misses fade by this for each new one.
const FADE: f64 = 0.97;
/// Hits that prove a sign: what it expects is explained.
const PROOFS: f64 = 3.5;
/// Share of its signs that must be followed for it to explain.
const EXPLAINS_FROM: f64 = 0.5;
/// Lag and spread of what a timer starts, before any was seen.
const FIRE_LAG_S: f64 = 1.0;
const FIRE_SPREAD_S: f64 = 2.0;

/// What comes before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Sign {
    /// Demand of this app rose.
    Rise(AppName),
    /// The timer of this name fired.
    Fire(Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    at_s: f64,
    /// Something in the way: it teaches nothing.
    void: bool,
}

/// One sign and what followed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lead {
    sign: Sign,
    lags_s: Vec<f32>,
    hits: f64,
    misses: f64,
    waiting: Vec<Waiting>,
}

/// The signs of one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Leads {
    leads: Vec<Lead>,
}

/// What a sign says of the next onset.
#[derive(Clone, Debug)]
pub(crate) struct Led<'a> {
    /// Which.
    pub(crate) lead: &'a Lead,
    /// When it was, or will be.
    pub(crate) at_s: f64,
    /// When it is expected.
    pub(crate) onset: Quantiles,
}

/// Share of a spread of one around zero that lies below `x`: logistic, whose tails are wide.
fn below(x: f64) -> f64 {
    1.0 / (1.0 + (-x / 0.55).exp())
}

impl Lead {
    fn new(sign: Sign) -> Self {
        Self {
            sign,
            lags_s: Vec::new(),
            hits: 0.0,
            misses: 0.0,
            waiting: Vec::new(),
        }
    }

    /// What it is about.
    pub(crate) fn sign(&self) -> &Sign {
        &self.sign
    }

    /// Median and spread of the lag; `None` before any was seen.
    pub(crate) fn lag(&self) -> Option<(f64, f64)> {
        let mut sorted: Vec<f64> = self.lags_s.iter().map(|lag| f64::from(*lag)).collect();
        if sorted.is_empty() {
            return matches!(self.sign, Sign::Fire(_)).then_some((FIRE_LAG_S, FIRE_SPREAD_S));
        }
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let mut distances: Vec<f64> = sorted.iter().map(|lag| (lag - median).abs()).collect();
        distances.sort_by(f64::total_cmp);
        let measured = 1.48 * distances[distances.len() / 2];
        let assumed = SPREAD_ASSUMED * median.abs().max(1.0) / sorted.len() as f64;
        Some((median, measured.max(SPREAD_MIN_S) + assumed))
    }

    /// Seconds after a sign in which an onset may be its.
    fn horizon_s(&self) -> f64 {
        let first = match self.sign {
            Sign::Rise(_) => RISE_HORIZON_S,
            Sign::Fire(_) => FIRE_HORIZON_S,
        };
        match self.lag() {
            Some((median, spread)) if self.lags_s.len() >= LAGS_KNOWN => {
                (median + FAR_SPREADS * spread + FAR_S).clamp(5.0, first)
            }
            _ => first,
        }
    }

    /// How often it was followed, and of how many.
    pub(crate) fn followed(&self) -> (f64, f64) {
        (self.hits, self.hits + self.misses)
    }

    /// Share of its signs that are followed by an onset, for what is known.
    pub(crate) fn share(&self) -> f64 {
        let (yes, no) = match self.sign {
            Sign::Rise(_) => RISE_PRIOR,
            Sign::Fire(_) => FIRE_PRIOR,
        };
        (self.hits + yes) / (self.hits + self.misses + yes + no)
    }

    /// What it adds to a unit with so many onsets per second by themselves.
    fn worth(&self, onsets_per_s: f64) -> f64 {
        let Some((_, spread)) = self.lag() else { return 0.0 };
        let silent = matches!(self.sign, Sign::Rise(_)) && self.hits < RISE_HITS_MIN;
        if silent {
            return 0.0;
        }
        let chance = -(-onsets_per_s * 4.0 * spread).exp_m1();
        ((self.share() - chance) / (1.0 - chance).max(1e-6)).clamp(0.0, 1.0)
    }

    /// Whether what it expects is explained by it.
    fn proved(&self) -> bool {
        self.hits >= PROOFS && self.share() >= EXPLAINS_FROM
    }

    fn wait(&mut self, at_s: f64, void: bool) {
        let place = self.waiting.partition_point(|waiting| waiting.at_s < at_s);
        let near = |waiting: Option<&Waiting>| waiting.is_some_and(|found| (found.at_s - at_s).abs() < 0.5);
        if near(self.waiting.get(place))
            || near(place.checked_sub(1).and_then(|before| self.waiting.get(before)))
        {
            return;
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(place, Waiting { at_s, void });
        }
    }

    /// The sign that an onset at `at_s` follows.
    fn cause(&self, at_s: f64) -> Option<usize> {
        let known = self.lag().filter(|_| self.lags_s.len() >= LAGS_KNOWN);
        let far = |distance: f64, spread: f64| distance > (FAR_SPREADS * spread).max(FAR_S);
        let lag = |waiting: &Waiting| at_s - waiting.at_s;
        let within = |waiting: &&(usize, &Waiting)| (-EARLY_S..=self.horizon_s()).contains(&lag(waiting.1));
        let candidates: Vec<(usize, &Waiting)> = self.waiting.iter().enumerate().collect();
        let mut candidates = candidates.iter().filter(within);
        let Some((median, spread)) = known else {
            return candidates.next_back().map(|(place, _)| *place);
        };
        candidates
            .map(|(place, waiting)| (*place, (lag(waiting) - median).abs()))
            .filter(|(_, distance)| !far(*distance, spread))
            .min_by(|left, right| left.1.total_cmp(&right.1))
            .map(|(place, _)| place)
    }

    /// Takes in an onset; true where this sign had proved itself before and expected it.
    fn onset(&mut self, at_s: f64) -> bool {
        let Some(place) = self.cause(at_s) else {
            return false;
        };
        let proved = self.proved();
        let sign = self.waiting.remove(place);
        if sign.void {
            return proved;
        }
        self.hits = self.hits * FADE + 1.0;
        self.misses *= FADE;
        if self.lags_s.len() >= LAGS_MAX {
            self.lags_s.remove(0);
        }
        self.lags_s.push((at_s - sign.at_s) as f32);
        proved
    }

    fn advance(&mut self, now_s: f64, known: bool) {
        let horizon_s = self.horizon_s();
        if !known {
            let passed = |waiting: &&mut Waiting| waiting.at_s <= now_s;
            self.waiting
                .iter_mut()
                .filter(passed)
                .for_each(|waiting| waiting.void = true);
        }
        let over = self
            .waiting
            .partition_point(|waiting| waiting.at_s + horizon_s < now_s);
        for _missed in self.waiting.drain(..over).filter(|waiting| !waiting.void) {
            self.hits *= FADE;
            self.misses = self.misses * FADE + 1.0;
        }
    }

    /// P(an onset that this sign brings lies in (`from_s`, `until_s`], given none up to `from_s`).
    fn within(&self, at_s: f64, worth: f64, from_s: f64, until_s: f64) -> f64 {
        let Some((median, spread)) = self.lag() else {
            return 0.0;
        };
        let share = |time_s: f64| below((time_s - at_s - median) / spread);
        let gone = worth * share(from_s);
        ((worth * share(until_s) - gone) / (1.0 - gone).max(1e-6)).clamp(0.0, 1.0)
    }
}

impl Leads {
    /// Whether anything is followed.
    pub(crate) fn is_empty(&self) -> bool {
        self.leads.is_empty()
    }

    /// A sign was seen, or will be, at `at_s`; `busy` says that an event goes on, so that nothing can be learned.
    /// True where it says something of this unit.
    pub(crate) fn sign(&mut self, sign: &Sign, at_s: f64, busy: bool, onsets_per_s: f64) -> bool {
        let lead = self.lead(sign);
        lead.wait(at_s, busy);
        lead.worth(onsets_per_s) > 0.0
    }

    /// A sign that was not followed before turned out to have been one: an onset came `lag_s` after it.
    pub(crate) fn adopt(&mut self, sign: &Sign, lag_s: f64) {
        let lead = self.lead(sign);
        lead.hits += 1.0;
        lead.lags_s.push(lag_s as f32);
    }

    /// A sign that is followed already.
    pub(crate) fn follows(&self, sign: &Sign) -> bool {
        self.leads.iter().any(|lead| lead.sign == *sign)
    }

    fn lead(&mut self, sign: &Sign) -> &mut Lead {
        if let Some(place) = self.leads.iter().position(|lead| lead.sign == *sign) {
            return &mut self.leads[place];
        }
        if self.leads.len() >= LEADS_MAX {
            let least = self
                .leads
                .iter()
                .enumerate()
                .min_by(|left, right| left.1.hits.total_cmp(&right.1.hits))
                .map_or(0, |(place, _)| place);
            self.leads.remove(least);
        }
        self.leads.push(Lead::new(sign.clone()));
        let last = self.leads.len() - 1;
        &mut self.leads[last]
    }

    /// Firings that lie ahead are no longer planned: what is planned comes anew.
    pub(crate) fn drop_planned(&mut self, now_s: f64) {
        for lead in &mut self.leads {
            if matches!(lead.sign, Sign::Fire(_)) {
                lead.waiting.retain(|waiting| waiting.at_s <= now_s);
            }
        }
    }

    /// Takes in a confirmed onset; true where a sign that has proved itself expected it.
    pub(crate) fn onset(&mut self, at_s: f64) -> bool {
        let mut expected = false;
        for lead in &mut self.leads {
            expected |= lead.onset(at_s);
        }
        expected
    }

    /// Counts signs that nothing followed. `known` says whether the label was known up to now.
    pub(crate) fn advance(&mut self, now_s: f64, known: bool) {
        self.leads.iter_mut().for_each(|lead| lead.advance(now_s, known));
    }

    /// Moves every time by `delta_s`, after a reboot.
    pub(crate) fn shift(&mut self, delta_s: f64) {
        for lead in &mut self.leads {
            lead.waiting
                .iter_mut()
                .for_each(|waiting| waiting.at_s += delta_s);
        }
    }

    /// P(an onset that some sign of the kind brings lies in (`from_s`, `until_s`]).
    pub(crate) fn probability(&self, of_rises: bool, onsets_per_s: f64, from_s: f64, until_s: f64) -> f64 {
        let mut none = 1.0;
        for lead in &self.leads {
            if matches!(lead.sign, Sign::Rise(_)) != of_rises {
                continue;
            }
            let worth = lead.worth(onsets_per_s);
            if worth <= 0.0 {
                continue;
            }
            for waiting in &lead.waiting {
                none *= 1.0 - lead.within(waiting.at_s, worth, from_s, until_s);
            }
        }
        (1.0 - none).clamp(0.0, 1.0)
    }

    /// The onset that is expected next, given that none came up to `from_s`, among those that come with at least
    /// `likely`.
    pub(crate) fn next(&self, onsets_per_s: f64, from_s: f64, likely: f64) -> Option<Led<'_>> {
        let mut next: Option<Led<'_>> = None;
        for lead in &self.leads {
            let worth = lead.worth(onsets_per_s);
            let Some((median, spread)) = lead.lag().filter(|_| worth > 0.0) else {
                continue;
            };
            for waiting in &lead.waiting {
                let at_s = waiting.at_s + median;
                let onset = Quantiles {
                    q10: (at_s - 1.2 * spread).max(from_s),
                    q50: at_s.max(from_s),
                    q90: (at_s + 1.2 * spread).max(from_s + spread),
                };
                let probability = lead.within(waiting.at_s, worth, from_s, f64::INFINITY);
                let earlier = next.as_ref().is_none_or(|known| onset.q50 < known.onset.q50);
                if probability >= likely && earlier {
                    next = Some(Led {
                        lead,
                        at_s: waiting.at_s,
                        onset,
                    });
                }
            }
        }
        next
    }

    /// Onsets that signs named with at least an even chance: how many came, and of how many.
    pub(crate) fn named(&self) -> (f64, f64) {
        let speaking = self.leads.iter().filter(|lead| lead.share() >= EXPLAINS_FROM);
        speaking.fold((0.0, 0.0), |(came, all), lead| {
            let (hits, signs) = lead.followed();
            (came + hits, all + signs)
        })
    }

    /// All that are followed, for reports.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lead> {
        self.leads.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RARE: f64 = 1e-4;

    fn rise() -> Sign {
        Sign::Rise(AppName::new("front"))
    }

    /// Signs every 200 s, each followed after `lag_s` unless `skip` says otherwise.
    fn taught(lag_s: impl Fn(u32) -> Option<f64>, count: u32) -> (Leads, f64) {
        let mut leads = Leads::default();
        let mut now_s = 0.0;
        for number in 0..count {
            leads.sign(&rise(), now_s, false, RARE);
            let onset_s = lag_s(number).map(|lag_s| now_s + lag_s);
            for second in 0..200 {
                let at_s = now_s + f64::from(second);
                if onset_s.is_some_and(|onset_s| onset_s.floor() == at_s) {
                    leads.onset(onset_s.unwrap_or(0.0));
                }
                leads.advance(at_s, true);
            }
            now_s += 200.0;
        }
        (leads, now_s)
    }

    #[test]
    fn a_sign_that_is_followed_is_believed_and_dated() {
        let (mut leads, now_s) = taught(|number| Some(7.0 + f64::from(number % 3) * 0.4), 6);
        assert_eq!(
            leads.probability(true, RARE, now_s, now_s + 60.0),
            0.0,
            "no sign, nothing said"
        );
        assert!(leads.sign(&rise(), now_s, false, RARE));
        let said = leads.probability(true, RARE, now_s, now_s + 60.0);
        assert!(said > 0.8, "{said}");
        assert!(leads.probability(true, RARE, now_s, now_s + 3.0) < 0.1);
        let next = leads.next(RARE, now_s, 0.1).expect("an onset");
        assert!((next.onset.q50 - now_s - 7.4).abs() < 0.5, "{:?}", next.onset);
        assert!(next.onset.q10 < next.onset.q50 && next.onset.q50 < next.onset.q90);
        let late = leads.probability(true, RARE, now_s + 30.0, now_s + 90.0);
        assert!(late < 0.2, "it should have come by now: {late}");
    }

    #[test]
    fn a_sign_that_is_seldom_followed_or_by_chance_says_little() {
        let (mut leads, now_s) = taught(|number| (number % 5 == 0).then_some(7.0), 20);
        leads.sign(&rise(), now_s, false, RARE);
        let said = leads.probability(true, RARE, now_s, now_s + 60.0);
        assert!((0.05..0.45).contains(&said), "{said}");
        // Onsets every ten seconds: something always follows.
        let (mut leads, now_s) = taught(|number| Some(f64::from(number * 37 % 100)), 20);
        leads.sign(&rise(), now_s, false, 0.1);
        let said = leads.probability(true, 0.1, now_s, now_s + 60.0);
        assert!(said < 0.3, "{said}");
    }

    #[test]
    fn what_is_not_known_teaches_nothing() {
        let mut leads = Leads::default();
        leads.sign(&rise(), 0.0, true, RARE);
        leads.onset(5.0);
        leads.sign(&rise(), 200.0, false, RARE);
        for second in 200..400 {
            leads.advance(f64::from(second), second != 230);
        }
        assert_eq!(leads.leads[0].followed(), (0.0, 0.0));
    }

    #[test]
    fn a_timer_is_known_ahead_and_new_plans_take_the_place_of_old_ones() {
        let mut leads = Leads::default();
        let fire = Sign::Fire("backup".into());
        leads.sign(&fire, 1000.0, false, RARE);
        let said = |leads: &Leads, until_s: f64| leads.probability(false, RARE, 100.0, until_s);
        assert!(
            (0.1..0.2).contains(&said(&leads, 1100.0)),
            "{}",
            said(&leads, 1100.0)
        );
        assert!(said(&leads, 900.0) < 0.01);
        leads.drop_planned(100.0);
        assert_eq!(said(&leads, 1100.0), 0.0);
    }
}

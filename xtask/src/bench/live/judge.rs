//! What the maps said of one app, against when its bursts really came. Pure: it knows no daemon and no clock.

use crate::bench::stats::percentile;
use crate::random::Random;

/// The window whose probabilities are judged.
pub(super) const WINDOW_S: f64 = 60.0;
/// An onset must be foreseen from here to here before it.
const FORESEEN_S: std::ops::RangeInclusive<f64> = 5.0..=50.0;
/// So far from the next onset it must be quiet.
const QUIET_FROM_S: f64 = 75.0;
/// Labels need this long after the end of a burst to know that it is over.
const SETTLED_S: f64 = 3.0;
/// Onsets before judging begins: the fourth repetition is judged.
const LEARNED: usize = 3;
/// The burst is forgotten within so many periods.
const FORGOTTEN_PERIODS: f64 = 3.0;

/// What one map said of the app's limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    /// When it was made, on the boot clock.
    pub(super) at_s: f64,
    /// P of the one-minute window, and of the longest.
    pub(super) probability: f64,
    pub(super) longest: f64,
    /// The median of the next onset.
    pub(super) onset_s: Option<f64>,
}

/// When an app really burst.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_field_names, reason = "units stand last in names")]
pub(super) struct Truth {
    /// Beginnings on the boot clock.
    pub(super) begins_s: Vec<f64>,
    pub(super) lasts_s: f64,
    pub(super) period_s: f64,
    /// When watching ended.
    pub(super) end_s: f64,
}

/// A count of looks, and of those that were as they must be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Share {
    pub(super) good: u32,
    pub(super) all: u32,
}

impl Share {
    fn add(&mut self, good: bool) {
        self.good += u32::from(good);
        self.all += 1;
    }

    /// NaN where there is none.
    pub(super) fn value(self) -> f64 {
        f64::from(self.good) / f64::from(self.all)
    }
}

/// A scored look: what was said, and whether an onset came within the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scored {
    said: f64,
    came: bool,
}

/// What came of one app or, summed, of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// P above .8 in the looks before an onset, and below .2 far from one.
    pub(super) foreseen: Share,
    pub(super) quiet: Share,
    /// The same for a reader who looks every second at the map that is in force.
    pub(super) foreseen_by_second: Share,
    pub(super) quiet_by_second: Share,
    /// P below .2 in all looks from three periods after the last burst on.
    pub(super) forgotten: Share,
    /// Distance of the named onset from the real one, in the looks before it.
    pub(super) errors_s: Vec<f64>,
    /// Looks between bursts, by the burst that they lead to: what overlaps stays together.
    pub(super) by_burst: Vec<Vec<Scored>>,
    /// What was wrong, in words, for whoever mends it.
    pub(super) misses: Vec<String>,
}

impl Verdict {
    /// Takes in another app's.
    pub(super) fn add(&mut self, other: Self) {
        for (sum, share) in [
            (&mut self.foreseen, other.foreseen),
            (&mut self.quiet, other.quiet),
            (&mut self.foreseen_by_second, other.foreseen_by_second),
            (&mut self.quiet_by_second, other.quiet_by_second),
            (&mut self.forgotten, other.forgotten),
        ] {
            sum.good += share.good;
            sum.all += share.all;
        }
        self.errors_s.extend(other.errors_s);
        self.by_burst.extend(other.by_burst);
        self.misses.extend(other.misses);
    }
}

/// Judges the looks at one app.
pub(super) fn judge(app: &str, looks: &[Look], truth: &Truth) -> Verdict {
    let mut verdict = Verdict::default();
    let bursts = truth.begins_s.len();
    verdict.by_burst = vec![Vec::new(); bursts.saturating_sub(LEARNED)];
    let last_s = truth.begins_s.last().copied().unwrap_or(0.0);
    for (place, look) in looks.iter().enumerate() {
        let until_s = looks.get(place + 1).map_or(truth.end_s, |next| next.at_s);
        if look.at_s >= last_s + FORGOTTEN_PERIODS * truth.period_s {
            verdict.forgotten.add(look.probability < 0.2);
            continue;
        }
        let Some(next) = next_of(truth, look.at_s) else {
            continue;
        };
        let ahead_s = truth.begins_s[next] - look.at_s;
        let scored = Scored {
            said: look.probability,
            came: ahead_s <= WINDOW_S,
        };
        if settled(truth, look.at_s) {
            verdict.by_burst[next - LEARNED].push(scored);
        }
        let judged = judged(truth, look.at_s, look.probability);
        if let Some((foreseen, good)) = judged {
            if foreseen {
                verdict.foreseen.add(good);
                let error_s = look
                    .onset_s
                    .map_or(f64::INFINITY, |onset_s| (onset_s - truth.begins_s[next]).abs());
                verdict.errors_s.push(error_s);
            } else {
                verdict.quiet.add(good);
            }
            if !good {
                verdict.misses.push(format!(
                    "{app}: burst {} of {bursts} (period {:.0} s): P = {:.3} at {ahead_s:.1} s before it",
                    next + 1,
                    truth.period_s,
                    look.probability
                ));
            }
        }
        let mut second = look.at_s;
        while second < until_s {
            match self::judged(truth, second, look.probability) {
                Some((true, good)) => verdict.foreseen_by_second.add(good),
                Some((false, good)) => verdict.quiet_by_second.add(good),
                None => {}
            }
            second += 1.0;
        }
    }
    verdict
}

/// The next burst that is judged.
fn next_of(truth: &Truth, at_s: f64) -> Option<usize> {
    let next = truth.begins_s.partition_point(|begin_s| *begin_s <= at_s);
    (LEARNED..truth.begins_s.len()).contains(&next).then_some(next)
}

/// Whether nothing goes on.
fn settled(truth: &Truth, at_s: f64) -> bool {
    let next = truth.begins_s.partition_point(|begin_s| *begin_s <= at_s);
    let before_s = next.checked_sub(1).map(|before| truth.begins_s[before]);
    before_s.is_none_or(|before_s| at_s >= before_s + truth.lasts_s + SETTLED_S)
}

/// Whether something is asked at this moment: (true, P above .8) before an onset, (false, P below .2) far from one.
fn judged(truth: &Truth, at_s: f64, probability: f64) -> Option<(bool, bool)> {
    let ahead_s = truth.begins_s[next_of(truth, at_s)?] - at_s;
    if FORESEEN_S.contains(&ahead_s) && settled(truth, at_s) {
        return Some((true, probability > 0.8));
    }
    (ahead_s >= QUIET_FROM_S && settled(truth, at_s)).then_some((false, probability < 0.2))
}

/// Brier skill against the looks' own base rate, with a 95 % interval by drawing bursts.
pub(super) fn brier_skill(by_burst: &[Vec<Scored>]) -> (f64, (f64, f64)) {
    const DRAWS: usize = 4000;
    let whole: Vec<&Vec<Scored>> = by_burst.iter().collect();
    let mut random = Random::new(60, by_burst.len() as u64);
    let mut draws: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<&Vec<Scored>> = by_burst
                .iter()
                .map(|_| &by_burst[random.below(by_burst.len())])
                .collect();
            skill(&drawn)
        })
        .filter(|skill| skill.is_finite())
        .collect();
    draws.sort_by(f64::total_cmp);
    (
        skill(&whole),
        (percentile(&draws, 0.025), percentile(&draws, 0.975)),
    )
}

fn skill(bursts: &[&Vec<Scored>]) -> f64 {
    let rows = || bursts.iter().flat_map(|looks| looks.iter());
    let outcome = |scored: &Scored| f64::from(u8::from(scored.came));
    let count = rows().count() as f64;
    let rate = rows().map(outcome).sum::<f64>() / count;
    let loss = |of: &dyn Fn(&Scored) -> f64| {
        rows()
            .map(|scored| (of(scored) - outcome(scored)).powi(2))
            .sum::<f64>()
    };
    1.0 - loss(&|scored| scored.said) / loss(&|_| rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        Truth {
            begins_s: (1..=6).map(|number| f64::from(number) * 100.0).collect(),
            lasts_s: 8.0,
            period_s: 100.0,
            end_s: 1000.0,
        }
    }

    /// Looks every ten seconds; `say` gives P from the seconds to the next onset.
    fn looks(say: impl Fn(f64) -> f64) -> Vec<Look> {
        let truth = truth();
        let look = |step: u32| {
            let at_s = f64::from(step) * 10.0;
            let next_s = truth.begins_s.iter().copied().find(|begin_s| *begin_s > at_s);
            let probability = next_s.map_or(0.0, |next_s| say(next_s - at_s));
            Look {
                at_s,
                probability,
                longest: 1.0,
                onset_s: next_s.map(|next_s| next_s + 0.5),
            }
        };
        (5..100).map(look).collect()
    }

    #[test]
    fn an_oracle_is_found_without_fault() {
        let looks = looks(|ahead_s| f64::from(u8::from(ahead_s <= WINDOW_S)));
        let verdict = judge("web", &looks, &truth());
        assert_eq!(verdict.foreseen, Share { good: 15, all: 15 });
        assert_eq!(verdict.quiet, Share { good: 3, all: 3 });
        assert!(verdict.forgotten.all > 0 && verdict.forgotten.good == verdict.forgotten.all);
        assert!(verdict.errors_s.iter().all(|error_s| *error_s == 0.5));
        assert_eq!(brier_skill(&verdict.by_burst).0, 1.0);
        assert_eq!(verdict.misses, Vec::<String>::new());
    }

    #[test]
    fn saying_always_the_same_fails_and_has_no_skill() {
        let verdict = judge("web", &looks(|_| 0.6), &truth());
        assert_eq!((verdict.foreseen.good, verdict.quiet.good), (0, 0));
        assert!(brier_skill(&verdict.by_burst).0 < 0.05);
        assert!(verdict.misses[0].contains("burst 4 of 6"), "{:?}", verdict.misses);
    }
}

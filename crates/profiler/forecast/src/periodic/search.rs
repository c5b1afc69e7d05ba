//! Looks for a period among onsets, with some missing, some extra and all of them jittered.
//!
//! Candidates are the differences between the newest onset and the ones before it, and their halves and
//! thirds. From the newest onset a chain walks back in steps of the candidate, refining it as it goes. A chain
//! is believed by how unlikely it would be for onsets without a period: each onset that falls into its narrow
//! slot by chance has probability slot width over period. Three onsets are the least.

/// Fewest onsets that make a period.
const ONSETS_MIN: usize = 3;
/// How many onsets back the candidates are taken from.
const CANDIDATES_BACK: usize = 12;
/// Shortest period: below this the labels' own hysteresis blurs the bursts into one.
const PERIOD_MIN_S: f64 = 6.0;
/// Longest period: a week and a bit.
const PERIOD_MAX_S: f64 = 8.0 * 86_400.0;
/// An onset belongs to a slot when it lies within this share of the period around it.
const SLOT_SHARE: f64 = 0.12;
/// A chain ends where this many slots in a row are empty.
const EMPTY_SLOTS_MAX: f64 = 4.0;
/// Each empty slot, and each onset beside the slots, makes a period this much less likely.
const EMPTY_FACTOR: f64 = 0.35;
const STRAY_FACTOR: f64 = 0.4;
/// Odds of a coincidence before the onsets are looked at, and by how much each failed claim of the unit raises them.
const COINCIDENCE: f64 = 0.7;
const COINCIDENCE_PER_FAILURE: f64 = 2.3;
/// Belief from which a period is spoken of.
const BELIEF_MIN: f64 = 0.6;
/// Onsets cannot be told apart finer than this.
const RESOLUTION_S: f64 = 0.5;

/// A period that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Length in seconds.
    pub(super) period_s: f64,
    /// Its onsets, oldest first.
    pub(super) onsets_s: Vec<f64>,
    /// The number of each onset's slot, counted from the first.
    pub(super) slots: Vec<i64>,
    /// How likely it is that this is no coincidence, 0 to 1.
    pub(super) belief: f64,
}

/// The most believable period that the newest of `onsets_s` (oldest first) belongs to. Each of the unit's
/// `failed_claims` makes coincidence likelier.
pub(super) fn search(onsets_s: &[f64], failed_claims: u32) -> Option<Found> {
    let (newest_s, older_s) = onsets_s.split_last()?;
    let recent_s = &older_s[older_s.len().saturating_sub(CANDIDATES_BACK)..];
    let mut best: Option<Found> = None;
    for before_s in recent_s {
        for parts in [1.0, 2.0, 3.0] {
            let period_s = (newest_s - before_s) / parts;
            if !(PERIOD_MIN_S..=PERIOD_MAX_S).contains(&period_s) {
                continue;
            }
            let Some(found) = chain(*newest_s, older_s, period_s, failed_claims) else {
                continue;
            };
            if best.as_ref().is_none_or(|known| found.belief > known.belief) {
                best = Some(found);
            }
        }
    }
    best.filter(|found| found.belief >= BELIEF_MIN)
}

fn chain(newest_s: f64, older_s: &[f64], candidate_s: f64, failed_claims: u32) -> Option<Found> {
    let mut period_s = candidate_s;
    let (mut onsets_s, mut slots) = (vec![newest_s], vec![0_i64]);
    let (mut last_s, mut last_slot) = (newest_s, 0_i64);
    let (mut strays, mut strays_since) = (0_u32, 0_u32);
    for at_s in older_s.iter().rev() {
        let steps = ((last_s - at_s) / period_s).round();
        if steps > EMPTY_SLOTS_MAX + 1.0 {
            break;
        }
        let error_s = (last_s - at_s) - steps * period_s;
        if steps < 1.0 || error_s.abs() > SLOT_SHARE * period_s {
            strays_since += 1;
            continue;
        }
        last_s = *at_s;
        last_slot -= steps as i64;
        strays += std::mem::take(&mut strays_since);
        onsets_s.push(*at_s);
        slots.push(last_slot);
        period_s = (newest_s - at_s) / -last_slot as f64;
    }
    if onsets_s.len() < ONSETS_MIN {
        return None;
    }
    onsets_s.reverse();
    slots.reverse();
    for slot in &mut slots {
        *slot -= last_slot;
    }
    let line = Line::through(&slots, &onsets_s);
    let empty = (1 - last_slot) as f64 - onsets_s.len() as f64;
    let belief = belief(&line, onsets_s.len() as f64, empty, strays, failed_claims);
    Some(Found {
        period_s: line.period_s,
        onsets_s,
        slots,
        belief,
    })
}

fn belief(line: &Line, onsets: f64, empty: f64, strays: u32, failed_claims: u32) -> f64 {
    let width_s = 3.5 * line.deviation_s + RESOLUTION_S;
    let by_chance = (width_s / line.period_s).min(0.95);
    let log_odds =
        -(onsets - 2.0) * by_chance.ln() + empty * EMPTY_FACTOR.ln() + f64::from(strays) * STRAY_FACTOR.ln()
            - (COINCIDENCE + COINCIDENCE_PER_FAILURE * f64::from(failed_claims)).ln();
    1.0 / (1.0 + (-log_odds).exp())
}

/// The straight line through onsets over their slots' numbers: least squares, newest onsets first in weight.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::struct_field_names, reason = "units stand last in names")]
pub(super) struct Line {
    /// Slope.
    pub(super) period_s: f64,
    /// Value at slot 0.
    pub(super) origin_s: f64,
    /// Deviation of the onsets around the line, of one onset.
    pub(super) deviation_s: f64,
    /// Standard error of the slope.
    pub(super) period_error_s: f64,
}

impl Line {
    /// Fits `onsets_s` over `slots`; both must have the same length, two different slots at least.
    pub(super) fn through(slots: &[i64], onsets_s: &[f64]) -> Self {
        let count = slots.len() as f64;
        let base = slots.first().copied().unwrap_or(0);
        let steps = || slots.iter().map(|slot| (slot - base) as f64);
        let first_s = onsets_s.first().copied().unwrap_or(0.0);
        let mean_step = steps().sum::<f64>() / count;
        let mean_s = onsets_s.iter().map(|at_s| at_s - first_s).sum::<f64>() / count;
        let (mut across, mut along) = (0.0, 0.0);
        for (step, at_s) in steps().zip(onsets_s) {
            across += (step - mean_step) * (at_s - first_s - mean_s);
            along += (step - mean_step) * (step - mean_step);
        }
        let period_s = if along > 0.0 { across / along } else { 0.0 };
        let origin_s = first_s + mean_s - period_s * (mean_step + base as f64);
        let squares: f64 = slots
            .iter()
            .zip(onsets_s)
            .map(|(slot, at_s)| (at_s - origin_s - period_s * *slot as f64).powi(2))
            .sum();
        let deviation_s = (squares / (count - 2.0).max(1.0)).sqrt();
        let period_error_s = if along > 0.0 {
            deviation_s / along.sqrt()
        } else {
            f64::INFINITY
        };
        Self {
            period_s,
            origin_s,
            deviation_s,
            period_error_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(onsets_s: &[f64], expect_period_s: Option<f64>) {
        let found = search(onsets_s, 0);
        match (found, expect_period_s) {
            (None, None) => {}
            (Some(found), Some(expect_s)) => {
                assert!(
                    (found.period_s - expect_s).abs() < 0.05 * expect_s,
                    "{onsets_s:?} gave {found:?}"
                );
            }
            (found, expect) => panic!("{onsets_s:?} gave {found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn three_regular_onsets_are_a_period() {
        check(&[10.0, 100.0], None);
        check(&[10.0, 100.0, 191.0], Some(90.0));
        check(&[10.0, 100.0, 151.0], None);
    }

    #[test]
    fn missing_and_stray_onsets_do_not_hide_it() {
        check(&[0.0, 45.2, 134.8, 180.1], Some(45.0));
        check(&[0.0, 45.2, 62.0, 90.1, 135.3], Some(45.0));
    }

    #[test]
    fn neither_half_nor_double_the_period_is_taken() {
        let onsets: Vec<f64> = (0..20).map(|step| f64::from(step) * 60.0).collect();
        check(&onsets, Some(60.0));
        let with_holes: Vec<f64> = onsets
            .into_iter()
            .filter(|at_s| !(*at_s as u32).is_multiple_of(300))
            .collect();
        check(&with_holes, Some(60.0));
    }
}

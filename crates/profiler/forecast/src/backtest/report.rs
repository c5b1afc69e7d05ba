//! From sums to metrics, and from two sets of sums to the interval of their difference.
//!
//! Relative numbers are geometric means over series of the ratio to a reference forecast, usually seasonal naive.
//! Skill is pooled over series: one minus the ratio of summed squared errors.

use super::score::{EventSums, SeriesSums, Sums, TargetSums};
use crate::models::gbdt::Random;
use crate::models::{TARGET_COUNT, THRESHOLDS, WINDOW_COUNT};
use serde::{Deserialize, Serialize};

/// What a report says of one target; relative numbers are NaN without a reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetMetrics {
    /// CRPS relative to the reference.
    pub crps: f64,
    /// Pinball loss at .99 relative to the reference.
    pub pinball99: f64,
    /// Share of outcomes at or below the quantile at .95.
    pub coverage95: f64,
}

/// What a report says of one window and one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventMetrics {
    /// Brier skill against each series' own climatology.
    pub skill: f64,
    /// Brier skill at origins that are not above the threshold, against their base rate.
    pub onset_skill: f64,
    /// Expected calibration error, ten bins.
    pub calibration_error: f64,
}

/// All metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// By target.
    pub targets: [TargetMetrics; TARGET_COUNT],
    /// By window and threshold.
    pub events: [[EventMetrics; THRESHOLDS]; WINDOW_COUNT],
    /// Origins that were judged.
    pub origins: f64,
}

/// Sums up `sums`, relative to those of a reference.
pub fn metrics(sums: &Sums, reference: &Sums) -> Metrics {
    let all: Vec<&SeriesSums> = sums.values().collect();
    Metrics {
        targets: std::array::from_fn(|target| TargetMetrics {
            crps: ratio(sums, reference, target, |sums| sums.crps / sums.count),
            pinball99: ratio(sums, reference, target, |sums| sums.pinball99 / sums.count),
            coverage95: total(&all, |series| series.targets[target].covered95)
                / total(&all, |series| series.targets[target].count),
        }),
        events: std::array::from_fn(|window| {
            std::array::from_fn(|column| event_metrics(&all, window, column))
        }),
        origins: total(&all, |series| series.targets[0].count),
    }
}

fn event_metrics(all: &[&SeriesSums], window: usize, column: usize) -> EventMetrics {
    let sum = |of: fn(&EventSums) -> f64| total(all, |series| of(&series.events[window][column]));
    let (onsets, onset_events) = (sum(|sums| sums.onset_count), sum(|sums| sums.onset_events));
    let base = onset_events / onsets;
    let bin =
        |place: usize, what: usize| total(all, |series| series.events[window][column].bins[place][what]);
    let error = (0..super::score::BINS).map(|place| (bin(place, 1) - bin(place, 2)).abs());
    EventMetrics {
        skill: 1.0 - sum(|sums| sums.brier) / sum(|sums| sums.climatology),
        onset_skill: 1.0 - sum(|sums| sums.onset_brier) / (onsets * base * (1.0 - base)),
        calibration_error: error.sum::<f64>() / sum(|sums| sums.count),
    }
}

fn total(all: &[&SeriesSums], of: impl Fn(&SeriesSums) -> f64) -> f64 {
    all.iter().map(|series| of(series)).sum()
}

/// Geometric mean over series of the ratio of means; series where one is zero or missing are left out.
fn ratio(sums: &Sums, reference: &Sums, target: usize, mean: impl Fn(&TargetSums) -> f64) -> f64 {
    let logarithms = sums.iter().filter_map(|(id, series)| {
        let ratio = mean(&series.targets[target]) / mean(&reference.get(id)?.targets[target]);
        (ratio.is_finite() && ratio > 0.0).then(|| ratio.ln())
    });
    let (sum, count) = logarithms.fold((0.0, 0.0), |(sum, count), logarithm| {
        (sum + logarithm, count + 1.0)
    });
    (sum / count).exp()
}

/// Draws of a bootstrap.
const DRAWS: usize = 2000;
/// Its seed: the same sums give the same interval.
const SEED: u64 = 55;

/// The 95 % interval of `of(left) - of(right)` when the series are drawn again and again; the same draw for both.
pub fn difference(left: &Sums, right: &Sums, of: impl Fn(&Sums) -> f64) -> (f64, f64) {
    let ids: Vec<&String> = left.keys().filter(|id| right.contains_key(*id)).collect();
    if ids.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    let mut random = Random(SEED);
    let differences = (0..DRAWS)
        .map(|_| {
            let (mut ours, mut theirs) = (Sums::new(), Sums::new());
            for place in 0..ids.len() {
                let id = ids[random.below(ids.len())];
                ours.insert(format!("{place}"), left[id].clone());
                theirs.insert(format!("{place}"), right[id].clone());
            }
            of(&ours) - of(&theirs)
        })
        .collect();
    interval(differences)
}

/// The ends of the middle 95 % of a bootstrap's draws, those that are no number left out; NaN where there is none.
pub(super) fn interval(mut draws: Vec<f64>) -> (f64, f64) {
    draws.retain(|draw| draw.is_finite());
    if draws.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    draws.sort_unstable_by(f64::total_cmp);
    let end = |level| crate::models::quantile(&draws, level);
    (end(0.025), end(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(crps: f64, brier: f64) -> Sums {
        let target = TargetSums {
            count: 2.0,
            crps,
            pinball99: crps,
            covered95: 1.0,
        };
        let event = EventSums {
            count: 4.0,
            brier,
            climatology: 1.0,
            bins: std::array::from_fn(|bin| if bin == 5 { [4.0, 2.0, 1.0] } else { [0.0; 3] }),
            onset_count: 4.0,
            onset_events: 2.0,
            onset_brier: brier,
        };
        let series = SeriesSums {
            targets: [target; TARGET_COUNT],
            events: [[event; THRESHOLDS]; WINDOW_COUNT],
        };
        (0..8)
            .map(|number| (format!("s{number}"), series.clone()))
            .collect()
    }

    #[test]
    fn metrics_add_up() {
        let found = metrics(&sums(1.0, 0.25), &sums(2.0, 0.5));
        assert_eq!(found.origins, 16.0);
        assert!((found.targets[3].crps - 0.5).abs() < 1e-12);
        assert!((found.targets[3].coverage95 - 0.5).abs() < 1e-12);
        let event = found.events[1][0];
        assert!((event.skill - 0.75).abs() < 1e-12);
        assert!((event.onset_skill - 0.75).abs() < 1e-12);
        assert!((event.calibration_error - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_sure_difference_has_a_narrow_interval() {
        let (better, worse) = (sums(1.0, 0.25), sums(2.0, 0.5));
        let skill = |sums: &Sums| metrics(sums, sums).events[0][0].skill;
        let (low, high) = difference(&better, &worse, skill);
        assert!((low - 0.25).abs() < 1e-9 && (high - 0.25).abs() < 1e-9);
        assert!(difference(&Sums::new(), &worse, skill).0.is_nan());
    }
}

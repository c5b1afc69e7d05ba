//! Whether confidence is informative beyond the probability it comes with.
//!
//! Predictions are matched by probability, in five bins; in each bin the surer half is set against the other: its
//! distance between what was said and what came, and its log loss, both pooled over bins. And predictions are put in
//! order, the surest first: the mean squared error of the first so many, averaged over how many, is the area under
//! the risk-coverage curve (El-Yaniv and Wiener, JMLR 2010), which is set against that of the order by |p − ½|.

use super::bulk::{Confidences, Plan};
use super::report::interval;
use super::score::outcome_of;
use super::table::Forecasts;
use crate::models::gbdt::Random;
use crate::models::training::Trace;
use crate::models::{THRESHOLDS, WINDOW_COUNT, WINDOW_TARGETS};
use std::collections::BTreeMap;

/// Bins that predictions are matched in.
const BINS: usize = 5;
/// Chances are kept this far from certainty when their log loss is taken.
const LEAST: f64 = 1e-3;
/// Draws of the bootstrap, and its seed.
const DRAWS: usize = 400;
const SEED: u64 = 91;

/// One prediction and what came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// What was said.
    pub chance: f64,
    /// How sure it was said.
    pub confidence: f64,
    /// Whether it happened.
    pub happened: bool,
}

/// Predictions of each series.
pub type ToldBySeries = BTreeMap<String, Vec<Told>>;

/// What confidence was worth. All three differences are above zero where it is informative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trust {
    /// Calibration error of the less sure halves, less that of the surer ones.
    pub calibration_gained: f64,
    /// Log loss of the less sure halves, less that of the surer ones.
    pub log_loss_gained: f64,
    /// Area under the risk-coverage curve by |p − ½|, less that by confidence.
    pub area_gained: f64,
}

/// The predictions of one window and threshold that came with a confidence and whose outcome is known.
pub fn told(
    traces: &[Trace],
    plan: &Plan,
    (forecasts, confidences): (&Forecasts, &Confidences),
    window: usize,
    column: usize,
) -> ToldBySeries {
    debug_assert!(window < WINDOW_COUNT && column < THRESHOLDS);
    let mut all = ToldBySeries::new();
    for trace in traces {
        let Some(thresholds) = plan.thresholds.get(&trace.id) else {
            continue;
        };
        let predictions = plan.origins(&trace.id).iter().filter_map(|time_s| {
            let origin = (trace.id.clone(), *time_s);
            let chance = forecasts.get(&origin)?.chances[window][column];
            let confidence = confidences.get(&origin)?[window][column];
            let (_, targets) = outcome_of(trace, *time_s)?;
            (chance.is_finite() && confidence.is_finite()).then(|| Told {
                chance,
                confidence,
                happened: targets[WINDOW_TARGETS[window]] > thresholds[column],
            })
        });
        all.insert(trace.id.clone(), predictions.collect());
    }
    all
}

/// Judges predictions.
pub fn trust(told: &[Told]) -> Trust {
    let mut bins: [Vec<Told>; BINS] = Default::default();
    for one in told {
        bins[((one.chance * BINS as f64) as usize).min(BINS - 1)].push(*one);
    }
    let (mut error, mut loss, mut count) = ([0.0; 2], [0.0; 2], 0.0);
    for bin in &mut bins {
        bin.sort_by(|left, right| left.confidence.total_cmp(&right.confidence));
        let half = bin.len() / 2;
        for (side, half) in [&bin[..half], &bin[bin.len() - half..]].into_iter().enumerate() {
            let off = half.iter().map(|one| one.chance - came(one)).sum::<f64>();
            error[side] += off.abs();
            loss[side] += half.iter().map(log_loss).sum::<f64>();
        }
        count += half as f64;
    }
    Trust {
        calibration_gained: (error[0] - error[1]) / count,
        log_loss_gained: (loss[0] - loss[1]) / count,
        area_gained: area(told, |one| (one.chance - 0.5).abs()) - area(told, |one| one.confidence),
    }
}

/// [`trust`] of all series, and the ends of the 95 % interval of each number when the series are drawn again and again.
pub fn trust_of(told: &[&ToldBySeries]) -> (Trust, [(f64, f64); 3]) {
    let mut by_series: BTreeMap<&str, Vec<Told>> = BTreeMap::new();
    for (id, rows) in told.iter().copied().flatten() {
        by_series.entry(id).or_default().extend(rows);
    }
    let series: Vec<Vec<Told>> = by_series.into_values().collect();
    let whole = trust(&series.concat());
    let mut random = Random(SEED);
    let mut draws: [Vec<f64>; 3] = Default::default();
    for _ in 0..if series.is_empty() { 0 } else { DRAWS } {
        let again = || series[random.below(series.len())].iter().copied();
        let rows: Vec<Told> = std::iter::repeat_with(again)
            .take(series.len())
            .flatten()
            .collect();
        let found = trust(&rows);
        let found = [found.calibration_gained, found.log_loss_gained, found.area_gained];
        for (draws, found) in draws.iter_mut().zip(found) {
            draws.push(found);
        }
    }
    (whole, draws.map(interval))
}

fn came(one: &Told) -> f64 {
    f64::from(u8::from(one.happened))
}

fn log_loss(one: &Told) -> f64 {
    let chance = one.chance.clamp(LEAST, 1.0 - LEAST);
    -(if one.happened { chance } else { 1.0 - chance }).ln()
}

/// Mean over all coverages of the mean squared error of what is covered, the greatest `order` first.
fn area(told: &[Told], order: impl Fn(&Told) -> f64) -> f64 {
    let mut sorted = told.to_vec();
    sorted.sort_by(|left, right| order(right).total_cmp(&order(left)));
    let (mut sum, mut area) = (0.0, 0.0);
    for (place, one) in sorted.iter().enumerate() {
        sum += (one.chance - came(one)).powi(2);
        area += sum / (place + 1) as f64;
    }
    area / sorted.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the predictions of each series are right to the point; the others were drawn from thin air.
    fn series(seed: u64, knows: bool) -> Vec<Told> {
        let mut random = Random(seed);
        let drawn = |_| {
            let (chance, sound) = (random.unit(), random.unit() < 0.5);
            let meant = if sound { chance } else { 0.5 };
            Told {
                chance,
                confidence: if knows && sound {
                    0.9
                } else {
                    0.3 + 0.1 * random.unit()
                },
                happened: random.unit() < meant,
            }
        };
        (0..400).map(drawn).collect()
    }

    fn all(knows: bool) -> ToldBySeries {
        (0..12)
            .map(|seed| (format!("s{seed}"), series(seed, knows)))
            .collect()
    }

    #[test]
    fn a_confidence_that_knows_is_told_from_one_that_does_not() {
        let (found, intervals) = trust_of(&[&all(true)]);
        assert!(
            found.calibration_gained > 0.0 && found.log_loss_gained > 0.0,
            "{found:?}"
        );
        assert!(intervals[0].0 > 0.0 && intervals[1].0 > 0.0, "{intervals:?}");
        let (_, intervals) = trust_of(&[&all(false)]);
        assert!(intervals[1].0 < 0.0 && intervals[1].1 > 0.0, "{intervals:?}");
    }

    #[test]
    fn the_better_order_has_the_smaller_area() {
        let told = |chance: f64, confidence: f64, happened| Told {
            chance,
            confidence,
            happened,
        };
        let rows = [
            told(0.1, 0.9, false),
            told(0.05, 0.1, true),
            told(0.4, 0.5, false),
        ];
        assert!(trust(&rows).area_gained > 0.0);
        let (found, intervals) = trust_of(&[]);
        assert!(found.area_gained.is_nan() && intervals[2].0.is_nan());
    }
}

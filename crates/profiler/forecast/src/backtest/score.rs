//! What forecasts were worth, as sums per series: everything a report says can be added up from them.
//!
//! Quantiles are judged by pinball loss, chances by the Brier score against the series' own climatology: how often the
//! event happened in its training part. Onsets are origins that are not above the threshold. Sums rather than means,
//! so that resampling series is adding.

use super::bulk::Plan;
use super::table::Forecasts;
use crate::models::past::HORIZON;
use crate::models::training::Trace;
use crate::models::{Forecast, LEVELS, TARGET_COUNT, THRESHOLDS, WINDOW_COUNT, WINDOW_TARGETS, targets_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bins of the calibration error.
pub const BINS: usize = 10;
/// Places in [`LEVELS`] of the nine deciles, of .95 and of .99.
const DECILES: std::ops::RangeInclusive<usize> = 1..=9;
const HIGH: usize = 10;
const HIGHEST: usize = 11;

/// Sums over the origins of one series and one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetSums {
    /// Origins.
    pub count: f64,
    /// Twice the mean pinball loss of the deciles: an approximation of the CRPS.
    pub crps: f64,
    /// Pinball loss at .99.
    pub pinball99: f64,
    /// Outcomes at or below the quantile at .95.
    pub covered95: f64,
}

/// Sums over the origins of one series, one window and one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventSums {
    /// Origins.
    pub count: f64,
    /// Squared errors of the chances.
    pub brier: f64,
    /// Squared errors of the climatology.
    pub climatology: f64,
    /// By chance, in ten bins: origins, chances, events.
    pub bins: [[f64; 3]; BINS],
    /// Origins that were not above the threshold.
    pub onset_count: f64,
    /// Of them, those with an event.
    pub onset_events: f64,
    /// Of them, squared errors of the chances.
    pub onset_brier: f64,
}

/// All sums of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesSums {
    /// By target.
    pub targets: [TargetSums; TARGET_COUNT],
    /// By window and threshold.
    pub events: [[EventSums; THRESHOLDS]; WINDOW_COUNT],
}

/// Sums of each series.
pub type Sums = BTreeMap<String, SeriesSums>;

/// Judges `forecasts` at the origins of `plan`. The training part of a trace ends at [`Trace::end`]. Origins without a
/// forecast, or whose outcome is not wholly known, do not count.
pub fn score(traces: &[Trace], plan: &Plan, forecasts: &Forecasts) -> Sums {
    let mut sums = Sums::new();
    for trace in traces {
        let Some(thresholds) = plan.thresholds.get(&trace.id) else {
            continue;
        };
        let climatology = climatology(trace, thresholds);
        let mut of_series = SeriesSums::default();
        for time_s in plan.origins(&trace.id) {
            let forecast = forecasts.get(&(trace.id.clone(), *time_s));
            let (Some(forecast), Some((now, targets))) = (forecast, outcome_of(trace, *time_s)) else {
                continue;
            };
            add_targets(&mut of_series.targets, forecast, &targets);
            for (column, threshold) in thresholds.iter().enumerate() {
                let outcome = (&targets, &climatology[column]);
                add_events(&mut of_series, column, forecast, (now, *threshold), outcome);
            }
        }
        sums.insert(trace.id.clone(), of_series);
    }
    sums
}

/// The value at an origin and the targets that followed it; `None` where one is unknown.
pub(super) fn outcome_of(trace: &Trace, time_s: i64) -> Option<(f64, [f64; TARGET_COUNT])> {
    let place = trace.times_s.binary_search(&time_s).ok()?;
    let targets = targets_of(&trace.path_after(place));
    let known = targets.iter().all(|target| target.is_finite());
    known.then(|| (trace.values[place], targets))
}

/// How often each event happened in the training part, by threshold and window.
fn climatology(trace: &Trace, thresholds: &[f64; THRESHOLDS]) -> [[f64; WINDOW_COUNT]; THRESHOLDS] {
    let end = trace.end.min(trace.values.len());
    let mut happened = [[0.0; WINDOW_COUNT]; THRESHOLDS];
    let mut count: f64 = 0.0;
    for step in 0..end.saturating_sub(HORIZON) {
        let targets = targets_of(&trace.path_after(step));
        if targets.iter().any(|target| target.is_nan()) {
            continue;
        }
        count += 1.0;
        for (happened, threshold) in happened.iter_mut().zip(thresholds) {
            for (happened, target) in happened.iter_mut().zip(WINDOW_TARGETS) {
                *happened += f64::from(u8::from(targets[target] > *threshold));
            }
        }
    }
    happened.map(|windows| windows.map(|happened| happened / count.max(1.0)))
}

fn add_targets(sums: &mut [TargetSums; TARGET_COUNT], forecast: &Forecast, outcomes: &[f64; TARGET_COUNT]) {
    for ((sums, quantiles), outcome) in sums.iter_mut().zip(&forecast.quantiles).zip(outcomes) {
        let pinball = |place: usize| {
            let missed = outcome - quantiles[place];
            (LEVELS[place] * missed).max((LEVELS[place] - 1.0) * missed)
        };
        sums.count += 1.0;
        sums.crps += 2.0 * DECILES.map(pinball).sum::<f64>() / 9.0;
        sums.pinball99 += pinball(HIGHEST);
        sums.covered95 += f64::from(u8::from(*outcome <= quantiles[HIGH]));
    }
}

fn add_events(
    sums: &mut SeriesSums,
    column: usize,
    forecast: &Forecast,
    (now, threshold): (f64, f64),
    (targets, climatology): (&[f64; TARGET_COUNT], &[f64; WINDOW_COUNT]),
) {
    for (window, target) in WINDOW_TARGETS.iter().enumerate() {
        let chance = forecast.chances[window][column];
        if chance.is_nan() {
            continue;
        }
        let chance = chance.clamp(0.0, 1.0);
        let happened = f64::from(u8::from(targets[*target] > threshold));
        let sums = &mut sums.events[window][column];
        sums.count += 1.0;
        sums.brier += (chance - happened).powi(2);
        sums.climatology += (climatology[window] - happened).powi(2);
        let bin = &mut sums.bins[((chance * BINS as f64) as usize).min(BINS - 1)];
        for (sum, value) in bin.iter_mut().zip([1.0, chance, happened]) {
            *sum += value;
        }
        if now <= threshold {
            sums.onset_count += 1.0;
            sums.onset_events += happened;
            sums.onset_brier += (chance - happened).powi(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::read_origins;
    use super::*;
    use crate::models::QUANTILES;

    fn trace() -> Trace {
        Trace {
            id: "a".to_owned(),
            step_s: 300,
            times_s: (0..40).map(|step| step * 300).collect(),
            values: (0..40_u8).map(|step| f64::from(step % 10)).collect(),
            minutes: Vec::new(),
            end: 23,
        }
    }

    #[test]
    fn a_perfect_forecast_has_no_loss() {
        let text = "series_id,origin,thr90,thr95\na,1970-01-01 02:00:00,3,8\n";
        let traces = [trace()];
        let plan = Plan::new(&traces, &read_origins(text).expect("origins")).expect("known");
        // From step 24 with value 4: 5, 6, 7, 8, 9, 0, …
        let outcome = [5.0, 7.0, 6.0, 7.0, 9.0];
        let forecast = Forecast {
            quantiles: outcome.map(|value| [value; QUANTILES]),
            chances: [[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]],
        };
        let forecasts = Forecasts::from([(("a".to_owned(), 7200), forecast)]);
        let sums = &score(&traces, &plan, &forecasts)["a"];
        for target in &sums.targets {
            assert_eq!((target.count, target.crps, target.covered95), (1.0, 0.0, 1.0));
        }
        for window in &sums.events {
            assert_eq!((window[0].brier, window[1].brier), (0.0, 0.0));
            assert_eq!(
                (window[0].onset_count, window[1].onset_count),
                (0.0, 1.0),
                "above 3 already, not yet above 8"
            );
        }
        // One value in ten is above 8, and one of every twelve in a row is.
        let missed = sums.events[0][1].climatology.sqrt();
        assert!((missed - 0.1).abs() < 0.02, "{missed}");
        assert_eq!(sums.events[2][1].climatology, 0.0);
    }
}

//! Making the peak model from traces, and growing trees from a host's own rows on top of it.
//!
//! [`gather`] and [`fit`] make the model that ships. A host's rows come with what happened after them, in the order of
//! time; [`Growth`] grows trees on the older ones tree by tree, so that it may be interrupted anywhere and go on from
//! what it kept, and [`judge`] says by the newest rows, which no tree has seen, whether the result is better.

use super::super::exceedances::DISTANCE;
use super::super::gbdt::{Matrix, Parameters, Random, train_quantiles};
use super::super::past::{DAY, HORIZON, Past};
use super::super::rows::{EventRows, exceeded};
use super::super::series::{BODY_ROW, COMMON_ROW, FOREST_ROW, knows_minutes, without_minutes};
use super::super::trained::Trained;
use super::super::training::{TARGET_MAX, Trace, fit_events, fit_minutes, sorted_part, threshold_of};
use super::super::{LEVELS, QUANTILES, WINDOW_COUNT, targets_of};
use super::{HEIGHT, PeakModel, STEPS_MIN, body_row, common_row, event_row};

/// One of this many steps becomes a row, of the events (several times, with other thresholds) and of the body.
const STRIDE: f64 = 6.0;
/// Thresholds at percentiles of the series, of what is still to come too.
const AMONG: usize = 2;
/// How far above all that was seen other thresholds lie, as powers of ten: in scales, and in parts of the highest. A
/// unit's limit is where it is whatever the unit does, and most never come there; from thresholds that are sooner or
/// later reached by their choice nothing else could be learned than that a calm series is about to rise.
const BEYOND_SCALES: (f64, f64) = (-1.0, 1.5);
const BEYOND_PARTS: (f64, f64) = (-1.5, 0.5);
/// Every trace is followed once in whole, and once in pieces that begin anew: of so many steps.
const PIECE: (f64, f64) = (12.0, 288.0);
/// Bins per feature.
const BINS: usize = 64;
const SEED: u64 = 11;

/// Rows with their outcomes.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Event rows, none of which knows one-minute values.
    events: EventRows,
    /// Those of them that could, with them.
    with_minutes: EventRows,
    body: Vec<f32>,
    heights: Vec<f32>,
}

impl Rows {
    /// How many rows there are: of the events, of those with minutes, and of the body.
    pub fn counts(&self) -> [usize; 3] {
        [self.events.len(), self.with_minutes.len(), self.heights.len()]
    }

    /// Keeps an event row, and where there are minutes another one that knows them.
    fn keep(&mut self, mut row: [f32; FOREST_ROW], happened: [bool; WINDOW_COUNT]) {
        if knows_minutes(&row) {
            self.with_minutes.keep(&row, happened);
        }
        without_minutes(&mut row);
        self.events.keep(&row, happened);
    }
}

/// Follows the traces and gathers rows.
pub fn gather(traces: &[Trace]) -> Rows {
    let mut rows = Rows::default();
    let mut random = Random(SEED);
    for trace in traces {
        let end = trace.end.min(trace.values.len());
        follow(trace, 0..end, &mut random, &mut rows);
        let mut begin = 0;
        while begin < end {
            let length = PIECE.0 + (PIECE.1 - PIECE.0) * random.unit();
            let next = (begin + length as usize).min(end);
            follow(trace, begin..next, &mut random, &mut rows);
            begin = next;
        }
    }
    rows
}

/// Follows a part of a trace; outcomes may lie after it.
fn follow(trace: &Trace, steps: std::ops::Range<usize>, random: &mut Random, rows: &mut Rows) {
    let end = trace.end.min(trace.values.len());
    let sorted = sorted_part(&trace.values[steps.clone()]);
    let mut past = Past::new(trace.step_s);
    for step in steps {
        for (time_s, value) in trace.minutes_of(step) {
            past.push_fine(*time_s, *value);
        }
        let early = past.push(trace.times_s[step], trace.values[step]).is_err() || past.len() < STEPS_MIN;
        let drawn = random.unit() * STRIDE < 1.0;
        if early || !drawn || step + HORIZON >= end || trace.values[step].is_nan() {
            continue;
        }
        let targets = targets_of(&trace.path_after(step));
        if targets.iter().any(|target| !target.is_finite()) {
            continue;
        }
        let common = common_row(&past);
        let height = (targets[HEIGHT] - past.last()) / past.scale();
        rows.body.extend(body_row(&common));
        rows.heights.push(height.clamp(-TARGET_MAX, TARGET_MAX) as f32);
        for threshold in thresholds(&past, &sorted, random) {
            let row = event_row(&past, &common, threshold);
            rows.keep(row, exceeded(&targets, threshold));
        }
    }
}

/// Thresholds to ask about at the end of `past`, of a series whose values are `sorted`.
fn thresholds(past: &Past, sorted: &[f64], random: &mut Random) -> [f64; AMONG + 2] {
    let known = past.tail(7 * DAY).iter().filter(|value| value.is_finite());
    let highest = known.copied().fold(past.last(), f64::max);
    let mut power = |(low, high): (f64, f64)| 10_f64.powf(low + (high - low) * random.unit());
    let in_scales = highest + past.scale() * power(BEYOND_SCALES);
    let in_parts = highest + highest.abs() * power(BEYOND_PARTS);
    let among: [f64; AMONG] = std::array::from_fn(|_| threshold_of(sorted, random));
    [among[0], among[1], in_scales, in_parts]
}

/// Trains the model on gathered rows.
pub fn fit(rows: &Rows) -> PeakModel {
    let parameters = Parameters {
        trees: 100,
        max_leaves: 32,
        learning_rate: 0.09,
        feature_share: 0.5,
        ridge: 1.0,
        monotone: falling(),
        ..Parameters::default()
    };
    let mut trained = Trained {
        events: fit_events(&rows.events, &parameters, BINS),
        with_minutes: fit_minutes(&rows.events, &rows.with_minutes, &parameters, BINS),
        ..Trained::default()
    };
    let parameters = Parameters {
        trees: 60,
        learning_rate: 0.12,
        min_rows: 100,
        ..Parameters::default()
    };
    let matrix = Matrix::new(&rows.body, BODY_ROW, BINS);
    let starts = vec![0.0; rows.heights.len() * QUANTILES];
    let levels = LEVELS.map(|level| level as f32);
    trained.body[HEIGHT] = train_quantiles(&matrix, &rows.heights, &starts, &levels, &parameters);
    PeakModel {
        host_rows: 0,
        trained,
    }
}

/// Chances fall with the distance to the threshold.
fn falling() -> Vec<i8> {
    let mut monotone = vec![0; FOREST_ROW];
    monotone[COMMON_ROW + DISTANCE] = -1;
    monotone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_thresholds_lie_among_the_values_and_some_above_all_that_was_seen() {
        let mut past = Past::new(300);
        let values: Vec<f64> = (0..600_u32).map(|step| f64::from(step * 7919 % 101)).collect();
        for (time_s, value) in (0..).step_by(300).zip(&values[..300]) {
            past.push(time_s, *value).expect("time goes forward");
        }
        let sorted = sorted_part(&values);
        let mut random = Random(3);
        for _ in 0..200 {
            let [among, again, in_scales, in_parts] = thresholds(&past, &sorted, &mut random);
            assert!(among <= 100.0 && again <= 100.0);
            assert!(in_scales > 100.0 && in_scales < 100.0 + 40.0 * past.scale());
            assert!(in_parts > 103.0 && in_parts < 420.0, "{in_parts}");
        }
    }
}

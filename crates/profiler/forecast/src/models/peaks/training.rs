//! Making the peak model from traces, and growing trees from a host's own rows on top of it.
//!
//! [`gather`] and [`fit`] make the model that ships. A host's rows come with what happened after them, in the order of
//! time; [`Growth`] grows trees on the older ones tree by tree, so that it may be interrupted anywhere and go on from
//! what it kept, and [`judge`] says by the newest rows, which no tree has seen, whether the result is better.

use super::super::exceedances::DISTANCE;
use super::super::gbdt::{Loss, Matrix, Parameters, Random, train, train_quantiles};
use super::super::past::{HORIZON, Past};
use super::super::series::{BODY_ROW, COMMON_ROW, EVENT_ROW};
use super::super::trained::Trained;
use super::super::training::{TARGET_MAX, Trace, sorted_part, threshold_of};
use super::super::{LEVELS, QUANTILES, WINDOW_COUNT, WINDOW_TARGETS, targets_of};
use super::{HEIGHT, PeakModel, STEPS_MIN, body_row, common_row, event_row};

/// One of this many steps becomes a row, of the events (twice, with two thresholds) and of the body.
const STRIDE: f64 = 6.0;
/// Every trace is followed once in whole, and once in pieces that begin anew: of so many steps.
const PIECE: (f64, f64) = (12.0, 288.0);
/// Bins per feature.
const BINS: usize = 64;
const SEED: u64 = 11;

/// Rows with their outcomes.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    events: Vec<f32>,
    happened: [Vec<f32>; WINDOW_COUNT],
    body: Vec<f32>,
    heights: Vec<f32>,
}

impl Rows {
    /// How many rows there are, of the events and of the body.
    pub fn counts(&self) -> (usize, usize) {
        (self.happened[0].len(), self.heights.len())
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
        for _ in 0..2 {
            let threshold = threshold_of(&sorted, random);
            rows.events.extend(event_row(&past, &common, threshold));
            for (kept, target) in rows.happened.iter_mut().zip(WINDOW_TARGETS) {
                kept.push(f32::from(u8::from(targets[target] > threshold)));
            }
        }
    }
}

/// Trains the model on gathered rows.
pub fn fit(rows: &Rows) -> PeakModel {
    let mut trained = Trained::default();
    let matrix = Matrix::new(&rows.events, EVENT_ROW, BINS);
    let parameters = Parameters {
        trees: 100,
        max_leaves: 32,
        learning_rate: 0.09,
        feature_share: 0.5,
        ridge: 1.0,
        monotone: falling(),
        ..Parameters::default()
    };
    for (forest, happened) in trained.events.iter_mut().zip(&rows.happened) {
        *forest = train(&matrix, happened, Loss::Logistic, &parameters, |_| true);
    }
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
    let mut monotone = vec![0; EVENT_ROW];
    monotone[COMMON_ROW + DISTANCE] = -1;
    monotone
}

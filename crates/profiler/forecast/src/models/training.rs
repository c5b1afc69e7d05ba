//! Making the trained models from traces, reproducibly.
//!
//! Every trace is followed as a stream would follow it, and at seeded moments its rows are kept with what came after,
//! so that what is trained on is what will be asked about. Event rows carry thresholds at random percentiles of the
//! trace, the body's rows the five targets. Rows with one-minute values are kept a second time without them: what answers
//! without minutes learns from these. Nothing after [`Trace::end`] is looked at.

use super::exceedances::DISTANCE;
use super::gbdt::{Forest, Loss, Matrix, Parameters, Random, train, train_quantiles};
use super::past::HORIZON;
use super::rows::{EventRows, exceeded};
use super::series::{
    BODY_ROW, COMMON_ROW, FOREST_ROW, Series, body_without_minutes, knows_minutes, without_minutes,
};
use super::trained::Trained;
use super::{LEVELS, TARGET_COUNT, WINDOW_COUNT, targets_of};

/// Targets are cut off here, in scales.
pub(crate) const TARGET_MAX: f64 = 60.0;
/// Share of the thresholds that are drawn from the percentiles that contention usually begins at, and these; the
/// others are drawn from nearly all.
const HIGH_SHARE: f64 = 0.5;
const HIGH: (f64, f64) = (0.85, 0.98);
const ALL: (f64, f64) = (0.55, 0.998);

/// One series to learn from.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its name.
    pub id: String,
    /// Length of a step in seconds.
    pub step_s: u32,
    /// Beginning of each step, Unix seconds, rising.
    pub times_s: Vec<i64>,
    /// Value of each step; NaN is missing.
    pub values: Vec<f64>,
    /// Beginnings of minutes, rising, with their means; empty where none are known.
    pub minutes: Vec<(i64, f64)>,
    /// Only this many of the steps are looked at.
    pub end: usize,
}

impl Trace {
    /// The minutes within a step.
    pub fn minutes_of(&self, step: usize) -> &[(i64, f64)] {
        let from_s = self.times_s[step];
        let first = self.minutes.partition_point(|(time_s, _)| *time_s < from_s);
        let within =
            self.minutes[first..].partition_point(|(time_s, _)| *time_s < from_s + i64::from(self.step_s));
        &self.minutes[first..first + within]
    }

    /// The values that followed a step, by their times; NaN where a row is missing.
    pub fn path_after(&self, step: usize) -> [f64; HORIZON] {
        let step_s = i64::from(self.step_s.max(1));
        let mut path = [f64::NAN; HORIZON];
        let mut passed = 0;
        for (times_s, value) in self.times_s[step..].windows(2).zip(&self.values[step + 1..]) {
            passed += ((times_s[1] - times_s[0] + step_s / 2) / step_s).max(1);
            let ahead = usize::try_from(passed - 1).ok();
            let Some(place) = ahead.and_then(|ahead| path.get_mut(ahead)) else {
                break;
            };
            *place = *value;
        }
        path
    }
}

/// Settings of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// One of this many steps becomes an event row (per threshold).
    pub event_stride: f64,
    /// Thresholds per step that was chosen.
    pub thresholds: usize,
    /// One of this many steps becomes a row of the body.
    pub body_stride: f64,
    /// Settings of the event forests.
    pub events: Parameters,
    /// Settings of the body's forests.
    pub body: Parameters,
    /// Bins per feature.
    pub bins: usize,
    /// Seed of the sampling of moments and thresholds.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let mut monotone = vec![0; FOREST_ROW];
        monotone[COMMON_ROW + DISTANCE] = -1;
        Self {
            event_stride: 5.0,
            thresholds: 2,
            body_stride: 4.0,
            events: Parameters {
                trees: 150,
                max_leaves: 40,
                learning_rate: 0.07,
                feature_share: 0.5,
                ridge: 1.0,
                monotone,
                ..Parameters::default()
            },
            body: Parameters {
                trees: 130,
                learning_rate: 0.09,
                min_rows: 100,
                ..Parameters::default()
            },
            bins: 96,
            seed: 7,
        }
    }
}

impl Options {
    /// A small part of the work for most of the skill: fewer moments, smaller and fewer trees.
    pub fn quick() -> Self {
        let whole = Self::default();
        Self {
            event_stride: 12.0,
            thresholds: 1,
            body_stride: 16.0,
            events: Parameters {
                trees: 60,
                max_leaves: 20,
                learning_rate: 0.15,
                ..whole.events
            },
            body: Parameters {
                trees: 40,
                learning_rate: 0.2,
                ..whole.body
            },
            bins: 64,
            ..whole
        }
    }
}

/// Rows with their outcomes.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Event rows, none of which knows one-minute values.
    pub events: EventRows,
    /// Those of them that could, with them.
    pub with_minutes: EventRows,
    /// Rows of the body.
    pub body: Vec<f32>,
    /// Targets of each row of the body, relative to the last value, in scales.
    pub targets: [Vec<f32>; TARGET_COUNT],
    /// What the blocks said of them: a quantile per level, row by row.
    pub starts: [Vec<f32>; TARGET_COUNT],
}

/// Follows the traces and gathers rows.
pub fn gather(traces: &[Trace], options: &Options) -> Rows {
    let mut rows = Rows::default();
    let mut random = Random(options.seed);
    for trace in traces {
        follow(trace, options, &mut random, &mut rows);
    }
    rows
}

fn follow(trace: &Trace, options: &Options, random: &mut Random, rows: &mut Rows) {
    let end = trace.end.min(trace.values.len()).min(trace.times_s.len());
    let sorted = sorted_part(&trace.values[..end]);
    let mut series = Series::new(trace.step_s);
    for step in 0..end {
        for (time_s, value) in trace.minutes_of(step) {
            series.observe_fine(*time_s, *value);
        }
        if series.observe(trace.times_s[step], trace.values[step]).is_err() {
            continue;
        }
        let event = random.unit() * options.event_stride < 1.0;
        let body = random.unit() * options.body_stride < 1.0;
        if !(event || body) || step < 2 * HORIZON || step + HORIZON >= end {
            continue;
        }
        let targets = targets_of(&trace.path_after(step));
        if targets.iter().any(|target| !target.is_finite()) {
            continue;
        }
        if body {
            keep_body(&series, &targets, rows);
        }
        let count = if event { options.thresholds } else { 0 };
        for _ in 0..count {
            let threshold = threshold_of(&sorted, random);
            keep_event(&series, threshold, &targets, rows);
        }
    }
}

fn keep_body(series: &Series, targets: &[f64; TARGET_COUNT], rows: &mut Rows) {
    let Some(moment) = series.moment() else { return };
    let quantiles = moment.blocks.quantiles();
    let mut row = moment.body_row(&quantiles);
    body_without_minutes(&mut row);
    rows.body.extend(row);
    for (kept, target) in rows.targets.iter_mut().zip(targets) {
        let relative = (target - moment.base) / moment.scale;
        kept.push(relative.clamp(-TARGET_MAX, TARGET_MAX) as f32);
    }
    for (kept, quantiles) in rows.starts.iter_mut().zip(&quantiles) {
        kept.extend(moment.start(quantiles));
    }
}

/// Keeps an event row, and where there are minutes another one that knows them.
fn keep_event(series: &Series, threshold: f64, targets: &[f64; TARGET_COUNT], rows: &mut Rows) {
    let Some(moment) = series.moment() else { return };
    let happened = exceeded(targets, threshold);
    let mut row = series.forest_row(&moment, &series.exceedances(threshold)).0;
    if knows_minutes(&row) {
        rows.with_minutes.keep(&row, happened);
    }
    without_minutes(&mut row);
    rows.events.keep(&row, happened);
}

/// The known values in rising order.
pub(crate) fn sorted_part(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// A threshold at a random percentile of sorted values, at least one.
pub(crate) fn threshold_of(sorted: &[f64], random: &mut Random) -> f64 {
    let (low, high) = if random.unit() < HIGH_SHARE { HIGH } else { ALL };
    let level = low + (high - low) * random.unit();
    let position = level * (sorted.len() - 1) as f64;
    let below = position as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * position.fract()
}

/// A forest per window.
pub(crate) fn fit_events(rows: &EventRows, parameters: &Parameters, bins: usize) -> [Forest; WINDOW_COUNT] {
    let matrix = rows.matrix(rows.len(), bins);
    std::array::from_fn(|window| {
        let happened = rows.happened(window);
        train(&matrix, happened, Loss::Logistic, parameters, |_| true)
    })
}

/// Forests for rows that know one-minute values, which learn from those and from all that do not; none where there are
/// no such rows.
pub(crate) fn fit_minutes(
    without: &EventRows,
    with: &EventRows,
    parameters: &Parameters,
    bins: usize,
) -> [Forest; WINDOW_COUNT] {
    if with.is_empty() {
        return Default::default();
    }
    let mut all = without.clone();
    all.extend(with);
    fit_events(&all, parameters, bins)
}

/// Trains all forests on gathered rows.
pub fn fit(rows: &Rows, options: &Options) -> Trained {
    let mut trained = Trained {
        events: fit_events(&rows.events, &options.events, options.bins),
        with_minutes: fit_minutes(&rows.events, &rows.with_minutes, &options.events, options.bins),
        ..Trained::default()
    };
    let levels = LEVELS.map(|level| level as f32);
    let matrix = Matrix::new(&rows.body, BODY_ROW, options.bins);
    let targets = rows.targets.iter().zip(&rows.starts);
    for (forest, (targets, starts)) in trained.body.iter_mut().zip(targets) {
        *forest = train_quantiles(&matrix, targets, starts, &levels, &options.body);
    }
    trained
}

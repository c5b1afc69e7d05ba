//! Trees from a host's own rows, on top of the shipped model.
//!
//! A unit's past comes as steps of five minutes: the highest load of each, and whether there was contention. Steps under
//! a lease, and such of which nothing is known, say nothing of what would have come: rows that reach into them are left
//! out. [`Growth`] grows tree by tree on the older rows and may be kept and resumed between any two; [`Growth::verdict`]
//! compares it with the model in force on the newest rows, which no tree has seen.

use super::super::calendar::Calendar;
use super::super::exceedances::DISTANCE;
use super::super::gbdt::{Forest, Grower, Loss, Matrix, Parameters, Random};
use super::super::past::{HORIZON, Past};
use super::super::rows::EventRows;
use super::super::series::{COMMON_ROW, FOREST_ROW};
use super::super::{WINDOW_COUNT, WINDOW_TARGETS, targets_of};
use super::{PeakModel, STEP_S, common_row, event_row, matched_threshold};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One of this many steps becomes a row.
const STRIDE: f64 = 4.0;
/// Rows that are kept, the newest: 33 MB.
pub const ROWS_MAX: usize = 60_000;
/// Fewer rows than this, or fewer of them followed by contention within the hour, teach nothing that would last.
const ROWS_MIN: usize = 1000;
const EVENTS_MIN: usize = 20;
/// Share of the rows, the newest, that decide.
const JUDGED: f64 = 0.25;
/// The mean squared error must fall by this share at least: less may be luck.
const GAIN: f64 = 0.01;
const BINS: usize = 64;
const SEED: u64 = 29;

/// Minutes of a step.
pub const STEP_MINUTES: usize = STEP_S as usize / 60;

/// What is known of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Highest load, over the capacity where there is one; NaN is missing.
    pub highest: f32,
    /// The same of its minutes, in order.
    pub minutes: [f32; STEP_MINUTES],
    /// Whether there was contention; `None` where that is not known, or where a lease was in effect.
    pub contended: Option<bool>,
}

/// One unit's past.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitPast {
    /// Begin of the first step, Unix seconds.
    pub begin_s: i64,
    /// Whether loads are shares of a capacity.
    pub has_capacity: bool,
    /// Every five minutes one.
    pub steps: Vec<Step>,
}

/// Rows of a host with what came after them, in the order of time.
pub type HostRows = EventRows;

/// Why there is nothing to grow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// Rows that there are.
    pub rows: usize,
    /// Those of them that contention followed within the hour.
    pub events: usize,
}

impl std::fmt::Display for TooFew {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} untreated rows, {} of them with contention within the hour; it takes {ROWS_MIN} and {EVENTS_MIN}",
            self.rows, self.events
        )
    }
}

impl std::error::Error for TooFew {}

/// How the grown model did on rows that it has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Rows that it was grown from, and rows that judged it.
    pub grown: usize,
    /// Rows that judged it.
    pub judged: usize,
    /// Mean squared error of the chances of the model in force, over all windows.
    pub before: f64,
    /// The same of the grown model.
    pub after: f64,
}

impl Verdict {
    /// Whether the grown model should be promoted.
    pub fn is_better(&self) -> bool {
        self.after < (1.0 - GAIN) * self.before
    }
}

/// Gathers rows from the past of all units, which was lived by the local time of `calendar`.
pub fn gather(pasts: &[UnitPast], calendar: &Arc<Calendar>) -> HostRows {
    let mut found: Vec<Found> = Vec::new();
    let mut random = Random(SEED);
    for unit in pasts {
        follow(unit, calendar, &mut random, &mut found);
        if found.len() > 2 * ROWS_MAX {
            keep_newest(&mut found);
        }
    }
    keep_newest(&mut found);
    let mut rows = HostRows::default();
    for (_, row, happened) in found {
        rows.keep(&row, happened);
    }
    rows
}

/// Puts rows in the order of time and keeps the newest.
fn keep_newest(found: &mut Vec<Found>) {
    found.sort_by_key(|(at_s, ..)| *at_s);
    found.drain(..found.len().saturating_sub(ROWS_MAX));
}

/// When, the row, and whether an event came within each window.
type Found = (i64, Box<[f32; FOREST_ROW]>, [bool; WINDOW_COUNT]);

fn follow(unit: &UnitPast, calendar: &Arc<Calendar>, random: &mut Random, found: &mut Vec<Found>) {
    let mut past = Past::new(STEP_S);
    past.set_calendar(calendar);
    let (mut counted, mut contended) = (0.0_f32, 0.0_f32);
    for (place, (at_s, step)) in (unit.begin_s..)
        .step_by(STEP_S as usize)
        .zip(&unit.steps)
        .enumerate()
    {
        for (minute_s, value) in (at_s..).step_by(60).zip(step.minutes) {
            past.push_fine(minute_s, f64::from(value));
        }
        // Time rises by the length of a step, so it is always taken.
        let _ = past.push(at_s, f64::from(step.highest));
        if !step.highest.is_nan() {
            counted += 1.0;
            contended += f32::from(u8::from(step.contended == Some(true)));
        }
        let drawn = random.unit() * STRIDE < 1.0;
        // While contention goes on, its going on is foreseen by others.
        if !drawn || step.contended != Some(false) || step.highest.is_nan() {
            continue;
        }
        let Some(after) = unit.steps.get(place + 1..=place + HORIZON) else {
            return;
        };
        let Some(happened) = followed(after) else { continue };
        let threshold = matched_threshold(&past, (counted, contended), unit.has_capacity);
        if let Some(threshold) = threshold {
            let row = event_row(&past, &common_row(&past), threshold);
            found.push((at_s, Box::new(row), happened));
        }
    }
}

/// Whether contention came within each window; `None` where that cannot be said.
fn followed(after: &[Step]) -> Option<[bool; WINDOW_COUNT]> {
    let mut path = [0.0; HORIZON];
    for (value, step) in path.iter_mut().zip(after) {
        *value = f64::from(u8::from(step.contended?));
    }
    let targets = targets_of(&path);
    Some(WINDOW_TARGETS.map(|target| targets[target] > 0.5))
}

/// What was grown so far: enough, with the rows, to go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// A forest per window; the last one may be unfinished.
    forests: Vec<Forest>,
    random: u64,
}

/// Growing, tree by tree.
pub struct Growth<'a> {
    model: &'a PeakModel,
    rows: &'a HostRows,
    matrix: Matrix,
    parameters: Parameters,
    older: usize,
    kept: Kept,
}

impl<'a> Growth<'a> {
    /// From nothing, or from what was kept of the same rows on top of the same model.
    pub fn new(model: &'a PeakModel, rows: &'a HostRows, kept: Option<Kept>) -> Result<Self, TooFew> {
        let count = rows.len();
        let events = rows
            .happened(WINDOW_COUNT - 1)
            .iter()
            .filter(|happened| **happened > 0.5)
            .count();
        if count < ROWS_MIN || events < EVENTS_MIN {
            return Err(TooFew { rows: count, events });
        }
        let older = ((1.0 - JUDGED) * count as f64) as usize;
        Ok(Self {
            model,
            rows,
            matrix: rows.matrix(older, BINS),
            parameters: parameters(older),
            older,
            kept: kept.unwrap_or(Kept {
                forests: Vec::new(),
                random: SEED,
            }),
        })
    }

    /// What to keep, so that an interruption costs nothing.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Trees that were grown, and how many there will be.
    pub fn progress(&self) -> (usize, usize) {
        let grown = self.kept.forests.iter().map(|forest| forest.trees().len()).sum();
        (grown, WINDOW_COUNT * self.parameters.trees)
    }

    /// Grows up to `count` trees of one window; false once all are grown. The caller keeps [`Growth::kept`] between.
    pub fn grow(&mut self, count: usize) -> bool {
        let full = |forest: &Forest| forest.trees().len() >= self.parameters.trees;
        if self.kept.forests.last().is_none_or(full) {
            if self.kept.forests.len() == WINDOW_COUNT {
                return false;
            }
            self.kept.forests.push(Forest::new(FOREST_ROW, 0.0, Vec::new()));
            self.kept.random = SEED;
        }
        let window = self.kept.forests.len() - 1;
        let shipped = &self.model.trained;
        let rows = self.rows.rows()[..self.older].iter();
        let scores: Vec<f32> = rows
            .map(|row| shipped.events_for(row)[window].predict(row))
            .collect();
        let targets = &self.rows.happened(window)[..self.older];
        let trees = std::mem::take(self.kept.forests[window].trees_mut());
        let left = self.parameters.trees - trees.len();
        let mut grower = Grower::new(
            &self.matrix,
            targets,
            0.0,
            scores,
            Loss::Logistic,
            &self.parameters,
        );
        grower.resume(trees, self.kept.random);
        (0..count.min(left)).for_each(|_| grower.grow());
        let (forest, random) = grower.kept();
        self.kept.forests[window] = forest.clone();
        self.kept.random = random;
        true
    }

    /// The grown model, once all trees are there, and how it did beside the one in force.
    pub fn verdict(&self, in_force: &PeakModel) -> (PeakModel, Verdict) {
        let mut grown = self.model.clone();
        // They stand on whatever answers for a row.
        let trained = &mut grown.trained;
        let forests = trained.events.iter_mut().zip(&self.kept.forests);
        let knows_minutes = trained
            .with_minutes
            .iter()
            .all(|forest| !forest.trees().is_empty());
        let minutes = trained.with_minutes.iter_mut().zip(&self.kept.forests);
        for (forest, own) in forests.chain(minutes.filter(|_| knows_minutes)) {
            forest.width = FOREST_ROW;
            forest.trees_mut().extend(own.trees().iter().cloned());
        }
        grown.host_rows = u32::try_from(self.older).unwrap_or(u32::MAX);
        let (mut before, mut after) = (0.0, 0.0);
        for (place, row) in self.rows.rows().iter().enumerate().skip(self.older) {
            let (old, new) = (in_force.chances(row), grown.chances(row));
            for window in 0..WINDOW_COUNT {
                let came = f64::from(self.rows.happened(window)[place]);
                before += (old[window] - came).powi(2);
                after += (new[window] - came).powi(2);
            }
        }
        let judged = self.rows.len() - self.older;
        let count = (judged * WINDOW_COUNT) as f64;
        let verdict = Verdict {
            grown: self.older,
            judged,
            before: before / count,
            after: after / count,
        };
        (grown, verdict)
    }
}

fn parameters(rows: usize) -> Parameters {
    let mut monotone = vec![0; FOREST_ROW];
    monotone[COMMON_ROW + DISTANCE] = -1;
    Parameters {
        trees: (rows / 250).clamp(20, 60),
        max_leaves: 12,
        learning_rate: 0.06,
        min_rows: 40,
        ridge: 2.0,
        feature_share: 0.4,
        monotone,
        seed: SEED,
        ..Parameters::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A unit that is contended in every tenth step, and one whose contention no load shows.
    fn pasts(foreseeable: bool) -> Vec<UnitPast> {
        let mut random = Random(3);
        let mut unit = |phase: usize| {
            let steps = (0..2500).map(|step| {
                let due = (step + phase).is_multiple_of(10);
                let came = if foreseeable { due } else { random.unit() < 0.1 };
                let noise = random.unit() as f32 * 0.2;
                let rise = foreseeable && (step + phase) % 10 == 9;
                Step {
                    highest: noise + if rise { 0.6 } else { 0.3 },
                    minutes: [f32::NAN; STEP_MINUTES],
                    contended: Some(came),
                }
            });
            UnitPast {
                begin_s: 1_700_000_100,
                has_capacity: true,
                steps: steps.collect(),
            }
        };
        vec![unit(0), unit(3), unit(7)]
    }

    fn finish(growth: &mut Growth, trees: usize) {
        while growth.grow(trees) {}
    }

    #[test]
    fn an_interrupted_growth_gives_the_same_model() {
        let model = PeakModel::shipped().expect("it is read");
        let rows = gather(&pasts(true), &Arc::default());
        let mut whole = Growth::new(&model, &rows, None).expect("enough");
        finish(&mut whole, 1000);
        let mut kept = None;
        loop {
            // Everything but what was kept is lost after every third tree.
            let mut part = Growth::new(&model, &rows, kept.take()).expect("enough");
            let more = part.grow(3);
            let bytes = postcard::to_stdvec(part.kept()).expect("bytes");
            kept = Some(postcard::from_bytes(&bytes).expect("kept"));
            if !more {
                break;
            }
        }
        let resumed = Growth::new(&model, &rows, kept).expect("enough");
        assert_eq!(resumed.verdict(&model), whole.verdict(&model));
        let bytes = |growth: &Growth| growth.verdict(&model).0.to_bytes();
        assert_eq!(bytes(&resumed), bytes(&whole));
    }

    #[test]
    fn better_is_promoted_and_worse_refused() {
        let model = PeakModel::shipped().expect("it is read");
        for (foreseeable, expect) in [(true, true), (false, false)] {
            let rows = gather(&pasts(foreseeable), &Arc::default());
            let mut first = Growth::new(&model, &rows, None).expect("enough");
            finish(&mut first, 1000);
            let (grown, verdict) = first.verdict(&model);
            if expect {
                assert!(verdict.is_better(), "{verdict:?}");
                continue;
            }
            // The host's own share is learned at once; growing further on noise is no gain.
            let verdict = first.verdict(&grown).1;
            assert!(!verdict.is_better(), "no better than itself: {verdict:?}");
            let mut again = Growth::new(&grown, &rows, None).expect("enough");
            finish(&mut again, 1000);
            let verdict = again.verdict(&grown).1;
            assert!(!verdict.is_better(), "{verdict:?}");
        }
    }

    #[test]
    fn treated_and_unknown_steps_teach_nothing() {
        let mut units = pasts(true);
        for unit in &mut units {
            unit.steps.iter_mut().for_each(|step| step.contended = None);
        }
        let rows = gather(&units, &Arc::default());
        let refused = Growth::new(&PeakModel::default(), &rows, None)
            .map(|_| ())
            .expect_err("no rows");
        assert_eq!(refused, TooFew { rows: 0, events: 0 });
    }
}

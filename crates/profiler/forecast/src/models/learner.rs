//! What a host teaches the shipped forests.
//!
//! In every series, moments are drawn and their rows kept until their outcome is known. Whenever the kept rows
//! have grown by a share, each forest grows further trees on them, on top of the shipped ones: what is good
//! elsewhere is where the host begins. The trees are kept only where they lower the loss of the newest rows, which
//! they have not seen; then they are grown once more on all rows. No clock and no thread: the caller's rows say when.

use super::exceedances::DISTANCE;
use super::gbdt::{Loss, Matrix, Parameters, QuantileForest, Random, Tree, train_from, train_quantiles};
use super::rows::EventRows;
use super::series::{BODY_ROW, COMMON_ROW, FOREST_ROW};
use super::trained::Trained;
use super::{LEVELS, QUANTILES, TARGET_COUNT, WINDOW_COUNT};
use std::collections::VecDeque;
use std::sync::Arc;

/// One of this many steps of a series becomes a row.
const STRIDE: f64 = 6.0;
/// Rows before anything is grown, and by how much they must have grown since the last time.
const ROWS_MIN: usize = 2500;
const GROWTH: f64 = 2.0;
/// Rows that are kept, the newest: 33 MB.
const ROWS_MAX: usize = 60_000;
/// Rows of the body that are kept, the newest: 22 MB.
const BODY_ROWS_MAX: usize = 30_000;
/// When there are more, this share of them is forgotten at once, the oldest.
const FORGET: f64 = 0.2;
/// Share of the rows, the newest, that trees are judged by.
const JUDGED: f64 = 0.25;
/// Bins per feature.
const BINS: usize = 64;
/// Trees of a host are few and careful; more rows allow more of them.
const TREES: std::ops::RangeInclusive<usize> = 20..=80;
const ROWS_PER_TREE: usize = 400;

/// A row of the body whose outcome is known.
#[derive(Clone, Debug)]
pub struct BodyRow {
    /// See [`super::series::Moment::body_row`].
    pub row: [f32; BODY_ROW],
    /// Where the trees start from, by target.
    pub starts: [[f32; QUANTILES]; TARGET_COUNT],
    /// What came, from the last value on, in scales.
    pub targets: [f32; TARGET_COUNT],
}

/// Rows of this host, and the forests that came of them.
#[derive(Clone, Debug)]
pub struct Learner {
    shipped: Arc<Trained>,
    rows: EventRows,
    body: VecDeque<BodyRow>,
    grown_at: usize,
    random: Random,
}

impl Learner {
    /// Nothing learned yet.
    pub fn new(shipped: Arc<Trained>) -> Self {
        Self {
            shipped,
            rows: EventRows::default(),
            body: VecDeque::new(),
            grown_at: 0,
            random: Random(17),
        }
    }

    /// Whether a row of the present step is wanted.
    pub fn wants(&mut self) -> bool {
        self.random.unit() * STRIDE < 1.0
    }

    /// A number in [0, 1), for the one who draws a threshold.
    pub fn draw(&mut self) -> f64 {
        self.random.unit()
    }

    /// Keeps a row whose outcome is known, in the order of time.
    pub fn keep(&mut self, row: &[f32; FOREST_ROW], happened: [bool; WINDOW_COUNT]) {
        let count = self.rows.len();
        if count >= ROWS_MAX {
            let forgotten = (count as f64 * FORGET) as usize;
            self.rows.forget(forgotten);
            self.grown_at = self.grown_at.saturating_sub(forgotten);
        }
        self.rows.keep(row, happened);
    }

    /// Keeps a row of the body, in the order of time.
    pub fn keep_body(&mut self, row: BodyRow) {
        if self.body.len() == BODY_ROWS_MAX {
            self.body.pop_front();
        }
        self.body.push_back(row);
    }

    /// Grows trees when it is time to, and gives the forests to go on with.
    pub fn learn(&mut self) -> Option<Arc<Trained>> {
        let count = self.rows.len();
        if count < ROWS_MIN || (count as f64) < self.grown_at as f64 * GROWTH {
            return None;
        }
        self.grown_at = count;
        let mut trained = (*self.shipped).clone();
        let matrix = self.rows.matrix(count, BINS);
        for window in 0..WINDOW_COUNT {
            let grown = self.grown_events(&matrix, window);
            // They stand on whatever answers for a row.
            if trained.knows_minutes() {
                trained.with_minutes[window]
                    .trees_mut()
                    .extend(grown.iter().cloned());
            }
            trained.events[window].width = FOREST_ROW;
            trained.events[window].trees_mut().extend(grown);
        }
        let rows: Vec<f32> = self.body.iter().flat_map(|body| body.row).collect();
        let matrix = Matrix::new(&rows, BODY_ROW, BINS);
        for (target, forest) in trained.body.iter_mut().enumerate() {
            self.grow_body(&matrix, target, forest);
        }
        Some(Arc::new(trained))
    }

    /// Trees for one window on top of the shipped ones; none where they would not help.
    fn grown_events(&self, matrix: &Matrix, window: usize) -> Vec<Tree> {
        let happened = self.rows.happened(window);
        let rows = || self.rows.rows().iter();
        let start = |row: &[f32; FOREST_ROW]| self.shipped.events_for(row)[window].predict(row);
        let starts: Vec<f32> = rows().map(start).collect();
        let judged_from = judged_from(happened.len());
        let parameters = event_parameters(happened.len());
        let grow =
            |count: usize| train_from(matrix, &happened[..count], &starts, Loss::Logistic, &parameters);
        let trial = grow(judged_from);
        let (mut before, mut after) = (0.0, 0.0);
        for ((row, start), happened) in rows().zip(&starts).zip(happened).skip(judged_from) {
            before += log_loss(*start, *happened);
            after += log_loss(start + trial.predict(row), *happened);
        }
        if after < before {
            grow(happened.len()).trees().to_vec()
        } else {
            Vec::new()
        }
    }

    fn grow_body(&self, matrix: &Matrix, target: usize, forest: &mut QuantileForest) {
        let levels = LEVELS.map(|level| level as f32);
        let count = self.body.len();
        let mut starts = Vec::with_capacity(count * QUANTILES);
        for body in &self.body {
            let mut quantiles = body.starts[target];
            forest.add_to(&body.row, &mut quantiles);
            starts.extend(quantiles);
        }
        let targets: Vec<f32> = self.body.iter().map(|body| body.targets[target]).collect();
        let parameters = body_parameters(count);
        let grow = |count: usize| {
            let starts = &starts[..count * QUANTILES];
            let mut grown = train_quantiles(matrix, &targets[..count], starts, &levels, &parameters);
            // The last percentile of a leaf's few rows is hardly more than the greatest of them.
            grown.keep_level(QUANTILES - 1);
            grown
        };
        let judged_from = judged_from(count);
        let trial = grow(judged_from);
        let (mut before, mut after) = (0.0, 0.0);
        let newest = self.body.iter().zip(starts.chunks_exact(QUANTILES));
        for (body, start) in newest.skip(judged_from) {
            let mut quantiles: [f32; QUANTILES] = std::array::from_fn(|level| start[level]);
            before += pinball(&quantiles, body.targets[target]);
            trial.add_to(&body.row, &mut quantiles);
            after += pinball(&quantiles, body.targets[target]);
        }
        if after < before {
            let grown = grow(count);
            forest.width = BODY_ROW;
            forest.levels = QUANTILES;
            forest.trees_mut().extend(grown.trees().iter().cloned());
        }
    }
}

/// The first of the newest rows, which trees are judged by.
fn judged_from(rows: usize) -> usize {
    ((1.0 - JUDGED) * rows as f64) as usize
}

/// Pinball loss over all levels.
fn pinball(quantiles: &[f32; QUANTILES], outcome: f32) -> f64 {
    let losses = quantiles.iter().zip(LEVELS).map(|(quantile, level)| {
        let missed = f64::from(outcome - quantile);
        (level * missed).max((level - 1.0) * missed)
    });
    losses.sum()
}

fn body_parameters(rows: usize) -> Parameters {
    Parameters {
        trees: (rows / ROWS_PER_TREE).clamp(*TREES.start(), *TREES.end() / 2),
        max_leaves: 12,
        learning_rate: 0.06,
        min_rows: 100,
        feature_share: 0.4,
        ..Parameters::default()
    }
}

fn event_parameters(rows: usize) -> Parameters {
    let mut monotone = vec![0; FOREST_ROW];
    monotone[COMMON_ROW + DISTANCE] = -1;
    Parameters {
        trees: (rows / ROWS_PER_TREE).clamp(*TREES.start(), *TREES.end()),
        max_leaves: 16,
        learning_rate: 0.06,
        min_rows: 40,
        ridge: 2.0,
        feature_share: 0.4,
        monotone,
        ..Parameters::default()
    }
}

fn log_loss(log_odds: f32, happened: f32) -> f64 {
    let toward = if happened > 0.5 { -log_odds } else { log_odds };
    f64::from(toward.exp().ln_1p().min(20.0))
}

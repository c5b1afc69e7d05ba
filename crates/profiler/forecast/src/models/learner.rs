//! What a host teaches the shipped event forests.
//!
//! In every series, moments are drawn and their event rows kept until their outcome is known. Whenever the kept rows
//! have grown by a share, each window's forest grows further trees on them, on top of the shipped ones: what is good
//! elsewhere is where the host begins. The trees are kept only where they lower the log-loss of the newest rows, which
//! they have not seen; then they are grown once more on all rows. No clock and no thread: the caller's rows say when.

use super::gbdt::{Forest, Loss, Matrix, Parameters, Random, train_from};
use super::series::{COMMON_ROW, EVENT_ROW};
use super::trained::Trained;
use super::{WINDOW_COUNT, exceedances::DISTANCE};
use std::sync::Arc;

/// One of this many steps of a series becomes a row.
const STRIDE: f64 = 6.0;
/// Rows before anything is grown, and by how much they must have grown since the last time.
const ROWS_MIN: usize = 2500;
const GROWTH: f64 = 1.6;
/// Rows that are kept, the newest: 33 MB.
const ROWS_MAX: usize = 60_000;
/// When there are more, this share of them is forgotten at once, the oldest.
const FORGET: f64 = 0.2;
/// Share of the rows, the newest, that trees are judged by.
const JUDGED: f64 = 0.25;
/// Bins per feature.
const BINS: usize = 64;
/// Trees of a host are few and careful; more rows allow more of them.
const TREES: std::ops::RangeInclusive<usize> = 20..=80;
const ROWS_PER_TREE: usize = 400;

/// Rows of this host, and the forests that came of them.
#[derive(Clone, Debug)]
pub struct Learner {
    shipped: Arc<Trained>,
    rows: Vec<f32>,
    happened: [Vec<f32>; WINDOW_COUNT],
    grown_at: usize,
    random: Random,
}

impl Learner {
    /// Nothing learned yet.
    pub fn new(shipped: Arc<Trained>) -> Self {
        Self {
            shipped,
            rows: Vec::new(),
            happened: Default::default(),
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
    pub fn keep(&mut self, row: &[f32; EVENT_ROW], happened: [bool; WINDOW_COUNT]) {
        let count = self.happened[0].len();
        if count >= ROWS_MAX {
            let forgotten = (count as f64 * FORGET) as usize;
            self.rows.drain(..forgotten * EVENT_ROW);
            for happened in &mut self.happened {
                happened.drain(..forgotten);
            }
            self.grown_at = self.grown_at.saturating_sub(forgotten);
        }
        self.rows.extend(row);
        for (kept, happened) in self.happened.iter_mut().zip(happened) {
            kept.push(f32::from(u8::from(happened)));
        }
    }

    /// Grows trees when it is time to, and gives the forests to go on with.
    pub fn learn(&mut self) -> Option<Arc<Trained>> {
        let count = self.happened[0].len();
        if count < ROWS_MIN || (count as f64) < self.grown_at as f64 * GROWTH {
            return None;
        }
        self.grown_at = count;
        let matrix = Matrix::new(&self.rows, EVENT_ROW, BINS);
        let mut trained = (*self.shipped).clone();
        for (forest, happened) in trained.events.iter_mut().zip(&self.happened) {
            *forest = self.grown(&matrix, happened, forest);
        }
        Some(Arc::new(trained))
    }

    fn grown(&self, matrix: &Matrix, happened: &[f32], shipped: &Forest) -> Forest {
        let starts: Vec<f32> = self
            .rows
            .chunks_exact(EVENT_ROW)
            .map(|row| shipped.predict(row))
            .collect();
        let judged_from = ((1.0 - JUDGED) * happened.len() as f64) as usize;
        let parameters = parameters(happened.len());
        let trial = train_from(
            matrix,
            &happened[..judged_from],
            &starts,
            Loss::Logistic,
            &parameters,
        );
        let newest = self.rows.chunks_exact(EVENT_ROW).zip(&starts).zip(happened);
        let (mut before, mut after) = (0.0, 0.0);
        for ((row, start), happened) in newest.skip(judged_from) {
            before += log_loss(*start, *happened);
            after += log_loss(start + trial.predict(row), *happened);
        }
        if after >= before {
            return shipped.clone();
        }
        let grown = train_from(matrix, happened, &starts, Loss::Logistic, &parameters);
        let mut forest = shipped.clone();
        forest.width = EVENT_ROW;
        forest.trees.extend(grown.trees);
        forest
    }
}

fn parameters(rows: usize) -> Parameters {
    let mut monotone = vec![0; EVENT_ROW];
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

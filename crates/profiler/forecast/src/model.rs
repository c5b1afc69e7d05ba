//! The seam for event models, and the first of them.
//!
//! An event model turns features into P(an unexplained event begins within each window). Heavier ones, trained
//! elsewhere, stand behind the same trait. The first one is logistic: the unit's own rate of onsets as the base,
//! moved by the features, with weights that start from what is sensible and follow the host's untreated rows.

use crate::features::{FEATURES, Features};
use serde::{Deserialize, Serialize};

/// Windows of a prediction.
pub const WINDOWS: usize = 4;

/// Turns features into probabilities.
pub trait EventModel {
    /// P(an event begins within each window), shortest window first, each 0 to 1.
    fn probabilities(&self, features: &Features) -> [f64; WINDOWS];

    /// Takes in what happened in the window number `window` after `features`; `weight` is the worth of the row
    /// (rows whose windows overlap share one).
    fn learn(&mut self, features: &Features, window: usize, happened: bool, weight: f64);
}

/// The event models that a forecaster can hold; a heavier one is a variant more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// The unit's own rate, moved by a logistic regression on the features.
    Logistic(Logistic),
}

impl EventModel for Model {
    fn probabilities(&self, features: &Features) -> [f64; WINDOWS] {
        match self {
            Self::Logistic(model) => model.probabilities(features),
        }
    }

    fn learn(&mut self, features: &Features, window: usize, happened: bool, weight: f64) {
        match self {
            Self::Logistic(model) => model.learn(features, window, happened, weight),
        }
    }
}

/// What a feature is worth before anything was learned: the value at which it says nothing, and log-odds per unit.
/// Distances raise the odds when small, recent contention raises them, the calendar says nothing yet.
const PRIOR: [(f64, f64); FEATURES] = [
    (0.5, -0.8),
    (0.4, -0.8),
    (0.0, 1.0),
    (0.3, -0.5),
    (0.0, 1.0),
    (0.0, 0.5),
    (0.0, 0.0),
    (2.0, -0.1),
    (0.0, 1.0),
    (0.0, 0.5),
    (0.0, 0.0),
    (0.0, 0.0),
    (0.3, 0.0),
    (1.0, 0.0),
];
/// A feature moves the log-odds by at most this much.
const MOVE_MAX: f64 = 2.0;
const RATE: f64 = 0.05;
/// Pull towards the prior per row: some thousand rows of contrary evidence outweigh it.
const PULL: f64 = 0.001;

/// The logistic event model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    windows_s: [u32; WINDOWS],
    weights: [[f64; FEATURES]; WINDOWS],
    offsets: [f64; WINDOWS],
    /// Sums of squared gradients, for the step size of each weight; the last one is the offset's.
    squares: Vec<[f64; WINDOWS]>,
}

pub(crate) fn logit(probability: f64) -> f64 {
    let kept = probability.clamp(1e-6, 1.0 - 1e-6);
    (kept / (1.0 - kept)).ln()
}

pub(crate) fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

fn inputs(features: &Features) -> [f64; FEATURES] {
    let mut inputs = [0.0; FEATURES];
    for ((input, value), (center, _)) in inputs.iter_mut().zip(features.values).zip(PRIOR) {
        let moved = f64::from(value) - center;
        *input = if moved.is_finite() {
            moved.clamp(-5.0, 5.0)
        } else {
            0.0
        };
    }
    inputs
}

impl Logistic {
    /// The model before anything was learned, for windows of these lengths.
    pub fn new(windows_s: [u32; WINDOWS]) -> Self {
        Self {
            windows_s,
            weights: [PRIOR.map(|(_, weight)| weight); WINDOWS],
            offsets: [0.0; WINDOWS],
            squares: vec![[1.0; WINDOWS]; FEATURES + 1],
        }
    }

    fn log_odds(&self, inputs: &[f64; FEATURES], onsets_per_s: f64, window: usize) -> f64 {
        let base = -(-onsets_per_s * f64::from(self.windows_s[window])).exp_m1();
        let moved: f64 = inputs
            .iter()
            .zip(&self.weights[window])
            .map(|(input, weight)| (input * weight).clamp(-MOVE_MAX, MOVE_MAX))
            .sum();
        logit(base) + self.offsets[window] + moved
    }
}

impl EventModel for Logistic {
    fn probabilities(&self, features: &Features) -> [f64; WINDOWS] {
        let inputs = inputs(features);
        std::array::from_fn(|window| logistic(self.log_odds(&inputs, features.onsets_per_s, window)))
    }

    fn learn(&mut self, features: &Features, window: usize, happened: bool, weight: f64) {
        let inputs = inputs(features);
        let probability = logistic(self.log_odds(&inputs, features.onsets_per_s, window));
        let error = weight * (probability - f64::from(u8::from(happened)));
        for (place, input) in inputs.iter().enumerate() {
            let gradient = error * input + PULL * weight * (self.weights[window][place] - PRIOR[place].1);
            let square = &mut self.squares[place][window];
            *square += gradient * gradient;
            self.weights[window][place] -= RATE * gradient / square.sqrt();
        }
        let gradient = error + PULL * weight * self.offsets[window];
        let square = &mut self.squares[FEATURES][window];
        *square += gradient * gradient;
        self.offsets[window] -= RATE * gradient / square.sqrt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_which_feature_matters() {
        let mut model = Logistic::new([60, 300, 900, 3600]);
        let mut features = Features {
            values: [f32::NAN; FEATURES],
            onsets_per_s: 1e-3,
        };
        let untaught = model.probabilities(&features);
        assert!(untaught.windows(2).all(|pair| pair[0] <= pair[1]));
        for step in 0..20_000 {
            features.values[12] = f32::from(u8::from(step % 2 == 0));
            model.learn(&features, 0, step % 2 == 0 && step % 3 != 0, 1.0);
        }
        features.values[12] = 1.0;
        let weekend = model.probabilities(&features)[0];
        features.values[12] = 0.0;
        let weekday = model.probabilities(&features)[0];
        assert!(weekend > 0.5 && weekday < 0.1, "{weekend} {weekday}");
    }
}

//! Chances of several models joined into one, by a logistic regression that learns with every outcome.
//!
//! Inputs are the log-odds of each. The regression begins at the first model as it is, and moves from there by the
//! extended Kalman filter's step (a second-order update per outcome, as in online Newton methods): far where the past
//! is clear, hardly where it is not. A little forgetting keeps it awake.

use super::log_odds;
use serde::{Deserialize, Serialize};

/// Variance at the start: of the constant, of the first model's slope, of the others'.
const START: [f64; 3] = [0.02, 0.01, 0.002];
/// What an outcome is worth: neighbouring ones tell much the same.
const WORTH: f64 = 0.3;
/// Variances grow by this with every outcome, up to their start.
const FORGETTING: f64 = 1.000_5;

/// The regression of one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    weights: Vec<f64>,
    /// Covariance, row by row.
    covariance: Vec<f64>,
}

impl Stack {
    /// For `count` models.
    pub fn new(count: usize) -> Self {
        let width = count + 1;
        let mut weights = vec![0.0; width];
        let mut covariance = vec![0.0; width * width];
        weights[1.min(count)] = 1.0;
        for place in 0..width {
            covariance[place * width + place] = START[place.min(2)];
        }
        Self { weights, covariance }
    }

    /// For as many models as there are `weights`, which are what their log-odds count at the start.
    pub fn weighted(weights: &[f64]) -> Self {
        let mut stack = Self::new(weights.len());
        stack.weights[1..].copy_from_slice(weights);
        stack
    }

    fn inputs(chances: impl Iterator<Item = f64>) -> Vec<f64> {
        std::iter::once(1.0)
            .chain(chances.map(|chance| log_odds(chance.clamp(1e-3, 1.0 - 1e-3))))
            .collect()
    }

    /// The joint chance.
    pub fn chance(&self, chances: impl Iterator<Item = f64>) -> f64 {
        let inputs = Self::inputs(chances);
        let sum: f64 = inputs
            .iter()
            .zip(&self.weights)
            .map(|(input, weight)| input * weight)
            .sum();
        1.0 / (1.0 + (-sum).exp())
    }

    /// Takes in what came.
    pub fn judge(&mut self, chances: impl Iterator<Item = f64>, happened: bool) {
        let inputs = Self::inputs(chances);
        let width = inputs.len();
        let sum: f64 = inputs
            .iter()
            .zip(&self.weights)
            .map(|(input, weight)| input * weight)
            .sum();
        let chance = 1.0 / (1.0 + (-sum).exp());
        let spread: Vec<f64> = self
            .covariance
            .chunks_exact(width)
            .map(|row| row.iter().zip(&inputs).map(|(cell, input)| cell * input).sum())
            .collect();
        let certainty = WORTH * chance * (1.0 - chance);
        let along: f64 = spread
            .iter()
            .zip(&inputs)
            .map(|(spread, input)| spread * input)
            .sum();
        let shrink = certainty / (1.0 + certainty * along);
        let error = WORTH * (f64::from(u8::from(happened)) - chance) / (1.0 + certainty * along);
        for (weight, spread) in self.weights.iter_mut().zip(&spread) {
            *weight += spread * error;
        }
        for row in 0..width {
            for column in 0..width {
                let cell = &mut self.covariance[row * width + column];
                *cell -= shrink * spread[row] * spread[column];
            }
            let own = &mut self.covariance[row * width + row];
            *own = (*own * FORGETTING).min(START[row.min(2)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gbdt::Random;
    use super::*;

    #[test]
    fn it_begins_at_the_first_and_mends_its_bias() {
        let mut stack = Stack::new(2);
        let said = [0.2, 0.7];
        let start = stack.chance(said.into_iter());
        assert!((start - 0.2).abs() < 1e-9);
        let mut random = Random(5);
        for _ in 0..3000 {
            stack.judge(said.into_iter(), random.unit() < 0.5);
        }
        let mended = stack.chance(said.into_iter());
        assert!((mended - 0.5).abs() < 0.07, "{mended}");
    }

    #[test]
    fn a_calibrated_first_stays_as_it_is() {
        let mut stack = Stack::new(1);
        let mut random = Random(5);
        for _ in 0..3000 {
            let chance = random.unit();
            stack.judge(std::iter::once(chance), random.unit() < chance);
        }
        for chance in [0.1, 0.5, 0.9] {
            let found = stack.chance(std::iter::once(chance));
            assert!((found - chance).abs() < 0.05, "{chance} {found}");
        }
    }
}

//! Weights of several quantile forecasts, learned while they are used.
//!
//! The weighted mean of quantiles is what is judged, so that a model that is wrong in the opposite way is worth
//! having. Weights follow the gradient of the pinball loss by exponentiated gradients (Kivinen and Warmuth, Information
//! and Computation 1997; for quantiles: Berrisch and Ziel, Journal of Econometrics 2021), with a rate that falls as the
//! gradients add up. They start almost wholly at the first model. The last percentile has weights of its own.

use super::{LEVELS, QUANTILES, TARGET_COUNT};

/// What the models other than the first start with, together.
const OTHERS: f64 = 0.04;
/// What a gradient is worth one judgement later.
const FADE: f64 = 0.995;
/// How fast weights move.
const RATE: f64 = 0.8;
/// The tail begins above this level.
const TAIL: f64 = 0.97;

/// Weights of one target's body or tail.
#[derive(Clone, Debug)]
struct Weights {
    gains: Vec<f64>,
    squares: f64,
}

/// Weights of all targets.
#[derive(Clone, Debug)]
pub struct Blend {
    weights: [[Weights; 2]; TARGET_COUNT],
}

impl Weights {
    fn of(&self) -> Vec<f64> {
        let count = self.gains.len();
        let rate = RATE / (1.0 + self.squares).sqrt();
        let start = |place: usize| {
            if count == 1 {
                1.0
            } else if place == 0 {
                1.0 - OTHERS
            } else {
                OTHERS / (count - 1) as f64
            }
        };
        let highest = self.gains.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights = self.gains.iter().enumerate();
        let weights: Vec<f64> = weights
            .map(|(place, gain)| start(place) * (rate * (gain - highest)).exp())
            .collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }
}

impl Blend {
    /// For `count` models.
    pub fn new(count: usize) -> Self {
        let weights = || Weights {
            gains: vec![0.0; count],
            squares: 0.0,
        };
        Self {
            weights: std::array::from_fn(|_| std::array::from_fn(|_| weights())),
        }
    }

    /// Takes in what came of `said`; losses count in `scale`.
    pub fn judge(&mut self, target: usize, said: &[&[f64; QUANTILES]], outcome: f64, scale: f64) {
        for (group, weights) in self.weights[target].iter_mut().enumerate() {
            let share = weights.of();
            let mut gains = vec![0.0; said.len()];
            for (place, level) in LEVELS.iter().enumerate() {
                if usize::from(*level > TAIL) != group {
                    continue;
                }
                let joined: f64 = said
                    .iter()
                    .zip(&share)
                    .map(|(said, share)| share * said[place])
                    .sum();
                let slope = if outcome < joined { 1.0 - level } else { -level };
                for (gain, said) in gains.iter_mut().zip(said) {
                    *gain -= slope * (said[place] - joined) / scale;
                }
            }
            let largest = gains
                .iter()
                .fold(0.0_f64, |largest, gain| largest.max(gain.abs()));
            weights.squares = weights.squares * FADE + largest * largest;
            for (sum, gain) in weights.gains.iter_mut().zip(gains) {
                *sum = *sum * FADE + gain;
            }
        }
    }

    /// The joint quantiles of one target, in rising order.
    pub fn join(&self, target: usize, said: &[&[f64; QUANTILES]]) -> [f64; QUANTILES] {
        let shares = [self.weights[target][0].of(), self.weights[target][1].of()];
        let mut joined = [0.0; QUANTILES];
        for (place, level) in LEVELS.iter().enumerate() {
            let share = &shares[usize::from(*level > TAIL)];
            joined[place] = said
                .iter()
                .zip(share)
                .map(|(said, share)| share * said[place])
                .sum();
        }
        joined.sort_unstable_by(f64::total_cmp);
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_errs_the_other_way_gains_weight() {
        let mut blend = Blend::new(2);
        let (low, high) = ([0.0; QUANTILES], [10.0; QUANTILES]);
        let start = blend.join(0, &[&low, &high])[5];
        for _ in 0..2000 {
            blend.judge(0, &[&low, &high], 6.0, 5.0);
        }
        let joined = blend.join(0, &[&low, &high])[5];
        assert!(start < 2.0 && (joined - 6.0).abs() < 1.0, "{start} {joined}");
    }

    #[test]
    fn one_model_is_itself() {
        let mut blend = Blend::new(1);
        let said: [f64; QUANTILES] = std::array::from_fn(|place| place as f64);
        blend.judge(3, &[&said], 100.0, 1.0);
        assert_eq!(blend.join(3, &[&said]), said);
    }
}

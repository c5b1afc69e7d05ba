//! Probabilities that mean what they say: monotone bins per window and kind of prediction, learned online.
//!
//! Each bin holds what was said and what came; a few pseudo rows on the diagonal hold it until enough came.
//! Pooling adjacent violators makes the bins monotone, and the map between them is linear. Only untreated rows
//! are learned from.

use crate::model::{WINDOWS, logistic, logit};
use serde::{Deserialize, Serialize};

const BINS: usize = 12;
/// Bins are even in log-odds between minus and plus this.
const LOG_ODDS_MAX: f64 = 6.0;
/// Worth of the diagonal, in independent windows.
const DIAGONAL: f64 = 8.0;
/// Worth of a bin above which its past fades.
const WORTH_MAX: f64 = 400.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bin {
    worth: f64,
    came: f64,
    said: f64,
}

/// The calibration of one kind of prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    bins: Vec<[Bin; BINS]>,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            bins: vec![[Bin::default(); BINS]; WINDOWS],
        }
    }
}

fn bin_of(probability: f64) -> usize {
    let place = (logit(probability) + LOG_ODDS_MAX) / (2.0 * LOG_ODDS_MAX) * BINS as f64;
    place.clamp(0.0, BINS as f64 - 1.0) as usize
}

fn middle(bin: usize) -> f64 {
    logistic((bin as f64 + 0.5) / BINS as f64 * 2.0 * LOG_ODDS_MAX - LOG_ODDS_MAX)
}

impl Calibration {
    /// Takes in that `probability` was said for the window number `window`, and whether it happened.
    pub(crate) fn learn(&mut self, window: usize, probability: f64, happened: bool, worth: f64) {
        let bin = &mut self.bins[window][bin_of(probability)];
        bin.worth += worth;
        bin.said += worth * probability;
        bin.came += if happened { worth } else { 0.0 };
        if bin.worth > WORTH_MAX {
            bin.worth *= 0.5;
            bin.said *= 0.5;
            bin.came *= 0.5;
        }
    }

    /// What `probability` has turned out to mean.
    pub(crate) fn apply(&self, window: usize, probability: f64) -> f64 {
        let bins = &self.bins[window];
        if bins.iter().all(|bin| bin.worth == 0.0) {
            return probability;
        }
        let points = pooled(bins);
        let at = logit(probability);
        let after = points.iter().position(|point| point.0 > at);
        let ((left, left_came), (right, right_came)) = match after {
            Some(0) => ((-LOG_ODDS_MAX - 8.0, 0.0), points[0]),
            Some(place) => (points[place - 1], points[place]),
            None => (points[BINS - 1], (LOG_ODDS_MAX + 8.0, 1.0)),
        };
        let share = ((at - left) / (right - left)).clamp(0.0, 1.0);
        (left_came + share * (right_came - left_came)).clamp(0.0, 1.0)
    }
}

/// For each bin, the mean log-odds said and the share that came, made monotone.
fn pooled(bins: &[Bin; BINS]) -> [(f64, f64); BINS] {
    let mut blocks: Vec<(f64, f64, usize)> = Vec::with_capacity(BINS);
    let mut said = [0.0; BINS];
    for (number, bin) in bins.iter().enumerate() {
        let worth = bin.worth + DIAGONAL;
        said[number] = (bin.said + DIAGONAL * middle(number)) / worth;
        blocks.push((bin.came + DIAGONAL * middle(number), worth, 1));
        while let [.., (left_came, left_worth, left), (came, worth, right)] = blocks[..] {
            if left_came / left_worth <= came / worth {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push((left_came + came, left_worth + worth, left + right));
        }
    }
    let mut shares = blocks
        .iter()
        .flat_map(|(came, worth, count)| std::iter::repeat_n(came / worth, *count));
    std::array::from_fn(|number| (logit(said[number]), shares.next().unwrap_or(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_too_boldly_is_taken_down_and_order_is_kept() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.apply(0, 0.9), 0.9);
        for step in 0..400 {
            calibration.learn(0, 0.9, step % 2 == 0, 1.0);
            calibration.learn(0, 0.1, step % 10 == 0, 1.0);
        }
        assert!(
            (calibration.apply(0, 0.9) - 0.5).abs() < 0.08,
            "{}",
            calibration.apply(0, 0.9)
        );
        assert!((calibration.apply(0, 0.1) - 0.1).abs() < 0.05);
        let mut before = 0.0;
        for step in 0..=1000 {
            let now = calibration.apply(0, f64::from(step) / 1000.0);
            assert!(now >= before);
            before = now;
        }
        assert!(calibration.apply(1, 0.9) == 0.9, "other windows are apart");
    }
}

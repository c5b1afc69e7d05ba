//! `OpenNebula`'s near forecast: ridge autoregression on the last hour, five minutes ahead.
//!
//! Source: `pyoneai/ml/sklearn_prediction_model.py` and its probe. A point is the mean of two minutes, the
//! look-back 30 points, the target the point that lies five minutes after the lag window (rounded up to points).
//! Penalty and lag are chosen by the error on the last fifth, at every point anew. Left out: the far forecast
//! and the Fourier option.

use super::window::Slots;
use super::{Decision, Rule, Seen};
use std::collections::VecDeque;

const POINT_S: f64 = 120.0;
const LOOK_BACK: usize = 30;
/// ceil(300 s / 120 s).
const AHEAD: usize = 3;
const PENALTIES: [f64; 5] = [0.1, 1.0, 10.0, 100.0, 1000.0];
const SMALLEST_LAG: usize = 2;
const LARGEST_LAG: usize = 40;

/// A linear model with an intercept and a penalty on its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    weights: Vec<f64>,
    row_means: Vec<f64>,
    target_mean: f64,
}

impl Ridge {
    /// The weights that minimise squared error plus `penalty` times their squares; `None` without rows.
    pub fn fit(rows: &[&[f64]], targets: &[f64], penalty: f64) -> Option<Self> {
        let width = rows.first()?.len();
        let count = rows.len() as f64;
        let row_means: Vec<f64> = (0..width)
            .map(|column| rows.iter().map(|row| row[column]).sum::<f64>() / count)
            .collect();
        let target_mean = targets.iter().sum::<f64>() / count;
        let mut matrix = vec![vec![0.0; width]; width];
        let mut right = vec![0.0; width];
        for (row, target) in rows.iter().zip(targets) {
            for first in 0..width {
                let centred = row[first] - row_means[first];
                right[first] += centred * (target - target_mean);
                for second in 0..width {
                    matrix[first][second] += centred * (row[second] - row_means[second]);
                }
            }
        }
        for (position, row) in matrix.iter_mut().enumerate() {
            row[position] += penalty;
        }
        Some(Self {
            weights: solve(matrix, right)?,
            row_means,
            target_mean,
        })
    }

    /// The model's value for a row.
    pub fn predict(&self, row: &[f64]) -> f64 {
        let terms = self.weights.iter().zip(row.iter().zip(&self.row_means));
        self.target_mean
            + terms
                .map(|(weight, (value, mean))| weight * (value - mean))
                .sum::<f64>()
    }
}

/// Gauss elimination without pivoting, which a positive definite matrix does not need.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let width = right.len();
    for pivot in 0..width {
        let (above, below) = matrix.split_at_mut(pivot + 1);
        let pivot_row = &above[pivot];
        if pivot_row[pivot].is_nan() || pivot_row[pivot] <= 0.0 {
            return None;
        }
        for (offset, row) in below.iter_mut().enumerate() {
            let factor = row[pivot] / pivot_row[pivot];
            for column in pivot..width {
                row[column] -= factor * pivot_row[column];
            }
            right[pivot + 1 + offset] -= factor * right[pivot];
        }
    }
    let mut solution = vec![0.0; width];
    for row in (0..width).rev() {
        let known: f64 = (row + 1..width)
            .map(|column| matrix[row][column] * solution[column])
            .sum();
        solution[row] = (right[row] - known) / matrix[row][row];
    }
    Some(solution)
}

/// Lag windows and what came `AHEAD` points after each.
fn windows(points: &[f64], lag: usize) -> (Vec<&[f64]>, Vec<f64>) {
    let usable = points.len().saturating_sub(lag + AHEAD - 1);
    let rows = points.windows(lag).take(usable).collect();
    let targets = points.iter().skip(lag + AHEAD - 1).copied().collect();
    (rows, targets)
}

/// The forecast for `AHEAD` points after the last of `points`.
fn forecast(points: &[f64]) -> Option<f64> {
    let largest = LARGEST_LAG.min(points.len() / 2);
    let lags = (0..5).map(|step| {
        let span = largest.saturating_sub(SMALLEST_LAG) as f64;
        SMALLEST_LAG + (span * f64::from(step) / 4.0).round() as usize
    });
    let mut best: Option<(f64, usize, f64)> = None;
    for lag in lags {
        let (rows, targets) = windows(points, lag);
        let train = rows.len() * 4 / 5;
        if train < 2 || train == rows.len() {
            continue;
        }
        for penalty in PENALTIES {
            let Some(model) = Ridge::fit(&rows[..train], &targets[..train], penalty) else {
                continue;
            };
            let held_out = rows[train..].iter().zip(&targets[train..]);
            let error = held_out
                .map(|(row, target)| (model.predict(row) - target).powi(2))
                .sum::<f64>();
            let error = error / (rows.len() - train) as f64;
            if best.is_none_or(|(least, _, _)| error < least) {
                best = Some((error, lag, penalty));
            }
        }
    }
    let (_, lag, penalty) = best?;
    let (rows, targets) = windows(points, lag);
    let model = Ridge::fit(&rows, &targets, penalty)?;
    Some(model.predict(&points[points.len() - lag..]).max(0.0))
}

/// The rule: the host's CPU five minutes ahead.
#[derive(Clone, Debug)]
pub struct NearForecast {
    slot: Slots,
    points: VecDeque<f64>,
    forecast: Option<f64>,
}

impl Default for NearForecast {
    fn default() -> Self {
        Self {
            slot: Slots::new(POINT_S),
            points: VecDeque::new(),
            forecast: None,
        }
    }
}

impl Rule for NearForecast {
    fn name(&self) -> &'static str {
        "opennebula-near"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        if let Some(values) = self.slot.push(seen.at.boot.seconds(), seen.busy_cores) {
            self.points
                .push_back(values.iter().sum::<f64>() / values.len() as f64);
            if self.points.len() > LOOK_BACK {
                self.points.pop_front();
            }
            self.forecast = forecast(self.points.make_contiguous());
        }
        Decision {
            host_cpu_cores: self.forecast,
            ..Decision::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::{app, close, seen};

    #[test]
    fn a_penalty_shrinks_the_slope() {
        // Centred: x = -1, 0, 1 and y = -2, 0, 2, so the slope is 4 / (2 + penalty).
        let rows: [&[f64]; 3] = [&[1.0], &[2.0], &[3.0]];
        for (penalty, slope) in [(0.0, 2.0), (2.0, 1.0), (6.0, 0.5)] {
            let model = Ridge::fit(&rows, &[3.0, 5.0, 7.0], penalty).expect("rows");
            close(model.predict(&[2.0]), 5.0);
            close(model.predict(&[4.0]), 5.0 + 2.0 * slope);
        }
        assert_eq!(Ridge::fit(&[], &[], 1.0), None);
    }

    #[test]
    fn two_unknowns_are_solved() {
        // 2a + b = 5, a + 3b = 10.
        let solution = solve(vec![vec![2.0, 1.0], vec![1.0, 3.0]], vec![5.0, 10.0]).expect("regular");
        close(solution[0], 1.0);
        close(solution[1], 3.0);
    }

    #[test]
    fn the_target_lies_three_points_after_the_window() {
        let points = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let (rows, targets) = windows(&points, 2);
        assert_eq!((rows[0], targets[0]), (&points[..2], 4.0));
        assert_eq!((rows.len(), targets.len()), (3, 3));
    }

    #[test]
    fn a_ramp_goes_on_and_a_constant_stays() {
        let ramp: Vec<f64> = (0..30).map(f64::from).collect();
        let ahead = forecast(&ramp).expect("enough points");
        assert!((ahead - 32.0).abs() < 0.5, "{ahead}");
        let mut rule = NearForecast::default();
        let mut decision = Decision::default();
        for second in (0..3600).step_by(10) {
            decision = rule.step(&seen(second, vec![app("web", 1.5, 4.0)]));
        }
        close(decision.host_cpu_cores.expect("an hour"), 1.5);
    }
}

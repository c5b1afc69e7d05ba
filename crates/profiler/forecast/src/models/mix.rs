//! How far to trust the boosted body, and how far the residual blocks, per series and target.
//!
//! Both forecast every few steps; when the outcome is known, the pinball loss of several shares between them is
//! kept with a half-life of some days. The share that is used is the mean of all shares, weighted by how well each
//! did (exponential weights: Vovk, COLT 1990), so that it starts from what is good elsewhere and follows the series.
//! The body of the distribution and its last percentile have a share each: trained tails are worse than seen ones.

use super::past::{HORIZON, Past};
use super::{LEVELS, QUANTILES, Quantiles, TARGET_COUNT, targets_of};
use std::collections::VecDeque;

/// Shares of the body's forecast that compete.
const SHARES: [f64; 5] = [0.0, 0.3, 0.6, 0.8, 1.0];
/// Where the competition starts: the loss of each share in excess of the best, in the body and in the tail.
const START: [[f64; 5]; 2] = [[0.2, 0.08, 0.0, 0.0, 0.02], [0.0, 0.0, 0.02, 0.1, 0.2]];
/// Rows that the start is worth.
const START_ROWS: f64 = 30.0;
/// What a row is worth one row later: half after some 140 rows.
const FADE: f64 = 0.995;
/// The tail begins above this level.
const TAIL: f64 = 0.97;

/// A pair of forecasts whose outcome is awaited.
#[derive(Clone, Debug)]
struct Awaited {
    steps: usize,
    body: Quantiles,
    blocks: Quantiles,
}

/// The competition of one series.
#[derive(Clone, Debug, Default)]
pub struct Mix {
    losses: [[[f64; 5]; 2]; TARGET_COUNT],
    rows: f64,
    awaited: VecDeque<Awaited>,
}

impl Mix {
    /// Remembers what both said from the last value.
    pub fn remember(&mut self, body: Quantiles, blocks: Quantiles) {
        self.awaited.push_back(Awaited {
            steps: 0,
            body,
            blocks,
        });
    }

    /// Takes in that the last value of `past` is there; `steps` have passed since the one before.
    pub fn observe(&mut self, past: &Past, steps: usize) {
        if steps > 1 || past.back(0).is_nan() {
            self.awaited.clear();
            return;
        }
        self.awaited.iter_mut().for_each(|awaited| awaited.steps += 1);
        let due = self.awaited.front().is_some_and(|first| first.steps == HORIZON);
        if let Some(due) = due.then(|| self.awaited.pop_front()).flatten() {
            self.judge(&targets_of(&past.path()), &due);
        }
    }

    fn judge(&mut self, outcome: &[f64; TARGET_COUNT], due: &Awaited) {
        self.rows = self.rows * FADE + 1.0;
        for (target, outcome) in outcome.iter().enumerate() {
            let (body, blocks) = (&due.body[target], &due.blocks[target]);
            for (place, share) in SHARES.iter().enumerate() {
                let mut row = [0.0; 2];
                for (at, level) in LEVELS.iter().enumerate() {
                    let missed = outcome - (share * body[at] + (1.0 - share) * blocks[at]);
                    row[usize::from(*level > TAIL)] += (level * missed).max((level - 1.0) * missed);
                }
                for (sums, loss) in self.losses[target].iter_mut().zip(row) {
                    sums[place] = sums[place] * FADE + loss;
                }
            }
        }
    }

    fn share(&self, target: usize, tail: bool) -> f64 {
        let losses = &self.losses[target][usize::from(tail)];
        let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let (mut total, mut sum) = (0.0, 0.0);
        for (place, share) in SHARES.iter().enumerate() {
            let excess = if best > 0.0 {
                losses[place] / best - 1.0
            } else {
                0.0
            };
            let start = START[usize::from(tail)][place];
            let weight = (-(self.rows * excess + START_ROWS * start)).exp();
            total += weight;
            sum += weight * share;
        }
        sum / total
    }

    /// Joins what both say, in rising order.
    pub fn join(&self, body: &Quantiles, blocks: &Quantiles) -> Quantiles {
        std::array::from_fn(|target| {
            let shares = [self.share(target, false), self.share(target, true)];
            let mut joined = [0.0; QUANTILES];
            for (place, level) in LEVELS.iter().enumerate() {
                let share = shares[usize::from(*level > TAIL)];
                joined[place] = share * body[target][place] + (1.0 - share) * blocks[target][place];
            }
            joined.sort_unstable_by(f64::total_cmp);
            joined
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_forecaster_gains_the_share() {
        let (mut mix, mut past) = (Mix::default(), Past::new(300));
        let start = mix.share(0, false);
        for step in 0..2000 {
            let steps = past
                .push(step * 300, (step % 7) as f64)
                .expect("time goes forward");
            mix.observe(&past, steps);
            mix.remember(
                [[3.0; QUANTILES]; TARGET_COUNT],
                [[50.0; QUANTILES]; TARGET_COUNT],
            );
        }
        assert!(mix.share(0, false) > 0.95 && start < 0.8);
        // At .99 a guess too low costs 99 times one too high: 12.4 is better than 3 where 6 comes.
        assert!((mix.share(4, true) - 0.8).abs() < 0.01);
    }
}

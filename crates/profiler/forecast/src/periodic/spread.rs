//! How far onsets lie from where they were expected: an empirical distribution that stays honest when small.
//!
//! Errors are mirrored (an early one is as likely as a late one until there are many), and joined by a few
//! prior errors that fade as real ones arrive; the distribution function is linear between them.

use serde::{Deserialize, Serialize};

/// Errors that are kept.
pub(crate) const ERRORS_MAX: usize = 32;
/// From this many errors on the shape may be lopsided.
const MIRRORED_BELOW: usize = 24;
/// Errors cannot be known finer than this: samples are a second apart and onsets are read from shares.
const RESOLUTION_S: f64 = 0.05;

/// A distribution of errors in seconds, as sorted points of equal mass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    points_s: Vec<f64>,
}

impl Spread {
    /// From the errors seen and the scale that is expected before any is seen.
    pub(crate) fn new(errors_s: &[f64], prior_scale_s: f64) -> Self {
        let mut points_s = errors_s.to_vec();
        if errors_s.len() < MIRRORED_BELOW {
            points_s.extend(errors_s.iter().map(|error| -error));
        }
        let priors: &[f64] = match errors_s.len() {
            0..=2 => &[0.3, 0.8, 1.5],
            3..=7 => &[0.8],
            _ => &[],
        };
        points_s.extend(
            priors
                .iter()
                .flat_map(|prior| [prior * prior_scale_s, -prior * prior_scale_s]),
        );
        points_s.sort_by(f64::total_cmp);
        Self { points_s }
    }

    fn ends(&self) -> Option<(f64, f64)> {
        let (first, last) = (*self.points_s.first()?, *self.points_s.last()?);
        let margin = ((last - first) / self.points_s.len() as f64).max(RESOLUTION_S);
        Some((first - margin, last + margin))
    }

    /// The error that a share `rank` (0 to 1) of errors stays below.
    pub(crate) fn quantile(&self, rank: f64) -> f64 {
        let Some((low, high)) = self.ends() else {
            return 0.0;
        };
        let count = self.points_s.len() as f64;
        let place = rank.clamp(0.0, 1.0) * count - 0.5;
        let at = |position: f64| {
            if position < 0.0 {
                low
            } else {
                self.points_s.get(position as usize).copied().unwrap_or(high)
            }
        };
        let below = place.floor();
        // The end pieces are half as wide in rank as the others.
        let part = if below < 0.0 {
            (place + 0.5) * 2.0
        } else if below >= count - 1.0 {
            (place - below) * 2.0
        } else {
            place - below
        };
        at(below) + (at(below + 1.0) - at(below)) * part.clamp(0.0, 1.0)
    }

    /// The share of errors up to `error_s`.
    pub(crate) fn share_below(&self, error_s: f64) -> f64 {
        let Some((low, high)) = self.ends() else {
            return if error_s < 0.0 { 0.0 } else { 1.0 };
        };
        if error_s <= low {
            return 0.0;
        }
        if error_s >= high {
            return 1.0;
        }
        let count = self.points_s.len();
        let above = self.points_s.partition_point(|point| *point <= error_s);
        let rank = |position: usize| (position as f64 + 0.5) / count as f64;
        let (left, left_rank) = match above {
            0 => (low, 0.0),
            _ => (self.points_s[above - 1], rank(above - 1)),
        };
        let (right, right_rank) = match self.points_s.get(above) {
            Some(point) => (*point, rank(above)),
            None => (high, 1.0),
        };
        let width = right - left;
        let part = if width > 0.0 {
            (error_s - left) / width
        } else {
            1.0
        };
        left_rank + (right_rank - left_rank) * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_and_share_are_inverse_to_each_other() {
        let spread = Spread::new(&[0.1, -0.3, 0.4, 0.25, 0.02], 1.0);
        for rank in [0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 0.99] {
            let error_s = spread.quantile(rank);
            assert!(
                (spread.share_below(error_s) - rank).abs() < 1e-9,
                "{rank} gives {error_s}"
            );
        }
    }

    #[test]
    fn the_shares_of_a_uniform_jitter_come_out() {
        let errors: Vec<f64> = (0..32).map(|step| -0.5 + f64::from(step) / 31.0).collect();
        let spread = Spread::new(&errors, 1.0);
        assert!((spread.quantile(0.1) + 0.4).abs() < 0.03);
        assert!((spread.quantile(0.9) - 0.4).abs() < 0.03);
    }
}

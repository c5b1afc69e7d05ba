//! Medians, percentiles, and intervals that assume nothing about the distribution.
//!
//! Intervals are percentile bootstraps over *pairs*: the same crowd (or round) in two arms is one observation, so
//! what both arms suffered alike cancels. Draws are seeded; the same data give the same interval.

use crate::random::Random;

/// Enough draws for the ends of a 95 % interval to be stable to about a percent.
const DRAWS: usize = 4000;
const SEED: u64 = 95;

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The value below which a share of the sorted `values` lies (nearest rank); NaN where there are none.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The median, with the mean of the two in the middle for even counts; NaN where there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The median of `values` with its bootstrap interval.
pub(crate) fn estimate(values: &[f64]) -> Estimate {
    let mut random = Random::new(SEED, values.len() as u64);
    let mut medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let draw: Vec<f64> = values
                .iter()
                .map(|_| values[random.below(values.len())])
                .collect();
            median(&draw)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Estimate {
        median: median(values),
        low: percentile(&medians, 0.025),
        high: percentile(&medians, 0.975),
    }
}

/// The median of `left / right` over pairs.
pub(crate) fn paired_ratio(left: &[f64], right: &[f64]) -> Estimate {
    estimate(&pairwise(left, right, |left, right| left / right))
}

/// The median of `left - right` over pairs.
pub(crate) fn paired_difference(left: &[f64], right: &[f64]) -> Estimate {
    estimate(&pairwise(left, right, |left, right| left - right))
}

fn pairwise(left: &[f64], right: &[f64], combine: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    left.iter()
        .zip(right)
        .map(|(&left, &right)| combine(left, right))
        .filter(|value| value.is_finite())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 1.0), 100.0);
    }

    #[test]
    fn an_interval_holds_its_median_and_narrows() {
        let mut random = Random::new(1, 1);
        let many: Vec<f64> = (0..200).map(|_| random.uniform()).collect();
        let (few, many) = (estimate(&many[..12]), estimate(&many));
        assert!(few.low <= few.median && few.median <= few.high);
        assert!(many.high - many.low < few.high - few.low);
    }

    #[test]
    fn pairs_cancel_what_both_suffered() {
        let left = [2.0, 20.0, 200.0];
        let right = [1.0, 10.0, 100.0];
        let ratio = paired_ratio(&left, &right);
        assert_eq!((ratio.low, ratio.median, ratio.high), (2.0, 2.0, 2.0));
        assert_eq!(paired_difference(&[1.0, f64::NAN], &[0.5, 1.0]).median, 0.5);
    }
}

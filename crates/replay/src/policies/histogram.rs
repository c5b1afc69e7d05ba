//! A histogram with exponential buckets whose old samples lose weight.
//!
//! Source: the Kubernetes vertical pod autoscaler's recommender, and Koordinator, which shares it.

/// Weighted samples in buckets that grow by a constant ratio.
#[derive(Clone, Debug)]
pub struct Histogram {
    first_bucket: f64,
    ratio: f64,
    half_life_s: f64,
    reference_s: f64,
    weights: Vec<f64>,
    total: f64,
}

/// Weights are brought back to size when a new sample would weigh more than 2 to this.
const LARGEST_EXPONENT: f64 = 100.0;

/// A bucket lighter than this is empty.
const EPSILON: f64 = 1e-4;

impl Histogram {
    /// Buckets from 0 in steps that start at `first_bucket` and grow by `ratio`, up to `max`.
    pub fn new(first_bucket: f64, ratio: f64, max: f64, half_life_s: f64) -> Self {
        let count = ((max * (ratio - 1.0) / first_bucket + 1.0).ln() / ratio.ln()).ceil() as usize + 1;
        Self {
            first_bucket,
            ratio,
            half_life_s,
            reference_s: 0.0,
            weights: vec![0.0; count],
            total: 0.0,
        }
    }

    /// Lower edge of a bucket.
    pub fn start(&self, bucket: usize) -> f64 {
        self.first_bucket * (self.ratio.powf(bucket as f64) - 1.0) / (self.ratio - 1.0)
    }

    /// The bucket that `value` falls into.
    pub fn bucket(&self, value: f64) -> usize {
        let position = (value * (self.ratio - 1.0) / self.first_bucket + 1.0).ln() / self.ratio.ln();
        (position.max(0.0).floor() as usize).min(self.weights.len() - 1)
    }

    fn decayed(&mut self, weight: f64, at_s: f64) -> f64 {
        let exponent = (at_s - self.reference_s) / self.half_life_s;
        if exponent <= LARGEST_EXPONENT {
            return weight * exponent.exp2();
        }
        let shrink = (-exponent).exp2();
        self.weights.iter_mut().for_each(|bucket| *bucket *= shrink);
        self.total *= shrink;
        self.reference_s = at_s;
        weight
    }

    /// Adds a sample; NaN is ignored.
    pub fn add(&mut self, value: f64, weight: f64, at_s: f64) {
        if value.is_nan() {
            return;
        }
        let weight = self.decayed(weight, at_s);
        let bucket = self.bucket(value);
        self.weights[bucket] += weight;
        self.total += weight;
    }

    /// Takes back a sample that was added with the same arguments.
    pub fn subtract(&mut self, value: f64, weight: f64, at_s: f64) {
        let weight = self.decayed(weight, at_s);
        let bucket = self.bucket(value);
        let taken = weight.min(self.weights[bucket]);
        self.weights[bucket] -= taken;
        self.total = (self.total - taken).max(0.0);
    }

    /// True when no bucket holds anything.
    pub fn is_empty(&self) -> bool {
        self.weights.iter().all(|weight| *weight < EPSILON)
    }

    /// Upper edge of the first bucket at which the cumulative weight reaches `share` of all (of the last
    /// bucket its start); 0 when empty.
    pub fn percentile(&self, share: f64) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let last = self
            .weights
            .iter()
            .rposition(|weight| *weight >= EPSILON)
            .unwrap_or(0);
        let mut cumulative = 0.0;
        let reached = self.weights[..=last].iter().position(|weight| {
            cumulative += weight;
            cumulative >= share * self.total
        });
        let bucket = reached.unwrap_or(last);
        if bucket + 1 < self.weights.len() {
            self.start(bucket + 1)
        } else {
            self.start(bucket)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::close;

    fn cpu() -> Histogram {
        Histogram::new(0.01, 1.05, 1000.0, 86_400.0)
    }

    #[test]
    fn edges_are_a_geometric_sum() {
        let histogram = cpu();
        close(histogram.start(1), 0.01);
        close(histogram.start(2), 0.01 + 0.0105);
        close(histogram.start(3), 0.01 + 0.0105 + 0.011_025);
        assert_eq!(
            [0.0, 0.009, 0.011, 0.021].map(|value| histogram.bucket(value)),
            [0, 0, 1, 2]
        );
        // ln(1000 × 0.05 / 0.01 + 1) / ln 1.05 = 174.58.
        assert_eq!(histogram.weights.len(), 176);
    }

    #[test]
    fn a_percentile_is_the_upper_edge_of_its_bucket() {
        let mut histogram = cpu();
        (0..9).for_each(|_| histogram.add(0.015, 1.0, 0.0));
        histogram.add(0.025, 1.0, 0.0);
        close(histogram.percentile(0.9), 0.0205);
        close(histogram.percentile(0.91), 0.031_525);
        histogram.subtract(0.025, 1.0, 0.0);
        close(histogram.percentile(1.0), 0.0205);
        assert_eq!(cpu().percentile(0.5), 0.0);
    }

    #[test]
    fn a_day_halves_a_sample_and_a_year_does_not_overflow() {
        let mut histogram = cpu();
        histogram.add(1.0, 1.0, 0.0);
        histogram.add(0.015, 1.0, 86_400.0);
        // The new one weighs 2 of 3.
        close(histogram.percentile(0.66), 0.0205);
        assert!(histogram.percentile(0.67) > 1.0);
        histogram.add(0.015, 1.0, 365.0 * 86_400.0);
        close(histogram.percentile(0.999), 0.0205);
    }
}

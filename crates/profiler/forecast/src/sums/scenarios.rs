//! What the sum may do in the time ahead: what it did after each moment of the past.
//!
//! A scenario is a stretch of the past as it went on, shifted by the difference between now and then, which fades as
//! fast as the sum forgets its own level (its autocorrelation from row to row). With a past that is summed over the
//! apps of today row by row, apps that rise together do so in every scenario.

use super::survival::Amount;

/// Known starts below which nothing is said.
const STARTS_MIN: usize = 12;
/// Share of a stretch that must be known.
const KNOWN_SHARE: f64 = 0.75;
/// Rows that an autocorrelation needs.
const ROWS_MIN: usize = 12;

/// The sum in rows, oldest first. NaN: unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Joint {
    /// Mean of each row.
    pub(super) means: Vec<f64>,
    /// Highest within each row over its mean.
    pub(super) excess: Vec<f64>,
    /// Whether a row is a lower bound.
    pub(super) bound: Vec<bool>,
    /// The sum now, of the length of a row.
    pub(super) now: f64,
}

/// How one past went on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scenario {
    pub(super) peak: Amount,
    /// The row it started from, and the row of its peak.
    pub(super) from: usize,
    pub(super) at: usize,
    /// What is left at the peak of the difference between now and then.
    pub(super) faded: f64,
}

impl Joint {
    /// Autocorrelation from one row to the next, 0 to 1.
    pub(super) fn persistence(&self) -> f64 {
        let known: Vec<f64> = self.means.iter().copied().filter(|mean| !mean.is_nan()).collect();
        if known.len() < ROWS_MIN {
            return 0.0;
        }
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let variance: f64 = known.iter().map(|value| (value - mean).powi(2)).sum();
        let pairs = self.means.windows(2).filter(|pair| !(pair[0] + pair[1]).is_nan());
        let covariance: f64 = pairs.map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
        if variance > 0.0 {
            (covariance / variance).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Every stretch of `steps` rows that is known well enough; none where there are too few.
    pub(super) fn scenarios(&self, steps: usize) -> Vec<Scenario> {
        let starts = self.means.len().saturating_sub(steps);
        if starts < STARTS_MIN || steps == 0 {
            return Vec::new();
        }
        let persistence = self.persistence();
        let fading: Vec<f64> = (1..=steps)
            .map(|step| persistence.powi(i32::try_from(step).unwrap_or(i32::MAX)))
            .collect();
        let needed = (steps as f64 * KNOWN_SHARE).ceil() as usize;
        let found = (0..starts).filter_map(|from| self.scenario(from, &fading, needed));
        let found: Vec<Scenario> = found.collect();
        if found.len() < STARTS_MIN {
            return Vec::new();
        }
        found
    }

    fn scenario(&self, from: usize, fading: &[f64], needed: usize) -> Option<Scenario> {
        let apart = self.now - self.means[from];
        if apart.is_nan() {
            return None;
        }
        let (mut known, mut highest, mut step) = (0, f64::NEG_INFINITY, 0);
        let rows = from + 1..;
        for (place, (row, fade)) in rows.zip(fading).enumerate() {
            let value = self.means[row] + self.excess[row] + fade * apart;
            known += usize::from(!value.is_nan());
            if value > highest {
                (highest, step) = (value, place);
            }
        }
        let at = from + 1 + step;
        (known >= needed).then(|| Scenario {
            peak: Amount {
                value: highest.max(0.0),
                bound: self.bound[at],
            },
            from,
            at,
            faded: fading[step],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joint(means: Vec<f64>, now: f64) -> Joint {
        Joint {
            excess: vec![0.0; means.len()],
            bound: vec![false; means.len()],
            means,
            now,
        }
    }

    #[test]
    fn a_level_that_persists_is_carried_on_and_noise_is_not() {
        let mut level = 1.0;
        let slow: Vec<f64> = (0..400)
            .map(|row| {
                level += if row % 80 < 40 { 0.02 } else { -0.02 };
                level
            })
            .collect();
        let now = 5.0;
        let near = joint(slow, now).scenarios(4);
        assert!(
            near.iter()
                .all(|scenario| (scenario.peak.value - now).abs() < 0.5)
        );
        let noise: Vec<f64> = (0..400_u32)
            .map(|row| f64::from(row * 7919 % 101) / 101.0)
            .collect();
        let among = joint(noise, now).scenarios(4);
        assert!(among.iter().all(|scenario| scenario.peak.value < 1.7));
    }

    #[test]
    fn unknown_rows_are_left_out_and_too_few_say_nothing() {
        let mut means = vec![1.0; 100];
        means[50..60].fill(f64::NAN);
        let found = joint(means, 1.0).scenarios(8);
        assert!(found.iter().all(|scenario| !(44..60).contains(&scenario.from)));
        assert!(found.len() > 70);
        assert!(joint(vec![1.0; 15], 1.0).scenarios(8).is_empty());
    }
}

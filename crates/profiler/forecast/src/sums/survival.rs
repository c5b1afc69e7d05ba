//! Quantiles of amounts some of which are only known to be at least so large.
//!
//! The product-limit estimator (Kaplan and Meier, 1958) gives the share of amounts above each value; a lower bound
//! counts as long as it is below that value and then leaves. Where the largest are bounds, what lies above them is
//! taken to be scale-free: half as likely for each quarter more.

/// Exponent of that tail: ln 2 / ln 1.25.
const TAIL: f64 = 3.106;

/// One amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Amount {
    pub(super) value: f64,
    /// It may be more.
    pub(super) bound: bool,
}

/// The share of amounts above each value.
#[derive(Clone, Debug)]
pub(super) struct Survival {
    /// Values in rising order, each with the share above it.
    steps: Vec<(f64, f64)>,
    /// The largest bound and the share that lies above it, where bounds lie above everything that is known.
    open: Option<(f64, f64)>,
}

impl Survival {
    /// Of these amounts; `None` without any.
    pub(super) fn new(amounts: &mut [Amount]) -> Option<Self> {
        amounts.sort_by(|left, right| {
            let by_value = left.value.total_cmp(&right.value);
            by_value.then(left.bound.cmp(&right.bound))
        });
        let last = *amounts.last()?;
        let mut above = 1.0;
        let mut steps: Vec<(f64, f64)> = Vec::with_capacity(amounts.len());
        for (place, amount) in amounts.iter().enumerate() {
            if !amount.bound {
                above *= 1.0 - 1.0 / (amounts.len() - place) as f64;
                steps.push((amount.value, above));
            }
        }
        Some(Self {
            steps,
            open: last.bound.then_some((last.value, above)),
        })
    }

    /// The value that a share `rank` of the amounts does not exceed.
    pub(super) fn quantile(&self, rank: f64) -> f64 {
        let left = 1.0 - rank;
        let place = self.steps.partition_point(|(_, above)| *above > left + 1e-9);
        match (self.steps.get(place), self.open) {
            (Some((value, _)), _) => *value,
            (None, Some((bound, above))) => bound * (above / left.max(1e-9)).max(1.0).powf(1.0 / TAIL),
            (None, None) => self.steps.last().map_or(0.0, |(value, _)| *value),
        }
    }

    /// The share of amounts above `value`.
    pub(super) fn above(&self, value: f64) -> f64 {
        let place = self.steps.partition_point(|(step, _)| *step <= value);
        let known = place.checked_sub(1).map_or(1.0, |before| self.steps[before].1);
        match self.open {
            Some((bound, above)) if value > bound => above * (bound / value).powf(TAIL),
            _ => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(value: f64) -> Amount {
        Amount { value, bound: false }
    }

    #[test]
    fn without_bounds_it_is_the_share_of_what_is_larger() {
        let mut amounts: Vec<Amount> = (1..=100).map(|value| exact(f64::from(value))).collect();
        let survival = Survival::new(&mut amounts).expect("amounts");
        assert_eq!(survival.quantile(0.5), 50.0);
        assert_eq!(survival.quantile(0.9), 90.0);
        assert!((survival.above(90.0) - 0.1).abs() < 1e-9);
        assert_eq!((survival.above(0.5), survival.above(100.0)), (1.0, 0.0));
    }

    /// Exponential amounts, every second one cut off at 1: the known quantiles come out all the same.
    #[test]
    fn what_is_cut_off_does_not_make_the_rest_small() {
        let mut amounts: Vec<Amount> = (0..20_000)
            .map(|place| {
                let drawn = -(1.0 - (f64::from(place) + 0.5) / 20_000.0).ln();
                let cut = place % 2 == 0 && drawn > 1.0;
                Amount {
                    value: if cut { 1.0 } else { drawn },
                    bound: cut,
                }
            })
            .collect();
        let survival = Survival::new(&mut amounts).expect("amounts");
        for rank in [0.1, 0.5, 0.9] {
            let truth = -(1.0_f64 - rank).ln();
            let found = survival.quantile(rank);
            assert!((found / truth - 1.0).abs() < 0.02, "{rank}: {found} for {truth}");
        }
    }

    #[test]
    fn above_the_largest_bound_lies_something() {
        let mut amounts = vec![
            exact(1.0),
            Amount {
                value: 2.0,
                bound: true,
            },
        ];
        let survival = Survival::new(&mut amounts).expect("amounts");
        assert_eq!(survival.quantile(0.5), 1.0);
        assert!(survival.quantile(0.9) > 2.5);
        assert!((survival.above(2.5) - 0.25).abs() < 0.001);
    }
}

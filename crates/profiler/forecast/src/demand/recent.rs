//! The demand of the last minutes as a distribution: what was used while free, what may have been asked for while held.

use super::free::Free;
use crate::ring::push;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tidegate_types::Quantiles;

/// Seconds that are kept.
const SECONDS_MAX: usize = 300;

/// The last seconds; one in which the app was held is kept as the negative of its usage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recent {
    seconds: VecDeque<f32>,
}

/// A value with its weight; a bound where the true value may be larger.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    cores: f32,
    weight: f64,
    bound: bool,
}

impl Recent {
    pub(super) fn observe(&mut self, usage_cores: f64, held: bool) {
        let kept = (usage_cores as f32).max(f32::MIN_POSITIVE);
        push(&mut self.seconds, if held { -kept } else { kept }, SECONDS_MAX);
    }

    pub(super) fn clear(&mut self) {
        self.seconds.clear();
    }

    /// Whether anything held the app in the last seconds.
    pub(super) fn was_held(&self) -> bool {
        self.seconds.iter().any(|cores| *cores < 0.0)
    }

    /// Quantiles of the demand in cores, and whether the largest of them is only a lower bound.
    pub(super) fn quantiles(&self, seen: &Free) -> Option<(Quantiles, bool)> {
        if self.seconds.is_empty() {
            return None;
        }
        let held = || {
            self.seconds
                .iter()
                .filter(|cores| **cores < 0.0)
                .map(|cores| -cores)
        };
        let count = held().count();
        let mean_bound = f64::from(held().sum::<f32>()) / count.max(1) as f64;
        let arrived = if count > 0 {
            seen.under(mean_bound)
        } else {
            Vec::new()
        };
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.seconds.len() + arrived.len());
        let piece = |cores: f32, weight: f64, bound: bool| Piece { cores, weight, bound };
        pieces.extend(
            self.seconds
                .iter()
                .filter(|cores| **cores >= 0.0)
                .map(|cores| piece(*cores, 1.0, false)),
        );
        if arrived.is_empty() {
            pieces.extend(held().map(|cores| piece(cores, 1.0, true)));
        } else {
            let weight = count as f64 / arrived.len() as f64;
            pieces.extend(arrived.iter().map(|cores| piece(*cores, weight, false)));
        }
        pieces.sort_by(|left, right| left.cores.total_cmp(&right.cores));
        let [q10, q50, q90] = [0.1, 0.5, 0.9].map(|rank| quantile(&pieces, rank));
        let quantiles = Quantiles {
            q10: q10.cores.into(),
            q50: q50.cores.into(),
            q90: q90.cores.into(),
        };
        Some((quantiles, q90.bound))
    }
}

/// The piece at `rank` of the weight; `pieces` are sorted and not empty.
fn quantile(pieces: &[Piece], rank: f64) -> Piece {
    let total: f64 = pieces.iter().map(|piece| piece.weight).sum();
    let mut left = rank * total;
    for piece in pieces {
        left -= piece.weight;
        if left <= 0.0 {
            return *piece;
        }
    }
    pieces[pieces.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_above_a_quantile_do_not_blur_it() {
        let mut recent = Recent::default();
        for second in 0..100 {
            let held = second % 5 == 0;
            recent.observe(if held { 0.3 } else { 0.1 }, held);
        }
        let (demand, censored) = recent.quantiles(&Free::default()).expect("seconds");
        assert!(
            (demand.q50 - 0.1).abs() < 1e-6 && (demand.q90 - 0.3).abs() < 1e-6,
            "{demand:?}"
        );
        assert!(censored, "one second in five may have asked for more");
    }
}

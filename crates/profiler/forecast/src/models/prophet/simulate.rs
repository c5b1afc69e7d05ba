//! What may come: the curve goes on, with changes of slope as often and as large as before, and noise.

use super::Fitted;
use crate::models::calendar::Calendar;
use crate::models::gbdt::Random;
use crate::models::past::HORIZON;

/// Futures that are drawn.
const FUTURES: usize = 500;
/// Changes of slope in one future at most.
const CHANGES_MAX: f64 = 64.0;

/// Draws futures of the next steps after `now_s`, in the values' own units.
pub(super) fn futures(
    fitted: &Fitted,
    calendar: &Calendar,
    (now_s, step_s): (i64, i64),
    random: &mut Random,
) -> Vec<[f64; HORIZON]> {
    let at_s: [i64; HORIZON] = std::array::from_fn(|step| now_s + step_s * (step.cast_signed() as i64 + 1));
    let points = at_s.map(|time_s| fitted.point(calendar, time_s));
    let times = at_s.map(|time_s| fitted.terms.scaled(time_s));
    let knots = fitted.knots();
    let size = knots.iter().map(|change| change.abs()).sum::<f64>() / knots.len().max(1) as f64 + 1e-8;
    let ahead = (times[HORIZON - 1] - 1.0).max(0.0);
    let expected = (knots.len() as f64 * ahead).min(CHANGES_MAX);
    (0..FUTURES)
        .map(|_| {
            let mut future = points.map(|point| point + fitted.noise * normal(random));
            for _ in 0..poisson(expected, random) {
                let (from, change) = (1.0 + ahead * random.unit(), size * laplace(random));
                for (value, time) in future.iter_mut().zip(times) {
                    *value += change * (time - from).max(0.0);
                }
            }
            future.map(|value| value * fitted.scale)
        })
        .collect()
}

/// A standard normal number (Box and Muller 1958).
fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.unit()).cos()
}

/// A standard Laplace number.
fn laplace(random: &mut Random) -> f64 {
    let drawn = random.unit() - 0.5;
    -drawn.signum() * (1.0 - 2.0 * drawn.abs()).max(f64::MIN_POSITIVE).ln()
}

/// How many of what happens `expected` times on average; at most [`CHANGES_MAX`].
fn poisson(expected: f64, random: &mut Random) -> usize {
    let (least, mut product, mut count) = ((-expected).exp(), random.unit(), 0);
    while product > least && (count as f64) < CHANGES_MAX {
        product *= random.unit();
        count += 1;
    }
    count
}

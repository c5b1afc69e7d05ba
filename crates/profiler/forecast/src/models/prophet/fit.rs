//! The most probable curve: all terms together, noise and priors as published.
//!
//! Given the noise, the posterior is a least-squares problem with normal priors and, for the knots, Laplace priors. The
//! latter are met by a sequence of quadratic bounds that touch them (Hunter and Li, Annals of Statistics 2005); each
//! round solves one small system of equations and takes the most probable noise, and none makes the posterior worse.
//! Sums of products over the values are made once, so that rounds cost the same for a day and for a year.

use super::terms::Terms;
use super::{Fitted, VALUES_MIN};
use crate::models::calendar::Calendar;
use crate::models::cholesky::{factorise, start};

/// Scale of the Laplace prior of a change of slope.
const KNOT_PRIOR: f64 = 0.05;
/// Scale of the half-normal prior of the noise.
const NOISE_PRIOR: f64 = 0.5;
/// Rounds at most, and the gain in the logarithm of the posterior below which it is enough.
const ROUNDS: usize = 400;
const GAIN_MIN: f64 = 1e-5;
/// A change of slope that is as good as none: keeps the bounds finite.
const SLOPE_MIN: f64 = 1e-8;

/// The least noise, in units of the scale: keeps the equations solvable where the curve meets every value.
const NOISE_MIN: f64 = 1e-4;

/// Sums over the values: products of terms (packed lower triangle), of terms and values, of values.
struct Sums {
    count: f64,
    terms: Vec<f64>,
    both: Vec<f64>,
    values: f64,
}

/// Fits the curve to the finite ones of `values`, one for each of `times_s` (rising, Unix seconds). `None` where fewer
/// than [`VALUES_MIN`] are known or nothing moves.
pub(super) fn fit(times_s: &[i64], values: &[f64], calendar: &Calendar) -> Option<Fitted> {
    let known: Vec<(i64, f64)> = times_s
        .iter()
        .copied()
        .zip(values.iter().copied())
        .filter(|(_, value)| value.is_finite())
        .collect();
    let scale = known
        .iter()
        .fold(0.0_f64, |most, (_, value)| most.max(value.abs()));
    if known.len() < VALUES_MIN || known.iter().all(|(_, value)| *value == known[0].1) {
        return None;
    }
    let times_s: Vec<i64> = known.iter().map(|(time_s, _)| *time_s).collect();
    let terms = Terms::new(&times_s, calendar);
    let sums = summed(&terms, &known, scale, calendar);
    let (weights, noise) = most_probable(&terms, &sums)?;
    Some(Fitted {
        terms,
        weights,
        noise,
        scale,
    })
}

fn summed(terms: &Terms, known: &[(i64, f64)], scale: f64, calendar: &Calendar) -> Sums {
    let width = terms.width();
    let mut sums = Sums {
        count: known.len() as f64,
        terms: vec![0.0; width * (width + 1) / 2],
        both: vec![0.0; width],
        values: 0.0,
    };
    for (time_s, value) in known {
        sums.take(&terms.row(calendar, *time_s), value / scale);
    }
    sums
}

impl Sums {
    fn take(&mut self, row: &[f64], value: f64) {
        let mut rest = self.terms.as_mut_slice();
        for (place, term) in row.iter().enumerate() {
            let (cells, after) = rest.split_at_mut(place + 1);
            rest = after;
            // Most holidays and knots are nought most of the time.
            if *term == 0.0 {
                continue;
            }
            for (cell, other) in cells.iter_mut().zip(row) {
                *cell += term * other;
            }
            self.both[place] += term * value;
        }
        self.values += value * value;
    }

    /// The sum of squared errors with `weights`.
    fn errors(&self, weights: &[f64]) -> f64 {
        let mut sum = self.values;
        let mut start = 0;
        for (place, weight) in weights.iter().enumerate() {
            let row = &self.terms[start..=start + place];
            let products: f64 = row.iter().zip(weights).map(|(cell, other)| cell * other).sum();
            sum += weight * (2.0 * products - row[place] * weight - 2.0 * self.both[place]);
            start += place + 1;
        }
        sum.max(0.0)
    }

    /// The most probable noise for a sum of squared errors.
    fn noise(&self, errors: f64) -> f64 {
        let pull = 4.0 / (NOISE_PRIOR * NOISE_PRIOR);
        let squared = 2.0 * ((self.count * self.count + pull * errors).sqrt() - self.count) / pull;
        squared.max(NOISE_MIN * NOISE_MIN).sqrt()
    }

    /// The logarithm of the posterior, but for a constant.
    fn log_posterior(&self, terms: &Terms, weights: &[f64], noise: f64) -> f64 {
        let fit = self.count * noise.ln() + self.errors(weights) / (2.0 * noise * noise);
        let priors = weights.iter().enumerate().map(|(place, weight)| {
            terms
                .precision(place)
                .map_or(weight.abs() / KNOT_PRIOR, |precision| {
                    precision * weight * weight / 2.0
                })
        });
        -fit - priors.sum::<f64>() - (noise / NOISE_PRIOR).powi(2) / 2.0
    }
}

/// The most probable weights and noise. All knots start with a change as large as their prior allows: from nothing they
/// would hardly move in the first rounds.
fn most_probable(terms: &Terms, sums: &Sums) -> Option<(Vec<f64>, f64)> {
    let mut weights = vec![KNOT_PRIOR; terms.width()];
    let mut noise = sums.noise(sums.values);
    let mut reached = f64::NEG_INFINITY;
    for _ in 0..ROUNDS {
        let mut factor = sums.terms.clone();
        for (place, weight) in weights.iter().enumerate() {
            let bound = || 1.0 / (KNOT_PRIOR * weight.hypot(SLOPE_MIN));
            let precision = terms.precision(place).unwrap_or_else(bound);
            factor[place * (place + 1) / 2 + place] += noise * noise * precision;
        }
        weights.clone_from(&sums.both);
        if !solve(&mut factor, &mut weights) {
            return None;
        }
        noise = sums.noise(sums.errors(&weights));
        let before = std::mem::replace(&mut reached, sums.log_posterior(terms, &weights, noise));
        if reached - before < GAIN_MIN {
            break;
        }
    }
    let all = weights.iter().chain([&noise]);
    let sound = all.copied().all(f64::is_finite);
    sound.then_some((weights, noise))
}

/// Solves for one side by Cholesky's method; `factor` is a packed lower triangle. False when it is not positive definite.
fn solve(factor: &mut [f64], side: &mut [f64]) -> bool {
    if !factorise(factor, side.len()) {
        return false;
    }
    for row in 0..side.len() {
        let above = factor[start(row)..start(row) + row].iter().zip(side.iter());
        let above: f64 = above.map(|(cell, done)| cell * done).sum();
        side[row] = (side[row] - above) / factor[start(row) + row];
    }
    for row in (0..side.len()).rev() {
        let below = (row + 1..side.len()).map(|below| factor[start(below) + row] * side[below]);
        side[row] = (side[row] - below.sum::<f64>()) / factor[start(row) + row];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::traces::read_series;

    /// Stan stops where the posterior no longer moves much, which may be short of the top: knots that it should have
    /// given up stay. So ours is held against the posterior there and not against the weights.
    #[test]
    fn no_fit_of_prophet_in_python_is_more_probable() {
        const FITTED: usize = 8 * 288;
        let utc = Calendar::default();
        let fits = include_str!("../../../tests/fixtures/prophet-fit.csv");
        for trace in read_series(include_str!("../../../tests/fixtures/series.csv")).expect("a table") {
            let (times_s, values) = (&trace.times_s[..FITTED], &trace.values[..FITTED]);
            let ours = fit(times_s, values, &utc).expect("it moves");
            let known: Vec<(i64, f64)> = times_s.iter().copied().zip(values.iter().copied()).collect();
            let sums = summed(&ours.terms, &known, ours.scale, &utc);
            let line = fits
                .lines()
                .find(|line| line.starts_with(&trace.id))
                .expect("fitted");
            let numbers = line
                .split(',')
                .skip(1)
                .map(|field| field.parse().expect("a number"));
            let numbers: Vec<f64> = numbers.collect();
            let (stated, noise, weights) = (numbers[0], numbers[1], &numbers[2..]);
            let theirs = sums.log_posterior(&ours.terms, weights, noise);
            assert!(
                (theirs - stated).abs() < 0.01,
                "{}: {theirs}, Stan {stated}",
                trace.id
            );
            let reached = sums.log_posterior(&ours.terms, &ours.weights, ours.noise);
            assert!(reached > theirs - 0.01, "{}: {reached}, Stan {theirs}", trace.id);
        }
    }
}

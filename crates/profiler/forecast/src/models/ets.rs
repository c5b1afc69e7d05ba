//! Exponential smoothing: a level and a damped trend (Holt 1957; Gardner and `McKenzie` 1985), additive errors.
//!
//! What is smoothed how fast is chosen once a day, by the squared one-step errors over the kept days with the
//! penalty of the corrected Akaike criterion, between no trend and a damped one (Hyndman et al., IJF 2002). Seasons are
//! left to `mstl`: at 288 steps a day a seasonal state is neither stable nor cheap.

use super::past::{HORIZON, NotLater, Past};
use super::paths::Paths;
use super::{Forecast, SeriesModel, THRESHOLDS};

/// Observations between two choices.
const REFIT: u64 = 288;
/// Values that are needed for a choice; before, the level is the last value.
const VALUES_MIN: usize = 24;
/// The search ends when its steps are this small.
const SIZE_MIN: f64 = 0.01;

/// How fast level and trend follow, and how the trend fades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speeds {
    level: f64,
    trend: f64,
    damping: f64,
}

/// Level and trend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct State {
    level: f64,
    trend: f64,
}

impl Speeds {
    /// The last value.
    pub(crate) const LAST: Self = Self {
        level: 1.0,
        trend: 0.0,
        damping: 0.0,
    };

    /// Takes in a value; a missing one lets the trend fade.
    pub(crate) fn step(&self, state: State, value: f64) -> State {
        let expected = state.level + self.damping * state.trend;
        let error = if value.is_nan() { 0.0 } else { value - expected };
        State {
            level: expected + self.level * error,
            trend: self.damping * state.trend + self.trend * error,
        }
    }

    /// The sum of squared one-step errors over `values`, and their number.
    fn loss(&self, values: &[f64]) -> (f64, f64) {
        let mut values = values.iter().skip_while(|value| value.is_nan());
        let Some(mut state) = values.next().map(|first| State::new(*first)) else {
            return (0.0, 0.0);
        };
        let (mut sum, mut count) = (0.0, 0.0);
        for value in values {
            let error = value - state.level - self.damping * state.trend;
            if !error.is_nan() {
                sum += error * error;
                count += 1.0;
            }
            state = self.step(state, *value);
        }
        (sum, count)
    }

    /// The best speeds for `values`.
    pub(crate) fn fit(values: &[f64]) -> Self {
        let simple = descend(
            values,
            Self {
                level: 0.5,
                trend: 0.0,
                damping: 0.0,
            },
            false,
        );
        let damped = descend(
            values,
            Self {
                level: 0.5,
                trend: 0.1,
                damping: 0.9,
            },
            true,
        );
        let criterion = |speeds: &Self, parameters: f64| {
            let (sum, count) = speeds.loss(values);
            let spare = (count - parameters - 1.0).max(1.0);
            count * (sum / count.max(1.0)).max(f64::MIN_POSITIVE).ln()
                + 2.0 * parameters * (1.0 + (parameters + 1.0) / spare)
        };
        if criterion(&damped, 6.0) < criterion(&simple, 3.0) {
            damped
        } else {
            simple
        }
    }
}

/// Coordinate by coordinate, with steps that halve when nothing nearby is better.
fn descend(values: &[f64], from: Speeds, with_trend: bool) -> Speeds {
    let (mut best, mut least) = (from, from.loss(values).0);
    let mut size = 0.25;
    while size > SIZE_MIN {
        let tried = neighbours(best, size, with_trend).into_iter();
        let better = tried
            .map(|speeds| (speeds.loss(values).0, speeds))
            .min_by(|left, right| left.0.total_cmp(&right.0))
            .filter(|(loss, _)| *loss < least * (1.0 - 1e-6));
        match better {
            Some((loss, speeds)) => (best, least) = (speeds, loss),
            None => size /= 2.0,
        }
    }
    best
}

fn neighbours(around: Speeds, size: f64, with_trend: bool) -> Vec<Speeds> {
    let mut found = Vec::with_capacity(6);
    for size in [-size, size] {
        found.push(Speeds {
            level: (around.level + size).clamp(0.0, 1.0),
            ..around
        });
        if with_trend {
            found.push(Speeds {
                trend: (around.trend + size).clamp(0.0, around.level),
                ..around
            });
            found.push(Speeds {
                damping: (around.damping + size).clamp(0.0, 0.98),
                ..around
            });
        }
    }
    found
}

impl State {
    pub(crate) fn new(level: f64) -> Self {
        Self { level, trend: 0.0 }
    }

    /// Before the first value.
    pub(crate) fn is_unknown(&self) -> bool {
        self.level.is_nan()
    }

    /// The next values.
    pub(crate) fn path(&self, speeds: &Speeds) -> [f64; HORIZON] {
        let (mut ahead, mut fading) = (self.level, self.trend);
        std::array::from_fn(|_| {
            fading *= speeds.damping;
            ahead += fading;
            ahead
        })
    }
}

/// A series that is smoothed.
#[derive(Clone, Debug)]
pub struct Ets {
    past: Past,
    thresholds: [f64; THRESHOLDS],
    speeds: Speeds,
    state: State,
    paths: Paths,
}

impl Ets {
    /// A series with one value every `step_s` seconds.
    pub fn new(step_s: u32, thresholds: [f64; THRESHOLDS]) -> Self {
        Self {
            past: Past::new(step_s),
            thresholds,
            speeds: Speeds::LAST,
            state: State::new(f64::NAN),
            paths: Paths::default(),
        }
    }

    fn advance(&mut self, value: f64) {
        self.state = if self.state.level.is_nan() {
            State::new(value)
        } else {
            self.speeds.step(self.state, value)
        };
        self.paths.push(self.state.path(&self.speeds));
    }

    /// Chooses anew and follows the kept values again, so that all kept errors are those of one choice.
    fn refit(&mut self) {
        let values: Vec<f64> = self.past.tail(self.past.len()).to_vec();
        self.speeds = Speeds::fit(&values);
        self.state = State::new(f64::NAN);
        self.paths.clear();
        for value in values {
            self.advance(value);
        }
    }
}

impl SeriesModel for Ets {
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater> {
        let steps = self.past.push(time_s, value)?;
        if self.past.seen().is_multiple_of(REFIT) && self.past.len() >= VALUES_MIN {
            self.refit();
            return Ok(());
        }
        if steps > self.past.len() {
            self.state = State::new(f64::NAN);
            self.paths.clear();
        } else {
            (1..steps).for_each(|_| self.advance(f64::NAN));
        }
        self.advance(self.past.back(0));
        Ok(())
    }

    fn last_s(&self) -> Option<i64> {
        self.past.newest_s()
    }

    fn forecast(&mut self) -> Option<Forecast> {
        if self.past.back(0).is_nan() {
            return None;
        }
        self.paths.forecast(&self.past, &self.thresholds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gbdt::Random;
    use super::*;

    /// A level that walks, seen through noise.
    fn walk(steps: usize, walking: f64, noise: f64) -> Vec<f64> {
        let mut random = Random(11);
        let mut level = 50.0;
        (0..steps)
            .map(|_| {
                level += walking * (random.unit() - 0.5);
                level + noise * (random.unit() - 0.5)
            })
            .collect()
    }

    #[test]
    fn noise_is_smoothed_and_walks_are_followed() {
        assert!(
            Speeds::fit(&walk(2000, 0.0, 4.0)).level < 0.1,
            "nothing but noise"
        );
        assert!(
            Speeds::fit(&walk(2000, 4.0, 0.0)).level > 0.8,
            "nothing but walking"
        );
        // With equal variances of steps and noise the best speed is (√5 - 1) / 2.
        let even = Speeds::fit(&walk(4000, 4.0, 4.0)).level;
        assert!((even - 0.618).abs() < 0.1, "{even}");
    }

    #[test]
    fn a_ramp_goes_on() {
        let mut model = Ets::new(300, [0.0, 1e9]);
        for step in 0..600_i32 {
            model
                .observe(i64::from(step) * 300, f64::from(step))
                .expect("time goes forward");
        }
        let forecast = model.forecast().expect("the last value is known");
        assert!(
            (forecast.quantiles[1][5] - 602.0).abs() < 0.5,
            "{}",
            forecast.quantiles[1][5]
        );
    }

    #[test]
    fn gaps_and_constants_do_no_harm() {
        let mut model = Ets::new(300, [1.0, 5.0]);
        for step in 0..500_i64 {
            let value = if step % 7 == 3 { f64::NAN } else { 4.0 };
            model.observe(step * 600, value).expect("time goes forward");
        }
        let forecast = model.forecast().expect("the last value is known");
        assert_eq!(forecast.quantiles[4], [4.0; 12]);
        // No twelve values in a row are known, so that there is no error to go by.
        assert_eq!(forecast.chances[0], [0.75, 0.25]);
        model.observe(1_000_000_000, 2.0).expect("much later");
        assert_eq!(model.forecast().expect("one value").quantiles[0][5], 2.0);
    }
}

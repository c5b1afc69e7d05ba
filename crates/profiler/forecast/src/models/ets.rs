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
        self.follow(state, self.error(state, value))
    }

    /// How far `value` is from what was expected; a missing one is as expected.
    fn error(&self, state: State, value: f64) -> f64 {
        if value.is_nan() {
            0.0
        } else {
            value - (state.level + self.damping * state.trend)
        }
    }

    fn follow(&self, state: State, error: f64) -> State {
        State {
            level: state.level + self.damping * state.trend + self.level * error,
            trend: self.damping * state.trend + self.trend * error,
        }
    }

    /// The best speeds for `values`.
    pub(crate) fn fit(values: &[f64]) -> Self {
        let start = Self {
            level: 0.5,
            trend: 0.0,
            damping: 0.0,
        };
        let (simple, simple_loss) = descend(values, start, levels_nearby);
        let start = Self {
            level: 0.5,
            trend: 0.1,
            damping: 0.9,
        };
        let (damped, damped_loss) = descend(values, start, nearby);
        let known = values.iter().filter(|value| !value.is_nan()).count();
        let count = known.saturating_sub(1) as f64;
        let criterion = |loss: f64, parameters: f64| {
            let spare = (count - parameters - 1.0).max(1.0);
            count * (loss / count.max(1.0)).max(f64::MIN_POSITIVE).ln()
                + 2.0 * parameters * (1.0 + (parameters + 1.0) / spare)
        };
        if criterion(damped_loss, 6.0) < criterion(simple_loss, 3.0) {
            damped
        } else {
            simple
        }
    }
}

/// The sum of squared one-step errors over `values` with each of several speeds, in one pass: a step has to wait for
/// the one before it, but not for those of other speeds.
fn losses<const COUNT: usize>(tried: &[Speeds; COUNT], values: &[f64]) -> [f64; COUNT] {
    let mut sums = [0.0; COUNT];
    let mut values = values.iter().skip_while(|value| value.is_nan());
    let Some(first) = values.next() else {
        return sums;
    };
    let mut states = [State::new(*first); COUNT];
    for value in values {
        for ((sum, state), speeds) in sums.iter_mut().zip(&mut states).zip(tried) {
            let error = speeds.error(*state, *value);
            *sum += error * error;
            *state = speeds.follow(*state, error);
        }
    }
    sums
}

/// Coordinate by coordinate, with steps that halve when nothing nearby is better. The best speeds and their loss.
fn descend<const COUNT: usize>(
    values: &[f64],
    from: Speeds,
    nearby: fn(Speeds, f64) -> [Speeds; COUNT],
) -> (Speeds, f64) {
    let [mut least] = losses(&[from], values);
    let mut best = from;
    let mut size = 0.25;
    while size > SIZE_MIN {
        let tried = nearby(best, size);
        let better = losses(&tried, values)
            .into_iter()
            .zip(tried)
            .min_by(|left, right| left.0.total_cmp(&right.0))
            .filter(|(loss, _)| *loss < least * (1.0 - 1e-6));
        match better {
            Some((loss, speeds)) => (best, least) = (speeds, loss),
            None => size /= 2.0,
        }
    }
    (best, least)
}

/// A level that follows more slowly or faster.
fn levels_nearby(around: Speeds, size: f64) -> [Speeds; 2] {
    [-size, size].map(|size| Speeds {
        level: (around.level + size).clamp(0.0, 1.0),
        ..around
    })
}

/// The same, and a trend that does, or that fades otherwise.
fn nearby(around: Speeds, size: f64) -> [Speeds; 6] {
    let [slower, faster] = levels_nearby(around, size);
    let trend = |size: f64| Speeds {
        trend: (around.trend + size).clamp(0.0, around.level),
        ..around
    };
    let damping = |size: f64| Speeds {
        damping: (around.damping + size).clamp(0.0, 0.98),
        ..around
    };
    [
        slower,
        trend(-size),
        damping(-size),
        faster,
        trend(size),
        damping(size),
    ]
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

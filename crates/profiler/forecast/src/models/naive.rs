//! The two forecasts that cost nothing: the last value, and the value of a day or a week ago.
//!
//! Both are paths of points with the blocks of their own past errors over them: the twelve errors of one origin stay
//! together, so that maxima come out as they were seen. They are what every other model is measured against.

use super::calendar::Calendar;
use super::past::{HORIZON, NotLater, Past};
use super::sorting::sort;
use super::{
    Forecast, LEVELS, SeriesModel, TARGET_COUNT, THRESHOLDS, WINDOW_TARGETS, quantile, targets_of, transposed,
};
use std::sync::Arc;

/// Which value is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// The last one.
    Last,
    /// That of the same time on the day before.
    Day,
    /// That of the same time a week ago.
    Week,
}

/// Origins whose errors are laid over the path: every second one of the last five days.
const ORIGINS: usize = 5 * super::past::DAY / 2;

/// A series that is forecast by repeating itself.
#[derive(Clone, Debug)]
pub struct Naive {
    repeats: Repeats,
    past: Past,
    thresholds: [f64; THRESHOLDS],
}

impl Naive {
    /// A series with one value every `step_s` seconds.
    pub fn new(repeats: Repeats, step_s: u32, thresholds: [f64; THRESHOLDS]) -> Self {
        Self {
            repeats,
            past: Past::new(step_s),
            thresholds,
        }
    }

    /// The path from the origin `back` steps ago; where nothing is known to repeat, its last value.
    fn path(&self, back: usize) -> [f64; HORIZON] {
        let last = self.past.back(back);
        let period = match self.repeats {
            Repeats::Last => return [last; HORIZON],
            Repeats::Day => self.past.days_back(1),
            Repeats::Week => self.past.days_back(7),
        };
        std::array::from_fn(|step| {
            let value = self.past.back(back + period - 1 - step);
            if value.is_nan() { last } else { value }
        })
    }

    /// The errors of the path from the origin `back` steps ago; NaN where one is unknown.
    fn errors(&self, back: usize) -> [f64; HORIZON] {
        let path = self.path(back);
        std::array::from_fn(|step| self.past.back(back - 1 - step) - path[step])
    }
}

impl SeriesModel for Naive {
    fn observe(&mut self, time_s: i64, value: f64) -> Result<(), NotLater> {
        self.past.push(time_s, value).map(|_| ())
    }

    fn set_calendar(&mut self, calendar: &Arc<Calendar>) {
        self.past.set_calendar(calendar);
    }

    fn last_s(&self) -> Option<i64> {
        self.past.newest_s()
    }

    fn forecast(&mut self) -> Option<Forecast> {
        if self.past.back(0).is_nan() {
            return None;
        }
        let path = self.path(0);
        let origins = (0..ORIGINS).map(|origin| HORIZON + 2 * origin);
        let blocks = origins.take_while(|back| *back < self.past.len()).map(|back| {
            let errors = self.errors(back);
            targets_of(&std::array::from_fn(|step| path[step] + errors[step]))
        });
        let known: Vec<_> = blocks
            .filter(|targets| targets.iter().all(|target| target.is_finite()))
            .collect();
        Some(forecast_of(&known, &targets_of(&path), &self.thresholds))
    }
}

/// The forecast of equally likely outcomes; before there are any, of the one at hand.
pub(crate) fn forecast_of(
    outcomes: &[[f64; TARGET_COUNT]],
    point: &[f64; TARGET_COUNT],
    thresholds: &[f64; THRESHOLDS],
) -> Forecast {
    let sorted: [Vec<f64>; TARGET_COUNT] = std::array::from_fn(|target| {
        let mut values: Vec<f64> = outcomes.iter().map(|outcome| outcome[target]).collect();
        if values.is_empty() {
            values.push(point[target]);
        }
        sort(&mut values);
        values
    });
    let chances = thresholds.map(|threshold| {
        WINDOW_TARGETS.map(|target| {
            let below = sorted[target].partition_point(|value| *value <= threshold);
            // Half a count on either side keeps it from certainty.
            ((sorted[target].len() - below) as f64 + 0.5) / (sorted[target].len() as f64 + 1.0)
        })
    });
    Forecast {
        quantiles: std::array::from_fn(|target| LEVELS.map(|level| quantile(&sorted[target], level))),
        chances: transposed(chances),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(repeats: Repeats, expect_median: f64) {
        let mut model = Naive::new(repeats, 300, [50.0, 150.0]);
        // A square wave of a day, 100 high in its second half; asked at the end of the first half.
        for step in 0..10 * 288 + 144_i64 {
            let value = if step % 288 < 144 { 0.0 } else { 100.0 };
            model.observe(step * 300, value).expect("time goes forward");
        }
        let forecast = model.forecast().expect("the last value is known");
        assert_eq!(forecast.quantiles[0][5], expect_median, "{repeats:?}");
        assert!(forecast.chances[0][0] >= forecast.chances[0][1]);
    }

    #[test]
    fn each_repeats_what_it_says() {
        check(Repeats::Last, 0.0);
        check(Repeats::Day, 100.0);
        check(Repeats::Week, 100.0);
    }

    #[test]
    fn the_first_value_is_all_there_is() {
        let mut model = Naive::new(Repeats::Week, 300, [1.0, 2.0]);
        assert!(model.forecast().is_none());
        model.observe(0, 7.0).expect("first");
        let forecast = model.forecast().expect("one value");
        assert_eq!(forecast.quantiles[4], [7.0; 12]);
        model.observe(300, f64::NAN).expect("later");
        assert!(model.forecast().is_none(), "nothing is said from a missing value");
    }
}

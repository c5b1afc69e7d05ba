//! What a series says about itself, as a row of numbers.
//!
//! Lags, rolling means and extremes, the same time on earlier days, volatility, calendar, the last minutes. Values
//! are relative to the last one, in units of the series' scale; what is not known is NaN. What a threshold adds
//! stands in `exceedances`.

use super::past::{DAY, FINE, HORIZON, Past};

/// Length of [`series_row`].
pub const SERIES: usize = 93;
/// How much of [`series_row`] the ridge reads: what stands before weekday, repetition, rank and the last minutes.
pub const LINEAR: usize = 71;
/// Places in [`series_row`] of what changes slowly: lows of the day, volatilities, deviations.
pub const SLOW: std::ops::RangeInclusive<usize> = 27..=36;
/// Place in [`series_row`] of the deviation of this minute over the hours of a day, slow too.
pub const SLOW_HOURS: usize = 63;

/// Places in [`series_row`] of what is only known where there are one-minute values: their rise, and each of them.
pub const MINUTES: std::ops::Range<usize> = SERIES - FINE - 1..SERIES;

/// Length of [`minutes_row`].
pub const MINUTES_ROW: usize = 4;

/// Fills an array from the front.
pub(crate) struct Filler<'a> {
    row: &'a mut [f32],
    pub(crate) at: usize,
}

impl<'a> Filler<'a> {
    pub(crate) fn new(row: &'a mut [f32]) -> Self {
        Self { row, at: 0 }
    }

    pub(crate) fn put(&mut self, value: f64) {
        self.row[self.at] = value as f32;
        self.at += 1;
    }
}

/// Sums, count, least and greatest of the known values.
#[derive(Clone, Copy)]
struct Summary {
    sum: f64,
    squares: f64,
    count: f64,
    least: f64,
    greatest: f64,
}

impl Summary {
    const EMPTY: Self = Self {
        sum: 0.0,
        squares: 0.0,
        count: 0.0,
        least: f64::INFINITY,
        greatest: f64::NEG_INFINITY,
    };

    fn take(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.sum += value;
        self.squares += value * value;
        self.count += 1.0;
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
    }

    fn mean(self) -> f64 {
        self.sum / self.count
    }

    fn deviation(self) -> f64 {
        (self.squares / self.count - self.mean().powi(2)).max(0.0).sqrt()
    }

    /// NaN where nothing was taken.
    fn top(self) -> f64 {
        if self.count > 0.0 { self.greatest } else { f64::NAN }
    }

    /// NaN where nothing was taken.
    fn bottom(self) -> f64 {
        if self.count > 0.0 { self.least } else { f64::NAN }
    }
}

/// Greatest of the `count` values (at most `back`) that followed the value `back` steps ago; NaN where none is known.
fn greatest_after(past: &Past, back: usize, count: usize) -> f64 {
    let mut summary = Summary::EMPTY;
    (1..=count).for_each(|ahead| summary.take(past.back(back - ahead)));
    summary.top()
}

/// What the series says about itself now.
pub fn series_row(past: &Past) -> [f32; SERIES] {
    let mut row = [f32::NAN; SERIES];
    let (base, scale) = (past.last(), past.scale());
    if past.is_empty() || base.is_nan() {
        return row;
    }
    let mut filler = Filler::new(&mut row);
    let relative = |value: f64| (value - base) / scale;
    filler.put((base - past.middle()) / scale);
    for lag in (1..12).chain([15, 18, 24, 36]) {
        filler.put(relative(past.back(lag)));
    }
    rolling(&mut filler, past, base, scale);
    seasons(&mut filler, past, base, scale);
    calendar(&mut filler, past);
    debug_assert_eq!(filler.at, LINEAR);
    repetition(&mut filler, past, base, scale);
    let minutes = past.minutes();
    jumps(&mut filler, past, scale);
    filler.put((minutes[0] - minutes[4]) / scale);
    for minute in minutes {
        filler.put(relative(minute));
    }
    debug_assert_eq!(filler.at, SERIES);
    row
}

/// Rolling means, extremes, volatility and deviations: 21 values.
fn rolling(filler: &mut Filler, past: &Past, base: f64, scale: f64) {
    const WINDOWS: [usize; 7] = [3, 6, 12, 24, 36, 72, DAY];
    let (mut values, mut moves) = (Summary::EMPTY, Summary::EMPTY);
    let mut found = [(Summary::EMPTY, Summary::EMPTY); 7];
    let mut window = 0;
    for back in 0..DAY {
        let value = past.back(back);
        values.take((value - base) / scale);
        moves.take((value - past.back(back + 1)).abs() / scale);
        if back + 1 == WINDOWS[window] {
            found[window] = (values, moves);
            window += 1;
        }
    }
    for window in [0, 1, 2, 3, 5, 6] {
        filler.put(found[window].0.mean());
    }
    for window in [1, 2, 4, 6] {
        filler.put(found[window].0.top());
    }
    for window in [2, 5, 6] {
        filler.put(found[window].0.bottom());
    }
    for window in [0, 2, 5, 6] {
        filler.put(found[window].1.mean());
    }
    for window in [2, 3, 5, 6] {
        filler.put(found[window].0.deviation());
    }
}

/// What followed this time of day on earlier days, and this minute in earlier hours: 27 values.
fn seasons(filler: &mut Filler, past: &Past, base: f64, scale: f64) {
    let relative = |value: f64| (value - base) / scale;
    for days in [1, 2, 7] {
        for ahead in [0, 1, 2, 3, 6, 12] {
            filler.put(relative(past.back(past.days_back(days) - ahead)));
        }
    }
    for (count, period, repeats, with_greatest) in [
        (1, DAY, 5, false),
        (3, DAY, 5, false),
        (HORIZON, DAY, 5, true),
        (1, 12, 6, false),
        (3, 12, 6, true),
    ] {
        let mut over = Summary::EMPTY;
        (1..=repeats).for_each(|repeat| {
            let back = if period == DAY {
                past.days_back(repeat)
            } else {
                repeat * period
            };
            over.take(greatest_after(past, back, count));
        });
        filler.put(relative(over.mean()));
        if with_greatest {
            filler.put(relative(over.top()));
        }
    }
    let mut hours = Summary::EMPTY;
    (1..=24).for_each(|hour| hours.take(past.back(hour * 12 - 1)));
    filler.put(relative(hours.mean()));
    filler.put(hours.deviation() / scale);
}

/// Local time of day, minute of the hour and the weekend: 7 values.
fn calendar(filler: &mut Filler, past: &Past) {
    let day_s = past.calendar().of_day_s(past.last_s());
    let angle = std::f64::consts::TAU * day_s as f64 / 86_400.0;
    filler.put(angle.sin());
    filler.put(angle.cos());
    filler.put((2.0 * angle).sin());
    filler.put((2.0 * angle).cos());
    filler.put((day_s % 3600) as f64 / 300.0);
    filler.put(day_s as f64 / 3600.0);
    filler.put(f64::from(u8::from(past.calendar().weekday(past.last_s()) >= 5)));
}

/// Weekday, repeated values, rank within the day, age and relative size of the scale: 7 values.
fn repetition(filler: &mut Filler, past: &Past, base: f64, scale: f64) {
    filler.put(past.calendar().weekday(past.last_s()) as f64);
    let day = past.tail(DAY);
    let share = |count: usize| count as f64 / day.len() as f64;
    let same = day.iter().rev().take_while(|value| **value == base).count();
    filler.put((same as f64).ln_1p());
    filler.put(share(day.windows(2).filter(|pair| pair[0] == pair[1]).count()));
    filler.put(share(day.iter().filter(|value| **value < base).count()));
    filler.put(share(day.iter().filter(|value| **value == base).count()));
    filler.put(past.len().min(8 * DAY) as f64 / DAY as f64);
    filler.put((scale / (past.middle().abs() + 1e-9)).ln());
}

/// The largest rise and fall of the day, the last curvature, the time since the peak: 4 values.
fn jumps(filler: &mut Filler, past: &Past, scale: f64) {
    let day = past.tail(DAY);
    let mut moves = Summary::EMPTY;
    day.windows(2)
        .for_each(|pair| moves.take((pair[1] - pair[0]) / scale));
    filler.put(moves.top());
    filler.put(-moves.bottom());
    filler.put((past.back(0) - 2.0 * past.back(1) + past.back(2)) / scale);
    let mut peak = (0, f64::NEG_INFINITY);
    for (back, value) in day.iter().rev().enumerate() {
        if *value > peak.1 {
            peak = (back, *value);
        }
    }
    filler.put((peak.0 as f64).ln_1p());
}

/// The last minutes against a threshold: the newest, the greatest, the share above, and where a straight line through
/// the last five would be in the middle of the next step. NaN without minutes.
pub fn minutes_row(past: &Past, threshold: f64) -> [f32; MINUTES_ROW] {
    /// How far the newest minutes' slope is carried on, in minutes: from their middle to that of the next step.
    const AHEAD: f64 = 5.0;
    let minutes = past.minutes();
    let relative = |value: f64| (threshold - value) / past.scale();
    let mut all = Summary::EMPTY;
    for value in minutes {
        all.take(value);
    }
    let above = minutes.iter().filter(|value| **value > threshold).count();
    // Least squares over the times 0, -1, … -4 minutes.
    let (mut slope, mut sum) = (0.0, 0.0);
    for (value, weight) in minutes.iter().zip([2.0, 1.0, 0.0, -1.0, -2.0]) {
        slope += weight * value / 10.0;
        sum += value;
    }
    [
        relative(minutes[0]),
        relative(all.top()),
        above as f64 / all.count,
        relative(sum / 5.0 + AHEAD * slope),
    ]
    .map(|value| value as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_filled_whatever_the_past() {
        for length in [0, 1, 2, 13, 290, 3000_i64] {
            let mut past = Past::new(300);
            for step in 0..length {
                past.push(step * 300, 4.0).expect("time goes forward");
            }
            let row = series_row(&past);
            assert!(row.iter().all(|value| !value.is_infinite()), "{length}: {row:?}");
            assert_eq!(row[0].is_nan(), length == 0);
        }
    }

    #[test]
    fn minutes_are_carried_on() {
        let mut past = Past::new(300);
        assert!(minutes_row(&past, 1.0).iter().all(|value| value.is_nan()));
        (0..10_i64).for_each(|minute| past.push_fine(60 * minute, minute as f64));
        (0..2_i64).for_each(|step| past.push(300 * step, 4.0).map(drop).expect("time goes forward"));
        let expected = [6.5 - 9.0, 6.5 - 9.0, 0.3 * past.scale(), 6.5 - 12.0];
        let row = minutes_row(&past, 6.5).map(|value| f64::from(value) * past.scale());
        for (found, expected) in row.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 + 1e-5 * past.scale(), "{row:?}");
        }
    }

    #[test]
    fn a_row_names_what_was_a_day_ago() {
        let mut past = Past::new(300);
        for step in 0..600_i64 {
            past.push(step * 300, step as f64).expect("time goes forward");
        }
        let row = series_row(&past);
        let expected = -288.0 / past.scale();
        assert!(
            (f64::from(row[37]) - expected).abs() < 1e-4,
            "{} {expected}",
            row[37]
        );
    }
}

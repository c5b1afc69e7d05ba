//! What Prophet's curve is made of: a line with knots, Fourier series for the seasons, a step for each holiday.
//!
//! Time runs from 0 at the first value to 1 at the last one, so that priors mean the same for every length. Seasons go by
//! local time.

use crate::models::calendar::{Calendar, DAY_S};

/// Knots of the trend, evenly over the first part of the values.
const KNOTS: usize = 25;
/// Share of the values that may hold knots.
const KNOTS_WITHIN: f64 = 0.8;
/// Seasons: period in seconds, pairs of sine and cosine, and how many seconds must be known;
/// values must also come more than once in a period.
pub(super) const SEASONS: [(i64, usize, i64); 3] = [
    (DAY_S, 4, 2 * DAY_S),
    (7 * DAY_S, 3, 10 * DAY_S),
    (31_557_600, 10, 2 * 31_557_600),
];
/// Standard deviations of the priors: of the line's slope and height, and of seasons and holidays.
const LINE_PRIOR: f64 = 5.0;
const SEASON_PRIOR: f64 = 10.0;

/// The terms of one fit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Terms {
    /// First and last time, Unix seconds.
    pub(super) span_s: (i64, i64),
    /// Where the slope may change, in scaled time.
    pub(super) knots: Vec<f64>,
    /// Which of [`SEASONS`] there are.
    pub(super) seasons: [bool; 3],
    /// Names of the holidays that were seen.
    pub(super) holidays: Vec<String>,
}

impl Terms {
    /// The terms for values at `times_s` (rising, two at least).
    pub(super) fn new(times_s: &[i64], calendar: &Calendar) -> Self {
        let span_s = (times_s[0], times_s[times_s.len() - 1]);
        let apart_s = times_s
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .min()
            .unwrap_or(0);
        let mut terms = Self {
            span_s,
            knots: Vec::new(),
            seasons: SEASONS
                .map(|(period_s, _, needed_s)| span_s.1 - span_s.0 >= needed_s && apart_s < period_s),
            holidays: Vec::new(),
        };
        let within = ((times_s.len() as f64 * KNOTS_WITHIN) as usize).max(1);
        let count = KNOTS.min(within - 1);
        terms.knots = (1..=count)
            .map(|knot| (knot as f64 / count as f64 * (within - 1) as f64).round() as usize)
            .map(|place| terms.scaled(times_s[place]))
            .collect();
        let mut seen: Vec<&str> = times_s
            .iter()
            .filter_map(|time_s| calendar.holiday(*time_s))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        terms.holidays = seen.into_iter().map(str::to_owned).collect();
        terms
    }

    /// Time as the trend counts it.
    pub(super) fn scaled(&self, time_s: i64) -> f64 {
        (time_s - self.span_s.0) as f64 / (self.span_s.1 - self.span_s.0) as f64
    }

    /// Where the seasons begin in a row; before them stand slope, height and knots.
    pub(super) fn trend(&self) -> usize {
        2 + self.knots.len()
    }

    /// Where each season's terms begin and end, and after them the holidays'.
    pub(super) fn parts(&self) -> Vec<std::ops::Range<usize>> {
        let mut at = self.trend();
        let mut part = |length: usize| {
            at += length;
            at - length..at
        };
        let mut parts: Vec<_> = SEASONS
            .iter()
            .zip(self.seasons)
            .map(|((_, order, _), there)| part(if there { 2 * order } else { 0 }))
            .collect();
        parts.push(part(self.holidays.len()));
        parts
    }

    /// Number of terms.
    pub(super) fn width(&self) -> usize {
        self.parts().last().map_or(0, |holidays| holidays.end)
    }

    /// What each term is at `time_s`.
    pub(super) fn row(&self, calendar: &Calendar, time_s: i64) -> Vec<f64> {
        let time = self.scaled(time_s);
        let mut row = Vec::with_capacity(self.width());
        row.extend([time, 1.0]);
        row.extend(self.knots.iter().map(|knot| (time - knot).max(0.0)));
        let local_s = calendar.local_s(time_s);
        for ((period_s, order, _), there) in SEASONS.iter().zip(self.seasons) {
            let angle = std::f64::consts::TAU * local_s.rem_euclid(*period_s) as f64 / *period_s as f64;
            for harmonic in 1..=if there { *order } else { 0 } {
                let (sine, cosine) = (angle * harmonic as f64).sin_cos();
                row.extend([sine, cosine]);
            }
        }
        let today = calendar.holiday(time_s);
        let is_today = |name: &String| f64::from(u8::from(today == Some(name.as_str())));
        row.extend(self.holidays.iter().map(is_today));
        row
    }

    /// Precision of a term's normal prior; `None` for a knot, whose prior is a Laplace distribution.
    pub(super) fn precision(&self, place: usize) -> Option<f64> {
        match place {
            0 | 1 => Some(1.0 / (LINE_PRIOR * LINE_PRIOR)),
            _ if place < self.trend() => None,
            _ => Some(1.0 / (SEASON_PRIOR * SEASON_PRIOR)),
        }
    }
}

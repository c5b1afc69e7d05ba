//! What the event model sees of a unit: its load against its capacity, and its unexplained contention, in time.
//!
//! Three tiers are kept incrementally: seconds of the last minute, minutes of the last hour, five-minute pieces
//! of the last day; and how often each quarter hour of the day and each minute of the hour saw contention. The
//! threshold enters as the capacity that loads are divided by. What was not measured is NaN, so a model may mask
//! it: one model serves a unit of a minute and one of a month. Contention that a repeating pattern explains is
//! left out, or it would be counted twice.

use crate::models::calendar::Calendar;
use crate::ring::push;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const SECONDS_KEPT: usize = 60;
const MINUTES_KEPT: usize = 60;
const FIVES_KEPT: usize = 288;
const DAY_SLOTS: u16 = 96;
const HOUR_SLOTS: u16 = 60;
/// Pace at which the slots of the day and of the hour forget, per visit.
const SLOT_PACE: f32 = 0.25;
/// Seconds of watching, and onsets in them, that are assumed before any were seen.
const PRIOR_WATCHED_S: f64 = 3600.0;
const PRIOR_ONSETS: f64 = 0.08;
/// Watching longer than this fades, so that rates follow what changes.
const WATCHED_MAX_S: f64 = 7.0 * 86_400.0;

/// Number of features.
pub const FEATURES: usize = 14;

/// Names of the features, in order.
pub const FEATURE_NAMES: [&str; FEATURES] = [
    "distance_10s",
    "distance_max_60s",
    "rise_30s",
    "distance_max_1h",
    "above_5min",
    "above_1h",
    "above_1d",
    "log_minutes_since_above",
    "above_this_time_of_day",
    "above_this_minute_of_hour",
    "sine_of_day",
    "cosine_of_day",
    "weekend",
    "log_hours_watched",
];

impl Features {
    /// The same without the contention that `onsets` of `all` onsets brought.
    pub(crate) fn without(mut self, onsets: f64, all: f64) -> Self {
        let left = if all > 0.0 {
            (1.0 - onsets / all).clamp(0.0, 1.0)
        } else {
            1.0
        };
        // The prior's part of the rate is small and may go along.
        self.onsets_per_s *= left.max(PRIOR_ONSETS / (all + PRIOR_ONSETS));
        for place in [4, 5, 6, 8, 9] {
            self.values[place] *= left as f32;
        }
        if left < 0.5 {
            self.values[7] = f32::NAN;
        }
        self
    }
}

/// The features of one unit at one moment. NaN: not known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// In the order of [`FEATURE_NAMES`].
    pub values: [f32; FEATURES],
    /// Unexplained onsets per second, the unit's own climatology; never 0.
    pub onsets_per_s: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Piece {
    mean: f32,
    highest: f32,
    above: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Gathering {
    number: i64,
    seconds: f32,
    sum: f32,
    highest: f32,
    above: f32,
    labelled: f32,
}

impl Gathering {
    fn new(number: i64) -> Self {
        Self {
            number,
            seconds: 0.0,
            sum: 0.0,
            highest: f32::NAN,
            above: 0.0,
            labelled: 0.0,
        }
    }

    fn add(&mut self, ratio: f32, above: Option<bool>, interval_s: f32) {
        if !ratio.is_nan() {
            self.seconds += interval_s;
            self.sum += ratio * interval_s;
            self.highest = self.highest.max(ratio);
        }
        if let Some(above) = above {
            self.labelled += interval_s;
            self.above += if above { interval_s } else { 0.0 };
        }
    }

    fn piece(&self) -> Piece {
        Piece {
            mean: self.sum / self.seconds,
            highest: self.highest,
            above: self.above / self.labelled,
        }
    }
}

/// What is kept of one unit: some 5 KiB, whatever the length of its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    seconds: VecDeque<f32>,
    minutes: VecDeque<Piece>,
    fives: VecDeque<Piece>,
    minute: Gathering,
    five: Gathering,
    day: Vec<f32>,
    hour: Vec<f32>,
    last_above_s: Option<f64>,
    watched_s: f64,
    onsets: f64,
    /// Onsets that are assumed in [`PRIOR_WATCHED_S`] before any were seen.
    assumed_onsets: f64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            seconds: VecDeque::new(),
            minutes: VecDeque::new(),
            fives: VecDeque::new(),
            minute: Gathering::new(i64::MIN),
            five: Gathering::new(i64::MIN),
            day: vec![f32::NAN; DAY_SLOTS.into()],
            hour: vec![f32::NAN; HOUR_SLOTS.into()],
            last_above_s: None,
            watched_s: 0.0,
            onsets: 0.0,
            assumed_onsets: PRIOR_ONSETS,
        }
    }
}

/// What the clock on the wall shows: days and weeks go by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall {
    /// As if it were milliseconds since the Unix epoch.
    ms: i64,
    /// Saturday, Sunday or a holiday.
    day_off: bool,
}

impl Wall {
    pub(crate) fn new(calendar: &Calendar, utc_ms: i64) -> Self {
        let at_s = utc_ms.div_euclid(1000);
        Self {
            ms: utc_ms.saturating_add(calendar.offset_s(at_s) * 1000),
            day_off: calendar.weekday(at_s) >= 5,
        }
    }
}

fn slot(wall_ms: i64, length_ms: i64, slots: u16) -> usize {
    (wall_ms.rem_euclid(length_ms) * i64::from(slots) / length_ms) as usize
}

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

fn remember(slots: &mut [f32], place: usize, above: f32) {
    if above.is_nan() {
        return;
    }
    let rate = &mut slots[place];
    *rate = if rate.is_nan() {
        above
    } else {
        *rate + SLOT_PACE * (above - *rate)
    };
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.filter(|value| !value.is_nan()) {
        sum += value;
        count += 1.0;
    }
    sum / count
}

fn highest(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(f32::NAN, f32::max)
}

impl History {
    /// Takes in one sample: load over capacity, and whether unexplained contention was on.
    pub(crate) fn observe(
        &mut self,
        now_s: f64,
        wall: Wall,
        ratio: Option<f64>,
        above: Option<bool>,
        interval_s: f64,
    ) {
        let ratio = ratio.map_or(f32::NAN, |ratio| ratio.clamp(0.0, 100.0) as f32);
        push(&mut self.seconds, ratio, SECONDS_KEPT);
        if above == Some(true) {
            self.last_above_s = Some(now_s);
        }
        if above == Some(false) {
            self.watched_s += interval_s;
            if self.watched_s > WATCHED_MAX_S {
                self.watched_s *= 0.9;
                self.onsets *= 0.9;
            }
        }
        let minute = (now_s / 60.0).floor() as i64;
        if self.minute.number != minute {
            self.close_minute(wall.ms);
            self.minute = Gathering::new(minute);
        }
        let five = minute.div_euclid(5);
        if self.five.number != five {
            self.close_five(wall.ms);
            self.five = Gathering::new(five);
        }
        self.minute.add(ratio, above, interval_s as f32);
        self.five.add(ratio, above, interval_s as f32);
    }

    fn close_minute(&mut self, wall_ms: i64) {
        if self.minute.labelled > 0.0 || self.minute.seconds > 0.0 {
            let piece = self.minute.piece();
            push(&mut self.minutes, piece, MINUTES_KEPT);
            remember(
                &mut self.hour,
                slot(wall_ms - 30_000, HOUR_MS, HOUR_SLOTS),
                piece.above,
            );
        }
    }

    fn close_five(&mut self, wall_ms: i64) {
        if self.five.labelled > 0.0 || self.five.seconds > 0.0 {
            let piece = self.five.piece();
            push(&mut self.fives, piece, FIVES_KEPT);
            remember(
                &mut self.day,
                slot(wall_ms - 150_000, DAY_MS, DAY_SLOTS),
                piece.above,
            );
        }
    }

    /// An event began that no pattern explains.
    pub(crate) fn onset(&mut self) {
        self.onsets += 1.0;
    }

    /// Part of what was counted is explained after all, since a pattern was found in it.
    pub(crate) fn explain(&mut self, share: f64) {
        let left = 1.0 - share.clamp(0.0, 1.0);
        self.onsets *= left;
        let left = left as f32;
        let pieces = self.minutes.iter_mut().chain(self.fives.iter_mut());
        pieces.for_each(|piece| piece.above *= left);
        self.day
            .iter_mut()
            .chain(&mut self.hour)
            .for_each(|rate| *rate *= left);
        self.minute.above *= left;
        self.five.above *= left;
        if left < 0.5 {
            self.last_above_s = None;
        }
    }

    /// Onsets that were counted as unexplained.
    pub(crate) fn onsets(&self) -> f64 {
        self.onsets
    }

    /// Moves every time by `delta_s`.
    pub(crate) fn shift(&mut self, delta_s: f64) {
        self.last_above_s.iter_mut().for_each(|at_s| *at_s += delta_s);
        self.minute.number = i64::MIN;
        self.five.number = i64::MIN;
    }

    /// Seconds in which the unit was watched and quiet.
    pub(crate) fn watched_s(&self) -> f64 {
        self.watched_s
    }

    /// Highest load over capacity of the last hour, NaN where none is known.
    pub(crate) fn highest_ratio(&self) -> f64 {
        f64::from(highest(
            self.minutes
                .iter()
                .map(|piece| piece.highest)
                .chain([self.minute.highest]),
        ))
    }

    /// Unexplained onsets per second.
    pub(crate) fn onsets_per_s(&self) -> f64 {
        (self.onsets + self.assumed_onsets) / (self.watched_s + PRIOR_WATCHED_S)
    }

    /// Assumes the rate of units that are like this one.
    pub(crate) fn begin_like(&mut self, onsets_per_s: f64) {
        self.assumed_onsets = (onsets_per_s * PRIOR_WATCHED_S).max(PRIOR_ONSETS);
    }

    /// What the event model sees at this moment.
    pub(crate) fn features(&self, now_s: f64, wall: Wall) -> Features {
        let recent = |count: usize| self.seconds.iter().rev().take(count).copied();
        let older = self.seconds.iter().rev().skip(30).copied();
        let above_minutes =
            |count: usize| mean(self.minutes.iter().rev().take(count).map(|piece| piece.above));
        let day = mean(self.fives.iter().map(|piece| piece.above));
        let since = self
            .last_above_s
            .map_or(f32::NAN, |at_s| ((now_s - at_s).max(0.0) / 60.0).ln_1p() as f32);
        let angle = wall.ms.rem_euclid(DAY_MS) as f64 / DAY_MS as f64 * std::f64::consts::TAU;
        let values = [
            1.0 - mean(recent(10)),
            1.0 - highest(recent(SECONDS_KEPT)),
            mean(recent(30)) - mean(older),
            1.0 - self.highest_ratio() as f32,
            above_minutes(5),
            above_minutes(MINUTES_KEPT),
            day,
            since,
            self.day[slot(wall.ms, DAY_MS, DAY_SLOTS)],
            self.hour[slot(wall.ms, HOUR_MS, HOUR_SLOTS)],
            angle.sin() as f32,
            angle.cos() as f32,
            f32::from(u8::from(wall.day_off)),
            (self.watched_s / 3600.0).ln_1p() as f32,
        ];
        Features {
            values,
            onsets_per_s: self.onsets_per_s(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn utc(ms: i64) -> Wall {
        Wall::new(&Calendar::default(), ms)
    }

    #[test]
    fn what_is_not_known_is_missing_and_memory_is_bounded() {
        let mut history = History::default();
        let fresh = history.features(0.0, utc(0));
        assert!(fresh.values[..10].iter().all(|value| value.is_nan()));
        for second in 0..200_000 {
            let at_s = f64::from(second);
            history.observe(at_s, utc(second.into()), Some(0.5), Some(second % 1000 < 10), 1.0);
        }
        assert!(history.seconds.len() <= SECONDS_KEPT && history.fives.len() <= FIVES_KEPT);
        let features = history.features(200_000.0, utc(200_000));
        assert!((features.values[0] - 0.5).abs() < 1e-6);
        assert!(
            (features.values[6] - 0.01).abs() < 0.005,
            "{}",
            features.values[6]
        );
    }

    #[test]
    fn contention_at_one_time_of_day_is_seen_there() {
        let mut history = History::default();
        for second in 0..(3 * 86_400_i64) {
            let above = (36_000..37_800).contains(&(second % 86_400));
            history.observe(second as f64, utc(second * 1000), Some(0.5), Some(above), 1.0);
        }
        let at = |second: i64| history.features(300_000.0, utc(second * 1000)).values[8];
        assert!(
            at(36_500) > 0.9 && at(60_000) < 0.1,
            "{} {}",
            at(36_500),
            at(60_000)
        );
    }

    #[test]
    fn a_time_of_day_is_found_again_after_the_clocks_jumped() {
        // Vienna: summer time begins on Sunday, 29 March 2026, 01:00 UTC; Easter Monday is 6 April.
        let jump_s = 1_774_746_000;
        let easter = BTreeMap::from([(20_549, "Easter Monday".to_owned())]);
        let vienna = Calendar::new(vec![(0, 3600), (jump_s, 7200)], easter);
        let mut history = History::default();
        let at = |second: i64| Wall::new(&vienna, second * 1000);
        // Contention from ten to half past ten, by the clock on the wall, on the three days before.
        for second in jump_s - 3 * 86_400..jump_s {
            let above = (36_000..37_800).contains(&vienna.of_day_s(second));
            history.observe(second as f64, at(second), Some(0.5), Some(above), 1.0);
        }
        let seen = |second: i64| history.features(second as f64, at(second)).values[8];
        let ten_s = jump_s + 7 * 3600;
        assert!(seen(ten_s + 300) > 0.9 && seen(ten_s + 3900) < 0.1);
        let day_off = |days: i64| history.features(0.0, at(ten_s + days * 86_400)).values[12];
        assert_eq!([0, 1, 7, 8, 9].map(day_off), [1.0, 0.0, 1.0, 1.0, 0.0]);
    }
}

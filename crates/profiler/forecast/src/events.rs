//! When contention is: the thresholds, the hysteresis and the merging of all units, in this one place.
//!
//! A unit's reading gives a *level*: its waiting over the threshold that counts. An event begins when the level
//! stays at 1 or more for `CONFIRM_S`, and is dated back to the first moment of waiting, to a fraction of a
//! second: the share of the first second in which the load had risen, or else in which waiting had begun. It ends
//! when the level stays below the exit for `QUIET_S`; shorter pauses do not part an event. Under a lease the
//! level is the demand over the found limit, so that what was prevented is still an event. A level that was not
//! measured makes the label unknown, never false.
//!
//! It does not know where a level comes from; that is `readings`' business.

use serde::{Deserialize, Serialize};
use tidegate_types::{AppName, Unit};

/// Seconds at or above the threshold that make an event.
pub(crate) const CONFIRM_S: f64 = 2.0;
/// Seconds below the exit that end it.
pub(crate) const QUIET_S: f64 = 2.0;
/// Samples are a second apart within this: two of them are two seconds.
const TOLERANCE_S: f64 = 0.3;
/// Seconds without a measurement after which an open event is closed where it was last seen.
const UNKNOWN_S: f64 = 3.0;
/// Exit over entry, for waiting.
pub(crate) const EXIT: f64 = 0.5;
/// A rise of the load by less than this share is no rise.
const RISE_MIN: f64 = 0.15;
/// Parts of a second below this are noise of the load.
const PART_MIN: f64 = 0.15;
/// Pace at which the quiet load is followed.
const BASE_PACE: f64 = 0.2;
/// Apps named in an event.
const APPS_MAX: usize = 8;

/// Share of time waited from which a unit counts as contended.
pub(crate) fn waiting_threshold(unit: &Unit) -> f64 {
    match unit {
        Unit::Limit(..) => 0.10,
        Unit::Cpu | Unit::Disk(..) | Unit::Llc(_) => 0.20,
        Unit::Core(_) | Unit::Net(..) => 0.50,
        // Waiting for memory is rarer and hurts more.
        Unit::Memory | Unit::Node(_) => 0.05,
    }
}

/// What a unit showed in one sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Which unit.
    pub(crate) unit: Unit,
    /// Waiting over its threshold (demand over the found limit, under a lease); `None`: not measured.
    pub(crate) level: Option<f64>,
    /// The level below which an event ends.
    pub(crate) exit: f64,
    /// Waiting as a share of time.
    pub(crate) waiting: f64,
    /// Demand on the unit in its own measure.
    pub(crate) load: Option<f64>,
    /// What the unit can give, in the same measure.
    pub(crate) capacity: Option<f64>,
    /// Demand in the same measure, where it is known better than by the load.
    pub(crate) demand: Option<f64>,
    /// Whether the demand may be larger than is known.
    pub(crate) censored: bool,
    /// Whether a lease was in effect on the unit.
    pub(crate) treated: bool,
    /// Apps that wait or drive it, worst first.
    pub(crate) apps: Vec<AppName>,
}

/// An event as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) begin_s: f64,
    /// End of the last second with waiting.
    pub(crate) last_s: f64,
    pub(crate) treated: bool,
    pub(crate) peak_waiting: f64,
    peak_load: f64,
    pub(crate) peak_demand: f64,
    /// Whether the peak of demand is only a lower bound.
    pub(crate) censored: bool,
    pub(crate) apps: Vec<AppName>,
    above_s: f64,
    below_s: f64,
    unknown_s: f64,
    first: Point,
    last: Point,
    before: Option<Point>,
    after: Option<Point>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    end_s: f64,
    interval_s: f64,
    load: f64,
    level: f64,
}

/// What a sample changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// An event was confirmed.
    Began(Open),
    /// It was over at this moment.
    Ended(Open, f64),
}

/// The label of a unit at its last sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Nothing is known.
    Unknown,
    /// No contention.
    Quiet,
    /// Waiting, not yet long enough.
    Rising,
    /// Contention.
    Ongoing,
    /// Contention whose waiting has just stopped.
    Ending,
}

/// Labels one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Labeller {
    candidate: Option<Open>,
    ongoing: Option<Open>,
    previous: Option<Point>,
    base_load: Option<f64>,
    measured: bool,
    confirmed: f64,
    risen: f64,
}

impl Labeller {
    /// The label at the last sample.
    pub(crate) fn label(&self) -> Label {
        match (&self.ongoing, &self.candidate) {
            (Some(open), _) if open.below_s > 0.0 => Label::Ending,
            (Some(_), _) => Label::Ongoing,
            (None, Some(_)) => Label::Rising,
            (None, None) if self.measured => Label::Quiet,
            (None, None) => Label::Unknown,
        }
    }

    /// The event that goes on.
    pub(crate) fn open(&self) -> Option<&Open> {
        self.ongoing.as_ref()
    }

    /// How often waiting that has just begun becomes an event.
    pub(crate) fn confirmation_rate(&self) -> f64 {
        (self.confirmed + 1.0) / (self.risen + 2.0)
    }

    /// Takes in a reading over the `interval_s` seconds before `now_s`.
    pub(crate) fn step(&mut self, reading: &Reading, now_s: f64, interval_s: f64) -> Option<Change> {
        let Some(level) = reading.level else {
            return self.unknown(interval_s);
        };
        self.measured = true;
        let point = Point {
            end_s: now_s,
            interval_s,
            load: reading.load.unwrap_or(f64::NAN),
            level,
        };
        let change = if self.ongoing.is_some() {
            self.go_on(reading, point)
        } else {
            self.look_for_begin(reading, point)
        };
        if self.ongoing.is_none() && self.candidate.is_none() && !point.load.is_nan() {
            let base = self.base_load.get_or_insert(point.load);
            *base += BASE_PACE * (point.load - *base);
        }
        self.previous = Some(point);
        change
    }

    /// Nothing is known any more: an open event ends where it was last seen.
    pub(crate) fn interrupt(&mut self) -> Option<Change> {
        self.candidate = None;
        self.previous = None;
        self.measured = false;
        self.ongoing.take().map(|open| {
            let last_s = open.last_s;
            Change::Ended(open, last_s)
        })
    }

    /// Moves every time by `delta_s`.
    pub(crate) fn shift(&mut self, delta_s: f64) {
        for open in self.candidate.iter_mut().chain(self.ongoing.iter_mut()) {
            open.begin_s += delta_s;
            open.last_s += delta_s;
            open.first.end_s += delta_s;
            open.last.end_s += delta_s;
        }
        self.previous = None;
    }

    fn unknown(&mut self, interval_s: f64) -> Option<Change> {
        self.measured = false;
        self.candidate = None;
        self.previous = None;
        let open = self.ongoing.as_mut()?;
        open.unknown_s += interval_s;
        if open.unknown_s > UNKNOWN_S {
            self.interrupt()
        } else {
            None
        }
    }

    fn look_for_begin(&mut self, reading: &Reading, point: Point) -> Option<Change> {
        if point.level < reading.exit || (point.level < 1.0 && self.candidate.is_none()) {
            self.candidate = None;
            return None;
        }
        if self.candidate.is_none() {
            self.risen = self.risen * 0.98 + 1.0;
            self.confirmed *= 0.98;
        }
        let before = self.previous;
        let open = self
            .candidate
            .get_or_insert_with(|| Open::starting(point, before));
        open.take(reading, point);
        if open.above_s + TOLERANCE_S < CONFIRM_S {
            return None;
        }
        let mut open = self.candidate.take()?;
        self.confirmed += 1.0;
        open.begin_s = begin_of(&open, point, self.base_load);
        self.ongoing = Some(open.clone());
        Some(Change::Began(open))
    }

    fn go_on(&mut self, reading: &Reading, point: Point) -> Option<Change> {
        let open = self.ongoing.as_mut()?;
        if point.level >= reading.exit {
            open.take(reading, point);
            return None;
        }
        open.after.get_or_insert(point);
        open.below_s += point.interval_s;
        open.unknown_s = 0.0;
        if open.below_s + TOLERANCE_S < QUIET_S {
            return None;
        }
        let open = self.ongoing.take()?;
        let end_s = end_of(&open, self.base_load);
        Some(Change::Ended(open, end_s))
    }
}

impl Open {
    fn starting(point: Point, before: Option<Point>) -> Self {
        Self {
            begin_s: point.end_s - point.interval_s,
            last_s: point.end_s,
            treated: false,
            peak_waiting: 0.0,
            peak_load: 0.0,
            peak_demand: 0.0,
            censored: false,
            apps: Vec::new(),
            above_s: 0.0,
            below_s: 0.0,
            unknown_s: 0.0,
            first: point,
            last: point,
            before,
            after: None,
        }
    }

    fn take(&mut self, reading: &Reading, point: Point) {
        self.last_s = point.end_s;
        self.last = point;
        self.above_s += point.interval_s;
        self.below_s = 0.0;
        self.unknown_s = 0.0;
        self.after = None;
        self.treated |= reading.treated;
        self.peak_waiting = self.peak_waiting.max(reading.waiting);
        if point.load > self.peak_load {
            self.peak_load = point.load;
        }
        let demand = reading.demand.or(reading.load).unwrap_or(0.0);
        if demand > self.peak_demand {
            self.peak_demand = demand;
            self.censored = reading.censored;
        }
        for app in &reading.apps {
            if self.apps.len() < APPS_MAX && !self.apps.contains(app) {
                self.apps.push(app.clone());
            }
        }
    }
}

/// Share of the way from `base` to `high` that `load` has gone.
fn part(load: f64, base: f64, high: f64) -> f64 {
    ((load - base) / (high - base)).clamp(0.0, 1.0)
}

/// Whether the load at `high` stands out from `base`.
fn rises(base: f64, high: f64) -> bool {
    high.is_finite() && high > 0.0 && high - base > RISE_MIN * high
}

/// The first moment of the event, from the second in which it rose. `now` is the sample that confirmed it.
fn begin_of(open: &Open, now: Point, base_load: Option<f64>) -> f64 {
    let first = open.first;
    if let Some(base) = base_load.filter(|_| !first.load.is_nan()) {
        let high = now.load.max(first.load);
        if rises(base, high) {
            // Demand may rise at the end of the second before, too late to make anyone wait in it.
            let early = open.before.map_or(0.0, |before| {
                let share = part(before.load, base, high);
                if share > PART_MIN {
                    share * before.interval_s
                } else {
                    0.0
                }
            });
            let risen = part(first.load, base, high);
            let whole_before = early > 0.0 && risen > 1.0 - PART_MIN;
            let own_s = if whole_before {
                first.interval_s
            } else {
                risen * first.interval_s
            };
            return first.end_s - own_s - if whole_before { early } else { 0.0 };
        }
    }
    let risen = if now.level > 0.0 {
        (first.level / now.level).clamp(0.0, 1.0)
    } else {
        1.0
    };
    first.end_s - risen * first.interval_s
}

/// The last moment of the event: as far into its last second, or into the first quiet one, as the load had not yet
/// fallen.
fn end_of(open: &Open, base_load: Option<f64>) -> f64 {
    let (Some(after), Some(base)) = (open.after, base_load) else {
        return open.last_s;
    };
    if !(after.load.is_finite() && rises(base, open.peak_load)) {
        return open.last_s;
    }
    let after_share = part(after.load, base, open.peak_load);
    if after_share > PART_MIN {
        return open.last_s + after_share * after.interval_s;
    }
    let last_share = part(open.last.load, base, open.peak_load);
    if last_share < 1.0 - PART_MIN && open.last.end_s > open.first.end_s {
        return open.last_s - (1.0 - last_share) * open.last.interval_s;
    }
    open.last_s
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(level: Option<f64>, load: f64) -> Reading {
        Reading {
            unit: "limit:web/cpu".parse().expect("a unit"),
            level,
            exit: EXIT,
            waiting: level.unwrap_or(0.0) * 0.1,
            load: Some(load),
            capacity: Some(0.6),
            demand: None,
            censored: false,
            treated: false,
            apps: vec![AppName::new("web")],
        }
    }

    /// Labels a series of (level, load), one second each; returns begins and ends.
    fn check(series: &[(Option<f64>, f64)], expect: &[(f64, f64)]) {
        let mut labeller = Labeller::default();
        let (mut begin_s, mut found) = (0.0, Vec::new());
        for (second, (level, load)) in series.iter().enumerate() {
            match labeller.step(&reading(*level, *load), second as f64 + 1.0, 1.0) {
                Some(Change::Began(open)) => begin_s = open.begin_s,
                Some(Change::Ended(_, end_s)) => found.push((begin_s, end_s)),
                None => {}
            }
        }
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!((found.0 - expect.0).abs() < 0.05, "{found:?} is not {expect:?}");
            assert!((found.1 - expect.1).abs() < 0.05, "{found:?} is not {expect:?}");
        }
    }

    const QUIET: (Option<f64>, f64) = (Some(0.0), 0.1);
    const FULL: (Option<f64>, f64) = (Some(6.0), 0.6);

    #[test]
    fn an_event_is_dated_to_the_part_of_the_second_in_which_the_load_rose() {
        check(
            &[QUIET, QUIET, (Some(2.0), 0.35), FULL, FULL, QUIET, QUIET, QUIET],
            &[(2.5, 5.0)],
        );
        for level in [0.2, 3.0] {
            let series = [QUIET, QUIET, FULL, FULL, FULL, (Some(level), 0.35), QUIET, QUIET];
            check(&series, &[(2.0, 5.5)]);
        }
    }

    #[test]
    fn short_waiting_is_no_event_and_a_short_pause_does_not_part_one() {
        check(&[QUIET, FULL, QUIET, QUIET, FULL, QUIET], &[]);
        check(
            &[QUIET, FULL, FULL, QUIET, FULL, FULL, QUIET, QUIET],
            &[(1.0, 6.0)],
        );
    }

    #[test]
    fn what_is_not_measured_is_unknown() {
        let mut labeller = Labeller::default();
        assert_eq!(labeller.label(), Label::Unknown);
        labeller.step(&reading(Some(0.0), 0.1), 1.0, 1.0);
        assert_eq!(labeller.label(), Label::Quiet);
        labeller.step(&reading(None, 0.1), 2.0, 1.0);
        assert_eq!(labeller.label(), Label::Unknown);
        check(
            &[
                QUIET,
                FULL,
                FULL,
                (None, 0.1),
                (None, 0.1),
                (None, 0.1),
                (None, 0.1),
                QUIET,
            ],
            &[(1.0, 3.0)],
        );
    }
}

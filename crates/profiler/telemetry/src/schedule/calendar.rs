//! When a schedule fires: sets of minutes, hours, days and months on a wall clock, in a time zone.
//!
//! Daylight saving is where schedules go wrong. A time that does not exist on the day (the clocks go forward) fires
//! when the gap ends, for cron's jobs at fixed hours; jobs that run at every hour or every few minutes, and systemd's
//! timers, leave it out. A time that exists twice fires at the first; jobs at every hour fire at both. That is what
//! Vixie cron and systemd do.

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// Days that are searched for the next firing: the next 29 February is at most eight years away.
const DAYS_SEARCHED: usize = 366 * 8 + 2;

/// Which of 0..64 are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(pub(super) u64);

impl Set {
    pub(super) fn all(low: u8, high: u8) -> Self {
        let mut set = Self::default();
        (low..=high).for_each(|number| set.add(number));
        set
    }

    pub(super) fn add(&mut self, number: u8) {
        self.0 |= 1 << (number & 63);
    }

    pub(super) fn has(self, number: u8) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }

    fn iter(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |number| self.has(*number))
    }
}

/// Whose rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// A job at fixed hours.
    CronFixed,
    /// A job whose hour or minute begins with `*`: it follows the time that passes.
    CronRunning,
    /// systemd's `OnCalendar=`.
    Systemd,
}

/// One schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) seconds: Set,
    pub(super) minutes: Set,
    pub(super) hours: Set,
    /// Days of the month.
    pub(super) days: Set,
    pub(super) months: Set,
    /// 0 is Sunday.
    pub(super) weekdays: Set,
    /// Years; `None` is every year.
    pub(super) years: Option<(i16, i16)>,
    /// Whether a day must fit only one of day of month and weekday (cron, where both are given).
    pub(super) either_day: bool,
    pub(super) rules: Rules,
    pub(super) zone: TimeZone,
}

impl Calendar {
    fn fits(&self, date: Date) -> bool {
        let number = |value: i8| u8::try_from(value).unwrap_or(63);
        let day = self.days.has(number(date.day()));
        let weekday = self.weekdays.has(number(date.weekday().to_sunday_zero_offset()));
        let days = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        let years = self
            .years
            .is_none_or(|(first, last)| (first..=last).contains(&date.year()));
        days && years && self.months.has(number(date.month()))
    }

    /// The instants that a wall-clock time of the schedule stands for.
    fn instants(&self, date: Date, time: Time) -> Vec<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(date.to_datetime(time));
        let (earlier, later) = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => return ambiguous.compatible().into_iter().collect(),
            AmbiguousOffset::Gap { .. } => {
                let after = ambiguous.later().ok();
                let end = after.and_then(|after| self.zone.preceding(after).next());
                let fires = self.rules == Rules::CronFixed;
                return end
                    .filter(|_| fires)
                    .map(|end| end.timestamp())
                    .into_iter()
                    .collect();
            }
            AmbiguousOffset::Fold { .. } => {
                let again = self.zone.to_ambiguous_timestamp(date.to_datetime(time));
                (ambiguous.earlier().ok(), again.later().ok())
            }
        };
        let later = later.filter(|_| self.rules == Rules::CronRunning);
        earlier.into_iter().chain(later).collect()
    }

    /// The wall-clock times of a day.
    fn times(&self) -> impl Iterator<Item = Time> + '_ {
        let part = |number: u8| i8::try_from(number).unwrap_or(0);
        let minutes = self
            .hours
            .iter()
            .flat_map(|hour| self.minutes.iter().map(move |minute| (hour, minute)));
        minutes.flat_map(move |(hour, minute)| {
            let seconds = self.seconds.iter();
            seconds.filter_map(move |second| Time::new(part(hour), part(minute), part(second), 0).ok())
        })
    }

    fn on(&self, date: Date) -> Vec<Timestamp> {
        if !self.fits(date) {
            return Vec::new();
        }
        let times = self.times();
        let mut fires: Vec<Timestamp> = times.flat_map(|time| self.instants(date, time)).collect();
        fires.sort_unstable();
        fires.dedup();
        fires
    }

    /// When it fires after `after` and up to `until`, in order, at most `most` times.
    pub(super) fn between(&self, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
        let first = after.to_zoned_datetime(self.zone.clone()).date();
        // An hour on either side of midnight may belong to the day before or after, by the clock change.
        let last = until
            .checked_add(SignedDuration::from_hours(1))
            .unwrap_or(until)
            .to_zoned_datetime(self.zone.clone())
            .date();
        let mut date = first.checked_sub(1.day()).unwrap_or(first);
        let mut fires = Vec::new();
        while date <= last && fires.len() < most {
            fires.extend(
                self.on(date)
                    .into_iter()
                    .filter(|fire| *fire > after && *fire <= until),
            );
            let Ok(next) = date.tomorrow() else { break };
            date = next;
        }
        fires.truncate(most);
        fires
    }

    /// When it fires next after `after`; `None` for a day that never comes.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let first = after.to_zoned_datetime(self.zone.clone()).date();
        let dates = first.series(1.day()).take(DAYS_SEARCHED);
        dates.flat_map(|date| self.on(date)).find(|fire| *fire > after)
    }
}

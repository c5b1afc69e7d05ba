//! Local time and days off: what the seasons of a series go by.
//!
//! People and their programs keep local time: a daily load comes an hour earlier in UTC when the clocks go forward.
//! A [`Calendar`] says how far local time is from UTC at any moment, and which days are holidays. It is a plain table;
//! the data base of time zones is asked by whoever builds it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Seconds of a day.
pub(crate) const DAY_S: i64 = 86_400;

/// Offsets of local time from UTC, and holidays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// From when on (Unix seconds) local time is how many seconds ahead of UTC, in rising order.
    offsets: Vec<(i64, i32)>,
    /// Names of holidays by the local day, counted from 1970-01-01.
    holidays: BTreeMap<i64, String>,
}

impl Calendar {
    /// Local time that is ahead of UTC by `offsets`: from when on (Unix seconds), by how many seconds. The first holds
    /// for all time before it too; without any, local time is UTC. `holidays` are local days counted from 1970-01-01,
    /// with their names.
    pub fn new(mut offsets: Vec<(i64, i32)>, holidays: BTreeMap<i64, String>) -> Self {
        offsets.sort_unstable();
        offsets.dedup_by_key(|(_, offset_s)| *offset_s);
        Self { offsets, holidays }
    }

    /// Whether local time is always as far from UTC.
    pub fn is_fixed(&self) -> bool {
        self.offsets.len() < 2
    }

    /// Seconds that local time is ahead of UTC at `time_s` (Unix seconds).
    pub fn offset_s(&self, time_s: i64) -> i64 {
        let begun = self.offsets.partition_point(|(from_s, _)| *from_s <= time_s);
        self.offsets
            .get(begun.saturating_sub(1))
            .map_or(0, |(_, offset_s)| i64::from(*offset_s))
    }

    /// What the clock on the wall shows at `time_s`, as if it were Unix seconds.
    pub fn local_s(&self, time_s: i64) -> i64 {
        time_s.saturating_add(self.offset_s(time_s))
    }

    /// Seconds since the last local midnight, as the clock on the wall shows them.
    pub fn of_day_s(&self, time_s: i64) -> i64 {
        self.local_s(time_s).rem_euclid(DAY_S)
    }

    /// The local weekday, Monday is 0. A holiday is lived as a Sunday.
    pub fn weekday(&self, time_s: i64) -> i64 {
        if self.holiday(time_s).is_some() {
            return 6;
        }
        (self.local_s(time_s).div_euclid(DAY_S) + 3).rem_euclid(7)
    }

    /// The holiday that is on at `time_s`.
    pub fn holiday(&self, time_s: i64) -> Option<&str> {
        if self.holidays.is_empty() {
            return None;
        }
        let day = self.local_s(time_s).div_euclid(DAY_S);
        self.holidays.get(&day).map(String::as_str)
    }

    /// How many seconds before `time_s` the clock showed the same time `days` days earlier. Where a zone changed sides of
    /// the date line in between, a local day is missing or there twice; days are counted straight then.
    pub fn days_before_s(&self, time_s: i64, days: i64) -> i64 {
        let straight_s = days * DAY_S;
        if self.is_fixed() {
            return straight_s;
        }
        let moved_s = self.offset_s(time_s.saturating_sub(straight_s)) - self.offset_s(time_s);
        if moved_s.abs() < DAY_S / 2 {
            straight_s + moved_s
        } else {
            straight_s
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vienna in 2026: summer time from 29 March to 25 October, 01:00 UTC; 26 October is a holiday.
    fn vienna() -> Calendar {
        let offsets = vec![(0, 3600), (1_774_746_000, 7200), (1_792_890_000, 3600)];
        Calendar::new(offsets, BTreeMap::from([(20_752, "National Day".to_owned())]))
    }

    #[test]
    fn clocks_jump_and_days_keep_their_time() {
        let calendar = vienna();
        let noon_s = 1_774_746_000 + 9 * 3600;
        assert_eq!(calendar.of_day_s(noon_s), 12 * 3600);
        // The day before, noon was 23 hours ago; a day later the clock has done with it.
        assert_eq!(calendar.days_before_s(noon_s, 1), 23 * 3600);
        assert_eq!(calendar.days_before_s(noon_s + DAY_S, 1), DAY_S);
        assert_eq!(calendar.days_before_s(noon_s + DAY_S, 7), 7 * DAY_S - 3600);
        let autumn_s = 1_792_890_000 + 11 * 3600;
        assert_eq!(calendar.days_before_s(autumn_s, 1), 25 * 3600);
        assert_eq!(calendar.offset_s(-5), 3600, "the first holds for all time before");
    }

    #[test]
    fn holidays_begin_at_local_midnight_and_are_sundays() {
        let calendar = vienna();
        let midnight_s = 20_752 * DAY_S - 3600;
        assert_eq!(calendar.holiday(midnight_s), Some("National Day"));
        assert_eq!(calendar.weekday(midnight_s), 6);
        assert_eq!(
            (calendar.holiday(midnight_s - 1), calendar.weekday(midnight_s - 1)),
            (None, 6)
        );
        assert_eq!(calendar.holiday(midnight_s + DAY_S), None);
        assert_eq!(calendar.weekday(midnight_s + DAY_S), 1);
    }

    #[test]
    fn a_day_that_was_skipped_is_no_day_ago() {
        // Apia, 30 December 2011: from ten hours behind UTC to fourteen ahead.
        let jump_s = 1_325_239_200;
        let apia = Calendar::new(vec![(0, -36_000), (jump_s, 50_400)], BTreeMap::new());
        assert_eq!(apia.days_before_s(jump_s + 3600, 1), DAY_S);
        assert_eq!(apia.weekday(jump_s) - apia.weekday(jump_s - 1), 2);
    }

    #[test]
    fn without_a_zone_it_is_utc() {
        let calendar = Calendar::default();
        assert!(calendar.is_fixed());
        assert_eq!((calendar.local_s(7), calendar.weekday(0)), (7, 3));
    }
}

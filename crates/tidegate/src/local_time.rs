//! Local time and holidays, from the data base of time zones and a file.

use crate::failure::Failure;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tidegate_forecast::models::calendar::Calendar;
use tidegate_types::Event;

/// Changes of the clock are looked up until here, for backtests (2100-01-01, Unix seconds).
const UNTIL_S: i64 = 4_102_444_800;

/// Local days counted from 1970-01-01, and the names of the holidays that they are.
pub(crate) type Holidays = BTreeMap<i64, String>;

/// The calendar of `zone` (an IANA name; UTC without one) with the holidays of a file.
pub(crate) fn of_backtest(zone: Option<&str>, file: Option<&Path>) -> Result<Calendar, Failure> {
    let offsets = match zone {
        None => Vec::new(),
        Some(name) => {
            let zone = TimeZone::get(name).map_err(|error| {
                Failure::usage(format!("--time-zone {name}: {error}"))
                    .hint("names look like Europe/Vienna; Debian keeps them in the package tzdata")
            })?;
            offsets(&zone, Timestamp::UNIX_EPOCH, UNTIL_S)
        }
    };
    Ok(Calendar::new(offsets, holidays(file)?))
}

/// Local time of the host in the years around `now`, as the loop is told.
pub(crate) fn of_host(zone: &TimeZone, now: Timestamp, holidays: &Holidays) -> Event {
    let year = TimeZone::UTC.to_datetime(now).year();
    let new_year = |year: i16| {
        let first = Date::new(year, 1, 1).and_then(|day| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)));
        first.unwrap_or(now)
    };
    Event::LocalTime {
        offsets: offsets(zone, new_year(year - 1), new_year(year + 2).as_second()),
        holidays: holidays
            .iter()
            .map(|(day, name)| (*day, Arc::from(name.as_str())))
            .collect(),
    }
}

/// From when on (Unix seconds) the zone is how far ahead of UTC, from `start` to `until_s`.
fn offsets(zone: &TimeZone, start: Timestamp, until_s: i64) -> Vec<(i64, i32)> {
    let first = (start.as_second(), zone.to_offset(start).seconds());
    let changes = zone
        .following(start)
        .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
        .take_while(|(from_s, _)| *from_s < until_s);
    std::iter::once(first).chain(changes).collect()
}

/// Reads the file of holidays; none without a file.
pub(crate) fn holidays(file: Option<&Path>) -> Result<Holidays, Failure> {
    let Some(path) = file else {
        return Ok(Holidays::new());
    };
    let named = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Failure::environment(named(&error)))?;
    days(&text).map_err(|problem| Failure::usage(named(&problem)))
}

/// Reads `YYYY-MM-DD NAME` lines; empty ones and those after a # say nothing.
fn days(text: &str) -> Result<Holidays, String> {
    let mut days = Holidays::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (day, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let wrong = || {
            format!(
                "line {}: {line:?} is not a day and a name, as in 2026-12-25 Christmas",
                number + 1
            )
        };
        let date: Date = day.parse().map_err(|_| wrong())?;
        let since = date.since(Date::constant(1970, 1, 1)).map_err(|_| wrong())?;
        if name.trim().is_empty() {
            return Err(wrong());
        }
        days.insert(i64::from(since.get_days()), name.trim().to_owned());
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_wrong_ones_named() {
        let read = days("# feasts\n2026-10-26 National Day\n\n2026-12-25  Christmas # and more\n");
        let read = read.expect("sound");
        assert_eq!(read[&20_752], "National Day");
        assert_eq!(read.len(), 2);
        for (text, says) in [
            ("2026-10-26", "line 1"),
            ("\n2026-13-01 Never", "line 2"),
            ("soon x", "line 1"),
        ] {
            let refused = days(text).expect_err(text);
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn a_zone_has_its_summers() {
        let zone = TimeZone::get("Europe/Vienna").expect("a zone");
        let calendar = Calendar::new(offsets(&zone, Timestamp::UNIX_EPOCH, UNTIL_S), Holidays::new());
        assert_eq!(calendar.offset_s(1_774_746_000 - 1), 3600);
        assert_eq!(calendar.offset_s(1_774_746_000), 7200);
    }

    #[test]
    fn an_unknown_zone_is_refused() {
        assert!(of_backtest(Some("Europe/Atlantis"), None).is_err());
    }

    #[test]
    fn the_loop_is_told_of_the_years_around_now() {
        let zone = TimeZone::get("Europe/Vienna").expect("a zone");
        let now = "2026-07-01T12:00:00Z".parse().expect("a moment");
        let days = Holidays::from([(20_752, "National Day".to_owned())]);
        let Event::LocalTime { offsets, holidays } = of_host(&zone, now, &days) else {
            panic!("another event");
        };
        assert_eq!(
            offsets.len(),
            7,
            "a beginning, and two changes in each of three years"
        );
        assert!(offsets.contains(&(1_774_746_000, 7200)));
        assert_eq!(holidays, [(20_752, "National Day".into())]);
        let later = "2026-12-31T23:00:00Z".parse().expect("a moment");
        assert_eq!(
            of_host(&zone, now, &days),
            of_host(&zone, later, &days),
            "it is said once a year"
        );
    }
}

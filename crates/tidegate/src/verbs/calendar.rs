//! Local time and holidays for backtests, from the data base of time zones and a file.

use crate::failure::Failure;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::path::Path;
use tidegate_forecast::models::calendar::Calendar;

/// Changes of the clock are looked up until here (2100-01-01), in Unix seconds.
const UNTIL_S: i64 = 4_102_444_800;

/// The calendar of `zone` (an IANA name; UTC without one) with the holidays of a file.
pub(super) fn calendar(zone: Option<&str>, holidays: Option<&Path>) -> Result<Calendar, Failure> {
    let offsets = match zone {
        None => Vec::new(),
        Some(name) => offsets(&TimeZone::get(name).map_err(|error| {
            Failure::usage(format!("--time-zone {name}: {error}"))
                .hint("names look like Europe/Vienna; Debian keeps them in the package tzdata")
        })?),
    };
    let days = match holidays {
        None => BTreeMap::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::environment(format!("{}: {error}", path.display())))?;
            days(&text).map_err(|problem| Failure::usage(format!("{}: {problem}", path.display())))?
        }
    };
    Ok(Calendar::new(offsets, days))
}

/// From when on (Unix seconds) the zone is how far ahead of UTC.
fn offsets(zone: &TimeZone) -> Vec<(i64, i32)> {
    let start = Timestamp::UNIX_EPOCH;
    let first = (0, zone.to_offset(start).seconds());
    let changes = zone
        .following(start)
        .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
        .take_while(|(from_s, _)| *from_s < UNTIL_S);
    std::iter::once(first).chain(changes).collect()
}

/// Reads `YYYY-MM-DD NAME` lines; empty ones and those after a # say nothing.
fn days(text: &str) -> Result<BTreeMap<i64, String>, String> {
    let mut days = BTreeMap::new();
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
        let calendar = Calendar::new(offsets(&zone), BTreeMap::new());
        assert_eq!(calendar.offset_s(1_774_746_000 - 1), 3600);
        assert_eq!(calendar.offset_s(1_774_746_000), 7200);
    }

    #[test]
    fn an_unknown_zone_is_refused() {
        assert!(calendar(Some("Europe/Atlantis"), None).is_err());
    }
}

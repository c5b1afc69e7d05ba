//! systemd's timers: `OnCalendar=` of unit files, and `systemctl list-timers` where it answers. Pure but for nothing:
//! text in, calendars out.

use super::calendar::{Calendar, Rules, Set};
use super::cron::WEEKDAYS;
use jiff::tz::TimeZone;
use serde::Deserialize;

/// What a `.timer` file says.
#[derive(Debug, Default)]
pub(super) struct Timer {
    /// Each `OnCalendar=` with its line.
    pub(super) calendars: Vec<(usize, Calendar)>,
    /// The unit that it starts, where it names one.
    pub(super) unit: Option<String>,
    pub(super) findings: Vec<(usize, String)>,
}

/// Reads a `.timer` file. An empty `OnCalendar=` takes back those before it.
pub(super) fn read(text: &str, zone: &TimeZone) -> Timer {
    let mut timer = Timer::default();
    let mut section = "";
    for (number, line) in text
        .lines()
        .enumerate()
        .map(|(place, line)| (place + 1, line.trim()))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| section == "Timer") else {
            continue;
        };
        match (key.trim(), value.trim()) {
            ("OnCalendar", "") => timer.calendars.clear(),
            ("OnCalendar", value) => match calendar(value, zone) {
                Ok(calendar) => timer.calendars.push((number, calendar)),
                Err(problem) => timer.findings.push((number, problem)),
            },
            ("Unit", value) => timer.unit = Some(value.to_owned()),
            _ => {}
        }
    }
    timer
}

fn shorthand(text: &str) -> Option<&'static str> {
    Some(match text {
        "minutely" => "*-*-* *:*:00",
        "hourly" => "*-*-* *:00:00",
        "daily" => "*-*-* 00:00:00",
        "weekly" => "Mon *-*-* 00:00:00",
        "monthly" => "*-*-01 00:00:00",
        "quarterly" => "*-01,04,07,10-01 00:00:00",
        "semiannually" => "*-01,07-01 00:00:00",
        "yearly" | "annually" => "*-01-01 00:00:00",
        _ => return None,
    })
}

/// `*`, `3`, `1,5`, `2..6`, `0/15`, `8..18/2`.
fn component(text: &str, low: u8, high: u8) -> Result<Set, String> {
    let mut set = Set::default();
    let number = |word: &str| {
        word.parse::<u8>()
            .ok()
            .filter(|value| (low..=high).contains(value))
            .ok_or_else(|| format!("`{word}` is not within {low}-{high}"))
    };
    for part in text.split(',') {
        let (range, every) = part
            .split_once('/')
            .map_or((part, None), |(range, every)| (range, Some(every)));
        let step: Option<u8> = match every {
            None => None,
            Some(text) => Some(
                text.parse()
                    .ok()
                    .filter(|step| *step > 0)
                    .ok_or_else(|| format!("`{text}` is no step"))?,
            ),
        };
        let (first, last) = match range.split_once("..") {
            _ if range == "*" => (low, high),
            Some((first, last)) => (number(first)?, number(last)?),
            None if step.is_some() => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return Err(format!("`{range}` runs backwards"));
        }
        (first..=last)
            .step_by(step.unwrap_or(1).into())
            .for_each(|value| set.add(value));
    }
    Ok(set)
}

fn weekday(word: &str) -> Option<u8> {
    let start = word.get(..3)?;
    let place = WEEKDAYS
        .iter()
        .position(|name| start.eq_ignore_ascii_case(name))?;
    Some(place as u8)
}

/// `Mon..Fri,Sun`; systemd's week begins on Monday.
fn weekdays(text: &str) -> Option<Set> {
    let mut set = Set::default();
    for part in text.trim_end_matches(',').split(',') {
        let ends = part.split_once("..").or_else(|| part.split_once('-'));
        let (first, last) = match ends {
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None => (weekday(part)?, weekday(part)?),
        };
        let from_monday = |day: u8| (day + 6) % 7;
        for day in 0..7 {
            let place = from_monday(day);
            if from_monday(first) <= place && place <= from_monday(last) {
                set.add(day);
            }
        }
    }
    Some(set)
}

fn years(text: &str) -> Result<Option<(i16, i16)>, String> {
    if text == "*" {
        return Ok(None);
    }
    let year = |word: &str| word.parse().map_err(|_| format!("`{word}` is no year"));
    match text.split_once("..") {
        Some((first, last)) => Ok(Some((year(first)?, year(last)?))),
        None => Ok(Some((year(text)?, year(text)?))),
    }
}

/// A calendar expression of systemd.time(7), without `~`.
pub(super) fn calendar(text: &str, system_zone: &TimeZone) -> Result<Calendar, String> {
    let unknown = || format!("`{text}` is no calendar expression that is understood here");
    let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
    let mut zone = system_zone.clone();
    if let Some(last) = words.last().copied().filter(|_| words.len() > 1) {
        let named = TimeZone::get(last)
            .ok()
            .filter(|_| last.starts_with(|first: char| first.is_ascii_uppercase()));
        if let Some(named) = named.filter(|_| weekdays(last).is_none()) {
            zone = named;
            words.pop();
        }
    }
    if let [word] = words[..]
        && let Some(spelled) = shorthand(word)
    {
        words = spelled.split_ascii_whitespace().collect();
    }
    let mut calendar = Calendar {
        seconds: Set::all(0, 0),
        minutes: Set::all(0, 0),
        hours: Set::all(0, 0),
        days: Set::all(1, 31),
        months: Set::all(1, 12),
        weekdays: Set::all(0, 6),
        years: None,
        either_day: false,
        rules: Rules::Systemd,
        zone,
    };
    if words.is_empty() {
        return Err(unknown());
    }
    for word in words {
        if word.contains('~') {
            return Err(unknown());
        } else if word.contains(':') {
            let parts: Vec<&str> = word.split(':').collect();
            let (hour, minute, second) = match parts[..] {
                [hour, minute] => (hour, minute, "00"),
                // Parts of a second are no matter here.
                [hour, minute, second] => (hour, minute, second.split('.').next().unwrap_or("00")),
                _ => return Err(unknown()),
            };
            calendar.hours = component(hour, 0, 23)?;
            calendar.minutes = component(minute, 0, 59)?;
            calendar.seconds = component(second, 0, 59)?;
        } else if let Some(days) = weekdays(word) {
            calendar.weekdays = days;
        } else {
            let parts: Vec<&str> = word.split('-').collect();
            let (year, month, day) = match parts[..] {
                [month, day] => ("*", month, day),
                [year, month, day] => (year, month, day),
                _ => return Err(unknown()),
            };
            calendar.years = years(year)?;
            calendar.months = component(month, 1, 12)?;
            calendar.days = component(day, 1, 31)?;
        }
    }
    Ok(calendar)
}

/// One row of `systemctl list-timers --output=json`.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    /// Microseconds since the epoch; absent or 0 where it is not planned.
    #[serde(default)]
    pub(super) next: Option<u64>,
    pub(super) unit: String,
    #[serde(default)]
    pub(super) activates: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    fn check(text: &str, after: &str, expect: &str) {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let found = calendar(text, &zone).unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(found.next(at(after)), Some(at(expect)), "{text}");
    }

    #[test]
    fn calendar_expressions() {
        check("daily", "2026-11-24T08:00:00Z", "2026-11-24T23:00:00Z");
        check("*-*-* 6,18:00", "2026-11-24T08:00:00Z", "2026-11-24T17:00:00Z");
        check(
            "Mon..Fri 08:30 UTC",
            "2026-11-27T09:00:00Z",
            "2026-11-30T08:30:00Z",
        );
        check(
            "Sat,Sun *-*-1..7 01:00:00",
            "2026-11-24T00:00:00Z",
            "2026-12-05T00:00:00Z",
        );
        check("*:0/15", "2026-11-24T08:16:00Z", "2026-11-24T08:30:00Z");
        check("*:*:0/10", "2026-11-24T08:16:01Z", "2026-11-24T08:16:10Z");
        check(
            "2027-02-03 04:05:06",
            "2026-11-24T08:16:01Z",
            "2027-02-03T03:05:06Z",
        );
        check("weekly", "2026-11-24T08:00:00Z", "2026-11-29T23:00:00Z");
        // The hour that does not exist is left out, the one that exists twice comes once.
        check("*-*-* 02:30", "2027-03-27T12:00:00Z", "2027-03-29T00:30:00Z");
        check("*-*-* 02:30", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
        for wrong in ["", "nonsense", "*-*-* 25:00", "*-02~01", "10:00:00:00"] {
            assert!(calendar(wrong, &TimeZone::UTC).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_timer_file_says_what_it_starts_and_which_line_is_wrong() {
        let text = "[Unit]\nDescription=OnCalendar=no\n[Timer]\nOnCalendar=hourly\nOnCalendar=\nOnCalendar=daily\nOnCalendar=25:61\nUnit=tidy.service\nPersistent=true\n";
        let timer = read(text, &TimeZone::UTC);
        assert_eq!(timer.calendars.len(), 1);
        assert_eq!(timer.calendars[0].0, 6);
        assert_eq!(timer.unit.as_deref(), Some("tidy.service"));
        assert_eq!(timer.findings[0].0, 7);
    }

    #[test]
    fn the_list_of_systemctl_is_read() {
        let text = r#"[{"next":1795508400000000,"left":1,"last":0,"passed":0,"unit":"apt-daily.timer","activates":"apt-daily.service"},{"next":null,"unit":"x.timer","activates":"x.service"}]"#;
        let listed: Vec<Listed> = serde_json::from_str(text).expect("reads");
        assert_eq!(listed[0].next, Some(1_795_508_400_000_000));
        assert_eq!(listed[1].next, None);
    }

    proptest! {
        #[test]
        fn no_expression_makes_it_panic(text in "[0-9*,/.:~A-Za-z\\- ]{0,40}") {
            let _ = calendar(&text, &TimeZone::UTC);
        }
    }
}

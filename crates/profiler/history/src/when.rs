//! Points in time as people write them: `10m ago`, `now`, a date, RFC 3339, Unix seconds.

use crate::error::{HistoryError, Result};
use jiff::Timestamp;
use jiff::civil::Date;

/// The last millisecond of the year 2199: beyond it a number is not a time but a mistake (milliseconds where
/// seconds were meant, mostly), and nanoseconds no longer fit.
const LAST_UTC_MS: i64 = 7_258_118_399_999;

/// Milliseconds since the Unix epoch, UTC. `now_utc_ms` is what `ago` counts from. A date is its midnight.
pub fn parse_time(text: &str, now_utc_ms: i64) -> Result<i64> {
    let trimmed = text.trim();
    let parsed = match trimmed {
        "now" => Some(now_utc_ms),
        _ => trimmed
            .strip_suffix("ago")
            .map_or_else(|| absolute(trimmed), |span| ago(span.trim(), now_utc_ms)),
    };
    parsed.ok_or_else(|| HistoryError::Time {
        text: text.to_owned(),
    })
}

/// Unix seconds, RFC 3339, or a date.
pub(crate) fn absolute(text: &str) -> Option<i64> {
    unix_seconds(text)
        .or_else(|| Some(text.parse::<Timestamp>().ok()?.as_millisecond()))
        .or_else(|| {
            // Only a bare date: a time without an offset would be a guess.
            text.parse::<Date>().ok().filter(|_| text.len() == 10)?;
            let midnight: Timestamp = format!("{text}T00:00:00Z").parse().ok()?;
            Some(midnight.as_millisecond())
        })
        .filter(|utc_ms| (0..=LAST_UTC_MS).contains(utc_ms))
}

/// Digits with an optional fraction, rounded to milliseconds.
fn unix_seconds(text: &str) -> Option<i64> {
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !numeric {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = whole.parse().ok()?;
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    seconds
        .checked_mul(1000)?
        .checked_add((fraction * 1000.0).round() as i64)
}

/// `90s`, `10m`, `1h30m`, `2 days`: numbers with units, added up.
fn ago(span: &str, now_utc_ms: i64) -> Option<i64> {
    let mut rest = span;
    let mut total_ms = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_onwards = rest[digits..].trim_start();
        let end = unit_onwards
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(unit_onwards.len());
        total_ms += number * unit_ms(&unit_onwards[..end])?;
        rest = unit_onwards[end..].trim_start();
    }
    (!span.is_empty()).then_some(now_utc_ms.checked_sub(total_ms.round() as i64)?)
}

fn unit_ms(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" => 1.0,
        "s" | "sec" | "second" | "seconds" => 1e3,
        "m" | "min" | "minute" | "minutes" => 60e3,
        "h" | "hour" | "hours" => 3_600e3,
        "d" | "day" | "days" => 86_400e3,
        "w" | "week" | "weeks" => 604_800e3,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<i64>) {
        assert_eq!(parse_time(text, 1_000_000_000_000).ok(), expect, "{text}");
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        check("now", Some(1_000_000_000_000));
        check("10m ago", Some(1_000_000_000_000 - 600_000));
        check("1h30m ago", Some(1_000_000_000_000 - 5_400_000));
        check("2 days ago", Some(1_000_000_000_000 - 172_800_000));
        check("1.5 h ago", Some(1_000_000_000_000 - 5_400_000));
        check("1700000000", Some(1_700_000_000_000));
        check("1700000000.25", Some(1_700_000_000_250));
        check("1970-01-02", Some(86_400_000));
        check("1970-01-01T00:00:01.5Z", Some(1_500));
        check("1970-01-01T01:00:00+01:00", Some(0));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "ago",
            "10 ago",
            "m ago",
            "10 parsecs ago",
            "-5",
            "1e9",
            "99999999999999",
            "1.2.3",
            ".",
        ] {
            check(text, None);
        }
    }
}

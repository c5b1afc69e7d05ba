//! Times as people write them.

use crate::failure::Failure;
use jiff::{SpanRelativeTo, Timestamp};

/// Milliseconds since the Unix epoch, now.
pub(crate) fn now_utc_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Seconds of a duration such as `90s`, `10m`, `1d 6h`.
pub(crate) fn duration_s(text: &str) -> Result<f64, Failure> {
    let span: jiff::Span = text.parse().map_err(|_| unclear(text))?;
    let seconds = span.total((jiff::Unit::Second, SpanRelativeTo::days_are_24_hours()));
    seconds.map_err(|_| unclear(text))
}

/// A moment: `10m` (ago), `10m ago`, `2026-11-24T08:00:00Z`, or Unix seconds.
pub(crate) fn moment_utc_ms(text: &str, now_utc_ms: i64) -> Result<i64, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok((seconds * 1e3).round() as i64);
    }
    let ago_s = duration_s(text.trim_end_matches("ago").trim())?;
    Ok(now_utc_ms - (ago_s * 1e3).round() as i64)
}

fn zone_of(zone: Option<&str>) -> Result<jiff::tz::TimeZone, Failure> {
    match zone {
        None => Ok(jiff::tz::TimeZone::system()),
        Some(name) => jiff::tz::TimeZone::get(name)
            .map_err(|error| Failure::usage(error).hint("write an IANA name such as Europe/Berlin")),
    }
}

/// IANA name of the system's time zone, where it has one.
pub(crate) fn system_zone() -> Option<String> {
    jiff::tz::TimeZone::system().iana_name().map(str::to_owned)
}

/// A moment that lies ahead: as [`moment_utc_ms`], or without an offset on the clock of `zone`.
pub(crate) fn future_utc_ms(text: &str, zone: Option<&str>, now_utc_ms: i64) -> Result<i64, Failure> {
    let Ok(civil) = text.parse::<jiff::civil::DateTime>() else {
        return moment_utc_ms(text, now_utc_ms);
    };
    if text.parse::<Timestamp>().is_ok() {
        return moment_utc_ms(text, now_utc_ms);
    }
    let at = zone_of(zone)?.to_ambiguous_timestamp(civil).compatible();
    at.map(Timestamp::as_millisecond).map_err(|_| unclear(text))
}

/// Whole days or weeks between repetitions, as cron's five fields on the clock of `zone`; `None` for other times.
pub(crate) fn cron_of(at_utc_ms: i64, every_s: f64, zone: Option<&str>) -> Result<Option<String>, Failure> {
    let at = Timestamp::from_millisecond(at_utc_ms).map_err(Failure::usage)?;
    let at = at.to_zoned_datetime(zone_of(zone)?);
    let (minute, hour) = (at.minute(), at.hour());
    Ok(match every_s {
        86_400.0 => Some(format!("{minute} {hour} * * *")),
        604_800.0 => {
            let weekday = at.weekday().to_sunday_zero_offset();
            Some(format!("{minute} {hour} * * {weekday}"))
        }
        _ => None,
    })
}

/// A moment as the local clock shows it, to the second.
pub(crate) fn local(utc_ms: i64) -> String {
    let Ok(at) = Timestamp::from_millisecond(utc_ms) else {
        return "-".to_owned();
    };
    let zoned = at.to_zoned_datetime(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The clock time alone, to the second.
pub(crate) fn clock(utc_ms: i64) -> String {
    local(utc_ms).split(' ').nth(1).unwrap_or("-").to_owned()
}

fn unclear(text: &str) -> Failure {
    Failure::usage(format!("`{text}` is not a time"))
        .hint("write 90s, 10m, 24h, 7d, a moment such as 2026-11-24T08:00:00Z, or Unix seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_moments_are_read() {
        let check = |text: &str, expect_ms: i64| {
            assert_eq!(
                moment_utc_ms(text, 1_000_000_000).expect(text),
                expect_ms,
                "{text}"
            );
        };
        check("90s", 1_000_000_000 - 90_000);
        check("10m ago", 1_000_000_000 - 600_000);
        check("1d", 1_000_000_000 - 86_400_000);
        check("1970-01-01T00:00:01Z", 1_000);
        check("12.5", 12_500);
        assert!(moment_utc_ms("soon", 0).is_err());
    }

    #[test]
    fn times_on_a_clock_and_daily_ones_keep_to_their_zone() {
        let at = future_utc_ms("2026-11-24T08:00", Some("Europe/Berlin"), 0).expect("a moment");
        assert_eq!(at, moment_utc_ms("2026-11-24T07:00:00Z", 0).expect("a moment"));
        let daily = cron_of(at, 86_400.0, Some("Europe/Berlin")).expect("a time");
        assert_eq!(daily.as_deref(), Some("0 8 * * *"));
        let weekly = cron_of(at, 604_800.0, Some("Europe/Berlin")).expect("a time");
        assert_eq!(weekly.as_deref(), Some("0 8 * * 2"));
        assert_eq!(cron_of(at, 3600.0, None).expect("a time"), None);
        assert!(future_utc_ms("2026-11-24T08:00", Some("Nowhere"), 0).is_err());
    }
}

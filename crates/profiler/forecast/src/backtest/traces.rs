//! Traces as the two text tables they are kept in: values, and what is known of each series.

use super::table::value_of;
use crate::models::training::Trace;
use std::collections::BTreeMap;

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl std::fmt::Display for TableError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for TableError {}

/// What is known of a series beside its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// The collection that it belongs to.
    pub dataset: String,
    /// Steps of its training part.
    pub train_steps: usize,
}

/// Length of a step of all series, in seconds: what the models count days and hours in.
pub const STEP_S: u32 = 300;

/// The rows below a heading that hold something, with the numbers of their lines, counted from 1.
pub(super) fn rows(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = (1..).zip(text.lines()).skip(1);
    numbered.filter(|(_, line)| !line.trim().is_empty())
}

/// Reads `series_id,timestamp,value` rows below a heading; series in the order in which they first appear.
pub fn read_series(text: &str) -> Result<Vec<Trace>, TableError> {
    let mut traces: Vec<Trace> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, line) in rows(text) {
        let wrong = |problem: String| TableError {
            line: number,
            problem,
        };
        let (id, time_s, value) = read_row(line).map_err(wrong)?;
        let place = *places.entry(id).or_insert(traces.len());
        if place == traces.len() {
            traces.push(Trace {
                id: id.to_owned(),
                step_s: STEP_S,
                times_s: Vec::new(),
                values: Vec::new(),
                minutes: Vec::new(),
                end: 0,
            });
        }
        let trace = &mut traces[place];
        if trace.times_s.last().is_some_and(|last_s| *last_s >= time_s) {
            return Err(wrong(format!(
                "the timestamp is not later than the one before of series {id}"
            )));
        }
        trace.times_s.push(time_s);
        trace.values.push(value);
        trace.end += 1;
    }
    if traces.is_empty() {
        return Err(TableError {
            line: 1,
            problem: "there is no value below the heading".to_owned(),
        });
    }
    Ok(traces)
}

fn read_row(line: &str) -> Result<(&str, i64, f64), String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [id, time, value] = fields.as_slice() else {
        return Err("expected series_id,timestamp,value".to_owned());
    };
    let time_s =
        parse_time(time).ok_or_else(|| format!("the timestamp {time:?} is not YYYY-MM-DD HH:MM:SS"))?;
    Ok((id, time_s, value_of(value.trim())?))
}

/// Reads one-minute means, `series_id,timestamp,value` rows below a heading, into the series that they belong to.
pub fn read_minutes(text: &str, traces: &mut [Trace]) -> Result<(), TableError> {
    let places: BTreeMap<String, usize> = (0..)
        .zip(&*traces)
        .map(|(place, trace)| (trace.id.clone(), place))
        .collect();
    for (number, line) in rows(text) {
        let wrong = |problem: String| TableError {
            line: number,
            problem,
        };
        let (id, time_s, value) = read_row(line).map_err(wrong)?;
        let place = places
            .get(id)
            .ok_or_else(|| wrong(format!("the series {id} has no values")))?;
        let minutes = &mut traces[*place].minutes;
        if minutes.last().is_some_and(|(last_s, _)| *last_s >= time_s) {
            return Err(wrong(format!(
                "the timestamp is not later than the one before of series {id}"
            )));
        }
        minutes.push((time_s, value));
    }
    Ok(())
}

/// Reads a table with a timestamp and several columns of one-minute means; the columns by their names.
pub fn read_columns(text: &str) -> Result<BTreeMap<String, Vec<(i64, f64)>>, TableError> {
    let names: Vec<&str> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split(',')
        .skip(1)
        .collect();
    let mut columns = vec![Vec::new(); names.len()];
    for (number, line) in rows(text) {
        let wrong = |problem: String| TableError {
            line: number,
            problem,
        };
        let (time, values) = line.split_once(',').unwrap_or((line, ""));
        let time_s = parse_time(time)
            .ok_or_else(|| wrong(format!("the timestamp {time:?} is not YYYY-MM-DD HH:MM:SS")))?;
        for (column, value) in columns.iter_mut().zip(values.trim_end().split(',')) {
            column.push((time_s, value_of(value).map_err(wrong)?));
        }
    }
    Ok(names.into_iter().map(str::to_owned).zip(columns).collect())
}

/// Reads the table of what is known of each series; the columns are found by their names.
pub fn read_meta(text: &str) -> Result<BTreeMap<String, Meta>, TableError> {
    let heading: Vec<&str> = text.lines().next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        let place = heading.iter().position(|found| *found == name);
        place.ok_or_else(|| TableError {
            line: 1,
            problem: format!("no column {name}"),
        })
    };
    let (id, dataset, train) = (column("series_id")?, column("dataset")?, column("train_n")?);
    let mut metas = BTreeMap::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let train_steps = fields.get(train).and_then(|field| field.parse().ok());
        let (Some(id), Some(dataset), Some(train_steps)) = (fields.get(id), fields.get(dataset), train_steps)
        else {
            return Err(TableError {
                line: number + 1,
                problem: "too few columns, or train_n is no number".to_owned(),
            });
        };
        let meta = Meta {
            dataset: (*dataset).to_owned(),
            train_steps,
        };
        metas.insert((*id).to_owned(), meta);
    }
    Ok(metas)
}

/// Reads `YYYY-MM-DD HH:MM:SS` (UTC, `T` for the space allowed, a fraction ignored, the time optional) as Unix seconds.
pub fn parse_time(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        let numeric = digits.bytes().all(|byte| byte.is_ascii_digit());
        numeric.then(|| digits.parse().ok()).flatten()
    };
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = if text.len() > 10 {
        if !is_utc(text.get(19..)?) {
            return None;
        }
        (part(11, 13)?, part(14, 16)?, part(17, 19)?)
    } else {
        (0, 0, 0)
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=12).contains(&month) || !(1..=last).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970 of a civil date, counted in eras of 400 years that begin in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Whether nothing follows a time but a fraction and the mark of UTC.
fn is_utc(rest: &str) -> bool {
    let fraction = rest.strip_prefix('.');
    let rest = fraction.map_or(rest, |digits| {
        digits.trim_start_matches(|character: char| character.is_ascii_digit())
    });
    matches!(rest.trim(), "" | "Z" | "UTC" | "+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(parse_time("1970-01-01 00:00:00"), Some(0));
        assert_eq!(parse_time("2024-08-01 00:05:00"), Some(1_722_470_700));
        assert_eq!(parse_time("2024-02-29"), Some(1_709_164_800));
        assert_eq!(parse_time("2024-08-01T00:05:00.250Z"), Some(1_722_470_700));
        assert_eq!(parse_time("2024-13-01 00:00:00"), None);
        assert_eq!(parse_time("2024-02-30"), None);
        assert_eq!(parse_time("2023-02-29 00:00:00"), None);
        assert_eq!(parse_time("2024-08-01 00:05:00+02:00"), None);
        assert_eq!(parse_time("2024-08-01 00:05:00 or so"), None);
        assert_eq!(parse_time("yesterday, at noon"), None);
    }

    #[test]
    fn a_bad_line_is_named() {
        let check = |row: &str, line: usize| {
            let text = format!("series_id,timestamp,value\na,2024-08-01 00:00:00,1\n{row}\n");
            assert_eq!(read_series(&text).expect_err(row).line, line);
        };
        check("a,2024-08-01 00:00:00,2", 3);
        check("a,2024-08-01 00:05:00,two", 3);
        check("a,soon,2", 3);
        check("a", 3);
        let minutes = "series_id,timestamp,value\na,2024-08-01 00:01:00,1\nb,2024-08-01 00:02:00,1\n";
        let mut traces =
            read_series("series_id,timestamp,value\na,2024-08-01 00:00:00,1\n").expect("a series");
        assert_eq!(
            read_minutes(minutes, &mut traces).expect_err("no series b").line,
            3
        );
        assert_eq!(traces[0].minutes_of(0).len(), 1);
        let columns = read_columns("timestamp,cpu,mem\n2024-08-01 00:00:00,1,\n").expect("two columns");
        assert!(columns["cpu"] == [(1_722_470_400, 1.0)] && columns["mem"][0].1.is_nan());
        assert_eq!(read_columns("timestamp,cpu\nnoon,1\n").expect_err("noon").line, 2);
        let text = "series_id,timestamp,value\na,2024-08-01 00:00:00,1\n\nb,2024-08-01 00:00:00,\n";
        let traces = read_series(text).expect("an empty line and a missing value are allowed");
        assert!(traces[1].values[0].is_nan());
    }
}

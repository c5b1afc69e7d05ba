//! Origins and forecasts as the text tables they are kept in, and the numbers in them.
//!
//! Origins: `series_id,origin` and two thresholds. Forecasts: `series_id,origin,target`, twelve quantiles and the
//! chances of exceeding both thresholds, empty for targets that are no event.

use super::bulk::Confidences;
use super::traces::{TableError, parse_time, rows};
use crate::models::{
    Forecast, LEVELS, QUANTILES, TARGET_COUNT, TARGETS, THRESHOLDS, WINDOW_COUNT, WINDOW_TARGETS,
};
use std::collections::BTreeMap;
use std::fmt::Write;

/// One moment that a forecast is wanted from.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The series.
    pub series: String,
    /// Beginning of the last step that is known, Unix seconds.
    pub time_s: i64,
    /// The time as it was written.
    pub written: String,
    /// What must be exceeded.
    pub thresholds: [f64; THRESHOLDS],
    /// Number of the line, from 1.
    pub line: usize,
}

/// Forecasts by series and origin.
pub type Forecasts = BTreeMap<(String, i64), Forecast>;

/// Reads `series_id,origin,threshold,threshold` rows below a heading.
pub fn read_origins(text: &str) -> Result<Vec<Origin>, TableError> {
    let mut origins = Vec::new();
    for (number, line) in rows(text) {
        let wrong = |problem: String| TableError {
            line: number,
            problem,
        };
        let fields: Vec<&str> = line.trim_end().split(',').collect();
        let [series, written, first, second] = fields.as_slice() else {
            return Err(wrong("expected series_id,origin,threshold,threshold".to_owned()));
        };
        let time_s = parse_time(written)
            .ok_or_else(|| wrong(format!("the origin {written:?} is not YYYY-MM-DD HH:MM:SS")))?;
        let thresholds = [value_of(first).map_err(wrong)?, value_of(second).map_err(wrong)?];
        if thresholds.iter().any(|threshold| threshold.is_nan()) {
            return Err(wrong("a threshold must be a finite number".to_owned()));
        }
        origins.push(Origin {
            series: (*series).to_owned(),
            time_s,
            written: (*written).to_owned(),
            thresholds,
            line: number,
        });
    }
    if origins.is_empty() {
        return Err(TableError {
            line: 1,
            problem: "there is no origin below the heading".to_owned(),
        });
    }
    Ok(origins)
}

/// The heading of a table of forecasts.
pub fn forecast_heading() -> String {
    let mut heading = "series_id,origin,target".to_owned();
    for level in LEVELS {
        // Writing to a string cannot fail.
        let _ = write!(heading, ",q{level}");
    }
    heading.push_str(",p90,p95\n");
    heading
}

/// Appends one line per target, each begun by `start`.
pub fn write_forecast(out: &mut String, start: &str, id: &str, origin: &str, forecast: &Forecast) {
    for (target, name) in TARGETS.iter().enumerate() {
        let _ = write!(out, "{start}{id},{origin},{name}");
        for quantile in &forecast.quantiles[target] {
            let _ = write!(out, ",{quantile:.9e}");
        }
        let window = WINDOW_TARGETS.iter().position(|event| *event == target);
        let _ = match window.map(|window| forecast.chances[window]) {
            Some([first, second]) => writeln!(out, ",{first:.6},{second:.6}"),
            None => writeln!(out, ",,"),
        };
    }
}

/// The table of how sure forecasts are: a line per origin and event target, with a number for each threshold.
pub fn write_confidences(asked: &[Origin], confidences: &Confidences) -> String {
    let mut text = "series_id,origin,target,c90,c95\n".to_owned();
    for origin in asked {
        let Some(confidence) = confidences.get(&(origin.series.clone(), origin.time_s)) else {
            continue;
        };
        for (target, [first, second]) in WINDOW_TARGETS.iter().zip(confidence) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{},{},{},{first:.6},{second:.6}",
                origin.series, origin.written, TARGETS[*target]
            );
        }
    }
    text
}

/// Reads what [`write_confidences`] wrote.
pub fn read_confidences(text: &str) -> Result<Confidences, TableError> {
    let mut confidences = Confidences::new();
    for (number, line) in rows(text) {
        let wrong = |problem: String| TableError {
            line: number,
            problem,
        };
        let fields: Vec<&str> = line.trim_end().split(',').collect();
        let [series, origin, target, first, second] = fields.as_slice() else {
            return Err(wrong(
                "expected series_id,origin,target and two numbers".to_owned(),
            ));
        };
        let time_s = parse_time(origin).ok_or_else(|| wrong(format!("the origin {origin:?} is no time")))?;
        let window = WINDOW_TARGETS.iter().position(|event| TARGETS[*event] == *target);
        let window = window.ok_or_else(|| wrong(format!("{target:?} is no event")))?;
        let entry = confidences
            .entry(((*series).to_owned(), time_s))
            .or_insert([[f64::NAN; THRESHOLDS]; WINDOW_COUNT]);
        entry[window] = [value_of(first).map_err(wrong)?, value_of(second).map_err(wrong)?];
    }
    Ok(confidences)
}

/// Reads a table of forecasts, from whatever program. Origins that lack a target are left out.
pub fn read_forecasts(text: &str) -> Result<Forecasts, TableError> {
    let mut found: BTreeMap<(String, i64), (Forecast, [bool; TARGET_COUNT])> = BTreeMap::new();
    for (number, line) in rows(text) {
        let wrong = |problem: String| TableError {
            line: number,
            problem,
        };
        let (key, target, quantiles, chances) = forecast_row(line).map_err(wrong)?;
        let empty = Forecast {
            quantiles: [[f64::NAN; QUANTILES]; TARGET_COUNT],
            chances: [[f64::NAN; THRESHOLDS]; WINDOW_COUNT],
        };
        let (forecast, told) = found.entry(key).or_insert((empty, [false; TARGET_COUNT]));
        if std::mem::replace(&mut told[target], true) {
            let name = TARGETS[target];
            return Err(wrong(format!("{name} of this origin was there before")));
        }
        forecast.quantiles[target] = quantiles;
        if let Some(window) = WINDOW_TARGETS.iter().position(|event| *event == target) {
            forecast.chances[window] = chances;
        }
    }
    let whole = found
        .into_iter()
        .filter(|(_, (_, told))| told.iter().all(|told| *told));
    Ok(whole.map(|(key, (forecast, _))| (key, forecast)).collect())
}

type Row = ((String, i64), usize, [f64; QUANTILES], [f64; THRESHOLDS]);

fn forecast_row(line: &str) -> Result<Row, String> {
    let fields: Vec<&str> = line.trim_end_matches(['\r', '\n']).split(',').collect();
    if fields.len() != 3 + QUANTILES + THRESHOLDS {
        return Err(format!(
            "expected {} fields, found {}",
            3 + QUANTILES + THRESHOLDS,
            fields.len()
        ));
    }
    let time_s = parse_time(fields[1]).ok_or_else(|| format!("the origin {:?} is no time", fields[1]))?;
    let target = TARGETS.iter().position(|name| *name == fields[2]);
    let target = target.ok_or_else(|| format!("unknown target {:?}", fields[2]))?;
    let mut values = [f64::NAN; QUANTILES + THRESHOLDS];
    for (value, field) in values.iter_mut().zip(&fields[3..]) {
        *value = value_of(field)?;
    }
    let quantiles = std::array::from_fn(|place| values[place]);
    Ok((
        (fields[0].to_owned(), time_s),
        target,
        quantiles,
        [values[QUANTILES], values[QUANTILES + 1]],
    ))
}

/// Empty and "nan" are missing, infinities too; anything else must be a number.
pub(crate) fn value_of(text: &str) -> Result<f64, String> {
    /// Sums of squares of anything beyond would not be finite.
    const VALUE_MAX: f64 = 1e100;
    if text.is_empty() {
        return Ok(f64::NAN);
    }
    let value: f64 = text
        .parse()
        .map_err(|_| format!("the value {text:?} is not a number"))?;
    if value.is_finite() && value.abs() > VALUE_MAX {
        return Err(format!("the value {text:?} is too large"));
    }
    Ok(if value.is_finite() { value } else { f64::NAN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let forecast = Forecast {
            quantiles: std::array::from_fn(|target| {
                std::array::from_fn(|level| (target * 20 + level) as f64)
            }),
            chances: [[0.25, 0.125], [0.5, 0.25], [0.75, 0.5]],
        };
        let mut text = forecast_heading();
        write_forecast(&mut text, "", "a", "2024-08-01 00:05:00", &forecast);
        let read = read_forecasts(&text).expect("our own table");
        assert_eq!(read[&("a".to_owned(), 1_722_470_700)], forecast);
        let short: Vec<&str> = text.lines().take(4).collect();
        let read = read_forecasts(&short.join("\n")).expect("a table");
        assert!(
            read.is_empty(),
            "an origin with three of five targets is left out"
        );
    }

    #[test]
    fn confidences_are_written_and_read() {
        let asked = read_origins("series_id,origin,a,b\na,2024-08-01 00:05:00,1,2\n").expect("origins");
        let sure = [[0.25, 0.5], [0.75, 1.0], [0.0, 0.125]];
        let confidences = Confidences::from([(("a".to_owned(), 1_722_470_700), sure)]);
        let text = write_confidences(&asked, &confidences);
        assert_eq!(read_confidences(&text), Ok(confidences));
        let wrong = read_confidences("heading\na,2024-08-01 00:05:00,s3,0,0\n").expect_err("no event");
        assert_eq!(wrong.line, 2);
    }

    #[test]
    fn a_bad_line_is_named() {
        let check = |row: &str, says: &str| {
            let text = format!("series_id,origin,thr90,thr95\na,2024-08-01 00:00:00,1,2\n{row}\n");
            let refused = read_origins(&text).expect_err(row).to_string();
            assert!(
                refused.starts_with("line 3: ") && refused.contains(says),
                "{refused}"
            );
        };
        check("a,2024-08-01 00:05:00,1", "expected");
        check("a,noon,1,2", "is not YYYY");
        check("a,2024-08-01 00:05:00,one,2", "not a number");
        check("a,2024-08-01 00:05:00,,2", "finite");
        let refused = read_origins("series_id,origin,thr90,thr95\n").expect_err("nothing");
        assert!(refused.to_string().contains("no origin"));
    }
}

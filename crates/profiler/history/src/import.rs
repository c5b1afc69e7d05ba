//! Measurements from elsewhere: a CSV of apps over time, whole or not at all.
//!
//! Every line is checked before anything is written, and what is written is one file that appears at once.
//! Lines may come in any order; where an app has two lines for one millisecond, the later line counts. What
//! was imported is kept as given, whatever its age and the store's size; so all imports together have a bound of
//! their own, and never push out more of the daemon's own history than that. An import can run beside the daemon.

use crate::error::{HistoryError, Result};
use crate::layout::{self, SEGMENT_SUFFIX};
use crate::seconds::SecondsBuilder;
use crate::storage::{RealStorage, Storage};
use crate::{log, maintain, when};
use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};
use std::path::Path;
use tidegate_types::{AppName, BootTime, Entity, Field, Moment, Row, Sample};

/// The columns and what they are; all but the first two may be missing.
pub(crate) const COLUMNS: [(&str, Option<Field>); 8] = [
    ("app", None),
    ("time", None),
    ("cpu", Some(Field::CpuUsage)),
    ("memory", Some(Field::Memory)),
    ("disk_read", Some(Field::AppRead)),
    ("disk_write", Some(Field::AppWrite)),
    ("net_rx", Some(Field::AppReceive)),
    ("net_tx", Some(Field::AppTransmit)),
];
const MEASURED: usize = COLUMNS.len() - 2;

/// The boot id under which imported samples are kept.
pub(crate) const BOOT_ID: &str = "import";

/// Lines of one import; bounds its memory to about 1.5 GB.
const MAX_LINES: u64 = 10_000_000;

/// Bytes of one line; a name and seven numbers are far shorter.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// The part of the store that imports may take: one of so many.
const PART: u64 = 4;

/// What was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Lines with measurements.
    pub lines: u64,
    /// Lines that a later line for the same app and time replaced.
    pub replaced: u64,
    /// Distinct apps.
    pub apps: usize,
    /// Oldest time, in UTC milliseconds.
    pub first_utc_ms: i64,
    /// Newest time, in UTC milliseconds.
    pub last_utc_ms: i64,
    /// Bytes that it takes on disk.
    pub bytes: u64,
}

struct Line {
    utc_ms: i64,
    app: u32,
    values: [f64; MEASURED],
}

/// Imports `app,time,cpu,memory,disk_read,disk_write,net_rx,net_tx` (cores, bytes, bytes per second; time as
/// Unix seconds or RFC 3339; empty is not measured) into the store at `dir`, which may hold `max_bytes` in all, a
/// quarter of it imports.
pub fn import_csv(dir: &Path, max_bytes: u64, csv: impl BufRead) -> Result<ImportReport> {
    let (lines, apps) = read_lines(csv)?;
    let mut report = ImportReport {
        lines: lines.len() as u64,
        apps: apps.len(),
        ..ImportReport::default()
    };
    let (Some(first), Some(last)) = (
        lines.iter().map(|line| line.utc_ms).min(),
        lines.iter().map(|line| line.utc_ms).max(),
    ) else {
        return Err(HistoryError::Import(
            "there is no line with measurements".to_owned(),
        ));
    };
    (report.first_utc_ms, report.last_utc_ms) = (first, last);
    let file = segment(lines, &apps, &mut report);
    report.bytes = file.len() as u64;
    write(dir, max_bytes, &file)?;
    Ok(report)
}

fn write(dir: &Path, max_bytes: u64, file: &[u8]) -> Result<()> {
    let storage = RealStorage;
    let folder = dir.join(layout::IMPORTS);
    storage
        .create_dir(&folder)
        .map_err(HistoryError::io("making", &folder))?;
    // Two imports at once would take the same number.
    let _lock = crate::store::lock(&folder, "lock")?;
    let present = maintain::folder_bytes(&storage, &folder)?;
    let room = max_bytes / PART;
    if present.saturating_add(file.len() as u64) > room {
        return Err(HistoryError::Import(format!(
            "it takes {} bytes, and imports have {present} of {room}; import less, or remove files that are needed no \
             more from {}",
            file.len(),
            folder.display()
        )));
    }
    let files = log::numbered(&storage, dir, layout::IMPORTS, SEGMENT_SUFFIX)?;
    let number = files.last().map_or(1, |(number, _)| number + 1);
    let path = layout::path(dir, layout::IMPORTS, number, SEGMENT_SUFFIX);
    storage
        .replace(&path, file)
        .map_err(HistoryError::io("writing", &path))
}

/// The sealed file of all lines.
fn segment(mut lines: Vec<Line>, apps: &[AppName], report: &mut ImportReport) -> Vec<u8> {
    // Stable: of equal app and time the later line stays last.
    lines.sort_by_key(|line| (line.utc_ms, line.app));
    let mut builder = SecondsBuilder::default();
    let mut before_utc_ms = None;
    for moment in lines.chunk_by(|left, right| left.utc_ms == right.utc_ms) {
        let utc_ms = moment[0].utc_ms;
        let mut rows = Vec::with_capacity(moment.len());
        for same in moment.chunk_by(|left, right| left.app == right.app) {
            report.replaced += same.len() as u64 - 1;
            let mut row = Row::empty(Entity::App(apps[same[0].app as usize].clone()));
            let fields = COLUMNS.iter().filter_map(|(_, field)| *field);
            for (field, value) in fields.zip(same[same.len() - 1].values) {
                row.set(field, value);
            }
            rows.push(row);
        }
        builder.push(&Sample {
            now: Moment {
                boot: BootTime(utc_ms.cast_unsigned() * 1_000_000),
                utc_ms,
            },
            interval_s: before_utc_ms.map_or(0.0, |before| (utc_ms - before) as f64 / 1e3),
            rows,
        });
        before_utc_ms = Some(utc_ms);
    }
    builder.finish(BOOT_ID)
}

/// All lines, checked, and the apps in order; lines name apps by their position.
fn read_lines(mut csv: impl BufRead) -> Result<(Vec<Line>, Vec<AppName>)> {
    let mut lines = Vec::new();
    let mut numbers: BTreeMap<AppName, u32> = BTreeMap::new();
    let mut heading: Option<Vec<usize>> = None;
    let mut number = 0;
    while let Some(text) = next_line(&mut csv, number + 1)? {
        number += 1;
        let text = text.trim_end_matches('\n');
        let text = text.trim_end_matches('\r').trim_start_matches('\u{feff}');
        if text.trim().is_empty() {
            continue;
        }
        let cells = split(text).ok_or_else(|| bad(number, "app", "a quote is not closed".to_owned()))?;
        let Some(columns) = &heading else {
            heading = Some(parse_heading(number, &cells)?);
            continue;
        };
        if number > MAX_LINES {
            return Err(HistoryError::Import(format!(
                "more than {MAX_LINES} lines; import it in parts"
            )));
        }
        let (app, line) = parse_line(number, &cells, columns)?;
        let next = numbers.len() as u32;
        let app = *numbers.entry(app).or_insert(next);
        lines.push(Line { app, ..line });
    }
    if heading.is_none() {
        return Err(bad(
            1,
            "app",
            "the heading is missing; the first line names the columns".to_owned(),
        ));
    }
    // Positions by name, so that the rows of a moment come out sorted.
    let mut order = vec![0; numbers.len()];
    for (place, number) in numbers.values().enumerate() {
        order[*number as usize] = place as u32;
    }
    for line in &mut lines {
        line.app = order[line.app as usize];
    }
    Ok((lines, numbers.into_keys().collect()))
}

/// The next line with its end; `None` where there is no more.
fn next_line(csv: &mut impl BufRead, number: u64) -> Result<Option<String>> {
    let mut line = Vec::new();
    let read = csv.take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line);
    let length = read.map_err(HistoryError::io("reading", Path::new("the import")))?;
    if length as u64 > MAX_LINE_BYTES {
        let reason = format!("the line is longer than {MAX_LINE_BYTES} bytes; is it a CSV?");
        return Err(bad(number, "app", reason));
    }
    let text = String::from_utf8(line)
        .map_err(|error| bad(number, "app", format!("the line is not readable: {error}")))?;
    Ok((length > 0).then_some(text))
}

fn bad(line: u64, column: &'static str, reason: String) -> HistoryError {
    HistoryError::Line { line, column, reason }
}

/// Cells of a line; a cell with commas or quotes stands in quotes, a quote in it is doubled.
fn split(text: &str) -> Option<Vec<String>> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let cell = cells.last_mut()?;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' if quoted || cell.trim().is_empty() => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            _ => cell.push(letter),
        }
    }
    (!quoted).then_some(cells)
}

/// For each cell of a line the column that it is.
fn parse_heading(number: u64, cells: &[String]) -> Result<Vec<usize>> {
    let expected = || COLUMNS.map(|(name, _)| name).join(",");
    let mut columns = Vec::new();
    for cell in cells {
        let name = cell.trim();
        let Some(column) = COLUMNS.iter().position(|(known, _)| *known == name) else {
            let reason = format!("`{name}` is no column; the heading is {}", expected());
            return Err(bad(number, "app", reason));
        };
        if columns.contains(&column) {
            return Err(bad(
                number,
                COLUMNS[column].0,
                "the column is there twice".to_owned(),
            ));
        }
        columns.push(column);
    }
    for (required, (name, _)) in COLUMNS.iter().enumerate().take(2) {
        if !columns.contains(&required) {
            return Err(bad(
                number,
                name,
                format!("the column is missing; the heading is {}", expected()),
            ));
        }
    }
    Ok(columns)
}

fn parse_line(number: u64, cells: &[String], columns: &[usize]) -> Result<(AppName, Line)> {
    if cells.len() != columns.len() {
        let column = columns
            .get(cells.len())
            .map_or("net_tx", |column| COLUMNS[*column].0);
        let reason = format!("{} cells where the heading has {}", cells.len(), columns.len());
        return Err(bad(number, column, reason));
    }
    let mut app = None;
    let mut line = Line {
        utc_ms: 0,
        app: 0,
        values: [f64::NAN; MEASURED],
    };
    for (cell, column) in cells.iter().zip(columns) {
        let (text, name) = (cell.trim(), COLUMNS[*column].0);
        match column {
            0 if text.is_empty() => return Err(bad(number, name, "an app has a name".to_owned())),
            0 => app = Some(AppName::new(text)),
            1 => {
                line.utc_ms = when::absolute(text).ok_or_else(|| {
                    let reason = format!(
                        "`{text}` is not a time; write Unix seconds (1700000000 or 1700000000.25) or RFC 3339 (2026-11-24T08:00:00Z)"
                    );
                    bad(number, name, reason)
                })?;
            }
            _ => line.values[column - 2] = parse_value(number, name, text)?,
        }
    }
    let app = app.ok_or_else(|| bad(number, "app", "the column is missing".to_owned()))?;
    Ok((app, line))
}

fn parse_value(number: u64, column: &'static str, text: &str) -> Result<f64> {
    if text.is_empty() {
        return Ok(f64::NAN);
    }
    let value: Option<f64> = text.parse().ok();
    value
        .filter(|value| value.is_finite() && *value >= 0.0)
        .ok_or_else(|| {
            let reason =
                format!("`{text}` is not a number of at least 0; leave it empty where it was not measured");
            bad(number, column, reason)
        })
}

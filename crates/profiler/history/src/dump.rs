//! What is kept, as text: the CSV that an import takes, or JSON lines with everything measured.
//!
//! Each stretch of time comes from the finest tier that has it; of buckets the mean is given. The CSV has the
//! columns of an import and apps only; JSON lines have every entity and every measured field.

use crate::error::{HistoryError, Result};
use crate::import::COLUMNS;
use crate::reader::{Reader, Samples};
use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;
use tidegate_types::{AppName, Entity, Field, Row, Sample};

/// How a dump is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpFormat {
    /// The columns of an import.
    Csv,
    /// One object per entity and moment: `time`, `entity`, and each measured field by its name.
    JsonLines,
}

/// What to dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpQuery {
    /// Which times, in UTC milliseconds.
    pub utc_ms: Range<i64>,
    /// Which apps; empty means all (and, in JSON lines, everything that is no app).
    pub apps: BTreeSet<AppName>,
    /// How.
    pub format: DumpFormat,
}

/// Writes what `query` asks for to `out` and gives the number of lines (without the heading).
pub fn dump(reader: &Reader, query: &DumpQuery, out: &mut dyn Write) -> Result<u64> {
    let io = || HistoryError::io("writing", std::path::Path::new("the dump"));
    if query.format == DumpFormat::Csv {
        let heading = COLUMNS.map(|(name, _)| name).join(",");
        writeln!(out, "{heading}").map_err(io())?;
    }
    let mut written = 0;
    for sample in Merged::new(reader.dump_streams(&query.utc_ms)?)? {
        let sample = sample?;
        for row in &sample.rows {
            let app = row.entity.app();
            let wanted = query.apps.is_empty() || app.is_some_and(|app| query.apps.contains(app));
            let line = match query.format {
                _ if !wanted => None,
                DumpFormat::Csv => csv_line(&sample, row),
                DumpFormat::JsonLines => Some(json_line(&sample, row)),
            };
            if let Some(line) = line {
                writeln!(out, "{line}").map_err(io())?;
                written += 1;
            }
        }
    }
    Ok(written)
}

/// Unix seconds, with the milliseconds where there are some.
fn unix_seconds(utc_ms: i64) -> String {
    let (seconds, milliseconds) = (utc_ms.div_euclid(1000), utc_ms.rem_euclid(1000));
    if milliseconds == 0 {
        return seconds.to_string();
    }
    let text = format!("{seconds}.{milliseconds:03}");
    text.trim_end_matches('0').to_owned()
}

fn quoted(text: &str) -> String {
    let plain = !text.contains([',', '"', '\n', '\r']) && text.trim() == text;
    if plain {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

fn csv_line(sample: &Sample, row: &Row) -> Option<String> {
    let Entity::App(app) = &row.entity else {
        return None;
    };
    let mut line = format!("{},{}", quoted(app.as_str()), unix_seconds(sample.now.utc_ms));
    for field in COLUMNS.iter().filter_map(|(_, field)| *field) {
        line.push(',');
        if let Some(value) = row.get(field) {
            line.push_str(&value.to_string());
        }
    }
    Some(line)
}

fn json_line(sample: &Sample, row: &Row) -> String {
    use std::fmt::Write as _;
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let entity = text(&row.entity.to_string());
    let mut line = format!(
        "{{\"time\":{},\"entity\":{entity}",
        unix_seconds(sample.now.utc_ms)
    );
    for spec in Field::of_kind(row.entity.kind()) {
        let Some(value) = row.get(spec.field) else {
            continue;
        };
        // JSON has no infinity; a limit that is none is written as a text.
        let value = if value.is_finite() {
            serde_json::Value::from(value).to_string()
        } else {
            text(&value.to_string())
        };
        let _ = write!(line, ",\"{}\":{value}", spec.name);
    }
    line.push('}');
    line
}

/// Several streams of samples as one, by time.
struct Merged {
    streams: Vec<(Sample, Samples)>,
}

impl Merged {
    fn new(samples: Vec<Samples>) -> Result<Self> {
        let mut streams = Vec::new();
        for mut stream in samples {
            if let Some(first) = stream.next().transpose()? {
                streams.push((first, stream));
            }
        }
        Ok(Self { streams })
    }
}

impl Iterator for Merged {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        let (place, _) = self
            .streams
            .iter()
            .enumerate()
            .min_by_key(|(_, (sample, _))| sample.now.utc_ms)?;
        let following = self.streams[place].1.next().transpose();
        match following {
            Err(error) => Some(Err(error)),
            Ok(Some(following)) => Some(Ok(std::mem::replace(&mut self.streams[place].0, following))),
            Ok(None) => Some(Ok(self.streams.remove(place).0)),
        }
    }
}

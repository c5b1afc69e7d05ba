//! Records as a file: a heading per unit, then a line per second with waiting, usage and label.

use super::record::Kind;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::path::Path;
use tidegate_forecast::models::waiting::{WaitingSecond, WaitingSeries};

/// One unit of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) series: WaitingSeries,
}

/// Writes `records`.
pub(super) fn write(path: &Path, records: &[Record]) -> Result<()> {
    let mut text = String::new();
    for record in records {
        let first_s = record.series.seconds.first().map_or(0.0, |second| second.at_s);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "# {} {} {}",
            record.kind.name(),
            record.name,
            record.series.unit
        );
        for second in &record.series.seconds {
            let (level, ratio) = (number(second.level), number(second.ratio));
            let contended = u8::from(second.contended);
            let _ = writeln!(text, "{:.1},{level},{ratio},{contended}", second.at_s - first_s);
        }
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Three places; nothing where it was not measured.
fn number(value: f32) -> String {
    if value.is_nan() {
        return String::new();
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads what [`write`] wrote.
pub(super) fn read(path: &Path) -> Result<Vec<Record>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut records: Vec<Record> = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let place = || format!("{}:{}", path.display(), place + 1);
        if let Some(heading) = line.strip_prefix("# ") {
            records.push(heading_of(heading).with_context(place)?);
            continue;
        }
        let Some(record) = records.last_mut() else {
            bail!("{}: a second before any heading", place());
        };
        record.series.seconds.push(second_of(line).with_context(place)?);
    }
    Ok(records)
}

fn heading_of(heading: &str) -> Result<Record> {
    let words: Vec<&str> = heading.split(' ').collect();
    let [kind, name, unit] = words[..] else {
        bail!("`{heading}` is not KIND NAME UNIT");
    };
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
    Ok(Record {
        kind: kind.context("there is no such kind")?,
        name: name.to_owned(),
        series: WaitingSeries {
            unit: unit.parse().map_err(|error| anyhow::anyhow!("{error}"))?,
            seconds: Vec::new(),
        },
    })
}

fn second_of(line: &str) -> Result<WaitingSecond> {
    let words: Vec<&str> = line.split(',').collect();
    let [at_s, level, ratio, contended] = words[..] else {
        bail!("`{line}` is not SECOND,WAITING,USAGE,CONTENDED");
    };
    let number = |word: &str| {
        if word.is_empty() {
            Ok(f32::NAN)
        } else {
            word.parse()
        }
    };
    Ok(WaitingSecond {
        at_s: at_s.parse().with_context(|| format!("`{at_s}` is no number"))?,
        level: number(level).with_context(|| format!("`{level}` is no number"))?,
        ratio: number(ratio).with_context(|| format!("`{ratio}` is no number"))?,
        contended: contended == "1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_file_and_bad_lines_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("records");
        let second = |at_s, level, contended| WaitingSecond {
            at_s,
            level,
            ratio: 0.5,
            contended,
        };
        let record = Record {
            kind: Kind::Limit,
            name: "1-0:limit:web/cpu".to_owned(),
            series: WaitingSeries {
                unit: "limit:web/cpu".parse().expect("a unit"),
                seconds: vec![second(0.0, 1.25, false), second(1.0, 3.0, true)],
            },
        };
        write(&path, std::slice::from_ref(&record)).expect("written");
        assert_eq!(read(&path).expect("read"), [record]);
        std::fs::write(&path, "# limit a limit:web/cpu\n1,x,0,1\n").expect("written");
        let error = format!("{:#}", read(&path).expect_err("a bad line"));
        assert!(error.contains(":2: `x` is no number"), "{error}");
    }
}

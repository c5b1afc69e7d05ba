//! What a bench found: rows with their bounds, as a table for people and as JSON for machines.

use super::stats::Estimate;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// A promise about a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(formatter, ">= {bound}"),
            Self::AtMost(bound) => write!(formatter, "<= {bound}"),
        }
    }
}

/// One measured number.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) metric: String,
    /// None where it could not be measured, which never holds a bound.
    pub(crate) value: Option<f64>,
    pub(crate) unit: String,
    pub(crate) bound: Option<String>,
    /// True where there is no bound.
    pub(crate) holds: bool,
    /// Ends of the 95 % interval, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<(f64, f64)>,
}

/// All rows of one bench, and what a reader should know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    /// Sentences under the table.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// A number without an interval.
    pub(crate) fn value(&mut self, metric: &str, value: f64, unit: &str, bound: Option<Bound>) {
        self.rows.push(Row {
            metric: metric.to_owned(),
            value: value.is_finite().then_some(value),
            unit: unit.to_owned(),
            bound: bound.map(|bound| bound.to_string()),
            holds: bound.is_none_or(|bound| bound.holds(value)),
            interval: None,
        });
    }

    /// A median with its interval; the bound is on the median.
    pub(crate) fn estimate(&mut self, metric: &str, estimate: Estimate, unit: &str, bound: Option<Bound>) {
        self.value(metric, estimate.median, unit, bound);
        self.last_interval((estimate.low, estimate.high));
    }

    /// Gives the last number its 95 % interval.
    pub(crate) fn last_interval(&mut self, (low, high): (f64, f64)) {
        if let Some(row) = self.rows.last_mut()
            && low.is_finite()
            && high.is_finite()
        {
            row.interval = Some((low, high));
        }
    }

    /// Whether every bound holds.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.holds)
    }

    /// The table as Markdown, which people can read as it is.
    pub(crate) fn table(&self) -> String {
        let mut cells =
            vec![["metric", "value", "95 % interval", "unit", "bound", "holds"].map(str::to_owned)];
        cells.extend(self.rows.iter().map(|row| {
            [
                row.metric.clone(),
                row.value.map_or_else(|| "not measured".to_owned(), number),
                row.interval.map_or_else(String::new, |(low, high)| {
                    format!("{} to {}", number(low), number(high))
                }),
                row.unit.clone(),
                row.bound.clone().unwrap_or_default(),
                if row.bound.is_none() {
                    ""
                } else if row.holds {
                    "yes"
                } else {
                    "NO"
                }
                .to_owned(),
            ]
        }));
        let mut text = markdown(&cells);
        for note in &self.notes {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{note}\n");
        }
        text
    }

    /// Prints the table and writes `target/bench/NAME.json`.
    pub(crate) fn publish(&self, workspace: &Workspace, name: &str) -> Result<PathBuf> {
        println!("\n{}", self.table());
        let folder = workspace.bench_folder();
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(format!("{name}.json"));
        let json = serde_json::to_string_pretty(&self.rows)?;
        std::fs::write(&path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Writes `docs/bench/NAME.md` with date, CPU model and commit.
    pub(crate) fn keep(&self, workspace: &Workspace, name: &str, title: &str) -> Result<PathBuf> {
        let folder = workspace.root.join("docs/bench");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(format!("{name}.md"));
        let text = format!(
            "# {title}\n\n{}\n\n{}",
            super::host::describe(&workspace.root),
            self.table()
        );
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// Three significant places, and no more digits than a reader can use.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "-".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A Markdown table with columns padded to their widest cell; the first row is the head.
pub(crate) fn markdown<const COLUMNS: usize>(cells: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        cells
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for (index, row) in cells.iter().enumerate() {
        let padded: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        let _ = writeln!(text, "| {} |", padded.join(" | "));
        if index == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "| {} |", rule.join(" | "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_does_not_hold_is_seen() {
        let mut report = Report::default();
        report.value("free", 1.0, "ms", None);
        report.value("kept", 1.0, "ms", Some(Bound::AtMost(2.0)));
        assert!(report.holds());
        report.value("broken", 1.0, "", Some(Bound::AtLeast(2.0)));
        assert!(!report.holds());
        assert!(report.table().contains("NO"));
    }

    #[test]
    fn what_was_not_measured_holds_no_bound() {
        let mut report = Report::default();
        report.value("absent", f64::NAN, "ms", Some(Bound::AtMost(2.0)));
        assert!(!report.holds());
        let json = serde_json::to_value(&report.rows).expect("JSON");
        assert!(json[0]["value"].is_null());
        assert_eq!(json[0]["bound"], "<= 2");
    }

    #[test]
    fn columns_line_up() {
        let text = markdown(&[
            ["a".to_owned(), "b".to_owned()],
            ["long".to_owned(), "1".to_owned()],
        ]);
        assert_eq!(text, "| a    | b |\n| ---- | - |\n| long | 1 |\n");
    }
}

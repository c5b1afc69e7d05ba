//! `cargo xtask bench telemetry`: the collector measures itself, because only it can count its own allocations.
//!
//! The measuring program is the example `bench` of the telemetry room. It prints a JSON list of rows in the same
//! form as ours; this bench runs it in release, and shows and publishes what it found.

use super::report::{Report, Row};
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::process::{Command, Stdio};

#[derive(Deserialize)]
struct Measured {
    metric: String,
    value: Option<f64>,
    unit: String,
    bound: Option<String>,
    holds: bool,
    interval: Option<(f64, f64)>,
}

/// Builds and runs the example.
pub(crate) fn run(workspace: &Workspace) -> Result<Report> {
    let mut command = Command::new(cargo());
    command
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "tidegate-telemetry",
            "--example",
            "bench",
        ])
        .current_dir(&workspace.root)
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .context("cannot run the telemetry room's example `bench`")?;
    if output.stdout.is_empty() {
        bail!(
            "the telemetry room's example `bench` ended with {} and no result",
            output.status
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(Report {
        rows: parse(&text)?,
        notes: Vec::new(),
    })
}

/// The JSON list is the last thing that the example prints.
fn parse(text: &str) -> Result<Vec<Row>> {
    let start = text
        .find("\n[")
        .map_or_else(|| text.find('[').unwrap_or(0), |at| at + 1);
    let rows: Vec<Measured> =
        serde_json::from_str(text[start..].trim()).context("the example printed no list of rows")?;
    let row = |row: Measured| Row {
        metric: row.metric,
        value: row.value,
        unit: row.unit,
        bound: row.bound,
        holds: row.holds,
        interval: row.interval,
    };
    Ok(rows.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_the_talk() {
        let rows = parse(
            "making groups\n[{\"metric\":\"a\",\"value\":1.5,\"unit\":\"us\",\"bound\":null,\"holds\":true}]\n",
        );
        assert_eq!(rows.expect("rows")[0].value, Some(1.5));
        assert!(parse("nothing").is_err());
    }
}

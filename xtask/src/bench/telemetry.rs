//! `cargo xtask bench telemetry`: the collector measures itself, because only it can count its own allocations.
//!
//! The measuring program is the example `telemetry_bench` of the telemetry room, which prints one row per line as
//! JSON; its bounds are upper ones. This bench runs it in release, and shows and publishes what it found.

use super::report::{Bound, Report};
use crate::workspace::{Workspace, cargo, llvm_prefix};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::process::{Command, Stdio};

#[derive(Deserialize)]
struct Line {
    metric: String,
    value: Option<f64>,
    unit: String,
    bound: Option<f64>,
}

/// Builds and runs the example, with the BPF reader where it can be built.
pub(crate) fn run(workspace: &Workspace) -> Result<Report> {
    let features: &[&str] = if llvm_prefix().is_some() { &["bpf"] } else { &[] };
    example(workspace, "tidegate-telemetry", "telemetry_bench", features)
}

/// Runs an example that measures itself and prints its rows as JSON.
pub(super) fn example(workspace: &Workspace, package: &str, name: &str, features: &[&str]) -> Result<Report> {
    let mut command = Command::new(cargo());
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        package,
        "--example",
        name,
    ]);
    for feature in features {
        command.args(["--features", feature]);
    }
    let output = command
        .current_dir(&workspace.root)
        .stderr(Stdio::inherit())
        .output();
    let output = output.with_context(|| format!("cannot run the example `{name}` of {package}"))?;
    let report = parse(&String::from_utf8_lossy(&output.stdout))?;
    ensure!(
        !report.rows.is_empty(),
        "the example ended with {} and no result",
        output.status
    );
    Ok(report)
}

/// Lines of JSON among talk.
fn parse(text: &str) -> Result<Report> {
    let mut report = Report::default();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let line: Line = serde_json::from_str(line).with_context(|| format!("`{line}` is no row"))?;
        report.value(
            &line.metric,
            line.value.unwrap_or(f64::NAN),
            &line.unit,
            line.bound.map(Bound::AtMost),
        );
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_among_the_talk() {
        let row = |value: f64| {
            format!(
                "talk\n{{\"metric\":\"a\",\"value\":{value},\"unit\":\"us\",\"bound\":2.0,\"holds\":true}}\n"
            )
        };
        assert!(parse(&row(1.5)).expect("a row").holds());
        assert!(!parse(&row(2.5)).expect("a row").holds());
        assert!(parse("{\"metric\":1}").is_err());
        assert!(parse("nothing").expect("no rows").rows.is_empty());
    }
}

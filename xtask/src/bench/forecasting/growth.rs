//! What one series costs, by how many there are: a set of chances, a whole forecast, memory; and in instructions.

use super::Runner;
use crate::bench::report::{Bound, Report};
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Where the bounds hold: this many series.
const BOUND_AT: &str = "1000";
/// CPU of the chances of three windows and two thresholds, features included, and of these with all quantiles.
const EVENTS_MOST_US: f64 = 20.0;
const ALL_MOST_US: f64 = 60.0;
const MEMORY_MOST_MB: f64 = 256.0;
/// How often a series is asked where instructions are counted.
const ASKED: u32 = 1000;

/// Rows by number of series, and the instructions.
pub(super) fn run(workspace: &Workspace, runner: &Runner, report: &mut Report) -> Result<()> {
    let example = workspace.target.join("release/examples/series_cost");
    let built = Command::new(cargo())
        .args(["build", "--quiet", "--release", "--package", "tidegate-forecast"])
        .args(["--example", "series_cost"])
        .current_dir(&workspace.root)
        .status()
        .context("cannot run cargo")?;
    ensure!(built.success(), "the example series_cost does not build");
    let output = Command::new(&example)
        .output()
        .context("cannot run series_cost")?;
    ensure!(output.status.success(), "series_cost failed");
    let table = String::from_utf8(output.stdout)?;
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [count, events_us, all_us, resident_mb] = words[..] else {
            anyhow::bail!("series_cost printed {line:?}");
        };
        let bound = |most: f64| (count == BOUND_AT).then_some(Bound::AtMost(most));
        let mut row = |what: &str, value: &str, unit: &str, bound| -> Result<()> {
            report.value(&format!("{what}, {count} series"), value.parse()?, unit, bound);
            Ok(())
        };
        row("one set of chances", events_us, "us", bound(EVENTS_MOST_US))?;
        row("all outputs", all_us, "us", bound(ALL_MOST_US))?;
        row("resident memory", resident_mb, "MB", bound(MEMORY_MOST_MB))?;
    }
    let counted = |what: &str, count: u32| instructions(&example, &runner.folder, what, count);
    let idle = counted("events", 0)?;
    for (name, what) in [("one set of chances", "events"), ("all outputs", "all")] {
        let each = (counted(what, ASKED)? - idle) / f64::from(ASKED);
        report.value(&format!("{name}: instructions"), each, "", None);
    }
    Ok(())
}

/// Instructions of a run, as callgrind counts them.
fn instructions(example: &Path, folder: &Path, what: &str, count: u32) -> Result<f64> {
    let file = folder.join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(example)
        .args([what, &count.to_string()])
        .output()
        .context("cannot run valgrind: install Debian's package of that name")?;
    ensure!(
        output.status.success(),
        "valgrind failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("summary:"));
    let total = total.context("callgrind gave no sum")?;
    Ok(total.trim().parse()?)
}

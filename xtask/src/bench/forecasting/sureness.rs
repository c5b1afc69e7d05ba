//! Whether `auto`'s confidence is informative, on collections that its constants were not chosen on.

use super::run::Runner;
use super::traces::{Traces, text};
use super::{THRESHOLD, WINDOWS};
use crate::bench::report::{Bound, Report, markdown, number};
use anyhow::{Context, Result};
use std::path::Path;
use tidegate_forecast::backtest::table::{read_confidences, read_forecasts};
use tidegate_forecast::backtest::trust::{ToldBySeries, told, trust_of};

/// Collections on which the constants of the confidence were chosen.
const CHOSEN_ON: [&str; 3] = ["nab", "alibaba", "google"];

/// Rows pooled over windows with their bounds, and a table by window.
pub(super) fn run(runner: &Runner, traces: &Traces, model: &Path, report: &mut Report) -> Result<()> {
    let (forecasts, confidences) = runner.sure("auto", model)?;
    let forecasts = read_forecasts(&text(&forecasts)?).context("our own table")?;
    let confidences = read_confidences(&text(&confidences)?).context("our own table")?;
    let by_window = (0..WINDOWS.len()).map(|window| {
        let mut found = told(
            &traces.series,
            &traces.plan,
            (&forecasts, &confidences),
            window,
            THRESHOLD,
        );
        found.retain(|id, _| !CHOSEN_ON.contains(&traces.metas[id].dataset.as_str()));
        found
    });
    let by_window: Vec<ToldBySeries> = by_window.collect();
    let all: Vec<&ToldBySeries> = by_window.iter().collect();
    let (found, intervals) = trust_of(&all);
    for (name, value, interval) in [
        ("calibration error", found.calibration_gained, intervals[0]),
        ("log loss", found.log_loss_gained, intervals[1]),
    ] {
        report.value(
            &format!("{name} of the less sure halves less that of the surer ones"),
            value,
            "",
            None,
        );
        report.last_interval(interval);
        report.value(
            &format!("{name}, the same: low end"),
            interval.0,
            "",
            Some(Bound::AtLeast(0.0)),
        );
    }
    report.value(
        "area under risk and coverage by |p - 1/2| less that by confidence",
        found.area_gained,
        "",
        Some(Bound::AtLeast(0.0)),
    );
    report.last_interval(intervals[2]);
    report.notes.push(table(&by_window));
    Ok(())
}

fn table(by_window: &[ToldBySeries]) -> String {
    let mut cells =
        vec![["window", "calibration gained", "log loss gained", "area gained"].map(str::to_owned)];
    for ((name, _), told) in WINDOWS.iter().zip(by_window) {
        let (found, intervals) = trust_of(&[told]);
        let with = |value: f64, (low, high): (f64, f64)| {
            format!("{} ({} to {})", number(value), number(low), number(high))
        };
        cells.push([
            (*name).to_owned(),
            with(found.calibration_gained, intervals[0]),
            with(found.log_loss_gained, intervals[1]),
            with(found.area_gained, intervals[2]),
        ]);
    }
    format!(
        "Confidence by window, of {} series that its constants were not chosen on (intervals over series):\n\n{}",
        by_window.first().map_or(0, ToldBySeries::len),
        markdown(&cells)
    )
}

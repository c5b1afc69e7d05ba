//! `auto` against each single model: at least as good on CRPS and on Brier skill within the interval of a paired
//! bootstrap over series, and better than all of them by the point estimate on at least one.

use super::{Judged, REFERENCE};
use crate::bench::report::{Bound, Report};
use anyhow::Result;
use tidegate_forecast::backtest::report::{difference, metrics};
use tidegate_forecast::backtest::score::Sums;
use tidegate_forecast::models::{TARGET_COUNT, WINDOW_COUNT};

/// Rows of each single model, and one of the point estimates.
pub(super) fn run(bench: &Judged, report: &mut Report) -> Result<()> {
    let reference = bench.anchors.sums(REFERENCE)?;
    let auto = bench.main();
    let relative_crps = |sums: &Sums| mean_crps(sums, &reference);
    let (mut best_crps, mut best_skill) = (f64::INFINITY, f64::NEG_INFINITY);
    for (name, single) in bench.ours.iter().filter(|(name, _)| *name != "tidegate") {
        best_crps = best_crps.min(relative_crps(single));
        best_skill = best_skill.max(mean_skill(single));
        let (value, (low, high)) = paired_crps(auto, single);
        report.value(
            &format!("CRPS relative to {name}, mean of targets: low end"),
            low,
            "",
            Some(Bound::AtMost(1.0)),
        );
        report.last_interval((low, high));
        report.value(
            &format!("CRPS relative to {name}, mean of targets"),
            value,
            "",
            None,
        );
        let value = mean_skill(auto) - mean_skill(single);
        let (low, high) = difference(auto, single, mean_skill);
        report.value(
            &format!("Brier skill less that of {name}, mean of windows: high end"),
            high,
            "",
            Some(Bound::AtLeast(0.0)),
        );
        report.last_interval((low, high));
        report.value(
            &format!("Brier skill less that of {name}, mean of windows"),
            value,
            "",
            None,
        );
    }
    let ahead = (best_crps - relative_crps(auto)).max(mean_skill(auto) - best_skill);
    report.value(
        "auto's point estimate ahead of every single model's, on CRPS or on Brier skill",
        ahead,
        "",
        Some(Bound::AtLeast(0.0)),
    );
    Ok(())
}

/// CRPS relative to the reference, mean of targets.
pub(super) fn mean_crps(sums: &Sums, reference: &Sums) -> f64 {
    let found = metrics(sums, reference);
    found.targets.iter().map(|target| target.crps).sum::<f64>() / TARGET_COUNT as f64
}

/// Brier skill at the threshold that is judged, mean of windows.
pub(super) fn mean_skill(sums: &Sums) -> f64 {
    let found = metrics(sums, sums);
    found.events.iter().map(|window| window[1].skill).sum::<f64>() / WINDOW_COUNT as f64
}

/// CRPS of `left` relative to `right`, with the interval over series.
fn paired_crps(left: &Sums, right: &Sums) -> (f64, (f64, f64)) {
    let value = mean_crps(left, right);
    // A ratio is a difference of logarithms, in which any reference cancels.
    let (low, high) = difference(left, right, mean_crps_logarithm);
    (value, (low.exp(), high.exp()))
}

/// Mean over targets and series of the logarithm of the CRPS.
fn mean_crps_logarithm(sums: &Sums) -> f64 {
    let logarithms = sums
        .values()
        .flat_map(|series| series.targets.map(|target| (target.crps / target.count).ln()));
    let (sum, count) = logarithms
        .filter(|logarithm| logarithm.is_finite())
        .fold((0.0, 0.0), |(sum, count), logarithm| {
            (sum + logarithm, count + 1.0)
        });
    sum / count
}

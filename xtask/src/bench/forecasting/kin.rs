//! Like for like: each of our models beside the Python program of the same kind.
//!
//! The network and the curve are bound to theirs; the others are there to be compared.

use super::{Judged, REFERENCE, WINDOWS, round};
use crate::bench::report::{Bound, Report};
use anyhow::Result;
use tidegate_forecast::backtest::report::metrics;
use tidegate_forecast::models::TARGETS;

/// Ours, theirs, and whether ours may be no worse than [`SLACK`].
const KIN: [(&str, &str, bool); 4] = [
    ("lstm", "lstm_q", true),
    ("prophet", "prophet", true),
    ("ets", "autoets", false),
    ("mstl", "mstl_ets", false),
];
/// The network's chances, and the anchor of the same kind.
const EVENTS: (&str, &str) = ("lstm", "lstm_cls");
/// How much worse ours may be, as a share.
const SLACK: f64 = 0.05;
/// Targets that are compared: the value 5, 15 and 60 minutes ahead.
const POINTS: usize = 3;

/// Puts the pairs into the report.
pub(super) fn run(bench: &Judged, report: &mut Report) -> Result<()> {
    let reference = bench.anchors.sums(REFERENCE)?;
    let ours = |name: &str| metrics(&bench.ours[&format!("tidegate {name}")], &reference);
    for (mine, theirs, bound) in KIN {
        let (found, anchor) = (ours(mine), metrics(&bench.anchors.sums(theirs)?, &reference));
        for (target, name) in TARGETS.iter().enumerate().take(POINTS) {
            let least = anchor.targets[target].crps * (1.0 + SLACK);
            report.value(
                &format!("relative CRPS, {name}: {mine} (anchor {theirs})"),
                found.targets[target].crps,
                "",
                bound.then(|| Bound::AtMost(round(least))),
            );
        }
    }
    let (mine, theirs) = EVENTS;
    let (found, anchor) = (ours(mine), metrics(&bench.anchors.sums(theirs)?, &reference));
    for (window, (name, _)) in WINDOWS.iter().enumerate() {
        let skill = anchor.events[window][1].skill;
        report.value(
            &format!("Brier skill, {name}: {mine} (anchor {theirs})"),
            found.events[window][1].skill,
            "",
            Some(Bound::AtLeast(round(skill * (1.0 - SLACK)))),
        );
    }
    Ok(())
}

//! Sources that training never saw: three groups are left out in turn, as the harness's `fold` does.

use super::anchors::Anchors;
use super::run::Runner;
use super::traces::Traces;
use super::{REFERENCE, SKILL_SLACK, WINDOWS, round};
use crate::bench::report::{Bound, Report};
use anyhow::Result;
use std::fmt::Write as _;
use tidegate_forecast::backtest::report::metrics;
use tidegate_forecast::backtest::score::Sums;

/// The groups: collections by name.
const GROUPS: [(&str, &[&str]); 3] = [
    ("bitbrains", &["bitbrains"]),
    ("ccc", &["ccc"]),
    ("rest", &["nab", "alibaba", "google"]),
];
/// Anchors that leave the same groups out.
const BOOSTED: &str = "cls_coldstart";
const LOGISTIC: &str = "logit_coldstart";

/// Trains three times, forecasts what was left out, and judges it against the anchors of the same fold.
pub(super) fn run(runner: &Runner, traces: &Traces, anchors: &Anchors, report: &mut Report) -> Result<()> {
    let mut ours = Sums::new();
    for (name, collections) in GROUPS {
        let mut options = vec!["--before-split"];
        for collection in collections {
            options.extend(["--without", collection]);
        }
        let model = runner.train(&format!("without-{name}"), &options)?;
        let origins = runner.folder.join(format!("origins-{name}.csv"));
        std::fs::write(&origins, origins_of(traces, collections))?;
        let forecasts = runner.bulk_at("auto", &model, &origins, &format!("left-out-{name}"))?;
        let sums = traces.judge(&forecasts)?;
        let held_out = |id: &str| collections.contains(&traces.metas[id].dataset.as_str());
        ours.extend(sums.into_iter().filter(|(id, _)| held_out(id)));
    }
    let reference = anchors.sums(REFERENCE)?;
    let found = metrics(&ours, &reference);
    let boosted = metrics(&anchors.sums(BOOSTED)?, &reference);
    let logistic = metrics(&anchors.sums(LOGISTIC)?, &reference);
    for (window, (name, _)) in WINDOWS.iter().enumerate() {
        let (mine, theirs, simple) = (
            found.events[window][1],
            boosted.events[window][1],
            logistic.events[window][1],
        );
        for (kind, mine, theirs, simple) in [
            ("Brier skill", mine.skill, theirs.skill, simple.skill),
            (
                "onset skill",
                mine.onset_skill,
                theirs.onset_skill,
                simple.onset_skill,
            ),
        ] {
            let bound = (theirs - SKILL_SLACK).max(simple);
            report.value(
                &format!("{kind}, {name}, source left out"),
                mine,
                "",
                Some(Bound::AtLeast(round(bound))),
            );
        }
    }
    Ok(())
}

/// The table of origins of some collections.
pub(super) fn origins_of(traces: &Traces, collections: &[&str]) -> String {
    let mut text = "series_id,origin,thr90,thr95\n".to_owned();
    for origin in &traces.asked {
        let meta = &traces.metas[&origin.series];
        if collections.contains(&meta.dataset.as_str()) {
            let [first, second] = origin.thresholds;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{},{},{first},{second}", origin.series, origin.written);
        }
    }
    text
}

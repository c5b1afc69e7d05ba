//! Thresholds at random percentiles: the stream promises no percentile, so the models must not count on one.

use super::run::Runner;
use super::traces::Traces;
use super::{REFERENCE, WINDOWS};
use crate::bench::report::{Bound, Report};
use crate::random::Random;
use anyhow::Result;
use std::fmt::Write as _;
use std::path::Path;
use tidegate_forecast::backtest::bulk::Plan;
use tidegate_forecast::backtest::report::metrics;
use tidegate_forecast::backtest::score::Sums;
use tidegate_forecast::backtest::table::read_origins;

/// Percentiles of the training part that are drawn from, and the seed.
const PERCENTILES: (f64, f64) = (0.55, 0.995);
const SEED: u64 = 404;

/// Rows of `auto` at two drawn thresholds of each series, pooled; it must not be below the residual blocks.
pub(super) fn run(runner: &Runner, traces: &Traces, model: &Path, report: &mut Report) -> Result<()> {
    let table = origins(traces);
    let plan = Plan::new(&traces.series, &read_origins(&table)?)?;
    let file = runner.folder.join("origins-random.csv");
    std::fs::write(&file, table)?;
    let judged = |name: &str| -> Result<Sums> {
        let forecasts = runner.bulk_at(name, model, &file, &format!("random-{name}"))?;
        Ok(pooled(traces.judge_by(&plan, &forecasts)?))
    };
    let (auto, ridge) = (judged("auto")?, judged("ridge")?);
    let (auto, ridge) = (metrics(&auto, &auto), metrics(&ridge, &ridge));
    for (window, (name, _)) in WINDOWS.iter().enumerate() {
        let (mine, blocks) = (auto.events[window][1], ridge.events[window][1]);
        for (kind, mine, blocks) in [
            ("Brier skill", mine.skill, blocks.skill),
            ("onset skill", mine.onset_skill, blocks.onset_skill),
        ] {
            report.value(
                &format!("{kind}, {name}, thresholds at random percentiles"),
                mine,
                "",
                Some(Bound::AtLeast(super::round(blocks))),
            );
        }
    }
    report.notes.push(format!(
        "Random thresholds: two per series, between the percentiles {} and {} of its training part, both pooled; bounds \
         are the residual blocks' (`ridge`) at the same thresholds. CRPS there is as above: it knows no threshold, nor \
         does `{REFERENCE}`.",
        PERCENTILES.0, PERCENTILES.1
    ));
    Ok(())
}

/// The origins with drawn thresholds.
fn origins(traces: &Traces) -> String {
    let mut text = "series_id,origin,thr90,thr95\n".to_owned();
    for (number, trace) in traces.series.iter().enumerate() {
        let mut random = Random::new(SEED, number as u64);
        let mut known: Vec<f64> = trace.values[..trace.end].to_vec();
        known.retain(|value| value.is_finite());
        known.sort_by(f64::total_cmp);
        let mut drawn = || {
            let level = random.between(PERCENTILES.0, PERCENTILES.1);
            known[(level * (known.len() - 1) as f64) as usize]
        };
        let (first, second) = (drawn(), drawn());
        for origin in traces.asked.iter().filter(|origin| origin.series == trace.id) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{},{},{first},{second}", origin.series, origin.written);
        }
    }
    text
}

/// Both thresholds as one, in the place of the second.
fn pooled(mut sums: Sums) -> Sums {
    for series in sums.values_mut() {
        for [first, second] in &mut series.events {
            second.count += first.count;
            second.brier += first.brier;
            second.climatology += first.climatology;
            second.onset_count += first.onset_count;
            second.onset_events += first.onset_events;
            second.onset_brier += first.onset_brier;
        }
    }
    sums
}

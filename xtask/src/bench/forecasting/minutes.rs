//! One-minute values of the pools: the same forecasts with them and without.

use super::run::Runner;
use super::traces::{Traces, text};
use super::{WINDOWS, round};
use crate::bench::report::{Bound, Report};
use anyhow::Result;
use std::fmt::Write as _;
use std::path::Path;
use tidegate_forecast::backtest::report::{Metrics, difference, metrics};
use tidegate_forecast::backtest::score::Sums;
use tidegate_forecast::backtest::traces::{parse_time, read_columns};

/// The collection that has them.
const POOLS: &str = "ccc";
/// What is good on other traces, with minutes: Brier skill and onset skill; printed beside ours.
const GOOD: [(f64, f64); 3] = [(0.70, 0.38), (0.57, 0.31), (0.52, 0.43)];

/// Rows with and without; nothing where the traces have no minutes.
pub(super) fn run(runner: &Runner, traces: &Traces, model: &Path, report: &mut Report) -> Result<()> {
    let Some(minutes) = table(traces)? else {
        report
            .notes
            .push("The traces have no one-minute values.".to_owned());
        return Ok(());
    };
    let file = runner.folder.join("minutes.csv");
    std::fs::write(&file, minutes)?;
    let origins = runner.folder.join("origins-pools.csv");
    std::fs::write(&origins, super::folds::origins_of(traces, &[POOLS]))?;
    let judged = |options: &[(&str, &Path)], output: &str| -> Result<Sums> {
        let mut sums = traces.judge(&runner.bulk_with("auto", model, &origins, options, output)?)?;
        sums.retain(|id, _| traces.metas[id].dataset == POOLS);
        Ok(sums)
    };
    let (with, without) = (
        judged(&[("--minutes", &file)], "pools-minutes")?,
        judged(&[], "pools")?,
    );
    for (window, (name, _)) in WINDOWS.iter().enumerate() {
        for onset in [false, true] {
            let pick = |metrics: &Metrics| {
                let event = &metrics.events[window][1];
                if onset { event.onset_skill } else { event.skill }
            };
            let of = |sums: &Sums| pick(&metrics(sums, sums));
            let kind = if onset { "onset skill" } else { "Brier skill" };
            let good = if onset { GOOD[window].1 } else { GOOD[window].0 };
            // At five minutes they must help; farther on they must not harm.
            let bound = if window == 0 {
                of(&without)
            } else {
                of(&without) - super::SKILL_SLACK
            };
            report.value(
                &format!("{kind}, {name}, pools, with minutes (good elsewhere: {good})"),
                of(&with),
                "",
                Some(Bound::AtLeast(round(bound))),
            );
            report.value(
                &format!("{kind}, {name}, pools, without minutes"),
                of(&without),
                "",
                None,
            );
            report.value(
                &format!("{kind}, {name}, pools, gained by minutes"),
                of(&with) - of(&without),
                "",
                None,
            );
            report.last_interval(difference(&with, &without, of));
        }
    }
    Ok(())
}

/// The minutes of all pools as one table.
fn table(traces: &Traces) -> Result<Option<String>> {
    let folder = traces.source.join("fine");
    let mut table = "series_id,timestamp,value\n".to_owned();
    let mut any = false;
    for trace in &traces.series {
        let [collection, pool, column] = *trace.id.split('_').collect::<Vec<_>>() else {
            continue;
        };
        let file = folder.join(format!("{pool}_1min.csv.gz"));
        if collection != POOLS || !file.is_file() {
            continue;
        }
        let content = text(&file)?;
        let minutes = read_columns(&content)?.remove(column).unwrap_or_default();
        let written = content.lines().skip(1).filter_map(|line| line.split(',').next());
        for (written, (time_s, value)) in written.zip(minutes) {
            debug_assert_eq!(parse_time(written), Some(time_s));
            if value.is_finite() {
                // Writing to a string cannot fail.
                let _ = writeln!(table, "{},{written},{value}", trace.id);
                any = true;
            }
        }
    }
    Ok(any.then_some(table))
}

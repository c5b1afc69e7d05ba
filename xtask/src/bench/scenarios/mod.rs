//! `cargo xtask bench scenarios`: what tidegate chooses against the best build that cannot change its mind.
//!
//! Kernels and whole programs run beside a neighbour that contends for their core, for the bandwidth of memory, for the
//! disk or for loopback; under the scenario `neighbour` it is the one who is to be spared, and contends for memory. In
//! each cell (a program under a neighbour) the real orchestrator watches, compiles, tries and confirms; then its choice
//! takes turns with static builds of the same source. The best static build is the one with the least geometric mean
//! over all cells. One that contracts floating point is shown too, unbounded: it computes something else.
//!
//! Where a kernel has a lever that no static build has (stores past the caches, a constant, prefetching, a tunable), its
//! control is that lever written by hand: only where the control gains on this CPU is the lever held to its promise.

mod arms;
mod cell;
pub(crate) mod kernels;

use super::recompiler::Tools;
use super::report::{Bound, Report, number};
use super::stats::{Estimate, median, paired_ratio};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use arms::{Arm, Built};
use cell::{Cell, Stage};
use kernels::Kernel;
use std::fmt::Write as _;
use std::path::PathBuf;
use tidegate_types::Scenario;

/// The least geometric mean of best static build over choice.
const MEAN_LEAST: f64 = 1.0;
/// A cell whose interval lies below this is a loss.
const CELL_LEAST: f64 = 0.98;
/// What a lever gains at least, where its control does.
const LEVER_LEAST: f64 = 1.15;
/// The longest that slots take to follow contention that was seen, and its end, in milliseconds.
const THERE_MS_MOST: f64 = 200.0;
const BACK_MS_MOST: f64 = 2000.0;
/// A cell with a wider half of its interval tells nothing.
const HALF_MOST: f64 = 0.01;

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ScenariosArguments {
    /// Folder of `tidegate-cc` and its rooms; the release build by default
    #[arg(long)]
    tools: Option<PathBuf>,
    /// Kernels and programs to play; all by default
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each cell
    #[arg(long, default_value_t = 40)]
    rounds: usize,
    /// Short trials and few rounds: the way, not the numbers
    #[arg(long)]
    quick: bool,
}

/// Plays every cell.
pub(crate) fn run(workspace: &Workspace, arguments: &ScenariosArguments, keep: bool) -> Result<Report> {
    let tools = Tools::find(workspace, arguments.tools.as_deref())?;
    let folder = workspace.target.join("bench-scenarios");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let wanted = |kernel: &Kernel| {
        arguments.only.is_empty()
            || arguments
                .only
                .iter()
                .any(|name| kernel.name.eq_ignore_ascii_case(name))
    };
    let kernels: Vec<Kernel> = Kernel::all(workspace)?.into_iter().filter(wanted).collect();
    if kernels.is_empty() {
        bail!("no kernel or program is called {}", arguments.only.join(" or "));
    }
    let stage = Stage::new(&tools, &folder, workspace, arguments.quick)?;
    let rounds = if arguments.quick { 9 } else { arguments.rounds };
    let (mut cells, mut spared, mut compared) = (Vec::new(), Vec::new(), 0);
    for kernel in &kernels {
        eprintln!("{}: building", kernel.name);
        let built = Built::build(kernel, &tools, &folder)?;
        compared += stage.check_candidates(kernel, &built)?;
        for &scenario in kernel.scenarios {
            let cell = stage.play(kernel, &built, scenario, rounds)?;
            eprintln!("{}, {scenario}: {}", kernel.name, cell.chosen);
            cells.push(cell);
        }
        if kernel.scenarios.contains(&Scenario::Neighbour)
            && let Some((base, variant)) = stage.spare(&built, rounds)?
        {
            spared.push((kernel.name, paired_ratio(&base, &variant)));
        }
    }
    let place = if keep {
        workspace.root.join("docs/bench/scenarios.csv")
    } else {
        workspace.bench_folder().join("scenarios.csv")
    };
    write_rounds(&cells, &place)?;
    let mut report = report(&cells);
    for (kernel, ratio) in spared {
        let name = format!("a victim's cost beside {kernel}: base / variant");
        report.estimate(&name, ratio, "ratio", None);
    }
    report.value(
        "candidates equal to the base on random inputs",
        f64::from(compared),
        "candidates",
        None,
    );
    report
        .notes
        .push("Raw rounds, in nanoseconds per unit: `scenarios.csv`.".to_owned());
    Ok(report)
}

/// The static build that costs least over all cells.
fn best_static(cells: &[Cell]) -> Arm {
    let cost = |arm: Arm| -> f64 { cells.iter().map(|cell| median(cell.rounds(arm)).ln()).sum() };
    let best = Arm::STATIC
        .into_iter()
        .min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
    best.unwrap_or(Arm::O2)
}

fn report(cells: &[Cell]) -> Report {
    let best = best_static(cells);
    let mut report = Report::default();
    let (mut logs, mut below, mut inconclusive) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        let ratio = paired_ratio(cell.rounds(best), cell.rounds(Arm::Tidegate));
        let name = format!("{}, {}", cell.kernel, cell.scenario);
        report.estimate(&name, ratio, "ratio", None);
        logs.push(ratio.median.ln());
        if ratio.high < CELL_LEAST {
            below.push(name.clone());
        }
        if half_width(ratio) > HALF_MOST {
            inconclusive.push(name.clone());
        }
        if !cell.rounds(Arm::Control).is_empty() {
            lever(cell, &name, ratio, &mut report);
        }
    }
    let mean = (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp();
    report.value(
        &format!("geometric mean: {best} / tidegate"),
        mean,
        "ratio",
        Some(Bound::AtLeast(MEAN_LEAST)),
    );
    report.value(
        &format!("cells wholly below {CELL_LEAST}"),
        below.len() as f64,
        "cells",
        Some(Bound::AtMost(0.0)),
    );
    report.value("inconclusive cells", inconclusive.len() as f64, "cells", None);
    let contracted: f64 = cells
        .iter()
        .map(|cell| {
            paired_ratio(cell.rounds(Arm::Contracted), cell.rounds(Arm::Tidegate))
                .median
                .ln()
        })
        .sum();
    report.value(
        "geometric mean: contracted / tidegate, another result",
        (contracted / cells.len().max(1) as f64).exp(),
        "ratio",
        None,
    );
    followed(cells, &mut report);
    notes(cells, (&below, &inconclusive), &mut report);
    report
}

/// How long the slots took to follow, at worst.
fn followed(cells: &[Cell], report: &mut Report) {
    let followed: Vec<(f64, f64)> = cells.iter().filter_map(|cell| cell.followed_ms).collect();
    if followed.is_empty() {
        return;
    }
    let worst = |value: fn(&(f64, f64)) -> f64| followed.iter().map(value).fold(0.0, f64::max);
    report.value(
        "all slots switched after contention was seen, at worst",
        worst(|(there_ms, _)| *there_ms),
        "ms",
        Some(Bound::AtMost(THERE_MS_MOST)),
    );
    report.value(
        "all slots at the base after it ended, at worst",
        worst(|(_, back_ms)| *back_ms),
        "ms",
        Some(Bound::AtMost(BACK_MS_MOST)),
    );
}

/// The lever's promise, where it gains when written by hand.
fn lever(cell: &Cell, name: &str, ratio: Estimate, report: &mut Report) {
    let control = paired_ratio(cell.rounds(Arm::O2), cell.rounds(Arm::Control));
    report.estimate(&format!("{name}: lever by hand"), control, "ratio", None);
    if control.low >= LEVER_LEAST {
        report.estimate(
            &format!("{name}: lever"),
            ratio,
            "ratio",
            Some(Bound::AtLeast(LEVER_LEAST)),
        );
    }
}

fn half_width(ratio: Estimate) -> f64 {
    (ratio.high - ratio.low) / 2.0
}

fn notes(cells: &[Cell], (below, inconclusive): (&[String], &[String]), report: &mut Report) {
    report.notes.push(format!(
        "A ratio is CPU time (under disk and network: elapsed time) per unit of the best static build over that of \
         tidegate's choice: above 1 tidegate needs less. Static builds: {}, by the same compiler, none of which contracts floating point.",
        Arm::STATIC.map(|arm| arm.to_string()).join(", ")
    ));
    let list = |names: &[String]| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join("; ")
        }
    };
    report.notes.push(format!("Losses: {}.", list(below)));
    report.notes.push(format!(
        "Inconclusive (half of the interval above {} %): {}.",
        number(HALF_MOST * 100.0),
        list(inconclusive)
    ));
    let mut chosen = "Chosen:\n\n".to_owned();
    for cell in cells {
        // Writing to a string cannot fail.
        let _ = writeln!(chosen, "* {}, {}: {}", cell.kernel, cell.scenario, cell.chosen);
    }
    report.notes.push(chosen);
}

fn write_rounds(cells: &[Cell], path: &std::path::Path) -> Result<()> {
    let mut text = "kernel,scenario,round,build,ns_per_unit\n".to_owned();
    for cell in cells {
        for arm in Arm::ALL {
            for (round, cost) in cell.rounds(arm).iter().enumerate() {
                writeln!(text, "{},{},{round},{arm},{cost:.1}", cell.kernel, cell.scenario)?;
            }
        }
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(costs: [f64; 6]) -> Cell {
        let mut cell = Cell::new("k", Scenario::Cpu);
        for (arm, cost) in Arm::ALL.into_iter().zip(costs) {
            for round in 0..9 {
                cell.add(arm, cost * (1.0 + f64::from(round) * 1e-4));
            }
        }
        cell
    }

    #[test]
    fn the_best_static_build_is_one_for_all_cells_and_a_loss_is_seen() {
        // In the order of `Arm::ALL`: O2, O3, native, contracted, control, tidegate.
        let cells = [
            cell([10.0, 9.0, 8.0, 7.0, 5.0, 5.0]),
            cell([10.0, 9.0, 12.0, 7.0, 9.0, 10.0]),
        ];
        assert_eq!(best_static(&cells), Arm::O3);
        let report = report(&cells);
        let row = |name: &str| {
            report
                .rows
                .iter()
                .find(|row| row.metric.starts_with(name))
                .unwrap()
        };
        assert!(!row("cells wholly below").holds, "9 against 10 is a loss");
        assert!(row("geometric mean: -O3 /").holds);
        assert_eq!(
            report
                .rows
                .iter()
                .filter(|row| row.metric.ends_with(": lever"))
                .count(),
            1,
            "where the control does not gain, nothing is promised"
        );
    }
}

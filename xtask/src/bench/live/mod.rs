//! `cargo xtask bench live`: does the shipped daemon foresee what real processes do on this host?
//!
//! Several programs, each under a CPU limit of its own, burst above it for eight seconds again and again, each with a
//! period and a jitter of its own; beside them stand one that never bursts, and a chain of two that call each other at
//! uneven times. The daemon observes with nothing learned. Its maps are read from its record afterwards and judged by
//! when the programs really began; the chain's record is also replayed without what was seen of the graph.

mod chain;
mod judge;

use super::observed::{Observed, Watched};
use super::report::{Bound, Report};
use super::stats;
use crate::load::shape::{Piece, begins, boot_s};
use crate::random::Random;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use chain::Chain;
use judge::{Look, Truth, Verdict, WINDOW_S, brier_skill, judge};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_history::Reader;
use tidegate_types::{AppName, ContentionMap, Resource, Unit};

/// Everybody's limit, in cores, and what is wanted between bursts.
const LIMIT_CORES: f64 = 0.1;
const BASE_CORES: f64 = 0.015;
const BURST_S: f64 = 8.0;
const PERIODS_S: std::ops::Range<f64> = 90.0..150.0;
const JITTER_S: f64 = 2.0;
/// From the start of the programs to their first moment.
const LEAD_S: f64 = 10.0;
/// Bursts of an app: those that are learned from and those that are judged.
const BURSTS: usize = 12;
const BURSTS_QUICK: usize = 6;
/// Watching after the last burst, in periods: it must be forgotten within three.
const AFTER_PERIODS: f64 = 3.3;
const UNRELATED: &str = "unrelated";
/// What piles up during a burst is dropped at its end.
const PATIENCE_S: f64 = 0.05;

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct LiveArguments {
    /// The binary to measure; the release build by default
    #[arg(long)]
    tidegate: Option<PathBuf>,
    /// Fewer bursts: twenty minutes in place of forty
    #[arg(long)]
    quick: bool,
    /// Apps that burst
    #[arg(long, default_value_t = 8)]
    apps: usize,
    /// Seed of periods and jitter
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// An app that bursts, and what it was told to do.
struct Bursting {
    name: String,
    period_s: f64,
    due_s: Vec<f64>,
}

impl Bursting {
    fn new(number: usize, zero_s: f64, bursts: usize, seed: u64) -> Self {
        let mut random = Random::new(seed, number as u64);
        let period_s = random.between(PERIODS_S.start, PERIODS_S.end);
        let first_s = zero_s + random.between(10.0, period_s);
        let due = |slot: usize| first_s + slot as f64 * period_s + random.between(-JITTER_S, JITTER_S);
        Self {
            name: format!("bursting-{number}"),
            period_s,
            due_s: (0..bursts).map(due).collect(),
        }
    }

    fn end_s(&self) -> f64 {
        self.due_s.last().copied().unwrap_or(0.0) + AFTER_PERIODS * self.period_s
    }

    /// Base, burst, base and so on until `end_s`.
    fn pieces(&self, zero_s: f64, end_s: f64) -> Vec<Piece> {
        let mut pieces = vec![piece(zero_s, Some(BASE_CORES))];
        for due_s in &self.due_s {
            pieces.push(piece(*due_s, Some(1.0)));
            pieces.push(piece(due_s + BURST_S, Some(BASE_CORES)));
        }
        pieces.push(piece(end_s, None));
        pieces
    }
}

fn piece(at_s: f64, per_s: Option<f64>) -> Piece {
    Piece {
        at_s,
        per_s,
        patience_s: PATIENCE_S,
    }
}

/// Plays everything, then judges what was recorded.
pub(crate) fn run(workspace: &Workspace, arguments: &LiveArguments) -> Result<Report> {
    let program = (arguments.tidegate.clone()).unwrap_or_else(|| workspace.target.join("release/tidegate"));
    let folder = workspace.bench_folder().join("live");
    let mut apps: Vec<Watched> = (0..arguments.apps)
        .map(|number| limited(&format!("bursting-{number}")))
        .collect();
    apps.push(limited(UNRELATED));
    apps.extend(Chain::apps());
    let mut observed = Observed::open(&program, &folder, &apps)?;
    let bursts = if arguments.quick { BURSTS_QUICK } else { BURSTS };
    let zero_s = boot_s() + LEAD_S;
    let bursting: Vec<Bursting> = (0..arguments.apps)
        .map(|number| Bursting::new(number, zero_s, bursts, arguments.seed))
        .collect();
    let end_s = bursting.iter().map(Bursting::end_s).fold(zero_s, f64::max);
    println!(
        "{} apps burst {bursts} times each; this takes {:.0} minutes",
        bursting.len(),
        (end_s - boot_s()) / 60.0
    );
    let mut children = Vec::new();
    for app in &bursting {
        children.push(start(&mut observed, &app.name, &app.pieces(zero_s, end_s))?);
    }
    let even = [piece(zero_s, Some(4.0 * BASE_CORES)), piece(end_s, None)];
    children.push(start(&mut observed, UNRELATED, &even)?);
    let mut chain = Chain::start(&mut observed, zero_s, end_s, arguments.seed)?;
    for mut child in children {
        let status = child.wait().context("a program of the bench is lost")?;
        anyhow::ensure!(status.success(), "a program of the bench ended with {status}");
    }
    chain.finish()?;
    let ended_s = boot_s();
    std::thread::sleep(Duration::from_secs(2));
    let history = observed.close()?;
    let reader = Reader::open(&history);
    let maps = reader.maps(0).context("the maps were not recorded")?;
    let mut report = Report::default();
    let mut all = Verdict::default();
    for app in &bursting {
        all.add(judged(app, &folder, &maps, ended_s)?);
    }
    report_bursts(&mut report, &all);
    report_unrelated(&mut report, &looks(&maps, UNRELATED));
    chain.report(&mut report, &reader, &maps)?;
    let periods: Vec<String> = bursting
        .iter()
        .map(|app| format!("{:.0}", app.period_s))
        .collect();
    report.notes.push(format!(
        "Bursts of {BURST_S} s, jitter ±{JITTER_S} s, periods of {} s; judged from the fourth burst on; \
         a burst is one draw of the intervals.",
        periods.join(", ")
    ));
    Ok(report)
}

fn limited(name: &str) -> Watched {
    Watched {
        name: name.to_owned(),
        class: "standard",
        limit_cores: Some(LIMIT_CORES),
        may_switch: false,
    }
}

fn start(observed: &mut Observed, app: &str, pieces: &[Piece]) -> Result<std::process::Child> {
    let (plan, out) = files(&observed.folder, app);
    std::fs::write(&plan, serde_json::to_vec(pieces)?)
        .with_context(|| format!("cannot write {}", plan.display()))?;
    let arguments = [
        "shape".as_ref(),
        "--pieces".as_ref(),
        plan.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
    ];
    observed.start(app, &arguments)
}

fn files(folder: &Path, app: &str) -> (PathBuf, PathBuf) {
    (
        folder.join(format!("{app}.json")),
        folder.join(format!("{app}.begins")),
    )
}

fn judged(app: &Bursting, folder: &Path, maps: &[ContentionMap], ended_s: f64) -> Result<Verdict> {
    // The first piece is the base, then bursts and bases take turns; the last is the end.
    let begins_s: Vec<f64> = begins(&files(folder, &app.name).1)?
        .into_iter()
        .skip(1)
        .step_by(2)
        .take(app.due_s.len())
        .collect();
    let truth = Truth {
        begins_s,
        lasts_s: BURST_S,
        period_s: app.period_s,
        end_s: ended_s,
    };
    let verdict = judge(&app.name, &looks(maps, &app.name), &truth);
    for miss in &verdict.misses {
        println!("{miss}");
    }
    Ok(verdict)
}

/// What the maps said of the app's CPU limit.
fn looks(maps: &[ContentionMap], app: &str) -> Vec<Look> {
    let unit = Unit::Limit(AppName::new(app), Resource::Cpu);
    let look = |map: &ContentionMap| {
        let entry = map.entry(&unit)?;
        Some(Look {
            at_s: map.made.boot.seconds(),
            probability: entry.probability(WINDOW_S as u32)?,
            longest: entry.windows.last()?.probability,
            onset_s: entry
                .onset
                .filter(|_| entry.ongoing_since.is_none())
                .map(|onset| onset.q50),
        })
    };
    maps.iter().filter_map(look).collect()
}

fn report_bursts(report: &mut Report, all: &Verdict) {
    let whole = Some(Bound::AtLeast(1.0));
    let shares = [
        ("before bursts: maps with P > .8", all.foreseen, whole),
        ("far from bursts: maps with P < .2", all.quiet, whole),
        (
            "before bursts: seconds with P > .8 in force",
            all.foreseen_by_second,
            Some(Bound::AtLeast(0.98)),
        ),
        (
            "far from bursts: seconds with P < .2 in force",
            all.quiet_by_second,
            Some(Bound::AtLeast(0.98)),
        ),
        (
            "three periods after the last: maps with P < .2",
            all.forgotten,
            whole,
        ),
    ];
    for (metric, share, bound) in shares {
        report.value(metric, share.value(), "share", bound);
    }
    let errors = stats::estimate(&all.errors_s);
    report.estimate("onset error", errors, "s", Some(Bound::AtMost(2.0)));
    let (skill, interval) = brier_skill(&all.by_burst);
    report.value("Brier skill, 1 minute", skill, "", Some(Bound::AtLeast(0.0)));
    report.last_interval(interval);
    report.value(
        "scored bursts",
        all.by_burst.len() as f64,
        "",
        Some(Bound::AtLeast(20.0)),
    );
}

fn report_unrelated(report: &mut Report, looks: &[Look]) {
    let highest = |of: fn(&Look) -> f64| looks.iter().map(of).fold(f64::NAN, f64::max);
    let bound = Some(Bound::AtMost(0.1));
    report.value(
        "unrelated app: highest P, 1 minute",
        highest(|look| look.probability),
        "",
        bound,
    );
    report.value(
        "unrelated app: highest P, longest window",
        highest(|look| look.longest),
        "",
        bound,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_come_with_the_period_and_within_the_jitter() {
        for number in 0..20 {
            let app = Bursting::new(number, 1000.0, 10, 1);
            assert!(PERIODS_S.contains(&app.period_s));
            for (slot, due_s) in app.due_s.iter().enumerate() {
                let beat_s = app.due_s[0] + slot as f64 * app.period_s;
                assert!((due_s - beat_s).abs() <= 2.0 * JITTER_S);
            }
            let pieces = app.pieces(1000.0, app.end_s());
            assert!(pieces.is_sorted_by(|left, right| left.at_s < right.at_s));
            assert_eq!(pieces.len(), 2 + 2 * 10);
        }
    }
}

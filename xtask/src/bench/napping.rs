//! `cargo xtask bench napping`: does resting in a program's own loop spare its neighbour more than a limit does?
//!
//! A program that copies memory works half of the time: by resting every half millisecond in its loop, by a limit with
//! the usual period, or by one with a short period. A victim on another core follows a chain through memory, and each of
//! its units is timed. Arms take turns; what the copying program got done is measured beside.

use super::recompiler::compile_plain;
use super::report::{Bound, Report};
use super::resident::Resident;
use super::stats::{median, paired_ratio, percentile};
use crate::demo::groups::{Groups, Isolation};
use crate::demo::janitor::Janitor;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::time::{Duration, Instant};

/// The share of the time that the copying program works.
const DUTY: f64 = 0.5;
/// The victim is watched for so long in each turn; the copying program works a little longer.
const WATCHED: Duration = Duration::from_millis(600);
const COPIES: Duration = Duration::from_secs(1);
/// Periods of the two limits, in microseconds.
const USUAL_US: u64 = 100_000;
const SHORT_US: u64 = 5_000;

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct NappingArguments {
    /// Turns of each arm
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

/// How the copying program is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    Free,
    Napping,
    Usual,
    Short,
}

impl Arm {
    const ALL: [Self; 4] = [Self::Free, Self::Napping, Self::Usual, Self::Short];

    fn group(self) -> &'static str {
        match self {
            Self::Free => "pool/free",
            Self::Napping => "pool/napping",
            Self::Usual => "pool/usual",
            Self::Short => "pool/short",
        }
    }

    fn period_us(self) -> Option<u64> {
        match self {
            Self::Free | Self::Napping => None,
            Self::Usual => Some(USUAL_US),
            Self::Short => Some(SHORT_US),
        }
    }
}

/// What one turn showed.
#[expect(clippy::struct_field_names, reason = "units stand last in names")]
struct Turn {
    /// The victim's mean and 99th percentile, in nanoseconds of a unit.
    mean_ns: f64,
    tail_ns: f64,
    /// Nanoseconds that pass for a unit of the copying program.
    copy_ns: f64,
}

/// Plays all arms in turn.
pub(crate) fn run(workspace: &Workspace, arguments: &NappingArguments) -> Result<Report> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores < 2 {
        bail!("the victim and the copying program need a core each");
    }
    let folder = workspace.bench_folder().join("napping");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let copying = compile_plain(workspace, "duty.c", &["-DELAPSED"], folder.join("duty"))?;
    let victim = compile_plain(workspace, "kernels/chase.c", &[], folder.join("victim"))?;
    let mut victim = Resident::start(&victim, &[], Path::new(""))?;
    victim.pin(0)?;
    let mut janitor = Janitor::start()?;
    let top = format!("tidegate-bench-{}", std::process::id());
    let groups = Groups::create(&top, Isolation::High)?;
    for path in groups.tops() {
        janitor.remove_later(&path)?;
    }
    let mut arms = Vec::new();
    for arm in Arm::ALL {
        groups.make(arm.group())?;
        if let Some(period_us) = arm.period_us() {
            groups.set_limit_every(arm.group(), DUTY, period_us)?;
        }
        let resident = start(&groups, arm, &copying)?;
        resident.pin(cores - 1)?;
        janitor.end_later(resident.id())?;
        arms.push((arm, resident, Vec::new()));
    }
    let free_ns = arms[0].1.measure("run 2000")?;
    let units = (COPIES.as_nanos() as f64 / free_ns).ceil();
    for round in 0..arguments.rounds {
        for place in 0..arms.len() {
            let place = (place + round) % arms.len();
            let (arm, copying, turns) = &mut arms[place];
            let share = if *arm == Arm::Free { 1.0 } else { DUTY };
            let units = (units * share) as u64;
            turns.push(turn(&mut victim, copying, units)?);
        }
    }
    drop(victim);
    let turns: Vec<(Arm, Vec<Turn>)> = arms.into_iter().map(|(arm, _, turns)| (arm, turns)).collect();
    if !janitor.finish()? {
        bail!("some groups could not be removed");
    }
    Ok(report(&turns))
}

/// The copying program in its group, on the wall's clock.
fn start(groups: &Groups, arm: Arm, copying: &Path) -> Result<Resident> {
    let own = std::env::current_exe().context("cannot find this executable")?;
    let doors: Vec<String> = groups
        .doors(arm.group())
        .iter()
        .map(|door| door.display().to_string())
        .collect();
    let mut command = vec!["enter"];
    command.extend(doors.iter().flat_map(|door| ["--door", door.as_str()]));
    command.extend(["--", "env"]);
    let duty = format!("DUTY={}", DUTY * 100.0);
    if arm == Arm::Napping {
        command.push(&duty);
    }
    let copying = copying.display().to_string();
    command.push(&copying);
    Resident::start(&own, &command, Path::new(""))
}

fn turn(victim: &mut Resident, copying: &mut Resident, units: u64) -> Result<Turn> {
    copying.order(&format!("run {units}"))?;
    let begin = Instant::now();
    let mut costs = Vec::new();
    while begin.elapsed() < WATCHED {
        costs.push(victim.measure("run 1")?);
    }
    let copy_ns = copying
        .answer()?
        .parse()
        .context("the copying program gave no number")?;
    costs.sort_by(f64::total_cmp);
    Ok(Turn {
        mean_ns: costs.iter().sum::<f64>() / costs.len() as f64,
        tail_ns: percentile(&costs, 0.99),
        copy_ns,
    })
}

fn report(turns: &[(Arm, Vec<Turn>)]) -> Report {
    let of = |arm: Arm, value: fn(&Turn) -> f64| -> Vec<f64> {
        let all = turns.iter().filter(|(known, _)| *known == arm);
        all.flat_map(|(_, turns)| turns.iter().map(value)).collect()
    };
    let mut report = Report::default();
    let free = median(&of(Arm::Free, |turn| turn.mean_ns));
    report.value("victim's unit beside a free program", free / 1e3, "µs", None);
    for (name, limit) in [("usual period", Arm::Usual), ("short period", Arm::Short)] {
        let ratio = |value: fn(&Turn) -> f64| paired_ratio(&of(limit, value), &of(Arm::Napping, value));
        let metric = |what: &str| format!("{what}: limit with the {name} / napping");
        report.estimate(
            &metric("victim's mean"),
            ratio(|turn| turn.mean_ns),
            "ratio",
            None,
        );
        report.estimate(
            &metric("victim's 99th percentile"),
            ratio(|turn| turn.tail_ns),
            "ratio",
            None,
        );
        report.estimate(
            &metric("time of a copy"),
            ratio(|turn| turn.copy_ns),
            "ratio",
            None,
        );
    }
    let slower = paired_ratio(
        &of(Arm::Short, |turn| turn.copy_ns),
        &of(Arm::Napping, |turn| turn.copy_ns),
    );
    report.value(
        "same work done, as far as arms can be compared",
        (slower.median - 1.0).abs(),
        "share",
        Some(Bound::AtMost(0.15)),
    );
    report.notes.push(
        "Above 1, napping spares the victim more, or lets the program get more done. Napping would ship only where it beats \
         a limit that the kernel already offers."
            .to_owned(),
    );
    report
}

//! `cargo xtask bench recurring`: from a neighbour that keeps coming back to code that is ready for it.
//!
//! A paced program, built by `tidegate cc`, has a core that another one shares now and then: two busy neighbours come at
//! a period, with jitter, and leave again. The shipped daemon, which has nothing to remember, may touch the program's
//! code and nothing else. It finds the hot function, compiles ahead, tries and confirms in one visit after another; from
//! then on the variant stands ready before each visit, is switched to when the visit is seen, and left when it ends. One
//! visit is left out, and one comes unannounced. All is judged from the daemon's own record, against when the neighbours
//! really began and ended.

mod judge;

use super::observed::{Observed, Watched};
use super::recompiler::compile_plain;
use super::report::{Bound, Report};
use crate::demo::program;
use crate::load::shape::boot_s;
use crate::random::Random;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use judge::{Episode, Outcome, Seen, Visit, confirmed_s, outcome};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_history::{Decision, Reader};
use tidegate_types::{ContentionMap, Event, Unit};

const PROGRAM: &str = "paced";
const NEIGHBOURS: [&str; 2] = ["neighbour-a", "neighbour-b"];
/// What the program wants of its core, in percent: less than all, so that it has slack while it is alone.
const WANTED_PERCENT: &str = "60";
const VISIT_S: f64 = 30.0;
const PERIOD_S: std::ops::Range<f64> = 64.0..80.0;
const JITTER_S: f64 = 2.0;
/// Visits in which it is found, compiled, tried and confirmed.
const LEARNED: usize = 10;
/// Visits after those; before the last of them one is left out, after it one comes unannounced.
const JUDGED: usize = 6;
const THERE_S_MOST: f64 = 0.2;
const BACK_S_MOST: f64 = 2.0;
/// A visit that is expected is on the map with so much for a minute.
const EXPECTED_FROM: f64 = 0.5;

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RecurringArguments {
    /// The binary to measure; the release build by default
    #[arg(long)]
    tidegate: Option<PathBuf>,
    /// Seed of period and jitter
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// When the neighbours come, relative to the first slot.
fn visits(period_s: f64, random: &mut Random) -> Vec<(Visit, f64)> {
    let count = LEARNED + JUDGED;
    let mut visits = Vec::new();
    for slot in 0..count {
        let visit = if slot == count - 2 {
            Visit::Missed
        } else {
            Visit::Due
        };
        let due_s = slot as f64 * period_s + random.between(-JITTER_S, JITTER_S);
        visits.push((visit, due_s));
    }
    // Half a period after the last one has ended, well before the next is due.
    let last_s = visits.last().map_or(0.0, |(_, at_s)| *at_s);
    visits.push((Visit::Surprise, last_s + VISIT_S + 0.2 * period_s));
    visits
}

/// Plays all visits, then judges what was recorded.
pub(crate) fn run(workspace: &Workspace, arguments: &RecurringArguments) -> Result<Report> {
    let program = (arguments.tidegate.clone()).unwrap_or_else(|| workspace.target.join("release/tidegate"));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ensure!(cores >= 2, "the daemon and the contended core need a core each");
    let core = cores as u32 - 1;
    let folder = workspace.bench_folder().join("recurring");
    let mut observed = Observed::open(&program, &folder, &apps())?;
    let (paced, neighbour) = build(workspace, &program, &folder)?;
    for app in std::iter::once(PROGRAM).chain(NEIGHBOURS) {
        observed.pin(app, core)?;
    }
    let out = folder.join("products.txt");
    let paced = [
        paced.as_os_str(),
        out.as_os_str(),
        "1".as_ref(),
        WANTED_PERCENT.as_ref(),
    ];
    let child = observed.start_foreign(PROGRAM, &paced)?;
    let process = child.id();
    let mut random = Random::new(arguments.seed, 0);
    let period_s = random.between(PERIOD_S.start, PERIOD_S.end);
    let plan = visits(period_s, &mut random);
    let zero_s = boot_s() + period_s / 2.0;
    println!(
        "the neighbours come {} times; this takes {:.0} minutes",
        plan.len() - 1,
        (plan.last().map_or(0.0, |(_, at_s)| *at_s) + period_s) / 60.0
    );
    let mut episodes = Vec::new();
    for (visit, at_s) in plan {
        episodes.push(play(&mut observed, &neighbour, visit, zero_s + at_s)?);
    }
    sleep_until(boot_s() + 5.0);
    let explained = observed.ask(&program, &["explain", &format!("code:{process}")])?;
    drop(child);
    let history = observed.close()?;
    let reader = Reader::open(&history);
    let seen = seen(&reader, core)?;
    let maps = reader.maps(0).context("the maps were not recorded")?;
    let mut report = report(&episodes, &seen, &maps, core)?;
    report.value(
        "wrong results",
        wrong_results(&out)?,
        "products",
        Some(Bound::AtMost(0.0)),
    );
    let told = explained
        .lines()
        .filter(|line| line.contains("multiply of paced"))
        .count();
    let switched = seen
        .iter()
        .filter(|(_, seen)| matches!(seen, Seen::Switched(_) | Seen::Back))
        .count();
    report.value(
        "switches without an explanation",
        switched.saturating_sub(told) as f64,
        "switches",
        Some(Bound::AtMost(0.0)),
    );
    report.notes.push(format!(
        "Visits of {VISIT_S} s every {period_s:.0} s, jitter ±{JITTER_S} s, by two neighbours that take two thirds of the core."
    ));
    Ok(report)
}

fn apps() -> Vec<Watched> {
    let app = |name: &str, class, may_switch| Watched {
        name: name.to_owned(),
        class,
        limit_cores: None,
        may_switch,
    };
    let mut apps = vec![app(PROGRAM, "standard", true)];
    apps.extend(NEIGHBOURS.map(|name| app(name, "batch", false)));
    apps
}

/// The paced program and the neighbour.
fn build(workspace: &Workspace, tidegate: &Path, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let paced = program::compile(workspace, tidegate)?;
    ensure!(paced.switchable, "without `tidegate cc` nothing can be switched");
    let neighbour = compile_plain(workspace, "neighbour.c", &["-pthread"], folder.join("neighbour"))?;
    Ok((paced.path, neighbour))
}

/// Waits for the visit's time, and plays it.
fn play(observed: &mut Observed, neighbour: &Path, visit: Visit, at_s: f64) -> Result<Episode> {
    sleep_until(at_s);
    let begin_s = boot_s();
    let mut children = Vec::new();
    if visit != Visit::Missed {
        for name in NEIGHBOURS {
            let command: [&OsStr; 2] = [neighbour.as_os_str(), "cpu".as_ref()];
            children.push(observed.start_foreign(name, &command)?);
        }
    }
    sleep_until(begin_s + VISIT_S);
    for child in &mut children {
        child.kill().context("cannot end a neighbour")?;
    }
    let end_s = boot_s();
    for child in &mut children {
        child.wait().context("a neighbour is lost")?;
    }
    Ok(Episode {
        visit,
        begin_s,
        end_s,
    })
}

fn sleep_until(at_s: f64) {
    std::thread::sleep(Duration::from_secs_f64((at_s - boot_s()).max(0.0)));
}

/// What the daemon wrote down, in order.
fn seen(reader: &Reader, core: u32) -> Result<Vec<(f64, Seen)>> {
    let unit = Unit::Core(u16::try_from(core)?);
    let decisions = reader.decisions(0).context("the decisions were not recorded")?;
    let seen = decisions.into_iter().filter_map(|record| {
        let seen = match record.decision {
            Decision::Contention(event) if event.unit == unit && event.end.is_none() => Seen::Began,
            Decision::Event(Event::VariantReady { .. }) => Seen::Loaded,
            Decision::Event(Event::Trial(verdict)) => Seen::Tried(verdict.kept),
            Decision::Event(Event::Switched(switched)) if switched.to.is_some() => {
                Seen::Switched(switched.prediction)
            }
            Decision::Event(Event::Switched(_)) => Seen::Back,
            _ => return None,
        };
        Some((record.at.boot.seconds(), seen))
    });
    Ok(seen.collect())
}

fn report(episodes: &[Episode], seen: &[(f64, Seen)], maps: &[ContentionMap], core: u32) -> Result<Report> {
    let mut report = Report::default();
    let Some(confirmed_s) = confirmed_s(seen) else {
        bail!("no variant was confirmed within {LEARNED} visits; seen: {seen:?}");
    };
    let judged = |visit: Visit| -> Vec<Outcome> {
        let of_kind = episodes
            .iter()
            .filter(|episode| episode.visit == visit && episode.begin_s > confirmed_s);
        of_kind.map(|episode| outcome(episode, seen)).collect()
    };
    let due = judged(Visit::Due);
    report.value(
        "visits judged",
        due.len() as f64,
        "visits",
        Some(Bound::AtLeast(3.0)),
    );
    let learned = episodes.iter().filter(|episode| episode.begin_s < confirmed_s);
    report.value("visits until confirmed", learned.count() as f64, "visits", None);
    let share = |outcomes: &[Outcome], good: fn(&Outcome) -> bool| {
        outcomes.iter().filter(|outcome| good(outcome)).count() as f64 / outcomes.len() as f64
    };
    let all = Some(Bound::AtLeast(1.0));
    report.value(
        "switched once, by what stood ready",
        share(&due, is_ready),
        "share",
        all,
    );
    report.value(
        "switch names its prediction",
        share(&due, |outcome| outcome.named),
        "share",
        all,
    );
    times(&mut report, "", &due);
    let surprise = judged(Visit::Surprise);
    report.value(
        "unannounced: switched once, by what stood ready",
        share(&surprise, is_ready),
        "share",
        all,
    );
    report.value(
        "unannounced: switch names no prediction",
        share(&surprise, |outcome| !outcome.named),
        "share",
        all,
    );
    times(&mut report, "unannounced: ", &surprise);
    for missed in episodes.iter().filter(|episode| episode.visit == Visit::Missed) {
        let expected = probability_before(maps, core, missed.begin_s)?;
        report.value(
            "left out: probability before it was due",
            expected,
            "",
            Some(Bound::AtLeast(EXPECTED_FROM)),
        );
        report.value(
            "left out: switches",
            outcome(missed, seen).switches as f64,
            "switches",
            Some(Bound::AtMost(0.0)),
        );
    }
    Ok(report)
}

fn is_ready(outcome: &Outcome) -> bool {
    outcome.switches == 1 && !outcome.worked
}

fn times(report: &mut Report, what: &str, outcomes: &[Outcome]) {
    let mut worst = |metric: &str, of: fn(&Outcome) -> Option<f64>, most_s| {
        let times = outcomes
            .iter()
            .map(|outcome| of(outcome).unwrap_or(f64::INFINITY));
        report.value(
            &format!("{what}{metric}, at worst"),
            times.fold(f64::NEG_INFINITY, f64::max),
            "s",
            Some(Bound::AtMost(most_s)),
        );
    };
    worst(
        "switched after the visit was seen",
        |one| one.there_s,
        THERE_S_MOST,
    );
    worst("base back after it ended", |one| one.back_s, BACK_S_MOST);
}

/// The highest probability for a minute in the last half minute before.
fn probability_before(maps: &[ContentionMap], core: u32, due_s: f64) -> Result<f64> {
    let unit = Unit::Core(u16::try_from(core)?);
    let before = maps
        .iter()
        .filter(|map| (due_s - 30.0..due_s).contains(&map.made.boot.seconds()));
    let probabilities: Vec<f64> = before
        .filter_map(|map| map.entry(&unit)?.probability(60))
        .collect();
    ensure!(
        !probabilities.is_empty(),
        "no map speaks of {unit} before a visit that was due"
    );
    Ok(probabilities.into_iter().fold(0.0, f64::max))
}

/// Products that differed from the first one, by the program's own count.
fn wrong_results(out: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(out).with_context(|| format!("cannot read {}", out.display()))?;
    let last = text.lines().last().and_then(|line| line.split(' ').nth(2));
    last.and_then(|wrong| wrong.parse().ok())
        .context("the program counted nothing")
}

//! `cargo xtask bench demo`: is acting ahead worth it, against rivals at their best?
//!
//! Rounds are paired: every arm meets the same crowds with the same arrivals, and the order of the arms rotates. What
//! the rivals may choose (the static split, the reactive rule's patience) is chosen on rounds of other seeds, before.
//! The daemon gets an untreated prelude before each of its rounds, with fresh folders, so that every round proves
//! learning too; its recompiling is off and its left-alone share 0 (recompiling has a row of its own). Bounds are on
//! medians over crowds (latency) and over periods (batch work). The search for what rivals choose, the bounded arms
//! and the unbounded rows can be run one at a time, because together they take two hours and a half.

use super::report::{Bound, Report};
use super::stats::{self, median};
use crate::demo::{self, Arm, Chosen, Isolation, Options, Outcome, Plan, Scenario, Split, Stage};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Latencies closer than this are noise on a shared machine, in milliseconds.
const NOISE_MS: f64 = 8.0;
/// Seeds of the rounds that rivals are chosen on; scored rounds count from 1.
const CHOICE_SEED: u64 = 1000;
/// What the reactive rule may wait before giving back, in seconds.
const HOLDS_S: [f64; 3] = [0.5, 1.0, 2.0];
/// Candidates that are looked at again for longer.
const FINALISTS: usize = 2;
/// Periods that finalists and reactive rules are compared over.
const CHOICE_PERIODS: usize = 2;
/// Scored periods of a row without a bound.
const ROW_PERIODS: usize = 3;
const STEPS_PER_CORE: f64 = 10.0;

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DemoArguments {
    /// The binary to measure; the release build by default
    #[arg(long)]
    tidegate: Option<PathBuf>,
    /// What to run
    #[arg(long, value_enum, default_value_t = Part::All)]
    part: Part,
    /// A short form of the arms: one round of few crowds, rivals as chosen before
    #[arg(long)]
    quick: bool,
    /// Shift the forecast by half a period: the bench must fail
    #[arg(long)]
    sabotage: bool,
    /// Rounds per arm
    #[arg(long, default_value_t = 2)]
    rounds: u64,
    /// Scored periods per round
    #[arg(long, default_value_t = 9)]
    periods: usize,
    /// Untreated periods before each round of the daemon
    #[arg(long, default_value_t = 6)]
    prelude: usize,
    /// Go on with the arms of a run on this host that was interrupted; what is finished is not played again
    #[arg(long)]
    resume: bool,
    /// Only these arms, by name; for trying things out
    #[arg(long, value_delimiter = ',')]
    arms: Vec<String>,
}

/// A part of the bench.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Part {
    /// One after the other
    All,
    /// What the rivals choose; kept for the other parts and for the demo
    Search,
    /// All arms, with the bounds
    Arms,
    /// Other jitters and recompiling, without bounds
    Rows,
}

impl Part {
    fn includes(self, other: Self) -> bool {
        self == Self::All || self == other
    }
}

/// One arm in one round, as it is kept for a run that was interrupted.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Played {
    round: u64,
    name: String,
    outcome: Outcome,
}

impl Played {
    fn load(path: &Path) -> Result<Vec<Self>> {
        let text = std::fs::read(path)
            .with_context(|| format!("cannot read {}: there is nothing to go on with", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not as expected", path.display()))
    }
}

/// Everything that a run keeps at hand.
struct Bench {
    stage: Stage,
    scenario: Scenario,
    options: Options,
    arguments: DemoArguments,
    partial: PathBuf,
}

impl DemoArguments {
    /// Where the arms of an unfinished run are kept; a form of another length or with another forecast has its own.
    fn partial(&self) -> &'static str {
        match (self.quick, self.sabotage) {
            (false, false) => "demo-rounds.json",
            (false, true) => "demo-sabotage-rounds.json",
            (true, false) => "demo-quick-rounds.json",
            (true, true) => "demo-quick-sabotage-rounds.json",
        }
    }

    /// What its result is called: the rows without bounds do not replace those with.
    pub(crate) fn name(&self) -> &'static str {
        match self.part {
            Part::Rows => "demo-rows",
            Part::Search => "demo-search",
            Part::All | Part::Arms => "demo",
        }
    }
}

/// Runs the bench.
pub(crate) fn run(workspace: &Workspace, arguments: &DemoArguments) -> Result<Report> {
    let tidegate = arguments
        .tidegate
        .clone()
        .unwrap_or_else(|| workspace.target.join("release/tidegate"));
    let batch = demo::compile(workspace, &tidegate)?;
    let scenario = Scenario::promised();
    // Into the past: an onset that is moved ahead would move on with each true one and never come due.
    let sabotage_shift_s = arguments.sabotage.then_some(-scenario.period_s / 2.0);
    let options = Options {
        program: tidegate,
        sabotage_shift_s,
        ..Options::default()
    };
    let mut arguments = arguments.clone();
    if arguments.quick {
        (arguments.rounds, arguments.periods, arguments.part) = (1, 3, Part::Arms);
    }
    std::fs::create_dir_all(workspace.bench_folder())?;
    let stage = Stage::open(&workspace.target.join("demo"), &batch.path, Isolation::High)?;
    let partial = workspace.bench_folder().join(arguments.partial());
    let mut bench = Bench {
        stage,
        scenario,
        options,
        arguments,
        partial,
    };
    let report = bench.report(workspace, batch.switchable);
    bench.stage.close()?;
    report
}

impl Bench {
    fn report(&mut self, workspace: &Workspace, switchable: bool) -> Result<Report> {
        let part = self.arguments.part;
        let chosen = if part.includes(Part::Search) {
            self.choose(workspace)?
        } else {
            Chosen::load(workspace)?
        };
        let mut report = Report::default();
        if part.includes(Part::Arms) {
            let outcomes = self.rounds(chosen)?;
            println!("\n{}", demo::table::arms(&outcomes));
            report = compare(&outcomes);
            report.notes.push(demo::table::arms(&outcomes));
        }
        report.notes.push(format!(
            "Rivals as chosen on other rounds: static {}, reactive gives back after {} s.",
            Split(chosen.static_cores),
            chosen.hold_s
        ));
        if part.includes(Part::Rows) {
            for jitter_s in [0.0, 2.0] {
                self.with_jitter(chosen, jitter_s, &mut report)?;
            }
            if switchable {
                self.with_recompiling(&mut report)?;
            }
        }
        Ok(report)
    }

    fn play(&mut self, name: &str, arm: Arm, periods: usize, seed: u64) -> Result<Outcome> {
        let prelude = if arm == Arm::Predictive {
            self.arguments.prelude
        } else {
            0
        };
        println!(
            "{name}, seed {seed}: {:.0} s",
            (prelude + periods) as f64 * self.scenario.period_s
        );
        let plan = Plan {
            prelude,
            periods,
            seed,
        };
        demo::play(&mut self.stage, &self.scenario, arm, plan, Some(&self.options))
            .with_context(|| name.to_owned())
    }

    /// All arms over all rounds, in an order that rotates.
    fn rounds(&mut self, chosen: Chosen) -> Result<Vec<(String, Outcome)>> {
        let (fixed, reactive) = chosen.arms();
        let mut arms = vec![
            ("no limits", Arm::Unlimited),
            ("equal limits", Arm::Static(self.scenario.equal())),
            ("best static split", fixed),
            ("reactive", reactive),
            ("metronome", Arm::Metronome),
            ("predictive", Arm::Predictive),
            ("oracle", Arm::Oracle),
        ];
        let only = &self.arguments.arms;
        arms.retain(|(name, _)| only.is_empty() || only.iter().any(|only| name.contains(only.as_str())));
        let mut played = if self.arguments.resume {
            Played::load(&self.partial)?
        } else {
            Vec::new()
        };
        for round in 0..self.arguments.rounds {
            for turn in 0..arms.len() {
                let (name, arm) = arms[(turn + round as usize) % arms.len()];
                if played
                    .iter()
                    .any(|done: &Played| done.round == round && done.name == name)
                {
                    continue;
                }
                played.push(Played {
                    round,
                    name: name.to_owned(),
                    outcome: self.play(name, arm, self.arguments.periods, 1 + round)?,
                });
                std::fs::write(&self.partial, serde_json::to_vec_pretty(&played)?)?;
            }
        }
        played.sort_by_key(|done| done.round);
        let outcome = |name: &str| {
            let mut whole = Outcome::default();
            let parts = played.iter().filter(|done| done.name == name);
            parts.for_each(|done| whole.extend(done.outcome.clone()));
            whole
        };
        Ok(arms
            .iter()
            .map(|(name, _)| ((*name).to_owned(), outcome(name)))
            .collect())
    }

    /// Chooses the rivals' parameters on rounds of their own and keeps them for the demo.
    fn choose(&mut self, workspace: &Workspace) -> Result<Chosen> {
        let split = self.best_static()?;
        let mut tried = Vec::new();
        for hold_s in HOLDS_S {
            let outcome = self.play(
                &format!("reactive, hold {hold_s} s"),
                Arm::Reactive { hold_s },
                CHOICE_PERIODS,
                CHOICE_SEED,
            )?;
            tried.push((hold_s, outcome));
        }
        let hold_s = best(&tried);
        let choice = Chosen {
            static_cores: split.0,
            hold_s,
        };
        let path = workspace.root.join("xtask/demo/chosen.json");
        std::fs::write(path, serde_json::to_string(&choice)? + "\n")?;
        Ok(choice)
    }

    /// The static split of the same sum with the lowest p99; ties within the noise go to more batch work.
    fn best_static(&mut self) -> Result<Split> {
        let mut tried = Vec::new();
        for split in candidates(&self.scenario) {
            tried.push((
                split,
                self.play(&format!("static {split}"), Arm::Static(split), 1, CHOICE_SEED)?,
            ));
        }
        tried.sort_by(|left, right| median(&left.1.p99_ms()).total_cmp(&median(&right.1.p99_ms())));
        tried.truncate(FINALISTS);
        for (split, outcome) in &mut tried {
            let more = self.play(
                &format!("static {split}"),
                Arm::Static(*split),
                CHOICE_PERIODS,
                CHOICE_SEED + 1,
            )?;
            outcome.extend(more);
        }
        Ok(best(&tried))
    }

    /// The same with another jitter: printed, not bounded.
    fn with_jitter(&mut self, chosen: Chosen, jitter_s: f64, report: &mut Report) -> Result<()> {
        let scenario = std::mem::replace(
            &mut self.scenario,
            Scenario {
                jitter_s,
                ..Scenario::promised()
            },
        );
        let (_, reactive) = chosen.arms();
        let seed = 100 + jitter_s as u64;
        let arms = [
            ("reactive", reactive),
            ("predictive", Arm::Predictive),
            ("oracle", Arm::Oracle),
        ];
        for (name, arm) in arms {
            let outcome = self.play(name, arm, ROW_PERIODS, seed)?;
            let metric = format!("{name}: p99 in the crowd, jitter ±{jitter_s} s");
            report.estimate(&metric, stats::estimate(&outcome.p99_ms()), "ms", None);
        }
        self.scenario = scenario;
        Ok(())
    }

    /// The daemon with recompiling on, beside one on the same round with it off.
    fn with_recompiling(&mut self, report: &mut Report) -> Result<()> {
        let mut play = |name: &str, recompile: bool| {
            self.options.recompile = recompile;
            self.play(name, Arm::Predictive, ROW_PERIODS, 1)
        };
        let without = play("predictive", false)?;
        let with = play("predictive, recompiling", true)?;
        self.options.recompile = false;
        let work = stats::paired_ratio(&with.work_per_s, &without.work_per_s);
        report.estimate("batch work with recompiling / without", work, "ratio", None);
        report.value(
            "wrong products with recompiling",
            with.wrong as f64,
            "products",
            Some(Bound::AtMost(0.0)),
        );
        Ok(())
    }
}

/// Static splits worth measuring. Left out, because they cannot win: those that give a tenant less than the crowd
/// wants (its queue grows as long as the crowd stays), and those that give one tenant over a step more than the other
/// (the tenants are alike, so the poorer one decides the latency, and the surplus is the batch's loss).
fn candidates(scenario: &Scenario) -> Vec<Split> {
    let steps = |cores: f64| (cores * STEPS_PER_CORE).round() as u32;
    let (sum, least) = (
        steps(scenario.rest.sum()),
        (scenario.demand_cores.1 * STEPS_PER_CORE).ceil() as u32,
    );
    let cores = |steps: u32| f64::from(steps) / STEPS_PER_CORE;
    let mut splits = Vec::new();
    for north in least..sum {
        for south in [north, north + 1] {
            if north + south < sum {
                splits.push(Split([cores(north), cores(south), cores(sum - north - south)]));
            }
        }
    }
    splits
}

/// The lowest median p99; within the noise of it, the most batch work.
fn best<T: Copy>(tried: &[(T, Outcome)]) -> T {
    let p99_ms = |outcome: &Outcome| median(&outcome.p99_ms());
    let work = |outcome: &Outcome| median(&outcome.work_per_s);
    let lowest_ms = tried
        .iter()
        .map(|(_, outcome)| p99_ms(outcome))
        .fold(f64::INFINITY, f64::min);
    let near = tried
        .iter()
        .filter(|(_, outcome)| p99_ms(outcome) <= lowest_ms + NOISE_MS);
    let most = near.max_by(|left, right| work(&left.1).total_cmp(&work(&right.1)));
    most.unwrap_or(&tried[0]).0
}

/// Predictive against its rivals, with the promised bounds.
fn compare(outcomes: &[(String, Outcome)]) -> Report {
    let mut report = Report::default();
    for (name, outcome) in outcomes {
        report.estimate(
            &format!("{name}: p99 in the crowd"),
            stats::estimate(&outcome.p99_ms()),
            "ms",
            None,
        );
    }
    let find = |wanted: &str| {
        outcomes
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, outcome)| outcome)
    };
    let Some(ours) = find("predictive") else {
        return report;
    };
    if let Some(rival) = find("reactive") {
        let ratio = stats::paired_ratio(&rival.p99_ms(), &ours.p99_ms());
        report.estimate(
            "reactive p99 / predictive p99",
            ratio,
            "ratio",
            Some(Bound::AtLeast(3.0)),
        );
        let work = stats::paired_ratio(&ours.work_per_s, &rival.work_per_s);
        report.estimate(
            "batch work, predictive / reactive",
            work,
            "ratio",
            Some(Bound::AtLeast(0.93)),
        );
    }
    if let Some(rival) = find("best static split") {
        let difference = stats::paired_difference(&ours.p99_ms(), &rival.p99_ms());
        report.estimate(
            "predictive p99 - static p99",
            difference,
            "ms",
            Some(Bound::AtMost(NOISE_MS)),
        );
        let work = stats::paired_ratio(&ours.work_per_s, &rival.work_per_s);
        report.estimate(
            "batch work, predictive / static",
            work,
            "ratio",
            Some(Bound::AtLeast(1.1)),
        );
    }
    if let Some(rival) = find("oracle") {
        // At most twice the oracle's, or the noise above it where that is larger: one difference says both.
        let allowed_ms = median(&rival.p99_ms()).max(NOISE_MS);
        let difference = stats::paired_difference(&ours.p99_ms(), &rival.p99_ms());
        let bound = Bound::AtMost((allowed_ms * 10.0).round() / 10.0);
        report.estimate("predictive p99 - oracle p99", difference, "ms", Some(bound));
    }
    report.value(
        "predictive: breaches of the fixed sum",
        ours.breaches as f64,
        "polls",
        Some(Bound::AtMost(0.0)),
    );
    report.value("predictive: false acts", ours.false_acts as f64, "acts", None);
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::measure::CrowdResult;

    fn outcome(p99_ms: f64, work: f64) -> Outcome {
        let crowd = CrowdResult {
            tenant: 0,
            whole_ms: (1.0, p99_ms),
            first_ms: (1.0, p99_ms),
        };
        Outcome {
            crowds: vec![crowd; 6],
            work_per_s: vec![work; 3],
            ..Outcome::default()
        }
    }

    fn report(reactive: f64, fixed: f64, predictive: f64, oracle: f64, work: f64) -> Report {
        let named = |name: &str, outcome| (name.to_owned(), outcome);
        compare(&[
            named("reactive", outcome(reactive, 100.0)),
            named("best static split", outcome(fixed, 60.0)),
            named("predictive", outcome(predictive, work)),
            named("oracle", outcome(oracle, 100.0)),
        ])
    }

    #[test]
    fn the_bounds_are_the_promised_ones() {
        assert!(report(100.0, 20.0, 20.0, 12.0, 95.0).holds());
        assert!(
            !report(50.0, 20.0, 20.0, 12.0, 95.0).holds(),
            "three times below reactive"
        );
        assert!(
            !report(100.0, 10.0, 20.0, 12.0, 95.0).holds(),
            "near the static split"
        );
        assert!(!report(100.0, 20.0, 20.0, 9.0, 95.0).holds(), "near the oracle");
        assert!(!report(100.0, 20.0, 20.0, 12.0, 90.0).holds(), "batch work");
    }

    #[test]
    fn candidates_keep_the_sum_and_leave_the_batch_something() {
        let scenario = Scenario::promised();
        let splits = candidates(&scenario);
        assert!(splits.len() >= 4, "{splits:?}");
        for split in &splits {
            assert!((split.sum() - scenario.rest.sum()).abs() < 1e-9, "{split}");
            assert!(split.0[2] >= 1.0 / STEPS_PER_CORE - 1e-9, "{split}");
        }
    }

    #[test]
    fn ties_go_to_the_batch() {
        assert_eq!(
            best(&[
                (1, outcome(20.0, 50.0)),
                (2, outcome(26.0, 90.0)),
                (3, outcome(40.0, 200.0))
            ]),
            2
        );
    }
}

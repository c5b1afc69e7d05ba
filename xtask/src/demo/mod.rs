//! `make demo`: the main job at work, in under four minutes, unattended.
//!
//! Two latency-critical tenants and a batch program share a fixed sum of CPU limits, in groups of their own; crowds
//! come back to the tenants at different times. First the rivals take turns on the same crowds: no limits, the best
//! static split, the reactive rule. Then the daemon starts with nothing learned and watches an untreated prelude; the
//! policy grants what it withheld, and it acts; meanwhile a variant of the batch's hot function is compiled and tried
//! live. The rivals come before the prelude because they change what contends: under no limits nothing does. One table at the end, whoever wins. Ctrl-C or a kill at any time: the daemon's guardian
//! puts every knob back, and the janitor ends the processes and removes the groups.

mod control;
mod daemon;
pub(crate) mod groups;
mod inert;
pub(crate) mod janitor;
pub(crate) mod measure;
mod play;
pub(crate) mod program;
pub(crate) mod prove;
mod scenario;
mod stage;
pub(crate) mod table;
mod traced;
mod trial;

pub(crate) use control::Arm;
pub(crate) use daemon::Options;
pub(crate) use groups::Isolation;
pub(crate) use measure::Outcome;
pub(crate) use play::{Plan, play};
pub(crate) use program::compile;
pub(crate) use scenario::{Scenario, Split};
pub(crate) use stage::Stage;

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use control::Witness;
use daemon::Daemon;
use measure::measure;
use play::Script;
use std::path::PathBuf;

/// The rivals in order, with the periods that each has; together with the daemon's they stay under four minutes.
const RIVAL_PERIODS: [(&str, usize); 3] = [
    ("no limits", 1),
    ("best static split", 2),
    ("reactive, 100 ms", 2),
];
/// The daemon has found a pattern after four crowds; one of six does not come.
const PRELUDE_PERIODS: usize = 6;
const DAEMON_PERIODS: usize = 3;
const SEED: u64 = 20;

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The binary to show; the release build by default
    #[arg(long)]
    tidegate: Option<PathBuf>,
}

/// What was chosen beforehand, on other rounds, by `cargo xtask bench demo`.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Chosen {
    /// The best static split in cores: the tenants, then the batch.
    pub(crate) static_cores: [f64; 3],
    /// Seconds that the reactive rule waits before giving back.
    pub(crate) hold_s: f64,
}

impl Chosen {
    /// As committed.
    pub(crate) fn load(workspace: &Workspace) -> Result<Self> {
        let path = workspace.root.join("xtask/demo/chosen.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))
    }

    /// The arms that need a choice.
    pub(crate) fn arms(self) -> (Arm, Arm) {
        (
            Arm::Static(Split(self.static_cores)),
            Arm::Reactive { hold_s: self.hold_s },
        )
    }
}

/// Runs the demo; true where every knob is back and no product was wrong.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::load()?;
    let tidegate = arguments
        .tidegate
        .clone()
        .unwrap_or_else(|| workspace.target.join("release/tidegate"));
    let batch = compile(&workspace, &tidegate)?;
    let options = Options {
        program: tidegate,
        recompile: batch.switchable,
        ..Options::default()
    };
    let chosen = Chosen::load(&workspace)?;
    let scenario = Scenario::short();
    let mut stage = Stage::open(&workspace.target.join("demo"), &batch.path, Isolation::High)?;
    introduce(&scenario, &stage);
    let shown = show(&mut stage, &scenario, &options, chosen);
    stage.close()?;
    println!("All groups are removed, all processes ended.");
    shown
}

fn introduce(scenario: &Scenario, stage: &Stage) {
    println!(
        "Two tenants and a batch program share {:.1} cores of CPU limits under {} ({:?}).\n\
         At rest the limits are {}; a crowd of {} s comes to each tenant every {} s (±{} s, one in six does not come)\n\
         and wants {} cores. Every arm meets the same crowds and may raise a tenant to {} cores, at the batch's cost.\n",
        scenario.rest.sum(),
        stage.groups.path("pool"),
        stage.groups.layout,
        scenario.rest,
        scenario.crowd_s,
        scenario.period_s,
        scenario.jitter_s,
        scenario.demand_cores.1,
        scenario.ceiling_cores,
    );
}

/// First the rivals, then the daemon.
fn show(stage: &mut Stage, scenario: &Scenario, options: &Options, chosen: Chosen) -> Result<bool> {
    let mut outcomes = rivals(stage, scenario, chosen)?;
    let shown = daemon_acts(stage, scenario, options)?;
    let wrong = shown.outcome.wrong;
    outcomes.push(("predictive".to_owned(), shown.outcome));
    println!("\n{}", table::arms(&outcomes));
    conclude(&outcomes);
    println!("Products of the batch that differed from the first: {wrong}.\n");
    match shown.actions {
        Ok(actions) => {
            println!(
                "What the daemon did, with its predictions and their outcomes:\n{}",
                table::actions(&actions)
            );
        }
        Err(error) => println!("The daemon did not say what it did: {error:#}"),
    }
    println!("{}", trial::describe(shown.verdict));
    let replayed = |field: &str| shown.replayed[field].as_u64().unwrap_or(0);
    println!(
        "Replay of the record: {} of {} plans are the same, byte for byte; {} of them have something to do.",
        replayed("plans_equal"),
        replayed("plans_compared"),
        replayed("plans_with_content")
    );
    println!(
        "Limits after the daemon's end: {}.",
        if shown.restored {
            "as found"
        } else {
            "NOT as found"
        }
    );
    let same = replayed("plans_compared") > 0 && replayed("plans_equal") == replayed("plans_compared");
    Ok(shown.restored && wrong == 0 && same)
}

/// All rivals in one block, one after the other.
fn rivals(stage: &mut Stage, scenario: &Scenario, chosen: Chosen) -> Result<Vec<(String, Outcome)>> {
    let script = Script::write(scenario, 0, &RIVAL_PERIODS.map(|(_, periods)| periods), SEED);
    let block = stage.begin(scenario, &script.loads, &[])?;
    let (fixed, reactive) = chosen.arms();
    let arms = [Arm::Unlimited, fixed, reactive];
    let mut seen = Vec::new();
    for (((name, _), arm), part) in RIVAL_PERIODS.into_iter().zip(arms).zip(&script.parts) {
        println!("{name}: {:.0} s", part.span.duration_s());
        seen.push(control::drive(
            stage,
            scenario,
            &block,
            arm,
            part.span,
            &part.crowds,
        )?);
    }
    let record = block.finish()?;
    let outcome = |((index, witness), arm): ((usize, &Witness), Arm)| {
        let part = &script.parts[index];
        let outcome = measure(scenario, part.span, &part.crowds, &record, witness, arm.acts());
        (RIVAL_PERIODS[index].0.to_owned(), outcome)
    };
    Ok(seen.iter().enumerate().zip(arms).map(outcome).collect())
}

/// What the daemon's block left.
struct Shown {
    outcome: Outcome,
    actions: Result<serde_json::Value>,
    verdict: Option<Result<serde_json::Value>>,
    restored: bool,
    /// What a replay of the record said.
    replayed: serde_json::Value,
}

/// The untreated prelude, and then the daemon at work.
fn daemon_acts(stage: &mut Stage, scenario: &Scenario, options: &Options) -> Result<Shown> {
    stage.set(scenario.rest)?;
    let script = Script::write(scenario, PRELUDE_PERIODS, &[DAEMON_PERIODS], SEED);
    let part = &script.parts[0];
    let daemon = Daemon::start(stage, scenario, options, "daemon")?;
    let block = stage.begin(scenario, &script.loads, &daemon.environment(stage))?;
    println!(
        "untreated prelude: {:.0} s, the daemon watches",
        script.prelude.duration_s()
    );
    block.wait_until(part.span.start_s);
    println!("predictive: {:.0} s", part.span.duration_s());
    daemon.enforce(stage, scenario)?;
    let trial = options
        .recompile
        .then(|| trial::start(stage, &daemon, block.batch_pid()));
    let witness = control::drive(stage, scenario, &block, Arm::Predictive, part.span, &part.crowds)?;
    let actions = daemon.ask(stage, &["actions"]);
    let verdict = trial.map(|trial| trial.and_then(trial::end));
    let mut replay = daemon.verb(stage, &["replay", "--since", "1h"]);
    daemon.stop()?;
    let restored = limits_are(stage, scenario)?;
    let replayed = replay.output().context("cannot run the replay")?;
    let record = block.finish()?;
    let outcome = measure(scenario, part.span, &part.crowds, &record, &witness, true);
    Ok(Shown {
        outcome,
        actions,
        verdict,
        restored,
        replayed: serde_json::from_slice(&replayed.stdout).unwrap_or_default(),
    })
}

/// Says who won, also where it is not us.
fn conclude(outcomes: &[(String, Outcome)]) {
    let p99_ms = |index: usize| {
        outcomes.get(index).map_or(f64::NAN, |(_, outcome)| {
            crate::bench::stats::median(&outcome.p99_ms())
        })
    };
    let (reactive_ms, predictive_ms) = (p99_ms(2), p99_ms(3));
    let ratio = reactive_ms / predictive_ms;
    if ratio > 1.0 {
        println!("Acting ahead: the median crowd's p99 is {ratio:.1} times below the reactive rule's.");
    } else {
        println!(
            "Acting ahead did not win here: the median crowd's p99 is {:.1} times the reactive rule's.",
            1.0 / ratio
        );
    }
}

/// Whether the limits are the resting ones again.
fn limits_are(stage: &Stage, scenario: &Scenario) -> Result<bool> {
    let mut same = true;
    for (group, wanted) in stage::SHARERS.into_iter().zip(scenario.rest.0) {
        same &= stage
            .groups
            .limit(group)?
            .is_some_and(|found| (found - wanted).abs() < 1e-6);
    }
    Ok(same)
}

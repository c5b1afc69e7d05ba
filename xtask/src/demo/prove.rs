//! `cargo xtask prove`: what a host's owner must be able to rely on, shown on real groups.
//!
//! Observing changes nothing; and whatever happens to the daemon while it acts, the found values come back without a
//! command, and what is no longer ours stays as it is. It runs on the layout that it finds: on this host, and in the
//! virtual one of `cargo xtask bed smoke`. Each check has a block of its own, so that one failure spoils no other.

use super::daemon::{Daemon, Options};
use super::groups::Isolation;
use super::inert;
use super::play::Script;
use super::program::compile;
use super::scenario::{Scenario, Split};
use super::stage::{Block, SHARERS, Stage};
use super::traced::Trace;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Found values are back within this, promised.
const BACK: Duration = Duration::from_secs(5);
/// The daemon acts at the first crowds; a slow virtual host takes a while.
const ACTS: Duration = Duration::from_secs(90);
/// How long a value must stay to count as left alone.
const STAYS: Duration = Duration::from_secs(6);
/// How long observing is watched.
const OBSERVES: Duration = Duration::from_secs(20);
const SEED: u64 = 40;

/// Options of `cargo xtask prove`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The binary to check; the release build by default
    #[arg(long)]
    tidegate: Option<PathBuf>,
    /// The batch program; compiled by default
    #[arg(long)]
    batch: Option<PathBuf>,
    /// Where files go; in the build's folder by default
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Only checks whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Seconds of the record that is replayed
    #[arg(long, default_value_t = 120)]
    record_s: u64,
}

impl Arguments {
    /// Binary, batch program and folder. A virtual host is given all three and has no workspace to look into.
    fn places(&self) -> Result<(PathBuf, PathBuf, PathBuf)> {
        if let (Some(program), Some(batch), Some(folder)) = (&self.tidegate, &self.batch, &self.folder) {
            return Ok((program.clone(), batch.clone(), folder.clone()));
        }
        let workspace = Workspace::load()?;
        let within = |path: &str| workspace.target.join(path);
        let program = self
            .tidegate
            .clone()
            .unwrap_or_else(|| within("release/tidegate"));
        let batch = match &self.batch {
            Some(batch) => batch.clone(),
            None => compile(&workspace, &program)?.path,
        };
        let folder = self.folder.clone().unwrap_or_else(|| within("prove"));
        Ok((program, batch, folder))
    }
}

/// What the checks are made with.
struct Means {
    scenario: Scenario,
    options: Options,
    record: Duration,
}

/// A check: says what it saw, or why it does not hold.
type Check = fn(&mut Stage, &Means) -> Result<String>;

const CHECKS: [(&str, Check); 8] = [
    ("observing is inert", observing),
    ("observing writes to its own folders only", writing),
    ("a record of acting replays to the same plans", recording),
    ("SIGKILL of the daemon", killed),
    ("SIGSTOP of the daemon", stopped),
    ("a group re-created under its path", recreated),
    ("a value that someone else wrote", foreign),
    ("daemon and guardian killed together, then restore", both_killed),
];

/// Runs all checks; true where all hold.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        println!("SKIP prove: making groups needs root");
        return Ok(true);
    }
    let (program, batch, folder) = arguments.places()?;
    let means = Means {
        scenario: Scenario::short(),
        options: Options {
            program,
            ..Options::default()
        },
        record: Duration::from_secs(arguments.record_s),
    };
    let wanted = |name: &str| {
        arguments
            .only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    };
    let (mut passed, mut failed) = (0, 0);
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| wanted(name)) {
        let mut stage = Stage::open(&folder, &batch, Isolation::None)?;
        let outcome = check(&mut stage, &means);
        let closed = stage.close();
        match outcome.and_then(|text| closed.map(|()| text)) {
            Ok(text) => {
                passed += 1;
                println!("test {name} ... ok\n    {text}");
            }
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED\n    {error:#}");
            }
        }
    }
    println!("test result: {passed} passed; {failed} failed");
    Ok(failed == 0)
}

/// Every writable file of every tree holds before, during and after a run what it held.
fn observing(stage: &mut Stage, means: &Means) -> Result<String> {
    let block = begin(stage, &means.scenario)?;
    block.wait_until(0.0);
    let calm = inert::Files::read()?;
    let before = inert::Files::read()?;
    let daemon = Daemon::start(stage, &means.scenario, &means.options, "prove-observe")?;
    std::thread::sleep(OBSERVES);
    let during = inert::Files::read()?;
    daemon.stop()?;
    let after = inert::Files::read()?;
    block.abandon()?;
    let changed: Vec<String> = [&during, &after]
        .iter()
        .flat_map(|later| before.differences(later, &calm))
        .collect();
    ensure!(changed.is_empty(), "changed: {}", changed.join(", "));
    Ok(format!("{} writable files are as before", before.len()))
}

/// All that the daemon opens for writing, makes, moves or removes lies in its data, run and cache folders.
fn writing(stage: &mut Stage, means: &Means) -> Result<String> {
    if Command::new("strace").arg("--version").output().is_err() {
        println!("SKIP prove_writes: strace is not installed");
        return Ok("not looked at".to_owned());
    }
    let log = stage.folder.join("prove-writes.strace");
    let traced = Options {
        trace: Some(log.clone()),
        ..means.options.clone()
    };
    let block = begin(stage, &means.scenario)?;
    let daemon = Daemon::start(stage, &means.scenario, &traced, "prove-writes")?;
    std::thread::sleep(OBSERVES);
    let allowed = daemon.folders(stage);
    daemon.stop()?;
    block.abandon()?;
    let text = std::fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let trace = Trace::read(&String::from_utf8_lossy(&text), &allowed);
    ensure!(trace.changes > 0, "nothing was traced");
    ensure!(
        trace.elsewhere.is_empty(),
        "elsewhere: {}",
        trace.elsewhere.join("; ")
    );
    Ok(format!("{} calls, all of them in its folders", trace.changes))
}

/// What a daemon recorded while it acted, fed to the engine again, gives the plans of the daemon.
fn recording(stage: &mut Stage, means: &Means) -> Result<String> {
    let periods = (means.record.as_secs_f64() / means.scenario.period_s).ceil() as usize;
    stage.set(means.scenario.rest)?;
    let script = Script::write(&means.scenario, 0, &[periods + 1], SEED);
    let block = stage.begin(&means.scenario, &script.loads, &[])?;
    let daemon = Daemon::start(stage, &means.scenario, &means.options, "prove-record")?;
    daemon.enforce(stage, &means.scenario)?;
    std::thread::sleep(means.record);
    let mut replay = daemon.verb(stage, &["replay", "--since", "2h"]);
    daemon.stop()?;
    block.abandon()?;
    let output = replay.output().context("cannot run `tidegate replay`")?;
    let said: serde_json::Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("{replay:?} gave no JSON"))?;
    let count = |field: &str| said[field].as_u64().unwrap_or(0);
    let (compared, equal, full) = (
        count("plans_compared"),
        count("plans_equal"),
        count("plans_with_content"),
    );
    // One plan a second is recorded; a few may be lost at the start and the end.
    ensure!(
        compared + 20 >= means.record.as_secs(),
        "only {compared} plans were recorded"
    );
    ensure!(full > 0, "all of {compared} plans are empty");
    ensure!(
        equal == compared,
        "{equal} of {compared} plans are the same: {said}"
    );
    Ok(format!(
        "{equal} of {compared} plans are the same, {full} of them with something to do"
    ))
}

fn killed(stage: &mut Stage, means: &Means) -> Result<String> {
    let (block, daemon) = acting(stage, means, "prove-kill")?;
    daemon.signal(Signal::KILL)?;
    let took = back_within(stage, means.scenario.rest, BACK)?;
    daemon.reap()?;
    block.abandon()?;
    Ok(format!("all found values back after {:.2} s", took.as_secs_f64()))
}

fn stopped(stage: &mut Stage, means: &Means) -> Result<String> {
    let (block, daemon) = acting(stage, means, "prove-stop")?;
    daemon.signal(Signal::STOP)?;
    let took = back_within(stage, means.scenario.rest, BACK)?;
    // Who wakes up again must not go on as if nothing had happened; it may be gone, too.
    daemon.signal(Signal::CONT).ok();
    std::thread::sleep(Duration::from_secs(2));
    let stays = limits(stage)? == rest(means.scenario.rest);
    daemon.signal(Signal::KILL).ok();
    daemon.reap()?;
    block.abandon()?;
    ensure!(stays, "the daemon wrote again after it woke up");
    Ok(format!(
        "all found values back after {:.2} s, and the woken daemon writes nothing",
        took.as_secs_f64()
    ))
}

fn recreated(stage: &mut Stage, means: &Means) -> Result<String> {
    const THEIRS_CORES: f64 = 0.37;
    let (mut block, daemon) = acting(stage, means, "prove-recreate")?;
    let tenant = raised(stage, &means.scenario)?.context("the lease ended too early")?;
    block.end_tenant(tenant)?;
    stage.groups.remove(SHARERS[tenant])?;
    stage.groups.make(SHARERS[tenant])?;
    stage.groups.set_limit(SHARERS[tenant], Some(THEIRS_CORES))?;
    daemon.signal(Signal::KILL)?;
    let stays = stays_at(stage, tenant, THEIRS_CORES)?;
    daemon.reap()?;
    block.abandon()?;
    ensure!(stays, "the new group was written to");
    Ok(format!("its limit of {THEIRS_CORES} cores is untouched"))
}

fn foreign(stage: &mut Stage, means: &Means) -> Result<String> {
    const THEIRS_CORES: f64 = 0.41;
    let (block, daemon) = acting(stage, means, "prove-foreign")?;
    let tenant = raised(stage, &means.scenario)?.context("the lease ended too early")?;
    stage.groups.set_limit(SHARERS[tenant], Some(THEIRS_CORES))?;
    let stays = stays_at(stage, tenant, THEIRS_CORES)?;
    daemon.stop()?;
    let after = stage.groups.limit(SHARERS[tenant])?;
    block.abandon()?;
    ensure!(stays && after == Some(THEIRS_CORES), "the limit became {after:?}");
    Ok(format!(
        "{THEIRS_CORES} cores stayed, also after the daemon's end"
    ))
}

fn both_killed(stage: &mut Stage, means: &Means) -> Result<String> {
    let (block, daemon) = acting(stage, means, "prove-both")?;
    let guardian = guardian_of(daemon.pid())?;
    kill_process(guardian, Signal::KILL).context("cannot kill the guardian")?;
    daemon.signal(Signal::KILL)?;
    let mut restore: Command = daemon.verb(stage, &["restore"]);
    daemon.reap()?;
    block.abandon()?;
    let output = restore.output().context("cannot run `tidegate restore`")?;
    ensure!(
        output.status.success(),
        "`tidegate restore` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let took = back_within(stage, means.scenario.rest, BACK)?;
    Ok(format!(
        "all found values back {:.2} s after `tidegate restore`",
        took.as_secs_f64()
    ))
}

/// Crowds from the first seconds on, for as long as a check may take.
fn begin(stage: &mut Stage, scenario: &Scenario) -> Result<Block> {
    stage.set(scenario.rest)?;
    let script = Script::write(scenario, 0, &[40], SEED);
    stage.begin(scenario, &script.loads, &[])
}

/// A block in which the daemon holds a lease right now.
fn acting(stage: &mut Stage, means: &Means, name: &str) -> Result<(Block, Daemon)> {
    let block = begin(stage, &means.scenario)?;
    let daemon = Daemon::start(stage, &means.scenario, &means.options, name)?;
    daemon.enforce(stage, &means.scenario)?;
    let deadline = Instant::now() + ACTS;
    while Instant::now() < deadline {
        if raised(stage, &means.scenario)?.is_some() {
            return Ok((block, daemon));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the daemon did not act within {} s of crowds", ACTS.as_secs())
}

/// The tenant that has more than at rest.
fn raised(stage: &Stage, scenario: &Scenario) -> Result<Option<usize>> {
    let now = limits(stage)?;
    Ok((0..2).find(|tenant| now[*tenant].is_some_and(|cores| cores > scenario.rest.0[*tenant] + 0.01)))
}

fn limits(stage: &Stage) -> Result<[Option<f64>; 3]> {
    let [north, south, batch] = SHARERS;
    Ok([
        stage.groups.limit(north)?,
        stage.groups.limit(south)?,
        stage.groups.limit(batch)?,
    ])
}

fn rest(split: Split) -> [Option<f64>; 3] {
    split.0.map(Some)
}

/// How long it took until all limits were `split` again.
fn back_within(stage: &Stage, split: Split, most: Duration) -> Result<Duration> {
    let start = Instant::now();
    while start.elapsed() < most {
        if limits(stage)? == rest(split) {
            return Ok(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!(
        "after {} s the limits are {:?}, not {split}",
        most.as_secs(),
        limits(stage)?
    )
}

/// Whether a limit keeps its value for a while.
fn stays_at(stage: &Stage, tenant: usize, cores: f64) -> Result<bool> {
    let start = Instant::now();
    while start.elapsed() < STAYS {
        if stage.groups.limit(SHARERS[tenant])? != Some(cores) {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// The child of `pid` that was started as its guardian, by whichever of its threads.
fn guardian_of(pid: u32) -> Result<Pid> {
    let threads = format!("/proc/{pid}/task");
    for thread in std::fs::read_dir(&threads)
        .with_context(|| format!("cannot read {threads}"))?
        .flatten()
    {
        let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        if let Some(guardian) = children.split_whitespace().find(|child| is_guardian(child)) {
            return Pid::from_raw(guardian.parse()?).context("the guardian has no id");
        }
    }
    bail!("the daemon has no guardian among its children")
}

fn is_guardian(pid: &str) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).any(|word| word == b"guardian")
}

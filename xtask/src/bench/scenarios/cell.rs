//! One cell: a program under a neighbour, what the orchestrator chooses for it, and the turns of all builds.

use super::arms::{Arm, Built};
use super::kernels::Kernel;
use crate::bench::recompiler::{Tools, compile_plain};
use crate::bench::resident::Resident;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidegate_format::request::CANDIDATES_MAX;
use tidegate_format::scenario::Scenario as Wire;
use tidegate_types::{AppName, BootTime, Event, Mode, Scenario};
use tidegate_variants::heat::profile::Pick;
use tidegate_variants::orchestrator::{Orchestrator, Settings, Wish, wire};
use tidegate_variants::recipe::Recipe;
use tidegate_variants::switchboard::{Server, Switchboard};
use tidegate_variants::trial::Config;

/// A turn of one build takes about so long.
const TURN_NS: f64 = 30e6;
/// Episodes of contention until everything is decided: two for each candidate.
const EPISODES_MOST: usize = 10;
/// Until heat and values are known.
const WATCHED: Duration = Duration::from_secs(14);
/// Seeds of the inputs that every variant is compared with the base on.
const SEEDS: std::ops::Range<u64> = 1..7;

/// Where nothing was worth its switch.
const BASE: &str = "the base";

/// What one cell gave.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) kernel: &'static str,
    pub(crate) scenario: Scenario,
    /// In words.
    pub(crate) chosen: String,
    /// Milliseconds until every slot followed: to the variants once contention was seen, to the base once it ended.
    pub(crate) followed_ms: Option<(f64, f64)>,
    costs: [Vec<f64>; 6],
}

impl Cell {
    /// Nothing yet.
    pub(crate) fn new(kernel: &'static str, scenario: Scenario) -> Self {
        Self {
            kernel,
            scenario,
            chosen: BASE.to_owned(),
            followed_ms: None,
            costs: Default::default(),
        }
    }

    /// Adds a round of one build: nanoseconds per unit.
    pub(crate) fn add(&mut self, arm: Arm, cost: f64) {
        self.costs[arm as usize].push(cost);
    }

    /// The rounds of one build.
    pub(crate) fn rounds(&self, arm: Arm) -> &[f64] {
        &self.costs[arm as usize]
    }
}

/// A neighbour that contends; it is ended with this value.
struct Neighbour(Child);

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where cells are played.
pub(crate) struct Stage {
    folder: PathBuf,
    server: Server,
    neighbour: PathBuf,
    /// A program that suffers from others' use of memory.
    victim: PathBuf,
    quick: bool,
    /// The core of all builds.
    core: usize,
}

impl Stage {
    /// Serves the runtimes, and builds the neighbour.
    pub(crate) fn new(tools: &Tools, folder: &Path, workspace: &Workspace, quick: bool) -> Result<Self> {
        let build =
            |name: &str, source: &str| compile_plain(workspace, source, &["-pthread"], folder.join(name));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if cores < 2 {
            bail!("a neighbour on another core needs two cores");
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            server: tools.serve(folder)?,
            neighbour: build("neighbour", "neighbour.c")?,
            victim: build("victim", "kernels/chase.c")?,
            quick,
            core: cores - 1,
        })
    }

    fn board(&self) -> &Switchboard {
        self.server.board()
    }

    /// Contends for the builds' core, or from another core for what both use.
    fn contend(&self, scenario: Scenario) -> Result<Neighbour> {
        let core = if scenario == Scenario::Cpu { self.core } else { 0 };
        let child = Command::new("taskset")
            .args(["--cpu-list", &core.to_string()])
            .arg(&self.neighbour)
            .arg(contended(scenario))
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the neighbour (taskset is needed)")?;
        Ok(Neighbour(child))
    }

    fn start(&self, built: &Built, arm: Arm) -> Result<Resident> {
        let board = self.board();
        let resident = Resident::start(built.file(arm)?, &[], &board.options().socket_path)?;
        resident.pin(self.core)?;
        let end = Instant::now() + Duration::from_secs(20);
        while arm == Arm::Tidegate && !board.is_connected(resident.id()) {
            if Instant::now() > end {
                bail!("the program does not connect to the daemon");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(resident)
    }

    /// Every candidate of every scenario on random inputs, beside the base. Gives how many there were.
    pub(crate) fn check_candidates(&self, kernel: &Kernel, built: &Built) -> Result<u32> {
        let expected = digests(&mut self.start(built, Arm::O2)?)?;
        let mut resident = self.start(built, Arm::Tidegate)?;
        let (board, process) = (self.board(), resident.id());
        let mut compared = 0;
        for scenario in [
            Wire::Cpu,
            Wire::Memory,
            Wire::Disk,
            Wire::Network,
            Wire::Neighbour,
            Wire::Placebo,
        ] {
            for candidate in 0..CANDIDATES_MAX {
                let recipe = Recipe {
                    candidate,
                    ..Recipe::plain(scenario)
                };
                let prepared = board.prepare_recipe(process, &recipe, |_| true)?;
                if !prepared.iter().any(|prepared| prepared.outcome.is_ok()) {
                    continue;
                }
                board.switch(process, None, scenario)?;
                if digests(&mut resident)? != expected {
                    bail!("{}: {recipe} computes something else than the base", kernel.name);
                }
                compared += 1;
            }
        }
        Ok(compared)
    }

    /// Has the orchestrator choose, then lets all builds take turns under the same neighbour.
    pub(crate) fn play(
        &self,
        kernel: &Kernel,
        built: &Built,
        scenario: Scenario,
        rounds: usize,
    ) -> Result<Cell> {
        let mut cell = Cell::new(kernel.name, scenario);
        let mut chosen = self.start(built, Arm::Tidegate)?;
        let expected = digests(&mut chosen)?;
        let orchestrator = self.orchestrator(kernel, scenario)?;
        let neighbour = self.choose(&orchestrator, &mut chosen, kernel, scenario)?;
        cell.chosen = self.in_use(chosen.id(), scenario)?;
        if cell.chosen != BASE {
            cell.followed_ms = Some(self.follow(&orchestrator, (kernel, chosen.id()), scenario)?);
        }
        let mut arms = Vec::new();
        for (arm, _) in built.files.iter().filter(|(arm, _)| *arm != Arm::Tidegate) {
            arms.push((*arm, self.start(built, *arm)?));
        }
        arms.push((Arm::Tidegate, chosen));
        take_turns(&mut cell, &mut arms, rounds)?;
        // After the turns: inputs of another kind end what was assumed of the usual ones.
        for (_, resident) in arms.iter_mut().filter(|(arm, _)| *arm == Arm::Tidegate) {
            if digests(resident)? != expected {
                bail!(
                    "{}: {} computes something else than the base",
                    kernel.name,
                    cell.chosen
                );
            }
        }
        orchestrator.submit(Vec::new());
        drop(neighbour);
        Ok(cell)
    }

    /// What a victim on another core pays per unit, in nanoseconds, beside the base and beside the first variant that is
    /// there to spare it, in turns. None where there is no such variant.
    pub(crate) fn spare(&self, built: &Built, rounds: usize) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let mut app = self.start(built, Arm::Tidegate)?;
        let (board, process) = (self.board(), app.id());
        let recipe = Recipe::plain(Wire::Neighbour);
        let prepared = board.prepare_recipe(process, &recipe, |_| true)?;
        if !prepared.iter().any(|prepared| prepared.outcome.is_ok()) {
            return Ok(None);
        }
        let mut victim = Resident::start(&self.victim, &[], &board.options().socket_path)?;
        victim.pin(0)?;
        let units = (TURN_NS / victim.measure("run 2")?.max(1.0)).ceil().max(1.0) as u64;
        let mut beside = |scenario| -> Result<f64> {
            board.switch(process, None, scenario)?;
            app.order("go")?;
            let cost = victim.measure(&format!("run {units}"))?;
            app.ask("halt")?;
            Ok(cost)
        };
        let (mut base, mut variant) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let mut order = [Wire::Base, Wire::Neighbour];
            order.rotate_left(round % 2);
            for scenario in order {
                let costs = if scenario == Wire::Base {
                    &mut base
                } else {
                    &mut variant
                };
                costs.push(beside(scenario)?);
            }
        }
        Ok(Some((base, variant)))
    }

    fn orchestrator(&self, kernel: &Kernel, scenario: Scenario) -> Result<Orchestrator> {
        let choices_path = self.folder.join(format!("{}-{scenario}.json", kernel.name));
        if choices_path.exists() {
            std::fs::remove_file(&choices_path).context("the verdicts of an earlier run")?;
        }
        let trial = Config {
            blocks: if self.quick { 8 } else { 24 },
            slice_ms: if self.quick { 30 } else { 50 },
            ..Config::default()
        };
        let settings = Settings {
            trial,
            pick: Pick {
                functions: 3,
                ..Pick::default()
            },
            choices_path,
            seed: 1,
            check_every: Duration::from_hours(1),
        };
        Ok(Orchestrator::start(self.board().clone(), settings))
    }

    /// Episodes of contention, until one in which nothing is tried any more; it goes on.
    fn choose(
        &self,
        orchestrator: &Orchestrator,
        resident: &mut Resident,
        kernel: &Kernel,
        scenario: Scenario,
    ) -> Result<Neighbour> {
        let process = resident.id();
        let wish = |from_s| wish(kernel, process, scenario, from_s);
        resident.order("go")?;
        orchestrator.submit(vec![wish(80_000.0)]);
        std::thread::sleep(WATCHED);
        for _ in 0..EPISODES_MOST {
            orchestrator.submit(vec![wish(80_000.0)]);
            rest(orchestrator)?;
            let neighbour = self.contend(scenario)?;
            orchestrator.take_events();
            orchestrator.submit(vec![wish(-1.0)]);
            rest(orchestrator)?;
            let tried = orchestrator
                .take_events()
                .iter()
                .any(|event| matches!(event, Event::Trial(_)));
            if !tried {
                resident.ask("halt")?;
                return Ok(neighbour);
            }
            drop(neighbour);
            orchestrator.submit(Vec::new());
            // A confirmation belongs to another episode; they are told apart by seconds.
            std::thread::sleep(Duration::from_millis(1500));
        }
        resident.ask("halt")?;
        orchestrator.submit(vec![wish(-1.0)]);
        self.contend(scenario)
    }

    /// What the slots lead to, in words.
    fn in_use(&self, process: u32, scenario: Scenario) -> Result<String> {
        let mut words = Vec::new();
        let wire = wire(scenario);
        for info in self.board().functions(process)? {
            if info.current == wire {
                let recipe = self.board().recipe_of(process, info.index, wire)?;
                let recipe = recipe.map_or_else(|| wire.to_string(), |recipe| recipe.to_string());
                words.push(format!("{} by {recipe}", info.name));
            }
        }
        Ok(if words.is_empty() {
            BASE.to_owned()
        } else {
            words.join("; ")
        })
    }

    /// Lets contention end and begin again, as far as the orchestrator hears of it, and waits until the slots follow.
    fn follow(
        &self,
        orchestrator: &Orchestrator,
        (kernel, process): (&Kernel, u32),
        scenario: Scenario,
    ) -> Result<(f64, f64)> {
        let used = self.in_use(process, scenario)?;
        let until = |expected: &str| -> Result<f64> {
            let begin = Instant::now();
            while self.in_use(process, scenario)? != expected {
                if begin.elapsed() > Duration::from_secs(30) {
                    bail!("the slots do not follow to {expected}");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(begin.elapsed().as_secs_f64() * 1e3)
        };
        orchestrator.submit(Vec::new());
        let back_ms = until(BASE)?;
        orchestrator.submit(vec![wish(kernel, process, scenario, -1.0)]);
        Ok((until(&used)?, back_ms))
    }
}

/// A wish for contention that begins then; one that has begun is there.
fn wish(kernel: &Kernel, process: u32, scenario: Scenario, from_s: f64) -> Wish {
    Wish {
        app: AppName::new(&format!("exe:{}", kernel.name)),
        processes: vec![process],
        cores: Vec::new(),
        scenario,
        by: boot_now().plus_seconds(from_s),
        until: boot_now().plus_seconds(86_400.0),
        mode: Mode::Enforce,
        prediction: None,
        is_observed: from_s < 0.0,
    }
}

/// What the neighbour contends for.
fn contended(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Cpu => "cpu",
        Scenario::Memory | Scenario::Neighbour => "memory",
        Scenario::Disk => "disk",
        Scenario::Network => "network",
    }
}

fn boot_now() -> BootTime {
    let time = clock_gettime(ClockId::Boottime);
    BootTime(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
}

/// Waits until the orchestrator has nothing to compile and nothing to try, twice in a row.
fn rest(orchestrator: &Orchestrator) -> Result<()> {
    let end = Instant::now() + Duration::from_mins(10);
    let mut rested = 0;
    while rested < 4 {
        std::thread::sleep(Duration::from_millis(300));
        rested = if orchestrator.status().is_resting {
            rested + 1
        } else {
            0
        };
        if Instant::now() > end {
            bail!(
                "the orchestrator does not come to rest: {:?}",
                orchestrator.status()
            );
        }
    }
    Ok(())
}

fn digests(resident: &mut Resident) -> Result<Vec<String>> {
    SEEDS.map(|seed| resident.ask(&format!("check {seed}"))).collect()
}

/// All builds in turn, in an order that rotates.
fn take_turns(cell: &mut Cell, arms: &mut [(Arm, Resident)], rounds: usize) -> Result<()> {
    let mut units = Vec::new();
    for (_, resident) in arms.iter_mut() {
        let unit_ns = resident.measure("run 2")?;
        units.push((TURN_NS / unit_ns.max(1.0)).ceil().max(1.0) as u64);
    }
    let count = arms.len();
    for round in 0..rounds {
        for place in 0..count {
            let place = if round % 2 == 0 { place } else { count - 1 - place };
            let index = (place + round / 2) % count;
            let cost = arms[index].1.measure(&format!("run {}", units[index]))?;
            cell.add(arms[index].0, cost);
        }
    }
    Ok(())
}

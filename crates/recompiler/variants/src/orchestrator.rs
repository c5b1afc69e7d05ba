//! From wishes to variants: the thread that watches heat, has variants made ahead, tries and switches them.
//!
//! Why so: the planner says which app, cores and scenario, and when; which functions is decided here from heat.
//! One thread conducts: every 200 ms it compares the wishes with what the processes have and asks
//! [`crate::decide`] what to do. Switches are stores and done at once; compiling and trying take long and are done
//! one at a time by a second thread, so that the end of a wish is never waited for.
//!
//! Wishes are the whole of what should hold: one that is no longer submitted is over. Only wishes in mode
//! `Enforce` touch a process.
//!
//! Not here: predictions, policy, and the mapping from apps to processes.

use crate::VariantsError;
use crate::choice::{Advice, Choices};
use crate::decide::{Action, Known, Phase, decide, phase};
use crate::heat::profile::{Hot, Pick, Profile};
use crate::heat::resolve::Resolver;
use crate::heat::{Sample, Sampler, Scope};
use crate::live::{LiveTrial, Subject};
use crate::recipe::Recipe;
use crate::session::FunctionInfo;
use crate::switchboard::Switchboard;
use crate::trial::{Config, Verdict};
use crate::values::Values;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use tidegate_format::FunctionHash;
use tidegate_format::message::Reason;
use tidegate_format::request::{CANDIDATES_MAX, Constant};
use tidegate_format::scenario::Scenario;
use tidegate_types::{AppName, BootTime, Event, Mode, TrialVerdict};

/// How often wishes and processes are compared: an onset is followed within 200 ms.
const INTERVAL: Duration = Duration::from_millis(200);
/// How often samples are taken from the kernel's buffers.
const HEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Heat follows a program's phases within some minutes.
const HALF_LIFE_S: f64 = 120.0;
/// Odd, so that it does not beat with timers at round frequencies.
const FREQUENCY_HZ: u32 = 97;
/// Below this weight of samples a process is not known well enough.
const LEAST_SAMPLES: f64 = 50.0;
/// How long a wish that is over is kept in mind, so that what was missing is compiled afterwards.
const AFTERWARDS_S: f64 = 600.0;
/// Events that nobody takes are dropped, the oldest first.
const EVENT_LIMIT: usize = 1000;

/// A wish for variants: the app's part of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Whose functions.
    pub app: AppName,
    /// The app's processes now.
    pub processes: Vec<u32>,
    /// Cores that the contention hits; none named = any.
    pub cores: Vec<u16>,
    /// For which scenario.
    pub scenario: tidegate_types::Scenario,
    /// From when the variants should be in use.
    pub by: BootTime,
    /// Until when.
    pub until: BootTime,
    /// Only `Enforce` touches a process.
    pub mode: Mode,
}

/// How the orchestrator works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bounds of trials.
    pub trial: Config,
    /// Which functions count as hot.
    pub pick: Pick,
    /// The file of remembered verdicts.
    pub choices_path: PathBuf,
    /// Seed of the trials' coins.
    pub seed: u64,
}

impl Settings {
    /// The defaults, with the verdicts in this folder.
    pub fn in_folder(folder: &Path) -> Self {
        let choices_path = folder.join("choices.json");
        Self {
            trial: Config::default(),
            pick: Pick::default(),
            choices_path,
            seed: clock_seed(),
        }
    }
}

fn clock_seed() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as u64)
}

/// What the orchestrator can say about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Why the host cannot be sampled as a whole; `None` where it can.
    pub heat_absent: Option<String>,
    /// Why verdicts are not remembered; `None` where they are.
    pub choices_absent: Option<String>,
    /// The last thing that went wrong with a process.
    pub last_error: Option<String>,
}

/// The running orchestrator. Dropping it ends its threads; the base is put back where it had switched.
#[derive(Debug)]
pub struct Orchestrator {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    wishes: Mutex<Vec<Wish>>,
    events: Mutex<Vec<Event>>,
    status: Mutex<Status>,
    closing: AtomicBool,
    /// Whether the trial that runs may go on.
    trial_goes_on: AtomicBool,
    /// Whether something disturbed the present slice.
    disturbed: AtomicBool,
    /// The process on trial, for [`Orchestrator::disturb`].
    on_trial: Mutex<Option<u32>>,
}

impl Orchestrator {
    /// Starts sampling and conducting.
    pub fn start(board: Switchboard, settings: Settings) -> Self {
        let shared = Arc::new(Shared::default());
        let (jobs, job_source) = channel();
        let (results, result_source) = channel();
        let worker = Bench {
            shared: Arc::clone(&shared),
            board: board.clone(),
            trials: BTreeMap::new(),
            settings: settings.clone(),
        };
        let conductor = Conductor::new(Arc::clone(&shared), board, settings, (jobs, result_source));
        let threads = vec![
            thread::spawn(move || worker.serve(&job_source, &results)),
            thread::spawn(move || conductor.run()),
        ];
        Self { shared, threads }
    }

    /// Says what should hold from now on, all of it.
    pub fn submit(&self, wishes: Vec<Wish>) {
        *lock(&self.shared.wishes) = wishes;
    }

    /// Takes what happened since the last time.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.shared.events))
    }

    /// What works and what does not.
    pub fn status(&self) -> Status {
        lock(&self.shared.status).clone()
    }

    /// Says that something else was changed for these processes (a knob): a trial slice under way does not count.
    pub fn disturb(&self, processes: &[u32]) {
        if lock(&self.shared.on_trial).is_some_and(|process| processes.contains(&process)) {
            self.shared.disturbed.store(true, Ordering::Release);
        }
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.trial_goes_on.store(false, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn tell(&self, event: Event) {
        let mut events = lock(&self.events);
        if events.len() >= EVENT_LIMIT {
            events.remove(0);
        }
        events.push(event);
    }

    fn note(&self, error: &VariantsError) {
        lock(&self.status).last_error = Some(error.to_string());
    }
}

/// A long thing to do.
#[derive(Clone, Debug)]
struct Job {
    app: AppName,
    subject: Subject,
    name: String,
    hash: FunctionHash,
    recipe: Recipe,
    kind: JobKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobKind {
    Prepare { with_placebo: bool },
    Try,
}

#[derive(Debug)]
enum Outcome {
    Prepared(Result<(), VariantsError>),
    Tried(Result<Option<Verdict>, VariantsError>),
}

/// The second thread: one job after another. Interrupted trials wait here for their next episode.
struct Bench {
    shared: Arc<Shared>,
    board: Switchboard,
    trials: BTreeMap<(u32, u32, Recipe), LiveTrial>,
    settings: Settings,
}

impl Bench {
    fn serve(mut self, jobs: &Receiver<Job>, results: &Sender<(Job, Outcome)>) {
        for job in jobs {
            let outcome = match job.kind {
                JobKind::Prepare { with_placebo } => Outcome::Prepared(self.prepare(&job, with_placebo)),
                JobKind::Try => Outcome::Tried(self.try_out(&job)),
            };
            if results.send((job, outcome)).is_err() {
                return;
            }
        }
    }

    fn prepare(&self, job: &Job, with_placebo: bool) -> Result<(), VariantsError> {
        let Subject {
            process, function, ..
        } = job.subject;
        let mut recipes = vec![job.recipe.clone()];
        if with_placebo {
            recipes.push(Recipe::plain(Scenario::Placebo));
        }
        for recipe in recipes {
            for prepared in self
                .board
                .prepare_recipe(process, &recipe, |info| info.index == function)?
            {
                prepared.outcome?;
            }
        }
        Ok(())
    }

    fn try_out(&mut self, job: &Job) -> Result<Option<Verdict>, VariantsError> {
        let Subject {
            process, function, ..
        } = job.subject;
        let key = (process, function, job.recipe.clone());
        let seed = self.settings.seed ^ u64::from(process) << 32 ^ u64::from(function);
        let fresh = || LiveTrial::new(job.subject, self.settings.trial, seed);
        let mut trial = self.trials.remove(&key).unwrap_or_else(fresh);
        *lock(&self.shared.on_trial) = Some(process);
        let goes_on = || self.shared.trial_goes_on.load(Ordering::Acquire);
        let disturbed = || self.shared.disturbed.swap(false, Ordering::AcqRel);
        let outcome = trial.run(&self.board, goes_on, disturbed);
        *lock(&self.shared.on_trial) = None;
        if matches!(outcome, Ok(None)) {
            self.trials.insert(key, trial);
        }
        let board = &self.board;
        self.trials
            .retain(|(process, _, _), _| board.is_connected(*process));
        outcome
    }
}

/// A wish and since when it is over, if it is.
#[derive(Clone, Debug)]
struct Remembered {
    wish: Wish,
    over_since: Option<BootTime>,
}

/// Where samples come from: the whole host where the kernel allows it, else each wished process by itself.
enum Sampling {
    Host(Sampler),
    Each(BTreeMap<u32, Sampler>),
}

impl Sampling {
    fn take(&mut self, wished: BTreeSet<u32>) -> Vec<Sample> {
        let samplers = match self {
            Self::Host(sampler) => return sampler.drain().samples,
            Self::Each(samplers) => samplers,
        };
        samplers.retain(|process, _| wished.contains(process));
        for process in wished {
            if !samplers.contains_key(&process)
                && let Ok(sampler) = Sampler::start(Scope::Process(process), FREQUENCY_HZ)
            {
                samplers.insert(process, sampler);
            }
        }
        samplers
            .values_mut()
            .flat_map(|sampler| sampler.drain().samples)
            .collect()
    }
}

/// The first thread.
struct Conductor {
    shared: Arc<Shared>,
    board: Switchboard,
    settings: Settings,
    sampling: Sampling,
    profile: Profile,
    resolver: Resolver,
    choices: Choices,
    wishes: Vec<Remembered>,
    refused: BTreeSet<(u32, FunctionHash, Recipe)>,
    values: Values,
    running: Option<Job>,
    jobs: Sender<Job>,
    results: Receiver<(Job, Outcome)>,
    heat_taken: Instant,
}

impl Conductor {
    fn new(
        shared: Arc<Shared>,
        board: Switchboard,
        settings: Settings,
        (jobs, results): (Sender<Job>, Receiver<(Job, Outcome)>),
    ) -> Self {
        let host = Sampler::start(Scope::Host, FREQUENCY_HZ);
        let values = Values::new(settings.seed);
        let choices = Choices::load(&settings.choices_path);
        *lock(&shared.status) = Status {
            heat_absent: host
                .as_ref()
                .err()
                .map(|error| format!("{error}; only processes of this user are sampled")),
            choices_absent: choices.as_ref().err().map(ToString::to_string),
            last_error: None,
        };
        Self {
            shared,
            board,
            settings,
            sampling: host.map_or_else(|_| Sampling::Each(BTreeMap::new()), Sampling::Host),
            profile: Profile::default(),
            resolver: Resolver::default(),
            choices: choices.unwrap_or_default(),
            wishes: Vec::new(),
            refused: BTreeSet::new(),
            values,
            running: None,
            jobs,
            results,
            heat_taken: Instant::now(),
        }
    }

    fn run(mut self) {
        while !self.shared.closing.load(Ordering::Acquire) {
            self.take_heat();
            self.take_results();
            self.take_wishes(now());
            self.conduct(now());
            thread::sleep(INTERVAL);
        }
        for remembered in &mut self.wishes {
            remembered.wish.until = BootTime(0);
        }
        self.conduct(now());
    }

    fn take_heat(&mut self) {
        let elapsed = self.heat_taken.elapsed();
        if elapsed < HEAT_INTERVAL {
            return;
        }
        self.heat_taken = Instant::now();
        let connected: BTreeSet<u32> = self
            .board
            .processes()
            .iter()
            .map(|info| info.peer.process)
            .collect();
        let wished = self
            .wishes
            .iter()
            .flat_map(|known| known.wish.processes.iter().copied());
        let samples = self
            .sampling
            .take(wished.filter(|process| connected.contains(process)).collect());
        self.resolver.retain(|process| connected.contains(&process));
        self.refused.retain(|(process, _, _)| connected.contains(process));
        self.values.retain(|process| connected.contains(&process));
        self.profile.age(elapsed.as_secs_f64(), HALF_LIFE_S);
        for sample in samples {
            // Only connected processes can be switched; the others' samples would only fill the profile.
            if connected.contains(&sample.process) {
                let function = self.resolver.function(sample.process, sample.address);
                self.profile.add(sample.process, sample.core, function.as_deref());
            }
        }
    }

    /// Wishes that are submitted are present; others are over since now, and forgotten after a while.
    fn take_wishes(&mut self, now: BootTime) {
        let submitted: Vec<Wish> = lock(&self.shared.wishes)
            .iter()
            .filter(|wish| wish.mode == Mode::Enforce)
            .cloned()
            .collect();
        for remembered in &mut self.wishes {
            remembered.over_since.get_or_insert(now);
        }
        for wish in submitted {
            self.wishes
                .retain(|known| (&known.wish.app, known.wish.scenario) != (&wish.app, wish.scenario));
            let over_since = (now >= wish.until).then_some(now);
            self.wishes.push(Remembered { wish, over_since });
        }
        self.wishes.retain(|known| {
            known
                .over_since
                .is_none_or(|since| now.seconds_since(since) < AFTERWARDS_S)
        });
    }

    /// Every process once: under the wish that is most present.
    fn conduct(&mut self, now: BootTime) {
        let mut by_process: BTreeMap<u32, (Phase, Wish)> = BTreeMap::new();
        for known in &self.wishes {
            let over = known.over_since.is_some();
            let phase = if over {
                Phase::Over
            } else {
                phase(now, known.wish.by, known.wish.until)
            };
            for process in &known.wish.processes {
                let present = by_process.get(process).map(|(phase, _)| urgency(*phase));
                if present.is_none_or(|present| urgency(phase) > present) {
                    by_process.insert(*process, (phase, known.wish.clone()));
                }
            }
        }
        let trial = self.running.as_ref().filter(|job| job.kind == JobKind::Try);
        let goes_on = trial.is_some_and(|job| {
            let wish = by_process.get(&job.subject.process);
            wish.is_some_and(|(phase, wish)| {
                *phase == Phase::Now && wire(wish.scenario) == job.subject.scenario
            })
        });
        if trial.is_some() {
            self.shared.trial_goes_on.store(goes_on, Ordering::Release);
        }
        for (process, (phase, wish)) in by_process {
            if self.board.is_connected(process)
                && let Err(error) = self.conduct_process(process, phase, &wish)
            {
                self.shared.note(&error);
            }
        }
    }

    fn conduct_process(&mut self, process: u32, phase: Phase, wish: &Wish) -> Result<(), VariantsError> {
        let scenario = wire(wish.scenario);
        let infos = self.board.functions(process)?;
        let names = |index: u32| {
            infos
                .get(index as usize)
                .map(|info| info.name.clone())
                .unwrap_or_default()
        };
        let loaded = self.board.loaded_code(process)?;
        let ranges = loaded
            .into_iter()
            .map(|(index, start, length)| (start, length, names(index)));
        let closed = infos.iter().filter(|info| info.reason == Reason::Closed).count();
        self.resolver
            .set_loaded(process, ranges.collect(), (infos.len(), closed));
        let hot = self.hot(process, &wish.cores);
        self.look_at_values(process, scenario, &infos, &hot)?;
        let episode_utc_s = utc_s().saturating_add_signed(seconds_until(now(), wish.by));
        let switchable = infos.iter().filter(|info| info.reason == Reason::None);
        let mut known = Vec::new();
        let mut recipes = BTreeMap::new();
        for info in switchable {
            let (facts, recipe) = self.known(process, (scenario, episode_utc_s), info, &hot)?;
            known.push(facts);
            recipes.insert(info.index, recipe);
        }
        for action in decide(phase, scenario, &known) {
            let function = match action {
                Action::Switch { function, to } => {
                    self.board.switch_index(process, function, to)?;
                    continue;
                }
                Action::Prepare { function, .. } | Action::Try { function } => function,
            };
            let kind = match action {
                Action::Prepare { with_placebo, .. } => JobKind::Prepare { with_placebo },
                _ => JobKind::Try,
            };
            if let Some((info, recipe)) = infos.get(function as usize).zip(recipes.get(&function)) {
                let subject = Subject {
                    process,
                    function,
                    scenario,
                };
                self.begin(wish, subject, (info, recipe), kind);
            }
        }
        Ok(())
    }

    fn hot(&self, process: u32, cores: &[u16]) -> Vec<Hot> {
        let cores: Vec<u32> = cores.iter().copied().map(u32::from).collect();
        if self.profile.total(process, &[]) < LEAST_SAMPLES {
            return Vec::new();
        }
        self.profile.hottest(process, &cores, self.settings.pick)
    }

    /// One burst of captured calls at a time: begun on a hot function now and then, taken at the next look.
    fn look_at_values(
        &mut self,
        process: u32,
        scenario: Scenario,
        infos: &[FunctionInfo],
        hot: &[Hot],
    ) -> Result<(), VariantsError> {
        // A trial counts calls by the same means, and its slices must not be disturbed.
        let on_trial = self
            .running
            .as_ref()
            .is_some_and(|job| job.kind == JobKind::Try && job.subject.process == process);
        if let Some(function) = self.values.take_armed(process) {
            let calls = self.board.take_capture(process, function)?;
            let in_use = match infos.get(function as usize) {
                Some(info) if info.current == scenario => {
                    self.board.recipe_of(process, function, scenario)?
                }
                _ => None,
            };
            self.values.add(process, function, &calls, in_use.as_ref());
        } else if !on_trial {
            let hot = hot
                .iter()
                .filter_map(|hot| infos.iter().find(|info| info.name == hot.function))
                .filter(|info| info.reason == Reason::None)
                .map(|info| info.index);
            if let Some(function) = self.values.next_to_arm(process, &hot.collect::<Vec<_>>()) {
                self.board.arm_capture(process, function)?;
            }
        }
        Ok(())
    }

    /// The recipes of a function in the order in which they are tried: with what is constant, then without.
    fn recipes(&self, process: u32, function: u32, scenario: Scenario) -> Vec<Recipe> {
        let candidates = |constants: &[Constant]| {
            (0..CANDIDATES_MAX)
                .map(|candidate| Recipe {
                    scenario,
                    candidate,
                    constants: constants.to_vec(),
                })
                .collect::<Vec<_>>()
        };
        let constants = self.values.stable(process, function);
        let mut recipes = Vec::new();
        if !constants.is_empty() {
            recipes.extend(candidates(&constants).into_iter().take(1));
        }
        recipes.extend(candidates(&[]));
        recipes
    }

    /// What is known about a function, and the recipe that it is known of: the first that is not known to be of no
    /// use.
    fn known(
        &self,
        process: u32,
        (scenario, episode_utc_s): (Scenario, u64),
        info: &FunctionInfo,
        hot: &[Hot],
    ) -> Result<(Known, Recipe), VariantsError> {
        let model = &self.board.options().processor.model;
        let on_trial = self.running.as_ref().is_some_and(|job| {
            job.kind == JobKind::Try && (job.subject.process, job.subject.function) == (process, info.index)
        });
        let advice = |recipe: &Recipe| {
            let refused = self.refused.contains(&(process, info.hash, recipe.clone()));
            (!refused).then(|| self.choices.advice(info.hash, recipe, model, episode_utc_s))
        };
        let open = self
            .recipes(process, info.index, scenario)
            .into_iter()
            .find_map(|recipe| {
                Some((
                    advice(&recipe).filter(|advice| *advice != Advice::KeepBase)?,
                    recipe,
                ))
            });
        let (advice, recipe) = open.unwrap_or((Advice::KeepBase, Recipe::plain(scenario)));
        let loaded = self.board.recipe_of(process, info.index, scenario)?;
        let known = Known {
            function: info.index,
            rank: hot.iter().position(|hot| hot.function == info.name),
            advice,
            has_variant: info.loaded.contains(&scenario)
                && loaded.map_or(recipe == Recipe::plain(scenario), |loaded| loaded == recipe),
            has_placebo: info.loaded.contains(&Scenario::Placebo),
            refused: false,
            on_trial,
            current: info.current,
        };
        Ok((known, recipe))
    }

    /// Hands a job over if none is running.
    fn begin(
        &mut self,
        wish: &Wish,
        subject: Subject,
        (info, recipe): (&FunctionInfo, &Recipe),
        kind: JobKind,
    ) {
        if self.running.is_some() {
            return;
        }
        let job = Job {
            app: wish.app.clone(),
            subject,
            name: info.name.clone(),
            hash: info.hash,
            recipe: recipe.clone(),
            kind,
        };
        self.shared
            .trial_goes_on
            .store(kind == JobKind::Try, Ordering::Release);
        if self.jobs.send(job.clone()).is_ok() {
            self.running = Some(job);
        }
    }

    fn take_results(&mut self) {
        while let Ok((job, outcome)) = self.results.try_recv() {
            self.running = None;
            match outcome {
                Outcome::Prepared(Ok(())) => self.shared.tell(Event::VariantReady {
                    app: job.app,
                    function: job.name,
                    scenario: plain(job.subject.scenario),
                }),
                Outcome::Prepared(Err(error)) => {
                    // Whatever it was, trying again at every look would be a compile storm.
                    self.refused.insert((job.subject.process, job.hash, job.recipe));
                    self.shared.note(&error);
                }
                Outcome::Tried(Ok(Some(verdict))) => self.remember(job, &verdict),
                Outcome::Tried(Ok(None)) => {}
                Outcome::Tried(Err(error)) => self.shared.note(&error),
            }
        }
    }

    fn remember(&mut self, job: Job, verdict: &Verdict) {
        let model = self.board.options().processor.model.clone();
        self.choices
            .put((job.hash, &job.recipe, &model), &job.name, *verdict, utc_s());
        if let Err(error) = self.choices.save(&self.settings.choices_path) {
            lock(&self.shared.status).choices_absent = Some(error.to_string());
        }
        let gain = verdict.gain();
        self.shared.tell(Event::Trial(TrialVerdict {
            app: job.app,
            pid: job.subject.process,
            function: job.name,
            scenario: plain(job.subject.scenario),
            kept: verdict.kept,
            ratio: gain.estimate.exp(),
            interval: (gain.lower.exp(), gain.upper.exp()),
            reason: verdict.ground.to_string(),
        }));
    }
}

fn urgency(phase: Phase) -> u8 {
    match phase {
        Phase::Over => 0,
        Phase::Ahead => 1,
        Phase::Now => 2,
    }
}

fn now() -> BootTime {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    BootTime(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
}

/// Whole seconds from one moment to another, negative where it has passed.
fn seconds_until(from: BootTime, to: BootTime) -> i64 {
    (i128::from(to.0) - i128::from(from.0)).div_euclid(1_000_000_000) as i64
}

fn utc_s() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// The planner's word as the wire's.
fn wire(scenario: tidegate_types::Scenario) -> Scenario {
    match scenario {
        tidegate_types::Scenario::Cpu => Scenario::Cpu,
        tidegate_types::Scenario::Memory => Scenario::Memory,
        tidegate_types::Scenario::Disk => Scenario::Disk,
        tidegate_types::Scenario::Network => Scenario::Network,
        tidegate_types::Scenario::Neighbour => Scenario::Neighbour,
    }
}

/// The wire's word as the planner's; base and placebo are nobody's wish.
fn plain(scenario: Scenario) -> tidegate_types::Scenario {
    match scenario {
        Scenario::Memory => tidegate_types::Scenario::Memory,
        Scenario::Disk => tidegate_types::Scenario::Disk,
        Scenario::Network => tidegate_types::Scenario::Network,
        Scenario::Neighbour => tidegate_types::Scenario::Neighbour,
        Scenario::Base | Scenario::Placebo | Scenario::Cpu => tidegate_types::Scenario::Cpu,
    }
}

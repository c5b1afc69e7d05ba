//! The first thread: what should hold against what the processes have.
//!
//! Not here: the rules ([`crate::decide`]), and what takes long ([`super::bench`]).

use super::bench::{Job, JobKind, Outcome};
use super::{Settings, Shared, Status, Wish, lock};
use crate::VariantsError;
use crate::choice::{Advice, Choices};
use crate::decide::{Action, Known, Phase, decide, phase};
use crate::heat::profile::{Hot, Profile};
use crate::heat::resolve::Resolver;
use crate::heat::{Sample, Sampler, Scope, Signal};
use crate::live::Subject;
use crate::recipe::Recipe;
use crate::session::FunctionInfo;
use crate::switchboard::Switchboard;
use crate::trial::{Ground, Verdict};
use crate::values::Values;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant, SystemTime};
use tidegate_format::FunctionHash;
use tidegate_format::message::Reason;
use tidegate_format::request::{CANDIDATES_MAX, Constant};
use tidegate_format::scenario::Scenario;
use tidegate_types::{BootTime, Event, Mode, Switched, TrialVerdict};

/// How often wishes and processes are compared where nothing asks for it sooner.
const INTERVAL: Duration = Duration::from_millis(200);
/// How often samples are taken from the kernel's buffers.
const HEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Heat follows a program's phases within some minutes.
const HALF_LIFE_S: f64 = 120.0;
/// Odd, so that it does not beat with timers at round frequencies.
const FREQUENCY_HZ: u32 = 97;
/// Below this weight of samples a process is not known well enough.
const LEAST_SAMPLES: f64 = 50.0;
/// What comes so much earlier than most likely is still what was foretold.
const EARLY_S: f64 = 5.0;
/// How long a wish that is over is kept in mind, so that what was missing is compiled afterwards.
const AFTERWARDS_S: f64 = 600.0;

/// A wish and since when it is over, if it is.
#[derive(Clone, Debug)]
struct Remembered {
    wish: Wish,
    over_since: Option<BootTime>,
    /// Whether it was among the wishes before these.
    submitted_last: bool,
}

/// Where samples come from: the whole host where the kernel allows it, else each wished process by itself, by the clock
/// alone.
enum Sampling {
    Host(Vec<Sampler>),
    Each(BTreeMap<u32, Sampler>),
}

impl Sampling {
    /// Samplers of the host, of every signal that the kernel gives; why there is none, where the clock is refused.
    fn start() -> (Self, Option<VariantsError>) {
        let clock = match Sampler::start(Scope::Host, FREQUENCY_HZ) {
            Ok(clock) => clock,
            Err(error) => return (Self::Each(BTreeMap::new()), Some(error)),
        };
        let others = [Signal::Fault, Signal::Wait];
        let others = others.map(|signal| Sampler::start_for(signal, Scope::Host, FREQUENCY_HZ));
        let all = std::iter::once(clock).chain(others.into_iter().filter_map(Result::ok));
        (Self::Host(all.collect()), None)
    }

    fn take(&mut self, wished: BTreeSet<u32>) -> Vec<Sample> {
        let samplers = match self {
            Self::Host(samplers) => {
                return samplers
                    .iter_mut()
                    .flat_map(|sampler| sampler.drain().samples)
                    .collect();
            }
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

/// What makes a function hot under a scenario, the most telling first.
fn signals(scenario: Scenario) -> &'static [Signal] {
    match scenario {
        Scenario::Memory => &[Signal::Clock, Signal::Fault],
        Scenario::Disk | Scenario::Network => &[Signal::Wait, Signal::Clock],
        _ => &[Signal::Clock],
    }
}

/// The first thread.
pub(super) struct Conductor {
    shared: Arc<Shared>,
    board: Switchboard,
    settings: Settings,
    sampling: Sampling,
    /// By signal.
    profiles: BTreeMap<Signal, Profile>,
    resolver: Resolver,
    choices: Choices,
    wishes: Vec<Remembered>,
    refused: BTreeSet<(u32, FunctionHash, Recipe)>,
    values: Values,
    running: Option<Job>,
    jobs: Sender<Job>,
    results: Receiver<(Job, Outcome)>,
    heat_taken: Instant,
    /// When variants in use were compared with the base, or began to be used, by process and function.
    checked: BTreeMap<(u32, u32), Instant>,
    /// Slots that we led to a variant, by process and function.
    ours: BTreeSet<(u32, u32)>,
    /// Whether the last look found something to compile or to try.
    has_work: bool,
}

impl Conductor {
    pub(super) fn new(
        shared: Arc<Shared>,
        board: Switchboard,
        settings: Settings,
        (jobs, results): (Sender<Job>, Receiver<(Job, Outcome)>),
    ) -> Self {
        let (sampling, heat_absent) = Sampling::start();
        let values = Values::new(settings.seed);
        let choices = Choices::load(&settings.choices_path);
        *lock(&shared.status) = Status {
            heat_absent: heat_absent.map(|error| format!("{error}; only processes of this user are sampled")),
            choices_absent: choices.as_ref().err().map(ToString::to_string),
            last_error: None,
            is_resting: false,
        };
        Self {
            shared,
            board,
            settings,
            sampling,
            profiles: BTreeMap::new(),
            resolver: Resolver::default(),
            choices: choices.unwrap_or_default(),
            wishes: Vec::new(),
            refused: BTreeSet::new(),
            values,
            running: None,
            jobs,
            results,
            heat_taken: Instant::now(),
            checked: BTreeMap::new(),
            ours: BTreeSet::new(),
            has_work: false,
        }
    }

    pub(super) fn run(mut self) {
        while !self.shared.closing.load(Ordering::Acquire) {
            self.take_heat();
            self.take_results();
            self.take_wishes(now());
            self.has_work = false;
            self.conduct(now());
            lock(&self.shared.status).is_resting = !self.has_work && self.running.is_none();
            self.shared.wait(self.until_next_look(now()));
        }
        for remembered in &mut self.wishes {
            remembered.wish.until = BootTime(0);
        }
        self.conduct(now());
    }

    /// A wish's end is not waited past.
    fn until_next_look(&self, now: BootTime) -> Duration {
        let moments = self.wishes.iter().map(|known| known.wish.until);
        let next = moments.filter(|moment| *moment > now).min();
        next.map_or(INTERVAL, |next| {
            Duration::from_nanos(next.0 - now.0).min(INTERVAL)
        })
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
        self.checked.retain(|(process, _), _| connected.contains(process));
        self.ours.retain(|(process, _)| connected.contains(process));
        for profile in self.profiles.values_mut() {
            profile.age(elapsed.as_secs_f64(), HALF_LIFE_S);
        }
        for sample in samples {
            // Only connected processes can be switched; the others' samples would only fill the profile.
            if connected.contains(&sample.process) {
                let function = self.resolver.function_of(&sample);
                let profile = self.profiles.entry(sample.signal).or_default();
                profile.add(sample.process, sample.core, function.as_deref());
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
            remembered.submitted_last = remembered.over_since.is_none();
            remembered.over_since.get_or_insert(now);
        }
        for mut wish in submitted {
            // What was foreseen and came keeps the prediction's name.
            let before = self.wishes.iter().find(|known| {
                (&known.wish.app, known.wish.scenario) == (&wish.app, wish.scenario) && known.submitted_last
            });
            if wish.is_observed && wish.prediction.is_none() {
                wish.prediction = before
                    .filter(|known| foretold(&known.wish, wish.by))
                    .and_then(|known| known.wish.prediction);
            }
            self.wishes
                .retain(|known| (&known.wish.app, known.wish.scenario) != (&wish.app, wish.scenario));
            let over_since = (now >= wish.until).then_some(now);
            self.wishes.push(Remembered {
                wish,
                over_since,
                submitted_last: true,
            });
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
                phase(now, (known.wish.by, known.wish.until), known.wish.is_observed)
            };
            for process in &known.wish.processes {
                let present = by_process.get(process).map(|(phase, _)| urgency(*phase));
                if present.is_none_or(|present| urgency(phase) > present) {
                    by_process.insert(*process, (phase, known.wish.clone()));
                }
            }
        }
        let trial = self.running.as_ref().filter(|job| job.is_on_trial());
        let goes_on = trial.is_some_and(|job| {
            let wish = by_process.get(&job.subject.process);
            wish.is_some_and(|(phase, wish)| {
                phase.is_present() && wire(wish.scenario) == job.subject.scenario
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
            .map(|code| (code.start, code.bytes, names(code.function)));
        let closed = infos.iter().filter(|info| info.reason == Reason::Closed).count();
        self.resolver
            .set_loaded(process, ranges.collect(), (infos.len(), closed));
        let hot = self.hot(process, &wish.cores, scenario);
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
        let mut switched: BTreeMap<Scenario, Vec<(String, f64)>> = BTreeMap::new();
        for action in decide(phase, scenario, &known) {
            let (function, kind) = match action {
                Action::Switch { function, to } => {
                    self.switch(process, function, to)?;
                    let tried = infos.get(function as usize).zip(recipes.get(&function));
                    let tried = tried.filter(|_| to != Scenario::Base);
                    let gain = tried.map_or(1.0, |(info, recipe)| self.gain(info, recipe));
                    switched.entry(to).or_default().push((names(function), gain));
                    continue;
                }
                Action::Prepare {
                    function,
                    with_placebo: false,
                } => (function, JobKind::Compile),
                Action::Prepare { function, .. } => (function, JobKind::CompileWithPlacebo),
                Action::Try { function } => (function, JobKind::Try),
                Action::Check { function } => (function, JobKind::Check),
            };
            self.has_work = true;
            if let Some((info, recipe)) = infos.get(function as usize).zip(recipes.get(&function)) {
                let subject = Subject {
                    process,
                    function,
                    scenario,
                };
                self.begin(wish, subject, (info, recipe), kind);
            }
        }
        self.tell_switches((process, phase), wish, switched);
        Ok(())
    }

    fn switch(&mut self, process: u32, function: u32, to: Scenario) -> Result<(), VariantsError> {
        self.board.switch_index(process, function, to)?;
        self.checked.insert((process, function), Instant::now());
        if to == Scenario::Base {
            self.ours.remove(&(process, function));
        } else {
            self.ours.insert((process, function));
        }
        Ok(())
    }

    fn tell_switches(
        &self,
        (process, phase): (u32, Phase),
        wish: &Wish,
        switched: BTreeMap<Scenario, Vec<(String, f64)>>,
    ) {
        for (to, functions) in switched {
            let gain = functions.iter().map(|(_, gain)| gain).product();
            let functions = functions.into_iter().map(|(name, _)| name).collect();
            self.shared.tell(Event::Switched(Switched {
                app: wish.app.clone(),
                pid: process,
                functions,
                to: (to != Scenario::Base).then(|| plain(to)),
                prediction: wish.prediction,
                gain,
                reason: reason(phase, wish),
            }));
        }
    }

    /// What the process needs with the function's base over what it needs with the recipe's variant, as it was tried.
    fn gain(&self, info: &FunctionInfo, recipe: &Recipe) -> f64 {
        let model = &self.board.options().processor.model;
        let choice = self.choices.get(info.hash, recipe, model);
        choice.map_or(1.0, |choice| choice.verdict.over_base.estimate.exp())
    }

    /// The hot functions under a scenario: those of its signals in turn, each once.
    fn hot(&self, process: u32, cores: &[u16], scenario: Scenario) -> Vec<Hot> {
        let cores: Vec<u32> = cores.iter().copied().map(u32::from).collect();
        let pick = self.settings.pick;
        let known = signals(scenario)
            .iter()
            .filter_map(|signal| self.profiles.get(signal));
        let lists: Vec<Vec<Hot>> = known
            .filter(|profile| profile.total(process, &[]) >= LEAST_SAMPLES)
            .map(|profile| profile.hottest(process, &cores, pick))
            .collect();
        let mut hot: Vec<Hot> = Vec::new();
        for rank in 0..pick.functions {
            for found in lists.iter().filter_map(|list| list.get(rank)) {
                if hot.iter().all(|known| known.function != found.function) {
                    hot.push(found.clone());
                }
            }
        }
        hot.truncate(pick.functions);
        hot
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
            .is_some_and(|job| job.is_on_trial() && job.subject.process == process);
        if let Some(function) = self.values.take_armed(process) {
            let calls = self.board.take_capture(process, function)?;
            let in_use = match infos.get(function as usize) {
                Some(info) if info.current == scenario => {
                    self.board.recipe_of(process, function, scenario)?
                }
                _ => None,
            };
            let layout = infos.get(function as usize).map(|info| info.arguments);
            let subject = (process, function);
            self.values
                .add(subject, layout.unwrap_or_default(), &calls, in_use.as_ref());
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
            job.is_on_trial() && (job.subject.process, job.subject.function) == (process, info.index)
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
            is_ours: self.ours.contains(&(process, info.index)),
            is_check_due: info.current == scenario
                && self
                    .checked
                    .get(&(process, info.index))
                    .is_some_and(|at| at.elapsed() >= self.settings.check_every),
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
            .store(job.is_on_trial(), Ordering::Release);
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
                Outcome::Tried(Ok(Some(verdict))) if job.kind == JobKind::Check => {
                    self.look_after(&job, &verdict);
                }
                Outcome::Tried(Ok(Some(verdict))) => self.remember(&job, &verdict),
                Outcome::Tried(Ok(None)) => {}
                Outcome::Tried(Err(error)) => self.shared.note(&error),
            }
        }
    }

    /// What a check says of a variant in use; one that no longer helps is tried anew.
    fn look_after(&mut self, job: &Job, verdict: &Verdict) {
        let Subject {
            process, function, ..
        } = job.subject;
        self.checked.insert((process, function), Instant::now());
        if matches!(verdict.ground, Ground::NotMeasurable | Ground::Disturbed) {
            return;
        }
        let model = self.board.options().processor.model.clone();
        let key = (job.hash, &job.recipe, model.as_str());
        let gone = self
            .choices
            .add_check(key, verdict.over_base, self.settings.trial.least_gain);
        self.save_choices();
        if gone {
            let reason = "the variant no longer helps: base kept until it is tried anew";
            self.tell_verdict(job, verdict, false, reason);
        }
    }

    fn remember(&mut self, job: &Job, verdict: &Verdict) {
        let model = self.board.options().processor.model.clone();
        self.choices
            .put((job.hash, &job.recipe, &model), &job.name, *verdict, utc_s());
        self.save_choices();
        self.tell_verdict(job, verdict, verdict.kept, &verdict.ground.to_string());
    }

    fn save_choices(&self) {
        if let Err(error) = self.choices.save(&self.settings.choices_path) {
            lock(&self.shared.status).choices_absent = Some(error.to_string());
        }
    }

    fn tell_verdict(&self, job: &Job, verdict: &Verdict, kept: bool, reason: &str) {
        let gain = verdict.gain();
        self.shared.tell(Event::Trial(TrialVerdict {
            app: job.app.clone(),
            pid: job.subject.process,
            function: job.name.clone(),
            scenario: plain(job.subject.scenario),
            kept,
            ratio: gain.estimate.exp(),
            interval: (gain.lower.exp(), gain.upper.exp()),
            reason: reason.to_owned(),
        }));
    }
}

fn urgency(phase: Phase) -> u8 {
    match phase {
        Phase::Over => 0,
        Phase::Ahead => 1,
        Phase::Now | Phase::Lasting => 2,
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
pub fn wire(scenario: tidegate_types::Scenario) -> Scenario {
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

/// Whether contention that began at `begin` is the one that the wish before was about, and not another before it.
fn foretold(before: &Wish, begin: BootTime) -> bool {
    before.is_observed || begin.plus_seconds(EARLY_S) >= before.by
}

/// Why a process is switched, in words.
fn reason(phase: Phase, wish: &Wish) -> String {
    let scenario = wish.scenario;
    match (phase, wish.prediction) {
        (Phase::Over, Some(prediction)) => {
            format!(
                "the contention that prediction p{} foretold for {scenario} is over",
                prediction.0
            )
        }
        (Phase::Over, None) => format!("the contention that asked for {scenario} is over"),
        (Phase::Ahead, _) => format!("the contention that asked for {scenario} is over, until the next one"),
        (Phase::Now | Phase::Lasting, Some(prediction)) => {
            format!(
                "the contention that prediction p{} foretold for {scenario} is there",
                prediction.0
            )
        }
        (Phase::Now | Phase::Lasting, None) => format!("contention that nobody foretold asks for {scenario}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::{AppName, PredictionId};

    #[test]
    fn only_what_comes_about_when_it_was_due_was_foretold() {
        let mut before = Wish {
            app: AppName::new("web"),
            processes: Vec::new(),
            cores: Vec::new(),
            scenario: tidegate_types::Scenario::Cpu,
            by: BootTime::from_seconds(100.0),
            until: BootTime::from_seconds(130.0),
            mode: Mode::Enforce,
            prediction: Some(PredictionId(1)),
            is_observed: false,
        };
        assert!(foretold(&before, BootTime::from_seconds(97.0)));
        assert!(foretold(&before, BootTime::from_seconds(104.0)));
        assert!(!foretold(&before, BootTime::from_seconds(70.0)));
        before.is_observed = true;
        assert!(
            foretold(&before, BootTime::from_seconds(70.0)),
            "it still goes on"
        );
    }
}

//! From wishes to variants: the thread that watches heat, has variants made ahead, tries and switches them.
//!
//! Why so: the planner says which app, cores and scenario, and when; which functions is decided here from heat.
//! One thread conducts ([`conductor`]): every 200 ms, at once when the wishes change, and at a wish's end it
//! compares the wishes with what the processes have and asks [`crate::decide`] what to do. Switches are stores and done at once; compiling and trying take long and are done
//! one at a time by a second thread ([`bench`]), so that the end of a wish is never waited for.
//!
//! Wishes are the whole of what should hold: one that is no longer submitted is over. Only wishes in mode
//! `Enforce` touch a process.
//!
//! Not here: predictions, policy, and the mapping from apps to processes.

mod bench;
mod conductor;

use crate::VariantsError;
use crate::heat::profile::Pick;
use crate::switchboard::Switchboard;
use crate::trial::Config;
use bench::Bench;
use conductor::Conductor;
pub use conductor::wire;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};
use tidegate_types::{AppName, BootTime, Event, Mode, PredictionId};

/// A variant in use is compared with the base again so often, while its wish is present.
const CHECK_EVERY: Duration = Duration::from_mins(10);
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
    /// When the contention is expected, or since when it is there.
    pub by: BootTime,
    /// Until when.
    pub until: BootTime,
    /// Only `Enforce` touches a process.
    pub mode: Mode,
    /// The prediction behind it; none where the present conditions ask for it.
    pub prediction: Option<PredictionId>,
    /// Whether the contention is there now; until it is, variants are only made ready.
    pub is_observed: bool,
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
    /// How often a variant in use is compared with the base again.
    pub check_every: Duration,
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
            check_every: CHECK_EVERY,
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
    /// Whether nothing is being compiled or tried, and nothing that is known of waits for it.
    pub is_resting: bool,
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
    /// Whether there is something new to look at, and who waits for it.
    news: (Mutex<bool>, Condvar),
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
        let worker = Bench::new(Arc::clone(&shared), board.clone(), settings.clone());
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
        self.shared.wake();
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
        self.shared.wake();
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

    fn wake(&self) {
        *lock(&self.news.0) = true;
        self.news.1.notify_all();
    }

    /// Waits for news, or so long.
    fn wait(&self, most: Duration) {
        let (news, waiting) = &self.news;
        let waited = waiting.wait_timeout_while(lock(news), most, |news| !*news);
        let (mut news, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *news = false;
    }

    fn note(&self, error: &VariantsError) {
        lock(&self.status).last_error = Some(error.to_string());
    }
}

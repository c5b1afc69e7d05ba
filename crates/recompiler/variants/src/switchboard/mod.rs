//! All connected runtimes, and the commands that act on them.
//!
//! Why so: runtimes connect to the daemon, so whoever wants to switch asks here. One thread accepts, one sends
//! heartbeats to the processes that have something switched (`server`), and every command runs on its caller's thread
//! under the lock of that one process (`managed`). Closing this value, pausing it, or the death of its process puts every
//! slot back to the base: the runtimes do it themselves.
//!
//! A command line's request comes over the same socket as a [`Command`](crate::client::Command) and is carried out with the rights of
//! the socket's peer: its own processes, or any as root.
//!
//! Not here: when to switch and to what; see [`crate::orchestrator`].

mod managed;
mod server;

pub use managed::LoadedCode;
pub use server::Server;

use crate::cache::{Cache, DEFAULT_LIMIT_BYTES, Listed};
use crate::compile::{Job, Worker};
use crate::processor::Processor;
use crate::recipe::Recipe;
use crate::session::{Arguments, FunctionInfo, Loaded, ProcessInfo, StormReport, WorkReading};
use crate::{VariantsError, inspect};
use managed::Managed;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_format::message::Reason;
use tidegate_format::scenario::Scenario;

/// Where runtimes look unless `$TIDEGATE_RUNTIME_SOCKET` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tidegate/runtime.sock";
/// A part of a storm; everybody else who wants to talk to the process waits for so long.
const STORM_PART: Duration = Duration::from_millis(500);

/// What the switchboard works with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The socket that runtimes connect to.
    pub socket_path: PathBuf,
    /// The folder of code caches; one folder per user below it.
    pub cache_folder: PathBuf,
    /// Bound of one user's cache.
    pub cache_limit_bytes: u64,
    /// The compiler, if there is one.
    pub worker: Option<Worker>,
    /// The CPU to compile for.
    pub processor: Processor,
}

impl Options {
    /// The places of a daemon: root's in the system's folders, anybody else's in their own.
    ///
    /// # Errors
    /// [`VariantsError::File`] where the CPU cannot be read.
    pub fn for_this_host() -> Result<Self, VariantsError> {
        let socket = std::env::var_os("TIDEGATE_RUNTIME_SOCKET");
        Ok(Self {
            socket_path: socket.map_or_else(|| PathBuf::from(DEFAULT_SOCKET), PathBuf::from),
            cache_folder: default_cache_folder(),
            cache_limit_bytes: DEFAULT_LIMIT_BYTES,
            worker: Worker::find().ok(),
            processor: Processor::of_this_host()?,
        })
    }

    /// The code cache of one user.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn cache(&self, user: u32) -> Result<Cache, VariantsError> {
        Cache::open(&self.cache_folder.join(user.to_string()), self.cache_limit_bytes)
    }
}

fn default_cache_folder() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/cache/tidegate/variants");
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    base.or_else(home)
        .unwrap_or_else(|| PathBuf::from("/tmp"))
        .join("tidegate/variants")
}

/// A handle to the switchboard; copies share it. It is of use as long as the [`Server`] lives.
#[derive(Clone, Debug)]
pub struct Switchboard {
    shared: Arc<Shared>,
}

/// What all handles and the serving threads share.
#[derive(Debug)]
struct Shared {
    options: Options,
    processes: Mutex<BTreeMap<u32, Arc<Mutex<Managed>>>>,
    connections: AtomicUsize,
    paused: AtomicBool,
    closing: AtomicBool,
}

/// What became of one function in [`Switchboard::prepare`].
#[derive(Debug)]
pub struct Prepared {
    /// The function's index.
    pub function: u32,
    /// Its name.
    pub name: String,
    /// The loaded image and the worker's CPU time, or why there is none.
    pub outcome: Result<(Loaded, Duration), VariantsError>,
}

impl Switchboard {
    /// What it works with.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Every connected process.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        let processes: Vec<_> = lock(&self.shared.processes).values().cloned().collect();
        processes
            .iter()
            .map(|managed| lock(managed).session.info().clone())
            .collect()
    }

    /// Whether this process is connected.
    pub fn is_connected(&self, process: u32) -> bool {
        lock(&self.shared.processes).contains_key(&process)
    }

    /// Every slot of every process back to the base, and nothing is switched until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::Release);
        self.release_all();
    }

    /// Switching is possible again.
    pub fn resume(&self) {
        self.shared.paused.store(false, Ordering::Release);
    }

    /// Every slot of every process back to the base. Processes that do not answer are disconnected: their
    /// runtime then does it by itself.
    pub fn release_all(&self) {
        self.shared.release_all();
    }

    /// Runs `action` on a connected process, after checking that the process can be commanded now.
    ///
    /// # Errors
    /// [`VariantsError::NotConnected`], [`VariantsError::Seccomp`], and those of `action`. After an error of the
    /// socket the process is disconnected.
    fn with<Out>(
        &self,
        process: u32,
        action: impl FnOnce(&mut Managed) -> Result<Out, VariantsError>,
    ) -> Result<Out, VariantsError> {
        let managed = lock(&self.shared.processes).get(&process).cloned();
        let managed = managed.ok_or_else(|| not_connected(process))?;
        let mut managed = lock(&managed);
        if has_seccomp_filter(process, managed.session.info().helper_thread) {
            return Err(VariantsError::Seccomp { process });
        }
        let done = action(&mut managed);
        if matches!(
            done,
            Err(VariantsError::Socket { .. } | VariantsError::Message { .. })
        ) {
            drop(managed);
            lock(&self.shared.processes).remove(&process);
        }
        done
    }

    fn with_switching<Out>(
        &self,
        process: u32,
        action: impl FnOnce(&mut Managed) -> Result<Out, VariantsError>,
    ) -> Result<Out, VariantsError> {
        self.with(process, |managed| {
            // Under the process's lock: whoever pauses takes it afterwards, and finds what was switched before.
            if self.shared.paused.load(Ordering::Acquire) {
                return Err(VariantsError::Paused);
            }
            managed.touched = true;
            action(managed)
        })
    }

    /// The functions of a process, with their present state.
    ///
    /// # Errors
    /// Those of the connection: [`VariantsError::NotConnected`], [`VariantsError::Seccomp`], the socket's.
    pub fn functions(&self, process: u32) -> Result<Vec<FunctionInfo>, VariantsError> {
        self.with(process, |managed| managed.session.functions())
    }

    /// Compiles (or takes from the cache) and loads `scenario` for the functions that pass `wanted`, one after
    /// another; those that have it loaded already are not touched. The process is not held while compiling.
    ///
    /// # Errors
    /// Those of the connection; what fails for one function is told in its outcome.
    pub fn prepare(
        &self,
        process: u32,
        scenario: Scenario,
        wanted: impl Fn(&FunctionInfo) -> bool,
    ) -> Result<Vec<Prepared>, VariantsError> {
        self.prepare_recipe(process, &Recipe::plain(scenario), wanted)
    }

    /// As [`prepare`](Self::prepare), by any recipe. Where another recipe's image is loaded for the scenario, it is
    /// superseded.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn prepare_recipe(
        &self,
        process: u32,
        recipe: &Recipe,
        wanted: impl Fn(&FunctionInfo) -> bool,
    ) -> Result<Vec<Prepared>, VariantsError> {
        let functions = self.functions(process)?;
        let recipes = self.with(process, |managed| Ok(managed.recipes.clone()))?;
        let has = |function: &FunctionInfo| {
            // An image that somebody loaded by hand counts as plain.
            let made_by = recipes.get(&(function.index, recipe.scenario));
            function.loaded.contains(&recipe.scenario)
                && made_by.map_or(*recipe == Recipe::plain(recipe.scenario), |made_by| {
                    made_by == recipe
                })
        };
        let missing = functions
            .into_iter()
            .filter(|function| function.reason == Reason::None && !has(function) && wanted(function));
        let prepared = missing.map(|function| Prepared {
            outcome: self.prepare_one(process, recipe, &function),
            function: function.index,
            name: function.name,
        });
        Ok(prepared.collect())
    }

    /// By what the loaded image of a function was made, where that is known.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn recipe_of(
        &self,
        process: u32,
        function: u32,
        scenario: Scenario,
    ) -> Result<Option<Recipe>, VariantsError> {
        self.with(process, |managed| {
            Ok(managed.recipes.get(&(function, scenario)).cloned())
        })
    }

    fn prepare_one(
        &self,
        process: u32,
        recipe: &Recipe,
        function: &FunctionInfo,
    ) -> Result<(Loaded, Duration), VariantsError> {
        let (blob, info) = self.with(process, |managed| {
            Ok((
                managed.session.blob(function.index)?,
                managed.session.info().clone(),
            ))
        })?;
        let no_worker = || VariantsError::NoVariant("no tidegate-worker is installed".to_owned());
        let worker = self.shared.options.worker.as_ref().ok_or_else(no_worker)?;
        let is_root = rustix::process::geteuid().is_root();
        let job = Job {
            function: &function.name,
            executable: &info.executable,
            blob: &blob,
            recipe,
            tunables: &[],
            run_as: is_root.then_some((info.peer.user, info.peer.group)),
        };
        let cache = self.shared.options.cache(info.peer.user)?;
        let compiled = worker.image(&job, &self.shared.options.processor, &cache)?;
        let loaded = self.with_switching(process, |managed| {
            let loaded = managed.load(function.index, recipe.scenario, &compiled.image)?;
            managed
                .recipes
                .insert((function.index, recipe.scenario), recipe.clone());
            Ok(loaded)
        })?;
        Ok((loaded, compiled.cpu))
    }

    /// Loads an image that the caller has; nothing is switched.
    ///
    /// # Errors
    /// Those of the connection; [`VariantsError::Paused`], [`VariantsError::Refused`].
    pub fn load_image(
        &self,
        process: u32,
        function: u32,
        scenario: Scenario,
        image: &[u8],
    ) -> Result<Loaded, VariantsError> {
        self.with_switching(process, |managed| managed.load(function, scenario, image))
    }

    /// Loads the present image of a function once more, so many cache lines into its page. Nothing is switched: what
    /// runs the image now goes on at the old place until the next switch.
    ///
    /// # Errors
    /// Those of the connection; [`VariantsError::Paused`], [`VariantsError::Refused`].
    pub fn move_to(
        &self,
        process: u32,
        function: u32,
        scenario: Scenario,
        lines: u32,
    ) -> Result<(), VariantsError> {
        self.with_switching(process, |managed| managed.move_to(function, scenario, lines))
    }

    /// Leads functions that have `scenario` loaded to it: those of this name, or all. Gives the number of slots
    /// and the nanoseconds that the stores took.
    ///
    /// # Errors
    /// Those of the connection; [`VariantsError::Paused`], [`VariantsError::UnknownFunction`].
    pub fn switch(
        &self,
        process: u32,
        function: Option<&str>,
        scenario: Scenario,
    ) -> Result<(u32, u64), VariantsError> {
        let Some(name) = function else {
            return self.with_switching(process, |managed| managed.session.switch(None, scenario));
        };
        let indices = self.indices(process, name)?;
        self.with_switching(process, |managed| {
            let mut total = (0, 0);
            for index in indices {
                let (slots, ns) = managed.session.switch(Some(index), scenario)?;
                total = (total.0 + slots, total.1 + ns);
            }
            Ok(total)
        })
    }

    /// Indices of the functions of this name: static functions of several files may share one.
    fn indices(&self, process: u32, name: &str) -> Result<Vec<u32>, VariantsError> {
        let functions = self.functions(process)?;
        let found: Vec<u32> = functions
            .iter()
            .filter(|function| function.name == name)
            .map(|function| function.index)
            .collect();
        if found.is_empty() {
            return Err(VariantsError::UnknownFunction {
                process,
                function: name.to_owned(),
            });
        }
        Ok(found)
    }

    /// Switches one function by index; the cheap path of trials.
    ///
    /// # Errors
    /// Those of the connection; [`VariantsError::Paused`].
    pub fn switch_index(
        &self,
        process: u32,
        function: u32,
        scenario: Scenario,
    ) -> Result<(u32, u64), VariantsError> {
        self.with_switching(process, |managed| {
            managed.session.switch(Some(function), scenario)
        })
    }

    /// Everything loaded, back and forth, for `duration`, with a pause between two rounds. Done in parts, so that
    /// [`pause`](Self::pause) does not wait for the end; each part ends at the base.
    ///
    /// # Errors
    /// Those of the connection; [`VariantsError::Paused`].
    pub fn storm(
        &self,
        process: u32,
        duration: Duration,
        pause: Duration,
    ) -> Result<StormReport, VariantsError> {
        let end = Instant::now() + duration;
        let mut total = StormReport::default();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let part = self.with_switching(process, |managed| {
                managed.session.storm(left.min(STORM_PART), pause)
            })?;
            total.add(&part);
            if left <= STORM_PART || part.functions == 0 {
                return Ok(total);
            }
        }
    }

    /// Where code was loaded.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn loaded_code(&self, process: u32) -> Result<Vec<LoadedCode>, VariantsError> {
        self.with(process, |managed| Ok(managed.loaded.clone()))
    }

    /// Counters and clocks of a process.
    ///
    /// # Errors
    /// Those of the connection: [`VariantsError::NotConnected`], [`VariantsError::Seccomp`], the socket's.
    pub fn work(&self, process: u32) -> Result<WorkReading, VariantsError> {
        self.with(process, |managed| managed.session.work())
    }

    /// Starts or stops counting calls of one function.
    ///
    /// # Errors
    /// Those of the connection; [`VariantsError::Paused`].
    pub fn count(&self, process: u32, function: u32, enabled: bool) -> Result<(), VariantsError> {
        self.with_switching(process, |managed| managed.session.count(Some(function), enabled))
    }

    /// Starts to note the arguments of the next calls of one function.
    ///
    /// # Errors
    /// Those of the connection; [`VariantsError::Paused`].
    pub fn arm_capture(&self, process: u32, function: u32) -> Result<(), VariantsError> {
        self.with_switching(process, |managed| managed.session.arm_capture(function))
    }

    /// Stops it and gives what was noted.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn take_capture(&self, process: u32, function: u32) -> Result<Vec<Arguments>, VariantsError> {
        self.with(process, |managed| managed.session.take_capture(function))
    }

    /// Every slot of one process back to the base.
    ///
    /// # Errors
    /// Those of the connection: [`VariantsError::NotConnected`], [`VariantsError::Seccomp`], the socket's.
    pub fn release(&self, process: u32) -> Result<(), VariantsError> {
        self.with(process, |managed| {
            managed.session.release()?;
            managed.touched = false;
            Ok(())
        })
    }

    /// The user that a connected process runs as.
    ///
    /// # Errors
    /// [`VariantsError::NotConnected`].
    pub fn owner(&self, process: u32) -> Result<u32, VariantsError> {
        let managed = lock(&self.shared.processes).get(&process).cloned();
        let managed = managed.ok_or_else(|| not_connected(process))?;
        let user = lock(&managed).session.info().peer.user;
        Ok(user)
    }

    /// The entries of one user's code cache.
    ///
    /// # Errors
    /// [`VariantsError::File`].
    pub fn cache_list(&self, user: u32) -> Result<Vec<Listed>, VariantsError> {
        self.shared.options.cache(user)?.list()
    }
}

impl Shared {
    fn release_all(&self) {
        let processes: Vec<_> = lock(&self.processes)
            .iter()
            .map(|(id, managed)| (*id, Arc::clone(managed)))
            .collect();
        for (process, managed) in processes {
            let mut managed = lock(&managed);
            let released = managed.session.release();
            managed.touched = false;
            if released.is_err() {
                lock(&self.processes).remove(&process);
            }
        }
    }
}

/// A poisoned lock means that a thread panicked; the state behind it is a socket and a list, still usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_connected(process: u32) -> VariantsError {
    VariantsError::NotConnected {
        process,
        why: inspect::why_not_connected(process),
    }
}

/// Whether a filter was installed for the helper thread, or for the process where threads cannot be told apart.
fn has_seccomp_filter(process: u32, helper_thread: u32) -> bool {
    let of_thread = fs::read_to_string(format!("/proc/{process}/task/{helper_thread}/status"));
    let status = of_thread.or_else(|_| fs::read_to_string(format!("/proc/{process}/status")));
    status.is_ok_and(|status| inspect::status_field(&status, "Seccomp").is_some_and(|mode| mode != "0"))
}

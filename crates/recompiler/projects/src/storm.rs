//! Serves the processes of a suite: everything that is switchable in them gets its variants, and is switched back and
//! forth until they end.

use crate::{ProjectError, at};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tidegate_format::scenario::Scenario;
use tidegate_variants::compile::Worker;
use tidegate_variants::processor::Processor;
use tidegate_variants::switchboard::{Options, Server, Switchboard};

/// What is loaded for every function: three variants of different bytes.
const SCENARIOS: [Scenario; 3] = [Scenario::Placebo, Scenario::Cpu, Scenario::Memory];
/// Room for the variants of all projects.
const CACHE_LIMIT_BYTES: u64 = 1 << 30;
/// Between two rounds over all functions of a process.
const PAUSE: Duration = Duration::from_micros(50);
/// After so long a storm says what it did.
const PART: Duration = Duration::from_millis(250);
/// The part in which a process is still held.
const FIRST_PART: Duration = Duration::from_millis(20);
/// How often newcomers are looked for; they are held meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// What a storm did, over all processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Processes that were switched.
    pub processes: u64,
    /// Functions with variants, in the process that had most.
    pub functions: u32,
    /// Images that were loaded.
    pub images: u64,
    /// Images that there are none of.
    pub refused: u64,
    /// Stores into slots.
    pub switches: u64,
    /// Slots that did not hold what was stored.
    pub failures: u64,
}

/// A storm over every process that connects.
pub struct Storm {
    shared: Arc<Shared>,
    server: Option<Server>,
    looking: Option<JoinHandle<()>>,
    socket: PathBuf,
}

struct Shared {
    board: Switchboard,
    most: u32,
    hold: PathBuf,
    ends: AtomicBool,
    report: Mutex<Report>,
}

impl Storm {
    /// Serves a socket in `folder`; the code cache lies there too. Of each process `most` functions take part at most.
    ///
    /// # Errors
    /// [`ProjectError::File`], [`ProjectError::Variants`].
    pub fn start(folder: &Path, worker: &Path, most: u32) -> Result<Self, ProjectError> {
        let hold = folder.join("hold");
        std::fs::create_dir_all(&hold).map_err(at(&hold))?;
        let socket = folder.join("runtime.sock");
        let server = Server::start(Options {
            socket_path: socket.clone(),
            cache_folder: folder.join("cache"),
            cache_limit_bytes: CACHE_LIMIT_BYTES,
            worker: Some(Worker::new(worker)?),
            processor: Processor::of_this_host()?,
        })?;
        let shared = Arc::new(Shared {
            board: server.board().clone(),
            most,
            hold,
            ends: AtomicBool::new(false),
            report: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        Ok(Self {
            looking: Some(thread::spawn(move || own.look())),
            shared,
            server: Some(server),
            socket,
        })
    }

    /// What the processes of a suite must find in their environment, besides the preloaded library.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("TIDEGATE_RUNTIME_SOCKET", self.socket.clone()),
            ("TIDEGATE_HOLD", self.shared.hold.clone()),
        ]
    }

    /// Ends it, and says what it did.
    pub fn finish(mut self) -> Report {
        self.stop();
        self.shared.report().clone()
    }

    fn stop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        // The processes are at the base once nobody serves them; what waits for them ends.
        self.server = None;
        if let Some(looking) = self.looking.take() {
            // A thread that panicked has nothing to give back.
            let _ = looking.join();
        }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread for each process that connects.
    fn look(self: &Arc<Self>) {
        let mut known = BTreeSet::new();
        let mut threads = Vec::new();
        while !self.ends.load(Ordering::Acquire) {
            let present: BTreeSet<u32> = self
                .board
                .processes()
                .iter()
                .map(|info| info.peer.process)
                .collect();
            for process in present.difference(&known).copied() {
                let own = Arc::clone(self);
                threads.push(thread::spawn(move || own.attend(process)));
            }
            known = present;
            thread::sleep(LOOK);
        }
        for thread in threads {
            // As above.
            let _ = thread.join();
        }
    }

    /// One process: its variants, then the storm, until it ends.
    fn attend(&self, process: u32) {
        let mut own = Report::default();
        let count = self
            .board
            .functions(process)
            .map_or(0, |functions| functions.len() as u32);
        // Spread over all of them, and the same ones in each process of a program.
        let stride = count.div_ceil(self.most).max(1);
        for scenario in SCENARIOS {
            let prepared = self
                .board
                .prepare(process, scenario, |info| info.index % stride == 0);
            for one in prepared.into_iter().flatten() {
                match one.outcome {
                    Ok(_) => own.images += 1,
                    Err(_) => own.refused += 1,
                }
            }
        }
        // A first part while it is held says what takes part; it is let go when the second one is on its way. The part in
        // which a process ends is not counted, for nobody is left to tell.
        let held = self.hold.join(process.to_string());
        let mut part = self.board.storm(process, FIRST_PART, PAUSE);
        let letting_go = {
            let held = held.clone();
            thread::spawn(move || {
                thread::sleep(FIRST_PART);
                // Without it the process waits ten minutes: the suite says so by its time.
                let _ = std::fs::write(held, "");
            })
        };
        while let Ok(done) = part {
            own.switches += done.switches;
            own.failures += done.failures;
            own.functions = own.functions.max(done.functions);
            if self.ends.load(Ordering::Acquire) {
                break;
            }
            if done.functions == 0 {
                thread::sleep(PART);
            }
            part = self.board.storm(process, PART, PAUSE);
        }
        // As above.
        let _ = letting_go.join();
        let _ = std::fs::remove_file(&held);
        let mut all = self.report();
        all.processes += u64::from(own.functions > 0);
        all.functions = all.functions.max(own.functions);
        all.images += own.images;
        all.refused += own.refused;
        all.switches += own.switches;
        all.failures += own.failures;
    }
}

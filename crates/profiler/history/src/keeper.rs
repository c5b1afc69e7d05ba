//! The hand that does what may wait for the disk: syncing and maintenance, beside the tick.
//!
//! The tick hands over a job and goes on. Syncing has a thread of its own, because what power loss may cost is
//! promised and must not wait for sealing, which runs last in line. What they have to say is collected by the
//! tick. Inline (in tests) the same jobs run at once.

use crate::config::StoreConfig;
use crate::maintain::{Damage, Disk, Maintained, maintain};
use crate::storage::LogFile;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Jobs that may wait behind the one under way; more would only repeat it.
const QUEUE: usize = 1;

/// Sealing may wait; what is watched may not.
const SEALING_NICE: i32 = 19;

enum Job {
    Sync(Vec<Arc<dyn LogFile>>),
    Maintain { head_sequence: u64 },
}

/// What the keeper found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) damage: Vec<Damage>,
    /// Why the last maintenance or sync did not succeed.
    pub(crate) failure: Option<String>,
    /// True when a maintenance went through.
    pub(crate) maintained: bool,
    pub(crate) sealed: usize,
    pub(crate) removed: usize,
}

struct Work {
    storage: Disk,
    dir: PathBuf,
    config: StoreConfig,
    findings: Mutex<Findings>,
}

impl Work {
    fn run(&self, job: Job) {
        match job {
            Job::Sync(files) => {
                let failed = files.iter().find_map(|file| file.sync().err());
                if let Some(error) = failed {
                    self.with_findings(|findings| findings.failure = Some(format!("syncing: {error}")));
                }
            }
            Job::Maintain { head_sequence } => {
                let done = maintain(self.storage.as_ref(), &self.dir, &self.config, head_sequence);
                self.with_findings(|findings| record(findings, done));
            }
        }
    }

    fn with_findings<T>(&self, change: impl FnOnce(&mut Findings) -> T) -> T {
        change(&mut self.findings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn record(findings: &mut Findings, done: crate::Result<Maintained>) {
    match done {
        Ok(done) => {
            findings.failure = None;
            findings.maintained = true;
            findings.damage.extend(done.damage);
            findings.sealed += done.sealed;
            findings.removed += done.removed;
        }
        Err(error) => findings.failure = Some(error.to_string()),
    }
}

/// The handle that the store holds.
pub(crate) struct Keeper {
    work: Arc<Work>,
    threads: Option<[Hand; 2]>,
}

/// A running thread and the way to it.
type Hand = (SyncSender<Job>, JoinHandle<()>);

impl Keeper {
    /// Starts the threads, if the settings ask for them; where none can be started, jobs run inline.
    pub(crate) fn start(storage: Disk, dir: PathBuf, config: StoreConfig) -> Self {
        let background = config.background;
        let work = Arc::new(Work {
            storage,
            dir,
            config,
            findings: Mutex::default(),
        });
        let threads = background.then(|| {
            let sync = spawn(work.clone(), "history-sync", None)?;
            let maintain = spawn(work.clone(), "history-seal", Some(SEALING_NICE))?;
            Some([sync, maintain])
        });
        let threads = threads.flatten();
        Self { work, threads }
    }

    /// False when the queue was full: try again later.
    fn submit(&self, job: Job) -> bool {
        let Some([sync, maintain]) = &self.threads else {
            self.work.run(job);
            return true;
        };
        let (sender, _) = if matches!(job, Job::Sync(_)) {
            sync
        } else {
            maintain
        };
        sender.try_send(job).is_ok()
    }

    pub(crate) fn sync(&self, files: Vec<Arc<dyn LogFile>>) -> bool {
        files.is_empty() || self.submit(Job::Sync(files))
    }

    pub(crate) fn maintain(&self, head_sequence: u64) -> bool {
        self.submit(Job::Maintain { head_sequence })
    }

    /// What was found since the last call.
    pub(crate) fn take_findings(&self) -> Findings {
        self.work.with_findings(std::mem::take)
    }

    /// Waits until all jobs are done and ends the threads.
    pub(crate) fn stop(&mut self) {
        for (sender, thread) in self.threads.take().into_iter().flatten() {
            drop(sender);
            // A panic in a thread has already been printed by the runtime; the files tell the rest.
            let _ = thread.join();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(work: Arc<Work>, name: &str, nice: Option<i32>) -> Option<Hand> {
    let (sender, receiver): (_, Receiver<Job>) = sync_channel(QUEUE);
    let body = move || {
        if let Some(nice) = nice {
            // Where it is refused it only runs as everybody else does.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
        }
        for job in receiver {
            work.run(job);
        }
    };
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .ok()?;
    Some((sender, thread))
}

//! One compile: one worker process, from request to image.
//!
//! Why so: LLVM may abort, hang, or eat memory; in a process of its own that costs one variant. The process is a fork
//! of a warm parent ([`crate::warm`]) that runs as the user of the target at the lowest priority. A worker that does
//! not serve is started for each compile: it gets the request on its standard input and is stopped after its time.
//!
//! Not here: when it is a good moment to compile; the caller knows.

use crate::VariantsError;
use crate::cache::{Cache, Key, KeyParts, Label, Stored};
use crate::processor::Processor;
use crate::recipe::Recipe;
use crate::warm::{Pool, WarmCost};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, setpriority_process, waitid,
};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tidegate_format::image::Image;
use tidegate_format::request::{CompileErrorKind, Request, Response};

/// CPU time: the largest function of SQLite takes 2.4 s.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// At idle priority on a busy host a worker waits most of the time; it may take so many times its CPU limit.
const WAIT_FACTOR: u32 = 10;
/// How often its CPU time is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// An answer holds one image.
const ANSWER_LIMIT_BYTES: u64 = 5 * 1024 * 1024;
/// How much of the worker's complaints is kept.
const MESSAGE_LIMIT_BYTES: u64 = 16 * 1024;
/// The weakest nice value.
const IDLE_NICE: i32 = 19;

/// The worker's executable and its identity.
#[derive(Clone, Debug)]
pub struct Worker {
    path: PathBuf,
    identity: String,
    time_limit: Duration,
    /// `None` for a worker that does not serve.
    pool: Option<Arc<Pool>>,
}

/// Whose rights the worker runs with, where the caller is root: the target's user and group. `None` = the caller's.
pub type RunAs = Option<(u32, u32)>;

/// What to compile.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The function's name, for the label.
    pub function: &'a str,
    /// The executable's path, for the label.
    pub executable: &'a str,
    /// The blob, as read from the process.
    pub blob: &'a [u8],
    /// By which pipeline, with which assumptions.
    pub recipe: &'a Recipe,
    /// Values of tunables that differ from the declared ones.
    pub tunables: &'a [(String, i64)],
    /// With whose rights.
    pub run_as: RunAs,
}

/// An image and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// The image, checked.
    pub image: Vec<u8>,
    /// CPU time of the worker from fork to exit; 0 for an image from the cache.
    pub cpu: Duration,
    /// Whether it came from the cache.
    pub cached: bool,
}

impl Worker {
    /// Takes the worker at `path`. Its identity is the hash of its bytes: pipelines are in there; the compiler's
    /// library is linked dynamically and named by what `--version` prints.
    ///
    /// # Errors
    /// [`VariantsError::Worker`].
    pub fn new(path: &Path) -> Result<Self, VariantsError> {
        let failed = |source| VariantsError::Worker {
            path: path.to_path_buf(),
            source,
        };
        let bytes = fs::read(path).map_err(failed)?;
        let version = Command::new(path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(failed)?;
        let version = if version.status.success() {
            version.stdout
        } else {
            Vec::new()
        };
        let version = String::from_utf8_lossy(&version).trim().to_owned();
        let identity = format!("{} {version}", blake3::hash(&bytes).to_hex());
        let serves = version.split(", ").any(|word| word == "serves");
        Ok(Self {
            path: path.to_path_buf(),
            identity,
            time_limit: TIME_LIMIT,
            pool: serves.then(Arc::default),
        })
    }

    /// As [`new`](Self::new), looked for at `$TIDEGATE_WORKER`, beside this executable and in `PATH`.
    ///
    /// # Errors
    /// [`VariantsError::Worker`].
    pub fn find() -> Result<Self, VariantsError> {
        let name = "tidegate-worker";
        let given = std::env::var_os("TIDEGATE_WORKER").map(PathBuf::from);
        let beside = std::env::current_exe().ok().map(|own| own.with_file_name(name));
        let search = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&search).map(|folder| folder.join(name));
        let found = given
            .into_iter()
            .chain(beside)
            .chain(in_path)
            .find(|path| path.is_file());
        Self::new(&found.unwrap_or_else(|| PathBuf::from(name)))
    }

    /// Another limit of CPU time, for tests.
    #[must_use]
    pub fn with_time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    /// What the starts of warm parents cost until now; zeros for a worker that does not serve.
    pub fn warm_cost(&self) -> WarmCost {
        self.pool.as_ref().map(|pool| pool.cost()).unwrap_or_default()
    }

    /// What a key names it by.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Takes the image from the cache, or compiles and stores it.
    ///
    /// # Errors
    /// [`VariantsError::NoVariant`] where the worker refuses; the errors of [`run`](Self::run). A cache that
    /// cannot be written is no reason not to use what was compiled.
    pub fn image(
        &self,
        job: &Job<'_>,
        processor: &Processor,
        cache: &Cache,
    ) -> Result<Compiled, VariantsError> {
        let hash = blob_hash(job.blob)?;
        let key = Key::new(&KeyParts {
            blob: job.blob,
            scenario: job.recipe.scenario.name(),
            candidate: job.recipe.candidate,
            constants: &job.recipe.constants,
            worker: &self.identity,
            cpu_model: &processor.model,
            cpu_features: processor.features.0,
            tunables: job.tunables,
        });
        match cache.get(key, hash) {
            Some(Stored::Image(image)) => {
                return Ok(Compiled {
                    image,
                    cpu: Duration::ZERO,
                    cached: true,
                });
            }
            Some(Stored::Refusal(why)) => return Err(VariantsError::NoVariant(why)),
            None => {}
        }
        let (answer, cpu) = self.run(job, processor)?;
        let label = Label {
            function: job.function.to_owned(),
            scenario: job.recipe.to_string(),
            executable: job.executable.to_owned(),
            cpu_model: processor.model.clone(),
            compile_cpu_ms: cpu.as_secs_f64() * 1000.0,
        };
        match answer.0 {
            Ok(image) => {
                let read = Image::read(&image);
                let read = read.map_err(|source| VariantsError::Format {
                    what: "image of the worker",
                    source,
                })?;
                if read.hash != hash || read.scenario != job.recipe.scenario {
                    return Err(VariantsError::NoVariant(
                        "the worker made another function's image".to_owned(),
                    ));
                }
                let _ = cache.put(key, &label, &Stored::Image(image.clone()));
                Ok(Compiled {
                    image,
                    cpu,
                    cached: false,
                })
            }
            Err(error) => {
                let why = error.to_string();
                if is_final(error.kind) {
                    let _ = cache.put(key, &label, &Stored::Refusal(why.clone()));
                }
                Err(VariantsError::NoVariant(why))
            }
        }
    }

    /// Runs the worker once; gives its answer and its CPU time.
    ///
    /// # Errors
    /// [`VariantsError::Worker`], [`VariantsError::WorkerTimeout`], [`VariantsError::WorkerDied`],
    /// [`VariantsError::Format`].
    pub fn run(&self, job: &Job<'_>, processor: &Processor) -> Result<(Response, Duration), VariantsError> {
        let request = Request {
            scenario: job.recipe.scenario,
            candidate: job.recipe.candidate,
            cpu_features: processor.features,
            tune_cpu: String::new(),
            tunables: job.tunables.to_vec(),
            constants: job.recipe.constants.clone(),
            blob: job.blob.to_vec(),
        };
        let request = request.to_bytes();
        let output = match &self.pool {
            Some(pool) => self.fork(pool, &request, job.run_as)?,
            None => self.process(request, job.run_as)?,
        };
        if !output.status.success() && output.answer.is_empty() {
            let status = match output.status.signal() {
                Some(signal) => format!("signal {signal}"),
                None => output.status.to_string(),
            };
            return Err(VariantsError::WorkerDied {
                status,
                message: output.message,
            });
        }
        let response = Response::read(&output.answer);
        let response = response.map_err(|source| VariantsError::Format {
            what: "answer of the worker",
            source,
        })?;
        Ok((response, output.cpu))
    }

    fn fork(&self, pool: &Pool, request: &[u8], run_as: RunAs) -> Result<Output, VariantsError> {
        let done = pool.compile(&self.path, run_as, self.time_limit, request);
        let done = done.map_err(|source| VariantsError::Worker {
            path: self.path.clone(),
            source,
        })?;
        // Its own limit of CPU time, or the parent's patience.
        let stopped = [Signal::XCPU, Signal::KILL].map(Signal::as_raw);
        if done
            .status
            .signal()
            .is_some_and(|signal| stopped.contains(&signal))
        {
            return Err(VariantsError::WorkerTimeout {
                limit: self.time_limit,
            });
        }
        Ok(Output {
            status: done.status,
            answer: done.answer,
            message: done.message,
            cpu: done.cpu,
        })
    }

    fn process(&self, request: Vec<u8>, run_as: RunAs) -> Result<Output, VariantsError> {
        let failed = |source| VariantsError::Worker {
            path: self.path.clone(),
            source,
        };
        let mut command = Command::new(&self.path);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .current_dir("/");
        // The worker changes its user by itself once LLVM is loaded, so it may lie where only root can look. For
        // root's programs it becomes nobody.
        if let Some((user, group)) = run_as.filter(|(user, _)| *user != 0) {
            command.arg("--user").arg(format!("{user}:{group}"));
        }
        let mut child = command.spawn().map_err(failed)?;
        let pid = Pid::from_child(&child);
        // A compile at normal priority is still right, only less polite.
        let _ = setpriority_process(Some(pid), IDLE_NICE);
        let input = child.stdin.take();
        let writer = thread::spawn(move || input.map(|mut input| input.write_all(&request)));
        let answer = read_all(child.stdout.take(), ANSWER_LIMIT_BYTES);
        let message = read_all(child.stderr.take(), MESSAGE_LIMIT_BYTES);
        let ended = wait_within(pid, self.time_limit).map_err(failed)?;
        let cpu = cpu_time(pid);
        if !ended {
            let _ = child.kill();
        }
        let status = reap(&mut child).map_err(failed)?;
        // A worker that died without reading breaks the pipe; its status says more.
        let _ = writer.join();
        let answer = answer.join().unwrap_or_default();
        let message = String::from_utf8_lossy(&message.join().unwrap_or_default())
            .trim()
            .to_owned();
        if ended {
            Ok(Output {
                status,
                answer,
                message,
                cpu,
            })
        } else {
            Err(VariantsError::WorkerTimeout {
                limit: self.time_limit,
            })
        }
    }
}

struct Output {
    status: ExitStatus,
    answer: Vec<u8>,
    message: String,
    cpu: Duration,
}

fn blob_hash(blob: &[u8]) -> Result<tidegate_format::FunctionHash, VariantsError> {
    let read = tidegate_format::blob::Blob::read(blob);
    let read = read.map_err(|source| VariantsError::Format {
        what: "blob of the process",
        source,
    })?;
    Ok(read.hash)
}

/// The first three kinds are about the worker's situation and may be gone next time.
fn is_final(kind: CompileErrorKind) -> bool {
    !matches!(
        kind,
        CompileErrorKind::Request | CompileErrorKind::Blob | CompileErrorKind::Environment
    )
}

fn read_all(source: Option<impl Read + Send + 'static>, limit_bytes: u64) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks ends the answer; what came is judged by its checksum.
        let _ = source.map(|source| source.take(limit_bytes).read_to_end(&mut bytes));
        bytes
    })
}

/// Whether the process ended within this CPU time and [`WAIT_FACTOR`] times as much on the clock; it is not reaped.
fn wait_within(pid: Pid, limit: Duration) -> io::Result<bool> {
    let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
    let end = Instant::now() + limit * WAIT_FACTOR;
    let interval = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(LOOK_INTERVAL.subsec_nanos()),
    };
    loop {
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&interval)) {
            Ok(0) if Instant::now() >= end || cpu_time(pid) >= limit => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Err(error.into()),
        }
    }
    // The exit is visible, the process still there.
    let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    Ok(true)
}

/// CPU time of a process that was not reaped yet; the worker is single-threaded.
fn cpu_time(pid: Pid) -> Duration {
    let text = fs::read_to_string(format!("/proc/{}/schedstat", pid.as_raw_nonzero())).unwrap_or_default();
    let first = text
        .split_whitespace()
        .next()
        .and_then(|field| field.parse().ok());
    Duration::from_nanos(first.unwrap_or(0))
}

fn reap(child: &mut Child) -> io::Result<ExitStatus> {
    child.wait()
}

//! The shipped daemon, driven from outside as a user would: a policy file, a signal, its verbs.

use super::scenario::{Scenario, TENANTS};
use super::stage::Stage;
use super::traced;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the daemon may take to say that it is ready.
const READY: Duration = Duration::from_mins(1);
/// How long it may take to give everything back and end.
const STOP: Duration = Duration::from_secs(10);
/// What it prints on standard error when it is up.
const READY_LINE: &str = "tidegate is ready";

/// What a daemon is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The shipped binary.
    pub(crate) program: PathBuf,
    /// Shift all onsets by so many seconds, to see the bench fail.
    pub(crate) sabotage_shift_s: Option<f64>,
    /// Whether the batch's code may be recompiled.
    pub(crate) recompile: bool,
    /// Where to write down what it changes in the file system; it is traced then, and slower.
    pub(crate) trace: Option<PathBuf>,
}

/// A running daemon.
pub(crate) struct Daemon {
    options: Options,
    child: Child,
    folder: PathBuf,
}

impl Daemon {
    /// Starts it with fresh folders, in observe mode by policy, and waits until it is ready.
    pub(crate) fn start(
        stage: &mut Stage,
        scenario: &Scenario,
        options: &Options,
        name: &str,
    ) -> Result<Self> {
        let folder = stage.folder.join(name);
        let run = run_folder(stage, name);
        // What an earlier run learned must not help this one.
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", folder.display()));
            }
            _ => {}
        }
        for path in [&folder, &run] {
            std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        stage.also_remove(&run)?;
        let policy = folder.join("policy.toml");
        std::fs::write(&policy, policy_text(stage, scenario, options, "observe"))
            .context("cannot write the policy")?;
        let log = folder.join("daemon.log");
        let log_file =
            std::fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let data = folder.join("data");
        let tracer = options.trace.as_deref().map(traced::tracer).unwrap_or_default();
        let mut command: Vec<&OsStr> = tracer.iter().map(OsString::as_os_str).collect();
        command.extend([
            options.program.as_os_str(),
            "run".as_ref(),
            "--policy".as_ref(),
            policy.as_ref(),
        ]);
        command.extend(["--mode", "enforce", "--port", "0", "--data"].map(OsStr::new));
        command.extend([data.as_os_str(), "--run-dir".as_ref(), run.as_os_str()]);
        let shift = options
            .sabotage_shift_s
            .map(|shift_s| ("TIDEGATE_SABOTAGE_SHIFT_S", shift_s.to_string()));
        let environment: Vec<(&str, String)> = shift.into_iter().collect();
        let child = stage.start("control", &command, Stdio::from(log_file), &environment)?;
        let mut daemon = Self {
            options: options.clone(),
            child,
            folder,
        };
        daemon.wait_until_ready(&log)?;
        Ok(daemon)
    }

    fn wait_until_ready(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + READY;
        while Instant::now() < deadline {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            if said.contains(READY_LINE) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().context("the daemon is lost")? {
                bail!("the daemon ended with {status}:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!(
            "the daemon was not ready after {} s; it said:\n{}",
            READY.as_secs(),
            std::fs::read_to_string(log)?
        )
    }

    /// Grants what the policy withheld until now, as an administrator would: new text, then a hangup.
    pub(crate) fn enforce(&self, stage: &Stage, scenario: &Scenario) -> Result<()> {
        let text = policy_text(stage, scenario, &self.options, "enforce");
        std::fs::write(self.folder.join("policy.toml"), text).context("cannot write the policy")?;
        self.signal(Signal::HUP)
    }

    /// Sends the daemon's own process a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("the daemon has no id")?;
        kill_process(pid, signal).context("cannot signal the daemon")
    }

    /// Runs a read verb and parses its JSON.
    pub(crate) fn ask(&self, stage: &Stage, verb: &[&str]) -> Result<Value> {
        let mut command = self.verb(stage, verb);
        let output = command
            .output()
            .with_context(|| format!("cannot run {command:?}"))?;
        if !output.status.success() {
            bail!(
                "{command:?} failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} gave no JSON"))
    }

    /// A verb of this daemon, with JSON as its answer, not started yet.
    pub(crate) fn verb(&self, stage: &Stage, verb: &[&str]) -> Command {
        let mut command = Command::new(&self.options.program);
        command
            .args(verb)
            .arg("--json")
            .arg("--run-dir")
            .arg(run_folder(stage, self.name()));
        command.arg("--data").arg(self.folder.join("data"));
        command
    }

    /// What a program needs to be found by this daemon instead of the host's.
    pub(crate) fn environment(&self, stage: &Stage) -> Vec<(&'static str, String)> {
        let socket = run_folder(stage, self.name()).join("runtime.sock");
        vec![("TIDEGATE_RUNTIME_SOCKET", socket.display().to_string())]
    }

    /// Where it may write: data, run and cache.
    pub(crate) fn folders(&self, stage: &Stage) -> Vec<PathBuf> {
        let cache = PathBuf::from("/var/cache/tidegate");
        vec![self.folder.join("data"), run_folder(stage, self.name()), cache]
    }

    fn name(&self) -> &str {
        self.folder
            .file_name()
            .and_then(OsStr::to_str)
            .unwrap_or_default()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of a daemon that was killed.
    pub(crate) fn reap(mut self) -> Result<()> {
        self.child.wait().context("the daemon is lost")?;
        Ok(())
    }

    /// Asks it to end, and waits; it restores what it changed.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            match self.child.try_wait().context("the daemon is lost")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the daemon ended with {status}; see {}", self.folder.display()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        bail!(
            "the daemon had not ended {} s after it was asked to",
            STOP.as_secs()
        )
    }
}

/// Its socket and journal: on tmpfs, where a busy disk delays nothing.
fn run_folder(stage: &Stage, name: &str) -> PathBuf {
    let top = stage.groups.path("");
    PathBuf::from("/run").join(format!("{}-{name}", top.trim_start_matches('/')))
}

/// The policy: the same ceilings and floors as every rival has.
fn policy_text(stage: &Stage, scenario: &Scenario, options: &Options, mode: &str) -> String {
    let mut text = String::new();
    let [.., batch] = scenario.rest.0;
    for (tenant, rest) in TENANTS.iter().zip(scenario.rest.0) {
        let (path, ceiling) = (
            stage.groups.path(&format!("pool/{tenant}")),
            scenario.ceiling_cores,
        );
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[[app]]\nname = \"{tenant}\"\nclass = \"critical\"\nmatch = {{ cgroup = \"{path}\" }}\n\
             cpu = {{ floor = {rest}, ceiling = {ceiling}, mode = \"{mode}\" }}\n\n"
        );
    }
    let (path, floor) = (stage.groups.path("pool/batch"), scenario.batch_floor_cores);
    let code = if options.recompile { mode } else { "observe" };
    let _ = write!(
        text,
        "[[app]]\nname = \"batch\"\nclass = \"batch\"\nmatch = {{ cgroup = \"{path}\" }}\n\
         cpu = {{ floor = {floor}, ceiling = {batch}, mode = \"{mode}\" }}\ncode = {{ mode = \"{code}\" }}\n\n\
         [[pool]]\nname = \"demo\"\nresource = \"cpu\"\napps = [\"north\", \"south\", \"batch\"]\ncores = {sum}\n\n\
         [strategy]\nleft_alone_share = 0.0\n",
        sum = scenario.rest.sum()
    );
    text
}

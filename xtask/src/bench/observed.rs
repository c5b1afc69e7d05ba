//! A bench's own groups with programs in them, and the shipped daemon that observes them.
//!
//! The groups have a high weight, so that what else runs on the host is not what makes them wait. Whatever is made here
//! is told to the janitor first; what the daemon recorded is read from its history afterwards.

use crate::demo::groups::{Groups, Isolation};
use crate::demo::janitor::Janitor;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the daemon may take to say that it is ready, and to end.
const PATIENCE: Duration = Duration::from_mins(1);
const READY_LINE: &str = "tidegate is ready";

/// An app of the bench.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) class: &'static str,
    pub(crate) limit_cores: Option<f64>,
}

/// The groups, the programs and the daemon.
pub(crate) struct Observed {
    groups: Groups,
    janitor: Janitor,
    /// Where files of this run lie.
    pub(crate) folder: PathBuf,
    daemon: Child,
}

impl Observed {
    /// Makes a group for each app and starts the daemon, which has nothing to remember.
    pub(crate) fn open(program: &Path, folder: &Path, apps: &[Watched]) -> Result<Self> {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", folder.display()));
            }
            _ => {}
        }
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut janitor = Janitor::start()?;
        let top = format!("tidegate-bench-{}", std::process::id());
        let groups = Groups::create(&top, Isolation::High)?;
        for path in groups.tops() {
            janitor.remove_later(&path)?;
        }
        for app in apps {
            let group = group_of(&app.name);
            groups.make(&group)?;
            if app.limit_cores.is_some() {
                groups.set_limit(&group, app.limit_cores)?;
            }
        }
        let policy = folder.join("policy.toml");
        std::fs::write(&policy, policy_text(&groups, apps)).context("cannot write the policy")?;
        let run = PathBuf::from("/run").join(&top);
        std::fs::create_dir_all(&run).with_context(|| format!("cannot make {}", run.display()))?;
        janitor.remove_files_later(&run)?;
        let log = folder.join("daemon.log");
        let log_file =
            std::fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let data = folder.join("data");
        let command: [&OsStr; 12] = [
            program.as_ref(),
            "run".as_ref(),
            "--policy".as_ref(),
            policy.as_ref(),
            "--mode".as_ref(),
            "observe".as_ref(),
            "--port".as_ref(),
            "0".as_ref(),
            "--data".as_ref(),
            data.as_ref(),
            "--run-dir".as_ref(),
            run.as_ref(),
        ];
        let daemon = start(&groups, &mut janitor, "control", &command, Stdio::from(log_file))?;
        let mut observed = Self {
            groups,
            janitor,
            folder: folder.to_owned(),
            daemon,
        };
        observed.wait_until_ready(&log)?;
        Ok(observed)
    }

    fn wait_until_ready(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            if said.contains(READY_LINE) {
                return Ok(());
            }
            if let Some(status) = self.daemon.try_wait().context("the daemon is lost")? {
                bail!("the daemon ended with {status}:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the daemon was not ready after {} s", PATIENCE.as_secs())
    }

    /// Starts a program of ours in the app's group; it ends with this process at the latest.
    pub(crate) fn start(&mut self, app: &str, arguments: &[&OsStr]) -> Result<Child> {
        let own = std::env::current_exe().context("cannot find this executable")?;
        let mut command = vec![own.as_os_str()];
        command.extend(arguments);
        start(
            &self.groups,
            &mut self.janitor,
            &group_of(app),
            &command,
            Stdio::inherit(),
        )
    }

    /// Binds the app's processes to one core, where there is a tree for that.
    pub(crate) fn pin(&self, app: &str, core: u32) -> Result<()> {
        self.groups.pin(&group_of(app), core)
    }

    /// Ends the daemon, removes the groups, and gives the folder of its history.
    pub(crate) fn close(mut self) -> Result<PathBuf> {
        let pid = Pid::from_raw(self.daemon.id().cast_signed()).context("the daemon has no id")?;
        kill_process(pid, Signal::TERM).context("cannot signal the daemon")?;
        let status = self.daemon.wait().context("the daemon is lost")?;
        if !status.success() {
            bail!("the daemon ended with {status}; see {}", self.folder.display());
        }
        if !self.janitor.finish()? {
            bail!("some groups could not be removed");
        }
        Ok(self.folder.join("data/history"))
    }
}

fn group_of(app: &str) -> String {
    format!("pool/{app}")
}

fn start(
    groups: &Groups,
    janitor: &mut Janitor,
    group: &str,
    command: &[&OsStr],
    log: Stdio,
) -> Result<Child> {
    let own = std::env::current_exe().context("cannot find this executable")?;
    let mut child = Command::new(own);
    child.arg("enter");
    for door in groups.doors(group) {
        child.arg("--door").arg(door);
    }
    child
        .arg("--")
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let child = child.spawn().context("cannot start a program of the bench")?;
    janitor.end_later(child.id())?;
    Ok(child)
}

/// Names the apps; without a mode, all of it is observed.
fn policy_text(groups: &Groups, apps: &[Watched]) -> String {
    let mut text = String::new();
    for app in apps {
        let path = groups.path(&group_of(&app.name));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[[app]]\nname = \"{}\"\nclass = \"{}\"\nmatch = {{ cgroup = \"{path}\" }}\n\n",
            app.name, app.class
        );
    }
    text
}

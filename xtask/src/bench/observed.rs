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
    /// Whether the daemon may switch its code; nothing else is touched.
    pub(crate) may_switch: bool,
}

/// The groups, the programs and the daemon.
pub(crate) struct Observed {
    groups: Groups,
    janitor: Janitor,
    /// Where files of this run lie.
    pub(crate) folder: PathBuf,
    run: PathBuf,
    daemon: Child,
}

impl Observed {
    /// Makes a group for each app and starts the daemon, which has nothing to remember. It observes, but for the code of
    /// apps that it may switch.
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
        let may_switch = apps.iter().any(|app| app.may_switch);
        let mode = if may_switch { "enforce" } else { "observe" };
        let command: [&OsStr; 12] = [
            program.as_ref(),
            "run".as_ref(),
            "--policy".as_ref(),
            policy.as_ref(),
            "--mode".as_ref(),
            mode.as_ref(),
            "--port".as_ref(),
            "0".as_ref(),
            "--data".as_ref(),
            data.as_ref(),
            "--run-dir".as_ref(),
            run.as_ref(),
        ];
        let mut daemon = enter(&groups, "control", &command)?;
        daemon.stderr(Stdio::from(log_file));
        let daemon = start(&mut janitor, daemon)?;
        let mut observed = Self {
            groups,
            janitor,
            folder: folder.to_owned(),
            run,
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
        self.start_foreign(app, &command)
    }

    /// Starts any program in the app's group, with its runtime pointed to this daemon.
    pub(crate) fn start_foreign(&mut self, app: &str, command: &[&OsStr]) -> Result<Child> {
        let mut command = enter(&self.groups, &group_of(app), command)?;
        command.env("TIDEGATE_RUNTIME_SOCKET", self.run.join("runtime.sock"));
        start(&mut self.janitor, command)
    }

    /// What a verb of the daemon's binary prints, about this daemon.
    pub(crate) fn ask(&self, program: &Path, verb: &[&str]) -> Result<String> {
        let output = Command::new(program)
            .args(verb)
            .arg("--data")
            .arg(self.folder.join("data"))
            .arg("--run-dir")
            .arg(&self.run)
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        if !output.status.success() {
            bail!(
                "`{}` ended with {}: {}",
                verb.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        String::from_utf8(output.stdout).context("the verb printed no text")
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

/// The command that runs `command` in the group.
fn enter(groups: &Groups, group: &str, command: &[&OsStr]) -> Result<Command> {
    let own = std::env::current_exe().context("cannot find this executable")?;
    let mut enter = Command::new(own);
    enter.arg("enter");
    for door in groups.doors(group) {
        enter.arg("--door").arg(door);
    }
    enter
        .arg("--")
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Ok(enter)
}

/// Starts it; it ends with this process at the latest.
fn start(janitor: &mut Janitor, mut command: Command) -> Result<Child> {
    let child = command.spawn().context("cannot start a program of the bench")?;
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
            "[[app]]\nname = \"{}\"\nclass = \"{}\"\nmatch = {{ cgroup = \"{path}\" }}\n",
            app.name, app.class
        );
        text += if app.may_switch {
            "code = { mode = \"enforce\" }\n\n"
        } else {
            "\n"
        };
    }
    text
}

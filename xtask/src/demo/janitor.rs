//! A process that outlives the demo and tidies up after it, however it ended.
//!
//! The demo tells it on a pipe which processes and folders it made. When the pipe closes, by the demo's end, Ctrl-C or
//! SIGKILL, the janitor ends those processes (the daemon first, politely: it restores what it changed) and removes the
//! folders. It stands in a process group of its own, so that a terminal's Ctrl-C does not reach it, and it holds a
//! pidfd per process, so that a reused id cannot mislead it.

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(6);

/// The demo's end of the pipe.
pub(crate) struct Janitor {
    child: Child,
}

impl Janitor {
    /// Starts the janitor; do it before entering any group, so that it stands in none of those it removes.
    pub(crate) fn start() -> Result<Self> {
        let own = std::env::current_exe().context("cannot find this executable")?;
        let child = Command::new(own)
            .arg("janitor")
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start the janitor")?;
        Ok(Self { child })
    }

    /// It will end this process.
    pub(crate) fn end_later(&mut self, pid: u32) -> Result<()> {
        self.tell(&format!("process {pid}"))
    }

    /// It will remove this folder and all groups below it.
    pub(crate) fn remove_later(&mut self, folder: &Path) -> Result<()> {
        self.tell(&format!("folder {}", folder.display()))
    }

    /// It will remove this folder of plain files.
    pub(crate) fn remove_files_later(&mut self, folder: &Path) -> Result<()> {
        self.tell(&format!("files {}", folder.display()))
    }

    fn tell(&mut self, line: &str) -> Result<()> {
        let Some(pipe) = self.child.stdin.as_mut() else {
            bail!("the janitor's pipe is closed")
        };
        writeln!(pipe, "{line}").context("the janitor is gone")
    }

    /// Lets it do its work now and waits for it; false where something was left behind.
    pub(crate) fn finish(mut self) -> Result<bool> {
        drop(self.child.stdin.take());
        Ok(self.child.wait().context("the janitor is lost")?.success())
    }
}

/// The janitor's own life: listen until the pipe closes, then tidy up. True where nothing is left.
pub(crate) fn run() -> Result<bool> {
    let mut processes = Vec::new();
    let mut folders = Vec::new();
    let mut files = Vec::new();
    for line in std::io::stdin().lock().lines() {
        // A broken pipe is an ended demo.
        let Ok(line) = line else { break };
        match line.split_once(' ') {
            Some(("process", pid)) => processes.extend(open(pid)),
            Some(("folder", folder)) => folders.push(PathBuf::from(folder)),
            Some(("files", folder)) => files.push(PathBuf::from(folder)),
            _ => bail!("the demo said `{line}`"),
        }
    }
    for process in processes.iter().rev() {
        end(process);
    }
    for folder in files {
        // What was never made need not be removed.
        std::fs::remove_dir_all(folder).ok();
    }
    Ok(remove_all(&folders))
}

/// None where the process is gone already.
fn open(pid: &str) -> Option<OwnedFd> {
    let pid = Pid::from_raw(pid.trim().parse().ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Asks, waits, and insists.
fn end(process: &OwnedFd) {
    // A process that is gone cannot be signalled, and need not be.
    if pidfd_send_signal(process, Signal::TERM).is_ok() && !ended(process, GRACE) {
        pidfd_send_signal(process, Signal::KILL).ok();
        ended(process, GRACE);
    }
}

/// Waits for the process's end.
fn ended(process: &OwnedFd, patience: Duration) -> bool {
    let mut polled = [PollFd::new(process, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: patience.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    poll(&mut polled, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// Removes the folders as their last processes leave; whoever stays past the grace is in our own group, and is ended.
fn remove_all(folders: &[PathBuf]) -> bool {
    let deadline = Instant::now() + GRACE;
    loop {
        let left = folders.iter().filter(|folder| !remove(folder)).count();
        if left == 0 {
            return true;
        }
        if Instant::now() > deadline + GRACE {
            eprintln!("left behind: {left} of {folders:?}");
            return false;
        }
        if Instant::now() > deadline {
            for folder in folders {
                end_members(folder);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Removes a group from its leaves up; true where it is gone.
fn remove(folder: &Path) -> bool {
    for child in children(folder) {
        remove(&child);
    }
    std::fs::remove_dir(folder).is_ok() || !folder.exists()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn end_members(folder: &Path) {
    for child in children(folder) {
        end_members(&child);
    }
    let members = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for process in members.lines().filter_map(open) {
        pidfd_send_signal(&process, Signal::KILL).ok();
    }
}

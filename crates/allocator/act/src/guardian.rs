//! The small process that restores when the daemon cannot.
//!
//! It is started first, holds the daemon's pidfd and the journal, and does nothing while the daemon is well. The
//! daemon is not well when it is gone, when it is stopped or silent while knobs are ours, or when a lease is past
//! its end. Then the guardian takes the daemon's generation of the journal away, kills it (which also works
//! on a stopped process), and gives every found value back; a write that was stuck in the kernel is undone
//! once its process is gone.
//!
//! It never acts otherwise, and it ends with its daemon.

use crate::lock::Lock;
use crate::restore::{RestoreFilter, RestoreOutcome, Restored, restore_journal};
use crate::{ActConfig, ActError, Journal, boot_now, stat};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use tidegate_types::BootTime;

/// How often the guardian looks, in milliseconds.
const LOOK_MS: u16 = 200;
/// Silence of a stopped daemon after which it is given up, in seconds. A daemon beats four times a second.
const STOPPED_S: f64 = 1.0;
/// Silence of a daemon that is not stopped: it may only be late on a busy host, in seconds.
const SILENT_S: f64 = 3.0;
/// Time past a lease's end after which its daemon is given up, in seconds.
const OVERDUE_S: f64 = 2.0;
/// A longer time between two looks means that the guardian itself did not run: the host slept, or starves everyone,
/// in seconds.
const OWN_GAP_S: f64 = 1.0;
/// How long a guardian may take to start, in seconds.
const START_S: i64 = 10;
/// Tries to give back what the kernel refuses, one per look.
const TRIES: u32 = 10;
/// What the guardian says on its standard output once it watches.
const READY: &str = "watching";

/// What the guardian watches.
#[derive(Clone, Debug)]
pub struct GuardianConfig {
    /// Same places as the daemon's.
    pub act: ActConfig,
    /// Process id of the daemon.
    pub daemon_pid: u32,
}

/// How a guardian's watch ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Why the daemon was given up; `None` where it ended by itself.
    pub reason: Option<String>,
    /// What was given back.
    pub restored: Vec<Restored>,
}

/// What the guardian sees in one look.
#[derive(Clone, Copy, Debug)]
struct View {
    now: BootTime,
    last_beat: BootTime,
    state: char,
    /// Earliest end of the leases whose knobs are ours; `None` where none is.
    first_end: Option<BootTime>,
    /// Since when the guardian itself looks without a gap: what slept, or starved, may have slept for both.
    awake_since: BootTime,
}

/// Why the daemon has to be given up, where it has to.
fn verdict(view: View) -> Option<String> {
    let first_end = view.first_end?;
    let silent_s = view.now.seconds_since(view.last_beat.max(view.awake_since));
    let overdue_s = view.now.seconds_since(first_end.max(view.awake_since));
    match view.state {
        'T' | 't' if silent_s > STOPPED_S => Some(format!("it has been stopped for {silent_s:.1} s")),
        _ if silent_s > SILENT_S => Some(format!("it has been silent for {silent_s:.1} s")),
        _ if overdue_s > OVERDUE_S => Some(format!("a lease is {overdue_s:.1} s past its end")),
        _ => None,
    }
}

/// Watches until the daemon is gone and everything is back; the body of `tidegate guardian`. Prints one line once
/// it watches, for whoever started it.
pub fn run(config: &GuardianConfig) -> Result<Report, ActError> {
    ignore_ends()?;
    let mut journal = Journal::attach(&config.act.journal)?;
    let mut report = Report::default();
    let daemon = Daemon::open(config.daemon_pid, journal.pulse()?.start_ticks);
    let mut output = std::io::stdout();
    // Where nobody listens any more, the daemon died while we started, and there is the more to do.
    let _ = writeln!(output, "{READY}").and_then(|()| output.flush());
    if let Some(daemon) = &daemon {
        let (mut awake_since, mut last_look) = (boot_now(), boot_now());
        while !daemon.ended_within(LOOK_MS) {
            let now = boot_now();
            if now.seconds_since(last_look) > OWN_GAP_S {
                awake_since = now;
            }
            last_look = now;
            report.reason = verdict(look(&mut journal, daemon, awake_since)?);
            if report.reason.is_some() {
                journal.fence(journal.generation())?;
                daemon.kill();
                break;
            }
        }
    }
    report.restored = bring_back(config, &mut journal, daemon.as_ref())?;
    Ok(report)
}

fn look(journal: &mut Journal, daemon: &Daemon, awake_since: BootTime) -> Result<View, ActError> {
    let ends = journal.entries()?.into_iter().map(|(_, entry)| entry.end);
    Ok(View {
        first_end: ends.min(),
        last_beat: journal.pulse()?.at,
        state: stat::of(daemon.pid).map_or('X', |stat| stat.state),
        now: boot_now(),
        awake_since,
    })
}

/// Restores at once, and again when the daemon is really gone: a write that was stuck may have come after.
fn bring_back(
    config: &GuardianConfig,
    journal: &mut Journal,
    daemon: Option<&Daemon>,
) -> Result<Vec<Restored>, ActError> {
    let mut results = Vec::new();
    let mut gone = daemon.is_none_or(|daemon| daemon.ended_within(LOOK_MS));
    let mut tries = 0;
    loop {
        let lock = Lock::take(&config.act.layout);
        if gone && matches!(lock, Err(ActError::AnotherEnforcer { .. })) {
            // The next daemon is here; it restores what it finds.
            return Ok(results);
        }
        if journal.current_generation()? != journal.generation() {
            return Ok(results);
        }
        let round = restore_journal(&config.act.layout, journal, &RestoreFilter::default())?;
        let refused = round
            .iter()
            .any(|entry| matches!(entry.outcome, RestoreOutcome::Failed(_)));
        results.extend(round);
        tries += 1;
        if gone && (!refused || tries >= TRIES) {
            return Ok(results);
        }
        gone = daemon.is_none_or(|daemon| daemon.ended_within(LOOK_MS));
    }
}

/// Ends that are meant for the daemon (a closed terminal, a service manager's stop) must not end its guardian.
fn ignore_ends() -> Result<(), ActError> {
    // Already a session leader is as good.
    let _ = rustix::process::setsid();
    let noted = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, noted.clone()).map_err(|error| ActError::NoGuardian {
            reason: format!("signal {signal}: {error}"),
        })?;
    }
    Ok(())
}

/// The process that is watched.
#[derive(Debug)]
struct Daemon {
    pid: u32,
    handle: OwnedFd,
}

impl Daemon {
    /// `None` where that very process is gone already.
    fn open(pid: u32, start_ticks: u64) -> Option<Self> {
        let handle = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
        let stat = stat::of(pid)?;
        (stat.start_ticks == start_ticks).then_some(Self { pid, handle })
    }

    fn ended_within(&self, wait_ms: u16) -> bool {
        let mut waits = [PollFd::new(&self.handle, PollFlags::IN)];
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(wait_ms) * 1_000_000,
        };
        matches!(poll(&mut waits, Some(&wait)), Ok(ready) if ready > 0)
    }

    fn kill(&self) {
        // It fails only where the process is gone, which is what was wanted.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

/// Whether a program that was started says something before it has to be given up.
fn speaks_in_time(output: &ChildStdout) -> bool {
    let wait = Timespec {
        tv_sec: START_S,
        tv_nsec: 0,
    };
    matches!(poll(&mut [PollFd::new(output, PollFlags::IN)], Some(&wait)), Ok(ready) if ready > 0)
}

/// The daemon's handle on its guardian.
#[derive(Debug)]
pub struct Guard {
    program: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Guard {
    /// A guardian that is started by running `program` with `arguments`; it is started by [`Guard::ensure`].
    pub fn new(program: impl Into<PathBuf>, arguments: Vec<String>) -> Self {
        Self {
            program: program.into(),
            arguments,
            child: None,
        }
    }

    /// Makes sure that a guardian watches this process: starts it, and waits until it says so.
    pub fn ensure(&mut self, config: &ActConfig) -> Result<(), ActError> {
        if let Some(child) = &mut self.child
            && matches!(child.try_wait(), Ok(None))
        {
            return Ok(());
        }
        let fault = |reason: String| ActError::NoGuardian {
            reason: format!("{}: {reason}", config.journal.display()),
        };
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| fault(error.to_string()))?;
        let output = child.stdout.take().filter(speaks_in_time).map(BufReader::new);
        let mut lines = output
            .into_iter()
            .flat_map(BufReader::lines)
            .map_while(Result::ok);
        if !lines.any(|line| line == READY) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(fault("it ended before it watched".into()));
        }
        self.child = Some(child);
        Ok(())
    }

    /// Process id of the guardian, where it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: char, silent_s: f64, first_end_in_s: Option<f64>, expect: Option<&str>) {
        let now = BootTime::from_seconds(1000.0);
        let view = View {
            now,
            last_beat: now.plus_seconds(-silent_s),
            state,
            first_end: first_end_in_s.map(|seconds| now.plus_seconds(seconds)),
            awake_since: BootTime::default(),
        };
        let reason = verdict(view);
        match expect {
            None => assert_eq!(reason, None),
            Some(word) => assert!(
                reason.as_deref().is_some_and(|text| text.contains(word)),
                "{reason:?}"
            ),
        }
    }

    #[test]
    fn a_daemon_is_given_up_only_while_knobs_are_ours() {
        check('S', 0.2, Some(5.0), None);
        check('T', 60.0, None, None);
        check('S', 60.0, None, None);
        check('T', 0.5, Some(5.0), None);
        check('T', 1.1, Some(5.0), Some("stopped"));
        check('R', 2.0, Some(5.0), None);
        check('D', 3.1, Some(5.0), Some("silent"));
        check('S', 0.2, Some(-1.0), None);
        check('S', 0.2, Some(-2.1), Some("past its end"));
    }

    #[test]
    fn after_a_sleep_of_the_host_the_daemon_has_its_time_again() {
        let now = BootTime::from_seconds(1000.0);
        let asleep = now.plus_seconds(-600.0);
        let view = View {
            now,
            last_beat: asleep,
            state: 'S',
            first_end: Some(asleep),
            awake_since: now,
        };
        assert_eq!(verdict(view), None);
        let later = View {
            now: now.plus_seconds(3.5),
            ..view
        };
        assert!(verdict(later).is_some());
    }
}

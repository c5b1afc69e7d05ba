//! Warm workers: one process per user that has LLVM ready and forks for each compile.
//!
//! Why so: starting LLVM costs several times what a fork of a started one does. A fault of a compile ends its fork;
//! where the parent itself is gone it is started again at the next compile. Each runs as one user, so that no user's
//! blob is read by a process that has seen another's.
//!
//! Not here: requests, answers, the cache.

use crate::compile::RunAs;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tidegate_format::served::{OUTCOME_BYTES, Outcome};

/// More users than this at once, and the one that was started first is ended.
const PARENT_LIMIT: usize = 8;

/// What a compile gave.
#[derive(Debug)]
pub(crate) struct Done {
    /// How the fork ended.
    pub(crate) status: ExitStatus,
    /// What it wrote.
    pub(crate) answer: Vec<u8>,
    /// What it complained of.
    pub(crate) message: String,
    /// CPU time from fork to exit.
    pub(crate) cpu: Duration,
}

/// The CPU time that warm parents took to start, and the compiles that they served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmCost {
    /// Of all starts together.
    pub start_cpu: Duration,
    /// Served by them.
    pub compiles: u64,
}

impl WarmCost {
    /// What a compile has to bear of it.
    pub fn per_compile(&self) -> Duration {
        let compiles = u32::try_from(self.compiles).unwrap_or(u32::MAX);
        self.start_cpu.checked_div(compiles).unwrap_or_default()
    }
}

/// A running parent.
#[derive(Debug)]
struct Parent {
    process: Child,
    /// Compiles that it served.
    served: u64,
}

impl Drop for Parent {
    fn drop(&mut self) {
        // It ends by itself when its input does; one that does not is not waited for.
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The running parents, by user and group.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    parents: Mutex<Parents>,
}

#[derive(Debug, Default)]
struct Parents {
    running: BTreeMap<RunAs, Parent>,
    cost: WarmCost,
}

impl Pool {
    /// Compiles one request as this user. One compile at a time: they are for quiet time.
    pub(crate) fn compile(
        &self,
        path: &Path,
        run_as: RunAs,
        cpu_limit: Duration,
        request: &[u8],
    ) -> io::Result<Done> {
        let mut parents = self.parents.lock().unwrap_or_else(PoisonError::into_inner);
        let Parents { running, cost } = &mut *parents;
        let before = running.remove(&run_as).and_then(|mut parent| {
            let alive = parent.process.try_wait().is_ok_and(|ended| ended.is_none());
            alive.then_some(parent)
        });
        let mut parent = match before {
            Some(parent) => parent,
            None => start(path, run_as, cpu_limit)?,
        };
        // Where it fails, the parent is dropped, and another started at the next compile.
        let (outcome, done) = order(&mut parent.process, request)?;
        if parent.served == 0 {
            cost.start_cpu += Duration::from_nanos(outcome.start_cpu_ns);
        }
        parent.served += 1;
        cost.compiles += 1;
        if running.len() >= PARENT_LIMIT {
            running.pop_first();
        }
        running.insert(run_as, parent);
        Ok(done)
    }

    /// What the starts cost.
    pub(crate) fn cost(&self) -> WarmCost {
        self.parents.lock().unwrap_or_else(PoisonError::into_inner).cost
    }
}

fn start(path: &Path, run_as: RunAs, cpu_limit: Duration) -> io::Result<Parent> {
    let mut command = Command::new(path);
    command
        .arg("--serve")
        .arg("--cpu-seconds")
        .arg(cpu_limit.as_secs().max(1).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .env_clear()
        .current_dir("/");
    // The worker changes its user by itself once LLVM is loaded, so it may lie where only root can look. For root's
    // programs it becomes nobody.
    if let Some((user, group)) = run_as.filter(|(user, _)| *user != 0) {
        command.arg("--user").arg(format!("{user}:{group}"));
    }
    Ok(Parent {
        process: command.spawn()?,
        served: 0,
    })
}

fn order(parent: &mut Child, request: &[u8]) -> io::Result<(Outcome, Done)> {
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let input = parent.stdin.as_mut().ok_or_else(gone)?;
    let length = u32::try_from(request.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    input.write_all(&length.to_le_bytes())?;
    input.write_all(request)?;
    let output = parent.stdout.as_mut().ok_or_else(gone)?;
    let mut head = [0; OUTCOME_BYTES];
    output.read_exact(&mut head)?;
    let outcome = Outcome::read(&head).map_err(io::Error::other)?;
    let mut answer = vec![0; outcome.answer_length as usize];
    output.read_exact(&mut answer)?;
    let mut message = vec![0; outcome.message_length as usize];
    output.read_exact(&mut message)?;
    let done = Done {
        status: ExitStatus::from_raw(outcome.status),
        answer,
        message: String::from_utf8_lossy(&message).trim().to_owned(),
        cpu: Duration::from_nanos(outcome.cpu_ns),
    };
    Ok((outcome, done))
}

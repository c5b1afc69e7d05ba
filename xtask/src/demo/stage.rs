//! The stage: groups, the processes in them, and the way back to how it was.
//!
//! The controller itself stands in a group of high weight, because a controller that waits for the CPU measures
//! itself. Whatever is made here is told to the janitor first.

use super::groups::{Groups, Isolation};
use super::janitor::Janitor;
use super::scenario::{Scenario, Split, TENANTS};
use crate::load::{self, Latency, Segment};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// From the start of the processes to second zero.
const LEAD: Duration = Duration::from_secs(2);
/// What the tenants may take to serve what has piled up after their last second.
const DRAIN: Duration = Duration::from_secs(90);
/// Weight of a tenant; the batch has the kernel's 100.
const TENANT_WEIGHT: u64 = 1000;
/// Groups that share the fixed sum, in the order of a [`Split`].
pub(crate) const SHARERS: [&str; 3] = ["pool/north", "pool/south", "pool/batch"];

/// Everything that stays the same over all blocks.
pub(crate) struct Stage {
    /// The groups and their knobs.
    pub(crate) groups: Groups,
    /// Where files of this run lie.
    pub(crate) folder: PathBuf,
    janitor: Janitor,
    home: Vec<PathBuf>,
    batch_program: PathBuf,
    spins_per_us: f64,
}

impl Stage {
    /// Makes the groups and moves this process into the one for control.
    pub(crate) fn open(folder: &Path, batch_program: &Path, isolation: Isolation) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let spins_per_us = load::calibrate();
        let mut janitor = Janitor::start()?;
        let groups = Groups::create(&format!("tidegate-demo-{}", std::process::id()), isolation)?;
        for top in groups.tops() {
            janitor.remove_later(&top)?;
        }
        for group in SHARERS {
            groups.make(group)?;
        }
        // Latency-critical work has the higher weight in every arm: the question here is limits, and weights are
        // right when they stand still.
        for tenant in TENANTS {
            groups.set_weight(&format!("pool/{tenant}"), TENANT_WEIGHT)?;
        }
        let home = groups.doors_here()?;
        pass(&groups.doors("control"))?;
        Ok(Self {
            groups,
            folder: folder.to_owned(),
            janitor,
            home,
            batch_program: batch_program.to_owned(),
            spins_per_us,
        })
    }

    /// Goes back to where this process was and lets the janitor remove the rest; fails where something stays.
    pub(crate) fn close(self) -> Result<()> {
        pass(&self.home)?;
        if !self.janitor.finish()? {
            bail!("some groups could not be removed");
        }
        Ok(())
    }

    /// Has the janitor remove one more folder, files and all.
    pub(crate) fn also_remove(&mut self, folder: &Path) -> Result<()> {
        self.janitor.remove_files_later(folder)
    }

    /// Sets all limits, lowering before raising so that the sum is never exceeded on the way.
    pub(crate) fn set(&self, split: Split) -> Result<()> {
        let mut changes = Vec::new();
        for (group, wanted) in SHARERS.into_iter().zip(split.0) {
            let found = self.groups.limit(group)?;
            changes.push((found.is_some_and(|found| wanted > found), group, wanted, found));
        }
        changes.sort_by_key(|(raises, ..)| *raises);
        for (_, group, wanted, found) in changes {
            if found.is_none_or(|found| (found - wanted).abs() > 1e-6) {
                self.groups.set_limit(group, Some(wanted))?;
            }
        }
        Ok(())
    }

    /// Lifts all limits.
    pub(crate) fn unlimit(&self) -> Result<()> {
        SHARERS
            .into_iter()
            .try_for_each(|group| self.groups.set_limit(group, None))
    }

    /// Starts `program` in `group`; it ends with this process at the latest.
    pub(crate) fn start(
        &mut self,
        group: &str,
        command: &[&OsStr],
        log: Stdio,
        environment: &[(&str, String)],
    ) -> Result<Child> {
        let own = std::env::current_exe().context("cannot find this executable")?;
        let mut child = Command::new(own);
        child.arg("enter");
        for door in self.groups.doors(group) {
            child.arg("--door").arg(door);
        }
        child
            .arg("--")
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        child.envs(environment.iter().map(|(name, value)| (name, value)));
        let child = child.spawn().context("cannot start a process of the demo")?;
        self.janitor.end_later(child.id())?;
        Ok(child)
    }

    /// Starts the tenants and the batch, the latter with an environment on top of ours; their second zero is a little ahead.
    pub(crate) fn begin(
        &mut self,
        scenario: &Scenario,
        loads: &[Vec<Segment>; 2],
        environment: &[(&str, String)],
    ) -> Result<Block> {
        let zero = Instant::now() + LEAD;
        let zero_ms = unix_ms() + LEAD.as_millis() as u64;
        let mut tenants = Vec::new();
        for (name, segments) in TENANTS.iter().zip(loads) {
            let (plan, out) = (
                self.folder.join(format!("{name}.json")),
                self.folder.join(format!("{name}.csv")),
            );
            std::fs::write(&plan, serde_json::to_vec(segments)?)
                .with_context(|| format!("cannot write {}", plan.display()))?;
            let own = std::env::current_exe().context("cannot find this executable")?;
            let numbers = [
                zero_ms.to_string(),
                scenario.service_us.to_string(),
                self.spins_per_us.to_string(),
            ];
            let mut command: Vec<&OsStr> = vec![own.as_os_str(), "load".as_ref()];
            command.extend([
                "--segments".as_ref(),
                plan.as_os_str(),
                "--out".as_ref(),
                out.as_os_str(),
            ]);
            for (flag, number) in ["--start-ms", "--service-us", "--spins-per-us"]
                .iter()
                .zip(&numbers)
            {
                command.extend([OsStr::new(flag), OsStr::new(number)]);
            }
            let child = self.start(&format!("pool/{name}"), &command, Stdio::inherit(), &[])?;
            tenants.push((child, out));
        }
        let out = self.folder.join("batch.txt");
        let program = self.batch_program.clone();
        let batch = self.start(
            "pool/batch",
            &[program.as_ref(), out.as_ref(), "2".as_ref()],
            Stdio::null(),
            environment,
        )?;
        Ok(Block {
            zero,
            zero_ms,
            tenants,
            batch: (batch, out),
        })
    }
}

/// Moves this process through doors.
fn pass(doors: &[PathBuf]) -> Result<()> {
    for door in doors {
        std::fs::write(door, "0").with_context(|| format!("cannot move through {}", door.display()))?;
    }
    Ok(())
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// The processes of one block, and its clock.
pub(crate) struct Block {
    /// Second zero.
    pub(crate) zero: Instant,
    /// Second zero as Unix milliseconds.
    pub(crate) zero_ms: u64,
    tenants: Vec<(Child, PathBuf)>,
    batch: (Child, PathBuf),
}

/// What a block left behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Per tenant, by arrival.
    pub(crate) latencies: [Vec<Latency>; 2],
    /// Seconds since zero and products so far, in order.
    pub(crate) work: Vec<(f64, f64)>,
    /// Products that differed from the first one.
    pub(crate) wrong: u64,
}

impl Block {
    /// Waits until second `at_s`.
    pub(crate) fn wait_until(&self, at_s: f64) {
        let due = self.zero + Duration::from_secs_f64(at_s.max(0.0));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    /// Ends a tenant before its time; its group is empty then.
    pub(crate) fn end_tenant(&mut self, tenant: usize) -> Result<()> {
        let (child, _) = &mut self.tenants[tenant];
        child.kill().context("cannot end a tenant")?;
        child.wait().context("a tenant is lost")?;
        Ok(())
    }

    /// Ends everything now, whatever it was doing.
    pub(crate) fn abandon(mut self) -> Result<()> {
        for tenant in 0..self.tenants.len() {
            self.end_tenant(tenant)?;
        }
        self.batch.0.kill().context("cannot end the batch")?;
        self.batch.0.wait().context("the batch is lost")?;
        Ok(())
    }

    /// Process id of the batch program.
    pub(crate) fn batch_pid(&self) -> u32 {
        self.batch.0.id()
    }

    /// Waits for the tenants, ends the batch and reads what they wrote.
    pub(crate) fn finish(mut self) -> Result<Record> {
        let mut record = Record::default();
        for ((child, out), latencies) in self.tenants.iter_mut().zip(&mut record.latencies) {
            wait(child)?;
            *latencies = load::read_latencies(out)?;
        }
        self.batch.0.kill().context("cannot end the batch")?;
        self.batch.0.wait().context("the batch is lost")?;
        let text = std::fs::read_to_string(&self.batch.1)
            .with_context(|| format!("cannot read {}", self.batch.1.display()))?;
        for line in text.lines() {
            let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            // The last line may be cut where the batch was ended.
            if let [at_ms, products, wrong] = numbers[..] {
                record.work.push(((at_ms - self.zero_ms as f64) / 1e3, products));
                record.wrong = wrong as u64;
            }
        }
        Ok(record)
    }
}

fn wait(child: &mut Child) -> Result<()> {
    let deadline = Instant::now() + DRAIN;
    while Instant::now() < deadline {
        match child.try_wait().context("a tenant is lost")? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("a tenant ended with {status}"),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    child.kill().ok();
    bail!(
        "a tenant had not served its queue {} s after its last request",
        DRAIN.as_secs()
    )
}

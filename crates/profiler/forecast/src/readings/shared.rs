//! What CPUs, memory, nodes, disks and links showed, which many apps share.

use super::signal::{Signal, Waiting, Worst, shared_reading};
use super::{Reader, from_first, parts_of};
use crate::demand::finite;
use crate::events::Reading;
use std::sync::Arc;
use tidegate_types::{AppName, Direction, Entity, Field, Row, Unit};

/// A device whose latency is below this multiple of its quiet baseline keeps nobody waiting for others.
const DISK_LATENCY_RATIO: f64 = 1.5;
/// A node with less than this share of its memory left, page cache counted as left, is full.
const NODE_LEFT: f64 = 0.05;
/// A confined app runs on a CPU that does at least this share of its work.
const RUNS_HERE: f64 = 0.2;
/// A link is full from this share of its speed on; dropped packets per second count as full, too.
const LINK_FULL: f64 = 0.95;
const DROPS_PER_S: f64 = 1.0;

impl Reader<'_> {
    pub(super) fn read_host(&self, row: &Row, waiting: &Waiting, readings: &mut Vec<Reading>) {
        let capacity = finite(row, Field::HostCpuCapacity);
        let cpu = self.shared(&waiting.cpu, finite(row, Field::HostCpuWaiting));
        let mut cpu = shared_reading(Unit::Cpu, cpu, finite(row, Field::HostCpuBusy), capacity);
        if let Some(reading) = &mut cpu {
            self.mark_recoded(reading, |_| 1.0);
        }
        readings.extend(cpu);
        let total = finite(row, Field::HostMemoryTotal);
        let used = total
            .zip(finite(row, Field::HostMemoryAvailable))
            .map(|(total, left)| total - left);
        let memory = self.shared(&waiting.memory, finite(row, Field::HostMemoryWaiting));
        readings.extend(shared_reading(Unit::Memory, memory, used, total));
    }

    /// The waiting of apps where it is measured, else the host's where it is not blurred by apps that do not
    /// count.
    fn shared(&self, apps: &Worst, host: Option<f64>) -> Signal {
        if apps.measured {
            return Signal::Waiting(apps.share, apps.names());
        }
        host.map_or(Signal::Absent, |share| self.unless_blurred(share))
    }

    fn unless_blurred(&self, share: f64) -> Signal {
        if self.blurred && share > 0.0 {
            Signal::Unknown
        } else {
            Signal::Waiting(share, Vec::new())
        }
    }

    /// The waiting of an app that may use some CPUs only belongs to those that it runs on. Where every app is
    /// confined, it belongs to all CPUs together as well.
    pub(super) fn add_cpu_waiting(&self, share: f64, name: &AppName, waiting: &mut Waiting) {
        let cores = parts_of(self.sample, name);
        for (core, part) in &cores {
            let waits = if *part >= RUNS_HERE { share } else { 0.0 };
            waiting.cores.entry(*core).or_default().add(waits, name);
        }
        if cores.is_empty() || self.all_confined {
            waiting.cpu.add(share, name);
        }
    }

    pub(super) fn read_core(&self, row: &Row, number: u16, waiting: &Waiting) -> Option<Reading> {
        let queue = finite(row, Field::CoreWaiting).map(|share| self.unless_blurred(share));
        let confined = waiting.cores.get(&number);
        let known = match (confined, queue) {
            (Some(worst), Some(Signal::Waiting(share, _))) => {
                Signal::Waiting(share.max(worst.share), worst.names())
            }
            (Some(worst), _) => Signal::Waiting(worst.share, worst.names()),
            (None, Some(queue)) => queue,
            (None, None) => return None,
        };
        let capacity = 1.0 - finite(row, Field::CoreSteal).unwrap_or(0.0);
        let busy = finite(row, Field::CoreBusy);
        let mut reading = shared_reading(Unit::Core(number), known, busy, Some(capacity))?;
        self.mark_recoded(&mut reading, |app| {
            let parts = parts_of(self.sample, app);
            let here = parts.iter().find(|(core, _)| *core == number);
            here.map_or(0.0, |(_, part)| *part)
        });
        Some(reading)
    }

    /// Waiting for memory belongs to a node that is full, as far as the app's memory is there.
    pub(super) fn read_node(&self, row: &Row, number: u16, waiting: &Waiting) -> Option<Reading> {
        let total = finite(row, Field::NodeMemoryTotal)?;
        let left = finite(row, Field::NodeMemoryFree)? + finite(row, Field::NodeMemoryFile).unwrap_or(0.0);
        let full = left < NODE_LEFT * total;
        let mut worst = Worst::default();
        for (app, share) in &waiting.memory_share {
            if let Some(part) = self.part_on_node(app, number) {
                worst.add(if full { share * part } else { 0.0 }, app);
            }
        }
        let used = (total - left).max(0.0);
        shared_reading(
            Unit::Node(number),
            self.shared(&worst, None),
            Some(used),
            Some(total),
        )
    }

    /// The share of the app's memory that is on the node.
    fn part_on_node(&self, app: &AppName, node: u16) -> Option<f64> {
        let own = Entity::AppNode(app.clone(), node);
        self.sample.get(&own, Field::AppNodeMemory)?;
        let first = Entity::AppNode(app.clone(), 0);
        Some(self.part_of(&own, &first, &[Field::AppNodeMemory]))
    }

    pub(super) fn read_disk(
        &self,
        row: &Row,
        name: &Arc<str>,
        waiting: &Waiting,
        readings: &mut Vec<Reading>,
    ) {
        let load = finite(row, Field::DiskRead)
            .zip(finite(row, Field::DiskWrite))
            .map(|(r, w)| r + w);
        let quiet = finite(row, Field::DiskLatencyRatio).is_some_and(|ratio| ratio < DISK_LATENCY_RATIO);
        let mut worst = Worst::default();
        for (app, share) in &waiting.io_share {
            let part = self.part_on_disk(app, name);
            worst.add(if quiet { 0.0 } else { share * part }, app);
        }
        let host = self.sample.get(&Entity::Host, Field::HostIoWaiting).map(|share| {
            if quiet {
                0.0
            } else {
                share * self.part_of_queue(name)
            }
        });
        let shared = self.shared(&worst, host);
        readings.extend(shared_reading(Unit::Disk(name.clone(), None), shared, load, None));
    }

    /// Waiting for a disk belongs to a range of it as far as the app's traffic goes there.
    pub(super) fn read_range(
        &self,
        row: &Row,
        disk: &Arc<str>,
        (from, to): (u64, u64),
        waiting: &Waiting,
    ) -> Option<Reading> {
        let load = finite(row, Field::RangeRead)? + finite(row, Field::RangeWrite)?;
        let latency = self
            .sample
            .get(&Entity::Disk(disk.clone()), Field::DiskLatencyRatio);
        let quiet = latency.is_some_and(|ratio| ratio < DISK_LATENCY_RATIO);
        let mut worst = Worst::default();
        for (app, share) in &waiting.io_share {
            let part = self.part_in_range(app, disk, (from, to));
            worst.add(if quiet { 0.0 } else { share * part }, app);
        }
        let unit = Unit::Disk(disk.clone(), Some((from, to)));
        shared_reading(unit, self.shared(&worst, None), Some(load), None)
    }

    /// The share of the app's traffic on all disks that goes to the range.
    fn part_in_range(&self, app: &AppName, disk: &Arc<str>, range: (u64, u64)) -> f64 {
        let own = Entity::AppRange(app.clone(), disk.clone(), range.0, range.1);
        let first = Entity::AppRange(app.clone(), Arc::from(""), 0, 0);
        self.part_of(&own, &first, &[Field::AppRangeRead, Field::AppRangeWrite])
    }

    /// The share of the app's disk traffic that goes to `disk`.
    fn part_on_disk(&self, app: &AppName, disk: &Arc<str>) -> f64 {
        let own = Entity::AppDisk(app.clone(), disk.clone());
        let first = Entity::AppDisk(app.clone(), Arc::from(""));
        self.part_of(&own, &first, &[Field::AppDiskRead, Field::AppDiskWrite])
    }

    /// The share that `own` has of an app's rows of one kind, of which none comes before `first`; what was not measured
    /// counts as nothing.
    fn part_of(&self, own: &Entity, first: &Entity, fields: &[Field]) -> f64 {
        let amount = |row: &Row| fields.iter().filter_map(|field| finite(row, *field)).sum::<f64>();
        let of_app = |row: &&Row| row.entity.kind() == own.kind() && row.entity.app() == own.app();
        let all: f64 = from_first(self.sample, first)
            .take_while(of_app)
            .map(amount)
            .sum();
        let own = self.sample.row(own).map_or(0.0, amount);
        if all > 0.0 { own / all } else { 0.0 }
    }

    /// The share of all queued requests that `disk` has.
    fn part_of_queue(&self, disk: &Arc<str>) -> f64 {
        let queues = || {
            self.sample.rows.iter().filter_map(|row| match &row.entity {
                Entity::Disk(name) => Some((name, finite(row, Field::DiskQueue)?)),
                _ => None,
            })
        };
        let all: f64 = queues().map(|(_, queue)| queue).sum();
        let own: f64 = queues()
            .filter(|(name, _)| *name == disk)
            .map(|(_, queue)| queue)
            .sum();
        if all > 0.0 { own / all } else { 0.0 }
    }
}

pub(super) fn read_nic(row: &Row, name: &Arc<str>, readings: &mut Vec<Reading>) {
    let speed = finite(row, Field::NicSpeed).filter(|speed| *speed > 0.0);
    for (direction, bytes, drops) in [
        (Direction::Rx, Field::NicReceive, Field::NicReceiveDrops),
        (Direction::Tx, Field::NicTransmit, Field::NicTransmitDrops),
    ] {
        let load = finite(row, bytes);
        let drops = finite(row, drops);
        let full = load.zip(speed).map(|(load, speed)| load / speed);
        if drops.is_none() && full.is_none() {
            continue;
        }
        let waits = drops.unwrap_or(0.0) >= DROPS_PER_S || full.unwrap_or(0.0) >= LINK_FULL;
        let share = f64::from(u8::from(waits));
        let known = Signal::Waiting(share, Vec::new());
        readings.extend(shared_reading(
            Unit::Net(name.clone(), direction),
            known,
            load,
            speed,
        ));
    }
}

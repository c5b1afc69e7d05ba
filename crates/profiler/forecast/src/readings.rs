//! From a sample to what each unit showed: whose waiting belongs where.
//!
//! Waiting while throttled belongs to the limit that throttles, the app's own or an ancestor's; only the rest
//! belongs to the CPUs: to single ones, where the app may use these only (`parts_of`). Apps of class batch and elastic apps do not count as waiting. Where nothing tells the
//! waiting of those that count apart, the level is unknown. Under a lease on an app's CPU limit, the level is its
//! demand over the limit that was found, so what the lease prevents still counts as what would have been.

use crate::demand::{AT_LIMIT, AppDemand, finite, throttled_share};
use crate::events::{EXIT, Reading, waiting_threshold};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_types::{
    AppName, Apps, Class, Direction, Entity, Field, Knob, Lease, Resource, Row, Sample, Unit,
};

/// Groups above one another that are walked; deeper trees than this do not occur.
const DEPTH_MAX: usize = 16;
/// An app that uses less than this many cores does not blur the host's waiting.
const ACTIVE_CORES: f64 = 0.1;
/// Throttled more than this share of time explains the host's waiting.
const THROTTLED_ACTIVE: f64 = 0.05;
/// An app that waits elsewhere for at least this share of time, while it uses this much of its limit, might have run
/// into the limit: whether it would cannot be seen.
const HELD_ELSEWHERE: f64 = 0.2;
const HELD_USAGE: f64 = 0.6;
/// Counterfactual events end where demand falls below this share of the found limit.
const FOUND_LIMIT_EXIT: f64 = 0.85;
/// Memory from this share of its limit on is at the limit.
const MEMORY_AT_LIMIT: f64 = 0.9;
/// A device whose latency is below this multiple of its quiet baseline keeps nobody waiting for others.
const DISK_LATENCY_RATIO: f64 = 1.5;
/// A node with less than this share of its memory left, page cache counted as left, is full.
const NODE_LEFT: f64 = 0.05;
/// A confined app runs on a CPU that does at least this share of its work.
const RUNS_HERE: f64 = 0.2;
/// A link is full from this share of its speed on; dropped packets per second count as full, too.
const LINK_FULL: f64 = 0.95;
const DROPS_PER_S: f64 = 1.0;

/// Everything needed to read units out of a sample.
pub(crate) struct Reader<'a> {
    sample: &'a Sample,
    apps: &'a Apps,
    demands: &'a BTreeMap<AppName, AppDemand>,
    leases: Vec<&'a Lease>,
    /// Usage of the groups below each parent, in cores.
    below_cores: BTreeMap<&'a AppName, f64>,
    /// Whether any app below the parent counts as waiting.
    below_counts: BTreeMap<&'a AppName, bool>,
    /// Apps that do not count use noticeable CPU, or some app is throttled: host-wide waiting says nothing.
    blurred: bool,
    /// No app may use every CPU.
    all_confined: bool,
}

/// The apps above `name`, nearest first.
pub(crate) fn ancestors<'a>(apps: &'a Apps, name: &AppName) -> impl Iterator<Item = &'a AppName> {
    let parent_of = |name: &AppName| apps.get(name).and_then(|managed| managed.app.parent.as_ref());
    std::iter::successors(parent_of(name), move |above| parent_of(above)).take(DEPTH_MAX)
}

/// The share of time that a limit above `name` throttled it.
pub(crate) fn held_from_above(sample: &Sample, apps: &Apps, name: &AppName) -> f64 {
    ancestors(apps, name)
        .filter_map(|above| throttled_share(sample.row(&Entity::App(above.clone()))?))
        .fold(0.0, f64::max)
}

/// Whether `lease` was in effect at any time of the sample's interval.
pub(crate) fn in_effect(lease: &Lease, sample: &Sample) -> bool {
    let from = sample.now.boot.plus_seconds(-sample.interval_s);
    lease.start < sample.now.boot && lease.end > from
}

/// The rows from `first` on.
fn from_first<'a>(sample: &'a Sample, first: &Entity) -> impl Iterator<Item = &'a Row> {
    let from = sample.rows.partition_point(|row| row.entity < *first);
    sample.rows[from..].iter()
}

/// The CPUs that an app which may not use all runs on, each with the share of its CPU time; empty for others.
fn parts_of(sample: &Sample, app: &AppName) -> Vec<(u16, f64)> {
    let used: Vec<(u16, f64)> = from_first(sample, &Entity::AppCore(app.clone(), 0))
        .map_while(|row| match &row.entity {
            Entity::AppCore(name, core) if name == app => Some((*core, finite(row, Field::AppCoreUsage)?)),
            _ => None,
        })
        .collect();
    let all: f64 = used.iter().map(|(_, cores)| cores).sum();
    let share = |cores: f64| if all > 0.0 { cores / all } else { 0.0 };
    used.into_iter()
        .map(|(core, cores)| (core, share(cores)))
        .collect()
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        sample: &'a Sample,
        apps: &'a Apps,
        demands: &'a BTreeMap<AppName, AppDemand>,
        leases: &'a [Lease],
    ) -> Self {
        let leases = leases.iter().filter(|lease| in_effect(lease, sample)).collect();
        let mut reader = Self {
            sample,
            apps,
            demands,
            leases,
            below_cores: BTreeMap::new(),
            below_counts: BTreeMap::new(),
            blurred: false,
            all_confined: false,
        };
        reader.look_over_apps();
        reader.all_confined = reader.is_all_confined();
        reader
    }

    fn look_over_apps(&mut self) {
        for (name, managed) in self.apps {
            let Some(demand) = self.demands.get(name) else {
                continue;
            };
            let usage = demand.usage_cores.unwrap_or(0.0);
            let counts = self.counts(name);
            self.blurred |= !counts && usage > ACTIVE_CORES;
            self.blurred |= demand.throttled.unwrap_or(0.0) > THROTTLED_ACTIVE;
            if managed.app.parent.is_none() {
                continue;
            }
            for above in ancestors(self.apps, name) {
                *self.below_cores.entry(above).or_default() += usage;
                *self.below_counts.entry(above).or_default() |= counts;
            }
        }
    }

    fn is_all_confined(&self) -> bool {
        let confined = self
            .sample
            .rows
            .iter()
            .any(|row| matches!(row.entity, Entity::AppCore(..)));
        let free = |name: &AppName| {
            let uses = self.demands.get(name).and_then(|demand| demand.usage_cores);
            uses.is_some_and(|cores| cores > 0.0) && parts_of(self.sample, name).is_empty()
        };
        confined && !self.apps.keys().any(free)
    }

    /// Whether the app's waiting counts: neither batch nor elastic.
    fn counts(&self, name: &AppName) -> bool {
        let batch = self
            .apps
            .get(name)
            .is_some_and(|managed| managed.grant.class == Class::Batch);
        let elastic = self.demands.get(name).is_some_and(AppDemand::is_elastic);
        !batch && !elastic
    }

    /// What every unit showed; units of which no signal of waiting is offered are left out.
    pub(crate) fn read(&self) -> Vec<Reading> {
        let mut readings = Vec::new();
        let mut waiting = Waiting::default();
        for row in &self.sample.rows {
            match &row.entity {
                Entity::App(name) if self.apps.contains_key(name) => {
                    self.read_app(row, name, &mut waiting, &mut readings);
                }
                _ => {}
            }
        }
        for row in &self.sample.rows {
            match &row.entity {
                Entity::Host => self.read_host(row, &waiting, &mut readings),
                Entity::Core(number) => readings.extend(self.read_core(row, *number, &waiting)),
                Entity::Node(number) => readings.extend(self.read_node(row, *number, &waiting)),
                Entity::DiskRange(disk, from, to) => {
                    readings.extend(self.read_range(row, disk, (*from, *to), &waiting));
                }
                Entity::Disk(name) => self.read_disk(row, name, &waiting, &mut readings),
                Entity::Nic(name) => read_nic(row, name, &mut readings),
                _ => {}
            }
        }
        for reading in &mut readings {
            self.mark_treated(reading);
        }
        readings
    }

    fn read_app(&self, row: &Row, name: &AppName, waiting: &mut Waiting, readings: &mut Vec<Reading>) {
        let own = throttled_share(row).unwrap_or(0.0);
        let counts = self.counts(name);
        if counts {
            let held = held_from_above(self.sample, self.apps, name).max(own);
            if let Some(share) = finite(row, Field::CpuWaiting) {
                self.add_cpu_waiting((share - held).max(0.0), name, waiting);
            }
            let at_memory_limit = memory_limit(row)
                .is_some_and(|limit| finite(row, Field::Memory).unwrap_or(0.0) >= MEMORY_AT_LIMIT * limit);
            if let Some(share) = finite(row, Field::MemoryWaiting) {
                let share = if at_memory_limit { 0.0 } else { share };
                waiting.memory.add(share, name);
                waiting.memory_share.insert(name.clone(), share);
            }
            if let Some(share) = finite(row, Field::IoWaiting) {
                waiting.io_share.insert(name.clone(), share);
            }
        }
        let limited_counts = self.below_counts.get(name).copied().unwrap_or(counts);
        if limited_counts {
            readings.extend(self.read_cpu_limit(row, name));
            readings.extend(read_memory_limit(row, name));
        }
    }

    fn read_cpu_limit(&self, row: &Row, name: &AppName) -> Option<Reading> {
        let demand = self.demands.get(name)?;
        let lease = self
            .leases
            .iter()
            .find(|lease| lease.app == *name && lease.asked.knob() == Knob::CpuMax);
        let usage = demand
            .usage_cores
            .map(|own| own + self.below_cores.get(name).copied().unwrap_or(0.0));
        let unit = Unit::Limit(name.clone(), Resource::Cpu);
        let share = throttled_share(row);
        let measured = share.map(|share| share / waiting_threshold(&unit));
        let mut reading = Reading {
            unit,
            level: measured,
            exit: EXIT,
            waiting: share.unwrap_or(0.0),
            load: usage,
            capacity: demand.limit_cores,
            demand: usage.map(|usage| usage.max(demand.demand.cores)),
            censored: demand.demand.censored,
            treated: lease.is_some(),
            apps: vec![name.clone()],
        };
        let Some(lease) = lease else {
            if self.held_elsewhere(row, name, usage, demand.limit_cores) {
                reading.level = measured.filter(|level| *level >= 1.0);
            }
            return (demand.limit_cores.is_some() && measured.is_some()).then_some(reading);
        };
        let found = match lease.found {
            Some(found) => found.limit_cores(),
            None => demand.standing_limit_cores,
        };
        let found = found?;
        reading.capacity = Some(found);
        let lowered = lease.asked.limit_cores().is_some_and(|asked| asked < found);
        let over_found = usage.map(|usage| usage / (AT_LIMIT * found));
        reading.level = match (over_found, measured) {
            // We hold it below what was found: what it would have asked for cannot be seen.
            (Some(over), _) if lowered && over < 1.0 => None,
            (Some(over), Some(waited)) if waited > over && !lowered => Some(waited),
            (Some(over), _) => {
                reading.exit = FOUND_LIMIT_EXIT / AT_LIMIT;
                Some(over)
            }
            (None, _) => None,
        };
        Some(reading)
    }

    /// Whether the app waits for CPUs, or under a limit above it, so that its own limit is out of its reach.
    fn held_elsewhere(&self, row: &Row, name: &AppName, usage: Option<f64>, limit: Option<f64>) -> bool {
        let own = throttled_share(row).unwrap_or(0.0);
        let waiting = finite(row, Field::CpuWaiting).unwrap_or(0.0) - own;
        let above = held_from_above(self.sample, self.apps, name);
        let near = usage
            .zip(limit)
            .is_some_and(|(usage, limit)| usage >= HELD_USAGE * limit);
        near && waiting.max(above) >= HELD_ELSEWHERE
    }

    fn read_host(&self, row: &Row, waiting: &Waiting, readings: &mut Vec<Reading>) {
        let capacity = finite(row, Field::HostCpuCapacity);
        let cpu = self.shared(&waiting.cpu, finite(row, Field::HostCpuWaiting));
        readings.extend(shared_reading(
            Unit::Cpu,
            cpu,
            finite(row, Field::HostCpuBusy),
            capacity,
        ));
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
    fn add_cpu_waiting(&self, share: f64, name: &AppName, waiting: &mut Waiting) {
        let cores = parts_of(self.sample, name);
        for (core, part) in &cores {
            let waits = if *part >= RUNS_HERE { share } else { 0.0 };
            waiting.cores.entry(*core).or_default().add(waits, name);
        }
        if cores.is_empty() || self.all_confined {
            waiting.cpu.add(share, name);
        }
    }

    fn read_core(&self, row: &Row, number: u16, waiting: &Waiting) -> Option<Reading> {
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
        shared_reading(Unit::Core(number), known, busy, Some(capacity))
    }

    /// Waiting for memory belongs to a node that is full, as far as the app's memory is there.
    fn read_node(&self, row: &Row, number: u16, waiting: &Waiting) -> Option<Reading> {
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

    fn read_disk(&self, row: &Row, name: &Arc<str>, waiting: &Waiting, readings: &mut Vec<Reading>) {
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
    fn read_range(
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

    /// Leases on others for the sake of a shared unit: quiet then proves nothing. A limit is only ever treated by a
    /// lease on itself.
    fn mark_treated(&self, reading: &mut Reading) {
        if matches!(reading.unit, Unit::Limit(..)) {
            return;
        }
        if reading.treated || !self.leases.iter().any(|lease| lease.cause.unit == reading.unit) {
            return;
        }
        reading.treated = true;
        reading.level = reading.level.filter(|level| *level >= reading.exit);
    }
}

/// The largest waiting among the apps that count.
#[derive(Default)]
struct Worst {
    measured: bool,
    share: f64,
    by_app: Vec<(f64, AppName)>,
}

/// What is known of the waiting on a unit that many share.
enum Signal {
    /// Nothing here measures it.
    Absent,
    /// It is measured, but says nothing this time.
    Unknown,
    /// Share of time, and the apps that waited, worst first.
    Waiting(f64, Vec<AppName>),
}

/// Waiting per resource.
#[derive(Default)]
struct Waiting {
    cpu: Worst,
    memory: Worst,
    memory_share: BTreeMap<AppName, f64>,
    /// Of apps that may use some CPUs only, by CPU.
    cores: BTreeMap<u16, Worst>,
    io_share: BTreeMap<AppName, f64>,
}

/// Waiting below this share of time does not make an app part of an event.
const NAMED_FROM: f64 = 0.05;
/// Apps that are named.
const NAMED_MAX: usize = 8;

impl Worst {
    fn add(&mut self, share: f64, name: &AppName) {
        self.measured = true;
        self.share = self.share.max(share);
        if share >= NAMED_FROM {
            self.by_app.push((share, name.clone()));
        }
    }

    fn names(&self) -> Vec<AppName> {
        let mut by_app = self.by_app.clone();
        by_app.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
        by_app.into_iter().take(NAMED_MAX).map(|(_, name)| name).collect()
    }
}

fn shared_reading(unit: Unit, signal: Signal, load: Option<f64>, capacity: Option<f64>) -> Option<Reading> {
    let threshold = waiting_threshold(&unit);
    let (share, apps) = match signal {
        Signal::Absent => return None,
        Signal::Unknown => (None, Vec::new()),
        Signal::Waiting(share, apps) => (Some(share.max(0.0)), apps),
    };
    Some(Reading {
        unit,
        level: share.map(|share| share / threshold),
        exit: EXIT,
        waiting: share.unwrap_or(0.0),
        load,
        capacity,
        demand: None,
        censored: share.is_some_and(|share| share >= threshold),
        treated: false,
        apps,
    })
}

fn memory_limit(row: &Row) -> Option<f64> {
    let high = finite(row, Field::MemoryHigh);
    let hard = finite(row, Field::MemoryLimit);
    match (high, hard) {
        (Some(high), Some(hard)) => Some(high.min(hard)),
        (one, other) => one.or(other),
    }
}

fn read_memory_limit(row: &Row, name: &AppName) -> Option<Reading> {
    let limit = memory_limit(row)?;
    let share = finite(row, Field::MemoryWaiting)?;
    let used = finite(row, Field::Memory);
    let unit = Unit::Limit(name.clone(), Resource::Memory);
    let at_limit = used.is_some_and(|used| used >= MEMORY_AT_LIMIT * limit);
    let own = if at_limit { share.max(0.0) } else { 0.0 };
    Some(Reading {
        level: Some(own / waiting_threshold(&unit)),
        unit,
        exit: EXIT,
        waiting: own,
        load: used,
        capacity: Some(limit),
        demand: None,
        censored: at_limit,
        treated: false,
        apps: vec![name.clone()],
    })
}

fn read_nic(row: &Row, name: &Arc<str>, readings: &mut Vec<Reading>) {
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

//! One app's groups: its files of both layouts, turned into one row.
//!
//! What is read each second is kept open; limits and weights are read when they were written (inotify
//! says so) and now and then. Which file answers for a quantity is decided once, when the
//! group is found: cgroup v2's files where the controller is there, v1's otherwise, and waiting (PSI)
//! always from the v2 tree. Values count a whole subtree here; the collector takes the children off.

use crate::bpf::QuietGroups;
use crate::disks::Devices;
use crate::files::{Buffer, DescriptorBudget, Extent, KeptFile};
use crate::groups::GroupIds;
use crate::layout::Roots;
use crate::parse::{self, DeviceIo, Transfer};
use crate::rate::{Counter, plausible_cores, share_of_time};
use rustix::io::Errno;
use std::sync::Arc;
use tidegate_types::{BootTime, Field, Hierarchy, Row};

/// A file that is read each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    V2CpuStat,
    CpuPressure,
    MemoryPressure,
    IoPressure,
    V2MemoryCurrent,
    V2MemoryStat,
    V2Swap,
    V2MemoryEvents,
    V2NumaStat,
    V1NumaStat,
    V2IoStat,
    CpuacctUsage,
    V1CpuStat,
    V1MemoryUsage,
    V1MemoryStat,
    V1OomControl,
    V1IoBytes,
    V1IoOps,
    V1BfqBytes,
    V1BfqOps,
}

use FileKind as Kind;

impl FileKind {
    fn place(self) -> (Hierarchy, &'static str) {
        match self {
            Kind::V2CpuStat => (Hierarchy::V2, "cpu.stat"),
            Kind::CpuPressure => (Hierarchy::V2, "cpu.pressure"),
            Kind::MemoryPressure => (Hierarchy::V2, "memory.pressure"),
            Kind::IoPressure => (Hierarchy::V2, "io.pressure"),
            Kind::V2MemoryCurrent => (Hierarchy::V2, "memory.current"),
            Kind::V2MemoryStat => (Hierarchy::V2, "memory.stat"),
            Kind::V2Swap => (Hierarchy::V2, "memory.swap.current"),
            Kind::V2MemoryEvents => (Hierarchy::V2, "memory.events"),
            Kind::V2NumaStat => (Hierarchy::V2, "memory.numa_stat"),
            Kind::V1NumaStat => (Hierarchy::Memory, "memory.numa_stat"),
            Kind::V2IoStat => (Hierarchy::V2, "io.stat"),
            Kind::CpuacctUsage => (Hierarchy::Cpuacct, "cpuacct.usage"),
            Kind::V1CpuStat => (Hierarchy::Cpu, "cpu.stat"),
            Kind::V1MemoryUsage => (Hierarchy::Memory, "memory.usage_in_bytes"),
            Kind::V1MemoryStat => (Hierarchy::Memory, "memory.stat"),
            Kind::V1OomControl => (Hierarchy::Memory, "memory.oom_control"),
            Kind::V1IoBytes => (Hierarchy::Blkio, "blkio.throttle.io_service_bytes_recursive"),
            Kind::V1IoOps => (Hierarchy::Blkio, "blkio.throttle.io_serviced_recursive"),
            Kind::V1BfqBytes => (Hierarchy::Blkio, "blkio.bfq.io_service_bytes_recursive"),
            Kind::V1BfqOps => (Hierarchy::Blkio, "blkio.bfq.io_serviced_recursive"),
        }
    }
}

/// Files whose first that exists answers; the rest of its line is not opened.
const CHOICES: &[&[FileKind]] = &[
    &[Kind::CpuPressure],
    &[Kind::MemoryPressure],
    &[Kind::IoPressure],
    &[Kind::V2MemoryCurrent, Kind::V1MemoryUsage],
    &[Kind::V2MemoryStat, Kind::V1MemoryStat],
    &[Kind::V2Swap],
    &[Kind::V2MemoryEvents, Kind::V1OomControl],
];

#[derive(Debug, Default)]
struct Counters {
    usage: Counter,
    throttled: Counter,
    periods: Counter,
    throttled_periods: Counter,
    /// Some and full, of CPU, memory and I/O.
    waiting: [[Counter; 2]; 3],
    refaults: Counter,
    reclaimed: Counter,
    oom_kills: Counter,
}

/// Limits and weights as they were last read, in the units of their fields.
#[derive(Clone, Copy, Debug)]
struct Limits {
    cpu_cores: f64,
    period_s: f64,
    burst_s: f64,
    weight: f64,
    idle: f64,
    memory: f64,
    memory_high: f64,
}

const UNKNOWN_LIMITS: Limits = Limits {
    cpu_cores: f64::NAN,
    period_s: f64::NAN,
    burst_s: f64::NAN,
    weight: f64::NAN,
    idle: f64::NAN,
    memory: f64::NAN,
    memory_high: f64::NAN,
};

/// v1 calls a memory without limit the largest multiple of a page in 63 bits.
const V1_WITHOUT_LIMIT: f64 = 4_611_686_018_427_387_904.0;

/// v1 shares of the default v2 weight, 100.
const SHARES_OF_DEFAULT_WEIGHT: f64 = 1024.0;

/// What one app did on one device since it was first seen there.
#[derive(Debug)]
pub(crate) struct DiskSlot {
    /// Position among the leaves.
    pub(crate) device: usize,
    /// Row in the sample.
    pub(crate) row: usize,
    io: DeviceIo,
    counters: [Counter; 4],
}

/// What one app has on one NUMA node.
#[derive(Debug)]
pub(crate) struct NodeSlot {
    pub(crate) node: u16,
    /// Row in the sample.
    pub(crate) row: usize,
    held: f64,
    file: f64,
}

/// Where memory is told by NUMA node; only opened where there are several.
const NODE_CHOICE: [FileKind; 2] = [Kind::V2NumaStat, Kind::V1NumaStat];

/// The reader of one app's groups.
#[derive(Debug)]
pub(crate) struct GroupReader {
    path: Arc<str>,
    /// Its id in the v2 tree; 0 where it has none.
    v2_id: u64,
    files: Vec<(FileKind, KeptFile)>,
    counters: Counters,
    limits: Limits,
    /// Limits must be read again.
    pub(crate) limits_stale: bool,
    /// The group is gone; its removal is on the way as an event.
    pub(crate) dead: bool,
    pub(crate) disks: Vec<DiskSlot>,
    /// What it has on each NUMA node, where that is told.
    pub(crate) nodes: Vec<NodeSlot>,
    /// When I/O was last read: a device that appears later started at zero then.
    io_read: Option<BootTime>,
    /// It was seen on a device for the first time: the rows must be laid out anew.
    pub(crate) disks_changed: bool,
}

/// What every reader needs.
pub(crate) struct Means<'collector> {
    pub(crate) roots: &'collector Roots,
    pub(crate) buffer: &'collector mut Buffer,
    pub(crate) devices: &'collector Devices,
    pub(crate) online: f64,
    /// Groups in which nothing happens, where the kernel tells which.
    pub(crate) quiet: Option<&'collector QuietGroups>,
}

impl GroupReader {
    /// Opens what the group at `path` offers.
    pub(crate) fn open(
        path: &Arc<str>,
        ids: &GroupIds,
        roots: &Roots,
        budget: &DescriptorBudget,
        nodes: &[u16],
        buffer: &mut Buffer,
    ) -> Self {
        let mut files = Vec::new();
        let mut open = |kind: FileKind| {
            let (hierarchy, name) = kind.place();
            let root = roots.get(hierarchy)?;
            KeptFile::open(root, path, name, Extent::Single, budget, buffer)
                .ok()
                .map(|file| (kind, file))
        };
        let usage = open(Kind::CpuacctUsage);
        let throttling = open(Kind::V1CpuStat);
        // v2's file answers for both, so it is read unless v1 answers for both.
        if usage.is_none() || throttling.is_none() {
            files.extend(open(Kind::V2CpuStat));
        }
        files.extend(usage);
        files.extend(throttling);
        for choice in CHOICES {
            files.extend(choice.iter().find_map(|kind| open(*kind)));
        }
        let by_node = NODE_CHOICE
            .iter()
            .filter(|_| !nodes.is_empty())
            .find_map(|kind| open(*kind));
        let nodes = if by_node.is_some() { nodes } else { &[] };
        files.extend(by_node);
        let mut reader = Self {
            path: path.clone(),
            v2_id: ids[Hierarchy::V2 as usize],
            files,
            counters: Counters::default(),
            limits: UNKNOWN_LIMITS,
            limits_stale: true,
            dead: false,
            disks: Vec::new(),
            nodes: nodes.iter().map(|node| NodeSlot::of(*node)).collect(),
            io_read: None,
            disks_changed: false,
        };
        reader.open_io(roots, budget, buffer);
        reader
    }

    /// v1 has two sets of statistics, and both stay empty unless a limit or the bfq scheduler is in
    /// use; an empty one is no source.
    fn open_io(&mut self, roots: &Roots, budget: &DescriptorBudget, buffer: &mut Buffer) {
        let path = self.path.clone();
        let mut open = |kind: FileKind| {
            let (hierarchy, name) = kind.place();
            let root = roots.get(hierarchy)?;
            let file = KeptFile::open(root, &path, name, Extent::Single, budget, buffer).ok()?;
            let mut lines = 0;
            parse::blkio(file.read(root, &path, buffer).ok()?, |_, _, _| lines += 1);
            (kind == Kind::V2IoStat || lines > 0).then_some((kind, file))
        };
        let v1 = [
            [Kind::V1IoBytes, Kind::V1IoOps],
            [Kind::V1BfqBytes, Kind::V1BfqOps],
        ];
        if let Some(file) = open(Kind::V2IoStat) {
            self.files.push(file);
        } else if let Some(pair) = v1
            .iter()
            .find_map(|[bytes, ops]| Some([open(*bytes)?, open(*ops)?]))
        {
            self.files.extend(pair);
        }
    }

    /// Looks again for a source of I/O where there was none.
    pub(crate) fn look_for_io(&mut self, roots: &Roots, budget: &DescriptorBudget, buffer: &mut Buffer) {
        if !self.reads_io() {
            self.open_io(roots, budget, buffer);
        }
    }

    /// Whether the groups tell I/O; otherwise the processes must.
    pub(crate) fn reads_io(&self) -> bool {
        self.files
            .iter()
            .any(|(kind, _)| matches!(kind, Kind::V2IoStat | Kind::V1IoBytes | Kind::V1BfqBytes))
    }

    /// Whether the groups tell CPU usage; otherwise the processes must.
    pub(crate) fn reads_usage(&self) -> bool {
        self.files
            .iter()
            .any(|(kind, _)| matches!(kind, Kind::V2CpuStat | Kind::CpuacctUsage))
    }

    /// Whether the groups tell memory.
    pub(crate) fn reads_memory(&self) -> bool {
        self.files
            .iter()
            .any(|(kind, _)| matches!(kind, Kind::V2MemoryCurrent | Kind::V1MemoryUsage))
    }

    /// Fills `rows[row]` and the rows of the app's disks.
    pub(crate) fn read(&mut self, means: &mut Means<'_>, at: BootTime, rows: &mut [Row], row: usize) {
        for slot in &mut self.disks {
            slot.io = DeviceIo::default();
        }
        let quiet = means.quiet.is_some_and(|quiet| quiet.is_quiet(self.v2_id));
        let mut io_seen = false;
        for position in 0..self.files.len() {
            let kind = self.files[position].0;
            if quiet && self.hold(kind, at, &mut rows[row]) {
                continue;
            }
            let (file, (hierarchy, _)) = (&self.files[position].1, kind.place());
            let Some(root) = means.roots.get(hierarchy) else {
                continue;
            };
            match file.read(root, &self.path, means.buffer) {
                Ok(bytes) => {
                    let io = self.take(kind, bytes, means.devices, means.online, at, &mut rows[row]);
                    io_seen |= io;
                }
                Err(Errno::NODEV | Errno::NOENT) => {
                    self.dead = true;
                    return;
                }
                Err(_) => {}
            }
        }
        if io_seen {
            self.fill_disks(at, rows, row);
        }
        for node in &self.nodes {
            if let Some(row) = rows.get_mut(node.row) {
                row.set(Field::AppNodeMemory, node.held);
                row.set(Field::AppNodeFile, node.file);
            }
        }
        if self.limits_stale {
            self.read_limits(means.roots, means.buffer);
        }
        self.fill_limits(&mut rows[row]);
    }

    /// Spares the reading of a file whose counters are known to stand still: rates of 0. False where the
    /// file must be read all the same, since it was never read or tells more than such counters.
    fn hold(&mut self, kind: FileKind, at: BootTime, row: &mut Row) -> bool {
        let waiting = match kind {
            Kind::CpuPressure => (0, Field::CpuWaiting, Field::CpuStalled),
            Kind::MemoryPressure => (1, Field::MemoryWaiting, Field::MemoryStalled),
            Kind::IoPressure => (2, Field::IoWaiting, Field::IoStalled),
            Kind::V2CpuStat => return self.hold_usage(at, row),
            _ => return false,
        };
        let (which, some, full) = waiting;
        let [some_counter, full_counter] = &mut self.counters.waiting[which];
        let rate = some_counter.hold(at);
        row.set(some, rate);
        row.set(full, full_counter.hold(at));
        !rate.is_nan()
    }

    fn hold_usage(&mut self, at: BootTime, row: &mut Row) -> bool {
        let [own_usage, own_throttling] = self.answers_of_v2();
        let mut known = true;
        if own_usage {
            let rate = self.counters.usage.hold(at);
            row.set(Field::CpuUsage, rate);
            known &= !rate.is_nan();
        }
        if own_throttling {
            row.set(Field::CpuThrottled, self.counters.throttled.hold(at));
            let shares = self.counters.periods.hold(at) * self.counters.throttled_periods.hold(at);
            row.set(Field::CpuThrottledPeriods, shares);
        }
        known
    }

    /// On a hybrid host usage, throttling or both may have an answer of their own from v1.
    fn answers_of_v2(&self) -> [bool; 2] {
        let has = |kind| self.files.iter().any(|(other, _)| *other == kind);
        [!has(Kind::CpuacctUsage), !has(Kind::V1CpuStat)]
    }

    /// Takes one file's content; true when it told I/O.
    fn take(
        &mut self,
        kind: FileKind,
        bytes: &[u8],
        devices: &Devices,
        online: f64,
        at: BootTime,
        row: &mut Row,
    ) -> bool {
        match kind {
            Kind::V2CpuStat => self.v2_cpu_stat(bytes, online, at, row),
            Kind::CpuacctUsage => {
                let cores = self.counters.usage.rate(parse::number(bytes), at) * 1e-9;
                row.set(Field::CpuUsage, plausible_cores(cores, online));
            }
            Kind::V1CpuStat => {
                let (mut periods, mut throttled_periods, mut nanoseconds) = (None, None, None);
                parse::keyed(bytes, |key, value| match key {
                    b"nr_periods" => periods = Some(value),
                    b"nr_throttled" => throttled_periods = Some(value),
                    b"throttled_time" => nanoseconds = Some(value),
                    _ => {}
                });
                self.throttling(periods, throttled_periods, nanoseconds, 1e-9, online, at, row);
            }
            Kind::CpuPressure => self.pressure(0, bytes, at, row, Field::CpuWaiting, Field::CpuStalled),
            Kind::MemoryPressure => {
                self.pressure(1, bytes, at, row, Field::MemoryWaiting, Field::MemoryStalled);
            }
            Kind::IoPressure => self.pressure(2, bytes, at, row, Field::IoWaiting, Field::IoStalled),
            Kind::V2MemoryCurrent | Kind::V1MemoryUsage => {
                row.set(Field::Memory, level(parse::number(bytes)));
            }
            Kind::V2Swap => row.set(Field::Swap, level(parse::number(bytes))),
            Kind::V2MemoryStat => self.v2_memory_stat(bytes, at, row),
            Kind::V1MemoryStat => self.v1_memory_stat(bytes, at, row),
            Kind::V2MemoryEvents | Kind::V1OomControl => {
                let mut kills = None;
                parse::keyed(bytes, |key, value| {
                    if key == b"oom_kill" {
                        kills = Some(value);
                    }
                });
                row.set(Field::MemoryOomKills, self.counters.oom_kills.rate(kills, at));
            }
            Kind::V2NumaStat | Kind::V1NumaStat => self.numa_stat(kind, bytes),
            Kind::V2IoStat => {
                parse::io_stat(bytes, |device, io| {
                    if let Some(slot) = self.disk_slot(devices, device) {
                        slot.io = io;
                    }
                });
                return true;
            }
            Kind::V1IoBytes | Kind::V1BfqBytes => {
                parse::blkio(bytes, |device, transfer, value| {
                    if let Some(slot) = self.disk_slot(devices, device) {
                        *transferred(&mut slot.io, transfer).0 = value;
                    }
                });
                return true;
            }
            Kind::V1IoOps | Kind::V1BfqOps => parse::blkio(bytes, |device, transfer, value| {
                if let Some(slot) = self.disk_slot(devices, device) {
                    *transferred(&mut slot.io, transfer).1 = value;
                }
            }),
        }
        false
    }

    fn v2_cpu_stat(&mut self, bytes: &[u8], online: f64, at: BootTime, row: &mut Row) {
        let (mut usage, mut periods, mut throttled_periods, mut microseconds) = (None, None, None, None);
        parse::keyed(bytes, |key, value| match key {
            b"usage_usec" => usage = Some(value),
            b"nr_periods" => periods = Some(value),
            b"nr_throttled" => throttled_periods = Some(value),
            b"throttled_usec" => microseconds = Some(value),
            _ => {}
        });
        let [own_usage, own_throttling] = self.answers_of_v2();
        if own_usage {
            let cores = self.counters.usage.rate(usage, at) * 1e-6;
            row.set(Field::CpuUsage, plausible_cores(cores, online));
        }
        if own_throttling {
            self.throttling(periods, throttled_periods, microseconds, 1e-6, online, at, row);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "three counters of one file, with their scale"
    )]
    fn throttling(
        &mut self,
        periods: Option<u64>,
        throttled_periods: Option<u64>,
        time: Option<u64>,
        scale: f64,
        online: f64,
        at: BootTime,
        row: &mut Row,
    ) {
        let seconds = self.counters.throttled.rate(time, at) * scale;
        row.set(Field::CpuThrottled, plausible_cores(seconds, online));
        let periods = self.counters.periods.rate(periods, at);
        let throttled = self.counters.throttled_periods.rate(throttled_periods, at);
        let share = if periods > 0.0 {
            (throttled / periods).min(1.0)
        } else {
            // No period ran: nothing was throttled, as long as both were measured.
            periods * throttled
        };
        row.set(Field::CpuThrottledPeriods, share);
    }

    fn pressure(
        &mut self,
        which: usize,
        bytes: &[u8],
        at: BootTime,
        row: &mut Row,
        some: Field,
        full: Field,
    ) {
        let pressure = parse::pressure(bytes);
        let [some_counter, full_counter] = &mut self.counters.waiting[which];
        row.set(some, share_of_time(some_counter.rate(pressure.some_us, at)));
        row.set(full, share_of_time(full_counter.rate(pressure.full_us, at)));
    }

    fn v2_memory_stat(&mut self, bytes: &[u8], at: BootTime, row: &mut Row) {
        let (mut refaults, mut reclaimed) = (None, None);
        let add =
            |total: &mut Option<u64>, value: u64| *total = Some(total.unwrap_or(0).saturating_add(value));
        parse::keyed(bytes, |key, value| match key {
            b"anon" => row.set(Field::MemoryAnonymous, value as f64),
            b"file" => row.set(Field::MemoryFile, value as f64),
            b"workingset_refault_anon" | b"workingset_refault_file" | b"workingset_refault" => {
                add(&mut refaults, value);
            }
            b"pgsteal" => reclaimed = Some(value),
            _ => {}
        });
        row.set(Field::MemoryRefaults, self.counters.refaults.rate(refaults, at));
        row.set(
            Field::MemoryReclaimed,
            self.counters.reclaimed.rate(reclaimed, at),
        );
    }

    fn v1_memory_stat(&mut self, bytes: &[u8], at: BootTime, row: &mut Row) {
        let mut refaults = None;
        parse::keyed(bytes, |key, value| {
            // The totals count the subtree, as every v2 file does.
            let Some(key) = key.strip_prefix(b"total_") else {
                return;
            };
            match key {
                b"rss" => row.set(Field::MemoryAnonymous, value as f64),
                b"cache" => row.set(Field::MemoryFile, value as f64),
                b"swap" => row.set(Field::Swap, value as f64),
                b"workingset_refault_anon" | b"workingset_refault_file" | b"workingset_refault" => {
                    refaults = Some(refaults.unwrap_or(0_u64).saturating_add(value));
                }
                _ => {}
            }
        });
        row.set(Field::MemoryRefaults, self.counters.refaults.rate(refaults, at));
    }

    fn numa_stat(&mut self, kind: FileKind, bytes: &[u8]) {
        let page = rustix::param::page_size() as f64;
        for node in &mut self.nodes {
            (node.held, node.file) = (0.0, 0.0);
        }
        let nodes = &mut self.nodes;
        parse::numa_stat(bytes, |key, number, value| {
            let Some(node) = nodes.iter_mut().find(|node| node.node == number) else {
                return;
            };
            let value = value as f64;
            match (kind, key) {
                (
                    Kind::V2NumaStat,
                    b"anon" | b"kernel_stack" | b"pagetables" | b"sec_pagetables" | b"slab_unreclaimable",
                ) => node.held += value,
                // Shared memory is in the page cache, but cannot be dropped.
                (Kind::V2NumaStat, b"shmem") => {
                    node.held += value;
                    node.file -= value;
                }
                (Kind::V2NumaStat, b"file") => node.file += value,
                (Kind::V1NumaStat, b"hierarchical_anon" | b"hierarchical_unevictable") => {
                    node.held += value * page;
                }
                (Kind::V1NumaStat, b"hierarchical_file") => node.file += value * page,
                _ => {}
            }
        });
    }

    /// The slot of a leaf device, made when the app is first seen there.
    fn disk_slot(&mut self, devices: &Devices, device: parse::Device) -> Option<&mut DiskSlot> {
        let device = devices.position(device)?;
        let position = if let Some(position) = self.disks.iter().position(|slot| slot.device == device) {
            position
        } else {
            let mut counters = [Counter::default(); 4];
            if let Some(at) = self.io_read {
                for counter in &mut counters {
                    let _ = counter.rate(Some(0), at);
                }
            }
            self.disks.push(DiskSlot {
                device,
                row: usize::MAX,
                io: DeviceIo::default(),
                counters,
            });
            self.disks_changed = true;
            self.disks.len() - 1
        };
        self.disks.get_mut(position)
    }

    fn fill_disks(&mut self, at: BootTime, rows: &mut [Row], row: usize) {
        let (mut read, mut write) = (0.0, 0.0);
        for slot in &mut self.disks {
            let values = [
                slot.io.read_bytes,
                slot.io.write_bytes,
                slot.io.read_ops,
                slot.io.write_ops,
            ];
            let [read_bytes, write_bytes, read_ops, write_ops] = &mut slot.counters;
            let rates = [
                read_bytes.rate(Some(values[0]), at),
                write_bytes.rate(Some(values[1]), at),
                read_ops.rate(Some(values[2]), at),
                write_ops.rate(Some(values[3]), at),
            ];
            read += rates[0];
            write += rates[1];
            let Some(row) = rows.get_mut(slot.row) else {
                continue;
            };
            row.set(Field::AppDiskRead, rates[0]);
            row.set(Field::AppDiskWrite, rates[1]);
            row.set(Field::AppDiskReadOps, rates[2]);
            row.set(Field::AppDiskWriteOps, rates[3]);
        }
        let first = self.io_read.replace(at).is_none();
        rows[row].set(Field::AppRead, if first { f64::NAN } else { read });
        rows[row].set(Field::AppWrite, if first { f64::NAN } else { write });
    }

    fn read_limits(&mut self, roots: &Roots, buffer: &mut Buffer) {
        self.limits_stale = false;
        self.limits = UNKNOWN_LIMITS;
        let path = self.path.clone();
        let mut value = |hierarchy, name| {
            let bytes = buffer
                .read_at(roots.get(hierarchy)?, &path, name, Extent::Single)
                .ok()?;
            parse::limit(bytes)
        };
        let limits = &mut self.limits;
        if let Some(quota_us) = value(Hierarchy::Cpu, "cpu.cfs_quota_us") {
            let period_us = value(Hierarchy::Cpu, "cpu.cfs_period_us").unwrap_or(f64::NAN);
            limits.cpu_cores = quota_us / period_us;
            limits.period_s = period_us / 1e6;
            limits.burst_s = value(Hierarchy::Cpu, "cpu.cfs_burst_us").unwrap_or(f64::NAN) / 1e6;
            let shares = value(Hierarchy::Cpu, "cpu.shares").unwrap_or(f64::NAN);
            limits.weight = shares * 100.0 / SHARES_OF_DEFAULT_WEIGHT;
            limits.idle = value(Hierarchy::Cpu, "cpu.idle").unwrap_or(f64::NAN);
        } else {
            limits.burst_s = value(Hierarchy::V2, "cpu.max.burst").unwrap_or(f64::NAN) / 1e6;
            limits.weight = value(Hierarchy::V2, "cpu.weight").unwrap_or(f64::NAN);
            limits.idle = value(Hierarchy::V2, "cpu.idle").unwrap_or(f64::NAN);
        }
        limits.memory = value(Hierarchy::V2, "memory.max")
            .or_else(|| value(Hierarchy::Memory, "memory.limit_in_bytes"))
            .map_or(f64::NAN, |bytes| {
                if bytes >= V1_WITHOUT_LIMIT {
                    f64::INFINITY
                } else {
                    bytes
                }
            });
        limits.memory_high = value(Hierarchy::V2, "memory.high").unwrap_or(f64::NAN);
        if limits.cpu_cores.is_nan()
            && let Some(root) = roots.get(Hierarchy::V2)
            && let Ok(bytes) = buffer.read_at(root, &path, "cpu.max", Extent::Single)
            && let Some(max) = parse::cpu_max(bytes)
        {
            limits.cpu_cores = max.quota_us / max.period_us;
            limits.period_s = max.period_us / 1e6;
        }
    }

    fn fill_limits(&self, row: &mut Row) {
        row.set(Field::CpuLimit, self.limits.cpu_cores);
        row.set(Field::CpuLimitPeriod, self.limits.period_s);
        row.set(Field::CpuBurst, self.limits.burst_s);
        row.set(Field::CpuWeight, self.limits.weight);
        row.set(Field::CpuIdle, self.limits.idle);
        row.set(Field::MemoryLimit, self.limits.memory);
        row.set(Field::MemoryHigh, self.limits.memory_high);
    }

    /// Limits as they were last read, in cores and bytes; NaN where unknown.
    pub(crate) fn bounds(&self) -> (f64, f64) {
        (self.limits.cpu_cores, self.limits.memory)
    }

    /// Forgets all readings, so that no rate spans a gap.
    pub(crate) fn forget(&mut self) {
        self.counters = Counters::default();
        self.io_read = None;
        for slot in &mut self.disks {
            slot.counters = [Counter::default(); 4];
        }
    }

    /// The kept files, for the bench.
    pub(crate) fn files(&self) -> impl Iterator<Item = &KeptFile> {
        self.files.iter().map(|(_, file)| file)
    }
}

impl NodeSlot {
    fn of(node: u16) -> Self {
        Self {
            node,
            row: usize::MAX,
            held: f64::NAN,
            file: f64::NAN,
        }
    }
}

fn level(value: Option<u64>) -> f64 {
    value.map_or(f64::NAN, |value| value as f64)
}

/// Bytes and operations of one direction.
fn transferred(io: &mut DeviceIo, transfer: Transfer) -> (&mut u64, &mut u64) {
    match transfer {
        Transfer::Read => (&mut io.read_bytes, &mut io.read_ops),
        Transfer::Write => (&mut io.write_bytes, &mut io.write_ops),
    }
}

//! The collector: finds the apps and fills a sample with everything that can be read.
//!
//! One look is: take what the kernel announced (group folders, processes), settle which apps there
//! are, read every file once, take children off their parents. Nothing is allocated as long as
//! nothing comes or goes. What cannot be read is absent; after the start nothing here fails.

use crate::TelemetryError;
use crate::bpf::{CoreWaiting, QuietGroups};
use crate::budget::{Budget, BudgetLimits};
use crate::clock::{Clock, ClockReading, host_clock};
use crate::connector::ProcessEvents;
use crate::containers::ContainerNames;
use crate::disks::{Devices, DiskReader};
use crate::files::{Buffer, DescriptorBudget, Extent, KeptFile, open_folder, text};
use crate::groups::{GroupTree, Touched};
use crate::host::{HostReader, HostRows};
use crate::layout::{Layout, Roots};
use crate::naming::{AppRule, HostKind};
use crate::own::OwnReader;
use crate::processes::ProcessTable;
use crate::ranges::DiskRanges;
use crate::roster::{Found, roster};
use crate::slots::{Shared, Slots};
use crate::sockets::Sockets;
use rustix::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;
use tidegate_types::{BootTime, Entity, Event, Field, Hierarchy, Row, Sample};

/// What the collector is to do and where.
#[derive(Clone, Debug)]
pub struct CollectorConfig {
    /// `/proc`.
    pub proc_root: PathBuf,
    /// `/sys/fs/cgroup`.
    pub cgroup_root: PathBuf,
    /// `/sys`.
    pub sys_root: PathBuf,
    /// `/etc/passwd`, for user names.
    pub passwd: PathBuf,
    /// `/var/lib/docker/containers`, for the names of containers.
    pub docker_root: PathBuf,
    /// Time between samples.
    pub interval: Duration,
    /// Rules that name apps, tried in order.
    pub rules: Vec<AppRule>,
    /// Time between sweeps of /proc where process events are not offered.
    pub sweep_interval: Duration,
    /// Whether to ask for process events.
    pub process_events: bool,
    /// Share of the descriptor limit that may be kept open.
    pub descriptor_share: f64,
    /// First folders of groups that tidegate makes itself.
    pub own_prefixes: Vec<String>,
    /// Bounds of tidegate's own use.
    pub budget: BudgetLimits,
    /// Whether to read the kernel's socket tables for traffic per app.
    pub sockets: bool,
    /// Whether to ask for the BPF reader of waiting per CPU, where it was built in.
    pub bpf: bool,
}

impl Default for CollectorConfig {
    fn default() -> Self {
        Self {
            proc_root: "/proc".into(),
            cgroup_root: "/sys/fs/cgroup".into(),
            sys_root: "/sys".into(),
            passwd: "/etc/passwd".into(),
            docker_root: "/var/lib/docker/containers".into(),
            interval: Duration::from_secs(1),
            rules: Vec::new(),
            sweep_interval: Duration::from_secs(5),
            process_events: true,
            descriptor_share: 0.8,
            own_prefixes: vec!["tidegate".to_owned()],
            budget: BudgetLimits::default(),
            sockets: true,
            bpf: true,
        }
    }
}

/// With process events, /proc is still swept now and then, in case one was lost unsaid.
const SAFETY_SWEEP: Duration = Duration::from_mins(1);

/// Without a watch on every folder, the group tree is walked again this often.
const WALK_INTERVAL_S: f64 = 5.0;

/// Disks and interfaces are looked for this often.
const HARDWARE_INTERVAL_S: f64 = 60.0;

/// A pause of this many intervals is a gap: no rate spans it.
const GAP_INTERVALS: f64 = 10.0;

/// The boot clock ahead of the monotonic one by more than this means that the host slept.
const SUSPEND_S: f64 = 0.2;

/// Where the collector stands on its slow work.
#[derive(Debug, Default, Clone, Copy)]
struct Schedule {
    next_sweep: BootTime,
    next_walk: BootTime,
    next_hardware: BootTime,
    next_roster: Option<BootTime>,
    /// The grid of samples.
    due: Option<BootTime>,
}

/// The part of the host that does not change with the apps.
#[derive(Debug)]
struct HostSide {
    sys: Option<OwnedFd>,
    devices: Devices,
    disks: DiskReader,
    host: HostReader,
    own: OwnReader,
    /// Waiting per CPU, or why it is not known.
    core_waiting: Result<CoreWaiting, String>,
    /// Groups in which nothing happens, or why that is not known.
    quiet: Result<QuietGroups, String>,
    /// Traffic per group, or why it is not known.
    sockets: Result<Sockets, String>,
    /// What is asked of parts of disks, or why it is not known.
    ranges: Result<DiskRanges, String>,
    /// Inode of this process's network namespace.
    own_network: Option<u64>,
}

/// See the module.
pub struct Collector {
    pub(crate) config: CollectorConfig,
    clock: Clock,
    pub(crate) layout: Layout,
    roots: Roots,
    pub(crate) descriptors: DescriptorBudget,
    buffer: Buffer,
    side: HostSide,
    pub(crate) tree: GroupTree,
    pub(crate) table: ProcessTable,
    pub(crate) process_events: Result<ProcessEvents, String>,
    pub(crate) host_kind: HostKind,
    slots: Slots,
    entities: Vec<Entity>,
    host_rows: HostRows,
    disk_rows: Vec<usize>,
    events: Vec<Event>,
    last: Option<ClockReading>,
    schedule: Schedule,
    budget: Budget,
    ticks: u64,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Collector")
            .field("layout", &self.layout)
            .field("ticks", &self.ticks)
            .finish_non_exhaustive()
    }
}

impl Collector {
    /// Looks at the host once; the apps that it finds are the first events.
    pub fn new(config: CollectorConfig) -> Result<Self, TelemetryError> {
        Self::with_clock(config, host_clock())
    }

    /// The same on a clock of the caller's, for tests.
    pub fn with_clock(config: CollectorConfig, clock: Clock) -> Result<Self, TelemetryError> {
        config.rules.iter().try_for_each(AppRule::check)?;
        let proc_folder = open_folder(&config.proc_root).map_err(|source| TelemetryError::Read {
            path: config.proc_root.clone(),
            source: source.into(),
        })?;
        let layout = Layout::detect(&config.cgroup_root);
        let descriptors = DescriptorBudget::new(descriptor_limit(config.descriptor_share));
        let mut buffer = Buffer::default();
        let side = HostSide::open(&config, &layout, &proc_folder, &descriptors, &mut buffer)?;
        let process_events = if_asked(config.process_events, || {
            ProcessEvents::subscribe().map_err(|errno| errno.to_string())
        });
        let host_kind = HostKind {
            systemd: text(&config.proc_root.join("1/comm")).is_some_and(|name| name == "systemd"),
            own_prefixes: config.own_prefixes.clone(),
            containers: Some(ContainerNames::new(&config.docker_root)),
        };
        let mut collector = Self {
            roots: Roots::open(&layout),
            tree: GroupTree::new(layout.clone()),
            table: ProcessTable::new(&config.proc_root, &config.passwd),
            slots: Slots::default(),
            entities: Vec::new(),
            host_rows: HostRows::default(),
            disk_rows: Vec::new(),
            events: Vec::new(),
            last: None,
            schedule: Schedule::default(),
            budget: Budget::new(config.budget),
            ticks: 0,
            config,
            layout,
            descriptors,
            buffer,
            side,
            process_events,
            host_kind,
            clock,
        };
        let now = (collector.clock)().boot;
        collector.schedule.next_hardware = now.plus_seconds(HARDWARE_INTERVAL_S);
        collector.sweep(now);
        collector.settle(now);
        Ok(collector)
    }

    /// Replaces the rules; apps whose names change went and came.
    pub fn set_rules(&mut self, rules: Vec<AppRule>) -> Result<(), TelemetryError> {
        rules.iter().try_for_each(AppRule::check)?;
        self.config.rules = rules;
        self.tree.changes.tree = true;
        Ok(())
    }

    /// What happened since the call before: apps that came, changed or went, in the order of their names.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// When the next sample is due. A late one does not move the grid, and what was missed is skipped.
    pub fn next_due(&mut self) -> BootTime {
        let now = (self.clock)().boot;
        let interval_s = self.config.interval.as_secs_f64();
        let due = self.schedule.due.unwrap_or(now);
        let missed = (now.seconds_since(due) / interval_s).floor().max(-1.0) + 1.0;
        let next = due.plus_seconds(missed.max(0.0) * interval_s);
        self.schedule.due = Some(next);
        next
    }

    /// Level of self-protection: 0 nothing shed, 1 training, 2 maps, 3 slow sweeps.
    pub fn shed_level(&self) -> u8 {
        self.budget.level()
    }

    /// Reads everything into `sample`, whose rows are reused when it is the one of the look before.
    pub fn collect(&mut self, sample: &mut Sample) {
        let start = (self.clock)();
        let interval_s = self.begin(start);
        self.discover(start.boot);
        self.lay_out(sample);
        self.read(start, &mut sample.rows);
        let end = (self.clock)();
        sample.now = end.moment();
        sample.interval_s = interval_s;
        self.ticks += 1;
    }

    /// Measures the interval and forgets all counters over a gap or a suspend.
    fn begin(&mut self, start: ClockReading) -> f64 {
        let Some(last) = self.last.replace(start) else {
            return 0.0;
        };
        let boot_s = start.boot.seconds_since(last.boot);
        let awake_s = (start.monotonic_ns as f64 - last.monotonic_ns as f64) / 1e9;
        let gap_s = GAP_INTERVALS * self.config.interval.as_secs_f64();
        if boot_s - awake_s > SUSPEND_S || boot_s > gap_s || boot_s < 0.0 {
            self.side.forget();
            self.slots.forget();
        }
        boot_s.max(0.0)
    }

    fn discover(&mut self, now: BootTime) {
        self.tree.drain();
        let mut changed = self.take_process_events();
        if self.tree.unwatched && now >= self.schedule.next_walk {
            self.schedule.next_walk = now.plus_seconds(WALK_INTERVAL_S);
            self.tree.walk_again();
        }
        let sheds_sweeps = self.budget.level() >= crate::budget::MOST_SHED;
        if now >= self.schedule.next_sweep && !sheds_sweeps {
            changed |= self.sweep(now);
        }
        if now >= self.schedule.next_hardware && !sheds_sweeps {
            self.schedule.next_hardware = now.plus_seconds(HARDWARE_INTERVAL_S);
            if self.side.look_for_hardware(&self.config) {
                self.slots.forget_disks();
                self.assign_rows();
            }
        }
        changed |= self.take_touched();
        changed |= self.slots.look_at_ended(&mut self.table, &mut self.buffer);
        changed |= std::mem::take(&mut self.tree.changes.tree);
        let aged = self.schedule.next_roster.is_some_and(|next| next <= now);
        if changed || aged || std::mem::take(&mut self.slots.unsettled) {
            self.settle(now);
        } else if self.side.host.cores_changed {
            self.side
                .host
                .find_cores_again(self.table.folder(), &mut self.buffer);
            self.assign_rows();
        }
    }

    fn take_process_events(&mut self) -> bool {
        let Ok(events) = &mut self.process_events else {
            return false;
        };
        events.drain();
        let mut changed = false;
        if std::mem::take(&mut events.seen.lost) {
            self.schedule.next_sweep = BootTime(0);
        }
        // The ends first: an id that was given anew since must not be forgotten after it was looked at.
        for pid in events.seen.went.drain(..) {
            changed |= self.table.forget(pid);
        }
        while let Some(pid) = events.seen.changed.pop_first() {
            changed |= self.table.look(pid, &mut self.buffer);
        }
        changed
    }

    fn sweep(&mut self, now: BootTime) -> bool {
        self.schedule.next_sweep = now.plus_seconds(self.sweep_interval().as_secs_f64());
        self.table.sweep(&mut self.buffer)
    }

    /// Time between sweeps of /proc as they are done now.
    pub fn sweep_interval(&self) -> Duration {
        match self.process_events {
            Ok(_) => self.config.sweep_interval.max(SAFETY_SWEEP),
            Err(_) => self.config.sweep_interval,
        }
    }

    /// Acts on writes to group files that the kernel announced.
    fn take_touched(&mut self) -> bool {
        let mut members_moved = false;
        for (path, what) in self.tree.changes.touched.drain(..) {
            match what {
                Touched::Limits => self.slots.limits_touched(&path),
                Touched::Members => members_moved = true,
                Touched::Controllers => self.slots.controllers_touched(&path),
            }
        }
        members_moved && self.table.sweep(&mut self.buffer)
    }

    /// Makes the apps what the groups and processes say, and notes who came and went.
    fn settle(&mut self, now: BootTime) {
        if let Some(containers) = &mut self.host_kind.containers {
            containers.follow(self.tree.groups().keys().map(|path| &**path));
        }
        let roster = roster(&Found {
            groups: self.tree.groups(),
            processes: self.table.processes(),
            rules: &self.config.rules,
            host: &self.host_kind,
            now,
        });
        self.schedule.next_roster = roster.next_change;
        self.tree.changes.tree = false;
        let shared = Shared {
            roots: &self.roots,
            proc_folder: self.table.folder(),
            descriptors: &self.descriptors,
            last: self.last.map(|last| last.boot),
            own_network: self.side.own_network,
            online: &self.side.host.cores,
            nodes: self.side.host.several_nodes(),
        };
        self.slots
            .settle(roster, &shared, &mut self.buffer, &mut self.events);
        if self.side.sockets.is_ok() || self.side.ranges.is_ok() {
            self.slots.find_owners(self.tree.groups());
        }
        self.assign_rows();
    }

    /// Lays all rows out in the order of their entities.
    fn assign_rows(&mut self) {
        let side = &self.side;
        self.entities.clear();
        self.entities.push(Entity::Host);
        self.entities
            .extend(side.host.cores.iter().map(|core| Entity::Core(*core)));
        self.entities
            .extend(side.host.nodes.iter().map(|node| Entity::Node(*node)));
        let disks = side.devices.leaves.iter();
        self.entities
            .extend(disks.map(|(_, name)| Entity::Disk(name.clone())));
        self.entities
            .extend(side.host.nics.iter().map(|nic| Entity::Nic(nic.clone())));
        if let Ok(ranges) = &side.ranges {
            self.entities.extend(ranges.entities());
        }
        self.slots.add_entities(&side.devices, &mut self.entities);
        self.entities.sort();
        let entities = &self.entities;
        let find = |entity: &Entity| entities.binary_search(entity).unwrap_or(usize::MAX);
        self.host_rows = HostRows {
            host: find(&Entity::Host),
            cores: side
                .host
                .cores
                .iter()
                .map(|core| find(&Entity::Core(*core)))
                .collect(),
            nodes: side
                .host
                .nodes
                .iter()
                .map(|node| find(&Entity::Node(*node)))
                .collect(),
            nics: side
                .host
                .nics
                .iter()
                .map(|nic| find(&Entity::Nic(nic.clone())))
                .collect(),
        };
        self.disk_rows = side
            .devices
            .leaves
            .iter()
            .map(|(_, name)| find(&Entity::Disk(name.clone())))
            .collect();
        self.slots.assign_rows(&side.devices, &find);
        if let Ok(ranges) = &mut self.side.ranges {
            ranges.assign_rows(&find);
        }
    }

    /// Makes the rows of `sample` ours, all empty.
    fn lay_out(&self, sample: &mut Sample) {
        let same = sample.rows.len() == self.entities.len()
            && sample
                .rows
                .iter()
                .zip(&self.entities)
                .all(|(row, entity)| row.entity == *entity);
        if same {
            sample.rows.iter_mut().for_each(|row| row.values.fill(f64::NAN));
        } else {
            sample.rows.clear();
            sample.rows.extend(self.entities.iter().cloned().map(Row::empty));
        }
    }

    fn read(&mut self, start: ClockReading, rows: &mut [Row]) {
        let Some(proc_folder) = self.table.folder() else {
            return;
        };
        let (side, buffer) = (&mut self.side, &mut self.buffer);
        let at = (self.clock)().boot;
        side.host
            .read(proc_folder, side.sys.as_ref(), buffer, at, rows, &self.host_rows);
        side.disks
            .read(proc_folder, buffer, &side.devices, at, rows, &self.disk_rows);
        if let Ok(waiting) = &mut side.core_waiting {
            for (core, place) in side.host.cores.iter().zip(&self.host_rows.cores) {
                rows[*place].set(Field::CoreWaiting, waiting.mean(*core, at));
            }
        }
        let online = side.host.online();
        if let Ok(quiet) = &mut side.quiet {
            quiet.look(at);
        }
        let mut means = crate::group_reader::Means {
            roots: &self.roots,
            buffer,
            devices: &side.devices,
            online,
            quiet: side.quiet.as_ref().ok(),
        };
        let look = crate::slots::Look {
            proc_folder,
            descriptors: &self.descriptors,
            ticks: self.ticks,
            unwatched: self.tree.unwatched,
            busy_cores: side.host.busy_cores,
            online: &side.host.cores,
        };
        self.slots.read(&mut means, &mut self.clock, &look, rows);
        if let Ok(sockets) = &mut side.sockets
            && let Some(seconds) = sockets.look(at)
        {
            self.slots.fill_traffic(sockets, seconds, rows);
        }
        if let Ok(ranges) = &mut side.ranges
            && let Some(seconds) = ranges.look(at, rows)
        {
            self.slots.fill_ranges(ranges, seconds, rows);
        }
        let own = side.own.read(buffer, at, self.ticks);
        let level = self.budget.observe(own.cpu_cores, own.memory_bytes);
        let late_s = self
            .schedule
            .due
            .map_or(f64::NAN, |due| start.boot.seconds_since(due).max(0.0));
        let row = &mut rows[self.host_rows.host];
        row.set(Field::SelfCpu, own.cpu_cores);
        row.set(Field::SelfMemory, own.memory_bytes);
        row.set(Field::SelfDescriptors, own.descriptors);
        row.set(Field::SelfTickLate, late_s);
        row.set(Field::SelfShed, f64::from(level));
    }

    /// Reads every kept file once without looking at it, and says how many there were: the floor that
    /// a look is measured against.
    #[doc(hidden)]
    pub fn read_bare(&mut self) -> usize {
        let files = self
            .side
            .host
            .files()
            .chain(self.side.disks.file())
            .chain(self.slots.files());
        let mut bytes = 0;
        let mut count = 0;
        for descriptor in files.filter_map(KeptFile::descriptor) {
            bytes += self
                .buffer
                .read(descriptor, Extent::Single)
                .map_or(0, <[u8]>::len);
            count += 1;
        }
        std::hint::black_box(bytes);
        count
    }

    /// Apps that are there now.
    pub fn apps(&self) -> impl Iterator<Item = &tidegate_types::App> {
        self.slots.apps()
    }

    /// Whose process each number is, without those that are too short-lived to be followed.
    pub fn members(&self) -> crate::Members {
        self.slots.members()
    }

    pub(crate) fn host_reader(&self) -> &HostReader {
        &self.side.host
    }

    /// Why waiting per CPU is not known, if so.
    pub(crate) fn core_waiting_absent(&self) -> Option<&str> {
        self.side.core_waiting.as_ref().err().map(String::as_str)
    }

    /// Why quiet groups are not known, if so.
    pub(crate) fn quiet_absent(&self) -> Option<&str> {
        self.side.quiet.as_ref().err().map(String::as_str)
    }

    /// Why parts of disks are not told apart, if so.
    pub(crate) fn ranges_absent(&self) -> Option<&str> {
        self.side.ranges.as_ref().err().map(String::as_str)
    }

    /// Connections that are seen, or why none can be.
    pub(crate) fn connections(&self) -> Result<usize, &str> {
        match &self.side.sockets {
            Ok(sockets) => Ok(sockets.connections()),
            Err(reason) => Err(reason),
        }
    }

    pub(crate) fn devices(&self) -> &Devices {
        &self.side.devices
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The layout of the host's groups.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl HostSide {
    fn open(
        config: &CollectorConfig,
        layout: &Layout,
        proc_folder: &OwnedFd,
        descriptors: &DescriptorBudget,
        buffer: &mut Buffer,
    ) -> Result<Self, TelemetryError> {
        let sys = open_folder(&config.sys_root).ok();
        let devices = Devices::detect(&config.sys_root);
        let diskstats = KeptFile::open(proc_folder, "", "diskstats", Extent::Paged, descriptors, buffer).ok();
        let mut host = HostReader::new(proc_folder, &config.sys_root, sys.as_ref(), descriptors, buffer);
        host.find_cores(proc_folder, buffer);
        if host.cores.is_empty() {
            return Err(TelemetryError::Malformed {
                path: config.proc_root.join("stat"),
                line: 1,
            });
        }
        let core_waiting = if host.tells_core_waiting() {
            Err("/proc/schedstat tells it".to_owned())
        } else {
            if_asked(config.bpf, CoreWaiting::open)
        };
        let ranges = if_asked(config.bpf, || DiskRanges::open(&devices, &config.sys_root));
        let v2_root = layout.root(Hierarchy::V2).ok_or_else(|| "no v2 tree".to_owned());
        Ok(Self {
            sys,
            disks: DiskReader::new(diskstats, &devices),
            devices,
            host,
            own: OwnReader::open(),
            ranges,
            own_network: network_of(proc_folder, "self"),
            sockets: if_asked(config.sockets, Sockets::open),
            quiet: v2_root.and_then(|root| if_asked(config.bpf, || QuietGroups::open(root))),
            core_waiting,
        })
    }

    /// True when disks or interfaces came or went.
    fn look_for_hardware(&mut self, config: &CollectorConfig) -> bool {
        let devices = Devices::detect(&config.sys_root);
        let others = devices != self.devices;
        if others {
            self.disks.follow(&self.devices, &devices);
            self.devices = devices;
            if let Ok(ranges) = &mut self.ranges {
                ranges.follow(&self.devices, &config.sys_root);
            }
        }
        self.host.find_nics(&config.sys_root) || others
    }

    fn forget(&mut self) {
        self.disks.forget();
        self.host.forget();
        if let Ok(waiting) = &mut self.core_waiting {
            waiting.forget();
        }
        if let Ok(ranges) = &mut self.ranges {
            ranges.forget();
        }
        if let Ok(sockets) = &mut self.sockets {
            sockets.forget();
        }
    }
}

/// Opens something optional, or says that nobody asked for it.
fn if_asked<T>(asked: bool, open: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    if asked {
        open()
    } else {
        Err("not asked for".to_owned())
    }
}

/// Inode of a process's network namespace.
pub(crate) fn network_of(proc_folder: &OwnedFd, process: &str) -> Option<u64> {
    let path = format!("{process}/ns/net");
    let status = rustix::fs::statat(proc_folder, path, rustix::fs::AtFlags::empty());
    status.ok().map(|status| status.st_ino)
}

/// Descriptors that may be kept: the share of the soft limit.
fn descriptor_limit(share: f64) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    (limit.unwrap_or(u64::from(u32::MAX)) as f64 * share.clamp(0.0, 1.0)) as usize
}

/// Raises this process's soft descriptor limit to its hard one, so that files can be kept open. It is
/// a matter of the whole process, so the binary calls it, not the collector. Gives the limit now.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
    rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .unwrap_or(u64::MAX)
}

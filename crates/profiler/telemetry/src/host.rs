//! The host as a whole: CPUs, memory, waiting, NUMA nodes and physical interfaces.

use crate::files::{Buffer, DescriptorBudget, Extent, KeptFile, text};
use crate::parse::{self, CpuTimes};
use crate::rate::{Counter, left_of, share_of_time};
use rustix::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use tidegate_types::{BootTime, Field, Row};

/// The kernel's unit of CPU time in /proc: 100 per second on every architecture that Linux exports it for.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Default, Clone, Copy)]
struct CpuCounters {
    busy: Counter,
    idle: Counter,
    iowait: Counter,
    steal: Counter,
}

/// Rates of one `cpu` line, as shares of all its time (which makes them immune to late ticks).
#[derive(Debug, Clone, Copy)]
struct CpuShares {
    busy: f64,
    iowait: f64,
    steal: f64,
}

impl CpuCounters {
    fn shares(&mut self, times: CpuTimes, at: BootTime) -> CpuShares {
        let busy = self.busy.rate(Some(times.busy), at);
        let idle = self.idle.rate(Some(times.idle), at);
        // The kernel admits that iowait may go back; then it is left out, not the whole line.
        let iowait = self.iowait.rate(Some(times.iowait), at);
        let steal = self.steal.rate(Some(times.steal), at);
        let whole = busy + idle + steal + if iowait.is_nan() { 0.0 } else { iowait };
        let share = |part: f64| if whole > 0.0 { part / whole } else { f64::NAN };
        CpuShares {
            busy: share(busy),
            iowait: share(iowait),
            steal: share(steal),
        }
    }
}

#[derive(Debug, Default)]
struct PressureCounters {
    some: Counter,
    full: Counter,
}

impl PressureCounters {
    fn shares(&mut self, bytes: &[u8], at: BootTime) -> (f64, f64) {
        let pressure = parse::pressure(bytes);
        (
            share_of_time(self.some.rate(pressure.some_us, at)),
            share_of_time(self.full.rate(pressure.full_us, at)),
        )
    }
}

/// Where the rows of the host's parts are in the sample.
#[derive(Debug, Default, Clone)]
pub(crate) struct HostRows {
    pub(crate) host: usize,
    /// By position in [`HostReader::cores`].
    pub(crate) cores: Vec<usize>,
    /// By position in [`HostReader::nodes`].
    pub(crate) nodes: Vec<usize>,
    /// By position in [`HostReader::nics`].
    pub(crate) nics: Vec<usize>,
}

/// Readers of everything that is not an app or a disk.
#[derive(Debug)]
pub(crate) struct HostReader {
    stat: Option<KeptFile>,
    meminfo: Option<KeptFile>,
    loadavg: Option<KeptFile>,
    net: Option<KeptFile>,
    schedstat: Option<KeptFile>,
    pressure: [Option<KeptFile>; 3],
    /// With the folder of each below /sys.
    node_files: Vec<(String, KeptFile)>,
    all: CpuCounters,
    core_counters: Vec<CpuCounters>,
    waiting_counters: Vec<Counter>,
    pressure_counters: [PressureCounters; 3],
    nic_counters: Vec<NicCounters>,
    nic_speeds: Vec<f64>,
    /// Numbers of the CPUs that were online at the last look.
    pub(crate) cores: Vec<u16>,
    /// Numbers of the NUMA nodes.
    pub(crate) nodes: Vec<u16>,
    /// Names of the physical interfaces.
    pub(crate) nics: Vec<Arc<str>>,
    /// CPUs came or went, so the rows must be laid out anew.
    pub(crate) cores_changed: bool,
    /// CPU seconds per second of all processes and the kernel, for the pseudo-app.
    pub(crate) busy_cores: f64,
}

#[derive(Debug, Default, Clone, Copy)]
struct NicCounters {
    receive: Counter,
    transmit: Counter,
    receive_drops: Counter,
    transmit_drops: Counter,
}

/// Interfaces that a device stands behind. What is virtual (veth, bridges, bonds, tunnels) carries
/// bytes that pass a physical one as well, and would count them twice.
pub(crate) fn physical_nics(sys_root: &Path) -> Vec<Arc<str>> {
    let mut nics: Vec<Arc<str>> = std::fs::read_dir(sys_root.join("class/net"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("device").exists())
        .filter_map(|entry| entry.file_name().to_str().map(Arc::from))
        .collect();
    nics.sort();
    nics
}

/// Bytes per second; drivers that do not know say -1, which is absent.
fn nic_speed(sys_root: &Path, nic: &str) -> f64 {
    let path = sys_root.join("class/net").join(nic).join("speed");
    let megabits = text(&path).and_then(|speed| parse::number(speed.as_bytes()));
    megabits
        .filter(|speed| *speed > 0)
        .map_or(f64::NAN, |speed| speed as f64 * 125_000.0)
}

fn numa_nodes(sys_root: &Path) -> Vec<u16> {
    let mut nodes: Vec<u16> = std::fs::read_dir(sys_root.join("devices/system/node"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok())
        .collect();
    nodes.sort_unstable();
    nodes
}

impl HostReader {
    pub(crate) fn new(
        proc_root: &OwnedFd,
        sys_root: &Path,
        sys: Option<&OwnedFd>,
        budget: &DescriptorBudget,
        buffer: &mut Buffer,
    ) -> Self {
        let mut open = |name, extent| KeptFile::open(proc_root, "", name, extent, budget, buffer).ok();
        let (stat, meminfo) = (open("stat", Extent::Single), open("meminfo", Extent::Single));
        let (loadavg, net) = (open("loadavg", Extent::Single), open("net/dev", Extent::Paged));
        let schedstat = open("schedstat", Extent::Paged);
        let pressure =
            ["pressure/cpu", "pressure/memory", "pressure/io"].map(|name| open(name, Extent::Single));
        let nics = physical_nics(sys_root);
        let mut nodes = numa_nodes(sys_root);
        let node_files: Vec<(String, KeptFile)> = nodes
            .iter()
            .filter_map(|node| {
                let folder = format!("devices/system/node/node{node}");
                let file = KeptFile::open(sys?, &folder, "meminfo", Extent::Single, budget, buffer).ok()?;
                Some((folder, file))
            })
            .collect();
        if node_files.len() != nodes.len() {
            nodes.clear();
        }
        Self {
            stat,
            meminfo,
            loadavg,
            net,
            schedstat,
            pressure,
            node_files,
            all: CpuCounters::default(),
            core_counters: Vec::new(),
            waiting_counters: Vec::new(),
            pressure_counters: Default::default(),
            nic_counters: vec![NicCounters::default(); nics.len()],
            nic_speeds: nics.iter().map(|nic| nic_speed(sys_root, nic)).collect(),
            cores: Vec::new(),
            nodes,
            nics,
            cores_changed: false,
            busy_cores: f64::NAN,
        }
    }

    /// Looks for interfaces and their speeds again. True when there are others than before.
    pub(crate) fn find_nics(&mut self, sys_root: &Path) -> bool {
        let nics = physical_nics(sys_root);
        self.nic_speeds.clear();
        self.nic_speeds
            .extend(nics.iter().map(|nic| nic_speed(sys_root, nic)));
        let changed = nics != self.nics;
        if changed {
            self.nic_counters = vec![NicCounters::default(); nics.len()];
            self.nics = nics;
        }
        changed
    }

    /// The NUMA nodes, where there are several: on one, all memory is there.
    pub(crate) fn several_nodes(&self) -> &[u16] {
        if self.nodes.len() > 1 { &self.nodes } else { &[] }
    }

    /// Whether the kernel offers waiting (PSI) for the host.
    pub(crate) fn has_pressure(&self) -> [bool; 3] {
        [0, 1, 2].map(|position: usize| self.pressure[position].is_some())
    }

    /// Finds the CPUs that are online, before the first rows are laid out.
    pub(crate) fn find_cores(&mut self, root: &OwnedFd, buffer: &mut Buffer) {
        let Some(Ok(bytes)) = self.stat.as_ref().map(|file| file.read(root, "", buffer)) else {
            return;
        };
        self.cores.clear();
        let cores = &mut self.cores;
        parse::cpu_times(bytes, |core, _| cores.extend(core));
        self.core_counters = vec![CpuCounters::default(); self.cores.len()];
        self.waiting_counters = vec![Counter::default(); self.cores.len()];
        self.cores_changed = false;
    }

    /// The same after CPUs came or went.
    pub(crate) fn find_cores_again(&mut self, root: Option<&OwnedFd>, buffer: &mut Buffer) {
        if let Some(root) = root {
            self.find_cores(root, buffer);
        }
    }

    /// Fills all rows of the host.
    pub(crate) fn read(
        &mut self,
        root: &OwnedFd,
        sys: Option<&OwnedFd>,
        buffer: &mut Buffer,
        at: BootTime,
        rows: &mut [Row],
        places: &HostRows,
    ) {
        self.read_cpu(root, buffer, at, rows, places);
        self.read_core_waiting(root, buffer, at, rows, places);
        self.read_memory(root, buffer, &mut rows[places.host]);
        self.read_pressure(root, buffer, at, &mut rows[places.host]);
        self.read_nodes(sys, buffer, rows, places);
        self.read_nics(root, buffer, at, rows, places);
        if let Some(Ok(bytes)) = self.loadavg.as_ref().map(|file| file.read(root, "", buffer)) {
            let runnable = parse::runnable(bytes).map_or(f64::NAN, |tasks| tasks as f64);
            rows[places.host].set(Field::HostRunnable, runnable);
        }
    }

    fn read_cpu(
        &mut self,
        root: &OwnedFd,
        buffer: &mut Buffer,
        at: BootTime,
        rows: &mut [Row],
        places: &HostRows,
    ) {
        let Some(Ok(bytes)) = self.stat.as_ref().map(|file| file.read(root, "", buffer)) else {
            return;
        };
        let (all, cores, counters) = (&mut self.all, &self.cores, &mut self.core_counters);
        let (mut whole, mut seen, mut same) = (None, 0, true);
        parse::cpu_times(bytes, |core, times| {
            let Some(core) = core else {
                whole = Some(all.shares(times, at));
                return;
            };
            if cores.get(seen) == Some(&core) {
                let shares = counters[seen].shares(times, at);
                let row = &mut rows[places.cores[seen]];
                row.set(Field::CoreBusy, shares.busy);
                row.set(Field::CoreSteal, shares.steal);
                row.set(Field::CoreIoWait, shares.iowait);
            } else {
                same = false;
            }
            seen += 1;
        });
        self.cores_changed = !same || seen != self.cores.len();
        let Some(whole) = whole else { return };
        // Lines of CPUs that went offline leave the sum, so its counters may go back: one absent reading.
        let online = seen as f64;
        let row = &mut rows[places.host];
        self.busy_cores = whole.busy * online;
        row.set(Field::HostCpuBusy, self.busy_cores);
        row.set(Field::HostCpuSteal, whole.steal * online);
        row.set(Field::HostCpuCapacity, online - whole.steal * online);
    }

    fn read_core_waiting(
        &mut self,
        root: &OwnedFd,
        buffer: &mut Buffer,
        at: BootTime,
        rows: &mut [Row],
        places: &HostRows,
    ) {
        let Some(Ok(bytes)) = self.schedstat.as_ref().map(|file| file.read(root, "", buffer)) else {
            return;
        };
        let (cores, counters) = (&self.cores, &mut self.waiting_counters);
        parse::schedstat(bytes, |core, waited_ns| {
            if let Some(slot) = cores.iter().position(|known| *known == core) {
                let waiting = counters[slot].rate(Some(waited_ns), at) * 1e-9;
                rows[places.cores[slot]].set(Field::CoreWaiting, waiting);
            }
        });
    }

    /// Whether files tell how long tasks waited for each CPU.
    pub(crate) fn tells_core_waiting(&self) -> bool {
        self.schedstat.is_some()
    }

    fn read_memory(&mut self, root: &OwnedFd, buffer: &mut Buffer, row: &mut Row) {
        let Some(Ok(bytes)) = self.meminfo.as_ref().map(|file| file.read(root, "", buffer)) else {
            return;
        };
        let (mut swap_total, mut swap_free) = (f64::NAN, f64::NAN);
        parse::keyed(bytes, |key, kilobytes| {
            let bytes = kilobytes as f64 * 1024.0;
            match key {
                b"MemTotal" => row.set(Field::HostMemoryTotal, bytes),
                b"MemFree" => row.set(Field::HostMemoryFree, bytes),
                b"MemAvailable" => row.set(Field::HostMemoryAvailable, bytes),
                b"SwapTotal" => swap_total = bytes,
                b"SwapFree" => swap_free = bytes,
                _ => {}
            }
        });
        row.set(Field::HostSwapTotal, swap_total);
        row.set(Field::HostSwapUsed, swap_total - swap_free);
    }

    fn read_pressure(&mut self, root: &OwnedFd, buffer: &mut Buffer, at: BootTime, row: &mut Row) {
        let fields = [
            (Field::HostCpuWaiting, None),
            (Field::HostMemoryWaiting, Some(Field::HostMemoryStalled)),
            (Field::HostIoWaiting, Some(Field::HostIoStalled)),
        ];
        for ((file, counters), (some, full)) in
            self.pressure.iter().zip(&mut self.pressure_counters).zip(fields)
        {
            let Some(Ok(bytes)) = file.as_ref().map(|file| file.read(root, "", buffer)) else {
                continue;
            };
            let (some_share, full_share) = counters.shares(bytes, at);
            row.set(some, some_share);
            if let Some(full) = full {
                row.set(full, full_share);
            }
        }
    }

    fn read_nodes(
        &mut self,
        sys: Option<&OwnedFd>,
        buffer: &mut Buffer,
        rows: &mut [Row],
        places: &HostRows,
    ) {
        let Some(sys) = sys else { return };
        for ((folder, file), place) in self.node_files.iter().zip(&places.nodes) {
            let Ok(bytes) = file.read(sys, folder, buffer) else {
                continue;
            };
            let row = &mut rows[*place];
            let (mut file, mut shared) = (f64::NAN, 0.0);
            for line in parse::lines(bytes) {
                let mut words = parse::words(line).skip(2);
                let (key, value) = (words.next(), words.next().and_then(parse::number));
                let bytes = value.map_or(f64::NAN, |kilobytes| kilobytes as f64 * 1024.0);
                match key {
                    Some(b"MemTotal:") => row.set(Field::NodeMemoryTotal, bytes),
                    Some(b"MemFree:") => row.set(Field::NodeMemoryFree, bytes),
                    Some(b"FilePages:") => file = bytes,
                    Some(b"Shmem:") => shared = bytes,
                    _ => {}
                }
            }
            row.set(Field::NodeMemoryFile, left_of(file, shared));
        }
    }

    fn read_nics(
        &mut self,
        root: &OwnedFd,
        buffer: &mut Buffer,
        at: BootTime,
        rows: &mut [Row],
        places: &HostRows,
    ) {
        let Some(Ok(bytes)) = self.net.as_ref().map(|file| file.read(root, "", buffer)) else {
            return;
        };
        let (nics, counters, speeds) = (&self.nics, &mut self.nic_counters, &self.nic_speeds);
        parse::net_dev(bytes, |name, line| {
            let Some(slot) = nics.iter().position(|nic| nic.as_bytes() == name) else {
                return;
            };
            let (row, counters) = (&mut rows[places.nics[slot]], &mut counters[slot]);
            row.set(
                Field::NicReceive,
                counters.receive.rate(Some(line.receive_bytes), at),
            );
            row.set(
                Field::NicTransmit,
                counters.transmit.rate(Some(line.transmit_bytes), at),
            );
            row.set(
                Field::NicReceiveDrops,
                counters.receive_drops.rate(Some(line.receive_drops), at),
            );
            row.set(
                Field::NicTransmitDrops,
                counters.transmit_drops.rate(Some(line.transmit_drops), at),
            );
            row.set(Field::NicSpeed, speeds[slot]);
        });
    }

    /// CPU seconds per second that the host can give.
    pub(crate) fn online(&self) -> f64 {
        self.cores.len().max(1) as f64
    }

    pub(crate) fn forget(&mut self) {
        self.all = CpuCounters::default();
        self.core_counters.fill(CpuCounters::default());
        self.waiting_counters.fill(Counter::default());
        self.pressure_counters = Default::default();
        self.nic_counters.fill(NicCounters::default());
    }

    /// The kept files, for the bench.
    pub(crate) fn files(&self) -> impl Iterator<Item = &KeptFile> {
        let single = [
            &self.stat,
            &self.meminfo,
            &self.loadavg,
            &self.net,
            &self.schedstat,
        ];
        single
            .into_iter()
            .chain(&self.pressure)
            .filter_map(Option::as_ref)
            .chain(self.node_files.iter().map(|(_, file)| file))
    }
}

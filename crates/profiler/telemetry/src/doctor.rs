//! What is measured on this host, what is not, what that costs, and what would help.
//!
//! A signal is *used* or *absent*; an absent one is never read as zero. The report is plain data; the
//! binary words it.

use crate::collector::Collector;
use crate::disks::Stacked;
use crate::files::text;
use crate::layout::{Layout, LayoutKind};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tidegate_types::Hierarchy;

/// One thing that could be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Short stable name.
    pub name: String,
    /// Whether it is measured.
    pub used: bool,
    /// From what, or why not.
    pub detail: String,
    /// What its absence costs; empty when used.
    pub consequence: String,
    /// What would bring it; empty when used or when nothing does.
    pub remedy: String,
}

/// Another program that manages resources here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manager {
    /// Its process name.
    pub name: String,
    /// What it decides, and what that means for acting beside it.
    pub concern: String,
}

/// What the process may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    /// Runs as root.
    pub root: bool,
    /// What root would add; empty for root.
    pub root_would_add: Vec<String>,
}

/// The whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// Kernel release.
    pub kernel: String,
    /// Online CPUs.
    pub cpus: usize,
    /// Layout of the groups.
    pub layout: Layout,
    /// The same in words.
    pub layout_text: String,
    /// Every signal.
    pub signals: Vec<Signal>,
    /// Other managers that run.
    pub managers: Vec<Manager>,
    /// Seconds between sweeps of /proc.
    pub sweep_interval_s: f64,
    /// Seconds between samples.
    pub sample_interval_s: f64,
    /// What the process may do.
    pub privileges: Privileges,
    /// Leaf block devices.
    pub disks: Vec<String>,
    /// Devices on top of others, whose bytes are counted below.
    pub stacked: Vec<Stacked>,
    /// Physical interfaces.
    pub nics: Vec<String>,
    /// Apps that are followed.
    pub apps: usize,
    /// Descriptors that may still be kept; 0 means that the rest is opened each time.
    pub descriptors_left: usize,
    /// What bounds tidegate's own use.
    pub own_bounds: String,
    /// Bounds that were hit, in words.
    pub bounds_hit: Vec<String>,
}

impl DoctorReport {
    /// The signals that are absent.
    pub fn absent(&self) -> impl Iterator<Item = &Signal> {
        self.signals.iter().filter(|signal| !signal.used)
    }
}

/// Process names of managers, with what they decide.
const MANAGERS: [(&str, &str); 13] = [
    (
        "systemd-oomd",
        "kills groups under memory pressure: raising pressure near it is dangerous",
    ),
    ("earlyoom", "kills processes when memory is low"),
    (
        "kubelet",
        "owns the groups of pods: act through the Kubernetes API",
    ),
    (
        "k3s-server",
        "owns the groups of pods: act through the Kubernetes API",
    ),
    (
        "dockerd",
        "owns the groups of its containers: act through its API",
    ),
    (
        "containerd",
        "owns the groups of its containers: act through its API",
    ),
    ("crio", "owns the groups of its containers: act through its API"),
    ("podman", "owns the groups of its containers: act through its API"),
    ("slurmd", "owns the groups of its jobs: act through Slurm"),
    ("tuned", "sets scheduler and power settings of the whole host"),
    ("uresourced", "sets weights of user sessions"),
    ("libvirtd", "owns the groups of its virtual machines"),
    ("irqbalance", "moves interrupts between CPUs"),
];

fn signal(name: &str, used: bool, from: &str, consequence: &str, remedy: &str) -> Signal {
    let only_absent = |text: &str| if used { String::new() } else { text.to_owned() };
    Signal {
        name: name.to_owned(),
        used,
        detail: from.to_owned(),
        consequence: only_absent(consequence),
        remedy: only_absent(remedy),
    }
}

impl Collector {
    /// Looks at the host and says what is measured and what is not.
    pub fn doctor(&self) -> DoctorReport {
        let root = rustix::process::geteuid().is_root();
        let (proc_root, host) = (&self.config.proc_root, self.host_reader());
        let mut signals = self.group_signals();
        signals.extend(self.source_signals());
        signals.extend(self.host_signals());
        signals.extend(self.place_signals());
        signals.extend(hardware_signals(&self.config.sys_root, proc_root));
        DoctorReport {
            kernel: text(&proc_root.join("sys/kernel/osrelease")).unwrap_or_else(|| "unknown".to_owned()),
            cpus: host.cores.len(),
            layout: self.layout.clone(),
            layout_text: self.layout.kind.describe().to_owned(),
            signals,
            managers: self.managers(),
            sweep_interval_s: self.sweep_interval().as_secs_f64(),
            sample_interval_s: self.config.interval.as_secs_f64(),
            privileges: Privileges {
                root,
                root_would_add: self.root_would_add(root),
            },
            disks: self
                .devices()
                .leaves
                .iter()
                .map(|(_, name)| name.to_string())
                .collect(),
            stacked: self.devices().stacked.clone(),
            nics: host.nics.iter().map(ToString::to_string).collect(),
            apps: self.apps().count(),
            descriptors_left: self.descriptors.left(),
            own_bounds: self.own_bounds(),
            bounds_hit: self.bounds_hit(),
        }
    }

    /// Controllers that the v2 tree offers.
    fn v2_controllers(&self) -> String {
        let root = self.layout.root(Hierarchy::V2);
        root.and_then(|root| text(&root.join("cgroup.controllers")))
            .unwrap_or_default()
    }

    fn group_signals(&self) -> Vec<Signal> {
        let v2_controllers = self.v2_controllers();
        let offered = |hierarchy: Hierarchy, v2_name: &str| {
            let in_v2 = v2_controllers.split_whitespace().any(|name| name == v2_name);
            in_v2 || (v2_name != "io" && self.layout.root(hierarchy).is_some())
        };
        let has_v2 = self.layout.root(Hierarchy::V2).is_some();
        let [grouped, with_io, _] = self.slots().coverage();
        vec![
            signal(
                "groups",
                self.layout.kind != LayoutKind::Absent,
                self.layout.kind.describe(),
                "apps are seen by their processes alone, and nothing can be acted on",
                "mount a cgroup tree",
            ),
            signal(
                "cpu limits and throttling",
                offered(Hierarchy::Cpu, "cpu"),
                "cpu controller",
                "no throttling, limits or weights: waiting under a limit cannot be told from waiting for a CPU",
                "enable the cpu controller for the groups",
            ),
            signal(
                "memory per group",
                offered(Hierarchy::Memory, "memory"),
                "memory controller",
                "memory of an app is what its processes have resident; no reclaim, refaults or OOM kills",
                "enable the memory controller for the groups",
            ),
            signal(
                "waiting per group (PSI)",
                has_v2 && host_pressure(&self.config.proc_root),
                "pressure files of the v2 tree",
                "waiting for CPU, memory and I/O is known for the host at best, not per app",
                "boot with psi=1 and mount a v2 tree beside the v1 controllers",
            ),
            signal(
                "I/O per group and device",
                offered(Hierarchy::Blkio, "io") || with_io > 0,
                "io controller",
                if grouped > 0 && self.layout.root(Hierarchy::Blkio).is_some() {
                    "v1 statistics stay empty without the bfq scheduler or a limit: an app's I/O is summed over its processes, buffered writes are charged late, and the device is not told"
                } else {
                    "an app's I/O is summed over its processes, and the device is not told"
                },
                "use cgroup v2 with the io controller, or the bfq scheduler",
            ),
        ]
    }

    fn source_signals(&self) -> Vec<Signal> {
        let traffic = match self.connections() {
            Ok(connections) => format!(
                "socket tables of this network namespace, {connections} TCP connections; UDP and what lives shorter than \
                 a look are not in them, nor are apps without a v2 group"
            ),
            Err(reason) => reason.to_owned(),
        };
        vec![
            signal(
                "group folders watched",
                !self.tree.unwatched,
                &format!("{} inotify watches", self.tree.watched()),
                "new groups and changed limits are seen up to 5 seconds late",
                "raise fs.inotify.max_user_watches",
            ),
            signal(
                "network per app",
                self.connections().is_ok(),
                &traffic,
                "an app's traffic is not measured; interfaces are",
                "a kernel with CONFIG_INET_DIAG",
            ),
            signal(
                "quiet groups (BPF)",
                self.quiet_absent().is_none(),
                self.quiet_absent()
                    .unwrap_or("one pass of a BPF iterator over the v2 tree"),
                "every file of every group is read each second, also where nothing happens",
                "build with the `bpf` feature, on a kernel with BTF, as root",
            ),
        ]
    }

    /// Where apps are: on which CPUs, parts of disks and nodes.
    fn place_signals(&self) -> Vec<Signal> {
        vec![
            signal(
                "CPUs' waiting (run queue)",
                self.host_reader().tells_core_waiting() || self.core_waiting_absent().is_none(),
                self.core_waiting_absent().unwrap_or("BPF on scheduler events"),
                "waiting is known per app and host, not per CPU",
                "boot a kernel with CONFIG_SCHEDSTATS, or build with the `bpf` feature, on a kernel with BTF, as root",
            ),
            signal(
                "parts of disks (BPF)",
                self.ranges_absent().is_none(),
                self.ranges_absent().unwrap_or(
                    "BPF where requests enter the block layer; what is written back later belongs to no app",
                ),
                "which part of a disk is busy, and who makes it so, is not known",
                "build with the `bpf` feature, on a kernel from 5.12 on with BTF, as root",
            ),
            signal(
                "NUMA",
                !self.host_reader().nodes.is_empty(),
                "/sys/devices/system/node",
                "memory is one pool",
                "",
            ),
            signal(
                "memory by NUMA node",
                self.host_reader().several_nodes().is_empty() || self.slots().on_nodes() > 0,
                &match self.host_reader().several_nodes().len() {
                    0 => "one node: all memory is there".to_owned(),
                    nodes => format!(
                        "memory.numa_stat of {} apps on {nodes} nodes",
                        self.slots().on_nodes()
                    ),
                },
                "which apps fill a node is not known",
                "enable the memory controller for the groups",
            ),
            signal(
                "CPUs of confined apps",
                true,
                &format!(
                    "affinity and last CPU of the threads of {} apps that may not use every CPU",
                    self.slots().confined()
                ),
                "",
                "",
            ),
        ]
    }

    fn host_signals(&self) -> Vec<Signal> {
        let [cpu, memory, io] = self.host_reader().has_pressure();
        let events = &self.process_events;
        let events_text = match events {
            Ok(_) => "kernel process events".to_owned(),
            Err(reason) => reason.clone(),
        };
        let hidden = self
            .table
            .processes()
            .values()
            .filter(|process| process.hidden)
            .count();
        let root = rustix::process::geteuid().is_root();
        vec![
            signal(
                "waiting of the host (PSI)",
                cpu && memory && io,
                "/proc/pressure",
                "contention can be labelled from throttling and run delay only",
                "boot with psi=1",
            ),
            signal(
                "process events",
                events.is_ok(),
                &events_text,
                &format!(
                    "a process without a group of its own is seen up to {} seconds late",
                    self.sweep_interval().as_secs_f64()
                ),
                "run as root in the host's own process namespace",
            ),
            signal(
                "executables of processes",
                hidden == 0,
                &format!("{hidden} could not be read"),
                "these processes go by their own short name",
                if root { "" } else { "run as root" },
            ),
            signal(
                "run delay of processes",
                self.config.proc_root.join("self/schedstat").exists(),
                "schedstat of processes with one thread and no group; of others the group's waiting tells more",
                "how long an app without a group waited to run is not known",
                "boot a kernel with CONFIG_SCHED_INFO",
            ),
        ]
    }

    fn managers(&self) -> Vec<Manager> {
        let runs = |name: &str| {
            // One that an interpreter runs goes by its unit.
            let unit = format!("/{name}.service");
            let in_unit = |group: &str| group.ends_with(&unit);
            let mut processes = self.table.processes().values().filter(|process| !process.kernel);
            processes
                .any(|process| &*process.executable == name || process.group.as_deref().is_some_and(in_unit))
        };
        let mut managers: Vec<Manager> = MANAGERS
            .iter()
            .filter(|(name, _)| runs(name))
            .map(|(name, concern)| Manager {
                name: (*name).to_owned(),
                concern: (*concern).to_owned(),
            })
            .collect();
        if self.host_kind.systemd {
            managers.push(Manager {
                name: "systemd".to_owned(),
                concern: "owns the groups of its units: act through its API".to_owned(),
            });
        }
        managers
    }

    fn root_would_add(&self, root: bool) -> Vec<String> {
        if root {
            return Vec::new();
        }
        let mut additions = vec![
            "I/O, run delay and executables of other users' processes".to_owned(),
            "acting on groups that are not delegated to this user".to_owned(),
        ];
        if self.process_events.is_err() {
            additions.push("process events in place of sweeps".to_owned());
        }
        additions
    }

    /// The limits of the group that this process was put into, or else its own budget.
    fn own_bounds(&self) -> String {
        let own = self.table.processes().get(&std::process::id());
        let path = own.and_then(|process| process.group.as_deref());
        let limits = path
            .and_then(|path| self.slots().limits_of(path))
            .filter(|(cores, bytes)| cores.is_finite() || bytes.is_finite());
        let budget = self.config.budget;
        match (path, limits) {
            (Some(path), Some((cores, bytes))) => format!("group {path}: {cores} cores, {bytes} bytes"),
            _ => format!(
                "internal budget: {} cores, {} bytes",
                budget.cpu_cores, budget.memory_bytes
            ),
        }
    }

    fn bounds_hit(&self) -> Vec<String> {
        let mut hit = Vec::new();
        if self.tree.overfull {
            hit.push(format!(
                "more than {} groups: the rest counts with its parents",
                crate::groups::MOST_GROUPS
            ));
        }
        if self.table.overfull {
            hit.push("more processes than are followed: the rest counts as short-lived".to_owned());
        }
        if self.descriptors.left() == 0 {
            hit.push(
                "no descriptor left to keep: some files are opened each time, at five times the cost"
                    .to_owned(),
            );
        }
        hit
    }
}

fn host_pressure(proc_root: &Path) -> bool {
    std::fs::read(proc_root.join("pressure/cpu")).is_ok()
}

/// What the machine offers beyond files: counters, cache control, type information.
fn hardware_signals(sys_root: &Path, proc_root: &Path) -> Vec<Signal> {
    let exists = |path: &str| sys_root.join(path).exists();
    vec![
        signal(
            "hardware counters (PMU)",
            exists("bus/event_source/devices/cpu") || exists("bus/event_source/devices/cpu_core"),
            "/sys/bus/event_source/devices/cpu",
            "no cache misses or instructions per cycle: hot code is found by the software clock, and a variant is judged by time alone",
            "virtual machines rarely pass counters through; ask for it or run on metal",
        ),
        signal(
            "cache occupancy and control (resctrl)",
            exists("fs/resctrl/info"),
            "/sys/fs/resctrl",
            "contention for the last-level cache is only inferred",
            "mount resctrl on a CPU that has it",
        ),
        signal(
            "scheduler statistics",
            proc_root.join("schedstat").exists(),
            "/proc/schedstat",
            "no run delay per CPU from files",
            "boot a kernel with CONFIG_SCHEDSTATS, or use BPF",
        ),
        signal(
            "kernel type information (BTF)",
            exists("kernel/btf/vmlinux"),
            "/sys/kernel/btf/vmlinux",
            "no BPF reader",
            "boot a kernel with CONFIG_DEBUG_INFO_BTF",
        ),
    ]
}

//! The one registry of what is measured: name, unit, help and kernel source of every field.
//!
//! The collector, the store, Prometheus, the command line and the API all read this table, so a new
//! field is added here and nowhere else. Rates are per second of boot time between two readings.

use crate::EntityKind;
use serde::{Deserialize, Serialize};

/// Values a row has room for; no kind has more fields than this.
pub const ROW_WIDTH: usize = 32;

/// The unit in which a field is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MeasureUnit {
    /// CPU cores (seconds of CPU time per second).
    Cores,
    /// A share of time or of a whole, 0 to 1 unless the help says otherwise.
    Ratio,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Events per second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// A plain number.
    Count,
}

impl MeasureUnit {
    /// The base unit as Prometheus spells it in a metric's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Ratio => "ratio",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes_per_second",
            Self::PerSecond => "per_second",
            Self::Seconds => "seconds",
            Self::Count => "count",
        }
    }
}

/// What the registry knows of one field.
#[derive(Debug)]
pub struct FieldSpec {
    /// The field.
    pub field: Field,
    /// Kind of entity that has it.
    pub kind: EntityKind,
    /// Stable name, unique within its kind; it is the key in the store.
    pub name: &'static str,
    /// Stored unit.
    pub unit: MeasureUnit,
    /// One sentence for people.
    pub help: &'static str,
    /// Kernel file or interface it comes from.
    pub source: &'static str,
}

macro_rules! fields {
    ($($kind:ident { $($variant:ident $name:literal $unit:ident $help:literal $source:literal;)+ })+) => {
        /// A measured quantity. Each belongs to one [`EntityKind`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Field { $($(#[doc = $help] $variant,)+)+ }

        /// Every field, in the order of the enum.
        static SPECS: &[FieldSpec] = &[$($(FieldSpec {
            field: Field::$variant, kind: EntityKind::$kind, name: $name,
            unit: MeasureUnit::$unit, help: $help, source: $source,
        },)+)+];
    };
}

fields! {
    Host {
        HostCpuBusy "cpu_busy" Cores "CPU time used by all processes and the kernel, without idle, I/O wait and steal." "/proc/stat";
        HostCpuSteal "cpu_steal" Cores "CPU time that the hypervisor gave to others." "/proc/stat";
        HostCpuCapacity "cpu_capacity" Cores "Online CPUs less steal." "/proc/stat";
        HostCpuWaiting "cpu_waiting" Ratio "Share of time in which some task waited for a CPU (PSI some)." "/proc/pressure/cpu";
        HostMemoryTotal "memory_total" Bytes "Memory of the host." "/proc/meminfo";
        HostMemoryAvailable "memory_available" Bytes "Memory that can be had without swapping." "/proc/meminfo";
        HostMemoryFree "memory_free" Bytes "Memory that nobody uses." "/proc/meminfo";
        HostSwapTotal "swap_total" Bytes "Swap of the host." "/proc/meminfo";
        HostSwapUsed "swap_used" Bytes "Swap in use." "/proc/meminfo";
        HostMemoryWaiting "memory_waiting" Ratio "Share of time in which some task waited for memory (PSI some)." "/proc/pressure/memory";
        HostMemoryStalled "memory_stalled" Ratio "Share of time in which all tasks waited for memory (PSI full)." "/proc/pressure/memory";
        HostIoWaiting "io_waiting" Ratio "Share of time in which some task waited for I/O (PSI some)." "/proc/pressure/io";
        HostIoStalled "io_stalled" Ratio "Share of time in which all tasks waited for I/O (PSI full)." "/proc/pressure/io";
        HostRunnable "runnable" Count "Tasks that run or want to." "/proc/loadavg";
        SelfCpu "self_cpu" Cores "CPU time that tidegate itself uses." "/proc/self/stat";
        SelfMemory "self_memory" Bytes "Resident memory of tidegate itself." "/proc/self/statm";
        SelfDescriptors "self_descriptors" Count "File descriptors that tidegate itself holds." "/proc/self/fd";
        SelfTickLate "self_tick_late" Seconds "How late this sample was taken against its schedule." "boot clock";
        SelfShed "self_shed" Count "Level of self-protection: 0 nothing shed, then training, maps, slow sweeps." "internal budget";
    }
    Core {
        CoreBusy "busy" Ratio "Share of time in which the CPU worked." "/proc/stat";
        CoreSteal "steal" Ratio "Share of time in which the hypervisor ran others." "/proc/stat";
        CoreIoWait "iowait" Ratio "Share of idle time with I/O outstanding." "/proc/stat";
        CoreWaiting "waiting" Ratio "Tasks waiting for this CPU on average (may exceed 1)." "BPF on sched events";
    }
    Node {
        NodeMemoryTotal "memory_total" Bytes "Memory of the NUMA node." "/sys/devices/system/node/node*/meminfo";
        NodeMemoryFree "memory_free" Bytes "Free memory of the NUMA node." "/sys/devices/system/node/node*/meminfo";
        NodeMemoryFile "memory_file" Bytes "Page cache of the NUMA node, without shared memory: it can be given back." "/sys/devices/system/node/node*/meminfo";
    }
    Disk {
        DiskRead "read" BytesPerSecond "Bytes read." "/proc/diskstats";
        DiskWrite "write" BytesPerSecond "Bytes written." "/proc/diskstats";
        DiskReadOps "read_ops" PerSecond "Completed reads." "/proc/diskstats";
        DiskWriteOps "write_ops" PerSecond "Completed writes." "/proc/diskstats";
        DiskReadLatency "read_latency" Seconds "Mean time of a read from queue to completion." "/proc/diskstats";
        DiskWriteLatency "write_latency" Seconds "Mean time of a write from queue to completion." "/proc/diskstats";
        DiskLatencyRatio "latency_over_baseline" Ratio "Mean latency over the device's own quiet baseline (1 is quiet)." "/proc/diskstats";
        DiskBusy "busy" Ratio "Share of time with a request in flight; means little on NVMe." "/proc/diskstats";
        DiskQueue "queue" Count "Requests in flight on average." "/proc/diskstats";
    }
    Nic {
        NicReceive "receive" BytesPerSecond "Bytes received." "/proc/net/dev";
        NicTransmit "transmit" BytesPerSecond "Bytes sent." "/proc/net/dev";
        NicReceiveDrops "receive_drops" PerSecond "Packets dropped on receive." "/proc/net/dev";
        NicTransmitDrops "transmit_drops" PerSecond "Packets dropped on send." "/proc/net/dev";
        NicSpeed "speed" BytesPerSecond "Link speed, where the driver tells it." "/sys/class/net/*/speed";
    }
    App {
        CpuUsage "cpu_usage" Cores "CPU time used." "cpu.stat or cpuacct.usage";
        CpuThrottled "cpu_throttled" Ratio "Seconds throttled per second, summed over CPUs (may exceed 1)." "cpu.stat";
        CpuThrottledPeriods "cpu_throttled_periods" Ratio "Share of enforcement periods in which the group was throttled." "cpu.stat";
        CpuWaiting "cpu_waiting" Ratio "Share of time in which some task waited for a CPU (PSI some)." "cpu.pressure";
        CpuStalled "cpu_stalled" Ratio "Share of time in which all tasks waited for a CPU (PSI full)." "cpu.pressure";
        Memory "memory" Bytes "Memory charged to the group, or resident where it has none." "memory.current";
        MemoryAnonymous "memory_anonymous" Bytes "Anonymous memory." "memory.stat";
        MemoryFile "memory_file" Bytes "Page cache." "memory.stat";
        Swap "swap" Bytes "Swap used." "memory.swap.current";
        MemoryRefaults "memory_refaults" PerSecond "Pages that came back after they were evicted." "memory.stat";
        MemoryReclaimed "memory_reclaimed" PerSecond "Pages taken by reclaim." "memory.stat";
        MemoryOomKills "memory_oom_kills" PerSecond "Processes killed for lack of memory." "memory.events";
        MemoryWaiting "memory_waiting" Ratio "Share of time in which some task waited for memory (PSI some)." "memory.pressure";
        MemoryStalled "memory_stalled" Ratio "Share of time in which all tasks waited for memory (PSI full)." "memory.pressure";
        IoWaiting "io_waiting" Ratio "Share of time in which some task waited for I/O (PSI some)." "io.pressure";
        IoStalled "io_stalled" Ratio "Share of time in which all tasks waited for I/O (PSI full)." "io.pressure";
        AppRead "disk_read" BytesPerSecond "Bytes read from leaf devices." "io.stat or /proc/*/io";
        AppWrite "disk_write" BytesPerSecond "Bytes written to leaf devices." "io.stat or /proc/*/io";
        AppReceive "net_rx" BytesPerSecond "Bytes received, where the kernel offers it." "socket accounting";
        AppTransmit "net_tx" BytesPerSecond "Bytes sent, where the kernel offers it." "socket accounting";
        Processes "processes" Count "Processes." "cgroup.procs or /proc";
        CpuLimit "cpu_limit" Cores "CPU quota over its period; infinite when there is none." "cpu.max";
        CpuLimitPeriod "cpu_limit_period" Seconds "Enforcement period of the quota." "cpu.max";
        CpuBurst "cpu_burst" Seconds "Quota that may be saved up." "cpu.max.burst";
        CpuWeight "cpu_weight" Count "Scheduler weight, 100 by default." "cpu.weight or cpu.shares";
        CpuIdle "cpu_idle" Count "1 where the group runs only on idle CPUs." "cpu.idle";
        MemoryLimit "memory_limit" Bytes "Hard memory limit; infinite when there is none." "memory.max";
        MemoryHigh "memory_high" Bytes "Memory above which the kernel reclaims; infinite when there is none." "memory.high";
        RunDelay "run_delay" Ratio "Seconds per second that its tasks waited to run (may exceed 1)." "/proc/*/schedstat";
    }
    AppDisk {
        AppDiskRead "read" BytesPerSecond "Bytes that the app read from the device." "io.stat";
        AppDiskWrite "write" BytesPerSecond "Bytes that the app wrote to the device." "io.stat";
        AppDiskReadOps "read_ops" PerSecond "Reads of the app." "io.stat";
        AppDiskWriteOps "write_ops" PerSecond "Writes of the app." "io.stat";
    }
    AppCore {
        AppCoreUsage "usage" Cores "CPU time that an app which may not use every CPU used on this one." "/proc/*/task/*/stat";
    }
    AppNode {
        AppNodeMemory "memory" Bytes "Memory of the app on the node, without page cache." "memory.numa_stat";
        AppNodeFile "memory_file" Bytes "Page cache of the app on the node." "memory.numa_stat";
    }
    DiskRange {
        RangeRead "read" BytesPerSecond "Bytes read from the range." "BPF on block_bio_queue";
        RangeWrite "write" BytesPerSecond "Bytes written to the range." "BPF on block_bio_queue";
        RangeOps "ops" PerSecond "Requests to the range." "BPF on block_bio_queue";
    }
    AppRange {
        AppRangeRead "read" BytesPerSecond "Bytes that the app read from the range." "BPF on block_bio_queue";
        AppRangeWrite "write" BytesPerSecond "Bytes that the app wrote to the range." "BPF on block_bio_queue";
    }
}

/// Where the fields of each kind begin: asked for with every value of every row, so it is not searched.
static FIRST_OF_KIND: [usize; EntityKind::AppRange as usize + 1] = {
    let mut first = [usize::MAX; EntityKind::AppRange as usize + 1];
    let mut position = SPECS.len();
    while position > 0 {
        position -= 1;
        first[SPECS[position].kind as usize] = position;
    }
    first
};

impl Field {
    /// Everything the registry knows of this field.
    pub fn spec(self) -> &'static FieldSpec {
        &SPECS[self as usize]
    }

    /// The position of this field in a row of its kind.
    pub fn slot(self) -> usize {
        self as usize - FIRST_OF_KIND[self.spec().kind as usize]
    }

    /// All fields, or those of one kind, in registry order.
    pub fn of_kind(kind: EntityKind) -> impl Iterator<Item = &'static FieldSpec> {
        SPECS.iter().filter(move |spec| spec.kind == kind)
    }

    /// All fields in registry order.
    pub fn all() -> &'static [FieldSpec] {
        SPECS
    }

    /// The field of `kind` with the stable name `name`.
    pub fn by_name(kind: EntityKind, name: &str) -> Option<Self> {
        Self::of_kind(kind)
            .find(|spec| spec.name == name)
            .map(|spec| spec.field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_consistent() {
        for (position, spec) in SPECS.iter().enumerate() {
            assert_eq!(
                spec.field as usize, position,
                "{} stands at its own number",
                spec.name
            );
            assert!(spec.field.slot() < ROW_WIDTH, "{} fits a row", spec.name);
            assert_eq!(
                Field::by_name(spec.kind, spec.name),
                Some(spec.field),
                "{} is unique",
                spec.name
            );
        }
    }
}

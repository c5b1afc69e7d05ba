//! Block devices: which ones are leaves, and what they do.
//!
//! A byte written to an encrypted logical volume passes three queues; it is counted once, at the
//! device that has no other below it. Stacked devices (dm, md) are mapped to their leaves through
//! `slaves`; loop devices end in a file on a leaf, zram and ram in memory, so none of them is a disk.
//! Latency is compared with what the device itself does when it is quiet, since no absolute
//! number fits both NVMe and a network volume; utilisation means little and is only reported.

use crate::files::{Buffer, KeptFile, text};
use crate::parse::{self, Device, DiskLine};
use crate::rate::Counter;
use rustix::fd::OwnedFd;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tidegate_types::{BootTime, Field, Row};

/// Readings with traffic before a device has a baseline of its own.
const BASELINE_READINGS: u32 = 10;

/// Operations in a reading below which its mean latency says nothing.
const BASELINE_OPERATIONS: f64 = 4.0;

/// The quantile of readings that counts as quiet, and the step of its tracker in the logarithm.
const QUIET_QUANTILE: f64 = 0.2;
const BASELINE_STEP: f64 = 0.05;

/// A stacked device and the leaves that carry it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stacked {
    /// Kernel name, such as `dm-0`.
    pub name: String,
    /// Kernel names of the leaves below it.
    pub leaves: Vec<String>,
}

/// The block devices of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Devices {
    /// Leaves by number, sorted by name.
    pub(crate) leaves: Vec<(Device, Arc<str>)>,
    /// Devices on top of others.
    pub(crate) stacked: Vec<Stacked>,
}

const MEMORY_BACKED: [&str; 3] = ["zram", "ram", "loop"];
const READ_ONLY_MEDIA: [&str; 2] = ["sr", "fd"];

fn slaves(block: &Path, name: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(block.join(name).join("slaves")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// The whole device of a partition such as `sda3`, which `slaves` may name.
fn whole_device(name: &str, all: &BTreeSet<String>) -> String {
    if all.contains(name) {
        return name.to_owned();
    }
    all.iter()
        .filter(|whole| name.starts_with(whole.as_str()))
        .max_by_key(|whole| whole.len())
        .cloned()
        .unwrap_or_else(|| name.to_owned())
}

fn leaves_below(block: &Path, name: &str, all: &BTreeSet<String>, depth: usize) -> BTreeSet<String> {
    let below = slaves(block, name);
    if below.is_empty() || depth == 0 {
        return BTreeSet::from([name.to_owned()]);
    }
    below
        .iter()
        .flat_map(|slave| leaves_below(block, &whole_device(slave, all), all, depth - 1))
        .collect()
}

impl Devices {
    /// What stands in `sys_root`/block.
    pub(crate) fn detect(sys_root: &Path) -> Self {
        const DEEPEST_STACK: usize = 8;
        let block = sys_root.join("block");
        let all: BTreeSet<String> = std::fs::read_dir(&block)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        let mut devices = Self::default();
        for name in &all {
            let digits_after = |prefix: &&str| {
                name.strip_prefix(*prefix)
                    .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
            };
            let folder = block.join(name);
            let hidden = text(&folder.join("hidden")).is_some_and(|hidden| hidden == "1");
            let empty = text(&folder.join("size")).is_some_and(|size| size == "0");
            if hidden || empty || MEMORY_BACKED.iter().chain(&READ_ONLY_MEDIA).any(digits_after) {
                continue;
            }
            if !slaves(&block, name).is_empty() {
                let leaves = leaves_below(&block, name, &all, DEEPEST_STACK);
                devices.stacked.push(Stacked {
                    name: name.clone(),
                    leaves: leaves.into_iter().collect(),
                });
            } else if let Some(number) =
                text(&folder.join("dev")).and_then(|dev| parse::device(dev.as_bytes()))
            {
                devices.leaves.push((number, Arc::from(name.as_str())));
            }
        }
        devices
    }

    /// The position of a leaf.
    pub(crate) fn position(&self, device: Device) -> Option<usize> {
        self.leaves.iter().position(|(number, _)| *number == device)
    }
}

/// A device's own quiet latency: a tracker of a low quantile, in the logarithm, with no memory but
/// its estimate (stochastic approximation after Robbins and Monro).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Baseline {
    seconds: f64,
    readings: u32,
}

impl Baseline {
    /// Takes a mean latency and gives it relative to the baseline, once there is one.
    pub(crate) fn ratio(&mut self, latency_s: f64, operations: f64) -> f64 {
        let usable = latency_s > 0.0 && operations >= BASELINE_OPERATIONS;
        if !usable {
            return f64::NAN;
        }
        if self.readings == 0 {
            self.seconds = latency_s;
        }
        let below = f64::from(u8::from(latency_s < self.seconds));
        self.seconds *= (BASELINE_STEP * (QUIET_QUANTILE - below)).exp();
        self.readings = self.readings.saturating_add(1);
        if self.readings < BASELINE_READINGS {
            return f64::NAN;
        }
        latency_s / self.seconds
    }
}

#[derive(Debug, Default)]
struct DiskCounters {
    read_bytes: Counter,
    write_bytes: Counter,
    read_ops: Counter,
    write_ops: Counter,
    read_ms: Counter,
    write_ms: Counter,
    busy_ms: Counter,
    weighted_ms: Counter,
    baseline: Baseline,
}

/// The reader of `/proc/diskstats`, one slot per leaf.
#[derive(Debug)]
pub(crate) struct DiskReader {
    file: Option<KeptFile>,
    counters: Vec<DiskCounters>,
}

fn mean_s(milliseconds: f64, operations: f64) -> f64 {
    if operations > 0.0 {
        milliseconds / operations * 1e-3
    } else {
        f64::NAN
    }
}

impl DiskReader {
    pub(crate) fn new(file: Option<KeptFile>, devices: &Devices) -> Self {
        Self {
            file,
            counters: devices.leaves.iter().map(|_| DiskCounters::default()).collect(),
        }
    }

    /// Goes over from the leaves of `before` to those of `after`; what stays keeps its counters.
    pub(crate) fn follow(&mut self, before: &Devices, after: &Devices) {
        let mut known: Vec<_> = before
            .leaves
            .iter()
            .zip(std::mem::take(&mut self.counters))
            .collect();
        self.counters = after
            .leaves
            .iter()
            .map(|leaf| {
                let place = known.iter().position(|(other, _)| *other == leaf);
                place.map_or_else(DiskCounters::default, |place| known.swap_remove(place).1)
            })
            .collect();
    }

    /// Fills the row of each leaf; `rows[i]` is the row of leaf `i`.
    pub(crate) fn read(
        &mut self,
        root: &OwnedFd,
        buffer: &mut Buffer,
        devices: &Devices,
        at: BootTime,
        rows: &mut [Row],
        positions: &[usize],
    ) {
        let Some(file) = &self.file else { return };
        let Ok(bytes) = file.read(root, "", buffer) else {
            return;
        };
        let counters = &mut self.counters;
        parse::diskstats(bytes, |device, line| {
            if let Some(slot) = devices.position(device) {
                counters[slot].fill(&line, at, &mut rows[positions[slot]]);
            }
        });
    }

    pub(crate) fn forget(&mut self) {
        for counters in &mut self.counters {
            let baseline = counters.baseline;
            *counters = DiskCounters {
                baseline,
                ..DiskCounters::default()
            };
        }
    }

    pub(crate) fn file(&self) -> Option<&KeptFile> {
        self.file.as_ref()
    }
}

impl DiskCounters {
    fn fill(&mut self, line: &DiskLine, at: BootTime, row: &mut Row) {
        row.set(
            Field::DiskRead,
            self.read_bytes.rate(Some(line.io.read_bytes), at),
        );
        row.set(
            Field::DiskWrite,
            self.write_bytes.rate(Some(line.io.write_bytes), at),
        );
        let reads = self.read_ops.rate(Some(line.io.read_ops), at);
        let writes = self.write_ops.rate(Some(line.io.write_ops), at);
        row.set(Field::DiskReadOps, reads);
        row.set(Field::DiskWriteOps, writes);
        let read_ms = self.read_ms.rate(Some(line.read_ms), at);
        let write_ms = self.write_ms.rate(Some(line.write_ms), at);
        row.set(Field::DiskReadLatency, mean_s(read_ms, reads));
        row.set(Field::DiskWriteLatency, mean_s(write_ms, writes));
        let mean = mean_s(read_ms + write_ms, reads + writes);
        row.set(Field::DiskLatencyRatio, self.baseline.ratio(mean, reads + writes));
        let busy = self.busy_ms.rate(Some(line.busy_ms), at);
        row.set(Field::DiskBusy, crate::rate::share_of_time(busy * 1e3));
        row.set(
            Field::DiskQueue,
            self.weighted_ms.rate(Some(line.weighted_ms), at) * 1e-3,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(root: &Path, name: &str, number: &str, below: &[&str]) {
        let folder = root.join("block").join(name);
        std::fs::create_dir_all(folder.join("slaves")).expect("folder");
        std::fs::write(folder.join("dev"), number).expect("dev");
        std::fs::write(folder.join("size"), "1000\n").expect("size");
        for slave in below {
            std::fs::create_dir(folder.join("slaves").join(slave)).expect("slave");
        }
    }

    #[test]
    fn a_byte_is_counted_at_its_leaf() {
        let sys = tempfile::tempdir().expect("tempdir");
        device(sys.path(), "sda", "8:0\n", &[]);
        device(sys.path(), "sdb", "8:16\n", &[]);
        device(sys.path(), "md0", "9:0\n", &["sda2", "sdb2"]);
        device(sys.path(), "dm-0", "253:0\n", &["md0"]);
        device(sys.path(), "loop0", "7:0\n", &[]);
        device(sys.path(), "zram0", "252:0\n", &[]);
        let devices = Devices::detect(sys.path());
        let names: Vec<&str> = devices.leaves.iter().map(|(_, name)| &**name).collect();
        assert_eq!(names, ["sda", "sdb"]);
        assert_eq!(devices.stacked.len(), 2);
        assert!(
            devices
                .stacked
                .iter()
                .all(|stacked| stacked.leaves == ["sda", "sdb"])
        );
        assert_eq!(devices.position(Device { major: 8, minor: 16 }), Some(1));
        assert_eq!(devices.position(Device { major: 253, minor: 0 }), None);
    }

    #[test]
    fn latency_is_relative_to_the_quiet_device() {
        let mut baseline = Baseline::default();
        for round in 0..400 {
            let ratio = baseline.ratio(1e-3 * (1.0 + f64::from(round % 5) * 0.1), 100.0);
            assert_eq!(ratio.is_nan(), round + 1 < BASELINE_READINGS);
        }
        let busy = baseline.ratio(20e-3, 100.0);
        assert!((15.0..25.0).contains(&busy), "{busy}");
        assert!(baseline.ratio(f64::NAN, 0.0).is_nan());
    }
}

//! What one look costs: `telemetry_bench [GROUPS] [RUNNING] [ROUNDS]`, as lines of JSON.
//!
//! Makes groups of its own in every hierarchy, puts sleeping-and-waking processes into some, and
//! compares the CPU time of a look with that of a loop of `pread` over exactly the files that it reads, in
//! interleaved rounds. Reports allocations in the steady state, what churn costs, and, where built
//! with the `bpf` feature, the BPF reader beside it. Everything is removed at the end.

#[path = "../tests/support/counting.rs"]
mod counting;

use counting::allocations;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tidegate_telemetry::{Collector, CollectorConfig, host_clock, raise_descriptor_limit};
use tidegate_types::{Hierarchy, Sample};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// The promise: a look costs at most this many times the bare loop.
const BOUND: f64 = 2.0;

/// The argument with which this program is one of its own loads.
const WORK: &str = "work";

/// A little work ten times a second, until killed.
fn work() -> ! {
    // A bench that is killed takes its loads with it.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    loop {
        std::thread::sleep(Duration::from_millis(100));
        std::hint::black_box((0..20_000_u64).fold(0, |sum, number| sum ^ number.wrapping_mul(number)));
    }
}

#[derive(serde::Serialize)]
struct Line<'text> {
    metric: &'text str,
    value: f64,
    unit: &'text str,
    bound: Option<f64>,
    holds: bool,
}

fn report(metric: &str, value: f64, unit: &str, bound: Option<f64>) -> bool {
    let holds = bound.is_none_or(|bound| value <= bound);
    let line = Line {
        metric,
        value,
        unit,
        bound,
        holds,
    };
    if let Ok(text) = serde_json::to_string(&line) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
    holds
}

/// Own groups and processes, taken away when dropped.
struct Bed {
    roots: Vec<PathBuf>,
    groups: usize,
    children: Vec<Child>,
}

impl Bed {
    fn new(collector: &Collector, groups: usize) -> std::io::Result<Self> {
        let mut bed = Self {
            roots: Vec::new(),
            groups,
            children: Vec::new(),
        };
        for mount in &collector.layout().mounts {
            // A memory group keeps the page cache charged to it, so it would outlive the bench.
            let is_v1_memory = mount.hierarchy == Hierarchy::Memory;
            let root = mount.path.join(format!("tg-bench-{}", std::process::id()));
            if is_v1_memory || bed.roots.contains(&root) {
                continue;
            }
            std::fs::create_dir(&root)?;
            bed.roots.push(root.clone());
            prepare(mount.hierarchy, &mount.path, &root)?;
            for group in 0..groups {
                let folder = root.join(format!("g{group}"));
                std::fs::create_dir(&folder)?;
                prepare(mount.hierarchy, &root, &folder)?;
            }
        }
        Ok(bed)
    }

    /// One process in each of the first `running` groups, waking ten times a second.
    fn run(&mut self, running: usize) -> std::io::Result<()> {
        for group in 0..running.min(self.groups) {
            let child = Command::new(std::env::current_exe()?)
                .arg(WORK)
                .stdin(Stdio::null())
                .spawn()?;
            for root in &self.roots {
                std::fs::write(
                    root.join(format!("g{group}/cgroup.procs")),
                    child.id().to_string(),
                )?;
            }
            self.children.push(child);
        }
        Ok(())
    }

    /// Removes and makes again every tenth group.
    fn churn(&self) -> std::io::Result<usize> {
        let mut changed = 0;
        for root in &self.roots {
            for group in (self.children.len()..self.groups).step_by(10) {
                let folder = root.join(format!("g{group}"));
                std::fs::remove_dir(&folder)?;
                std::fs::create_dir(&folder)?;
                changed += 1;
            }
        }
        Ok(changed)
    }
}

/// A v1 cpuset takes no process before it has CPUs and memory.
fn prepare(hierarchy: Hierarchy, parent: &Path, folder: &Path) -> std::io::Result<()> {
    if hierarchy != Hierarchy::Cpuset {
        return Ok(());
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        std::fs::write(folder.join(file), std::fs::read_to_string(parent.join(file))?)?;
    }
    Ok(())
}

impl Drop for Bed {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for root in &self.roots {
            for _ in 0..50 {
                for group in 0..self.groups {
                    let _ = std::fs::remove_dir(root.join(format!("g{group}")));
                }
                if std::fs::remove_dir(root).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// CPU time of this thread, in microseconds.
fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn timed(work: impl FnOnce()) -> f64 {
    let before = cpu_us();
    work();
    cpu_us() - before
}

/// The middle of `values`, and the bounds of a 95 % interval of it by order statistics.
fn median(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let half = 0.98 * count.sqrt();
    let at = |position: f64| values[(position.max(0.0) as usize).min(values.len() - 1)];
    (at(count / 2.0), at(count / 2.0 - half), at(count / 2.0 + half))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() == Some(WORK) {
        work();
    }
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse::<usize>().ok());
    let groups = arguments.next().unwrap_or(1000);
    let running = arguments.next().unwrap_or(200);
    let rounds = arguments.next().unwrap_or(30).max(3);
    raise_descriptor_limit();
    let config = CollectorConfig {
        interval: Duration::from_mins(10),
        bpf: false,
        ..CollectorConfig::default()
    };
    let probe = Collector::new(config.clone())?;
    let mut bed = match Bed::new(&probe, groups) {
        Ok(bed) => bed,
        Err(error) => {
            eprintln!("SKIP telemetry_bench: own groups cannot be made: {error}");
            return Ok(());
        }
    };
    drop(probe);
    bed.run(running)?;
    let mut collector = Collector::new(config.clone())?;
    let holds = cost(&mut collector, rounds) & steady(&mut collector, rounds);
    churn(&mut collector, &bed)?;
    fast(&collector);
    #[cfg(feature = "bpf")]
    by_bpf::report_all(&collector, rounds);
    #[cfg(feature = "bpf")]
    by_bpf::look(config, collector)?;
    drop(bed);
    if !holds {
        std::process::exit(1);
    }
    Ok(())
}

/// A look against the bare loop, in pairs whose order alternates.
fn cost(collector: &mut Collector, rounds: usize) -> bool {
    let mut sample = Sample::default();
    for _ in 0..3 {
        collector.collect(&mut sample);
        collector.read_bare();
    }
    let (mut looks, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut files = 0;
    for round in 0..rounds {
        let mut look = f64::NAN;
        if round % 2 == 0 {
            look = timed(|| collector.collect(&mut sample));
        }
        let loop_us = timed(|| files = collector.read_bare());
        if round % 2 == 1 {
            look = timed(|| collector.collect(&mut sample));
        }
        looks.push(look);
        bare.push(loop_us);
        ratios.push(look / loop_us);
    }
    report("look_files", files as f64, "files", None);
    report("look_rows", sample.rows.len() as f64, "rows", None);
    report("look_cpu", median(&mut looks).0, "us", None);
    report("bare_loop_cpu", median(&mut bare).0, "us", None);
    let (ratio, low, high) = median(&mut ratios);
    report("look_over_bare_loop_low", low, "ratio", None);
    report("look_over_bare_loop_high", high, "ratio", None);
    report("look_over_bare_loop", ratio, "ratio", Some(BOUND))
}

/// Allocations of a look when nothing comes or goes; processes of others may, so the quietest of some counts.
fn steady(collector: &mut Collector, rounds: usize) -> bool {
    let mut sample = Sample::default();
    collector.collect(&mut sample);
    let fewest = (0..rounds)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            let before = allocations();
            collector.collect(&mut sample);
            allocations() - before
        })
        .min()
        .unwrap_or(u64::MAX);
    report("steady_allocations", fewest as f64, "allocations", Some(0.0))
}

/// What a look costs right after groups were made anew.
fn churn(collector: &mut Collector, bed: &Bed) -> std::io::Result<()> {
    let mut sample = Sample::default();
    collector.events();
    let changed = bed.churn()?;
    let look = timed(|| collector.collect(&mut sample));
    report("churn_groups", changed as f64, "groups", None);
    report("churn_events", collector.events().len() as f64, "events", None);
    report("churn_look_cpu", look, "us", None);
    Ok(())
}

/// The fast lane over twenty apps.
fn fast(collector: &Collector) {
    const APPS: usize = 20;
    let apps = collector.apps().filter(|app| app.group.is_some()).take(APPS);
    let mut fast = tidegate_telemetry::FastPoll::new(collector.layout(), apps, host_clock());
    fast.poll();
    let mut costs: Vec<f64> = (0..30).map(|_| timed(|| _ = fast.poll())).collect();
    report("fast_poll_apps", fast.len() as f64, "apps", None);
    report("fast_poll_cpu", median(&mut costs).0, "us", None);
}

/// The BPF readers beside the files.
#[cfg(feature = "bpf")]
mod by_bpf {
    use super::{median, report, timed};
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::time::Duration;
    use tidegate_telemetry::{Collector, CollectorConfig, CoresByBpf, GroupsByBpf, TelemetryError, parse};
    use tidegate_types::{Hierarchy, Sample};

    /// Round trips between two threads in one reading of the cost of a context switch.
    const ROUND_TRIPS: usize = 5000;

    /// Groups whose records are compared with their files.
    const MOST_COMPARED: usize = 200;

    pub(crate) fn report_all(collector: &Collector, rounds: usize) {
        match collector.layout().root(Hierarchy::V2).map(GroupsByBpf::open) {
            Some(Ok(mut reader)) => groups(&mut reader, collector, rounds),
            Some(Err(reason)) => eprintln!("SKIP telemetry_bench BPF groups: {reason}"),
            None => eprintln!("SKIP telemetry_bench BPF groups: no v2 tree"),
        }
        if let Err(reason) = switches() {
            eprintln!("SKIP telemetry_bench BPF cores: {reason}");
        }
    }

    /// What a look costs where BPF tells which groups are quiet.
    pub(crate) fn look(config: CollectorConfig, files_only: Collector) -> Result<(), TelemetryError> {
        const LOOKS: usize = 12;
        let mut plain = files_only;
        let mut sparing = Collector::new(CollectorConfig { bpf: true, ..config })?;
        let (mut sample, mut other) = (Sample::default(), Sample::default());
        let (mut plain_us, mut sparing_us) = (Vec::new(), Vec::new());
        for round in 0..LOOKS {
            std::thread::sleep(Duration::from_secs(1));
            let plain_cost = timed(|| plain.collect(&mut sample));
            let sparing_cost = timed(|| sparing.collect(&mut other));
            // A group is quiet after some seconds without anything, so the first looks do not count.
            if round >= LOOKS / 2 {
                plain_us.push(plain_cost);
                sparing_us.push(sparing_cost);
            }
        }
        report("look_cpu_of_files_beside", median(&mut plain_us).0, "us", None);
        report("look_cpu_with_bpf", median(&mut sparing_us).0, "us", None);
        Ok(())
    }

    fn usage_ns(folder: &Path) -> Option<u64> {
        let mut usage = None;
        parse::keyed(&std::fs::read(folder.join("cpu.stat")).ok()?, |key, value| {
            if key == b"usage_usec" {
                usage = Some(value * 1000);
            }
        });
        usage
    }

    fn groups(reader: &mut GroupsByBpf, collector: &Collector, rounds: usize) {
        let mut costs: Vec<f64> = (0..rounds).map(|_| timed(|| _ = reader.read())).collect();
        let count = reader.read().map_or(0, <[_]>::len);
        report("bpf_groups", count as f64, "groups", None);
        report("bpf_groups_cpu", median(&mut costs).0, "us", None);
        let Some(root) = collector.layout().root(Hierarchy::V2) else {
            return;
        };
        let mut differences = Vec::new();
        for app in collector.apps() {
            let Some(place) = app
                .group
                .as_ref()
                .and_then(|group| group.in_hierarchy(Hierarchy::V2))
            else {
                continue;
            };
            let folder = root.join(place.path.trim_start_matches('/'));
            if differences.len() >= MOST_COMPARED
                || folder.metadata().is_ok_and(|metadata| metadata.ino() != place.id)
            {
                continue;
            }
            // The group goes on running, so its file is read before and after the pass.
            let before = usage_ns(&folder);
            let records = reader.read().unwrap_or_default();
            let record = records.iter().find(|record| record.id == place.id).copied();
            if let (Some(before), Some(record), Some(after)) = (before, record, usage_ns(&folder)) {
                let outside = before
                    .saturating_sub(record.usage_ns)
                    .max(record.usage_ns.saturating_sub(after + 1000));
                differences.push(outside as f64 / 1e3);
            }
        }
        if differences.is_empty() {
            return;
        }
        report("bpf_groups_compared", differences.len() as f64, "groups", None);
        report(
            "bpf_usage_difference_median",
            median(&mut differences).0,
            "us",
            None,
        );
        let worst = differences.last().copied().unwrap_or(f64::NAN);
        report("bpf_usage_difference_worst", worst, "us", None);
    }

    /// Wall time of a round trip through two pipes, in microseconds.
    fn round_trip_us() -> std::io::Result<f64> {
        let ((mut near_in, mut far_out), (mut far_in, mut near_out)) = (std::io::pipe()?, std::io::pipe()?);
        let echo = std::thread::spawn(move || {
            let mut byte = [0];
            while far_in.read_exact(&mut byte).is_ok() && far_out.write_all(&byte).is_ok() {}
        });
        let begun = std::time::Instant::now();
        let mut byte = [0];
        for _ in 0..ROUND_TRIPS {
            near_out.write_all(&byte)?;
            near_in.read_exact(&mut byte)?;
        }
        let took = begun.elapsed().as_secs_f64() * 1e6 / ROUND_TRIPS as f64;
        drop(near_out);
        let _ = echo.join();
        Ok(took)
    }

    /// What watching the scheduler adds to a round trip, which is two switches at least.
    fn switches() -> Result<(), String> {
        const PAIRS: usize = 11;
        let mut added = Vec::new();
        let mut plain = Vec::new();
        for _ in 0..PAIRS {
            let without = round_trip_us().map_err(|error| error.to_string())?;
            let reader = CoresByBpf::open()?;
            let with = round_trip_us().map_err(|error| error.to_string())?;
            drop(reader);
            plain.push(without);
            added.push(with - without);
        }
        report("round_trip", median(&mut plain).0, "us", None);
        report("bpf_cores_added_to_round_trip", median(&mut added).0, "us", None);
        Ok(())
    }
}

//! The BPF readers say what the files say, under load and for longer than any counter of theirs wraps.

use crate::live::{Bed, look_until, spin_in_root};
use crate::skip;
use std::time::{Duration, Instant};
use tidegate_telemetry::{Collector, CollectorConfig, CoresByBpf, GroupsByBpf, parse};
use tidegate_types::{Entity, Field, Hierarchy, Sample};

/// Longer than 2^32 ns twice over, and than the kernel's own interval of 2 s many times.
const LOAD: Duration = Duration::from_secs(11);

#[test]
fn groups_agree_with_their_files() {
    let name = "bpf::groups_agree_with_their_files";
    let collector = Collector::new(CollectorConfig::default()).expect("this host can be read");
    let Some(root) = collector.layout().root(Hierarchy::V2) else {
        return skip(name, "no v2 tree");
    };
    let mut reader = match GroupsByBpf::open(root) {
        Ok(reader) => reader,
        Err(reason) => return skip(name, &reason),
    };
    let mut bed = match Bed::new(&collector, "bpf") {
        Ok(bed) => bed,
        Err(reason) => return skip(name, &reason),
    };
    for _ in 0..more_than_cpus() {
        bed.spin();
    }
    let folder = bed.folder(root).expect("a group in the v2 tree");
    let id = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&folder).expect("a folder"));
    let (begun, mut looks, mut last) = (Instant::now(), 0, 0);
    while begun.elapsed() < LOAD {
        std::thread::sleep(Duration::from_millis(700));
        let before = usage_us(&folder);
        let record = *reader
            .read()
            .expect("a pass")
            .iter()
            .find(|record| record.id == id)
            .expect("the group");
        let after = usage_us(&folder);
        // The clock tick that both are brought up to date by may fall between them.
        let slack = 20_000;
        let usage = record.usage_ns / 1000;
        assert!(
            (before.saturating_sub(slack)..=after + slack).contains(&usage),
            "{before} {usage} {after}"
        );
        let pressure = parse::pressure(&std::fs::read(folder.join("cpu.pressure")).expect("pressure"));
        if let Some(waited) = pressure.some_us {
            let by_bpf = record.waiting_ns[4] / 1000;
            // Up to two seconds old, plus what the kernel's worker is late on a busy host.
            assert!(
                by_bpf <= waited && waited - by_bpf <= 4_000_000,
                "{by_bpf} {waited}"
            );
            assert!(by_bpf >= last, "it never goes back");
            last = by_bpf;
        }
        looks += 1;
    }
    assert!(
        looks > 5 && last > 4_300_000,
        "waited past 2^32 ns: {last} us in {looks} looks"
    );
    assert_eq!(reader.overflow, 0);
}

fn cpus() -> usize {
    std::thread::available_parallelism().expect("CPUs").get()
}

/// Spinners of which some always wait.
fn more_than_cpus() -> usize {
    2 * cpus() + 2
}

fn usage_us(folder: &std::path::Path) -> u64 {
    let mut usage = None;
    let text = std::fs::read(folder.join("cpu.stat")).expect("cpu.stat");
    parse::keyed(&text, |key, value| {
        if key == b"usage_usec" {
            usage = Some(value);
        }
    });
    usage.expect("usage")
}

#[test]
fn more_tasks_than_cpus_wait() {
    let reader = match CoresByBpf::open() {
        Ok(reader) => reader,
        Err(reason) => return skip("bpf::more_tasks_than_cpus_wait", &reason),
    };
    let cpus = cpus();
    let total = |reader: &CoresByBpf| -> f64 {
        let cores = 0..u16::try_from(cpus).expect("fits");
        cores
            .filter_map(|core| reader.waited(core))
            .map(|(waited, _)| waited as f64 / 1e9)
            .sum()
    };
    let _spinners = spin_in_root(3 * cpus);
    let (before, begun) = (total(&reader), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let waiting = (total(&reader) - before) / begun.elapsed().as_secs_f64();
    // Twice as many wait as there are CPUs; others on the host only add to that.
    assert!(waiting > cpus as f64, "{waiting} tasks waited on {cpus} CPUs");
}

#[test]
fn a_quiet_group_is_measured_as_before() {
    let name = "bpf::a_quiet_group_is_measured_as_before";
    let mut collector = Collector::new(CollectorConfig::default()).expect("this host can be read");
    let report = collector.doctor();
    if let Some(signal) = report.absent().find(|signal| signal.name == "quiet groups (BPF)") {
        return skip(name, &signal.detail);
    }
    let mut bed = match Bed::new(&collector, "quiet") {
        Ok(bed) => bed,
        Err(reason) => return skip(name, &reason),
    };
    let (entity, mut sample) = (bed.entity(), Sample::default());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        collector.collect(&mut sample);
        std::thread::sleep(Duration::from_millis(500));
    }
    for field in [Field::CpuUsage, Field::CpuWaiting, Field::IoStalled] {
        assert_eq!(sample.get(&entity, field), Some(0.0), "{field:?}");
    }
    for _ in 0..more_than_cpus() {
        bed.spin();
    }
    let busy = look_until(&mut collector, &mut sample, |sample| {
        let above = |field, least| sample.get(&entity, field).is_some_and(|value| value > least);
        above(Field::CpuUsage, 0.1) && above(Field::CpuWaiting, 0.3)
    });
    assert!(busy, "{:?}", sample.row(&entity));
}

/// What is written past the page cache in a known range of a real disk is counted there, for the group that asked.
#[test]
fn requests_are_counted_in_their_range_and_for_their_group() {
    let name = "bpf::requests_are_counted_in_their_range_and_for_their_group";
    let mut collector = Collector::new(CollectorConfig::default()).expect("this host can be read");
    let report = collector.doctor();
    if report
        .absent()
        .any(|signal| signal.name == "parts of disks (BPF)")
    {
        return skip(name, "no BPF on block requests");
    }
    let mut bed = match Bed::new(&collector, "ranges") {
        Ok(bed) => bed,
        Err(reason) => return skip(name, &reason),
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = folder.path().join("direct");
    if !bed.write_directly(&file) {
        return skip(name, "no direct I/O here");
    }
    let app = bed.entity().app().cloned().expect("an app");
    let mut sample = Sample::default();
    let mut ranges = Vec::new();
    let seen = look_until(&mut collector, &mut sample, |sample| {
        ranges = sample
            .rows
            .iter()
            .filter(|row| matches!(&row.entity, Entity::AppRange(name, ..) if *name == app))
            .filter(|row| row.get(Field::AppRangeWrite).is_some_and(|bytes| bytes > 1e5))
            .map(|row| row.entity.to_string())
            .collect();
        !ranges.is_empty()
    });
    let asked: Vec<(String, Option<f64>)> = sample
        .rows
        .iter()
        .filter(|row| matches!(row.entity, Entity::DiskRange(..) | Entity::AppRange(..)))
        .map(|row| (row.entity.to_string(), row.values.first().copied()))
        .collect();
    assert!(seen, "no range of the writer: {asked:?}");
    let whole = ranges[0].replace("apprange:", "range:");
    let whole = whole.rsplit_once(":group:").map_or(&*whole, |(range, _)| range);
    let row = sample.rows.iter().find(|row| row.entity.to_string() == whole);
    let written = row.and_then(|row| row.get(Field::RangeWrite));
    assert!(written.is_some_and(|bytes| bytes > 1e5), "{whole}: {written:?}");
}

//! Where apps are: on which CPUs, and on which NUMA nodes.

use crate::fake::Fake;
use crate::live::{Bed, look_until};
use crate::skip;
use tidegate_telemetry::{Collector, CollectorConfig};
use tidegate_types::{Entity, Field, Sample};

const NODES: [(&str, &str); 2] = [
    (
        "sys/devices/system/node/node0/meminfo",
        "Node 0 MemTotal: 4096 kB\nNode 0 MemFree: 1024 kB\nNode 0 FilePages: 600 kB\nNode 0 Shmem: 100 kB\n",
    ),
    (
        "sys/devices/system/node/node1/meminfo",
        "Node 1 MemTotal: 2048 kB\nNode 1 MemFree: 512 kB\nNode 1 FilePages: 40 kB\nNode 1 Shmem: 50 kB\n",
    ),
];

#[test]
fn memory_of_v2_groups_is_told_by_node_without_what_is_below_them() {
    let mut fake = Fake::new(&NODES);
    fake.write(&[
        ("cgroup/cgroup.controllers", "cpu memory\n"),
        ("cgroup/web/cpu.stat", "usage_usec 5\n"),
        ("cgroup/web/memory.current", "9000\n"),
        (
            "cgroup/web/memory.numa_stat",
            "anon N0=4000 N1=1000\nfile N0=900 N1=300\nkernel_stack N0=10 N1=0\nshmem N0=100 N1=0\nfile_mapped N0=7 N1=7\n",
        ),
        ("cgroup/web/worker/cpu.stat", "usage_usec 5\n"),
        ("cgroup/web/worker/memory.current", "1500\n"),
        (
            "cgroup/web/worker/memory.numa_stat",
            "anon N0=500 N1=1000\nfile N0=0 N1=300\n",
        ),
    ]);
    fake.process(100, "web", 900, 5, "0::/web\n");
    fake.process(101, "worker", 900, 5, "0::/web/worker\n");
    fake.two_looks(1.0, &[]);
    let held = |entity: &str, memory, file| {
        fake.check(entity, &[("memory", Some(memory)), ("memory_file", Some(file))]);
    };
    held("appnode:0:group:/web/worker", 500.0, 0.0);
    held("appnode:1:group:/web/worker", 1000.0, 300.0);
    held("appnode:0:group:/web", 3610.0, 800.0);
    held("appnode:1:group:/web", 0.0, 0.0);
    fake.check("node:0", &[("memory_file", Some(500.0 * 1024.0))]);
    fake.check("node:1", &[("memory_file", Some(0.0))]);
}

#[test]
fn memory_of_v1_groups_is_told_by_node_in_pages() {
    let mut fake = Fake::new(&NODES);
    fake.write(&[
        ("cgroup/cpu/cgroup.procs", ""),
        ("cgroup/memory/cgroup.procs", ""),
        ("cgroup/cpu/web/cpu.stat", "nr_periods 1\nnr_throttled 0\nthrottled_time 0\n"),
        ("cgroup/memory/web/memory.usage_in_bytes", "9000\n"),
        (
            "cgroup/memory/web/memory.numa_stat",
            "total=9 N0=5 N1=4\nanon=1 N0=1 N1=0\nhierarchical_total=9 N0=5 N1=4\nhierarchical_file=3 N0=1 N1=2\n\
             hierarchical_anon=5 N0=3 N1=2\nhierarchical_unevictable=1 N0=1 N1=0\n",
        ),
    ]);
    fake.process(100, "web", 900, 5, "2:memory:/web\n1:cpu:/web\n");
    fake.two_looks(1.0, &[]);
    let page = page_bytes();
    fake.check(
        "appnode:0:group:/web",
        &[("memory", Some(4.0 * page)), ("memory_file", Some(page))],
    );
    fake.check(
        "appnode:1:group:/web",
        &[("memory", Some(2.0 * page)), ("memory_file", Some(2.0 * page))],
    );
}

fn page_bytes() -> f64 {
    rustix::param::page_size() as f64
}

#[test]
fn one_node_holds_everything() {
    let mut fake = Fake::new(&NODES[..1]);
    fake.write(&[
        ("cgroup/cgroup.controllers", "cpu memory\n"),
        ("cgroup/web/cpu.stat", "usage_usec 5\n"),
        ("cgroup/web/memory.numa_stat", "anon N0=4000\n"),
    ]);
    fake.collect();
    assert!(!fake.entities().iter().any(|entity| entity.starts_with("appnode")));
}

/// One of two threads of a process: its CPU time so far, and the CPU it ran on last.
fn thread(fake: &Fake, pid: u32, tid: u32, ticks: u64, last: u16, allowed: &str) {
    let rest = format!(
        "1000 25 18446744073709551615 {} 17 {last} 0 0\n",
        "0 ".repeat(12).trim_end()
    );
    let stat = format!("{tid} (web) S 1 1 1 0 -1 4194304 9 0 0 0 {ticks} 0 0 0 20 0 2 0 90000 {rest}");
    fake.write(&[
        (&format!("proc/{pid}/task/{tid}/stat"), &stat),
        (
            &format!("proc/{pid}/task/{tid}/status"),
            &format!("Name:\tweb\nCpus_allowed_list:\t{allowed}\n"),
        ),
    ]);
}

#[test]
fn cpu_time_of_a_confined_app_is_divided_as_its_threads_run() {
    let mut fake = Fake::new(&[
        (
            "proc/stat",
            "cpu 9 0 0 9 0 0 0 0 0 0\ncpu0 3 0 0 3 0 0 0 0 0 0\ncpu1 3 0 0 3 0 0 0 0 0 0\ncpu2 3 0 0 3 0 0 0 0 0 0\n",
        ),
        ("cgroup/cgroup.controllers", "cpu\n"),
        ("cgroup/web/cpu.stat", "usage_usec 0\n"),
        ("cgroup/free/cpu.stat", "usage_usec 0\n"),
    ]);
    fake.process(100, "web", 900, 5, "0::/web\n");
    fake.process(200, "free", 900, 5, "0::/free\n");
    thread(&fake, 100, 100, 10, 1, "1-2");
    thread(&fake, 100, 101, 10, 2, "1-2");
    thread(&fake, 200, 200, 10, 0, "0-2");
    fake.collect();
    fake.write(&[("cgroup/web/cpu.stat", "usage_usec 800000\n")]);
    thread(&fake, 100, 100, 70, 1, "1-2");
    thread(&fake, 100, 101, 30, 2, "1-2");
    fake.pass(1.0, 1.0);
    fake.collect();
    fake.check("appcore:1:group:/web", &[("usage", Some(0.6))]);
    fake.check("appcore:2:group:/web", &[("usage", Some(0.2))]);
    assert_eq!(fake.get("appcore:0:group:/web", Field::AppCoreUsage), None);
    let free = |entity: &String| entity.starts_with("appcore") && entity.ends_with("/free");
    assert!(!fake.entities().iter().any(free), "{:?}", fake.entities());
    // It is let free: its rows go with the next look at its affinity.
    thread(&fake, 100, 100, 80, 0, "0-2");
    thread(&fake, 100, 101, 40, 2, "0-2");
    for _ in 0..8 {
        fake.pass(1.0, 1.0);
        fake.collect();
    }
    assert!(!fake.entities().iter().any(|entity| entity.starts_with("appcore")));
}

/// On this host: a spinner that may use one CPU raises that one and no other.
#[test]
fn a_pinned_spinner_is_seen_on_its_cpu() {
    let name = "places::a_pinned_spinner_is_seen_on_its_cpu";
    let mut collector = Collector::new(CollectorConfig::default()).expect("this host can be read");
    let mut sample = Sample::default();
    collector.collect(&mut sample);
    let cores: Vec<u16> = sample
        .rows
        .iter()
        .filter_map(|row| match row.entity {
            Entity::Core(core) => Some(core),
            _ => None,
        })
        .collect();
    let [.., other, core] = cores[..] else {
        return skip(name, "one CPU");
    };
    let mut bed = match Bed::new(&collector, "pinned") {
        Ok(bed) => bed,
        Err(reason) => return skip(name, &reason),
    };
    if bed.spin_on(core).is_none() {
        return skip(name, "no taskset");
    }
    let Some(app) = bed.entity().app().cloned() else {
        return skip(name, "no group");
    };
    let on = |sample: &Sample, core| sample.get(&Entity::AppCore(app.clone(), core), Field::AppCoreUsage);
    let seen = look_until(&mut collector, &mut sample, |sample| {
        let whole = sample.get(&Entity::App(app.clone()), Field::CpuUsage);
        let there = on(sample, core);
        whole.is_some_and(|cores| cores > 0.05) && there == whole
    });
    assert!(
        seen,
        "{:?}",
        sample
            .rows
            .iter()
            .map(|row| row.entity.to_string())
            .collect::<Vec<_>>()
    );
    assert_eq!(on(&sample, other), None, "it may not run there");
}

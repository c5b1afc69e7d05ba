//! Every field of an app, on every layout.

use crate::fake::Fake;
use tidegate_types::Field;

const PRESSURE: [&str; 2] = [
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n",
    "some avg10=9.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=700000\n",
];

const LIMITED: [(&str, Option<f64>); 7] = [
    ("cpu_usage", Some(0.5)),
    ("cpu_throttled", Some(0.25)),
    ("cpu_throttled_periods", Some(0.4)),
    ("cpu_limit", Some(0.6)),
    ("cpu_limit_period", Some(0.1)),
    ("cpu_burst", Some(0.02)),
    ("cpu_weight", Some(200.0)),
];

const WAITING: [(&str, Option<f64>); 6] = [
    ("cpu_waiting", Some(0.25)),
    ("cpu_stalled", Some(0.1)),
    ("memory_waiting", Some(0.25)),
    ("memory_stalled", Some(0.1)),
    ("io_waiting", Some(0.25)),
    ("io_stalled", Some(0.1)),
];

/// cgroup v2's own files for the group `web`.
const V2: [(&str, &str); 16] = [
    ("cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
    (
        "cgroup/web/cpu.stat",
        "usage_usec 1000000\nnr_periods 10\nnr_throttled 0\nthrottled_usec 0\n",
    ),
    ("cgroup/web/cpu.max", "60000 100000\n"),
    ("cgroup/web/cpu.max.burst", "20000\n"),
    ("cgroup/web/cpu.weight", "200\n"),
    ("cgroup/web/cpu.idle", "0\n"),
    ("cgroup/web/cpu.pressure", PRESSURE[0]),
    ("cgroup/web/memory.pressure", PRESSURE[0]),
    ("cgroup/web/io.pressure", PRESSURE[0]),
    ("cgroup/web/memory.current", "8192\n"),
    ("cgroup/web/memory.swap.current", "4096\n"),
    ("cgroup/web/memory.max", "max\n"),
    ("cgroup/web/memory.high", "1048576\n"),
    (
        "cgroup/web/memory.stat",
        "anon 4096\nfile 2048\nworkingset_refault_anon 1\nworkingset_refault_file 3\npgsteal 10\n",
    ),
    ("cgroup/web/memory.events", "low 0\noom 0\noom_kill 1\n"),
    (
        "cgroup/web/io.stat",
        "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n253:0 rbytes=100 wbytes=200 rios=1 wios=2\n",
    ),
];

#[test]
fn an_app_on_cgroup_v2() {
    let mut fake = Fake::new(&V2);
    fake.two_looks(
        2.0,
        &[
            ("cgroup/web/cpu.stat", "usage_usec 2000000\nnr_periods 20\nnr_throttled 4\nthrottled_usec 500000\n"),
            ("cgroup/web/cpu.pressure", PRESSURE[1]),
            ("cgroup/web/memory.pressure", PRESSURE[1]),
            ("cgroup/web/io.pressure", PRESSURE[1]),
            ("cgroup/web/memory.stat", "anon 4096\nfile 2048\nworkingset_refault_anon 3\nworkingset_refault_file 5\npgsteal 30\n"),
            ("cgroup/web/memory.events", "low 0\noom 0\noom_kill 2\n"),
            ("cgroup/web/io.stat", "8:0 rbytes=300 wbytes=600 rios=3 wios=6 dbytes=0 dios=0\n253:0 rbytes=300 wbytes=600 rios=3 wios=6\n"),
        ],
    );
    fake.check("app:group:/web", &LIMITED);
    fake.check("app:group:/web", &WAITING);
    fake.check(
        "app:group:/web",
        &[
            ("memory", Some(8192.0)),
            ("memory_anonymous", Some(4096.0)),
            ("memory_file", Some(2048.0)),
            ("swap", Some(4096.0)),
            ("memory_refaults", Some(2.0)),
            ("memory_reclaimed", Some(10.0)),
            ("memory_oom_kills", Some(0.5)),
            ("memory_limit", Some(f64::INFINITY)),
            ("memory_high", Some(1_048_576.0)),
            ("disk_read", Some(100.0)),
            ("disk_write", Some(200.0)),
            ("run_delay", None),
            ("net_rx", None),
        ],
    );
    fake.check(
        "appdisk:sda:group:/web",
        &[
            ("read", Some(100.0)),
            ("write", Some(200.0)),
            ("read_ops", Some(1.0)),
            ("write_ops", Some(2.0)),
        ],
    );
    assert!(
        !fake.entities().iter().any(|entity| entity.contains("dm-0")),
        "the stacked device is no disk"
    );
}

/// v1's own files for the group `web`, before and after two seconds.
const V1: [(&str, &str); 12] = [
    ("cgroup/cpu/cgroup.procs", ""),
    ("cgroup/cpuacct/cgroup.procs", ""),
    ("cgroup/memory/cgroup.procs", ""),
    ("cgroup/blkio/cgroup.procs", ""),
    (
        "cgroup/cpu/web/cpu.stat",
        "nr_periods 10\nnr_throttled 0\nthrottled_time 0\n",
    ),
    ("cgroup/cpu/web/cpu.cfs_quota_us", "60000\n"),
    ("cgroup/cpu/web/cpu.cfs_period_us", "100000\n"),
    ("cgroup/cpu/web/cpu.cfs_burst_us", "20000\n"),
    ("cgroup/cpu/web/cpu.shares", "2048\n"),
    ("cgroup/cpuacct/web/cpuacct.usage", "1000000000\n"),
    ("cgroup/memory/web/memory.usage_in_bytes", "8192\n"),
    (
        "cgroup/memory/web/memory.stat",
        "cache 1\nrss 1\ntotal_cache 2048\ntotal_rss 4096\ntotal_swap 512\ntotal_workingset_refault_file 4\n",
    ),
];

const V1_LATER: [(&str, &str); 3] = [
    (
        "cgroup/cpu/web/cpu.stat",
        "nr_periods 20\nnr_throttled 4\nthrottled_time 500000000\n",
    ),
    ("cgroup/cpuacct/web/cpuacct.usage", "2000000000\n"),
    (
        "cgroup/memory/web/memory.stat",
        "cache 1\nrss 1\ntotal_cache 2048\ntotal_rss 4096\ntotal_swap 512\ntotal_workingset_refault_file 8\n",
    ),
];

const V1_MEMORY: [(&str, Option<f64>); 7] = [
    ("memory", Some(8192.0)),
    ("memory_anonymous", Some(4096.0)),
    ("memory_file", Some(2048.0)),
    ("swap", Some(512.0)),
    ("memory_refaults", Some(2.0)),
    ("memory_reclaimed", None),
    ("memory_high", None),
];

#[test]
fn an_app_on_cgroup_v1() {
    let mut fake = Fake::new(&V1);
    fake.write(&[
        ("cgroup/memory/web/memory.limit_in_bytes", "9223372036854771712\n"),
        (
            "cgroup/memory/web/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        ),
        (
            "cgroup/blkio/web/blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 100\n8:0 Write 200\nTotal 300\n",
        ),
        (
            "cgroup/blkio/web/blkio.throttle.io_serviced_recursive",
            "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
        ),
    ]);
    fake.two_looks(
        2.0,
        &[
            (
                "cgroup/memory/web/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            ),
            (
                "cgroup/blkio/web/blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 300\n8:0 Write 600\nTotal 900\n",
            ),
            (
                "cgroup/blkio/web/blkio.throttle.io_serviced_recursive",
                "8:0 Read 3\n8:0 Write 6\nTotal 9\n",
            ),
            V1_LATER[0],
            V1_LATER[1],
            V1_LATER[2],
        ],
    );
    fake.check("app:group:/web", &LIMITED);
    fake.check("app:group:/web", &V1_MEMORY);
    fake.check("app:group:/web", &WAITING.map(|(name, _)| (name, None)));
    fake.check(
        "app:group:/web",
        &[
            ("memory_limit", Some(f64::INFINITY)),
            ("memory_oom_kills", Some(0.5)),
            ("disk_read", Some(100.0)),
            ("disk_write", Some(200.0)),
        ],
    );
    fake.check(
        "appdisk:sda:group:/web",
        &[("read", Some(100.0)), ("write_ops", Some(2.0))],
    );
}

#[test]
fn an_app_on_the_hybrid_layout() {
    let mut fake = Fake::new(&V1);
    // v1's I/O statistics stay empty, so its process answers for I/O.
    fake.process(42, "nginx", 900, 7, "2:cpu:/web\n1:cpuacct:/web\n0::/web\n");
    fake.write(&[
        ("cgroup/unified/cgroup.controllers", "\n"),
        ("cgroup/unified/web/cpu.stat", "usage_usec 77\n"),
        ("cgroup/unified/web/cpu.pressure", PRESSURE[0]),
        ("cgroup/unified/web/memory.pressure", PRESSURE[0]),
        ("cgroup/unified/web/io.pressure", PRESSURE[0]),
        (
            "cgroup/blkio/web/blkio.throttle.io_service_bytes_recursive",
            "Total 0\n",
        ),
        (
            "cgroup/blkio/web/blkio.throttle.io_serviced_recursive",
            "Total 0\n",
        ),
        ("proc/42/io", "rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\n"),
    ]);
    fake.two_looks(
        2.0,
        &[
            ("cgroup/unified/web/cpu.pressure", PRESSURE[1]),
            ("cgroup/unified/web/memory.pressure", PRESSURE[1]),
            ("cgroup/unified/web/io.pressure", PRESSURE[1]),
            ("proc/42/io", "rchar: 1\nread_bytes: 8192\nwrite_bytes: 16384\n"),
            V1_LATER[0],
            V1_LATER[1],
            V1_LATER[2],
        ],
    );
    fake.check("app:group:/web", &LIMITED);
    fake.check("app:group:/web", &WAITING);
    fake.check("app:group:/web", &V1_MEMORY);
    fake.check(
        "app:group:/web",
        &[
            ("disk_read", Some(2048.0)),
            ("disk_write", Some(4096.0)),
            ("processes", Some(1.0)),
        ],
    );
}

#[test]
fn a_parent_counts_what_its_children_leave() {
    let group = |path: &str, usage: u64, memory: u64, read: u64| {
        [
            (format!("cgroup/{path}/cpu.stat"), format!("usage_usec {usage}\n")),
            (format!("cgroup/{path}/memory.current"), format!("{memory}\n")),
            (format!("cgroup/{path}/cpu.pressure"), PRESSURE[0].to_owned()),
            (
                format!("cgroup/{path}/io.stat"),
                format!("8:0 rbytes={read} wbytes=0 rios=0 wios=0\n"),
            ),
        ]
    };
    let write = |fake: &Fake, groups: [[(String, String); 4]; 3]| {
        for (path, content) in groups.iter().flatten() {
            fake.write(&[(path, content)]);
        }
    };
    let mut fake = Fake::new(&[("cgroup/cgroup.controllers", "cpu io memory\n")]);
    write(
        &fake,
        [
            group("a", 0, 100, 0),
            group("a/b", 0, 60, 0),
            group("a/b/c", 0, 10, 0),
        ],
    );
    fake.collect();
    write(
        &fake,
        [
            group("a", 900_000, 100, 90),
            group("a/b", 600_000, 60, 60),
            group("a/b/c", 100_000, 10, 10),
        ],
    );
    fake.pass(1.0, 1.0);
    fake.collect();
    fake.check(
        "app:group:/a",
        &[
            ("cpu_usage", Some(0.3)),
            ("memory", Some(40.0)),
            ("disk_read", Some(30.0)),
            ("cpu_waiting", None),
        ],
    );
    fake.check(
        "app:group:/a/b",
        &[
            ("cpu_usage", Some(0.5)),
            ("memory", Some(50.0)),
            ("cpu_waiting", None),
        ],
    );
    fake.check(
        "app:group:/a/b/c",
        &[
            ("cpu_usage", Some(0.1)),
            ("memory", Some(10.0)),
            ("cpu_waiting", Some(0.0)),
        ],
    );
    fake.check("appdisk:sda:group:/a", &[("read", Some(30.0))]);
    fake.check("appdisk:sda:group:/a/b", &[("read", Some(50.0))]);
}

#[test]
fn processes_without_a_group_are_summed() {
    let mut fake = Fake::new(&[]);
    for (pid, ticks) in [(42, 100), (43, 200)] {
        fake.process(pid, "redis-server", 900, ticks, "0::/\n");
        fake.write(&[(&format!("proc/{pid}/schedstat"), "5 1000000000 3\n")]);
    }
    fake.collect();
    for (pid, ticks) in [(42, 120), (43, 230)] {
        fake.process(pid, "redis-server", 900, ticks, "0::/\n");
        fake.write(&[(&format!("proc/{pid}/schedstat"), "5 1100000000 3\n")]);
    }
    fake.pass(1.0, 1.0);
    fake.collect();
    let page = rustix::param::page_size() as f64;
    fake.check(
        "app:exe:redis-server@root",
        &[
            ("cpu_usage", Some(0.5)),
            ("memory", Some(50.0 * page)),
            ("memory_anonymous", Some(40.0 * page)),
            ("memory_file", Some(10.0 * page)),
            ("run_delay", Some(0.2)),
            ("processes", Some(2.0)),
            ("cpu_limit", None),
            ("disk_read", None),
        ],
    );
}

#[test]
fn the_host_and_its_cpus() {
    let mut fake = Fake::new(&[
        (
            "proc/schedstat",
            "version 15\ncpu0 0 0 0 0 0 0 0 0 9\ndomain0 3\ncpu1 0 0 0 0 0 0 0 0 9\n",
        ),
        ("proc/pressure/cpu", PRESSURE[0]),
        (
            "sys/devices/system/node/node0/meminfo",
            "Node 0 MemTotal:  4096 kB\nNode 0 MemFree:  1024 kB\n",
        ),
    ]);
    fake.two_looks(
        2.0,
        &[
            ("proc/stat", "cpu  200 0 0 1250 0 0 0 50 0 0\ncpu0 150 0 0 550 0 0 0 50 0 0\ncpu1 50 0 0 700 0 0 0 0 0 0\nintr 1\n"),
            ("proc/schedstat", "version 15\ncpu0 0 0 0 0 0 0 0 3000000000 9\ndomain0 3\ncpu1 0 0 0 0 0 0 0 0 9\n"),
            ("proc/pressure/cpu", PRESSURE[1]),
        ],
    );
    fake.check(
        "host",
        &[
            ("cpu_busy", Some(0.5)),
            ("cpu_steal", Some(0.25)),
            ("cpu_capacity", Some(1.75)),
            ("cpu_waiting", Some(0.25)),
            ("memory_waiting", None),
            ("memory_total", Some(4_194_304.0)),
            ("swap_used", Some(40_960.0)),
            ("runnable", Some(3.0)),
        ],
    );
    fake.check(
        "core:0",
        &[("busy", Some(0.5)), ("steal", Some(0.25)), ("waiting", Some(1.5))],
    );
    fake.check(
        "core:1",
        &[("busy", Some(0.0)), ("steal", Some(0.0)), ("waiting", Some(0.0))],
    );
    let node = [
        ("memory_total", Some(4_194_304.0)),
        ("memory_free", Some(1_048_576.0)),
    ];
    fake.check("node:0", &node);
    fake.check("app:short-lived", &[("cpu_usage", Some(0.5))]);
}

/// `/proc/diskstats` of a disk with `reads` reads of 4 KiB that took `ms` together.
fn diskstats(reads: u64, ms: u64) -> String {
    let sectors = reads * 8;
    format!(
        "   8       0 sda {reads} 0 {sectors} {ms} 0 0 0 0 0 {ms} {ms} 0 0\n   8       1 sda1 9 0 9 9 9 9 9 9 9 9 9 0 0\n"
    )
}

const NICS: [&str; 2] = [
    "h\nh\n  eth0: 100 1 0 1 0 0 0 0 200 2 0 2 0 0 0 0\nveth1: 100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n",
    "h\nh\n  eth0: 300 1 0 3 0 0 0 0 600 2 0 2 0 0 0 0\nveth1: 900 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n",
];

#[test]
fn disks_and_interfaces() {
    let mut fake = Fake::new(&[
        ("proc/net/dev", NICS[0]),
        ("proc/diskstats", &diskstats(0, 0)),
        ("sys/class/net/eth0/device/", ""),
        ("sys/class/net/eth0/speed", "1000\n"),
        ("sys/class/net/veth1/speed", "10000\n"),
    ]);
    fake.two_looks(
        2.0,
        &[
            ("proc/net/dev", NICS[1]),
            ("proc/diskstats", &diskstats(100, 500)),
        ],
    );
    fake.check(
        "disk:sda",
        &[
            ("read", Some(204_800.0)),
            ("read_ops", Some(50.0)),
            ("read_latency", Some(0.005)),
            ("write_latency", None),
            ("latency_over_baseline", None),
            ("busy", Some(0.25)),
            ("queue", Some(0.25)),
        ],
    );
    fake.check(
        "nic:eth0",
        &[
            ("receive", Some(100.0)),
            ("transmit", Some(200.0)),
            ("receive_drops", Some(1.0)),
            ("speed", Some(125e6)),
        ],
    );
    let virtual_one = fake.get("nic:veth1", Field::NicReceive);
    assert_eq!(
        virtual_one, None,
        "what is virtual is counted at the physical one"
    );
}

#[test]
fn disks_and_interfaces_that_come_later_are_found() {
    let mut fake = Fake::new(&[("proc/diskstats", &diskstats(0, 0)), ("proc/net/dev", NICS[0])]);
    fake.collect();
    fake.write(&[
        ("sys/block/sdb/dev", "8:16\n"),
        ("sys/block/sdb/size", "1000\n"),
        ("sys/class/net/eth0/device/", ""),
    ]);
    for _ in 0..9 {
        fake.pass(9.0, 9.0);
        fake.collect();
    }
    let entities = fake.entities();
    for entity in ["disk:sda", "disk:sdb", "nic:eth0"] {
        assert!(entities.contains(&entity.to_owned()), "{entity} in {entities:?}");
    }
    fake.write(&[("proc/diskstats", &diskstats(90, 500))]);
    fake.pass(9.0, 9.0);
    fake.collect();
    fake.check("disk:sda", &[("read_ops", Some(10.0))]);
}

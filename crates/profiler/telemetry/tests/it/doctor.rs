//! The report names what is absent, on every layout.

use crate::fake::Fake;

fn check(files: &[(&str, &str)], used: &[&str], absent: &[&str]) {
    let mut fake = Fake::new(files);
    let report = fake.collector().doctor();
    let is_used = |name: &str| {
        let signal = report.signals.iter().find(|signal| signal.name == name);
        signal.unwrap_or_else(|| panic!("no signal {name}")).used
    };
    let expected = used
        .iter()
        .map(|name| (name, true))
        .chain(absent.iter().map(|name| (name, false)));
    let wrong: Vec<_> = expected.filter(|(name, used)| is_used(name) != *used).collect();
    assert!(wrong.is_empty(), "{wrong:?} in {report:#?}");
    assert!(
        report.absent().all(|signal| !signal.consequence.is_empty()),
        "{report:#?}"
    );
    assert!(
        report
            .signals
            .iter()
            .filter(|signal| signal.used)
            .all(|signal| signal.remedy.is_empty())
    );
    let text = serde_json::to_string(&report).expect("serialises");
    assert_eq!(
        serde_json::from_str::<tidegate_telemetry::DoctorReport>(&text).expect("reads back"),
        report
    );
}

#[test]
fn what_each_layout_offers() {
    check(
        &[
            ("cgroup/cgroup.controllers", "cpu io memory\n"),
            (
                "proc/pressure/cpu",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
            ),
        ],
        &[
            "groups",
            "cpu limits and throttling",
            "memory per group",
            "waiting per group (PSI)",
            "I/O per group and device",
        ],
        &[
            "process events",
            "network per app",
            "hardware counters (PMU)",
            "scheduler statistics",
            "NUMA",
        ],
    );
    check(
        &[("cgroup/cpu/cgroup.procs", ""), ("cgroup/blkio/cgroup.procs", "")],
        &["groups", "cpu limits and throttling", "group folders watched"],
        &[
            "memory per group",
            "waiting per group (PSI)",
            "I/O per group and device",
            "waiting of the host (PSI)",
        ],
    );
    check(&[], &[], &["groups", "cpu limits and throttling"]);
}

#[test]
fn other_managers_are_found_by_their_processes() {
    let mut fake = Fake::new(&[("proc/1/comm", "systemd\n")]);
    fake.process(50, "dockerd", 900, 0, "0::/\n");
    fake.process(51, "kubelet", 900, 0, "0::/\n");
    fake.process(52, "python3", 900, 0, "0::/system.slice/tuned.service\n");
    let managers: Vec<String> = fake
        .collector()
        .doctor()
        .managers
        .into_iter()
        .map(|manager| manager.name)
        .collect();
    assert_eq!(managers, ["kubelet", "dockerd", "tuned", "systemd"]);
}

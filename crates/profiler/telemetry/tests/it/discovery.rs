//! Apps that come, go and move, on a fake host.

use crate::fake::Fake;
use tidegate_telemetry::{AppMatch, AppRule};
use tidegate_types::{AppName, Field};

#[test]
fn groups_come_and_go_as_events() {
    let mut fake = Fake::new(&[
        ("cgroup/cgroup.controllers", "cpu\n"),
        ("cgroup/a/cpu.stat", "usage_usec 0\n"),
    ]);
    fake.collect();
    assert_eq!(fake.events(), ["+group:/a", "+short-lived"]);
    fake.write(&[("cgroup/b/cpu.stat", "usage_usec 0\n")]);
    fake.remove("cgroup/a");
    fake.pass(1.0, 1.0);
    fake.collect();
    assert_eq!(fake.events(), ["-group:/a", "+group:/b"]);
    fake.pass(1.0, 1.0);
    fake.collect();
    assert!(fake.events().is_empty(), "nothing new is no event");
    fake.check("app:group:/b", &[("cpu_usage", Some(0.0))]);
}

#[test]
fn limits_are_read_when_they_are_written() {
    let mut fake = Fake::new(&[
        ("cgroup/cgroup.controllers", "cpu\n"),
        ("cgroup/a/cpu.stat", "usage_usec 0\n"),
        ("cgroup/a/cpu.max", "max 100000\n"),
    ]);
    fake.collect();
    assert_eq!(fake.get("app:group:/a", Field::CpuLimit), Some(f64::INFINITY));
    fake.write(&[("cgroup/a/cpu.max", "50000 100000\n")]);
    fake.pass(1.0, 1.0);
    fake.collect();
    assert_eq!(fake.get("app:group:/a", Field::CpuLimit), Some(0.5));
}

#[test]
fn processes_are_found_by_sweeps_once_they_have_lived_a_little() {
    let mut fake = Fake::new(&[]);
    fake.process(42, "redis-server", 900, 0, "0::/\n");
    fake.collect();
    assert_eq!(fake.events(), ["+exe:redis-server@root", "+short-lived"]);
    fake.process(43, "backup", 1004, 0, "0::/\n");
    fake.pass(5.0, 5.0);
    fake.collect();
    assert!(fake.events().is_empty(), "a second old: not yet an app");
    assert_eq!(fake.get("app:short-lived", Field::Processes), Some(1.0));
    fake.pass(2.0, 2.0);
    fake.collect();
    assert_eq!(fake.events(), ["+exe:backup@root"]);
    fake.remove("proc/42");
    fake.pass(5.0, 5.0);
    fake.collect();
    assert_eq!(fake.events(), ["-exe:redis-server@root"]);
}

#[test]
fn a_process_that_moves_is_counted_where_it_is() {
    let mut fake = Fake::new(&[
        ("cgroup/cgroup.controllers", "cpu\n"),
        ("cgroup/a/cpu.stat", "usage_usec 0\n"),
        ("cgroup/a/cgroup.procs", ""),
    ]);
    fake.process(42, "worker", 900, 0, "0::/\n");
    fake.collect();
    assert_eq!(fake.events(), ["+exe:worker@root", "+group:/a", "+short-lived"]);
    fake.process(42, "worker", 900, 0, "0::/a\n");
    fake.write(&[("cgroup/a/cgroup.procs", "42\n")]);
    fake.pass(1.0, 1.0);
    fake.collect();
    assert_eq!(
        fake.events(),
        ["-exe:worker@root", "+group:/a"],
        "its executable is known now"
    );
    assert_eq!(fake.get("app:group:/a", Field::Processes), Some(1.0));
}

#[test]
fn a_number_that_is_used_again_is_another_process() {
    let mut fake = Fake::new(&[]);
    fake.process(42, "one", 900, 500, "0::/\n");
    fake.collect();
    fake.events();
    fake.process(42, "two", 950, 9_000_000, "0::/\n");
    fake.pass(1.0, 1.0);
    fake.collect();
    assert_eq!(fake.get("app:exe:one@root", Field::CpuUsage), None);
    fake.pass(5.0, 5.0);
    fake.collect();
    assert_eq!(fake.events(), ["-exe:one@root", "+exe:two@root"]);
}

#[test]
fn an_exited_child_does_not_make_its_parent_look_busy() {
    let io = |bytes: u64| format!("rchar: 1\nread_bytes: {bytes}\nwrite_bytes: {bytes}\n");
    let stat = |faults: u32| {
        format!(
            "42 (make) S 1 1 1 0 -1 4194304 9 {faults} 0 0 7 0 0 0 20 0 1 0 90000 1000 25 18446744073709551615\n"
        )
    };
    let mut fake = Fake::new(&[]);
    fake.process(42, "make", 900, 7, "0::/\n");
    fake.write(&[("proc/42/io", &io(0)), ("proc/42/stat", &stat(0))]);
    fake.collect();
    let mut look = |faults: u32, bytes: u64, expect: Option<f64>| {
        fake.write(&[("proc/42/io", &io(bytes)), ("proc/42/stat", &stat(faults))]);
        fake.pass(1.0, 1.0);
        fake.collect();
        assert_eq!(
            fake.get("app:exe:make@root", Field::AppRead),
            expect,
            "{faults} {bytes}"
        );
    };
    look(0, 100, Some(100.0));
    look(50, 1_000_000_100, None);
    look(50, 1_000_000_200, None);
    look(50, 1_000_000_300, Some(100.0));
}

#[test]
fn rules_rename_apps_at_once() {
    let mut fake = Fake::new(&[
        ("cgroup/cgroup.controllers", "cpu\n"),
        ("cgroup/bed/web/cpu.stat", "usage_usec 0\n"),
    ]);
    fake.collect();
    fake.events();
    let rule = AppRule {
        name: AppName::new("shop"),
        matches: AppMatch::Group("/bed/*".into()),
    };
    fake.collector().set_rules(vec![rule]).expect("a good rule");
    fake.pass(1.0, 1.0);
    fake.collect();
    assert_eq!(fake.events(), ["-group:/bed/web", "+shop"]);
}

#[test]
fn cpus_that_go_offline_leave_the_sample() {
    let mut fake = Fake::new(&[]);
    fake.collect();
    fake.write(&[(
        "proc/stat",
        "cpu  300 0 0 1500 0 0 0 0 0 0\ncpu0 50 0 0 500 0 0 0 0 0 0\nintr 1\n",
    )]);
    for _ in 0..2 {
        fake.pass(1.0, 1.0);
        fake.collect();
    }
    assert_eq!(fake.get("core:1", Field::CoreBusy), None);
    assert!(!fake.entities().contains(&"core:1".to_owned()));
    assert_eq!(fake.collector().doctor().cpus, 1);
}

#[test]
fn a_container_made_anew_is_the_same_app() {
    let id = |digit: &str| digit.repeat(64);
    let mut fake = Fake::new(&[("cgroup/cgroup.controllers", "cpu\n")]);
    let start = |fake: &Fake, id: &str| {
        let config = r#"{"State":{},"RestartPolicy":{"Name":"no"},"Name":"/web","Driver":"overlay2"}"#;
        fake.write(&[
            (&format!("docker/{id}/config.v2.json"), config),
            (&format!("cgroup/docker/{id}/cpu.stat"), "usage_usec 0\n"),
        ]);
    };
    start(&fake, &id("a"));
    fake.collect();
    assert_eq!(fake.events(), ["+docker:web", "+group:/docker", "+short-lived"]);
    fake.remove(&format!("cgroup/docker/{}", id("a")));
    start(&fake, &id("b"));
    fake.pass(1.0, 1.0);
    fake.collect();
    assert_eq!(fake.events(), ["+docker:web"], "the same app with another group");
    fake.write(&[(&format!("cgroup/docker/{}/cpu.stat", id("c")), "usage_usec 0\n")]);
    fake.pass(1.0, 1.0);
    fake.collect();
    assert_eq!(
        fake.events(),
        ["+docker:cccccccccccc"],
        "without a name it goes by its id"
    );
}

//! Whatever makes a difference of counters meaningless gives an absent value, never a negative or a huge one.

use crate::fake::Fake;
use tidegate_types::Field;

fn usage(microseconds: u64) -> (&'static str, String) {
    ("cgroup/web/cpu.stat", format!("usage_usec {microseconds}\n"))
}

fn fake(microseconds: u64) -> Fake {
    let (path, text) = usage(microseconds);
    Fake::new(&[("cgroup/cgroup.controllers", "cpu\n"), (path, &text)])
}

/// After a first look at 5 s of usage: what the look after `seconds` (of which `awake_s` awake) says of
/// `microseconds`.
fn check(microseconds: u64, seconds: f64, awake_s: f64, expect: Option<f64>) {
    let mut fake = fake(5_000_000);
    fake.collect();
    let (path, text) = usage(microseconds);
    fake.write(&[(path, &text)]);
    fake.pass(seconds, awake_s);
    fake.collect();
    let got = fake.get("app:group:/web", Field::CpuUsage);
    assert_eq!(got, expect, "{microseconds} after {seconds}");
    assert_eq!(fake.sample.interval_s, seconds);
}

#[test]
fn only_meaningful_differences_are_rates() {
    check(6_000_000, 1.0, 1.0, Some(1.0));
    check(6_000_000, 4.0, 4.0, Some(0.25));
    check(0, 1.0, 1.0, None);
    check(6_000_000, 1.0, 0.0, None);
    check(6_000_000, 100.0, 100.0, None);
    check(900_000_000, 1.0, 1.0, None);
    check(6_000_000, 0.0, 0.0, None);
}

#[test]
fn a_jump_of_the_wall_clock_changes_nothing() {
    let mut fake = fake(0);
    fake.collect();
    fake.jump_wall_clock(-86_400_000);
    let (path, text) = usage(500_000);
    fake.write(&[(path, &text)]);
    fake.pass(1.0, 1.0);
    fake.collect();
    assert_eq!(fake.get("app:group:/web", Field::CpuUsage), Some(0.5));
    assert_eq!(fake.sample.interval_s, 1.0);
}

#[test]
fn the_first_look_has_levels_and_no_rates() {
    let mut fake = fake(5_000_000);
    fake.collect();
    assert_eq!(fake.sample.interval_s, 0.0);
    assert_eq!(fake.get("app:group:/web", Field::CpuUsage), None);
    assert_eq!(fake.get("host", Field::HostCpuBusy), None);
    assert_eq!(fake.get("host", Field::HostMemoryTotal), Some(4_194_304.0));
}

#[test]
fn a_group_made_anew_starts_anew() {
    let mut fake = fake(5_000_000);
    fake.collect();
    fake.events();
    let (_, text) = usage(9_000_000);
    // Made beside the old one first, so that it cannot get the old one's inode.
    fake.write(&[("cgroup/other/cpu.stat", &text)]);
    fake.remove("cgroup/web");
    std::fs::rename(fake.path("cgroup/other"), fake.path("cgroup/web")).expect("renamed");
    fake.pass(1.0, 1.0);
    fake.collect();
    assert_eq!(fake.events(), ["+group:/web"], "the same app with another group");
    assert_eq!(fake.get("app:group:/web", Field::CpuUsage), None);
}

#[test]
fn a_late_tick_is_skipped_and_the_grid_stays() {
    let mut fake = fake(0);
    let first = fake.collector().next_due();
    fake.collect();
    fake.pass(3.4, 3.4);
    fake.collect();
    assert_eq!(fake.get("host", Field::SelfTickLate), Some(2.4));
    let next = fake.collector().next_due();
    assert_eq!(next.seconds_since(first), 3.0);
}

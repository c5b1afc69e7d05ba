//! In the steady state a look allocates nothing.

use crate::counting::allocations;
use crate::fake::Fake;

#[test]
fn nothing_is_allocated_while_nothing_comes_or_goes() {
    let mut fake = Fake::new(&[("cgroup/cgroup.controllers", "cpu io memory\n")]);
    for group in 0..50 {
        let at = |name: &str| format!("cgroup/bed/g{group}/{name}");
        fake.write(&[
            (
                &at("cpu.stat"),
                "usage_usec 5\nnr_periods 1\nnr_throttled 1\nthrottled_usec 5\n",
            ),
            (&at("cpu.max"), "max 100000\n"),
            (
                &at("cpu.pressure"),
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
            ),
            (&at("memory.current"), "5\n"),
            (&at("memory.stat"), "anon 1\nfile 2\n"),
            (&at("io.stat"), "8:0 rbytes=1 wbytes=1 rios=1 wios=1\n"),
        ]);
    }
    for pid in 100..120 {
        fake.process(pid, "redis-server", 900, 5, "0::/\n");
        fake.write(&[(&format!("proc/{pid}/io"), "read_bytes: 1\nwrite_bytes: 1\n")]);
    }
    // No sweep falls into the steady part: it is slow work, and may allocate.
    let mut sample = std::mem::take(&mut fake.sample);
    for _ in 0..3 {
        fake.pass(1.0, 1.0);
        fake.collector().collect(&mut sample);
    }
    fake.pass(1.0, 1.0);
    let collector = fake.collector();
    let before = allocations();
    collector.collect(&mut sample);
    assert_eq!(allocations() - before, 0);
    assert!(sample.rows.len() > 100);
}

//! However the daemon ends, the found values are back within seconds and without a command.

use crate::bed::{Bed, Kind, skip};
use crate::role::{Random, start_daemon};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};
use tidegate_act::{RestoreFilter, restore};

/// The promise.
const WITHIN: Duration = Duration::from_secs(5);

struct Daemon {
    child: Child,
    guardian: Option<u32>,
    _output: BufReader<ChildStdout>,
}

#[expect(
    clippy::zombie_processes,
    reason = "every caller waits for the child that it gets"
)]
fn daemon(bed: &Bed, seed: u64, guarded: bool) -> Daemon {
    let mut child = start_daemon(bed.kind, &bed.root, bed.run_folder(), seed, guarded);
    let mut output = BufReader::new(child.stdout.take().expect("output"));
    let mut guardian = None;
    loop {
        let mut line = String::new();
        assert!(
            output.read_line(&mut line).expect("a line") > 0,
            "the daemon ended before it acted"
        );
        if let Some((_, pid)) = line.split_once("guardian ") {
            guardian = Some(pid.trim().parse().expect("pid"));
        }
        if line.ends_with("acting\n") {
            return Daemon {
                child,
                guardian,
                _output: output,
            };
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("pid")).expect("pid");
    kill_process(pid, signal).expect("signal");
}

/// Waits until the values are `found` and the guardian is gone; the time it took.
fn wait_until_back(bed: &Bed, found: &BTreeMap<String, String>, what: &str) -> Duration {
    let begin = Instant::now();
    loop {
        let now = bed.values();
        if now == *found {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < WITHIN, "{what}: {now:?} is not {found:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn wait_until_gone(pid: u32) {
    let begin = Instant::now();
    let runs = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    while runs() && begin.elapsed() < WITHIN {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill_at_seeded_moments(kind: Kind, name: &str, moments: u64) {
    let Some(bed) = Bed::new(kind) else {
        return skip(name, "no own groups under a v1 cpu controller");
    };
    let found = bed.values();
    let mut random = Random(2026);
    let mut changed = 0;
    let mut slowest = Duration::ZERO;
    for seed in 0..moments {
        let mut daemon = daemon(&bed, seed, true);
        std::thread::sleep(Duration::from_micros(random.below(40_000)));
        daemon.child.kill().expect("kill");
        changed += u64::from(bed.values() != found);
        slowest = slowest.max(wait_until_back(&bed, &found, &format!("kill {seed}")));
        daemon.child.wait().expect("wait");
        wait_until_gone(daemon.guardian.expect("guardian"));
        assert_eq!(bed.values(), found, "kill {seed}: the values stay back");
    }
    eprintln!("{kind:?}: {changed} of {moments} kills met changed values; slowest back in {slowest:?}");
}

#[test]
fn killed_at_seeded_moments_on_a_fake_tree() {
    kill_at_seeded_moments(Kind::FakeV2, "killed_at_seeded_moments_on_a_fake_tree", 100);
}

#[test]
fn killed_at_seeded_moments_on_this_host() {
    kill_at_seeded_moments(Kind::LiveV1, "killed_at_seeded_moments_on_this_host", 100);
}

#[test]
fn stopped() {
    for kind in [Kind::FakeV2, Kind::LiveV1] {
        let Some(bed) = Bed::new(kind) else {
            skip("stopped", "no own groups under a v1 cpu controller");
            continue;
        };
        let found = bed.values();
        let mut daemon = daemon(&bed, 7, true);
        // Stopped at a moment when something is ours.
        loop {
            signal(daemon.child.id(), Signal::STOP);
            std::thread::sleep(Duration::from_millis(5));
            if bed.values() != found {
                break;
            }
            signal(daemon.child.id(), Signal::CONT);
        }
        let took = wait_until_back(&bed, &found, "stop");
        eprintln!("{kind:?}: stopped, back in {took:?}");
        daemon.child.wait().expect("the guardian ended it");
        assert_eq!(bed.values(), found);
    }
}

#[test]
fn daemon_and_guardian_killed_together() {
    for kind in [Kind::FakeV1, Kind::LiveV1] {
        let Some(bed) = Bed::new(kind) else {
            skip(
                "daemon_and_guardian_killed_together",
                "no own groups under a v1 cpu controller",
            );
            continue;
        };
        let found = bed.values();
        for seed in 0..10 {
            let mut daemon = daemon(&bed, seed, true);
            std::thread::sleep(Duration::from_millis(5 + seed));
            // Stopped first: else it would start another guardian before it dies.
            signal(daemon.child.id(), Signal::STOP);
            signal(daemon.guardian.expect("guardian"), Signal::KILL);
            wait_until_gone(daemon.guardian.expect("guardian"));
            daemon.child.kill().expect("kill");
            daemon.child.wait().expect("wait");
            restore(&bed.config(), &RestoreFilter::default()).expect("restore");
            assert_eq!(bed.values(), found, "after restore");
        }
    }
}

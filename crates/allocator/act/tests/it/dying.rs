//! However the daemon ends, the found values are back within seconds and without a command.

use crate::bed::{Bed, Kind, NO_OWN_GROUPS, skip};
use crate::role::{Manner, Random, start_daemon};
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
    guardian: u32,
    output: BufReader<ChildStdout>,
}

#[expect(
    clippy::zombie_processes,
    reason = "every caller waits for the child that it gets"
)]
fn daemon(bed: &Bed, manner: Manner, seed: u64) -> Daemon {
    let mut child = start_daemon(bed, manner, seed);
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
            let guardian = guardian.expect("a guardian comes first");
            return Daemon {
                child,
                guardian,
                output,
            };
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("pid")).expect("pid");
    kill_process(pid, signal).expect("signal");
}

/// Waits until the values are `found`; the time it took.
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

/// Waits until a process that is not our child has ended; nobody may have taken note of it yet.
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

/// Children of every thread of a process.
fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    let lists =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let pids: Vec<String> = lists.collect();
    pids.iter()
        .flat_map(|list| list.split_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn on(kinds: [Kind; 2], name: &str, test: impl Fn(&Bed)) {
    for kind in kinds {
        match Bed::new(kind) {
            Some(bed) => test(&bed),
            None => skip(name, NO_OWN_GROUPS),
        }
    }
}

fn kill_at_seeded_moments(bed: &Bed, moments: u64) {
    let found = bed.values();
    let mut random = Random(2026);
    let mut changed = 0;
    let mut slowest = Duration::ZERO;
    for seed in 0..moments {
        let mut daemon = daemon(bed, Manner::Busy, seed);
        std::thread::sleep(Duration::from_micros(random.below(40_000)));
        daemon.child.kill().expect("kill");
        changed += u64::from(bed.values() != found);
        slowest = slowest.max(wait_until_back(bed, &found, &format!("kill {seed}")));
        daemon.child.wait().expect("wait");
        wait_until_gone(daemon.guardian);
        assert_eq!(bed.values(), found, "kill {seed}: the values stay back");
    }
    eprintln!(
        "{:?}: {changed} of {moments} kills met changed values; slowest back in {slowest:?}",
        bed.kind
    );
}

#[test]
fn killed_at_seeded_moments_on_a_fake_tree() {
    kill_at_seeded_moments(&Bed::new(Kind::FakeV2).expect("bed"), 40);
}

#[test]
fn killed_at_seeded_moments_on_this_host() {
    match Bed::new(Kind::Live) {
        Some(bed) => kill_at_seeded_moments(&bed, 100),
        None => skip("killed_at_seeded_moments_on_this_host", NO_OWN_GROUPS),
    }
}

#[test]
fn stopped() {
    on([Kind::FakeV2, Kind::Live], "stopped", |bed| {
        let found = bed.values();
        let mut daemon = daemon(bed, Manner::Busy, 7);
        // Stopped at a moment when something is ours.
        loop {
            signal(daemon.child.id(), Signal::STOP);
            std::thread::sleep(Duration::from_millis(5));
            if bed.values() != found {
                break;
            }
            signal(daemon.child.id(), Signal::CONT);
        }
        let took = wait_until_back(bed, &found, "stop");
        eprintln!("{:?}: stopped, back in {took:?}", bed.kind);
        daemon.child.wait().expect("the guardian ended it");
        assert_eq!(bed.values(), found);
    });
}

#[test]
fn hung() {
    on([Kind::FakeV1, Kind::Live], "hung", |bed| {
        let found = bed.values();
        let mut daemon = daemon(bed, Manner::Hung, 0);
        assert_ne!(bed.values(), found);
        let took = wait_until_back(bed, &found, "hung");
        eprintln!("{:?}: hung, back in {took:?}", bed.kind);
        daemon.child.wait().expect("the guardian ended it");
    });
}

#[test]
fn a_guardian_that_is_killed_has_a_successor() {
    on(
        [Kind::FakeV2, Kind::Live],
        "a_guardian_that_is_killed_has_a_successor",
        |bed| {
            let found = bed.values();
            let mut daemon = daemon(bed, Manner::Calm, 0);
            assert_ne!(bed.values(), found);
            signal(daemon.guardian, Signal::KILL);
            let begin = Instant::now();
            loop {
                // A beat after a successor was there: the daemon waits for it to watch.
                let there = children(daemon.child.id())
                    .iter()
                    .any(|pid| *pid != daemon.guardian);
                let mut beat = String::new();
                daemon.output.read_line(&mut beat).expect("a beat");
                if there {
                    break;
                }
                assert!(begin.elapsed() < WITHIN, "no successor");
            }
            daemon.output.read_line(&mut String::new()).expect("another beat");
            daemon.child.kill().expect("kill");
            wait_until_back(bed, &found, "killed after its guardian was");
            daemon.child.wait().expect("wait");
        },
    );
}

#[test]
fn daemon_and_guardian_killed_together() {
    on(
        [Kind::FakeV1, Kind::Live],
        "daemon_and_guardian_killed_together",
        |bed| {
            let found = bed.values();
            for seed in 0..10 {
                let mut daemon = daemon(bed, Manner::Busy, seed);
                std::thread::sleep(Duration::from_millis(5 + seed));
                // Stopped first: else it would start another guardian before it dies.
                signal(daemon.child.id(), Signal::STOP);
                signal(daemon.guardian, Signal::KILL);
                wait_until_gone(daemon.guardian);
                daemon.child.kill().expect("kill");
                daemon.child.wait().expect("wait");
                restore(&bed.config(), &RestoreFilter::default()).expect("restore");
                assert_eq!(bed.values(), found, "after restore");
            }
        },
    );
}

#[test]
fn a_group_made_again_while_the_daemon_is_stopped_is_not_touched() {
    on(
        [Kind::FakeV2, Kind::Live],
        "a_group_made_again_while_the_daemon_is_stopped_is_not_touched",
        |bed| {
            let mut daemon = daemon(bed, Manner::Calm, 0);
            signal(daemon.child.id(), Signal::STOP);
            bed.make_again("/web", 44);
            let others = bed.values();
            daemon.child.wait().expect("the guardian ended it");
            wait_until_gone(daemon.guardian);
            assert_eq!(bed.values(), others);
        },
    );
}

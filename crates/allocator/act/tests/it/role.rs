//! Daemons and guardians of their own: this test program runs itself again as one of them.

use crate::bed::{Bed, GROUPS, apps_of, config_of, lease, limit, plan};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tidegate_act::guardian::{self, Guard, GuardianConfig};
use tidegate_act::{ActConfig, Actuator, boot_now};
use tidegate_types::{Hierarchy, KnobValue, Lease, Mode};

const ROLE: &str = "TIDEGATE_TEST_ROLE";

/// What a daemon does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Manner {
    /// A new plan every few milliseconds.
    Busy,
    /// One plan, and then nothing: not even a beat of its heart.
    Hung,
    /// One plan, and a beat of its heart now and then.
    Calm,
}

/// A daemon that acts as `seed` says, with a guardian of its own.
pub(crate) fn start_daemon(bed: &Bed, manner: Manner, seed: u64) -> Child {
    let role = format!(
        "daemon|{:?}|{}|{}|{manner:?}|{seed}",
        bed.dialect,
        bed.root.display(),
        bed.run_folder().display()
    );
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "role::play", "--nocapture"]);
    command.env(ROLE, role).stdout(Stdio::piped());
    command.spawn().expect("daemon")
}

/// Does nothing, unless this program was started as a daemon or a guardian.
#[test]
fn play() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let parts: Vec<&str> = role.split('|').collect();
    let dialect = if parts[1] == "V2" {
        Hierarchy::V2
    } else {
        Hierarchy::Cpu
    };
    let (root, run_folder) = (PathBuf::from(parts[2]), PathBuf::from(parts[3]));
    let act = config_of(dialect, &root, &run_folder);
    if parts[0] == "daemon" {
        let manner = [Manner::Busy, Manner::Hung, Manner::Calm];
        let manner = manner
            .into_iter()
            .find(|manner| format!("{manner:?}") == parts[4])
            .expect("manner");
        act_for_ever(dialect, &root, &act, manner, parts[5].parse().expect("seed"));
    }
    let daemon_pid = parts[4].parse().expect("pid");
    guardian::run(&GuardianConfig { act, daemon_pid }).expect("guardian");
    // Nobody reads what the test harness would say now.
    std::process::exit(0);
}

fn guard(dialect: Hierarchy, root: &Path, act: &ActConfig) -> Guard {
    let run_folder = act.journal.parent().and_then(Path::parent).expect("folder");
    let (root, run_folder) = (root.display(), run_folder.display());
    let role = format!("guardian|{dialect:?}|{root}|{run_folder}|{}", std::process::id());
    let program = std::env::current_exe().expect("this program");
    let script = "exec env \"$0=$1\" \"$2\" --exact role::play --nocapture";
    let arguments = ["-c", script, ROLE, &role, &program.display().to_string()];
    let mut guard = Guard::new("/bin/sh", arguments.map(String::from).into());
    guard.ensure(act).expect("guardian");
    println!("guardian {}", guard.pid().expect("pid"));
    guard
}

fn act_for_ever(dialect: Hierarchy, root: &Path, act: &ActConfig, manner: Manner, seed: u64) -> ! {
    let mut actuator = Actuator::open(act.clone()).expect("open");
    actuator.guarded_by(guard(dialect, root, act));
    let apps = apps_of(dialect, root, Mode::Enforce);
    let mut random = Random(seed);
    if manner != Manner::Busy {
        let wanted = plan(vec![lease(1, "web", limit(1.5), boot_now(), 600.0)]);
        actuator.apply(boot_now(), &wanted, &apps).expect("apply");
    }
    println!("acting");
    let mut round = 0;
    loop {
        match manner {
            Manner::Busy => {
                round += 1;
                let leases = leases(&mut random, round);
                actuator.apply(boot_now(), &plan(leases), &apps).expect("apply");
                if random.below(4) == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(random.below(3)));
                }
            }
            Manner::Hung => std::thread::sleep(std::time::Duration::from_hours(1)),
            Manner::Calm => {
                actuator.run_due(boot_now()).expect("run");
                println!("beat");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

/// Leases that start, move and end from one round to the next.
fn leases(random: &mut Random, round: u64) -> Vec<Lease> {
    let mut leases = Vec::new();
    for (position, group) in GROUPS.iter().enumerate() {
        let asked = match random.below(4) {
            0 => KnobValue::CpuWeight {
                weight: 1 + random.below(500) as u32,
                idle: random.below(2) == 0,
            },
            1 => continue,
            _ => limit(0.2 + 0.1 * random.below(15) as f64),
        };
        leases.push(lease(
            round * 3 + position as u64,
            &group[1..],
            asked,
            boot_now(),
            30.0,
        ));
    }
    leases
}

/// A small seeded generator (splitmix64, Steele et al. 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

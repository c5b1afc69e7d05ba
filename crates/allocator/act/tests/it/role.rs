//! Daemons and guardians of their own: this test program runs itself again as one of them.

use crate::bed::{GROUPS, Kind, apps_of, config_of, lease, limit, plan};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tidegate_act::guardian::{self, Guard, GuardianConfig};
use tidegate_act::{Actuator, boot_now};
use tidegate_types::{KnobValue, Lease, Mode};

const ROLE: &str = "TIDEGATE_TEST_ROLE";

/// A daemon that acts as `seed` says, with a guardian where `guarded`.
pub(crate) fn start_daemon(kind: Kind, root: &Path, run_folder: &Path, seed: u64, guarded: bool) -> Child {
    let role = format!(
        "daemon|{kind:?}|{}|{}|{seed}|{guarded}",
        root.display(),
        run_folder.display()
    );
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "role::play", "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::piped());
    command.spawn().expect("daemon")
}

/// Does nothing, unless this program was started as a daemon or a guardian.
#[test]
fn play() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let parts: Vec<&str> = role.split('|').collect();
    let kind = match parts[1] {
        "FakeV1" => Kind::FakeV1,
        "FakeV2" => Kind::FakeV2,
        _ => Kind::LiveV1,
    };
    let (root, run_folder) = (PathBuf::from(parts[2]), PathBuf::from(parts[3]));
    if parts[0] == "daemon" {
        let seed = parts[4].parse().expect("seed");
        act_for_ever(kind, &root, &run_folder, seed, parts[5] == "true");
    }
    let act = config_of(kind, &root, &run_folder);
    let daemon_pid = parts[4].parse().expect("pid");
    guardian::run(&GuardianConfig { act, daemon_pid }).expect("guardian");
    // Nobody reads what the test harness would say now.
    std::process::exit(0);
}

/// A new plan every few milliseconds, with leases that start, move and end.
fn act_for_ever(kind: Kind, root: &Path, run_folder: &Path, seed: u64, guarded: bool) -> ! {
    let mut actuator = Actuator::open(config_of(kind, root, run_folder)).expect("open");
    if guarded {
        let pid = std::process::id();
        let role = format!(
            "guardian|{kind:?}|{}|{}|{pid}",
            root.display(),
            run_folder.display()
        );
        let program = std::env::current_exe().expect("this program");
        let arguments = [
            "-c",
            "exec env \"$0=$1\" \"$2\" --exact role::play --nocapture",
            ROLE,
            &role,
        ];
        let mut arguments: Vec<String> = arguments.map(String::from).into();
        arguments.push(program.display().to_string());
        let mut guard = Guard::new("/bin/sh", arguments);
        guard
            .ensure(&config_of(kind, root, run_folder))
            .expect("guardian");
        println!("guardian {}", guard.pid().expect("pid"));
        actuator.guarded_by(guard);
    }
    let apps = apps_of(kind, root, Mode::Enforce);
    let mut random = Random(seed);
    println!("acting");
    let mut round = 0;
    loop {
        round += 1;
        let now = boot_now();
        let mut leases: Vec<Lease> = Vec::new();
        for (position, group) in GROUPS.iter().enumerate() {
            let asked = match random.below(4) {
                0 => KnobValue::CpuWeight {
                    weight: 1 + random.below(500) as u32,
                    idle: random.below(2) == 0,
                },
                1 => continue,
                _ => limit(0.2 + 0.1 * random.below(15) as f64),
            };
            leases.push(lease(round * 3 + position as u64, &group[1..], asked, now, 30.0));
        }
        actuator.apply(now, &plan(leases), &apps).expect("apply");
        if random.below(4) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(random.below(3)));
        }
    }
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

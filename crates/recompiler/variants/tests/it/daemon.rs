//! A daemon that dies or stands still: the runtime puts the base back by itself within two seconds.
//!
//! The daemon is this test binary once more, told by the environment to serve. The slot is read from outside, in
//! the program's memory, so that nothing but the runtime can have changed it.

use crate::support::{Bench, stop, triple_image, wait_until};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidegate_format::scenario::Scenario;
use tidegate_variants::processor::Processor;
use tidegate_variants::program::Program;
use tidegate_variants::switchboard::{Options, Server};

const ROLE: &str = "TIDEGATE_TEST_DAEMON_FOLDER";

/// What the design promises; the runtime's own limit is 1.5 s.
const PROMISE: Duration = Duration::from_secs(2);

/// Not a test but the daemon's body, when told so.
#[test]
fn daemon_body() {
    let Some(folder) = std::env::var_os(ROLE) else {
        return;
    };
    let folder = Path::new(&folder);
    let server = Server::start(Options {
        socket_path: folder.join("runtime.sock"),
        cache_folder: folder.join("cache"),
        cache_limit_bytes: 1 << 20,
        worker: None,
        processor: Processor::of_this_host().unwrap(),
    });
    let server = server.unwrap();
    let board = server.board();
    wait_until("a runtime connects", || !board.processes().is_empty());
    let process = board.processes()[0].peer.process;
    let image = triple_image(Scenario::Cpu, 3).to_bytes().unwrap();
    board.load_image(process, 0, Scenario::Cpu, &image).unwrap();
    board.switch(process, None, Scenario::Cpu).unwrap();
    fs::write(folder.join("switched"), "").unwrap();
    // Until killed; the parent never waits longer than this.
    std::thread::sleep(Duration::from_mins(1));
}

fn daemon(bench: &Bench) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "daemon::daemon_body"])
        .env(ROLE, bench.folder.path());
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// The value of the program's one slot, and the address of the base that it should hold.
fn slot_and_base(process: u32, bench: &Bench) -> (u64, u64) {
    let program = Program::read(&bench.program).unwrap();
    let base = program.functions[0].address;
    let slot = program.functions[0].slot_address;
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let first = maps.lines().find(|line| line.ends_with("/app")).unwrap();
    let bias = u64::from_str_radix(first.split('-').next().unwrap(), 16).unwrap();
    let memory = fs::File::open(format!("/proc/{process}/mem")).unwrap();
    let mut bytes = [0; 8];
    memory.read_exact_at(&mut bytes, bias + slot).unwrap();
    (u64::from_le_bytes(bytes), bias + base)
}

fn check(test: &str, signal: rustix::process::Signal) {
    let Some(bench) = Bench::new(test, &["-pie"]) else {
        return;
    };
    let mut daemon = daemon(&bench);
    let socket = bench.socket();
    wait_until("the daemon serves", || socket.exists());
    let child = bench.run(&["60"]);
    let switched = bench.folder.path().join("switched");
    wait_until("the variant is in use", || switched.exists());
    let (slot, base) = slot_and_base(child.id(), &bench);
    assert_ne!(slot, base);
    // With heartbeats it stays, longer than the runtime waits for one.
    std::thread::sleep(PROMISE + Duration::from_millis(500));
    assert_eq!(slot_and_base(child.id(), &bench).0, slot);

    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon), signal).unwrap();
    let begin = Instant::now();
    wait_until("the base is back", || slot_and_base(child.id(), &bench).0 == base);
    let took = begin.elapsed();
    eprintln!("{test}: base after {took:?}");
    assert!(took < PROMISE, "{took:?}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(stop(child).contains("bad=0"));
}

#[test]
fn a_killed_daemon_leaves_the_base() {
    check("killed_daemon", rustix::process::Signal::KILL);
}

#[test]
fn a_stopped_daemon_leaves_the_base() {
    check("stopped_daemon", rustix::process::Signal::STOP);
}

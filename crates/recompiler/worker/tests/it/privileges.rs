//! What a worker has given up by the time it reads its request.

use std::process::{Command, Stdio};

/// A line of a process's status, once the worker has taken its last step; `None` where it ends before.
fn settled_status(pid: u32) -> Option<String> {
    loop {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        if status.contains("Seccomp:\t2") {
            return Some(status);
        }
        if status.contains("State:\tZ") {
            return None;
        }
        std::thread::yield_now();
    }
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default()
        .trim()
}

fn check(arguments: &[&str], user: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-worker"));
    let mut worker = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = settled_status(worker.id()).unwrap();
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    if field(&own, "Uid:").starts_with('0') {
        assert_eq!(field(&status, "Uid:"), user, "{arguments:?}");
        assert_eq!(field(&status, "Gid:"), user, "{arguments:?}");
        assert_eq!(field(&status, "Groups:"), "");
        assert_eq!(field(&status, "CapEff:"), "0000000000000000");
    } else {
        eprintln!("SKIP privileges: the change of user needs root");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.id())).unwrap();
    let limit = |name: &str| {
        field(&limits, name)
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max file size"), "0");
    assert_eq!(limit("Max cpu time"), "120");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", worker.id())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // nice is field 19 and policy field 41 of proc(5), counted from 1; the third is the first here.
    assert_eq!((fields[16], fields[38]), ("19", "5"), "nice and SCHED_IDLE");
    drop(worker.stdin.take());
    assert!(worker.wait().unwrap().success());
}

#[test]
fn the_worker_is_nobody_or_the_one_named_with_limits_and_without_priority() {
    check(&[], "65534\t65534\t65534\t65534");
    check(&["--user", "12345:12345"], "12345\t12345\t12345\t12345");
}

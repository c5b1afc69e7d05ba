//! gdb beside a program: the code of variants has a name to stop at, and its callers are found.

use crate::real::kernel_bench;
use crate::support::{Bench, skip, stop, value, wait_until};
use std::process::{Command, Stdio};
use tidegate_format::scenario::Scenario;
use tidegate_variants::compile::Worker;
use tidegate_variants::switchboard::Switchboard;

/// A bench, where gdb is installed too; `None` (and a skip) where something is missing.
fn bench_for_gdb(test: &str) -> Option<(Bench, Worker)> {
    if Command::new("gdb").arg("--version").output().is_err() {
        skip(test, "gdb is not installed");
        return None;
    }
    kernel_bench(test)
}

/// gdb with these commands.
fn gdb(commands: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "gdb", "--nx", "--batch"]);
    let settings = [
        "set debuginfod enabled off",
        "set breakpoint pending on",
        "set disable-randomization off",
        "set startup-with-shell off",
    ];
    for line in settings.iter().chain(commands) {
        command.args(["-ex", line]);
    }
    command.stdin(Stdio::null());
    command
}

/// Compiles `mix` for `cpu` and loads it; gives its address.
fn load_mix(board: &Switchboard, process: u32) -> u64 {
    let prepared = board
        .prepare(process, Scenario::Cpu, |function| function.name == "mix")
        .unwrap();
    prepared[0].outcome.as_ref().unwrap().0.address
}

#[test]
fn a_debugger_stops_in_a_variant_by_its_name_and_finds_its_caller() {
    let Some((bench, worker)) = bench_for_gdb("debugger_stops") else {
        return;
    };
    let server = bench.serve_with(Some(worker));
    let debugger = gdb(&["break mix.cpu", "run", "backtrace"])
        .arg("--args")
        .arg(&bench.program)
        .arg("600")
        .env("TIDEGATE_RUNTIME_SOCKET", bench.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let board = server.board();
    wait_until("the runtime connects", || !board.processes().is_empty());
    let process = board.processes()[0].peer.process;
    load_mix(board, process);
    // The program may stand still before it can answer.
    let _ = board.switch(process, Some("mix"), Scenario::Cpu);
    let output = debugger.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let caller = said.lines().find(|line| line.starts_with("#1"));
    assert!(
        said.contains("hit Breakpoint 1") && caller.is_some_and(|line| line.contains(" in main ()")),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_debugger_that_comes_later_names_the_code() {
    let Some((bench, worker)) = bench_for_gdb("debugger_later") else {
        return;
    };
    let server = bench.serve_with(Some(worker));
    let child = bench.run(&["600"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    let question = format!("info symbol {:#x}", load_mix(board, process));
    let output = gdb(&[&question])
        .args(["-p", &process.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // gdb writes what follows a point in brackets, as it does for clones.
    let is_named = |line: &str| {
        line.starts_with("mix[cpu] in section .text") || line.starts_with("mix.cpu in section .text")
    };
    assert!(
        said.lines().any(is_named),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(value(&stop(child), "bad"), 0);
}

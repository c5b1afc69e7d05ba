//! What the build side makes switchable beyond calls of C functions: loops of `main`, C++ with exceptions, Rust with
//! panics. Real variants, switched while the programs check their results.

use crate::support::{Bench, Tools, stop, value, wait_until};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_format::scenario::Scenario;
use tidegate_variants::compile::Worker;
use tidegate_variants::switchboard::Switchboard;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name)
}

/// Loads a variant of every one of `names`; fails where one is not switchable.
fn load(board: &Switchboard, process: u32, names: &[&str]) {
    for scenario in [Scenario::Placebo, Scenario::Cpu, Scenario::Memory] {
        let prepared = board
            .prepare(process, scenario, |function| {
                names.contains(&function.name.as_str())
            })
            .unwrap();
        for one in &prepared {
            assert!(
                one.outcome.is_ok(),
                "{} for {scenario}: {:?}",
                one.name,
                one.outcome
            );
        }
        assert_eq!(prepared.len(), names.len(), "{scenario}");
    }
}

/// Serves the program, loads, storms for a second, and gives what it said at its end.
fn storm(bench: &Bench, tools: &Tools, arguments: &[&str], names: &[&str]) -> String {
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    let board = server.board();
    let child = bench.run(arguments);
    let process = child.id();
    wait_until("the runtime connects", || board.is_connected(process));
    load(board, process, names);
    let report = board
        .storm(process, Duration::from_secs(1), Duration::from_micros(50))
        .unwrap();
    eprintln!("{names:?}: {report:?}");
    assert!(report.failures == 0 && report.switches > 1_000, "{report:?}");
    let said = stop(child);
    assert_eq!(value(&said, "bad"), 0, "{said}");
    assert!(value(&said, "rounds") > 1_000, "{said}");
    said
}

#[test]
fn a_loop_in_main_is_switched_while_it_runs() {
    let Some(tools) = Tools::find("a_loop_in_main_is_switched_while_it_runs") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let program = tools.build(&[source("loop.c")], &["-O2"], &[], folder.path());
    let bench = Bench { folder, program };
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    let board = server.board();
    let child = bench.run(&[]);
    let process = child.id();
    wait_until("the runtime connects", || board.is_connected(process));
    load(board, process, &["main.loop"]);
    let (switched, _) = board.switch(process, Some("main.loop"), Scenario::Cpu).unwrap();
    assert_eq!(switched, 1);
    // `main` was entered long ago; that calls are counted from now on says that the slot reaches it.
    let functions = board.functions(process).unwrap();
    let found = functions.iter().find(|function| function.name == "main.loop");
    board.count(process, found.unwrap().index, true).unwrap();
    wait_until("the loop is entered anew", || {
        board.work(process).unwrap().calls > 100
    });
    board.count(process, found.unwrap().index, false).unwrap();
    let report = board
        .storm(process, Duration::from_secs(1), Duration::from_micros(50))
        .unwrap();
    assert_eq!(report.failures, 0, "{report:?}");
    let said = stop(child);
    assert_eq!(value(&said, "bad"), 0, "{said}");
}

/// What `exceptions.cpp` throws through.
const THROWING: [&str; 3] = ["_Z6foldedIlET_RKSt6vectorIS0_SaIS0_EES0_", "through", "caught"];

/// The program of `exceptions.cpp`, linked with `flags`.
fn throwing_bench(tools: &Tools, flags: &[&str]) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let mut all = vec!["--driver-mode=g++", "-std=c++17", "-O2", "-pthread"];
    all.extend(flags);
    let program = tools.build(&[source("exceptions.cpp")], &all, &THROWING, folder.path());
    Bench { folder, program }
}

#[test]
fn exceptions_pass_through_variants() {
    let Some(tools) = Tools::find("exceptions_pass_through_variants") else {
        return;
    };
    for linker in ["-fuse-ld=bfd", "-fuse-ld=lld"] {
        let bench = throwing_bench(&tools, &[linker, "-Wl,--gc-sections"]);
        storm(&bench, &tools, &[], &THROWING);
    }
}

/// The thread that libc does not know stays unknown to it: what is cheaper in a program of one thread stays so.
#[test]
fn exceptions_pass_through_variants_of_a_program_of_one_thread() {
    let Some(tools) = Tools::find("exceptions_in_one_thread") else {
        return;
    };
    let said = storm(&throwing_bench(&tools, &[]), &tools, &["alone"], &THROWING);
    assert_eq!(value(&said, "single"), 1, "{said}");
    let said = storm(
        &throwing_bench(&tools, &["-no-pie"]),
        &tools,
        &["alone"],
        &THROWING,
    );
    assert_eq!(value(&said, "single"), 1, "{said}");
}

/// A static program at a fixed address has no table to which variants could be linked, with threads or without.
#[test]
fn where_the_unwinder_cannot_be_told_nothing_is_loaded_that_exceptions_may_pass() {
    let Some(tools) = Tools::find("where_the_unwinder_cannot_be_told") else {
        return;
    };
    let bench = throwing_bench(&tools, &["-static"]);
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    let board = server.board();
    for arguments in [&["alone"][..], &[]] {
        let child = bench.run(arguments);
        let process = child.id();
        wait_until("the runtime connects", || board.is_connected(process));
        let prepared = board.prepare(process, Scenario::Cpu, |_| true).unwrap();
        let error = prepared[0].outcome.as_ref().unwrap_err().to_string();
        assert!(error.contains("unwinders"), "{error}");
        assert_eq!(value(&stop(child), "bad"), 0);
    }
}

const PANICS: &str = r#"
use std::sync::atomic::{AtomicBool, Ordering};
static ENDS: AtomicBool = AtomicBool::new(false);
extern "C" fn end(_: i32) { ENDS.store(true, Ordering::Relaxed) }
extern "C" { fn signal(number: i32, handler: extern "C" fn(i32)) -> usize; }
struct Guard<'a>(&'a mut u64);
impl Drop for Guard<'_> { fn drop(&mut self) { *self.0 += 1; } }
#[no_mangle] #[inline(never)]
fn checked(values: &[u64], limit: u64) -> u64 {
    let mut sum = 0u64;
    for value in values { sum = sum.wrapping_mul(31) ^ value; if sum % 1000 > limit { std::panic::panic_any(sum) } }
    sum
}
#[no_mangle] #[inline(never)]
fn guarded(values: &[u64], dropped: &mut u64) -> u64 { let guard = Guard(dropped); let sum = checked(values, 990); drop(guard); sum }
#[no_mangle] #[inline(never)]
fn caught(values: &[u64], dropped: &mut u64) -> u64 {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guarded(values, dropped)));
    done.unwrap_or_else(|thrown| *thrown.downcast::<u64>().unwrap())
}
fn work() -> (u64, u64) {
    let (mut rounds, mut bad, mut dropped) = (0, 0, 0);
    while !ENDS.load(Ordering::Relaxed) {
        let values: Vec<u64> = (0..rounds % 64).map(|number| number * rounds).collect();
        let mut expect = 0u64;
        for value in &values { expect = expect.wrapping_mul(31) ^ value; if expect % 1000 > 990 { break } }
        bad += u64::from(caught(&values, &mut dropped) != expect);
        rounds += 1;
    }
    (rounds, bad + u64::from(dropped != rounds))
}
fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    unsafe { signal(15, end) };
    let other = (std::env::args().count() == 1).then(|| std::thread::spawn(work));
    let own = work();
    let other = other.map_or((0, 0), |other| other.join().unwrap());
    println!("rounds={} bad={}", own.0 + other.0, own.1 + other.1);
}
"#;

#[test]
fn panics_pass_through_variants() {
    let test = "panics_pass_through_variants";
    let Some(tools) = Tools::find(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let names = ["checked", "guarded", "caught"];
    let Some(program) = tools.build_rust(test, PANICS, &names, folder.path()) else {
        return;
    };
    let bench = Bench { folder, program };
    storm(&bench, &tools, &[], &names);
    storm(&bench, &tools, &["alone"], &names);
}

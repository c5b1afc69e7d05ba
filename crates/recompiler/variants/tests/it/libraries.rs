//! Functions of shared libraries: of one that the program is linked with, and of one that it opens and closes all the
//! time, switched while the program checks every result.

use crate::support::{Bench, Tools, stop, value, wait_until};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tidegate_format::message::Reason;
use tidegate_format::scenario::Scenario;
use tidegate_variants::client;
use tidegate_variants::compile::Worker;
use tidegate_variants::switchboard::{Prepared, Switchboard};

/// How often the library must come and go under the storm.
const CLOSED: u64 = 1_000;
/// Calls of the library's function, and units of work, between opening and closing it.
const CALLS: u64 = 20;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name)
}

/// `lib<name>.so` of `library.c`.
fn build_library(compiler: &Path, folder: &Path, name: &str, seed: u32) -> PathBuf {
    let library = folder.join(format!("lib{name}.so"));
    let list = folder.join("library-functions");
    std::fs::write(&list, "one\ntwo\nmixed").unwrap();
    let built = Command::new(compiler)
        .env("TIDEGATE_FUNCTIONS", list)
        .args(["-O2", "-fPIC", "-shared", "-Wall", "-Werror", "-Wl,-z,defs", "-o"])
        .arg(&library)
        .args([format!("-DNAME={name}"), format!("-DSEED={seed}")])
        .arg(source("library.c"))
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    library
}

/// Builds both libraries and the program beside them. Both libraries define `mixed`; each must keep its own.
fn build(tools: &Tools, folder: &Path) -> (PathBuf, String) {
    let one = build_library(&tools.compiler, folder, "one", 1);
    let two = build_library(&tools.compiler, folder, "two", 2);
    let libraries = one.display().to_string();
    let program = tools.build(
        &[source("libraries.c")],
        &["-O2", "-pthread", &libraries],
        &["own"],
        folder,
    );
    (program, two.display().to_string())
}

fn failures(prepared: &[Prepared]) -> Vec<String> {
    let failed = prepared.iter().filter_map(|one| {
        let error = one.outcome.as_ref().err()?.to_string();
        Some(format!("{}: {error}", one.name))
    });
    // A library that was closed meanwhile is as it should be.
    failed
        .filter(|text| !text.contains(Reason::Closed.text()))
        .collect()
}

/// Loads what is not loaded, then storms, until all five functions were switched often enough and the library has come
/// and gone often enough.
fn storm(board: &Switchboard, process: u32) -> u64 {
    let (mut switches, end) = (0, Instant::now() + Duration::from_mins(2));
    let closed = || board.work(process).unwrap().work.unwrap_or(0) / CALLS;
    while switches < 10_000 || closed() < CLOSED {
        for scenario in [Scenario::Placebo, Scenario::Cpu, Scenario::Memory] {
            let prepared = board.prepare(process, scenario, |_| true).unwrap();
            assert_eq!(failures(&prepared), [""; 0]);
        }
        let report = board
            .storm(process, Duration::from_millis(300), Duration::from_micros(20))
            .unwrap();
        assert_eq!(report.failures, 0, "{report:?}");
        if report.functions >= 5 {
            switches += report.switches;
        }
        assert!(
            Instant::now() < end,
            "{switches} switches, closed {} times",
            closed()
        );
    }
    switches
}

#[test]
fn functions_of_libraries_are_switched_while_they_come_and_go() {
    let Some(tools) = Tools::find("functions_of_libraries_are_switched") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (program, library) = build(&tools, folder.path());
    let bench = Bench { folder, program };
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    let board = server.board();
    let child = bench.run(&[&library]);
    let process = child.id();
    wait_until("the runtime connects", || board.is_connected(process));
    let names = || {
        let functions = board.functions(process).unwrap();
        functions
            .into_iter()
            .map(|function| function.name)
            .collect::<Vec<_>>()
    };
    wait_until("the library is opened", || {
        names().iter().any(|name| name == "two")
    });
    let switches = storm(board, process);
    let inspection = client::execute(board, 0, &client::Command::Inspect { process }).unwrap();
    let client::Answer::Inspect(inspection) = inspection else {
        panic!("{inspection:?}")
    };
    let told = inspection
        .functions
        .iter()
        .find(|function| function.name == "one")
        .unwrap();
    assert!(told.library.ends_with("libone.so"), "{told:?}");
    let own = inspection
        .functions
        .iter()
        .find(|function| function.name == "own")
        .unwrap();
    assert_eq!(own.library, "");
    // A library that came back to its place has what was loaded for it; the code does not grow with every time.
    let mapped = std::fs::read_to_string(format!("/proc/{process}/maps"))
        .unwrap()
        .lines()
        .count();
    assert!(mapped < 500, "{mapped} mappings");
    let said = stop(child);
    eprintln!("{switches} switches: {said}");
    assert_eq!(value(&said, "bad"), 0, "{said}");
    assert!(value(&said, "closed") >= CLOSED, "{said}");
}

#[test]
fn a_program_that_was_not_built_for_it_uses_such_libraries_as_any_other() {
    let Some(tools) = Tools::find("a_program_that_was_not_built_for_it") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let one = build_library(&tools.compiler, folder.path(), "one", 1);
    let two = build_library(&tools.compiler, folder.path(), "two", 2);
    let program = folder.path().join("plain");
    let built = Command::new("clang-22")
        .args(["-O2", "-pthread", "-o"])
        .arg(&program)
        .arg(source("libraries.c"))
        .arg(one)
        .status()
        .unwrap();
    assert!(built.success());
    let bench = Bench { folder, program };
    let _server = bench.serve();
    let mut child = bench.run(&[&two.display().to_string()]);
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(value(&stop(child), "bad"), 0);
}

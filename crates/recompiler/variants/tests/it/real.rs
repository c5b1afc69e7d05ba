//! Variants that the worker made of blobs that the compiler driver left, in processes that check their results.

use crate::support::{Bench, Tools, stop, value, wait_until};
use std::path::Path;
use std::time::Duration;
use tidegate_format::scenario::Scenario;
use tidegate_variants::client::{Answer, Command, execute};
use tidegate_variants::compile::Worker;

fn source(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name)
}

/// A bench whose program is `kernel.c` with three functions selected.
fn kernel_bench(test: &str) -> Option<(Bench, Worker)> {
    let tools = Tools::find(test)?;
    let folder = tempfile::tempdir().unwrap();
    let selected = ["triad", "total", "mix"];
    let program = tools.build(&[source("kernel.c")], &["-O2"], &selected, folder.path());
    Some((Bench { folder, program }, Worker::new(&tools.worker).unwrap()))
}

#[test]
fn every_function_is_compiled_loaded_and_stormed_without_a_wrong_result() {
    let Some((bench, worker)) = kernel_bench("real_storm") else {
        return;
    };
    let server = bench.serve_with(Some(worker));
    let child = bench.run(&["60"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    let functions = board.functions(process).unwrap();
    assert_eq!(functions.len(), 3, "{functions:?}");
    let command = Command::Storm {
        process,
        duration_s: 2.0,
    };
    let answer = execute(board, own_user(), &command).unwrap();
    let Answer::Storm { report, refused } = answer else {
        panic!("{answer:?}")
    };
    eprintln!("storm: {report:?}, refused: {refused:?}");
    assert_eq!((report.functions, report.failures, refused), (3, 0, Vec::new()));
    assert!(report.switches >= 100_000, "{report:?}");
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn switching_by_name_comes_from_the_cache_the_second_time() {
    let Some((bench, worker)) = kernel_bench("real_cache") else {
        return;
    };
    let server = bench.serve_with(Some(worker));
    let board = server.board();
    for round in 0..2 {
        let child = bench.run(&["60"]);
        let process = child.id();
        wait_until("the runtime connects", || board.is_connected(process));
        let prepared = board
            .prepare(process, Scenario::Cpu, |function| function.name == "mix")
            .unwrap();
        let (loaded, cpu) = prepared[0].outcome.as_ref().unwrap();
        eprintln!("loaded in {} ns, compiled in {cpu:?}", loaded.load_ns);
        assert_eq!(*cpu == Duration::ZERO, round == 1);
        assert_eq!(board.switch(process, Some("mix"), Scenario::Cpu).unwrap().0, 1);
        assert_eq!(value(&stop(child), "bad"), 0);
    }
    let entries = board.cache_list(own_user()).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].label.as_ref().unwrap().function, "mix");
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

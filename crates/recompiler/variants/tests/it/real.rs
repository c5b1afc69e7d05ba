//! Variants that the worker made of blobs that the compiler driver left, in processes that check their results.

use crate::support::{Bench, Tools, proc_text, skip, stop, value, wait_until};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_format::scenario::Scenario;
use tidegate_variants::client::{Answer, Command, execute};
use tidegate_variants::compile::Worker;
use tidegate_variants::switchboard::Switchboard;

fn source(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name)
}

/// A bench whose program is `kernel.c` with three functions selected.
pub(crate) fn kernel_bench(test: &str) -> Option<(Bench, Worker)> {
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
    let child = bench.run(&["600"]);
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
    assert!(report.switches >= 1_000, "{report:?}");
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
        check_told_code(board, process, loaded.address);
        assert_eq!(value(&stop(child), "bad"), 0);
    }
    let entries = board.cache_list(own_user()).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].label.as_ref().unwrap().function, "mix");
}

/// The inspection tells where the variant's code lies, and there is code there.
fn check_told_code(board: &Switchboard, process: u32, entry: u64) {
    let inspected = execute(board, own_user(), &Command::Inspect { process });
    let Ok(Answer::Inspect(inspection)) = inspected else {
        panic!("{inspected:?}")
    };
    let mixes = inspection
        .functions
        .iter()
        .find(|function| function.name == "mix");
    let [code] = mixes.unwrap().code.as_slice() else {
        panic!("{mixes:?}")
    };
    assert_eq!(code.scenario, "cpu");
    assert!(
        (code.address..code.address + code.bytes).contains(&entry),
        "{code:?}"
    );
    let maps = proc_text(process, "maps");
    let is_there = maps.lines().any(|line| {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        rest.starts_with("r-xp") && number(start) <= code.address && code.address + code.bytes <= number(end)
    });
    assert!(is_there, "{code:?}: {maps}");
}

/// Switches everything under `threads` threads until every function had `least` rounds.
fn check_facts(test: &str, threads: &str, flags: &[&str]) {
    let Some(tools) = Tools::find(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut all = vec!["-O2", "-pthread"];
    all.extend(flags);
    let program = tools.build(
        &[source("facts.c")],
        &all,
        &["count", "mean", "self"],
        folder.path(),
    );
    let bench = Bench { folder, program };
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    let board = server.board();
    let child = bench.run(&[threads]);
    let process = child.id();
    wait_until("the runtime connects", || board.is_connected(process));
    load_all(board, process);
    let loaded = board.functions(process).unwrap();
    assert!(loaded.len() == 3 && loaded.iter().all(|info| !info.loaded.is_empty()));
    let mut rounds = 0;
    while rounds < 20_000 {
        let report = board
            .storm(process, Duration::from_millis(200), Duration::ZERO)
            .unwrap();
        assert_eq!(report.failures, 0);
        rounds += report.rounds;
    }
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn statics_thread_locals_and_addresses_stay_on_two_threads() {
    check_facts("facts_two", "2", &[]);
}

#[test]
fn statics_thread_locals_and_addresses_stay_on_sixteen_threads() {
    check_facts("facts_sixteen", "16", &["-no-pie"]);
}

/// The second pipeline of a scenario, by command, supersedes the first, and one that there is not is refused.
#[test]
fn any_of_a_scenario_s_pipelines_can_be_asked_for() {
    let Some((bench, worker)) = kernel_bench("real_candidates") else {
        return;
    };
    let server = bench.serve_with(Some(worker));
    let child = bench.run(&["60"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    let switch = |to: &str| {
        let command = Command::Switch {
            process,
            function: Some("mix".to_owned()),
            to: to.to_owned(),
        };
        execute(board, own_user(), &command)
    };
    for to in ["memory", "memory/1"] {
        let answer = switch(to).unwrap();
        let Answer::Switched {
            functions, loaded, ..
        } = answer
        else {
            panic!("{answer:?}")
        };
        assert_eq!((functions, loaded.len()), (1, 1), "{to}");
    }
    assert!(switch("memory/9").unwrap_err().to_string().contains("candidate"));
    assert!(switch("sideways").is_err());
    assert_eq!(value(&stop(child), "bad"), 0);
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The sources of a crate that `cargo fetch` has put on this disk; `None` (and a skip) where it has not.
fn crate_sources(test: &str, name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let registries = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    let crates = registries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_dir(entry.path()).ok());
    let mut folders = crates.flatten().flatten().map(|entry| entry.path());
    let found = folders.find(|path| {
        path.file_name()
            .is_some_and(|found| found.to_string_lossy().starts_with(name))
    });
    if found.is_none() {
        skip(test, &format!("the sources of {name} are not fetched"));
    }
    found
}

/// What is loaded for every function of a real program.
const SCENARIOS: [Scenario; 2] = [Scenario::Placebo, Scenario::Cpu];

/// Compiles (or takes from the cache) and loads everything; gives the load times and the worker's CPU times.
fn load_all(board: &Switchboard, process: u32) -> (Vec<u64>, Vec<Duration>) {
    let (mut load_ns, mut cpu) = (Vec::new(), Vec::new());
    for scenario in SCENARIOS {
        for prepared in board.prepare(process, scenario, |_| true).unwrap() {
            match prepared.outcome {
                Ok((loaded, compile)) => {
                    load_ns.push(loaded.load_ns);
                    cpu.push(compile);
                }
                Err(error) => eprintln!("{} for {scenario}: {error}", prepared.name),
            }
        }
    }
    load_ns.sort_unstable();
    cpu.sort_unstable();
    (load_ns, cpu)
}

/// Runs a program with a check of its own, and switches all its functions back and forth meanwhile. A run before it
/// only fills the cache, so that the second is not over before everything is compiled.
fn check_real_program(
    test: &str,
    sources: &[PathBuf],
    flags: &[&str],
    arguments: [&[&str]; 2],
    least: usize,
) {
    let Some(tools) = Tools::find(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = tools.build(sources, flags, &[], folder.path());
    let bench = Bench { folder, program };
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    let board = server.board();
    let mut first = bench.run_quietly(arguments[0]);
    wait_until("the runtime connects", || board.is_connected(first.id()));
    let (_, cpu) = load_all(board, first.id());
    first.kill().unwrap();
    first.wait().unwrap();

    // As many runs as it takes: beside other work a run may be over early.
    let (mut rounds, mut switches, mut load_ns) = (0, 0, Vec::new());
    while rounds < 10_000 {
        let child = bench.run_quietly(arguments[1]);
        let process = child.id();
        wait_until("the runtime connects", || board.is_connected(process));
        load_ns = load_all(board, process).0;
        let infos = board.functions(process).unwrap();
        let loaded = infos.iter().filter(|info| !info.loaded.is_empty()).count();
        assert!(loaded >= least, "{loaded} of {}", infos.len());
        while let Ok(report) = board.storm(process, Duration::from_millis(500), Duration::from_micros(20)) {
            assert_eq!(report.failures, 0);
            rounds += report.rounds;
            switches += report.switches;
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{:?}", output.status);
    }
    eprintln!(
        "{test}: {} images, load median {} ns, compile CPU median {:?}, {rounds} rounds, {switches} switches",
        load_ns.len(),
        load_ns[load_ns.len() / 2],
        cpu[cpu.len() / 2],
    );
}

#[test]
fn zlib_gives_back_what_it_was_given_in_a_storm() {
    let Some(sources) = crate_sources("zlib_round_trip", "libz-sys-1.1") else {
        return;
    };
    let zlib = sources.join("src/zlib");
    let names = [
        "adler32", "compress", "crc32", "deflate", "inffast", "inflate", "inftrees", "trees", "uncompr",
        "zutil",
    ];
    let mut files: Vec<PathBuf> = names
        .iter()
        .map(|name| zlib.join(name).with_extension("c"))
        .collect();
    files.push(source("zlib_round_trip.c"));
    let include = format!("-I{}", zlib.display());
    let flags = ["-O2", "-w", "-DHAVE_UNISTD_H", &include];
    check_real_program("zlib_round_trip", &files, &flags, [&["600"], &["8"]], 15);
}

#[test]
fn the_fuzzer_of_lz4_passes_its_own_check_in_a_storm() {
    let Some(sources) = crate_sources("lz4_fuzzer", "lz4-sys-1.11.1") else {
        return;
    };
    let lz4 = sources.join("liblz4");
    let files = ["tests/fuzzer.c", "lib/lz4.c", "lib/lz4hc.c", "lib/xxhash.c"].map(|name| lz4.join(name));
    let includes = ["lib", "programs"].map(|name| format!("-I{}", lz4.join(name).display()));
    let flags = [
        "-O2",
        "-w",
        "-DXXH_NAMESPACE=LZ4_",
        "-pthread",
        &includes[0],
        &includes[1],
    ];
    check_real_program("lz4_fuzzer", &files, &flags, [&["-T600s"], &["-T8s", "-s1"]], 20);
}

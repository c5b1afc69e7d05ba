//! Fewer allocations for `memory`, counted in living programs of C++ and Rust: calls of the heap for each turn.

use crate::support::{Bench, Tools, wait_until};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tidegate_format::scenario::Scenario;
use tidegate_variants::compile::Worker;
use tidegate_variants::switchboard::Switchboard;

/// As `allocations.cpp`.
const RUST: &str = r#"
#[no_mangle] #[inline(never)]
fn listed(x: u64) -> u64 {
    let values: Vec<u64> = (0..24).map(|number| x ^ number * 7).collect();
    values[(x % 24) as usize] + values[(x * 7 % 24) as usize]
}
#[no_mangle] #[inline(never)]
fn boxed(x: u64) -> u64 {
    let mut table = Box::new([0u64; 48]);
    for number in 0..48 { table[(x as usize + number * 5) % 48] += x * number as u64; }
    table[(x % 48) as usize] ^ table[(x * 11 % 48) as usize]
}
fn main() {
    let name = std::env::args().nth(1).unwrap();
    let function = if name == "listed" { listed } else { boxed };
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let turns: u64 = line.trim().parse().unwrap();
    let hash = (0..turns).fold(0u64, |hash, turn| hash.wrapping_mul(31).wrapping_add(function(turn)));
    println!("{hash:x}");
}
"#;

/// A run: what the program said of its results, and its calls of the heap.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    result: String,
    allocations: u64,
}

/// `turns` of a function of the program, all of them in `scenario`.
fn run(bench: &Bench, board: &Switchboard, function: &str, scenario: Scenario, turns: u64) -> Run {
    let mut child = bench
        .command(&[function])
        .env("LD_PRELOAD", bench.folder.path().join("interposer.so"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    wait_until("the runtime connects", || board.is_connected(process));
    if scenario != Scenario::Base {
        let prepared = board.prepare(process, scenario, |info| info.name == function);
        let prepared = prepared.unwrap();
        assert!(prepared.len() == 1 && prepared[0].outcome.is_ok(), "{prepared:?}");
        let (switched, _) = board.switch(process, Some(function), scenario).unwrap();
        assert_eq!(switched, 1);
    }
    writeln!(child.stdin.take().unwrap(), "{turns}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{function} {scenario}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (result, allocations) = text.split_once("\nallocations ").unwrap();
    Run {
        result: result.to_owned(),
        allocations: allocations.trim().parse().unwrap(),
    }
}

/// Checks each of `functions`: a tenth of the base's calls at most, the base's results, and a stack that a million turns
/// do not fill.
fn check(tools: &Tools, folder: tempfile::TempDir, program: PathBuf, functions: &[&str]) {
    build_interposer(folder.path());
    let bench = Bench { folder, program };
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    for function in functions {
        let run = |scenario, turns| run(&bench, server.board(), function, scenario, turns);
        let per_turn = |scenario| {
            let (few, many) = (run(scenario, 1_000), run(scenario, 11_000));
            (
                (many.allocations - few.allocations) as f64 / 10_000.0,
                many.result,
            )
        };
        let (base, variant) = (per_turn(Scenario::Base), per_turn(Scenario::Memory));
        eprintln!("{function}: {} -> {} calls of the heap", base.0, variant.0);
        assert!(base.0 >= 1.0 && variant.0 <= 0.1 * base.0, "{function}");
        assert_eq!(base.1, variant.1, "{function}");
        let results = [Scenario::Base, Scenario::Memory].map(|scenario| run(scenario, 1_000_000).result);
        assert_eq!(results[0], results[1], "{function}");
    }
}

fn build_interposer(folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/tests/it/interposer.c");
    let mut command = Command::new("cc");
    command.args(["-O1", "-shared", "-fPIC", "-o"]);
    let built = command.arg(folder.join("interposer.so")).arg(source).status();
    assert!(built.unwrap().success());
}

#[test]
fn cpp_allocates_less() {
    let Some(tools) = Tools::find("cpp_allocates_less") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/allocations.cpp");
    let flags = ["--driver-mode=g++", "-std=c++17", "-O2"];
    let functions = ["listed", "solved"];
    let program = tools.build(&[source], &flags, &functions, folder.path());
    check(&tools, folder, program, &functions);
}

#[test]
fn rust_allocates_less() {
    let test = "rust_allocates_less";
    let Some(tools) = Tools::find(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let functions = ["listed", "boxed"];
    let Some(program) = tools.build_rust(test, RUST, &functions, folder.path()) else {
        return;
    };
    check(&tools, folder, program, &functions);
}

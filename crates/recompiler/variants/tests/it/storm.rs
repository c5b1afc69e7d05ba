//! Storms: every function switched all the time among variants of different bytes, every result checked by the program
//! itself; and the faults that such a test must find.

use crate::support::{Bench, HASH, Tools, output_of, stop, triple_image, value, wait_until};
use std::time::{Duration, Instant};
use tidegate_format::FunctionHash;
use tidegate_format::image::{CpuFeatures, Image, ImageParts, Relocation, RelocationKind, RelocationTarget};
use tidegate_format::scenario::Scenario;
use tidegate_variants::compile::Worker;
use tidegate_variants::recipe::Recipe;
use tidegate_variants::switchboard::Switchboard;

/// Slot stores that a storm must make.
const SWITCHES: u64 = 100_000;
/// Times that each variant must be entered.
const ENTERED: u64 = 1_000;

/// `calls[place]++; return 3 * x` in a form of its own per place, so that no two variants have the same bytes.
fn own_image(scenario: Scenario, place: i32) -> ImageParts {
    // lock inc qword [rip + calls + 8 * place]
    let mut span = vec![0xf0, 0x48, 0xff, 0x05, 0, 0, 0, 0];
    match place {
        // imul eax, edi, 3
        1 => span.extend([0x6b, 0xc7, 3]),
        // lea eax, [rdi + 2 * rdi]
        2 => span.extend([0x8d, 0x04, 0x7f]),
        // mov eax, edi; add eax, eax; add eax, edi
        _ => span.extend([0x89, 0xf8, 0x01, 0xc0, 0x01, 0xf8]),
    }
    span.push(0xc3);
    let length = span.len() as u32;
    ImageParts {
        scenario,
        pipeline_version: 1,
        cpu_features: CpuFeatures::BASELINE,
        hash: HASH,
        anchor_count: 2,
        text_length: length,
        rodata: (length, 0),
        eh_frame: (length, 0),
        entry: 0,
        relocations: vec![Relocation {
            offset: 4,
            kind: RelocationKind::Relative32,
            target: RelocationTarget::Anchor(1),
            addend: 8 * place - 4,
        }],
        name: "triple".to_owned(),
        span,
    }
}

/// Storms a process until there were enough switches.
fn storm(board: &Switchboard, process: u32) -> u64 {
    let (mut switches, end) = (0, Instant::now() + Duration::from_mins(1));
    while switches < SWITCHES {
        let report = board
            .storm(process, Duration::from_millis(500), Duration::ZERO)
            .unwrap();
        assert_eq!(report.failures, 0);
        switches += report.switches;
        assert!(Instant::now() < end, "{switches} switches in a minute");
    }
    switches
}

fn load_three(board: &Switchboard, process: u32) {
    for (place, scenario) in (1..).zip([Scenario::Cpu, Scenario::Memory, Scenario::Placebo]) {
        let image = own_image(scenario, place).to_bytes().unwrap();
        board.load_image(process, 0, scenario, &image).unwrap();
    }
}

/// What a program of this kind says after a storm of three variants.
fn check(test: &str, arguments: &[&str], flags: &[&str]) {
    let mut all = vec!["-pthread"];
    all.extend(flags);
    let Some(bench) = Bench::new(test, &all) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(arguments);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    load_three(board, process);
    let switches = storm(board, process);
    // The variants are entered while the stores go on; some work in each makes sure of the count. It is counted in steps
    // of ten thousand calls, and each thread may have one begun.
    for scenario in [Scenario::Cpu, Scenario::Memory, Scenario::Placebo] {
        board.switch_index(process, 0, scenario).unwrap();
        let work = || board.work(process).unwrap().work.unwrap_or(0);
        let before = work();
        wait_until("work goes on", || work() >= before + 200_000);
    }
    let output = stop(child);
    eprintln!("{switches} switches: {output}");
    assert_eq!(value(&output, "bad"), 0);
    for name in ["first", "second", "third"] {
        assert!(value(&output, name) >= ENTERED, "{name}: {output}");
    }
}

#[test]
fn a_hundred_thousand_switches_on_two_threads() {
    check("storm_two", &["300", "2"], &[]);
}

#[test]
fn a_hundred_thousand_switches_on_sixteen_threads() {
    check("storm_sixteen", &["300", "16"], &[]);
}

#[test]
fn a_hundred_thousand_switches_under_signals_whose_handler_calls_too() {
    check("storm_signals", &["300", "1", "g"], &[]);
}

#[test]
fn a_hundred_thousand_switches_beside_libraries_that_come_and_go() {
    check("storm_libraries", &["300", "1", "d"], &[]);
}

#[test]
fn children_forked_ahead_are_switched_each_for_itself() {
    let Some(bench) = Bench::new("prefork", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["300", "1", "p"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    load_three(board, process);
    wait_until("the children connect", || board.processes().len() == 5);
    for info in board.processes() {
        let process = info.peer.process;
        if board.functions(process).unwrap()[0].loaded.is_empty() {
            load_three(board, process);
        }
        let report = board
            .storm(process, Duration::from_millis(200), Duration::ZERO)
            .unwrap();
        assert!(report.failures == 0 && report.switches > 0, "{report:?}");
    }
    assert_eq!(value(&stop(child), "bad"), 0);
}

/// Loads an image, leads all calls to it, and gives whether the program noticed: it says so at its end, dies, or never
/// ends.
fn is_noticed(bench: &Bench, seconds: &str, image: &ImageParts) -> bool {
    // A program that starts before its daemon has no helper.
    let server = bench.serve();
    let mut child = bench.run(&[seconds]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    let bytes = image.to_bytes().unwrap();
    board.load_image(process, 0, image.scenario, &bytes).unwrap();
    board.switch_index(process, 0, image.scenario).unwrap();
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return !status.success();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

#[test]
fn a_clobbered_callee_saved_register_is_noticed() {
    let Some(bench) = Bench::new("clobbered_register", &[]) else {
        return;
    };
    let mut image = triple_image(Scenario::Cpu, 3);
    // mov $20000, %ebx and r12 to r15, before everything else: past the end of the program's loop, and not 0.
    let mut span = vec![0xbb, 0x20, 0x4e, 0, 0];
    for register in 0..4 {
        span.extend([0x41, 0xbc + register, 0x20, 0x4e, 0, 0]);
    }
    let grown = span.len() as u32;
    span.extend(&image.span);
    image.span = span;
    image.relocations[0].offset += grown;
    image.text_length += grown;
    image.rodata.0 += grown;
    image.eh_frame.0 += grown;
    assert!(is_noticed(&bench, "2", &image));
    // The same without the clobbering is not.
    assert!(!is_noticed(&bench, "1", &triple_image(Scenario::Cpu, 3)));
}

const TWINS: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
long first = 3, second = 5;
__attribute__((noinline)) long blend(const long *v, long n) {
  long s = 0;
  TERMS
  return s;
}
int main(int argc, char **argv) {
  long v[64], bad = 0, expect;
  time_t end = time(NULL) + atol(argv[1]);
  for (int i = 0; i < 64; i++) v[i] = i * 7 - 100;
  expect = blend(v, 64);
  do
    for (int i = 0; i < 1000; i++) bad += blend(v, 64) != expect;
  while (time(NULL) < end);
  printf("bad=%ld\n", bad);
  return bad != 0;
}
"#;

/// A variant of another build of the same function, whose anchors stand in another order, under a forged identity.
#[test]
fn a_stale_anchor_table_is_refused_and_noticed_where_it_is_forged() {
    let Some(tools) = Tools::find("stale_anchors") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let build = |name: &str, terms: &str| {
        let place = folder.path().join(name);
        std::fs::create_dir(&place).unwrap();
        let source = place.join("twins.c");
        std::fs::write(&source, TWINS.replace("TERMS", terms)).unwrap();
        tools.build(&[source], &["-O2"], &["blend"], &place)
    };
    // The order in which the two are referred to is the order of the anchors.
    let program = build(
        "a",
        "for (long i = 0; i < n; i++) s += v[i] * first; s ^= second;",
    );
    let twin = build("b", "s = second; for (long i = 0; i < n; i++) s += v[i] * first;");
    let bench = Bench {
        folder: tempfile::tempdir().unwrap(),
        program: twin,
    };
    let image = {
        let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
        let child = bench.run(&["5"]);
        let (process, board) = (child.id(), server.board());
        wait_until("the runtime connects", || board.is_connected(process));
        let recipe = Recipe::plain(Scenario::Memory);
        let prepared = board.prepare_recipe(process, &recipe, |_| true).unwrap();
        prepared[0].outcome.as_ref().unwrap();
        let cache = board
            .options()
            .cache(rustix::process::geteuid().as_raw())
            .unwrap();
        let entries = std::fs::read_dir(cache.folder()).unwrap();
        let entry = std::fs::read(entries.last().unwrap().unwrap().path()).unwrap();
        let start = entry.windows(8).position(|bytes| bytes == b"TGIMAGE\0").unwrap();
        output_of(child);
        entry[start..].to_vec()
    };
    let bench = Bench { program, ..bench };
    let (child, hash) = {
        let server = bench.serve();
        let child = bench.run(&["2"]);
        let (process, board) = (child.id(), server.board());
        wait_until("the runtime connects", || board.is_connected(process));
        assert!(
            board.load_image(process, 0, Scenario::Memory, &image).is_err(),
            "its own identity"
        );
        let hash = board.functions(process).unwrap()[0].hash;
        (child, hash)
    };
    assert_eq!(value(&output_of(child), "bad"), 0);
    let forged = with_identity(&image, hash);
    assert!(is_noticed(&bench, "3", &forged));
}

/// The same image under another function's identity.
fn with_identity(image: &[u8], hash: FunctionHash) -> ImageParts {
    let read = Image::read(image).unwrap();
    ImageParts {
        scenario: read.scenario,
        pipeline_version: read.pipeline_version,
        cpu_features: read.cpu_features,
        hash,
        anchor_count: read.anchor_count,
        span: read.span.to_vec(),
        text_length: read.text_length,
        rodata: read.rodata,
        eh_frame: read.eh_frame,
        entry: read.entry,
        relocations: read.relocations().collect(),
        name: read.name.to_owned(),
    }
}

//! Trials on living processes.

use crate::support::{Bench, Tools, paced_image, stop, triple_image, wait_until};
use tidegate_format::scenario::Scenario;
use tidegate_variants::client::{Answer, Command, execute};
use tidegate_variants::compile::Worker;
use tidegate_variants::live::{LiveTrial, Subject};
use tidegate_variants::trial::{Config, Ground};

/// Slices short enough for a test, long enough for clock ticks.
const SHORT: Config = Config {
    blocks: 12,
    slice_ms: 25,
    least_gain: 0.015,
    placements: 3,
    with_placebo: true,
};

/// Tries an image that turns so often, where base and placebo turn 20 times.
fn check(test: &str, turns: u32, expect: Ground) {
    let Some(bench) = Bench::new(test, &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["60"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    let placebo = paced_image(Scenario::Placebo, 20).to_bytes().unwrap();
    board.load_image(process, 0, Scenario::Placebo, &placebo).unwrap();
    let variant = paced_image(Scenario::Cpu, turns).to_bytes().unwrap();
    board.load_image(process, 0, Scenario::Cpu, &variant).unwrap();
    let subject = Subject {
        process,
        function: 0,
        scenario: Scenario::Cpu,
    };
    let verdict = LiveTrial::new(subject, SHORT, 1)
        .run(board, || true, || false)
        .unwrap()
        .unwrap();
    eprintln!("{verdict:?}");
    assert_eq!(verdict.ground, expect);
    assert_eq!(board.functions(process).unwrap()[0].current, Scenario::Base);
    assert!(stop(child).contains("bad=0"));
}

#[test]
fn a_faster_variant_is_kept() {
    check("trial_faster", 0, Ground::Helps);
}

#[test]
fn a_slower_variant_is_not() {
    check("trial_slower", 60, Ground::NoGain);
}

#[test]
fn a_trial_that_may_not_go_on_leaves_the_base() {
    let Some(bench) = Bench::new("trial_interrupted", &[]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["60"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    for scenario in [Scenario::Placebo, Scenario::Cpu] {
        let image = triple_image(scenario, 3).to_bytes().unwrap();
        board.load_image(process, 0, scenario, &image).unwrap();
    }
    let subject = Subject {
        process,
        function: 0,
        scenario: Scenario::Cpu,
    };
    let asked = std::cell::Cell::new(0);
    let goes_on = || {
        asked.set(asked.get() + 1);
        asked.get() < 7
    };
    assert_eq!(
        LiveTrial::new(subject, SHORT, 1)
            .run(board, goes_on, || false)
            .unwrap(),
        None
    );
    assert_eq!(board.functions(process).unwrap()[0].current, Scenario::Base);
    assert!(stop(child).contains("bad=0"));
}

#[test]
fn a_real_variant_gets_a_verdict_by_command() {
    let Some(tools) = Tools::find("trial_real") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kernel.c");
    let program = tools.build(&[source], &["-O2"], &["triad", "mix"], folder.path());
    let bench = Bench { folder, program };
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    let child = bench.run(&["120"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    let command = Command::Trial {
        process,
        function: Some("triad".to_owned()),
        to: "cpu".to_owned(),
        slice_ms: Some(25),
        seed: Some(1),
    };
    let answer = execute(board, 0, &command).unwrap();
    let Answer::Trial { verdicts, refused } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(refused, Vec::new());
    eprintln!("{}", verdicts[0]);
    assert!(verdicts[0].interval.0 <= verdicts[0].ratio && verdicts[0].ratio <= verdicts[0].interval.1);
    assert_eq!(verdicts[0].blocks, 48);
    assert!(stop(child).contains("bad=0"));
}

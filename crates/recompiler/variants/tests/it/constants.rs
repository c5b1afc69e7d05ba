//! From captured arguments to a variant with constants, on a living process.

use crate::support::{Bench, Tools, stop, triple_image, value, wait_until};
use std::path::Path;
use std::time::Duration;
use tidegate_format::scenario::Scenario;
use tidegate_variants::compile::Worker;
use tidegate_variants::constants::Observed;
use tidegate_variants::recipe::Recipe;
use tidegate_variants::switchboard::Switchboard;

/// One burst of captured calls.
fn burst(board: &Switchboard, process: u32) -> Vec<[u64; 14]> {
    board.arm_capture(process, 0).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    board.take_capture(process, 0).unwrap()
}

#[test]
fn arguments_are_captured_in_every_scenario_and_harm_nothing() {
    let Some(bench) = Bench::new("captured_arguments", &["-pthread"]) else {
        return;
    };
    let server = bench.serve();
    let child = bench.run(&["60", "4"]);
    let (process, board) = (child.id(), server.board());
    wait_until("the runtime connects", || board.is_connected(process));
    let image = triple_image(Scenario::Cpu, 3).to_bytes().unwrap();
    board.load_image(process, 0, Scenario::Cpu, &image).unwrap();
    for scenario in [Scenario::Base, Scenario::Cpu, Scenario::Base] {
        board.switch_index(process, 0, scenario).unwrap();
        for _ in 0..20 {
            let calls = burst(board, process);
            assert!(calls.len() <= 64);
            // `triple(i)` for i below 10,000.
            assert!(
                calls.iter().all(|call| call[0] & 0xffff_ffff < 10_000),
                "{calls:?}"
            );
        }
        // A switch while noting goes through the stub.
        board.arm_capture(process, 0).unwrap();
        board.switch_index(process, 0, Scenario::Cpu).unwrap();
        board.switch_index(process, 0, scenario).unwrap();
        board.take_capture(process, 0).unwrap();
        assert_eq!(board.functions(process).unwrap()[0].current, scenario);
    }
    wait_until("a burst is full", || burst(board, process).len() == 64);
    // Counting is for trials; the two do not mix.
    board.count(process, 0, true).unwrap();
    assert!(board.arm_capture(process, 0).is_err());
    board.count(process, 0, false).unwrap();
    board.arm_capture(process, 0).unwrap();
    board.release(process).unwrap();
    assert_eq!(board.take_capture(process, 0).unwrap(), Vec::<[u64; 14]>::new());
    assert_eq!(value(&stop(child), "bad"), 0);
}

/// The filter, with every `other`th call of another number of taps.
fn check_filter(test: &str, other: &str, expect_stable: bool) {
    let Some(tools) = Tools::find(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/taps.c");
    let program = tools.build(&[source], &["-O2"], &["filter"], folder.path());
    let bench = Bench { folder, program };
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    let board = server.board();
    let child = bench.run(&["120", "1", other]);
    let process = child.id();
    wait_until("the runtime connects", || board.is_connected(process));
    let functions = board.functions(process).unwrap();
    let layout = functions
        .iter()
        .find(|info| info.name == "filter")
        .unwrap()
        .arguments;
    let mut observed = Observed::default();
    for _ in 0..24 {
        observed.add(&burst(board, process), layout, &[]);
    }
    let constants = observed.stable();
    let taps = constants.iter().find(|constant| constant.register == 3);
    assert_eq!(
        taps.map(|taps| taps.value as u32),
        expect_stable.then_some(5),
        "{constants:?}"
    );
    let gain = constants.iter().find(|constant| constant.register == 6);
    assert_eq!(
        gain.map(|gain| f64::from_bits(gain.value)),
        Some(0.5),
        "{constants:?}"
    );
    let recipe = Recipe {
        constants,
        ..Recipe::plain(Scenario::Cpu)
    };
    let prepared = board.prepare_recipe(process, &recipe, |_| true).unwrap();
    prepared[0].outcome.as_ref().unwrap();
    assert_eq!(
        board.recipe_of(process, 0, Scenario::Cpu).unwrap(),
        Some(recipe.clone())
    );
    assert!(
        board
            .prepare_recipe(process, &recipe, |_| true)
            .unwrap()
            .is_empty()
    );
    board.switch(process, Some("filter"), Scenario::Cpu).unwrap();
    let report = board
        .storm(process, Duration::from_millis(300), Duration::ZERO)
        .unwrap();
    assert_eq!(report.failures, 0);
    board.switch(process, Some("filter"), Scenario::Cpu).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(value(&stop(child), "bad"), 0);
}

#[test]
fn a_stable_argument_becomes_a_constant() {
    check_filter("stable_argument", "0", true);
}

#[test]
fn an_argument_that_differs_now_and_then_does_not() {
    check_filter("unstable_argument", "17", false);
}

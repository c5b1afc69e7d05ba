//! The same plans again; a difference found; holes counted.

use crate::host::{Host, NOON_MS, at};
use std::collections::BTreeSet;
use tidegate_engine::{PeakModel, State};
use tidegate_history::Reader;
use tidegate_replay::{ReplayError, ReplayReport, run, run_with, side_by_side};
use tidegate_types::{AppName, Input, Output};

const ALL: std::ops::Range<i64> = i64::MIN..i64::MAX;

fn replay(dir: &std::path::Path) -> ReplayReport {
    run(&Reader::open(dir), ALL).expect("a replay")
}

#[test]
fn a_recorded_run_gives_the_same_plans_byte_for_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    Host::new(dir.path(), None).run(0..700, 200);
    let report = replay(dir.path());
    assert_eq!(report.first_difference, None);
    // The checkpoint of second 0 is that of tick 1.
    assert_eq!((report.from_tick, report.ticks, report.holes), (1, 699, 0));
    assert_eq!((report.plans_compared, report.plans_equal), (699, 699));
    assert!(report.plans_with_content > 100, "{report:?}");
    assert_eq!((report.states_compared, report.states_equal), (3, 3));
    assert!(report.holds());
}

#[test]
fn a_replay_begins_at_the_last_checkpoint_before_the_range_and_ends_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    Host::new(dir.path(), None).run(0..300, 100);
    let reader = Reader::open(dir.path());
    let report = run(&reader, NOON_MS + 150_000..NOON_MS + 250_000).expect("a replay");
    assert_eq!((report.from_tick, report.ticks), (101, 149));
    let mut seen = Vec::new();
    let each = |tick: &tidegate_history::RecordedTick, _: &Output| seen.push(tick.number);
    run_with(&reader, NOON_MS + 150_000..NOON_MS + 155_000, each).expect("a replay");
    assert_eq!(seen, (102..=155).collect::<Vec<u64>>());
}

#[test]
fn a_plan_that_differs_is_named_with_both_texts() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut host = Host::new(dir.path(), None);
    host.run(0..50, 200);
    // As if a plan had been made by something else than what is recorded.
    let input = Input {
        now: at(50),
        ..Input::default()
    };
    tidegate_engine::tick(&mut host.state, &input);
    host.store.append_input(&input).expect("recorded");
    host.store
        .append_output(input.now, &Output::default(), b"{\"made\":\"elsewhere\"}")
        .expect("recorded");
    host.run(51..60, 200);
    drop(host);
    let report = replay(dir.path());
    assert_eq!((report.plans_compared, report.plans_equal), (59, 58));
    let difference = report.first_difference.clone().expect("a difference");
    assert_eq!(
        (difference.tick, difference.at_utc_ms, difference.byte),
        (51, at(50).utc_ms, 8)
    );
    assert_eq!(difference.recorded, "{\"made\":\"elsewhere\"}");
    assert!(difference.replayed.starts_with("{\"made\":{"));
    assert!(!report.holds());
}

#[test]
fn a_restart_and_lost_ticks_are_holes_until_the_next_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut host = Host::new(dir.path(), None);
    host.run(0..130, 50);
    drop(host);
    // Killed after the checkpoint of second 100: what it learned since then is gone.
    let kept = Reader::open(dir.path())
        .latest_checkpoint()
        .expect("read")
        .expect("there");
    let state = State::restore(&kept.state).expect("loads");
    let mut host = Host::new(dir.path(), Some(state));
    host.run(130..180, 50);
    host.store.skip_ticks(3);
    host.run(180..240, 50);
    drop(host);
    let report = replay(dir.path());
    assert_eq!(report.holes, 2);
    // 130 to 150, where the next checkpoint is, and 180 to 200.
    assert_eq!(report.skipped_ticks, 21 + 21);
    assert_eq!(report.ticks, 239 - 42);
    assert!(report.holds(), "{report:?}");
}

#[test]
fn a_daemon_that_keeps_its_state_before_its_first_tick_leaves_no_hole() {
    let dir = tempfile::tempdir().expect("a folder");
    for (begin, end) in [(1, 101), (101, 151)] {
        let kept = Reader::open(dir.path()).latest_checkpoint().expect("read");
        let state = kept.map(|kept| State::restore(&kept.state).expect("loads"));
        let mut host = Host::new(dir.path(), state);
        let bytes = host.state.checkpoint().expect("a state");
        host.store.append_checkpoint(at(begin), &bytes).expect("kept");
        // The second one was killed before, so it begins with what was known at second 90.
        host.run(begin..end, 90);
    }
    let report = replay(dir.path());
    assert_eq!((report.from_tick, report.ticks, report.holes), (0, 150, 0));
    assert!(report.holds(), "{report:?}");
    assert_eq!(report.states_compared, report.states_equal);
}

#[test]
fn a_daemon_that_keeps_its_state_after_its_first_tick_leaves_a_hole_of_one() {
    let dir = tempfile::tempdir().expect("a folder");
    for (begin, end) in [(0, 90), (90, 150)] {
        // The second one starts from nothing although there was a state: it had other settings.
        Host::new(dir.path(), None).run(begin..end, 90);
    }
    let report = replay(dir.path());
    assert_eq!((report.from_tick, report.ticks), (1, 148));
    assert_eq!((report.holes, report.skipped_ticks), (1, 1));
    assert!(report.holds(), "{report:?}");
}

#[test]
fn without_a_checkpoint_there_is_nothing_to_begin_from() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = run(&Reader::open(dir.path()), ALL).expect_err("no checkpoint");
    assert!(matches!(error, ReplayError::NoCheckpoint { .. }));
}

#[test]
fn the_peers_rules_are_scored_on_the_same_record() {
    let dir = tempfile::tempdir().expect("a folder");
    Host::new(dir.path(), None).run(0..1500, 5000);
    let batch = BTreeSet::from([AppName::new("work")]);
    let reader = Reader::open(dir.path());
    let sides = side_by_side(&reader, ALL, 300.0, &batch, 4.0).expect("scores");
    assert_eq!((sides.seconds, sides.scores.len()), (1500, 13));
    let limit = &sides.scores[0];
    assert_eq!((limit.rule.as_str(), limit.scored), ("limit", 4));
    assert!(limit.savings.abs() < 1e-9);
    for score in &sides.scores {
        assert!((0.0..=1.0).contains(&score.violation_rate), "{score:?}");
        assert!((0.0..=1.0).contains(&score.severity), "{score:?}");
    }
    let senpai = sides.scores.iter().find(|score| score.rule == "senpai");
    assert_eq!(
        senpai.map(|score| score.scored),
        Some(0),
        "it says nothing of CPU"
    );
}

#[test]
fn promoted_models_are_replayed_from_the_store_and_a_lost_one_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut host = Host::new(dir.path(), None);
    let shipped = host.promote(PeakModel::shipped_bytes());
    host.run(0..400, 300);
    let own = PeakModel {
        host_rows: 900,
        ..PeakModel::shipped().expect("it is read")
    };
    let own = host.promote(&own.to_bytes());
    host.run(400..700, 300);
    assert_eq!(
        host.state.forecaster().model_report().name.as_deref(),
        Some(&*own)
    );
    drop(host);
    let report = replay(dir.path());
    assert_eq!(report.first_difference, None);
    assert_eq!((report.ticks, report.holes), (699, 0));
    assert!(
        report.holds() && report.states_compared == report.states_equal,
        "{report:?}"
    );
    std::fs::remove_file(dir.path().join("models").join(&shipped)).expect("it lies there");
    let error = run(&Reader::open(dir.path()), ALL).expect_err("a model is lost");
    assert!(
        matches!(&error, ReplayError::Model { name, .. } if *name == shipped),
        "{error}"
    );
}

//! A chain of real processes: the front works, then calls the back over a loopback socket, and the back runs into its
//! CPU limit. The daemon finds the call by itself; the back's rise stands on the map before it comes. The same record
//! without the graph shows that nothing else foretold it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use crate::bed::Bed;
use crate::world::World;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};
use tidegate_engine::{Config, State, tick};
use tidegate_history::Reader;
use tidegate_types::{Event, Input, Resource, Unit};

/// Seconds between the beginnings of the front's work: uneven, so that no period explains them.
const GAPS_S: [f64; 7] = [8.0, 10.5, 7.5, 9.5, 8.5, 10.0, 7.5];
/// Bursts from which the lag is learned before the map is held to it.
const LEARNED: usize = 4;
const FRONT_WORKS_S: f64 = 1.2;
/// From the beginning of the front's work to that of the back's.
const LAG_S: f64 = 2.5;
const BACK_WORKS_S: f64 = 2.8;
const BACK_LIMIT_CORES: f64 = 0.2;
/// An onset is named when it is told this much ahead and this near.
const AHEAD_S: f64 = 0.8;
const NEAR_S: f64 = 1.5;

/// The test that plays the programs.
const PROGRAM: &str = "chain::a_program_of_the_chain";

fn spin(seconds: f64) {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

fn boot_s() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Not a test by itself: the programs of the chain, which are this binary started again with a role.
#[test]
fn a_program_of_the_chain() {
    let Ok(role) = std::env::var("TIDEGATE_TEST_CHAIN") else {
        return;
    };
    if role == "back" {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        println!("\nport {}", listener.local_addr().unwrap().port());
        let (mut calls, _) = listener.accept().unwrap();
        while matches!(calls.read(&mut [0]), Ok(1)) {
            println!("\nonset {}", boot_s());
            spin(BACK_WORKS_S);
        }
        return;
    }
    let port: u16 = role.parse().unwrap();
    let mut back = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    for gap_s in GAPS_S {
        std::thread::sleep(Duration::from_secs_f64(gap_s - LAG_S));
        spin(FRONT_WORKS_S);
        std::thread::sleep(Duration::from_secs_f64(LAG_S - FRONT_WORKS_S));
        back.write_all(&[1]).unwrap();
    }
    std::thread::sleep(Duration::from_secs_f64(BACK_WORKS_S + 3.0));
}

fn number_after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix(word)
}

/// How long before each onset the map named it, where it did, with the record's dependencies or without them.
fn named_ahead(world: &World, unit: &Unit, onsets_s: &[f64], with_graph: bool) -> Vec<Option<f64>> {
    let reader = Reader::open(&world.path().join("data/history"));
    let mut state = State::new(Config::default());
    let mut ahead = vec![None; onsets_s.len()];
    for recorded in reader.recording(0).unwrap() {
        let mut input: Input = recorded.unwrap().input;
        if !with_graph {
            input
                .events
                .retain(|event| !matches!(event, Event::Dependencies { .. }));
        }
        let now_s = input.now.boot.seconds();
        let output = tick(&mut state, &input);
        let named = output
            .map
            .and_then(|map| map.entry(unit).cloned())
            .filter(|entry| entry.ongoing_since.is_none())
            .and_then(|entry| entry.onset);
        let Some(named) = named else { continue };
        for (onset_s, ahead) in onsets_s.iter().zip(&mut ahead) {
            let before_s = onset_s - now_s;
            let near = (named.q50 - onset_s).abs() <= NEAR_S;
            if ahead.is_none() && near && (AHEAD_S..=LAG_S).contains(&before_s) {
                *ahead = Some(before_s);
            }
        }
    }
    ahead
}

#[test]
fn the_downstreams_rise_is_on_the_map_before_it_comes() {
    const NAME: &str = "chain::the_downstreams_rise_is_on_the_map_before_it_comes";
    let mut bed = match Bed::new("chain", &[("front", None), ("back", Some(BACK_LIMIT_CORES))]) {
        Ok(bed) => bed,
        Err(reason) => {
            eprintln!("SKIP {NAME}: {reason}");
            return;
        }
    };
    let world = World::new();
    let daemon = world.run(&[]);
    let mut back = std::io::BufReader::new(bed.start("back", PROGRAM, &[("TIDEGATE_TEST_CHAIN", "back")]));
    let mut lines = std::io::BufRead::lines(&mut back).map_while(Result::ok);
    let port = lines
        .find_map(|line| number_after(&line, "port ").map(str::to_owned))
        .unwrap();
    let _front = bed.start("front", PROGRAM, &[("TIDEGATE_TEST_CHAIN", &port)]);
    let onsets_s: Vec<f64> = lines
        .filter_map(|line| number_after(&line, "onset ")?.parse().ok())
        .take(GAPS_S.len())
        .collect();
    std::thread::sleep(Duration::from_secs_f64(BACK_WORKS_S + 2.5));
    let graph = world.json("graph", &[]);
    assert_eq!(daemon.stop(), Some(0));
    let (front, back) = (bed.app("front"), bed.app("back"));
    let edge = graph["edges"]
        .as_array()
        .unwrap()
        .iter()
        .find(|edge| edge["upstream"] == front.as_str() && edge["downstream"] == back.as_str())
        .unwrap_or_else(|| panic!("the call was not found: {graph}"));
    assert_eq!(edge["seen"], format!("tcp:{port}"));
    let lag_s = edge["lag_s"]
        .as_f64()
        .unwrap_or_else(|| panic!("no lag was learned: {edge}"));
    assert!((lag_s - LAG_S).abs() < 1.0, "{edge}");

    let unit = Unit::Limit(back, Resource::Cpu);
    let with = named_ahead(&world, &unit, &onsets_s[LEARNED..], true);
    let without = named_ahead(&world, &unit, &onsets_s[LEARNED..], false);
    println!(
        "named ahead, in seconds: {with:?} with the graph, {without:?} without; the learned lag {lag_s:.2} s"
    );
    let named = |ahead: &[Option<f64>]| ahead.iter().flatten().count();
    assert!(named(&with) + 1 >= with.len(), "{with:?}");
    assert!(named(&without) < named(&with), "{without:?}");
    let picture = world.path().join("reliability.svg");
    let table = world.verb("calibration", &["--svg", picture.to_str().unwrap()]);
    assert!(
        table.status.success(),
        "{}",
        String::from_utf8_lossy(&table.stderr)
    );
    assert!(std::fs::read_to_string(&picture).unwrap().starts_with("<svg "));
    let calibration = world.json("calibration", &["--false-alarms", "0.1"]);
    assert!(calibration["rows"].is_array(), "{calibration}");
    let report = world.json("replay", &["--since", "1h"]);
    assert_eq!(report["plans_compared"], report["plans_equal"], "{report}");
    assert_eq!(report["states_compared"], report["states_equal"], "{report}");
}

#[test]
fn declared_graphs_are_checked_with_their_places() {
    let world = World::new();
    let good = world.path().join("calls.toml");
    let bad = world.path().join("broken.dot");
    std::fs::write(
        &good,
        "[[edge]]\nfrom = \"web\"\nto = \"db\"\n[[edge]]\nfrom = \"db\"\nto = \"web\"\n",
    )
    .unwrap();
    std::fs::write(&bad, "digraph {\n web ->\n}").unwrap();
    let output = world.verb(
        "graph",
        &["--file", good.to_str().unwrap(), "--file", bad.to_str().unwrap()],
    );
    let (out, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(out.contains("calls.toml:3"), "the rest still counts: {out}");
    assert!(
        errors.contains("calls.toml:6: db -> web closes a cycle (web -> db -> web)"),
        "{errors}"
    );
    assert!(errors.contains("broken.dot:3:1: a name is missing"), "{errors}");

    let daemon = world.run(&[
        "--graph",
        good.to_str().unwrap(),
        "--graph",
        bad.to_str().unwrap(),
    ]);
    world.wait_for_apps();
    let view = world.json("graph", &[]);
    let remarks = view["remarks"].to_string();
    assert!(
        remarks.contains("calls.toml:3: `web` is no app on this host"),
        "{remarks}"
    );
    assert_eq!(daemon.stop(), Some(0));
}

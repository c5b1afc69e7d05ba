//! From a wish to a verdict and a switch, on a real process.

use crate::support::{Bench, Tools, skip, stop, wait_until};
use std::path::Path;
use std::time::{Duration, Instant};
use tidegate_format::scenario::Scenario;
use tidegate_types::{AppName, BootTime, Event, Mode, PredictionId, Switched};
use tidegate_variants::choice::Choices;
use tidegate_variants::compile::Worker;
use tidegate_variants::heat::profile::{Pick, Profile};
use tidegate_variants::heat::resolve::Resolver;
use tidegate_variants::heat::{Sampler, Scope};
use tidegate_variants::orchestrator::{Orchestrator, Settings, Wish};
use tidegate_variants::recipe::Recipe;
use tidegate_variants::switchboard::Switchboard;
use tidegate_variants::trial::{Config, Gain, Ground, Verdict};

fn kernel(test: &str) -> Option<(Bench, Worker)> {
    let tools = Tools::find(test)?;
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kernel.c");
    let program = tools.build(&[source], &["-O2"], &["triad", "total", "mix"], folder.path());
    Some((Bench { folder, program }, Worker::new(&tools.worker).unwrap()))
}

fn boot_now() -> BootTime {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    BootTime(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
}

fn utc_now_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn wish(process: u32, from_s: f64, until_s: f64, mode: Mode) -> Wish {
    Wish {
        app: AppName::new("exe:kernel"),
        processes: vec![process],
        cores: Vec::new(),
        scenario: tidegate_types::Scenario::Cpu,
        by: boot_now().plus_seconds(from_s),
        until: boot_now().plus_seconds(until_s),
        mode,
        prediction: None,
        is_observed: from_s < 0.0,
    }
}

/// Whether the kernel lets us sample; says that the test is skipped where it does not.
fn can_sample(test: &str) -> bool {
    let sampler = Sampler::start(Scope::Host, 97);
    sampler.map_err(|error| skip(test, &error.to_string())).is_ok()
}

#[test]
fn heat_is_told_per_core_and_function_of_pinned_processes() {
    let Some((bench, _)) = kernel("heat_per_core") else {
        return;
    };
    if !can_sample("heat_per_core") {
        return;
    }
    let mut sampler = Sampler::start(Scope::Host, 397).unwrap();
    let children: Vec<_> = (0..2).map(|_| bench.run(&["60"])).collect();
    for (core, child) in children.iter().enumerate() {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(core);
        rustix::thread::sched_setaffinity(Some(rustix::process::Pid::from_child(child)), &cores).unwrap();
    }
    let (first, second) = (children[0].id(), children[1].id());
    // What ran before the pinning may have run anywhere.
    sampler.drain();
    let (mut profile, mut resolver) = (Profile::default(), Resolver::default());
    wait_until("both processes are sampled", || {
        for sample in sampler.drain().samples {
            if [first, second].contains(&sample.process) {
                let function = resolver.function(sample.process, sample.address);
                profile.add(sample.process, sample.core, function.as_deref());
            }
        }
        profile.total(first, &[0]) > 100.0 && profile.total(second, &[1]) > 100.0
    });
    assert_eq!(
        (profile.total(first, &[1]), profile.total(second, &[0])),
        (0.0, 0.0)
    );
    let hot = profile.hottest(
        first,
        &[0],
        Pick {
            together: 1.0,
            ..Pick::default()
        },
    );
    eprintln!("{hot:?}");
    assert!(
        hot.iter()
            .any(|hot| hot.function == "triad" || hot.function == "total"),
        "{hot:?}"
    );
    assert!(
        hot.iter()
            .all(|hot| ["triad", "total", "mix"].contains(&hot.function.as_str()))
    );
    assert_eq!(profile.hottest(first, &[1], Pick::default()), []);
    for child in children {
        assert!(stop(child).contains("bad=0"));
    }
}

/// Short slices and few blocks: the way is tested, not the verdict.
fn quick_settings(folder: &std::path::Path) -> Settings {
    let trial = Config {
        blocks: 6,
        slice_ms: 20,
        least_gain: 0.015,
        ..Config::default()
    };
    let pick = Pick {
        functions: 1,
        ..Pick::default()
    };
    Settings {
        trial,
        pick,
        seed: 1,
        ..Settings::in_folder(folder)
    }
}

/// A verdict that says that the variant of every function helps.
fn helping() -> Verdict {
    let gain = Gain {
        estimate: 0.2,
        lower: 0.1,
        upper: 0.3,
    };
    Verdict {
        kept: true,
        ground: Ground::Helps,
        over_base: gain,
        over_placebo: gain,
        blocks: 48,
        dropped: 0,
    }
}

#[test]
fn accepted_variants_are_loaded_before_the_onset_and_switched_at_it() {
    let test = "orchestrator_ahead";
    let Some((bench, worker)) = kernel(test) else {
        return;
    };
    if !can_sample(test) {
        return;
    }
    let server = bench.serve_with(Some(worker));
    let board = server.board();
    let child = bench.run(&["300"]);
    let process = child.id();
    wait_until("the runtime connects", || board.is_connected(process));
    let settings = quick_settings(bench.folder.path());
    accept_everything(board, process, &settings);
    let orchestrator = Orchestrator::start(board.clone(), settings);
    orchestrator.submit(vec![wish(process, 600.0, 900.0, Mode::Enforce)]);
    wait_for_variant(board, process, &orchestrator);
    let name = with_variant(board, process).remove(0);
    assert_eq!(
        current_of(board, process, &name),
        Scenario::Base,
        "not before the onset"
    );
    let compiles = board
        .cache_list(rustix::process::geteuid().as_raw())
        .unwrap()
        .len();
    // Its time has come, but the contention has not.
    orchestrator.submit(vec![Wish {
        is_observed: false,
        ..wish(process, -1.0, 900.0, Mode::Enforce)
    }]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(
        current_of(board, process, &name),
        Scenario::Base,
        "not by foresight alone"
    );
    let onset = Instant::now();
    orchestrator.submit(vec![wish(process, -1.0, 900.0, Mode::Enforce)]);
    wait_until("switched at the onset", || {
        current_of(board, process, &name) == Scenario::Cpu
    });
    eprintln!(
        "switched {:?} after the onset",
        Instant::now().saturating_duration_since(onset)
    );
    // It ended, and the next one is foreseen already.
    orchestrator.submit(vec![wish(process, 600.0, 900.0, Mode::Enforce)]);
    wait_until("the base is back", || {
        current_of(board, process, &name) == Scenario::Base
    });
    let later = board
        .cache_list(rustix::process::geteuid().as_raw())
        .unwrap()
        .len();
    assert!(later >= compiles);
    drop(orchestrator);
    assert!(stop(child).contains("bad=0"));
}

/// What the slot of one function leads to.
fn current_of(board: &Switchboard, process: u32, name: &str) -> Scenario {
    let functions = board.functions(process).unwrap();
    let function = functions.into_iter().find(|function| function.name == name);
    function.unwrap().current
}

#[test]
fn a_wish_leads_from_heat_to_a_compiled_tried_and_reverted_variant() {
    let test = "orchestrator_wish";
    let Some((bench, worker)) = kernel(test) else {
        return;
    };
    if !can_sample(test) {
        return;
    }
    let server = bench.serve_with(Some(worker));
    let board = server.board();
    let child = bench.run(&["300"]);
    let process = child.id();
    wait_until("the runtime connects", || board.is_connected(process));
    let orchestrator = Orchestrator::start(board.clone(), quick_settings(bench.folder.path()));

    // Observe and advise touch nothing.
    orchestrator.submit(vec![wish(process, -1.0, 600.0, Mode::Advise)]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        board
            .functions(process)
            .unwrap()
            .iter()
            .all(|function| function.loaded.is_empty())
    );

    orchestrator.submit(vec![wish(process, 300.0, 600.0, Mode::Enforce)]);
    let mut events = Vec::new();
    let end = Instant::now() + Duration::from_secs(90);
    let mut wait_for = |what: &str, wanted: &dyn Fn(&Event) -> bool| {
        while !events.iter().any(wanted) {
            assert!(
                Instant::now() < end,
                "waited in vain: {what}: {events:?}, {:?}",
                orchestrator.status()
            );
            events.extend(orchestrator.take_events());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for("ready", &|event| matches!(event, Event::VariantReady { .. }));
    assert!(
        board
            .functions(process)
            .unwrap()
            .iter()
            .all(|function| function.current == Scenario::Base)
    );

    orchestrator.submit(vec![wish(process, -1.0, 600.0, Mode::Enforce)]);
    wait_for("verdict", &|event| matches!(event, Event::Trial(_)));
    let verdict = events.iter().find_map(|event| match event {
        Event::Trial(verdict) => Some(verdict.clone()),
        _ => None,
    });
    let verdict = verdict.unwrap();
    eprintln!("{verdict:?}");
    let state = |board: &Switchboard| current_of(board, process, &verdict.function);
    // Kept or not: until another episode confirms it, the base stays.
    wait_until("the base is in place", || state(board) == Scenario::Base);

    orchestrator.submit(Vec::new());
    wait_until("the base is put back", || state(board) == Scenario::Base);
    drop(orchestrator);
    assert!(stop(child).contains("bad=0"));
}

/// Verdicts that the first candidate of every function helps, twice, in episodes that are over.
fn accept_everything(board: &Switchboard, process: u32, settings: &Settings) {
    let model = &board.options().processor.model;
    let mut choices = Choices::default();
    for info in board.functions(process).unwrap() {
        for ago_s in [999, 998] {
            let key = (info.hash, &Recipe::plain(Scenario::Cpu), model.as_str());
            choices.put(key, &info.name, helping(), utc_now_s() - ago_s);
        }
    }
    choices.save(&settings.choices_path).unwrap();
}

/// Waits until a function of the process has the variant; where none gets it, the orchestrator says what it did instead.
fn wait_for_variant(board: &Switchboard, process: u32, orchestrator: &Orchestrator) {
    let end = Instant::now() + Duration::from_mins(1);
    while with_variant(board, process).is_empty() {
        assert!(Instant::now() < end, "{:?}", orchestrator.status());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Functions of a process that have the variant.
fn with_variant(board: &Switchboard, process: u32) -> Vec<String> {
    let functions = board.functions(process).unwrap().into_iter();
    let loaded = functions.filter(|info| info.loaded.contains(&Scenario::Cpu));
    loaded.map(|info| info.name).collect()
}

#[test]
fn contention_on_one_core_recompiles_what_runs_hot_there_and_nothing_else() {
    let test = "orchestrator_cores";
    let Some(tools) = Tools::find(test) else {
        return;
    };
    if !can_sample(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cores.c");
    let program = tools.build(&[source], &["-O2", "-pthread"], &["left", "right"], folder.path());
    let bench = Bench { folder, program };
    let server = bench.serve_with(Some(Worker::new(&tools.worker).unwrap()));
    let board = server.board();
    // One process whose threads are pinned to a core each, and one that runs on the other core alone.
    let children = [bench.run(&["0", "1"]), bench.run(&["1", "1"])];
    let processes = [children[0].id(), children[1].id()];
    wait_until("the runtimes connect", || {
        processes.iter().all(|process| board.is_connected(*process))
    });
    let settings = Settings {
        pick: Pick::default(),
        ..quick_settings(bench.folder.path())
    };
    accept_everything(board, processes[0], &settings);
    let orchestrator = Orchestrator::start(board.clone(), settings);
    let wish = Wish {
        processes: processes.to_vec(),
        cores: vec![0],
        ..wish(processes[0], 600.0, 900.0, Mode::Enforce)
    };
    orchestrator.submit(vec![wish]);
    wait_for_variant(board, processes[0], &orchestrator);
    wait_until("everything is compiled", || orchestrator.status().is_resting);
    assert_eq!(
        with_variant(board, processes[0]),
        ["left"],
        "what is hot on the other core is left alone"
    );
    assert_eq!(
        with_variant(board, processes[1]),
        Vec::<String>::new(),
        "and so is a process that does not run there"
    );
    drop(orchestrator);
    for child in children {
        assert!(stop(child).contains("bad=0"));
    }
}

#[test]
fn every_switch_names_the_prediction_or_the_condition_behind_it() {
    let test = "orchestrator_reasons";
    let Some((bench, worker)) = kernel(test) else {
        return;
    };
    if !can_sample(test) {
        return;
    }
    let server = bench.serve_with(Some(worker));
    let board = server.board();
    let child = bench.run(&["300"]);
    let process = child.id();
    wait_until("the runtime connects", || board.is_connected(process));
    let settings = quick_settings(bench.folder.path());
    accept_everything(board, process, &settings);
    let orchestrator = Orchestrator::start(board.clone(), settings);
    orchestrator.submit(vec![wish(process, 600.0, 900.0, Mode::Enforce)]);
    wait_for_variant(board, process, &orchestrator);
    // A prediction that does not come: it is taken back before its time, and nothing was switched.
    orchestrator.submit(Vec::new());
    wait_until("nothing is left to do", || orchestrator.status().is_resting);
    let switches = |orchestrator: &Orchestrator| -> Vec<Switched> {
        let events = orchestrator.take_events().into_iter();
        let switches = events.filter_map(|event| match event {
            Event::Switched(switched) => Some(switched),
            _ => None,
        });
        switches.collect()
    };
    assert_eq!(switches(&orchestrator), []);

    // One that was foreseen, and one that was not: both use what is loaded.
    for prediction in [Some(PredictionId(7)), None] {
        let asked = Wish {
            prediction,
            ..wish(process, -1.0, 600.0, Mode::Enforce)
        };
        let mut seen = Vec::new();
        let mut wait_for = |to: Option<tidegate_types::Scenario>| {
            wait_until("the switch is told", || {
                seen.extend(switches(&orchestrator));
                seen.last().is_some_and(|switched: &Switched| switched.to == to)
            });
            seen.pop().unwrap()
        };
        orchestrator.submit(vec![asked]);
        let there = wait_for(Some(tidegate_types::Scenario::Cpu));
        assert_eq!((there.pid, there.prediction), (process, prediction));
        assert_eq!(there.reason.contains("p7"), prediction.is_some(), "{there}");
        orchestrator.submit(Vec::new());
        let back = wait_for(None);
        assert_eq!(back.functions, there.functions);
        assert!(back.reason.contains("over"), "{back}");
    }
    drop(orchestrator);
    assert!(stop(child).contains("bad=0"));
}

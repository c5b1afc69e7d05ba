//! From a wish to a verdict and a switch, on a real process.

use crate::support::{Bench, Tools, skip, stop, wait_until};
use std::path::Path;
use std::time::{Duration, Instant};
use tidegate_format::scenario::Scenario;
use tidegate_types::{AppName, BootTime, Event, Mode};
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
    let model = &board.options().processor.model;
    let mut choices = Choices::default();
    for info in board.functions(process).unwrap() {
        let recipe = Recipe::plain(Scenario::Cpu);
        for at_utc_s in [1, 2] {
            let at_utc_s = utc_now_s() - 1000 + at_utc_s;
            choices.put((info.hash, &recipe, model), &info.name, helping(), at_utc_s);
        }
    }
    choices.save(&settings.choices_path).unwrap();
    let orchestrator = Orchestrator::start(board.clone(), settings);
    orchestrator.submit(vec![wish(process, 600.0, 900.0, Mode::Enforce)]);
    let loaded = || {
        let functions = board.functions(process).unwrap();
        functions
            .into_iter()
            .find(|info| info.loaded.contains(&Scenario::Cpu))
    };
    let end = Instant::now() + Duration::from_mins(1);
    while loaded().is_none() {
        assert!(Instant::now() < end, "{:?}", orchestrator.status());
        std::thread::sleep(Duration::from_millis(50));
    }
    let name = loaded().unwrap().name;
    assert_eq!(
        current_of(board, process, &name),
        Scenario::Base,
        "not before the onset"
    );
    let compiles = board
        .cache_list(rustix::process::geteuid().as_raw())
        .unwrap()
        .len();
    let onset = Instant::now() + Duration::from_millis(500);
    orchestrator.submit(vec![wish(process, 0.5, 900.0, Mode::Enforce)]);
    wait_until("switched at the onset", || {
        current_of(board, process, &name) == Scenario::Cpu
    });
    eprintln!(
        "switched {:?} after the onset",
        Instant::now().saturating_duration_since(onset)
    );
    assert!(Instant::now() >= onset, "not before the onset");
    orchestrator.submit(vec![wish(process, -10.0, -1.0, Mode::Enforce)]);
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

//! Inputs, plans, decisions and checkpoints, as `replay`, `explain` and `report` read them.

use crate::support::{app, at, inline, sample};
use tidegate_history::{Decision, Reader, RecordedTick, Store, StoreConfig};
use tidegate_types::{
    Advice, AppName, BootTime, Cause, ContentionEvent, ContentionMap, DeclaredEvent, Event, Input, Knob,
    KnobValue, Lease, LeaseId, MapEntry, Moment, Outcome, Output, Plan, PredictionId, Resource, Scenario,
    Source, Treatment, TrialVerdict, Trigger, Unit, WriteFailure, WriteResult,
};

const ASKED: KnobValue = KnobValue::CpuMax {
    quota_us: Some(50_000),
    period_us: 100_000,
    burst_us: 0,
};

fn lease(id: u64, made: Moment) -> Lease {
    Lease {
        id: LeaseId(id),
        app: AppName::new("batch"),
        asked: ASKED,
        found: None,
        start: made.boot,
        end: made.boot.plus_seconds(6.0),
        cause: Cause {
            trigger: Trigger::Predicted,
            prediction: Some(PredictionId(id + 100)),
            unit: Unit::Cpu,
            beneficiary: AppName::new("web"),
            rule: "throttle".to_owned(),
        },
    }
}

fn map(id: u64, made: Moment) -> ContentionMap {
    let entry = MapEntry {
        id: PredictionId(id),
        unit: Unit::Cpu,
        windows: Vec::new(),
        confidence: 0.5,
        onset: None,
        end: None,
        peak: None,
        peak_censored: false,
        ebbing: false,
        drivers: Vec::new(),
        reason: "it repeats".to_owned(),
        source: Source::Periodic,
        trained: true,
        ongoing_since: None,
        demoted: false,
    };
    ContentionMap {
        made,
        entries: vec![entry],
        demands: Vec::new(),
    }
}

fn input(second: u64) -> Input {
    let events = match second {
        0 => vec![Event::Started {
            boot_id: "boot-1".into(),
            cpus: 2,
        }],
        3 => vec![Event::Written(WriteResult {
            lease: LeaseId(1),
            app: AppName::new("batch"),
            knob: Knob::CpuMax,
            found: None,
            outcome: Ok(ASKED),
            at: at(3).boot,
            restored: false,
        })],
        4 => vec![
            Event::Waiting {
                unit: Unit::Cpu,
                share: 0.1 + 0.2,
            },
            Event::ForeignWrite {
                app: AppName::new("batch"),
                knob: Knob::CpuMax,
                value: None,
            },
        ],
        _ => Vec::new(),
    };
    Input {
        now: at(second).plus_seconds(0.25),
        events,
        sample: (second % 3 != 2).then(|| sample(second)),
    }
}

fn output(second: u64) -> Output {
    let made = input(second).now;
    let leases = if (2..6).contains(&second) {
        vec![lease(1, at(2))]
    } else {
        Vec::new()
    };
    let outcome = Outcome {
        prediction: PredictionId(101),
        unit: Unit::Cpu,
        made: BootTime(1),
        window_s: 60,
        probability: 1.0 / 3.0,
        confidence: 0.5,
        source: Source::Periodic,
        happened: None,
        treatment: Treatment::Treated,
        onset_error_s: Some(-0.1),
        onset_covered: None,
        peak: None,
    };
    let contention = ContentionEvent {
        unit: Unit::Cpu,
        begin: BootTime(7),
        end: None,
        treatment: Treatment::Untreated,
        peak_waiting: 0.9,
        apps: vec![AppName::new("web")],
    };
    Output {
        map: (second == 1).then(|| map(101, made)),
        plan: Plan {
            made,
            leases,
            ..Plan::default()
        },
        contention: if second == 5 { vec![contention] } else { Vec::new() },
        outcomes: if second == 5 { vec![outcome] } else { Vec::new() },
        notices: Vec::new(),
    }
}

fn plan_bytes(second: u64) -> Vec<u8> {
    format!("{:?}", output(second).plan).into_bytes()
}

/// One of each kind, with the numbers that text formats lose.
fn every_event() -> Vec<Event> {
    let write = |outcome| WriteResult {
        lease: LeaseId(u64::MAX),
        app: AppName::new("é"),
        knob: Knob::CpuWeight,
        found: Some(KnobValue::CpuWeight {
            weight: 100,
            idle: true,
        }),
        outcome,
        at: BootTime(u64::MAX),
        restored: true,
    };
    let verdict = TrialVerdict {
        app: AppName::new("work"),
        pid: 7,
        function: "hot".to_owned(),
        scenario: Scenario::Neighbour,
        kept: false,
        ratio: f64::INFINITY,
        interval: (f64::NEG_INFINITY, 0.1 + 0.2),
        reason: String::new(),
    };
    let declared = DeclaredEvent {
        name: "sale".into(),
        app: AppName::new("web"),
        at_utc_ms: -1,
        duration_s: 1e-300,
        every_s: None,
        cores: Some(f64::MIN_POSITIVE),
    };
    vec![
        Event::PolicyChanged("[default]\n".into()),
        Event::AppWent(AppName::new("")),
        Event::Written(write(Err(WriteFailure::Refused("EINVAL".to_owned())))),
        Event::Written(write(Err(WriteFailure::GroupGone))),
        Event::Written(write(Ok(ASKED))),
        Event::Waiting {
            unit: Unit::Limit(AppName::new("a/b"), Resource::Io),
            share: -0.0,
        },
        Event::VariantReady {
            app: AppName::new("work"),
            function: "f".to_owned(),
            scenario: Scenario::Cpu,
        },
        Event::Trial(verdict),
        Event::ModelPromoted("0".repeat(64).into()),
        Event::Declared(declared),
        Event::Paused,
        Event::Resumed,
    ]
}

#[test]
fn every_kind_of_event_reads_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    let input = Input {
        now: at(0),
        events: every_event(),
        sample: None,
    };
    store.append_input(&input).expect("well formed");
    assert_eq!(ticks(store.reader(), 0)[0].input, input);
    let decisions = store.reader().decisions(i64::MIN).expect("a listing");
    assert_eq!(decisions.len(), every_event().len() - 2);
    assert_eq!(store.reader().damage(), []);
}

fn record(store: &mut Store, seconds: std::ops::Range<u64>) {
    for second in seconds {
        store.append_input(&input(second)).expect("well formed");
        let output = output(second);
        store
            .append_output(output.plan.made, &output, &plan_bytes(second))
            .expect("well formed");
    }
}

fn ticks(reader: &Reader, after: u64) -> Vec<RecordedTick> {
    let recording = reader.recording(after).expect("a listing");
    recording.map(|tick| tick.expect("readable")).collect()
}

fn check(tick: &RecordedTick, second: u64) {
    assert_eq!(tick.number, second + 1);
    assert_eq!(tick.input, input(second));
    assert_eq!(tick.plan.as_deref(), Some(&plan_bytes(second)[..]));
    assert!(!tick.sample_missing);
}

#[test]
fn every_input_and_plan_reads_back_across_seals_and_restarts() {
    let dir = tempfile::tempdir().expect("a folder");
    for part in [0..400, 400..401, 401..800] {
        let (mut store, report) = Store::open(dir.path(), inline()).expect("opens");
        assert_eq!(report.last_tick, part.start);
        record(&mut store, part);
    }
    let reader = Reader::open(dir.path());
    let all = ticks(&reader, 0);
    assert_eq!(all.len(), 800);
    all.iter()
        .enumerate()
        .for_each(|(second, tick)| check(tick, second as u64));
    let late = ticks(&reader, 790);
    assert_eq!(late.len(), 10);
    check(&late[0], 790);
    assert_eq!(reader.damage(), []);
}

#[test]
fn a_sample_that_is_gone_is_marked_not_made_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    record(&mut store, 0..700);
    let seconds = dir.path().join("seconds");
    let first = std::fs::read_dir(&seconds)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .min();
    std::fs::remove_file(first.expect("a sealed file")).expect("removed");
    let all = ticks(store.reader(), 0);
    assert_eq!(all.len(), 700);
    assert!(all[0].sample_missing && all[0].input.sample.is_none());
    check(&all[699], 699);
}

#[test]
fn checkpoints_are_found_by_tick_and_the_oldest_go_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = StoreConfig {
        checkpoint_bytes: 300,
        ..inline()
    };
    let (mut store, _) = Store::open(dir.path(), config).expect("opens");
    for second in 0..5 {
        record(&mut store, second..second + 1);
        assert!(
            store
                .append_checkpoint(at(second), &[second as u8; 100])
                .expect("kept")
        );
    }
    store.flush().expect("maintains");
    let reader = store.reader();
    assert_eq!(reader.checkpoints().expect("a listing"), [4, 5]);
    let latest = reader.latest_checkpoint().expect("read").expect("there");
    assert_eq!((latest.tick, latest.at, &*latest.boot_id), (5, at(4), "boot-1"));
    assert_eq!(latest.state, [4; 100]);
    assert_eq!(reader.checkpoint(1).expect("read"), None);
}

#[test]
fn an_action_is_one_lease_from_plan_to_end_with_its_prediction() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    record(&mut store, 0..10);
    let reader = store.reader();
    let actions = reader.actions(i64::MIN).expect("a listing");
    let [action] = actions.as_slice() else {
        panic!("one action: {actions:?}")
    };
    assert_eq!(action.planned, output(2).plan.made);
    assert_eq!(action.lease, lease(1, at(2)));
    assert_eq!(
        action.prediction.as_ref(),
        map(101, action.planned).entries.first()
    );
    assert_eq!(action.dropped, Some(output(6).plan.made));
    let events: Vec<&Event> = action.events.iter().map(|(_, event)| event).collect();
    assert!(matches!(
        events[..],
        [Event::Written(_), Event::ForeignWrite { .. }]
    ));
    assert_eq!(reader.actions_of_lease(LeaseId(1)).expect("a listing"), actions);
    assert_eq!(
        reader
            .actions_of_prediction(PredictionId(101))
            .expect("a listing"),
        actions
    );
    assert_eq!(reader.actions_of_lease(LeaseId(2)).expect("a listing"), []);
    assert_eq!(reader.actions(at(9).utc_ms).expect("a listing"), []);
}

#[test]
fn outcomes_contention_maps_and_decisions_are_listed_since_a_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    record(&mut store, 0..10);
    let reader = store.reader();
    let outcomes = reader.outcomes(i64::MIN).expect("a listing");
    assert_eq!(outcomes[0].outcomes, output(5).outcomes);
    assert_eq!(reader.outcomes(at(6).utc_ms).expect("a listing"), []);
    let contention = reader.contention(i64::MIN).expect("a listing");
    assert_eq!(contention[0].1, output(5).contention[0]);
    assert_eq!(
        reader.maps(i64::MIN).expect("a listing"),
        [map(101, output(1).plan.made)]
    );
    let decisions = reader.decisions(i64::MIN).expect("a listing");
    assert!(matches!(
        decisions[0].decision,
        Decision::Event(Event::Started { .. })
    ));
    assert!(
        decisions
            .iter()
            .all(|record| !matches!(record.decision, Decision::Event(Event::Waiting { .. })))
    );
    let known = reader.entities().expect("a listing");
    assert!(known.iter().any(|known| known.entity == app("busy")));
}

#[test]
fn the_input_log_is_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = StoreConfig {
        input_hours: 1,
        ..inline()
    };
    let (mut store, _) = Store::open(dir.path(), config).expect("opens");
    for hour in 0..5_u64 {
        for second in 0..4 {
            let now = at(hour * 3600 + second * 400);
            let input = Input {
                now,
                events: Vec::new(),
                sample: Some(tidegate_types::Sample {
                    now,
                    ..sample(second)
                }),
            };
            store.append_input(&input).expect("well formed");
        }
    }
    store.seal_head();
    store.flush().expect("maintains");
    let left = ticks(store.reader(), 0);
    assert!(
        left.len() < 13 && left.last().map(|tick| tick.number) == Some(20),
        "{}",
        left.len()
    );
}

#[test]
fn what_is_said_again_each_second_is_one_decision() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut store, _) = Store::open(dir.path(), inline()).expect("opens");
    for second in 0..20 {
        store.append_input(&input(second)).expect("well formed");
        let made = at(second);
        let mut moving = lease(7, at(0));
        moving.end = made.boot.plus_seconds(6.0);
        let advice = Advice {
            app: AppName::new("web"),
            knob: Some(Knob::CpuMax),
            value: Some(ASKED),
            unit: Unit::Cpu,
            text: format!("in {second} s"),
        };
        let output = Output {
            plan: Plan {
                made,
                leases: vec![moving],
                advice: vec![advice],
                ..Plan::default()
            },
            map: (second == 0).then(|| map(107, made)),
            ..Output::default()
        };
        store.append_output(made, &output, b"plan").expect("well formed");
    }
    let decisions = store.reader().decisions(i64::MIN).expect("a listing");
    let advice = decisions
        .iter()
        .filter(|record| matches!(record.decision, Decision::Advice(_)));
    assert_eq!(advice.count(), 1);
    let actions = store.reader().actions(i64::MIN).expect("a listing");
    let [action] = actions.as_slice() else {
        panic!("one action: {actions:?}")
    };
    assert_eq!(action.lease.end, at(19).boot.plus_seconds(6.0));
    assert!(action.prediction.is_some());
}

//! The fold of ticks: what a lease, an event and a score look like after they happened.

use tidegate_dashboard::{Assembler, HostState, HostView, LeaseState, View};
use tidegate_types::{
    AppName, Apps, BootTime, Cause, ContentionEvent, ContentionMap, Event, Input, KnobValue, Lease, LeaseId,
    MapEntry, Moment, Outcome, Output, Plan, PredictionId, Quantiles, Resource, Scenario, Source, Treatment,
    TrialVerdict, Trigger, Unit, WindowProbability, WriteFailure, WriteResult,
};

const EPOCH_MS: i64 = 1_000_000_000;

fn at(seconds: f64) -> Moment {
    Moment {
        boot: BootTime::from_seconds(seconds),
        utc_ms: EPOCH_MS + (seconds * 1e3) as i64,
    }
}

fn unit() -> Unit {
    Unit::Limit(AppName::new("web"), Resource::Cpu)
}

fn limit(quota_us: Option<u64>) -> KnobValue {
    KnobValue::CpuMax {
        quota_us,
        period_us: 100_000,
        burst_us: 0,
    }
}

fn lease(id: u64, start_s: f64, end_s: f64) -> Lease {
    Lease {
        id: LeaseId(id),
        app: AppName::new("batch"),
        asked: limit(Some(50_000)),
        found: None,
        start: BootTime::from_seconds(start_s),
        end: BootTime::from_seconds(end_s),
        cause: Cause {
            trigger: Trigger::Predicted,
            prediction: Some(PredictionId(7)),
            unit: unit(),
            beneficiary: AppName::new("web"),
            rule: "batch gives way".to_owned(),
        },
    }
}

fn written(outcome: Result<KnobValue, WriteFailure>, restored: bool, at_s: f64) -> Event {
    Event::Written(WriteResult {
        lease: LeaseId(1),
        app: AppName::new("batch"),
        knob: limit(None).knob(),
        found: Some(limit(None)),
        outcome,
        at: BootTime::from_seconds(at_s),
        restored,
    })
}

fn map(made_s: f64) -> ContentionMap {
    let onset = Quantiles {
        q10: 19.0,
        q50: 20.0,
        q90: 22.0,
    };
    ContentionMap {
        made: at(made_s),
        entries: vec![MapEntry {
            id: PredictionId(7),
            unit: unit(),
            windows: vec![WindowProbability {
                window_s: 60,
                probability: 0.9,
                peak: None,
            }],
            confidence: 0.8,
            onset: Some(onset),
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
        }],
        demands: Vec::new(),
    }
}

fn outcome(window_s: u32, probability: f64, happened: Option<bool>, treatment: Treatment) -> Outcome {
    Outcome {
        prediction: PredictionId(7),
        unit: unit(),
        made: BootTime::from_seconds(10.0),
        window_s,
        probability,
        confidence: 0.8,
        source: Source::Periodic,
        happened,
        treatment,
        onset_error_s: happened.filter(|came| *came).map(|_| 0.5),
        onset_covered: None,
        peak: None,
    }
}

/// The fold, and a clock to move it by.
struct Bed(Assembler);

impl Bed {
    fn new() -> Self {
        Self(Assembler::new(HostView::default(), serde_json::Value::Null))
    }

    fn tick(&mut self, at_s: f64, events: Vec<Event>, leases: &[Lease], output: Output) -> View {
        let input = Input {
            now: at(at_s),
            events,
            sample: None,
        };
        let plan = Plan {
            made: at(at_s),
            leases: leases.to_vec(),
            ..Plan::default()
        };
        let output = Output { plan, ..output };
        self.0.tick(&input, &output, &Apps::new(), HostState::default())
    }
}

#[test]
fn a_lease_goes_from_ahead_to_its_outcome() {
    let mut bed = Bed::new();
    let planned = [lease(1, 19.0, 40.0)];
    let with_map = Output {
        map: Some(map(10.0)),
        ..Output::default()
    };
    let view = bed.tick(10.0, Vec::new(), &planned, with_map);
    let row = &view.plan.leases[0];
    assert_eq!(row.state, LeaseState::Ahead);
    assert_eq!(row.start_utc_ms, EPOCH_MS + 19_000);
    let prediction = row.prediction.as_ref().expect("the prediction behind it");
    assert_eq!(prediction.probability, Some(0.9));
    assert_eq!(
        prediction.onset_utc_ms.expect("an onset").q50,
        (EPOCH_MS + 20_000) as f64
    );

    let write = written(Ok(limit(Some(50_000))), false, 19.0);
    let view = bed.tick(20.0, vec![write], &planned, Output::default());
    let row = &view.plan.leases[0];
    assert_eq!(row.state, LeaseState::Active);
    assert_eq!(row.found.as_ref().expect("found").text, "no limit");
    assert_eq!(
        row.outcome.read_back.as_ref().expect("read back").limit_cores,
        Some(0.5)
    );

    let scored = Output {
        outcomes: vec![
            outcome(60, 0.9, Some(true), Treatment::Treated),
            outcome(300, 0.9, None, Treatment::Unknown),
        ],
        ..Output::default()
    };
    let back = written(Ok(limit(None)), true, 30.0);
    let view = bed.tick(30.0, vec![back], &[], scored);
    assert!(view.plan.leases.is_empty());
    let row = &view.actions[0];
    assert_eq!(row.state, LeaseState::Ended);
    assert_eq!(row.end_utc_ms, EPOCH_MS + 30_000, "given back before its time");
    assert_eq!(row.outcome.restored_utc_ms, Some(EPOCH_MS + 30_000));

    // The order of the tick: scores come before the plan lets go, so the ended row has them.
    assert_eq!(
        row.outcome.happened,
        Some(true),
        "a longer window's silence takes nothing back"
    );
    assert_eq!(row.outcome.onset_error_s, Some(0.5));
}

#[test]
fn a_score_that_comes_after_the_end_still_finds_its_lease() {
    let mut bed = Bed::new();
    bed.tick(10.0, Vec::new(), &[lease(1, 9.0, 20.0)], Output::default());
    bed.tick(20.0, Vec::new(), &[], Output::default());
    let late = Output {
        outcomes: vec![outcome(60, 0.9, Some(false), Treatment::Untreated)],
        ..Output::default()
    };
    let view = bed.tick(70.0, Vec::new(), &[], late);
    assert_eq!(view.actions[0].outcome.happened, Some(false));
}

#[test]
fn a_write_that_did_not_take_is_shown_with_its_reason() {
    let mut bed = Bed::new();
    let planned = [lease(1, 9.0, 40.0)];
    bed.tick(9.0, Vec::new(), &planned, Output::default());
    let refused = written(Err(WriteFailure::Foreign), false, 9.5);
    let view = bed.tick(10.0, vec![refused], &planned, Output::default());
    let row = &view.plan.leases[0];
    assert_eq!(row.state, LeaseState::Refused);
    assert!(
        row.outcome
            .failure
            .as_ref()
            .expect("a reason")
            .contains("someone else")
    );
}

#[test]
fn an_event_that_ends_replaces_its_own_row() {
    let mut bed = Bed::new();
    let event = |end: Option<f64>| Output {
        contention: vec![ContentionEvent {
            unit: unit(),
            begin: BootTime::from_seconds(5.0),
            end: end.map(BootTime::from_seconds),
            treatment: Treatment::Untreated,
            peak_waiting: 0.4,
            apps: vec![AppName::new("web")],
        }],
        ..Output::default()
    };
    let view = bed.tick(6.0, Vec::new(), &[], event(None));
    assert_eq!(view.contention[0].end_utc_ms, None);
    let view = bed.tick(9.0, Vec::new(), &[], event(Some(8.0)));
    assert_eq!(view.contention.len(), 1);
    assert_eq!(view.contention[0].end_utc_ms, Some(EPOCH_MS + 8_000));
}

#[test]
fn skill_counts_untreated_outcomes_only() {
    let mut bed = Bed::new();
    let all = [
        outcome(60, 0.9, Some(true), Treatment::Untreated),
        outcome(60, 0.1, Some(false), Treatment::Untreated),
        outcome(60, 0.8, Some(false), Treatment::Untreated),
        outcome(60, 0.2, Some(true), Treatment::Untreated),
        outcome(60, 0.9, Some(true), Treatment::Treated),
        outcome(60, 0.9, None, Treatment::Untreated),
    ];
    let scored = Output {
        outcomes: all.to_vec(),
        ..Output::default()
    };
    let view = bed.tick(9.0, Vec::new(), &[], scored);
    let row = &view.skill[0];
    assert_eq!((row.scored, row.set_aside), (4, 2));
    assert_eq!((row.hits, row.misses, row.false_alarms), (1, 1, 1));
    let brier = (0.01 + 0.01 + 0.64 + 0.64) / 4.0;
    assert!((row.brier.expect("a score") - brier).abs() < 1e-12);
    assert!((row.skill.expect("a skill") - (1.0 - brier / 0.25)).abs() < 1e-12);
    assert_eq!(row.onset_error_s, Some(0.5));
}

#[test]
fn a_verdict_replaces_the_variant_that_waited_for_it() {
    let mut bed = Bed::new();
    let ready = Event::VariantReady {
        app: AppName::new("batch"),
        function: "hash".to_owned(),
        scenario: Scenario::Cpu,
    };
    let view = bed.tick(1.0, vec![ready], &[], Output::default());
    assert_eq!(view.variants[0].kept, None);
    let verdict = Event::Trial(TrialVerdict {
        app: AppName::new("batch"),
        pid: 9,
        function: "hash".to_owned(),
        scenario: Scenario::Cpu,
        kept: false,
        ratio: f64::NAN,
        interval: (0.9, f64::INFINITY),
        reason: "too little work to tell".to_owned(),
    });
    let view = bed.tick(2.0, vec![verdict], &[], Output::default());
    assert_eq!(view.variants.len(), 1);
    assert_eq!(view.variants[0].kept, Some(false));
    assert_eq!(
        (view.variants[0].ratio, view.variants[0].ratio_high),
        (None, None),
        "JSON has no NaN"
    );
}

#[test]
fn every_list_is_bounded_over_a_long_life() {
    let mut bed = Bed::new();
    let mut size = 0;
    for turn in 0..1_000_u64 {
        let now = turn as f64 * 10.0;
        let mut next = map(now);
        next.entries[0].id = PredictionId(turn);
        let event = ContentionEvent {
            unit: unit(),
            begin: BootTime::from_seconds(now),
            end: Some(BootTime::from_seconds(now + 1.0)),
            treatment: Treatment::Untreated,
            peak_waiting: 0.4,
            apps: Vec::new(),
        };
        let output = Output {
            map: Some(next),
            contention: vec![event],
            ..Output::default()
        };
        let view = bed.tick(now, Vec::new(), &[lease(turn, now, now + 5.0)], output);
        if turn == 500 {
            size = serde_json::to_vec(&view).expect("JSON").len();
        }
        if turn == 999 {
            let grown = serde_json::to_vec(&view).expect("JSON").len();
            assert!(grown < size * 11 / 10, "{size} bytes grew to {grown}");
            assert_eq!(view.heat.columns.len(), 360);
            assert_eq!((view.actions.len(), view.contention.len()), (200, 200));
        }
    }
}

#[test]
fn a_restarted_daemon_goes_on_from_the_view_that_was_kept() {
    let mut before = Bed::new();
    let planned = [lease(1, 9.0, 40.0), lease(2, 9.0, 40.0)];
    let output = Output {
        map: Some(map(10.0)),
        outcomes: vec![outcome(60, 0.9, Some(true), Treatment::Untreated)],
        ..Output::default()
    };
    let kept = before.tick(10.0, Vec::new(), &planned, output);

    let mut after = Bed::new();
    after.0.resume(&kept);
    let view = after.tick(15.0, Vec::new(), &planned[..1], Output::default());
    assert_eq!(view.plan.leases.len(), 1, "listed again, so it lives");
    assert_eq!(view.plan.leases[0].state, LeaseState::Active);
    let ended: Vec<u64> = view.actions.iter().map(|row| row.id).collect();
    assert_eq!(ended, [2], "the other one ended with its daemon");
    assert_eq!(view.actions[0].end_utc_ms, kept.made_utc_ms);
    assert_eq!(view.skill, kept.skill);
    assert_eq!(view.heat, kept.heat);
}

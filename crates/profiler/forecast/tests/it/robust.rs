//! Gaps, restarts, reboots, absent counters, equal bytes for equal inputs, and any input at all.

use crate::sim::{Beat, START_UTC_MS, Seeded, Sim, limit_unit, managed};
use proptest::prelude::*;
use tidegate_forecast::{ForecastConfig, Forecaster, UNIT_STATE_BYTES_MAX};
use tidegate_types::{
    AppName, Apps, BootTime, Cause, Class, Entity, Field, KnobValue, Lease, LeaseId, Moment, Row, Sample,
    Treatment, Trigger, Unit,
};

fn busy_sim(seed: u64, seconds: u64) -> Sim {
    let mut random = Seeded(seed);
    let beat = Beat {
        first_s: 30.0,
        period_s: 60.0,
        jitter_s: 1.0,
        skip: 0.1,
        lasts_s: 6.0,
        cores: 0.9,
    };
    let mut sim = Sim::new(seed);
    sim.add("web", 0.6, 0.1, beat.bursts(60, &mut random));
    sim.add("other", 1.0, 0.3, Vec::new());
    while sim.second < seconds {
        sim.tick();
    }
    sim
}

fn bytes(forecaster: &Forecaster) -> Vec<u8> {
    postcard::to_stdvec(forecaster).expect("it can be written")
}

#[test]
fn equal_inputs_give_equal_bytes_and_a_checkpoint_goes_on_the_same() {
    let (mut one, other) = (busy_sim(1, 700), busy_sim(1, 700));
    assert!(bytes(&one.forecaster) == bytes(&other.forecaster));
    let mut again: Forecaster = postcard::from_bytes(&bytes(&other.forecaster)).expect("it can be read");
    println!("state of two units after 700 s: {} bytes", bytes(&again).len());
    for _ in 0..100 {
        one.second += 1;
        let sample = one.sample();
        let left = one.forecaster.observe(&sample, &one.managed, &[]);
        let right = again.observe(&sample, &one.managed, &[]);
        assert_eq!(left, right);
        let (left, right) = (
            one.forecaster.map(sample.now, &one.managed),
            again.map(sample.now, &one.managed),
        );
        assert_eq!(left, right);
    }
    assert!(bytes(&one.forecaster) == bytes(&again));
}

#[test]
fn the_state_of_a_unit_is_bounded() {
    let mut sim = busy_sim(6, 10);
    let mut largest = 0;
    for seconds in [1000, 4000, 7000] {
        while sim.second < seconds {
            let events = sim.tick();
            if sim.second.is_multiple_of(5) && events.is_empty() {
                sim.map = sim.forecaster.map(sim.now(), &sim.managed);
            }
        }
        largest = bytes(&sim.forecaster).len();
    }
    println!("state of two units, one of them busy, after two hours: {largest} bytes");
    assert!(largest < 2 * UNIT_STATE_BYTES_MAX);
}

#[test]
fn a_gap_is_unknown_and_does_not_make_it_forget() {
    let mut sim = busy_sim(2, 900);
    assert!(sim.probability("web", 300) > 0.8);
    sim.second += 600;
    for _ in 0..20 {
        // Not a tick: the simulated apps slept too, so nothing but the clock has moved.
        let sample = sim.sample();
        sim.forecaster.observe(&sample, &sim.managed, &[]);
        sim.second += 1;
    }
    sim.outcomes.extend(sim.forecaster.take_outcomes());
    let unknown = sim
        .outcomes
        .iter()
        .filter(|outcome| outcome.treatment == Treatment::Unknown);
    assert!(unknown.clone().count() > 0 && unknown.clone().all(|outcome| outcome.happened.is_none()));
    sim.map = sim.forecaster.map(sim.now(), &sim.managed);
    assert!(
        sim.probability("web", 300) > 0.5,
        "{}",
        sim.probability("web", 300)
    );
}

#[test]
fn an_app_that_comes_back_is_known() {
    let mut sim = busy_sim(3, 900);
    let name = AppName::new("web");
    let web = sim.managed.remove(&name).expect("it is there");
    sim.forecaster.app_gone(&name);
    for _ in 0..120 {
        sim.tick();
    }
    assert!(
        sim.entry("web").is_none(),
        "it is not on the map while it is gone"
    );
    sim.managed.insert(name, web);
    for _ in 0..10 {
        sim.tick();
    }
    assert!(
        sim.probability("web", 300) > 0.5,
        "{}",
        sim.probability("web", 300)
    );
}

#[test]
fn a_reboot_moves_what_was_learned_to_the_new_clock() {
    let mut sim = busy_sim(4, 900);
    let before = sim.forecaster.map(sim.now(), &sim.managed);
    let onset_s = before
        .entries
        .iter()
        .find_map(|entry| entry.onset)
        .expect("an onset")
        .q50;
    let mut now = sim.now();
    now.utc_ms += 20_000;
    now.boot = BootTime::from_seconds(5.0);
    sim.forecaster.gap(now);
    let mut sample = sim.sample();
    sample.now = now.plus_seconds(1.0);
    sim.forecaster.observe(&sample, &sim.managed, &[]);
    let after = sim.forecaster.map(sample.now, &sim.managed);
    let moved_s = after
        .entries
        .iter()
        .find_map(|entry| entry.onset)
        .expect("an onset")
        .q50;
    let expect_s = onset_s - 1900.0 - 20.0 + 5.0;
    let off = (moved_s - expect_s).rem_euclid(60.0);
    assert!(off.min(60.0 - off) < 3.0, "{moved_s} is not {expect_s}");
}

/// A lease in effect around `now`, with whatever limits the numbers give.
fn any_lease(now: Moment, found: f64, asked: f64) -> Lease {
    let limit = |cores: f64| KnobValue::CpuMax {
        quota_us: (cores > 0.5).then_some((cores * 1e5) as u64),
        period_us: 100_000,
        burst_us: 0,
    };
    Lease {
        id: LeaseId(1),
        app: AppName::new("web"),
        asked: limit(asked),
        found: (found > 0.1).then(|| limit(found)),
        start: now.boot.plus_seconds(-0.5),
        end: now.boot.plus_seconds(0.5),
        cause: Cause {
            trigger: Trigger::Predicted,
            prediction: None,
            unit: if found > 1.0 { Unit::Cpu } else { limit_unit("web") },
            beneficiary: AppName::new("web"),
            rule: String::new(),
        },
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-1.0),
        Just(1e300),
        0.0..2.0_f64
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_samples_give_probabilities(
        steps in prop::collection::vec((0_u64..20_000_000_000, any_value(), any_value(), any_value(), any_value(), 0_u8..4), 1..120)
    ) {
        let apps: Apps = [("web", Class::Standard), ("crunch", Class::Batch)]
            .into_iter()
            .map(|(name, class)| (AppName::new(name), managed(name, class)))
            .collect();
        let mut forecaster = Forecaster::new(ForecastConfig::default());
        let mut boot = 1_000_000_000_000_u64;
        for (step, usage, throttled, limit, waiting, kind) in steps {
            boot = if kind == 3 { boot.saturating_sub(step) } else { boot + step % 3_000_000_000 };
            let now = Moment { boot: BootTime(boot), utc_ms: START_UTC_MS + (boot / 1_000_000).cast_signed() };
            let mut host = Row::empty(Entity::Host);
            host.set(Field::HostCpuWaiting, waiting);
            host.set(Field::HostCpuBusy, usage);
            host.set(Field::HostCpuCapacity, limit);
            let mut web = Row::empty(Entity::App(AppName::new("web")));
            web.set(Field::CpuUsage, usage);
            web.set(Field::CpuThrottled, throttled);
            web.set(Field::CpuLimit, limit);
            web.set(Field::CpuWaiting, waiting);
            let rows = match kind { 0 => vec![], 1 => vec![host], _ => vec![host, web] };
            let sample = Sample { now, interval_s: step as f64 / 1e9, rows };
            let leases = if kind == 2 { vec![any_lease(now, usage, limit)] } else { vec![] };
            let _events = forecaster.observe(&sample, &apps, &leases);
            let map = forecaster.map(now, &apps);
            for entry in &map.entries {
                prop_assert!((0.0..=1.0).contains(&entry.confidence), "{entry:?}");
                let probabilities = entry.windows.iter().map(|window| window.probability);
                prop_assert!(probabilities.clone().all(|probability| (0.0..=1.0).contains(&probability)), "{entry:?}");
                prop_assert!(probabilities.is_sorted(), "{entry:?}");
            }
        }
        prop_assert!(postcard::to_stdvec(&forecaster).is_ok());
    }
}

//! What holds of the loop whatever the rooms inside do.

use crate::crowd::{Host, TENANT_LIMIT};
use tidegate_engine::{Config, Sabotage, State, plan_bytes, tick};
use tidegate_types::Trigger;

const PERIOD_S: u64 = 45;
const CROWD_S: u64 = 6;
/// Enough repetitions to learn from.
const LEARNED_AFTER_S: u64 = PERIOD_S * 8;

/// Share of crowd seconds in which the tenant's limit was raised already when the second began.
fn share_ready(config: Config, seconds: u64) -> f64 {
    let (mut state, mut host) = (State::new(config), Host::new(PERIOD_S, CROWD_S));
    let (mut ready, mut first_seconds) = (0.0_f64, 0.0_f64);
    for second in 0..seconds {
        let begins = host.crowd_at(second) && second > 0 && !host.crowd_at(second - 1);
        if begins && second > LEARNED_AFTER_S {
            first_seconds += 1.0;
            ready += f64::from(u8::from(host.limit("tenant") > TENANT_LIMIT));
        }
        let input = host.step();
        let output = tick(&mut state, &input);
        host.act(&output);
    }
    ready / first_seconds.max(1.0)
}

#[test]
fn a_crowd_that_comes_back_is_met_and_a_wrong_forecast_is_not() {
    let seconds = PERIOD_S * 20;
    let right = share_ready(Config::default(), seconds);
    let sabotage = Sabotage {
        shift_onsets_s: PERIOD_S as f64 / 2.0,
    };
    let wrong = share_ready(
        Config {
            sabotage,
            ..Config::default()
        },
        seconds,
    );
    assert!(
        right > 0.9,
        "the limit was raised ahead of {right:.2} of the crowds"
    );
    assert!(
        wrong < 0.2,
        "a forecast that is half a period off met {wrong:.2} of them"
    );
}

#[test]
fn the_plan_says_that_it_acts_on_a_prediction() {
    let (mut state, mut host) = (State::new(Config::default()), Host::new(PERIOD_S, CROWD_S));
    let mut foreseen = 0;
    for _ in 0..PERIOD_S * 15 {
        let output = tick(&mut state, &host.step());
        foreseen += output
            .plan
            .leases
            .iter()
            .filter(|lease| lease.cause.trigger == Trigger::Predicted && lease.cause.prediction.is_some())
            .count();
        host.act(&output);
    }
    assert!(foreseen > 0, "no lease named a prediction");
}

#[test]
fn the_pool_is_never_exceeded() {
    let (mut state, mut host) = (State::new(Config::default()), Host::new(PERIOD_S, CROWD_S));
    for second in 0..PERIOD_S * 15 {
        let output = tick(&mut state, &host.step());
        host.act(&output);
        let sum = host.limit("tenant") + host.limit("batch");
        assert!(sum <= 1.2 + 1e-6, "{sum:.3} cores at {second} s");
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes_also_through_a_checkpoint() {
    let (mut state, mut host) = (State::new(Config::default()), Host::new(PERIOD_S, CROWD_S));
    let mut restored: Option<State> = None;
    let (mut compared, mut not_empty) = (0, 0);
    for second in 0..PERIOD_S * 12 {
        let input = host.step();
        if second == PERIOD_S * 4 + 7 {
            restored = Some(State::restore(&state.checkpoint().unwrap()).unwrap());
        }
        let output = tick(&mut state, &input);
        if let Some(restored) = &mut restored {
            let again = tick(restored, &input);
            assert_eq!(plan_bytes(&output.plan), plan_bytes(&again.plan), "at {second} s");
            assert_eq!(output.map, again.map, "at {second} s");
            compared += 1;
            not_empty += u32::from(!output.plan.is_empty());
        }
        host.act(&output);
    }
    assert!(compared > 100 && not_empty > 0);
    assert_eq!(
        state.checkpoint().unwrap(),
        restored.unwrap().checkpoint().unwrap()
    );
}

#[test]
fn a_damaged_or_foreign_checkpoint_is_refused_in_words() {
    let bytes = State::new(Config::default()).checkpoint().unwrap();
    for end in 0..bytes.len().min(64) {
        assert!(State::restore(&bytes[..end]).is_err(), "cut at {end}");
    }
    let mut newer = bytes;
    newer[0] = 99;
    let error = State::restore(&newer).unwrap_err().to_string();
    assert!(error.contains("version 99"), "{error}");
}

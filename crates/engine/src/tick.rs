//! One turn of the loop.

use crate::State;
use tidegate_plan::policy;
use tidegate_types::{
    ContentionEvent, ContentionMap, Event, Input, Moment, Notice, Output, Plan, Sample, Severity,
};

/// Takes one input through the loop and says what should hold from now on.
///
/// Events are applied in their order, then the sample is learned from, then the map is renewed where it
/// is due, then the plan is made. Two runs over the same state and inputs give equal outputs.
pub fn tick(state: &mut State, input: &Input) -> Output {
    let mut output = Output::default();
    let mut map_is_due = false;
    for event in &input.events {
        map_is_due |= apply(state, input.now, event, &mut output.notices);
    }
    if input.events.iter().any(moves_classes) {
        state.flow();
    }
    if let Some(sample) = &input.sample {
        output.contention = learn(state, sample);
        map_is_due |= !output.contention.is_empty() || state.forecaster.take_news();
    }
    if map_is_due || map_is_old(state, input.now) {
        output.map = Some(renew_map(state, input.now));
    }
    output.plan = state
        .planner
        .plan(input.now, &state.map, &state.sample, &state.apps, &state.policy);
    state
        .found
        .retain(|id, _| output.plan.leases.iter().any(|lease| lease.id == *id));
    state.plan = output.plan.clone();
    output.outcomes = state.forecaster.take_outcomes();
    output.notices.extend(state.forecaster.take_notices());
    output
}

/// The canonical bytes of a plan: what is recorded, and what a replay must give again.
pub fn plan_bytes(plan: &Plan) -> Vec<u8> {
    // A plan is numbers, text and lists; there is nothing in it that JSON refuses.
    serde_json::to_vec(plan).unwrap_or_default()
}

/// Applies one event; true when the map should be renewed at once.
fn apply(state: &mut State, now: Moment, event: &Event, notices: &mut Vec<Notice>) -> bool {
    state.planner.on_event(now, event);
    match event {
        Event::Started { .. } => {
            for managed in std::mem::take(&mut state.apps).into_values() {
                state.forecaster.app_went(managed.app, now);
            }
            state.found.clear();
            state.forecaster.all_at_base();
            state.forecaster.gap(now);
        }
        Event::AppCame(app) => {
            state.forecaster.app_came(app, now);
            state.admit(app.clone());
        }
        Event::AppWent(name) => match state.apps.remove(name) {
            Some(managed) => state.forecaster.app_went(managed.app, now),
            None => state.forecaster.app_gone(name),
        },
        Event::PolicyChanged(text) => adopt_policy(state, text, notices),
        Event::Written(result) => match (&result.outcome, result.found) {
            (Ok(_), Some(found)) if !result.restored => {
                state.found.insert(result.lease, found);
            }
            _ => {
                state.found.remove(&result.lease);
            }
        },
        Event::ForeignWrite { app, knob, .. } => notices.push(Notice {
            severity: Severity::Warning,
            text: format!("{knob:?} of {app} was written by someone else: it is theirs for an hour"),
        }),
        Event::Switched(switched) => {
            state.forecaster.switched(switched);
            notices.push(Notice {
                severity: Severity::Info,
                text: switched.to_string(),
            });
        }
        Event::Declared(declared) => state.forecaster.declare(declared.clone()),
        Event::Withdrawn(name) => state.forecaster.withdraw(name),
        Event::Expected(firings) => state.forecaster.expect(firings, now),
        Event::LocalTime { offsets, holidays } => state.forecaster.keep_time(offsets, holidays),
        Event::Dependencies { origin, edges } => state.forecaster.depend(*origin, edges, now),
        Event::ModelPromoted(name) => state.forecaster.promote(name),
        Event::VariantReady { .. }
        | Event::Trial(_)
        | Event::Waiting { .. }
        | Event::Paused
        | Event::Resumed => {}
    }
    matches!(
        event,
        Event::Declared(_) | Event::Withdrawn(_) | Event::Waiting { .. } | Event::PolicyChanged(_)
    )
}

/// Whether who matters may be another now: criticality flows along the calls between the apps that are there.
fn moves_classes(event: &Event) -> bool {
    matches!(
        event,
        Event::AppCame(_) | Event::AppWent(_) | Event::PolicyChanged(_) | Event::Dependencies { .. }
    )
}

/// A policy reaches the loop only after it was parsed at the edge; a text that does not parse here is
/// said and changes nothing.
fn adopt_policy(state: &mut State, text: &std::sync::Arc<str>, notices: &mut Vec<Notice>) {
    match policy::parse(text, "policy") {
        Ok(parsed) => state.adopt(parsed, text.clone()),
        Err(error) => notices.push(Notice {
            severity: Severity::Warning,
            text: format!("the policy was not taken, the one before stays: {error}"),
        }),
    }
}

fn learn(state: &mut State, sample: &Sample) -> Vec<ContentionEvent> {
    let since_last_s = sample.now.boot.seconds_since(state.sample.now.boot);
    if since_last_s > state.config.gap_s {
        state.forecaster.gap(sample.now);
    }
    let leases = state.leases_in_effect(sample.now.boot);
    let contention = state.forecaster.observe(sample, &state.apps, &leases);
    for entry in &mut state.map.entries {
        entry.ebbing = entry.ongoing_since.is_some() && state.forecaster.is_ebbing(&entry.unit);
    }
    state.sample = sample.clone();
    contention
}

fn map_is_old(state: &State, now: Moment) -> bool {
    let never = state.map.made == Moment::default();
    never || now.boot.seconds_since(state.map.made.boot) >= state.config.map_every_s
}

fn renew_map(state: &mut State, now: Moment) -> ContentionMap {
    let mut map = state.forecaster.map(now, &state.apps);
    shift_onsets(&mut map, state.config.sabotage.shift_onsets_s);
    state.map = map.clone();
    map
}

/// Fault injection, see [`crate::Sabotage`].
fn shift_onsets(map: &mut ContentionMap, shift_s: f64) {
    if shift_s == 0.0 {
        return;
    }
    for entry in &mut map.entries {
        for quantiles in [&mut entry.onset, &mut entry.end].into_iter().flatten() {
            quantiles.q10 += shift_s;
            quantiles.q50 += shift_s;
            quantiles.q90 += shift_s;
        }
    }
}

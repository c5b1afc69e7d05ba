//! Why an entry says what it says, in words.

use super::about::About;
use super::times::Next;
use crate::declared::Announced;
use crate::leads::{Led, Sign};
use crate::unit::UnitState;
use crate::usage::Usage;
use tidegate_types::Source;

/// What was announced is named beside another cause from so many seconds before it on: the longest window.
const NAMED_AHEAD_S: f64 = 3600.0;

/// Why, and by name what was announced, whatever says most at the moment.
pub(super) fn reason(
    state: &UnitState,
    source: Source,
    next: &Next,
    about: &About,
    usage: &Usage,
    now_s: f64,
) -> String {
    let said = |announced: &Announced| {
        format!(
            "announced: {}, in {:.0} s",
            announced.name,
            announced.onset.q50 - now_s
        )
    };
    if let (Source::Demand, Some(reason)) = (source, asked_reason(about)) {
        return reason;
    }
    match (source, next.announced) {
        (Source::Declared, Some(announced)) => said(announced),
        (_, Some(announced)) if announced.onset.q50 - now_s <= NAMED_AHEAD_S => {
            format!(
                "{}; {}",
                cause(state, source, next, usage, now_s),
                said(announced)
            )
        }
        _ => cause(state, source, next, usage, now_s),
    }
}

fn cause(state: &UnitState, source: Source, next: &Next, usage: &Usage, now_s: f64) -> String {
    if let (Source::Upstream | Source::Scheduled, Some(led)) = (source, next.led) {
        return led_reason(led, now_s);
    }
    match (source, next.burst) {
        (Source::Reactive, _) => {
            "its forecasts have been no better than its average: only the present is used".to_owned()
        }
        (Source::Persistence, _) => match state.labeller.open() {
            Some(open) => format!("contended for {:.0} s", (now_s - open.begin_s).max(0.0)),
            None => "waiting has begun".to_owned(),
        },
        (_, Some(expected)) => {
            let pattern = expected.pattern;
            let skipped = 1.0 - pattern.hit_rate();
            let missed = match pattern.missed_in_a_row() {
                0 => String::new(),
                missed => format!(", {missed} missed just now"),
            };
            format!(
                "a burst every {:.1} s (±{:.1} s, {:.0} % left out{missed}); the next in {:.0} s",
                pattern.period_s(),
                pattern.jitter_s(),
                skipped * 100.0,
                expected.slot.onset.q50 - now_s
            )
        }
        _ if next.led.is_some() => next.led.map_or_else(String::new, |led| led_reason(led, now_s)),
        (Source::Trained, None) => format!("{}; {}", usage.origin(), watched(state)),
        _ => watched(state),
    }
}

/// What a sign says, in words.
fn led_reason(led: &Led, now_s: f64) -> String {
    let (lag_s, spread_s) = led.lead.lag().unwrap_or((0.0, 0.0));
    let (hits, all) = led.lead.followed();
    let often = format!("{hits:.0} of {all:.0} times");
    match led.lead.sign() {
        Sign::Rise(app) => format!(
            "{app} upstream rose {:.0} s ago; this follows after {lag_s:.1} s (±{spread_s:.1} s, {often})",
            now_s - led.at_s
        ),
        Sign::Fire(name) if led.at_s > now_s => {
            format!(
                "scheduled: {name}, in {:.0} s (contended {often})",
                led.at_s - now_s
            )
        }
        Sign::Fire(name) => {
            format!(
                "scheduled: {name}, {:.0} s ago (contended {often})",
                now_s - led.at_s
            )
        }
    }
}

/// What apps ask for together against what there is, in words.
fn asked_reason(about: &About) -> Option<String> {
    let capacity = about.asked.raw.capacity?;
    let peak = about.asked.peaks.iter().rev().find_map(|peak| *peak)?;
    let named = about.drivers.iter().take(3);
    let named: Vec<String> = named
        .map(|driver| format!("{} {:.0} %", driver.app, 100.0 * driver.share))
        .collect();
    Some(format!(
        "demand may reach {} (q90) of {}: {}",
        amount(peak.q90),
        amount(capacity),
        named.join(", ")
    ))
}

/// Three digits, with k, M or G where it is large.
fn amount(value: f64) -> String {
    let scales = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let scale = scales.into_iter().find(|(scale, _)| value.abs() >= *scale);
    let (scale, letter) = scale.unwrap_or((1.0, ""));
    format!("{:.2}{letter}", value / scale)
}

/// What was seen of a unit that names no next event.
fn watched(state: &UnitState) -> String {
    if state.events > 0.0 {
        return unexplained(state);
    }
    let hours = state.history.watched_s() / 3600.0;
    let seen = format!("no event in {hours:.1} h of watching");
    match state.like.as_ref().filter(|_| !state.is_trained()) {
        Some(like) => format!("{like}; {seen}"),
        None => seen,
    }
}

/// Why a unit that had events names no next one.
fn unexplained(state: &UnitState) -> String {
    let silent = state
        .periodic
        .strongest()
        .filter(|pattern| pattern.missed_in_a_row() > 0);
    if let Some(pattern) = silent {
        let (period_s, missed) = (pattern.period_s(), pattern.missed_in_a_row());
        return format!("its burst every {period_s:.1} s has not come {missed} times in a row");
    }
    let events = state.events * (1.0 - state.periodic.explained_share());
    let hours = state.history.watched_s() / 3600.0;
    format!("{events:.0} events in {hours:.1} h of watching that nothing explains")
}

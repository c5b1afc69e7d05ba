//! What is not a knob: wishes for variants, and what is only said.

use crate::allocate::View;
use crate::episode::{Episode, HOLD_S};
use crate::gate::{self, Reach};
use crate::weights;
use std::collections::BTreeMap;
use tidegate_types::{
    Advice, AppName, BootTime, Class, ContentionMap, KnobValue, Lease, MapEntry, Mode, Recompile, Resource,
    Scenario, Unit,
};

/// A compile takes its time: wishes look this far ahead, in seconds.
const COMPILE_AHEAD_S: u32 = 900;

fn is_at_risk(entry: &MapEntry, threshold: f64) -> bool {
    let likely = entry
        .probability(COMPILE_AHEAD_S)
        .is_some_and(|probability| probability >= threshold);
    entry.ongoing_since.is_some() || (likely && entry.onset.is_some())
}

/// Which variants help against contention on `unit`, for an app that suffers from it or is lowered for it.
fn scenario(unit: &Unit, class: Class) -> Option<Scenario> {
    Some(match unit {
        Unit::Limit(_, Resource::Cpu) | Unit::Cpu | Unit::Core(_) => Scenario::Cpu,
        Unit::Llc(_) if class == Class::Batch => Scenario::Neighbour,
        Unit::Llc(_) | Unit::Memory | Unit::Node(_) | Unit::Limit(_, Resource::Memory) => Scenario::Memory,
        Unit::Disk(..) | Unit::Limit(_, Resource::Io) => Scenario::Disk,
        Unit::Net(..) | Unit::Limit(_, Resource::Network) => Scenario::Network,
        Unit::Limit(_, Resource::Code) => return None,
    })
}

/// Who could use variants against contention on the unit of `entry`: its app or its drivers, and batch work, which
/// steps back for it.
fn concerned<'a>(view: &View<'a>, entry: &'a MapEntry) -> Vec<&'a AppName> {
    let own = match &entry.unit {
        Unit::Limit(app, _) => vec![app],
        _ => entry.drivers.iter().map(|driver| &driver.app).collect(),
    };
    let batch = view
        .apps
        .iter()
        .filter(|(_, managed)| managed.grant.class == Class::Batch);
    let mut all: Vec<&AppName> = own.into_iter().chain(batch.map(|(name, _)| name)).collect();
    all.sort();
    all.dedup();
    all
}

/// Wishes for variants: one per app and scenario, the earliest need.
pub(crate) fn recompiles(view: &View<'_>, map: &ContentionMap) -> Vec<Recompile> {
    let threshold = view.policy.strategy.act_probability;
    let mut wishes: BTreeMap<(AppName, Scenario), Recompile> = BTreeMap::new();
    for entry in map.entries.iter().filter(|entry| is_at_risk(entry, threshold)) {
        for app in concerned(view, entry) {
            let Some(managed) = view.apps.get(app) else {
                continue;
            };
            let mode = managed.grant.mode(Resource::Code);
            let Some(scenario) = scenario(&entry.unit, managed.grant.class).filter(|_| mode != Mode::Observe)
            else {
                continue;
            };
            let wish = recompile(view.now, entry, app, scenario, mode);
            let known = wishes
                .entry((app.clone(), scenario))
                .or_insert_with(|| wish.clone());
            if (wish.prediction.is_some(), wish.by) < (known.prediction.is_some(), known.by) {
                *known = wish;
            }
        }
    }
    wishes.into_values().collect()
}

fn recompile(now: BootTime, entry: &MapEntry, app: &AppName, scenario: Scenario, mode: Mode) -> Recompile {
    // Code costs nothing to lead back: not even the moment is waited for that tells whether the end is one.
    let goes_on = entry.ongoing_since.is_some() && !entry.ebbing;
    let onset = entry.onset.map(|onset| BootTime::from_seconds(onset.q10));
    // An episode keeps its beginning for as long as it goes on.
    let by = entry
        .ongoing_since
        .unwrap_or_else(|| onset.unwrap_or(now).max(now));
    let end = entry.end.map(|end| BootTime::from_seconds(end.q90));
    let cores = match entry.unit {
        Unit::Core(number) => vec![number],
        _ => Vec::new(),
    };
    Recompile {
        app: app.clone(),
        cores,
        scenario,
        by,
        until: end.unwrap_or(by).max(by.max(now).plus_seconds(HOLD_S)),
        // What is there needs no foresight.
        prediction: (!goes_on).then_some(entry.id),
        mode,
    }
}

/// Leases that would be, were everything granted, and are not: with what stands against them.
pub(crate) fn withheld(view: &View<'_>, done: &[Lease], wished: &[Lease]) -> Vec<Advice> {
    let mut advice = Vec::new();
    for lease in wished {
        let knob = lease.asked.knob();
        let is_done = done
            .iter()
            .any(|other| other.app == lease.app && other.asked.knob() == knob);
        let Some(managed) = view.apps.get(&lease.app).filter(|_| !is_done) else {
            continue;
        };
        let key = (lease.app.clone(), knob);
        let obstacle = gate::obstacle(managed, &key, view.blocked, Reach::Enforce);
        let obstacle = obstacle.unwrap_or_else(|| "what it rests on may not be moved".into());
        let text = format!(
            "would set {} for {}, because {}; not done: {obstacle}",
            in_words(&lease.asked),
            lease.cause.beneficiary,
            lease.cause.rule
        );
        advice.push(advise(
            lease.app.clone(),
            Some(lease.asked),
            lease.cause.unit.clone(),
            text,
        ));
    }
    advice
}

fn advise(app: AppName, value: Option<KnobValue>, unit: Unit, text: String) -> Advice {
    Advice {
        app,
        knob: value.map(|value| value.knob()),
        value,
        unit,
        text,
    }
}

/// A value as people say it.
pub(crate) fn in_words(value: &KnobValue) -> String {
    match *value {
        KnobValue::CpuWeight { idle: true, .. } => "cpu.idle 1".into(),
        KnobValue::CpuWeight { weight, .. } => format!("cpu.weight {weight}"),
        KnobValue::CpuMax { quota_us: None, .. } => "no cpu limit".into(),
        KnobValue::CpuMax {
            quota_us: Some(quota_us),
            period_us,
            burst_us,
        } => {
            let cores = quota_us as f64 / period_us as f64;
            let burst = if burst_us > 0 {
                format!(", burst {burst_us} us")
            } else {
                String::new()
            };
            format!("a cpu limit of {cores:.2} cores{burst}")
        }
    }
}

/// Advice that does not depend on a moment: weights that should be static.
pub(crate) fn standing(view: &View<'_>) -> Vec<Advice> {
    let answers = weights::standing(view).into_iter();
    answers
        .map(|(app, value, critical)| {
            let text = format!(
                "static weights are right here: {} beside {critical}; a weight is handed over at once, so acting ahead wins nothing",
                in_words(&value)
            );
            advise(app.clone(), Some(value), Unit::Cpu, text)
        })
        .collect()
}

/// Advice on what no knob of this planner reaches: memory, disks, networks, and work that could leave a CPU.
pub(crate) fn beyond(view: &View<'_>, map: &ContentionMap, episodes: &[Episode]) -> Vec<Advice> {
    let threshold = view.policy.strategy.act_probability;
    let mut advice = Vec::new();
    for entry in map.entries.iter().filter(|entry| is_at_risk(entry, threshold)) {
        let (resource, what) = match &entry.unit {
            Unit::Memory | Unit::Node(_) | Unit::Limit(_, Resource::Memory) => (Resource::Memory, "memory"),
            Unit::Disk(..) | Unit::Limit(_, Resource::Io) => (Resource::Io, "disk bandwidth"),
            Unit::Net(..) => (Resource::Network, "network bandwidth"),
            Unit::Core(_) => (Resource::Cpu, "time on this cpu"),
            _ => continue,
        };
        let Some(app) = entry.drivers.first().map(|driver| &driver.app) else {
            continue;
        };
        let granted = view
            .apps
            .get(app)
            .is_some_and(|managed| managed.grant.mode(resource) >= Mode::Advise);
        if granted {
            let known = episodes.iter().any(|episode| episode.unit == entry.unit);
            let lead = if known {
                "is being protected"
            } else {
                "will be short"
            };
            let text = format!(
                "{what} {lead}: {}; less of {app}'s work at that time, or elsewhere, would help",
                entry.reason
            );
            advice.push(advise(app.clone(), None, entry.unit.clone(), text));
        }
    }
    advice
}

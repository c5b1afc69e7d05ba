//! Throttling by weight: batch work steps back while others wait for CPUs.
//!
//! A weight only counts among siblings, so what is moved is the child of the lowest common ancestor on the
//! victim's side; where nobody granted that group, the weight of the victim itself would change nothing.

use crate::allocate::View;
use crate::episode::Episode;
use std::collections::BTreeMap;
use tidegate_types::{
    App, AppName, BootTime, Cause, Class, Hierarchy, Knob, KnobValue, Lease, LeaseId, Managed, Mode,
    Resource, Trigger, Unit,
};

/// A standing lease is renewed when less than half of this is left, in seconds.
const STANDING_S: f64 = 120.0;
/// A weight of batch work that is right for good, as a share of the critical sibling's.
const STANDING_SHARE: f64 = 0.1;

/// The group's path in the tree of the CPU controller.
pub(crate) fn cpu_path(app: &App) -> Option<&str> {
    let group = app.group.as_ref()?;
    let path = group
        .in_hierarchy(Hierarchy::Cpu)
        .or_else(|| group.in_hierarchy(Hierarchy::V2));
    path.map(|path| &*path.path)
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// The path of the group on `victim`'s side that competes with `beneficiary`: the child of their lowest common
/// ancestor. `None` where one holds the other.
pub(crate) fn competing_path(victim: &str, beneficiary: &str) -> Option<String> {
    let (theirs, ours) = (parts(victim), parts(beneficiary));
    let common = theirs
        .iter()
        .zip(&ours)
        .take_while(|(left, right)| left == right)
        .count();
    (common < theirs.len() && common < ours.len()).then(|| format!("/{}", theirs[..=common].join("/")))
}

/// The app whose weight decides between `victim` and `beneficiary`, or why there is none.
pub(crate) fn lever<'a>(
    view: &View<'a>,
    victim: &'a AppName,
    beneficiary: &AppName,
) -> Result<&'a AppName, String> {
    let path = |name: &AppName| {
        view.apps
            .get(name)
            .and_then(|managed| cpu_path(&managed.app))
            .map(str::to_owned)
    };
    let (Some(theirs), Some(ours)) = (path(victim), path(beneficiary)) else {
        return Err("one of them has no group of its own".into());
    };
    let Some(competing) = competing_path(&theirs, &ours) else {
        return Err("one of their groups lies within the other".into());
    };
    let at_path = view
        .apps
        .iter()
        .find(|(_, managed)| cpu_path(&managed.app) == Some(&competing));
    match at_path {
        Some((name, _)) => Ok(name),
        None => Err(format!(
            "what competes is the group {competing}, which no app of the policy is"
        )),
    }
}

/// Leases on weights for all `episodes` about CPUs, without names.
pub(crate) fn throttles(view: &View<'_>, episodes: &[Episode], capacity_cores: Option<f64>) -> Vec<Lease> {
    let mut leases: BTreeMap<AppName, Lease> = BTreeMap::new();
    let about_cpus =
        |episode: &&Episode| matches!(episode.unit, Unit::Cpu | Unit::Core(_)) && !episode.left_alone;
    for episode in episodes.iter().filter(about_cpus) {
        let Some(beneficiary) = beneficiary(view) else {
            continue;
        };
        for victim in victims(view, beneficiary) {
            let Some(asked) = stepped_back(view, victim, capacity_cores) else {
                continue;
            };
            let (start, end) = (episode.start.max(view.now), episode.end);
            let cause = Cause {
                trigger: episode.trigger,
                prediction: episode.prediction,
                unit: episode.unit.clone(),
                beneficiary: beneficiary.clone(),
                rule: episode.rule(),
            };
            let lease = leases
                .entry(victim.clone())
                .or_insert_with(|| unnamed(view, victim, asked, (start, end), cause));
            // Two episodes that follow each other within one lookahead are one stepping back.
            lease.start = lease.start.min(start);
            lease.end = lease.end.max(end);
        }
    }
    leases.into_values().collect()
}

fn unnamed(
    view: &View<'_>,
    app: &AppName,
    asked: KnobValue,
    span: (BootTime, BootTime),
    cause: Cause,
) -> Lease {
    Lease {
        id: LeaseId(0),
        app: app.clone(),
        asked,
        found: view.found.get(app, Knob::CpuWeight),
        start: span.0,
        end: span.1,
        cause,
    }
}

/// Who is protected when CPUs are short: the first critical app, else the first standard one.
fn beneficiary<'a>(view: &View<'a>) -> Option<&'a AppName> {
    let of = |class: Class| {
        view.apps
            .iter()
            .find(move |(_, managed)| managed.grant.class == class && managed.app.group.is_some())
    };
    of(Class::Critical)
        .or_else(|| of(Class::Standard))
        .map(|(name, _)| name)
}

/// Batch work that competes with `beneficiary` and may be moved.
fn victims<'a>(view: &View<'a>, beneficiary: &AppName) -> Vec<&'a AppName> {
    let is_batch = |name: &AppName| {
        view.apps
            .get(name)
            .is_some_and(|managed| managed.grant.class == Class::Batch)
    };
    let batch = view.apps.keys().filter(|name| is_batch(name));
    let mut levers: Vec<&AppName> = batch
        .filter_map(|victim| lever(view, victim, beneficiary).ok())
        .collect();
    levers.sort();
    levers.dedup();
    levers.retain(|lever| is_batch(lever) && view.may_move(lever, Knob::CpuWeight).is_some());
    levers
}

/// Idle, or where a floor is named, the weight that still gives the floor when all siblings run.
fn stepped_back(view: &View<'_>, app: &AppName, capacity_cores: Option<f64>) -> Option<KnobValue> {
    let KnobValue::CpuWeight { weight, idle } = view.found.get(app, Knob::CpuWeight)? else {
        return None;
    };
    if idle {
        return None;
    }
    let managed = view.apps.get(app)?;
    let Some(floor) = managed.grant.cpu_cores.floor else {
        return Some(KnobValue::CpuWeight { weight, idle: true });
    };
    let capacity = capacity_cores.filter(|capacity| *capacity > floor)?;
    let others: u32 = siblings(view, &managed.app).sum();
    let needed = (floor * f64::from(others) / (capacity - floor))
        .ceil()
        .clamp(1.0, 10_000.0) as u32;
    (needed < weight).then_some(KnobValue::CpuWeight {
        weight: needed,
        idle: false,
    })
}

/// The group that holds the app's.
fn parent_path(app: &App) -> Option<&str> {
    cpu_path(app)
        .and_then(|path| path.rsplit_once('/'))
        .map(|(parent, _)| parent)
}

fn weight_of(view: &View<'_>, app: &App) -> Option<u32> {
    match view.found.get(&app.name, Knob::CpuWeight) {
        Some(KnobValue::CpuWeight { weight, .. }) => Some(weight),
        _ => None,
    }
}

/// Known weights of the apps beside `app` in the tree.
fn siblings<'a>(view: &'a View<'_>, app: &'a App) -> impl Iterator<Item = u32> {
    let parent = parent_path(app);
    let all = view.apps.values().map(|managed| &managed.app);
    let beside =
        all.filter(move |other| other.name != app.name && parent.is_some() && parent_path(other) == parent);
    beside.filter_map(|other| weight_of(view, other))
}

/// Batch apps beside a critical one whose weight should be low for good, with that weight and the critical app:
/// the kernel hands a weight over at once, so there is nothing to win by waiting for an onset.
pub(crate) fn standing<'a>(view: &'a View<'_>) -> Vec<(&'a AppName, KnobValue, &'a AppName)> {
    let of = |class: Class| {
        view.apps
            .values()
            .filter(move |managed| managed.grant.class == class)
    };
    let criticals: BTreeMap<&str, &App> = of(Class::Critical)
        .filter_map(|managed| Some((parent_path(&managed.app)?, &managed.app)))
        .collect();
    let answer = |batch: &'a Managed| {
        let critical = *criticals.get(parent_path(&batch.app)?)?;
        let right = (f64::from(weight_of(view, critical)?) * STANDING_SHARE)
            .round()
            .max(1.0) as u32;
        let asked = KnobValue::CpuWeight {
            weight: right,
            idle: false,
        };
        let found = view.found.get(&batch.app.name, Knob::CpuWeight)?;
        let too_high = matches!(found, KnobValue::CpuWeight { weight, idle: false } if weight > right);
        let granted = batch.grant.mode(Resource::Cpu) >= Mode::Advise;
        (too_high && granted).then_some((&batch.app.name, asked, &critical.name))
    };
    of(Class::Batch).filter_map(answer).collect()
}

/// The same as leases, renewed before they end.
pub(crate) fn standing_leases(view: &View<'_>, held: &[Lease]) -> Vec<Lease> {
    let granted = standing(view)
        .into_iter()
        .filter(|(app, ..)| view.may_move(app, Knob::CpuWeight).is_some());
    let leases = granted.map(|(app, asked, critical)| {
        let before = held
            .iter()
            .find(|lease| lease.app == *app && lease.asked == asked);
        let end = before.map_or(view.now, |lease| lease.end);
        let fresh = end.seconds_since(view.now) > STANDING_S / 2.0;
        let cause = Cause {
            trigger: Trigger::Standing,
            prediction: None,
            unit: Unit::Cpu,
            beneficiary: critical.clone(),
            rule: "a weight is handed over at once, so a static one is right".into(),
        };
        let end = if fresh {
            end
        } else {
            view.now.plus_seconds(STANDING_S)
        };
        unnamed(view, app, asked, (view.now, end), cause)
    });
    leases.collect()
}

#[cfg(test)]
mod tests {
    use super::competing_path;

    #[test]
    fn knobs_act_among_children_of_the_lowest_common_ancestor() {
        for (victim, beneficiary, expect) in [
            ("/a/b/x", "/a/c/y", Some("/a/b")),
            ("/batch", "/web", Some("/batch")),
            ("/a/b", "/a/b/c", None),
            ("/a/b/c", "/a/b", None),
            ("/a/b/x", "/a/b/y", Some("/a/b/x")),
        ] {
            assert_eq!(
                competing_path(victim, beneficiary).as_deref(),
                expect,
                "{victim} {beneficiary}"
            );
        }
    }
}

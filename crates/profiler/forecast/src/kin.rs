//! Where an app that was never seen starts from: from apps like it, or from itself under another name.
//!
//! Two apps are alike where they run the same executable, or belong to the same user and were found by the same kind of
//! rule, under limits of the same size. What is taken over is weak: how often contention came and how long it lasted. An
//! app that comes where another has just gone, in the same group or with the same executable, user and place, is that
//! app under another name: all that was learned of it goes on.

use crate::events::Reading;
use crate::unit::UnitState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_types::{App, AppName, Apps, Unit};

/// Alike apps that a start rests on.
const KIN_MAX: usize = 3;
/// How long an app must have been watched before others start from it.
const WATCHED_S: f64 = 3600.0;
/// Limits within this factor are of the same size.
const SIZE: f64 = 2.0;
/// Likeness counts this much, and this much is needed.
const SAME_EXECUTABLE: u32 = 4;
const SAME_USER: u32 = 2;
const SAME_RULE: u32 = 1;
const ALIKE: u32 = 3;
/// An app that comes so many seconds after another went may be the same.
const RENAMED_S: f64 = 60.0;
/// Apps that went lately and are remembered.
const GONE_MAX: usize = 4096;

/// What a new unit begins with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Start {
    /// Whom it is like, in words.
    pub(crate) words: String,
    pub(crate) onsets_per_s: f64,
    /// Share of five-minute steps with contention.
    pub(crate) contended_share: f64,
    pub(crate) durations_s: Vec<f64>,
}

/// The kind of rule that an app was found by, as its name tells.
fn rule(name: &AppName) -> &str {
    let name = name.as_str();
    match name.split_once(':') {
        Some((kind, _)) => kind,
        None => name.rsplit_once('.').map_or("rule", |(_, suffix)| suffix),
    }
}

fn same<T: PartialEq>(left: Option<&T>, right: Option<&T>) -> bool {
    left.is_some() && left == right
}

fn likeness(left: &App, right: &App) -> u32 {
    let mut likeness = 0;
    if same(left.executable.as_ref(), right.executable.as_ref()) {
        likeness += SAME_EXECUTABLE;
    }
    if same(left.user.as_ref(), right.user.as_ref()) {
        likeness += SAME_USER;
    }
    if rule(&left.name) == rule(&right.name) {
        likeness += SAME_RULE;
    }
    likeness
}

/// What the unit of `reading` begins with, where it is a limit of an app and others like it have been watched.
pub(crate) fn start(reading: &Reading, apps: &Apps, units: &BTreeMap<Unit, UnitState>) -> Option<Start> {
    let Unit::Limit(name, resource) = &reading.unit else {
        return None;
    };
    let own = &apps.get(name)?.app;
    let size = reading.capacity?;
    let same_size = |state: &UnitState| {
        let other = state.capacity.unwrap_or(f64::NAN);
        other <= SIZE * size && size <= SIZE * other
    };
    let mut found: Vec<(u32, &AppName, &UnitState)> = apps
        .values()
        .filter(|managed| managed.app.name != *name)
        .map(|managed| (likeness(own, &managed.app), &managed.app.name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .filter_map(|(likeness, other)| {
            let state = units.get(&Unit::Limit(other.clone(), *resource))?;
            let usable = state.history.watched_s() >= WATCHED_S && same_size(state);
            usable.then_some((likeness, other, state))
        })
        .collect();
    found.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(right.1)));
    let best = found.first()?.0;
    found.retain(|(likeness, ..)| *likeness == best);
    found.truncate(KIN_MAX);
    let count = found.len() as f64;
    let mean =
        |of: &dyn Fn(&UnitState) -> f64| found.iter().map(|(_, _, state)| of(state)).sum::<f64>() / count;
    let names: Vec<&str> = found.iter().map(|(_, name, _)| name.as_str()).collect();
    let why = if best >= SAME_EXECUTABLE {
        "the same executable"
    } else {
        "the same user and kind"
    };
    Some(Start {
        words: format!("new, taken to be like {} ({why})", names.join(", ")),
        onsets_per_s: mean(&|state| state.history.onsets_per_s()),
        contended_share: mean(&|state| state.load_peaks.contended_share().0),
        durations_s: found
            .iter()
            .flat_map(|(_, _, state)| state.durations_s.iter().copied())
            .collect(),
    })
}

/// Apps that went lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gone {
    apps: Vec<(App, f64)>,
}

impl Gone {
    /// An app went at `now_s`.
    pub(crate) fn went(&mut self, app: App, now_s: f64) {
        self.apps
            .retain(|(other, at_s)| other.name != app.name && (0.0..=RENAMED_S).contains(&(now_s - at_s)));
        if self.apps.len() < GONE_MAX {
            self.apps.push((app, now_s));
        }
    }

    /// An app came at `now_s`: the name that it went under, where it is one that has just gone.
    pub(crate) fn came(&mut self, app: &App, now_s: f64) -> Option<AppName> {
        self.apps.retain(|(other, _)| other.name != app.name);
        let recent = |at_s: f64| (0.0..=RENAMED_S).contains(&(now_s - at_s));
        let recent = self
            .apps
            .iter()
            .filter(|(_, at_s)| recent(*at_s))
            .map(|(other, _)| other);
        let mut alike = recent.filter(|other| same_group(other, app) || same_place(other, app));
        let name = alike.next()?.name.clone();
        // Of two that might be it, neither is.
        if alike.next().is_some() {
            return None;
        }
        self.apps.retain(|(other, _)| other.name != name);
        Some(name)
    }
}

fn same_group(left: &App, right: &App) -> bool {
    let (Some(left), Some(right)) = (&left.group, &right.group) else {
        return false;
    };
    left.paths.iter().any(|path| right.paths.contains(path))
}

/// The same program of the same user under the same parent, found by the same kind of rule.
fn same_place(left: &App, right: &App) -> bool {
    likeness(left, right) >= SAME_EXECUTABLE + SAME_USER + SAME_RULE
        && left.parent == right.parent
        && left.parent.is_some()
}

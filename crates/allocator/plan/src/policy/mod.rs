//! What the user allows: apps by rule, classes, bounds, modes, pools, and how eager to be.
//!
//! A policy is text ([`parse`]) that becomes plain data ([`Policy`]); [`Policy::resolve`] answers for one
//! app after all precedence (app and resource, app, class and resource, class, default), and [`check`]
//! says what the policy cannot do on the apps that are there. Without a policy everything is observed.

mod check;
mod glob;
mod parse;
mod raw;
mod resolve;
mod untouchable;

pub use check::{Finding, check};
pub use parse::{PolicyError, parse};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_types::{Class, DeclaredEvent, Mode, Range, Resource};

/// What one section of the policy says; what it does not say is left to the section below it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Mode for every resource that has none of its own here.
    pub mode: Option<Mode>,
    /// Mode by resource.
    pub modes: BTreeMap<Resource, Mode>,
    /// CPU limits in cores.
    pub cpu_cores: Range,
    /// Memory in bytes.
    pub memory_bytes: Range,
}

/// How an app is recognised; every part that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Glob over a group's path below its mount point: `*` within one folder, `**` across folders.
    pub cgroup: Option<Arc<str>>,
    /// Glob over the name of a systemd unit.
    pub unit: Option<Arc<str>>,
    /// Executable of the first process, by full path or by file name.
    pub executable: Option<Arc<str>>,
    /// User of the first process.
    pub user: Option<Arc<str>>,
}

/// One `[[app]]` of the policy. It is also what discovery needs to find the app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppRule {
    /// The name by which pools and events speak of it.
    pub name: Arc<str>,
    /// Whom it is about.
    pub matches: Match,
    /// Its class, where it is said.
    pub class: Option<Class>,
    /// Bounds and modes.
    pub rules: Rules,
    /// Line of its name in the file, from 1.
    pub line: u32,
}

/// Apps that share a fixed sum of CPU limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// Names of `[[app]]` rules.
    pub apps: Vec<Arc<str>>,
    /// The sum of their limits, in cores, that is never exceeded by anything tidegate does.
    pub cores: f64,
    /// Line of its name in the file, from 1.
    pub line: u32,
}

/// Whether the forecast is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Act before onsets that are foreseen, and react to the others.
    #[default]
    Predictive,
    /// Only react.
    Reactive,
}

/// How eager the planner is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    /// Whether the forecast is used.
    pub kind: Kind,
    /// Least probability of an onset that is acted on.
    pub act_probability: f64,
    /// Least confidence in it.
    pub min_confidence: f64,
    /// A limit is raised to the expected peak of demand (its q90) times this.
    pub headroom: f64,
    /// Share of eligible onsets that is left alone, so that the forecast can be scored.
    pub left_alone_share: f64,
    /// Whether batch work gets a low weight for good where that is the right answer, or only the advice.
    pub standing_weights: bool,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            kind: Kind::Predictive,
            act_probability: 0.5,
            min_confidence: 0.1,
            headroom: 1.5,
            left_alone_share: 0.02,
            standing_weights: false,
        }
    }
}

/// A policy as plain data, valid in itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// What holds for everyone.
    pub default: Rules,
    /// Class of apps that no rule classifies.
    pub default_class: Class,
    /// What holds for a class.
    pub classes: BTreeMap<Class, Rules>,
    /// Rules in the order of the file; the first that matches speaks for an app.
    pub apps: Vec<AppRule>,
    /// Fixed sums.
    pub pools: Vec<Pool>,
    /// Announced events.
    pub events: Vec<DeclaredEvent>,
    /// How eager to be.
    pub strategy: Strategy,
    /// No mode is above this, whatever the file says.
    pub mode_ceiling: Option<Mode>,
    /// Groups that are never acted on, nor any group above them, with the reason.
    pub protected: BTreeMap<Arc<str>, Arc<str>>,
    /// Name of the file, for findings.
    pub file: Arc<str>,
}

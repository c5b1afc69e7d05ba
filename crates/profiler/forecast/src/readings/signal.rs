//! What is known of the waiting on units that many share, and how it becomes a reading.

use crate::events::{EXIT, Reading, waiting_threshold};
use std::collections::BTreeMap;
use tidegate_types::{AppName, Unit};

/// Waiting below this share of time does not make an app part of an event.
const NAMED_FROM: f64 = 0.05;
/// Apps that are named.
const NAMED_MAX: usize = 8;

/// The largest waiting among the apps that count.
#[derive(Default)]
pub(super) struct Worst {
    pub(super) measured: bool,
    pub(super) share: f64,
    by_app: Vec<(f64, AppName)>,
}

/// What is known of the waiting on a unit that many share.
pub(super) enum Signal {
    /// Nothing here measures it.
    Absent,
    /// It is measured, but says nothing this time.
    Unknown,
    /// Share of time, and the apps that waited, worst first.
    Waiting(f64, Vec<AppName>),
}

/// Waiting per resource.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) cpu: Worst,
    pub(super) memory: Worst,
    pub(super) memory_share: BTreeMap<AppName, f64>,
    /// Of apps that may use some CPUs only, by CPU.
    pub(super) cores: BTreeMap<u16, Worst>,
    pub(super) io_share: BTreeMap<AppName, f64>,
}

impl Worst {
    pub(super) fn add(&mut self, share: f64, name: &AppName) {
        self.measured = true;
        self.share = self.share.max(share);
        if share >= NAMED_FROM {
            self.by_app.push((share, name.clone()));
        }
    }

    pub(super) fn names(&self) -> Vec<AppName> {
        let mut by_app = self.by_app.clone();
        by_app.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
        by_app.into_iter().take(NAMED_MAX).map(|(_, name)| name).collect()
    }
}

/// The reading of such a unit; none where nothing measures it.
pub(super) fn shared_reading(
    unit: Unit,
    signal: Signal,
    load: Option<f64>,
    capacity: Option<f64>,
) -> Option<Reading> {
    let threshold = waiting_threshold(&unit);
    let (share, apps) = match signal {
        Signal::Absent => return None,
        Signal::Unknown => (None, Vec::new()),
        Signal::Waiting(share, apps) => (Some(share.max(0.0)), apps),
    };
    Some(Reading {
        unit,
        level: share.map(|share| share / threshold),
        exit: EXIT,
        waiting: share.unwrap_or(0.0),
        load,
        capacity,
        demand: None,
        censored: share.is_some_and(|share| share >= threshold),
        treated: false,
        apps,
    })
}

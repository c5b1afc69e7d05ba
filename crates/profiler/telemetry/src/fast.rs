//! The fast lane: whether apps run into their CPU limits, several times a second.
//!
//! A sample comes each second; a reaction to throttling wants to know within a tenth. This polls
//! one small file per app on kept descriptors and says which app was throttled since the look before,
//! as an event on the app's limit. The caller owns the thread and the pace.

use crate::clock::Clock;
use crate::files::{Buffer, DescriptorBudget, Extent, KeptFile};
use crate::layout::{Layout, Roots};
use crate::parse;
use crate::rate::Counter;
use std::sync::Arc;
use std::time::Duration;
use tidegate_types::{App, BootTime, Event, GroupPath, Hierarchy, Resource, Unit};

/// The pace that is meant: the default period of a CPU quota.
pub const FAST_INTERVAL: Duration = Duration::from_millis(100);

/// Apps that can be followed; a fast lane for everything would be no lane.
pub const MOST_FAST_APPS: usize = 256;

#[derive(Debug)]
struct Lane {
    unit: Unit,
    hierarchy: Hierarchy,
    path: Arc<str>,
    file: KeptFile,
    /// Seconds per count: v1 counts nanoseconds, v2 microseconds.
    scale: f64,
    throttled: Counter,
}

/// See the module.
pub struct FastPoll {
    roots: Roots,
    lanes: Vec<Lane>,
    buffer: Buffer,
    clock: Clock,
}

impl std::fmt::Debug for FastPoll {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FastPoll")
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}

impl FastPoll {
    /// Follows those of `apps` that have a group with a CPU controller.
    pub fn new<'apps>(layout: &Layout, apps: impl IntoIterator<Item = &'apps App>, clock: Clock) -> Self {
        let roots = Roots::open(layout);
        let (budget, mut buffer) = (DescriptorBudget::new(MOST_FAST_APPS), Buffer::default());
        let lanes = apps
            .into_iter()
            .filter_map(|app| lane(app, &roots, &budget, &mut buffer))
            .take(MOST_FAST_APPS)
            .collect();
        Self {
            roots,
            lanes,
            buffer,
            clock,
        }
    }

    /// Apps that are followed.
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Whether there is nothing to follow.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// One look: an event for every app that was throttled since the one before. Groups that are gone
    /// say nothing; the caller makes a new poll when its apps change.
    pub fn poll(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for lane in &mut self.lanes {
            let at = (self.clock)().boot;
            let share = lane.look(&self.roots, &mut self.buffer, at);
            if share > 0.0 {
                events.push(Event::Waiting {
                    unit: lane.unit.clone(),
                    share,
                });
            }
        }
        events
    }
}

fn lane(app: &App, roots: &Roots, budget: &DescriptorBudget, buffer: &mut Buffer) -> Option<Lane> {
    let group = app.group.as_ref()?;
    let mut open = |place: &GroupPath, scale| {
        let root = roots.get(place.hierarchy)?;
        let file = KeptFile::open(root, &place.path, "cpu.stat", Extent::Single, budget, buffer).ok()?;
        let told = throttled(file.read(root, &place.path, buffer).ok()?).is_some();
        told.then(|| Lane {
            unit: Unit::Limit(app.name.clone(), Resource::Cpu),
            hierarchy: place.hierarchy,
            path: place.path.clone(),
            file,
            scale,
            throttled: Counter::default(),
        })
    };
    let v1 = group
        .in_hierarchy(Hierarchy::Cpu)
        .and_then(|place| open(place, 1e-9));
    v1.or_else(|| {
        group
            .in_hierarchy(Hierarchy::V2)
            .and_then(|place| open(place, 1e-6))
    })
}

/// The throttled time in the file's own unit.
fn throttled(bytes: &[u8]) -> Option<u64> {
    let mut found = None;
    parse::keyed(bytes, |key, value| {
        if matches!(key, b"throttled_time" | b"throttled_usec") {
            found = Some(value);
        }
    });
    found
}

impl Lane {
    /// Share of the time since the look before in which the app was throttled, 0 to 1.
    fn look(&mut self, roots: &Roots, buffer: &mut Buffer, at: BootTime) -> f64 {
        let value = roots
            .get(self.hierarchy)
            .and_then(|root| self.file.read(root, &self.path, buffer).ok())
            .and_then(throttled);
        // Summed over CPUs, so it may exceed the time; as a share it cannot.
        (self.throttled.rate(value, at) * self.scale).min(1.0)
    }
}

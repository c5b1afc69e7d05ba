//! From a sample to what each unit showed: whose waiting belongs where.
//!
//! Waiting while throttled belongs to the limit that throttles, the app's own or an ancestor's; only the rest
//! belongs to the CPUs: to single ones, where the app may use these only (`parts_of`). Apps of class batch and elastic
//! apps do not count as waiting. Where nothing tells the waiting of those that count apart, the level is unknown. Under a
//! lease on an app's CPU limit, the level is its demand over the limit that was found, so what the lease prevents still
//! counts as what would have been.

mod limits;
mod shared;
mod signal;

use crate::code::{SwitchedCode, would_be_full};
use crate::demand::{AppDemand, finite, throttled_share};
use crate::events::Reading;
use limits::{MEMORY_AT_LIMIT, memory_limit, read_memory_limit};
use shared::read_nic;
use signal::Waiting;
use std::collections::BTreeMap;
use tidegate_types::{AppName, Apps, Class, Entity, Field, Lease, Row, Sample, Unit};

/// Groups above one another that are walked; deeper trees than this do not occur.
const DEPTH_MAX: usize = 16;
/// An app that uses less than this many cores does not blur the host's waiting.
const ACTIVE_CORES: f64 = 0.1;
/// Throttled more than this share of time explains the host's waiting.
const THROTTLED_ACTIVE: f64 = 0.05;

/// Everything needed to read units out of a sample.
pub(crate) struct Reader<'a> {
    sample: &'a Sample,
    apps: &'a Apps,
    demands: &'a BTreeMap<AppName, AppDemand>,
    leases: Vec<&'a Lease>,
    /// Apps that run variants, with what these gain.
    code: BTreeMap<&'a AppName, f64>,
    /// Usage of the groups below each parent, in cores.
    below_cores: BTreeMap<&'a AppName, f64>,
    /// Whether any app below the parent counts as waiting.
    below_counts: BTreeMap<&'a AppName, bool>,
    /// Apps that do not count use noticeable CPU, or some app is throttled: host-wide waiting says nothing.
    blurred: bool,
    /// No app may use every CPU.
    all_confined: bool,
}

/// The apps above `name`, nearest first.
pub(crate) fn ancestors<'a>(apps: &'a Apps, name: &AppName) -> impl Iterator<Item = &'a AppName> {
    let parent_of = |name: &AppName| apps.get(name).and_then(|managed| managed.app.parent.as_ref());
    std::iter::successors(parent_of(name), move |above| parent_of(above)).take(DEPTH_MAX)
}

/// The share of time that a limit above `name` throttled it.
pub(crate) fn held_from_above(sample: &Sample, apps: &Apps, name: &AppName) -> f64 {
    ancestors(apps, name)
        .filter_map(|above| throttled_share(sample.row(&Entity::App(above.clone()))?))
        .fold(0.0, f64::max)
}

/// Whether `lease` was in effect at any time of the sample's interval.
pub(crate) fn in_effect(lease: &Lease, sample: &Sample) -> bool {
    let from = sample.now.boot.plus_seconds(-sample.interval_s);
    lease.start < sample.now.boot && lease.end > from
}

/// The rows from `first` on.
fn from_first<'a>(sample: &'a Sample, first: &Entity) -> impl Iterator<Item = &'a Row> {
    let from = sample.rows.partition_point(|row| row.entity < *first);
    sample.rows[from..].iter()
}

/// The CPUs that an app which may not use all runs on, each with the share of its CPU time; empty for others.
fn parts_of(sample: &Sample, app: &AppName) -> Vec<(u16, f64)> {
    let used: Vec<(u16, f64)> = from_first(sample, &Entity::AppCore(app.clone(), 0))
        .map_while(|row| match &row.entity {
            Entity::AppCore(name, core) if name == app => Some((*core, finite(row, Field::AppCoreUsage)?)),
            _ => None,
        })
        .collect();
    let all: f64 = used.iter().map(|(_, cores)| cores).sum();
    let share = |cores: f64| if all > 0.0 { cores / all } else { 0.0 };
    used.into_iter()
        .map(|(core, cores)| (core, share(cores)))
        .collect()
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        sample: &'a Sample,
        apps: &'a Apps,
        demands: &'a BTreeMap<AppName, AppDemand>,
        leases: &'a [Lease],
    ) -> Self {
        let leases = leases.iter().filter(|lease| in_effect(lease, sample)).collect();
        let mut reader = Self {
            sample,
            apps,
            demands,
            leases,
            code: BTreeMap::new(),
            below_cores: BTreeMap::new(),
            below_counts: BTreeMap::new(),
            blurred: false,
            all_confined: false,
        };
        reader.look_over_apps();
        reader.all_confined = reader.is_all_confined();
        reader
    }

    /// As `self`, with the apps that run variants.
    pub(crate) fn with_code(mut self, code: &'a SwitchedCode) -> Self {
        self.code = code.apps();
        self
    }

    /// Counts CPUs as contended that would be full, did some app not run variants; `part` is the share of an app's time
    /// that it spends on them.
    fn mark_recoded(&self, reading: &mut Reading, part: impl Fn(&AppName) -> f64) {
        let Some((busy, capacity)) = reading.load.zip(reading.capacity) else {
            return;
        };
        let prevents = |(app, gain): (&&AppName, &f64)| {
            let uses = self.demands.get(*app).and_then(|demand| demand.usage_cores);
            uses.is_some_and(|cores| would_be_full(cores * part(app), *gain, busy, capacity))
        };
        if self.code.iter().any(prevents) {
            reading.treated = true;
            reading.level = Some(reading.level.map_or(1.0, |level| level.max(1.0)));
        }
    }

    fn look_over_apps(&mut self) {
        for (name, managed) in self.apps {
            let Some(demand) = self.demands.get(name) else {
                continue;
            };
            let usage = demand.usage_cores.unwrap_or(0.0);
            let counts = self.counts(name);
            self.blurred |= !counts && usage > ACTIVE_CORES;
            self.blurred |= demand.throttled.unwrap_or(0.0) > THROTTLED_ACTIVE;
            if managed.app.parent.is_none() {
                continue;
            }
            for above in ancestors(self.apps, name) {
                *self.below_cores.entry(above).or_default() += usage;
                *self.below_counts.entry(above).or_default() |= counts;
            }
        }
    }

    fn is_all_confined(&self) -> bool {
        let confined = self
            .sample
            .rows
            .iter()
            .any(|row| matches!(row.entity, Entity::AppCore(..)));
        let free = |name: &AppName| {
            let uses = self.demands.get(name).and_then(|demand| demand.usage_cores);
            uses.is_some_and(|cores| cores > 0.0) && parts_of(self.sample, name).is_empty()
        };
        confined && !self.apps.keys().any(free)
    }

    /// Whether the app's waiting counts: neither batch nor elastic.
    fn counts(&self, name: &AppName) -> bool {
        let batch = self
            .apps
            .get(name)
            .is_some_and(|managed| managed.grant.class == Class::Batch);
        let elastic = self.demands.get(name).is_some_and(AppDemand::is_elastic);
        !batch && !elastic
    }

    /// What every unit showed; units of which no signal of waiting is offered are left out.
    pub(crate) fn read(&self) -> Vec<Reading> {
        let mut readings = Vec::new();
        let mut waiting = Waiting::default();
        for row in &self.sample.rows {
            match &row.entity {
                Entity::App(name) if self.apps.contains_key(name) => {
                    self.read_app(row, name, &mut waiting, &mut readings);
                }
                _ => {}
            }
        }
        for row in &self.sample.rows {
            match &row.entity {
                Entity::Host => self.read_host(row, &waiting, &mut readings),
                Entity::Core(number) => readings.extend(self.read_core(row, *number, &waiting)),
                Entity::Node(number) => readings.extend(self.read_node(row, *number, &waiting)),
                Entity::DiskRange(disk, from, to) => {
                    readings.extend(self.read_range(row, disk, (*from, *to), &waiting));
                }
                Entity::Disk(name) => self.read_disk(row, name, &waiting, &mut readings),
                Entity::Nic(name) => read_nic(row, name, &mut readings),
                _ => {}
            }
        }
        for reading in &mut readings {
            self.mark_treated(reading);
        }
        readings
    }

    fn read_app(&self, row: &Row, name: &AppName, waiting: &mut Waiting, readings: &mut Vec<Reading>) {
        let own = throttled_share(row).unwrap_or(0.0);
        let counts = self.counts(name);
        if counts {
            let held = held_from_above(self.sample, self.apps, name).max(own);
            if let Some(share) = finite(row, Field::CpuWaiting) {
                self.add_cpu_waiting((share - held).max(0.0), name, waiting);
            }
            let at_memory_limit = memory_limit(row)
                .is_some_and(|limit| finite(row, Field::Memory).unwrap_or(0.0) >= MEMORY_AT_LIMIT * limit);
            if let Some(share) = finite(row, Field::MemoryWaiting) {
                let share = if at_memory_limit { 0.0 } else { share };
                waiting.memory.add(share, name);
                waiting.memory_share.insert(name.clone(), share);
            }
            if let Some(share) = finite(row, Field::IoWaiting) {
                waiting.io_share.insert(name.clone(), share);
            }
        }
        let limited_counts = self.below_counts.get(name).copied().unwrap_or(counts);
        if limited_counts {
            readings.extend(self.read_cpu_limit(row, name));
            readings.extend(read_memory_limit(row, name));
        }
    }

    /// Leases on others for the sake of a shared unit: quiet then proves nothing. A limit is only ever treated by a
    /// lease on itself.
    fn mark_treated(&self, reading: &mut Reading) {
        if matches!(reading.unit, Unit::Limit(..)) {
            return;
        }
        if reading.treated || !self.leases.iter().any(|lease| lease.cause.unit == reading.unit) {
            return;
        }
        reading.treated = true;
        reading.level = reading.level.filter(|level| *level >= reading.exit);
    }
}

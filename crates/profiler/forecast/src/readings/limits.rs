//! What the limits of single apps showed.

use super::{Reader, held_from_above};
use crate::demand::{AT_LIMIT, finite, throttled_share};
use crate::events::{EXIT, Reading, waiting_threshold};
use tidegate_types::{AppName, Field, Knob, Resource, Row, Unit};

/// An app that waits elsewhere for at least this share of time, while it uses this much of its limit, might have run
/// into the limit: whether it would cannot be seen.
const HELD_ELSEWHERE: f64 = 0.2;
const HELD_USAGE: f64 = 0.6;
/// Counterfactual events end where demand falls below this share of the found limit.
const FOUND_LIMIT_EXIT: f64 = 0.85;
/// Memory from this share of its limit on is at the limit.
pub(super) const MEMORY_AT_LIMIT: f64 = 0.9;

impl Reader<'_> {
    pub(super) fn read_cpu_limit(&self, row: &Row, name: &AppName) -> Option<Reading> {
        let demand = self.demands.get(name)?;
        let lease = self
            .leases
            .iter()
            .find(|lease| lease.app == *name && lease.asked.knob() == Knob::CpuMax);
        let usage = demand
            .usage_cores
            .map(|own| own + self.below_cores.get(name).copied().unwrap_or(0.0));
        let unit = Unit::Limit(name.clone(), Resource::Cpu);
        let share = throttled_share(row);
        let measured = share.map(|share| share / waiting_threshold(&unit));
        let mut reading = Reading {
            unit,
            level: measured,
            exit: EXIT,
            waiting: share.unwrap_or(0.0),
            load: usage,
            capacity: demand.limit_cores,
            demand: usage.map(|usage| usage.max(demand.demand.cores)),
            censored: demand.demand.censored,
            treated: lease.is_some(),
            apps: vec![name.clone()],
        };
        let over_limit = usage.zip(demand.limit_cores).zip(self.code.get(name));
        let base_over = over_limit.map(|((usage, limit), gain)| usage * gain / (AT_LIMIT * limit));
        if let Some(over) = base_over.filter(|over| *over >= FOUND_LIMIT_EXIT / AT_LIMIT) {
            // Its variants ask for less: the base would run into the limit.
            reading.treated = true;
            reading.exit = FOUND_LIMIT_EXIT / AT_LIMIT;
            reading.level = Some(measured.map_or(over, |waited| waited.max(over)));
            if lease.is_none() {
                return Some(reading);
            }
        }
        let Some(lease) = lease else {
            if self.held_elsewhere(row, name, usage, demand.limit_cores) {
                reading.level = measured.filter(|level| *level >= 1.0);
            }
            return (demand.limit_cores.is_some() && measured.is_some()).then_some(reading);
        };
        let found = match lease.found {
            Some(found) => found.limit_cores(),
            None => demand.standing_limit_cores,
        };
        let found = found?;
        reading.capacity = Some(found);
        let lowered = lease.asked.limit_cores().is_some_and(|asked| asked < found);
        let over_found = usage.map(|usage| usage / (AT_LIMIT * found));
        reading.level = match (over_found, measured) {
            // We hold it below what was found: what it would have asked for cannot be seen.
            (Some(over), _) if lowered && over < 1.0 => None,
            (Some(over), Some(waited)) if waited > over && !lowered => Some(waited),
            (Some(over), _) => {
                reading.exit = FOUND_LIMIT_EXIT / AT_LIMIT;
                Some(over)
            }
            (None, _) => None,
        };
        Some(reading)
    }

    /// Whether the app waits for CPUs, or under a limit above it, so that its own limit is out of its reach.
    fn held_elsewhere(&self, row: &Row, name: &AppName, usage: Option<f64>, limit: Option<f64>) -> bool {
        let own = throttled_share(row).unwrap_or(0.0);
        let waiting = finite(row, Field::CpuWaiting).unwrap_or(0.0) - own;
        let above = held_from_above(self.sample, self.apps, name);
        let near = usage
            .zip(limit)
            .is_some_and(|(usage, limit)| usage >= HELD_USAGE * limit);
        near && waiting.max(above) >= HELD_ELSEWHERE
    }
}

pub(super) fn memory_limit(row: &Row) -> Option<f64> {
    let high = finite(row, Field::MemoryHigh);
    let hard = finite(row, Field::MemoryLimit);
    match (high, hard) {
        (Some(high), Some(hard)) => Some(high.min(hard)),
        (one, other) => one.or(other),
    }
}

pub(super) fn read_memory_limit(row: &Row, name: &AppName) -> Option<Reading> {
    let limit = memory_limit(row)?;
    let share = finite(row, Field::MemoryWaiting)?;
    let used = finite(row, Field::Memory);
    let unit = Unit::Limit(name.clone(), Resource::Memory);
    let at_limit = used.is_some_and(|used| used >= MEMORY_AT_LIMIT * limit);
    let own = if at_limit { share.max(0.0) } else { 0.0 };
    Some(Reading {
        level: Some(own / waiting_threshold(&unit)),
        unit,
        exit: EXIT,
        waiting: own,
        load: used,
        capacity: Some(limit),
        demand: None,
        censored: at_limit,
        treated: false,
        apps: vec![name.clone()],
    })
}

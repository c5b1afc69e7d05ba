//! From a sample to who asks for what, where: each app's part of every unit that it shares with others.
//!
//! An app that is held back counts with its demand, a lower bound where no more is known; an elastic app with its
//! floor; and nobody with more than the limit that holds it. CPUs are split by where apps may and do run: an app that
//! may use some CPUs only has rows of its own there, and what is left of a CPU's work belongs to all the others.

use crate::demand::{AppDemand, finite};
use crate::readings::ancestors;
use crate::sums::track::Level;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_types::{AppName, Apps, Direction, Entity, Field, Row, Sample, Unit};

/// What one app asks of one unit, in the unit's measure.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    pub(super) unit: Unit,
    pub(super) app: &'a AppName,
    /// What it uses.
    pub(super) used: f64,
    /// What it would use.
    pub(super) asked: Level,
}

/// A unit as a whole.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) unit: Unit,
    /// What was measured of it.
    pub(super) load: f64,
    /// What there is, as far as it is known, before anybody outside takes from it.
    pub(super) nominal: Option<f64>,
    /// What somebody outside took: steal.
    pub(super) lost: f64,
    /// What apps without a part of their own ask for, over what they use.
    pub(super) rest_scale: f64,
}

/// The lowest limit that holds the app, its own and those above it.
fn ceiling(name: &AppName, apps: &Apps, demands: &BTreeMap<AppName, AppDemand>) -> f64 {
    let own_and_above = std::iter::once(name).chain(ancestors(apps, name));
    own_and_above
        .filter_map(|app| demands.get(app))
        .filter_map(|demand| Some(demand.standing_limit_cores?.max(demand.limit_cores?)))
        .fold(f64::INFINITY, f64::min)
}

/// What the app asks for in cores, where it uses `used` of them.
fn asked_cores(
    name: &AppName,
    used: f64,
    apps: &Apps,
    demands: &BTreeMap<AppName, AppDemand>,
) -> Option<Level> {
    let demand = demands.get(name)?;
    if demand.is_elastic() {
        let floor = apps.get(name).and_then(|managed| managed.grant.cpu_cores.floor);
        return Some(Level::new(used.min(floor.unwrap_or(0.0)), false));
    }
    let (wanted, most) = (demand.demand.cores.max(used), ceiling(name, apps, demands));
    Some(Level::new(
        wanted.min(most),
        demand.demand.censored && wanted < most,
    ))
}

/// Every app's part of every unit that apps share, those of one app together.
pub(super) fn parts<'a>(
    sample: &'a Sample,
    apps: &'a Apps,
    demands: &BTreeMap<AppName, AppDemand>,
) -> Vec<Part<'a>> {
    let only_nic = only_nic(sample);
    let mut found = Vec::new();
    for row in &sample.rows {
        match &row.entity {
            Entity::App(app) if apps.contains_key(app) => {
                found.extend(cpu_part(row, app, apps, demands));
                found.extend(own_parts(row, app, only_nic));
            }
            Entity::AppCore(app, core) if apps.contains_key(app) => {
                found.extend(core_part(row, app, *core, sample, apps, demands));
            }
            entity => {
                let app = entity.app().filter(|app| apps.contains_key(*app));
                found.extend(app.and_then(|app| placed_part(row, app)));
            }
        }
    }
    found
}

/// A part of which what is used is what is asked for.
fn part(unit: Unit, app: &AppName, used: Option<f64>) -> Option<Part<'_>> {
    let used = used?;
    let asked = Level::new(used, false);
    Some(Part {
        unit,
        app,
        used,
        asked,
    })
}

fn cpu_part<'a>(
    row: &Row,
    app: &'a AppName,
    apps: &Apps,
    demands: &BTreeMap<AppName, AppDemand>,
) -> Option<Part<'a>> {
    let used = finite(row, Field::CpuUsage)?;
    let asked = asked_cores(app, used, apps, demands)?;
    Some(Part {
        unit: Unit::Cpu,
        app,
        used,
        asked,
    })
}

/// Memory, and traffic where it can only be that of one interface.
fn own_parts<'a>(
    row: &Row,
    app: &'a AppName,
    only_nic: Option<&Arc<str>>,
) -> impl Iterator<Item = Part<'a>> + use<'a> {
    let moved = |direction, field| {
        let unit = Unit::Net(only_nic?.clone(), direction);
        part(unit, app, finite(row, field))
    };
    let received = moved(Direction::Rx, Field::AppReceive);
    let sent = moved(Direction::Tx, Field::AppTransmit);
    let held = part(Unit::Memory, app, memory(row));
    [held, received, sent].into_iter().flatten()
}

/// What an app does on a disk, in a part of one, or has on a node.
fn placed_part<'a>(row: &Row, app: &'a AppName) -> Option<Part<'a>> {
    match &row.entity {
        Entity::AppDisk(_, disk) => {
            let moved = both(row, Field::AppDiskRead, Field::AppDiskWrite);
            part(Unit::Disk(disk.clone(), None), app, moved)
        }
        Entity::AppRange(_, disk, from, to) => {
            let moved = both(row, Field::AppRangeRead, Field::AppRangeWrite);
            part(Unit::Disk(disk.clone(), Some((*from, *to))), app, moved)
        }
        Entity::AppNode(_, node) => part(Unit::Node(*node), app, finite(row, Field::AppNodeMemory)),
        _ => None,
    }
}

/// The interface, where there is exactly one.
fn only_nic(sample: &Sample) -> Option<&Arc<str>> {
    let mut nics = sample.rows.iter().filter_map(|row| match &row.entity {
        Entity::Nic(name) => Some(name),
        _ => None,
    });
    let first = nics.next();
    first.filter(|_| nics.next().is_none())
}

/// What an app asks of one CPU: its demand, divided as its use is.
fn core_part<'a>(
    row: &Row,
    app: &'a AppName,
    core: u16,
    sample: &Sample,
    apps: &Apps,
    demands: &BTreeMap<AppName, AppDemand>,
) -> Option<Part<'a>> {
    let used = finite(row, Field::AppCoreUsage)?;
    let whole = sample.get(&Entity::App(app.clone()), Field::CpuUsage)?;
    let asked = asked_cores(app, whole, apps, demands)?;
    let share = if whole > 0.0 { (used / whole).min(1.0) } else { 0.0 };
    Some(Part {
        unit: Unit::Core(core),
        app,
        used,
        asked: Level::new(asked.amount()? * share, asked.is_bound() && share > 0.0),
    })
}

/// Memory that cannot be given back by dropping page cache, where that is told apart.
fn memory(row: &Row) -> Option<f64> {
    let anonymous = finite(row, Field::MemoryAnonymous);
    anonymous.or_else(|| finite(row, Field::Memory))
}

fn both(row: &Row, one: Field, other: Field) -> Option<f64> {
    Some(finite(row, one)? + finite(row, other)?)
}

/// Every unit as a whole, given the apps' parts.
pub(super) fn wholes(sample: &Sample, parts: &[Part<'_>]) -> Vec<Whole> {
    let free = Unconfined::of(parts);
    let mut found = Vec::new();
    for row in &sample.rows {
        let mut add = |unit, load: Option<f64>, nominal, lost, rest_scale| {
            let Some(load) = load else { return };
            found.push(Whole {
                unit,
                load,
                nominal,
                lost,
                rest_scale,
            });
        };
        match &row.entity {
            Entity::Host => {
                let (online, steal) = free.cpus(row);
                add(Unit::Cpu, finite(row, Field::HostCpuBusy), online, steal, 1.0);
                let total = finite(row, Field::HostMemoryTotal);
                let left = finite(row, Field::HostMemoryAvailable);
                let used = total.zip(left).map(|(total, left)| total - left);
                add(Unit::Memory, used, total, 0.0, 1.0);
            }
            Entity::Core(core) => {
                let steal = finite(row, Field::CoreSteal).unwrap_or(0.0);
                let busy = finite(row, Field::CoreBusy);
                add(Unit::Core(*core), busy, Some(1.0), steal, free.scale);
            }
            Entity::Node(node) => {
                let total = finite(row, Field::NodeMemoryTotal);
                let left = finite(row, Field::NodeMemoryFree)
                    .map(|left| left + finite(row, Field::NodeMemoryFile).unwrap_or(0.0));
                let used = total.zip(left).map(|(total, left)| (total - left).max(0.0));
                add(Unit::Node(*node), used, total, 0.0, 1.0);
            }
            Entity::Disk(disk) => {
                let load = both(row, Field::DiskRead, Field::DiskWrite);
                add(Unit::Disk(disk.clone(), None), load, None, 0.0, 1.0);
            }
            Entity::DiskRange(disk, from, to) => {
                let load = both(row, Field::RangeRead, Field::RangeWrite);
                let unit = Unit::Disk(disk.clone(), Some((*from, *to)));
                add(unit, load, None, 0.0, 1.0);
            }
            Entity::Nic(nic) => {
                let speed = finite(row, Field::NicSpeed).filter(|speed| *speed > 0.0);
                for (direction, field) in [
                    (Direction::Rx, Field::NicReceive),
                    (Direction::Tx, Field::NicTransmit),
                ] {
                    add(
                        Unit::Net(nic.clone(), direction),
                        finite(row, field),
                        speed,
                        0.0,
                        1.0,
                    );
                }
            }
            _ => {}
        }
    }
    found
}

/// The apps that may use every CPU.
struct Unconfined {
    /// What they ask for over what they use.
    scale: f64,
    /// The CPUs that anybody may use, where every app is confined to some.
    confined_to: Option<BTreeSet<u16>>,
}

impl Unconfined {
    fn of(parts: &[Part<'_>]) -> Self {
        let cores = |part: &Part<'_>| match part.unit {
            Unit::Core(core) => Some(core),
            _ => None,
        };
        let confined: BTreeSet<&AppName> = parts
            .iter()
            .filter(|part| cores(part).is_some())
            .map(|part| part.app)
            .collect();
        let (mut used, mut asked, mut anybody) = (0.0, 0.0, false);
        for part in parts.iter().filter(|part| part.unit == Unit::Cpu) {
            if !confined.contains(part.app) {
                anybody = true;
                used += part.used;
                asked += part.asked.amount().unwrap_or(0.0);
            }
        }
        let all = || parts.iter().filter_map(cores).collect();
        Self {
            scale: if used > 0.0 { asked / used } else { 1.0 },
            confined_to: (!anybody && !confined.is_empty()).then(all),
        }
    }

    /// CPUs that apps may use, and how much of them was stolen.
    fn cpus(&self, host: &Row) -> (Option<f64>, f64) {
        let steal = finite(host, Field::HostCpuSteal).unwrap_or(0.0);
        let Some(capacity) = finite(host, Field::HostCpuCapacity) else {
            return (None, steal);
        };
        let online = capacity + steal;
        match &self.confined_to {
            Some(cores) if (cores.len() as f64) < online => {
                let part = cores.len() as f64 / online;
                (Some(cores.len() as f64), steal * part)
            }
            _ => (Some(online), steal),
        }
    }
}

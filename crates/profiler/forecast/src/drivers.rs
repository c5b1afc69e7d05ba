//! Who drives a unit: the apps with the largest shares of its demand.

use crate::demand::AppDemand;
use crate::readings::ancestors;
use std::collections::BTreeMap;
use tidegate_types::{AppName, Apps, Direction, Driver, Resource, Unit};

/// Drivers that are named.
const DRIVERS_MAX: usize = 5;
/// Smaller shares do not drive.
const SHARE_MIN: f64 = 0.02;

/// The drivers of the units that all apps share, worked out once per map.
pub(crate) struct Drivers {
    cpu: Vec<Driver>,
    memory: Vec<Driver>,
    disk: Vec<Driver>,
    net: [Vec<Driver>; 2],
}

fn largest(amounts: impl Iterator<Item = (AppName, f64)>) -> Vec<Driver> {
    let mut amounts: Vec<(AppName, f64)> = amounts.filter(|(_, amount)| *amount > 0.0).collect();
    let total: f64 = amounts.iter().map(|(_, amount)| amount).sum();
    amounts.sort_by(|left, right| right.1.total_cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    amounts
        .into_iter()
        .take(DRIVERS_MAX)
        .map(|(app, amount)| Driver {
            app,
            share: amount / total,
        })
        .filter(|driver| driver.share >= SHARE_MIN)
        .collect()
}

impl Drivers {
    pub(crate) fn new(demands: &BTreeMap<AppName, AppDemand>) -> Self {
        let by = |amount: &dyn Fn(&AppDemand) -> f64| {
            largest(
                demands
                    .iter()
                    .map(|(name, demand)| (name.clone(), amount(demand))),
            )
        };
        Self {
            cpu: by(&|demand| demand.usage_cores.map_or(0.0, |_| demand.demand.cores)),
            memory: by(&|demand| demand.memory_bytes.unwrap_or(0.0)),
            disk: by(&|demand| demand.disk_bytes_per_s),
            net: [
                by(&|demand| demand.net_bytes_per_s[0]),
                by(&|demand| demand.net_bytes_per_s[1]),
            ],
        }
    }

    /// The drivers of `unit`, largest share first.
    pub(crate) fn of(&self, unit: &Unit, apps: &Apps, demands: &BTreeMap<AppName, AppDemand>) -> Vec<Driver> {
        match unit {
            Unit::Cpu | Unit::Core(_) | Unit::Llc(_) => self.cpu.clone(),
            Unit::Memory | Unit::Node(_) => self.memory.clone(),
            Unit::Disk(..) => self.disk.clone(),
            Unit::Net(_, Direction::Rx) => self.net[0].clone(),
            Unit::Net(_, Direction::Tx) => self.net[1].clone(),
            Unit::Limit(name, resource) => of_limit(name, *resource, apps, demands),
        }
    }
}

/// An app alone under its limit drives it alone; a group above others is driven by those below it.
fn of_limit(
    name: &AppName,
    resource: Resource,
    apps: &Apps,
    demands: &BTreeMap<AppName, AppDemand>,
) -> Vec<Driver> {
    let alone = || {
        vec![Driver {
            app: name.clone(),
            share: 1.0,
        }]
    };
    let is_parent = apps
        .values()
        .any(|managed| managed.app.parent.as_ref() == Some(name));
    if !is_parent {
        return alone();
    }
    let amount = |demand: &AppDemand| match resource {
        Resource::Memory => demand.memory_bytes.unwrap_or(0.0),
        _ => demand.demand.cores,
    };
    let below = apps
        .keys()
        .filter(|other| *other == name || ancestors(apps, other).any(|above| above == name));
    let found = largest(below.filter_map(|app| Some((app.clone(), amount(demands.get(app)?)))));
    if found.is_empty() { alone() } else { found }
}

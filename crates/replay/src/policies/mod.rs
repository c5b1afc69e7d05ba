//! The rules of other systems, one small pure module each, behind one trait.
//!
//! Each module says where its formulas come from and what it leaves out. A rule sees one second after
//! another and says what it would give to whom; it never sees the future and acts on nothing. What a record
//! does not have (latencies, deployments, other hosts) is either replaced by a stated stand-in or left out.

mod autopilot;
mod google;
mod histogram;
mod koordinator;
mod opennebula;
mod parties;
mod quota_turbo;
mod rama;
mod senpai;
mod sideloader;
mod vpa;
mod window;

pub use autopilot::Autopilot;
pub(crate) use google::limit_sum;
pub use google::{LimitSum, MaxOf, NSigma, RcLike};
pub use histogram::Histogram;
pub use koordinator::Koordinator;
pub use opennebula::{NearForecast, Ridge};
pub use parties::{Parties, PartiesMove, Slack};
pub use quota_turbo::QuotaTurbo;
pub use rama::{PdLaw, Rama};
pub use senpai::{Senpai, SenpaiLaw};
pub use sideloader::Sideloader;
pub use vpa::{VpaBounds, VpaRecommender};

use std::collections::{BTreeMap, BTreeSet};
use tidegate_types::{AppName, Entity, Field, Moment, Sample};

/// What a rule sees of one app; NaN is not measured, infinity is no limit.
#[derive(Clone, Debug, PartialEq)]
pub struct AppSeen {
    /// Who.
    pub name: AppName,
    /// CPU used, in cores.
    pub cpu_cores: f64,
    /// CPU limit in cores.
    pub cpu_limit_cores: f64,
    /// Seconds throttled per second.
    pub cpu_throttled: f64,
    /// Share of time in which a task waited for a CPU.
    pub cpu_waiting: f64,
    /// Memory used, in bytes.
    pub memory_bytes: f64,
    /// Memory limit in bytes.
    pub memory_limit_bytes: f64,
    /// Share of time in which a task waited for memory.
    pub memory_waiting: f64,
    /// Processes killed for lack of memory, per second.
    pub oom_kills: f64,
}

/// What a rule sees of one second of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// When.
    pub at: Moment,
    /// Seconds since the sight before.
    pub interval_s: f64,
    /// CPUs that the host has, in cores.
    pub capacity_cores: f64,
    /// CPU used by everything, in cores.
    pub busy_cores: f64,
    /// Memory that the host has, in bytes.
    pub memory_bytes: f64,
    /// Free swap as a share of all swap; 1 where there is none.
    pub swap_free: f64,
    /// Share of time in which some task waited for memory.
    pub memory_waiting: f64,
    /// Share of time in which some task waited for I/O.
    pub io_waiting: f64,
    /// Apps by name.
    pub apps: Vec<AppSeen>,
}

impl Seen {
    /// What `sample` shows. Where the host's own rows are missing, `capacity_cores` and sums stand in.
    pub fn of(sample: &Sample, capacity_cores: f64) -> Self {
        let host = |field| sample.get(&Entity::Host, field);
        let apps: Vec<AppSeen> = sample
            .rows
            .iter()
            .filter_map(|row| {
                let Entity::App(name) = &row.entity else {
                    return None;
                };
                let value = |field| row.get(field).unwrap_or(f64::NAN);
                let limit = |field| row.get(field).unwrap_or(f64::INFINITY);
                Some(AppSeen {
                    name: name.clone(),
                    cpu_cores: value(Field::CpuUsage),
                    cpu_limit_cores: limit(Field::CpuLimit),
                    cpu_throttled: value(Field::CpuThrottled),
                    cpu_waiting: value(Field::CpuWaiting),
                    memory_bytes: value(Field::Memory),
                    memory_limit_bytes: limit(Field::MemoryLimit),
                    memory_waiting: value(Field::MemoryWaiting),
                    oom_kills: value(Field::MemoryOomKills),
                })
            })
            .collect();
        let sum: f64 = apps
            .iter()
            .map(|app| app.cpu_cores)
            .filter(|cores| cores.is_finite())
            .sum();
        let swap_free = match (host(Field::HostSwapUsed), host(Field::HostSwapTotal)) {
            (Some(used), Some(total)) if total > 0.0 => 1.0 - used / total,
            _ => 1.0,
        };
        Self {
            at: sample.now,
            interval_s: sample.interval_s,
            capacity_cores: host(Field::HostCpuCapacity).unwrap_or(capacity_cores),
            busy_cores: host(Field::HostCpuBusy).unwrap_or(sum),
            memory_bytes: host(Field::HostMemoryTotal).unwrap_or(f64::NAN),
            swap_free,
            memory_waiting: host(Field::HostMemoryWaiting).unwrap_or(0.0),
            io_waiting: host(Field::HostIoWaiting).unwrap_or(0.0),
            apps,
        }
    }

    /// An app's CPU limit, or the whole host where it has none.
    pub fn limit_cores(&self, app: &AppSeen) -> f64 {
        app.cpu_limit_cores.min(self.capacity_cores)
    }

    /// Share of the host's CPUs that is used, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        self.busy_cores / self.capacity_cores
    }
}

/// What a rule would give from now on; what it does not speak of is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// CPU per app, in cores.
    pub cpu_cores: BTreeMap<AppName, f64>,
    /// Memory per app, in bytes.
    pub memory_bytes: BTreeMap<AppName, f64>,
    /// CPU that the apps together are expected to need, in cores, where the rule speaks of the host.
    pub host_cpu_cores: Option<f64>,
}

/// A rule of a peer.
pub trait Rule {
    /// Its short name in reports.
    fn name(&self) -> &'static str;
    /// Takes in one second and says what should hold after it.
    fn step(&mut self, seen: &Seen) -> Decision;
}

/// Every rule with its peer's defaults; `batch` names the apps that may be held back.
pub fn all(batch: &BTreeSet<AppName>) -> Vec<Box<dyn Rule>> {
    vec![
        Box::new(LimitSum),
        Box::new(VpaRecommender::default()),
        Box::new(Koordinator::default()),
        Box::new(Autopilot::new(batch.clone())),
        Box::new(NSigma::new(5.0)),
        Box::new(RcLike::new(0.99)),
        Box::new(MaxOf::new(vec![
            Box::new(NSigma::new(5.0)),
            Box::new(RcLike::new(0.99)),
        ])),
        Box::new(NearForecast::default()),
        Box::new(Senpai::default()),
        Box::new(Rama::default()),
        Box::new(Sideloader::new(batch.clone())),
        Box::new(Parties::default()),
        Box::new(QuotaTurbo::default()),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tidegate_types::BootTime;

    pub(crate) const MIB: f64 = 1_048_576.0;

    pub(crate) fn app(name: &str, cpu_cores: f64, cpu_limit_cores: f64) -> AppSeen {
        AppSeen {
            name: AppName::new(name),
            cpu_cores,
            cpu_limit_cores,
            cpu_throttled: 0.0,
            cpu_waiting: 0.0,
            memory_bytes: 100.0 * MIB,
            memory_limit_bytes: f64::INFINITY,
            memory_waiting: 0.0,
            oom_kills: 0.0,
        }
    }

    /// A host of 4 cores and 8 GiB at `second`.
    pub(crate) fn seen(second: u64, apps: Vec<AppSeen>) -> Seen {
        let busy_cores = apps.iter().map(|app| app.cpu_cores).sum();
        Seen {
            at: Moment {
                boot: BootTime(second * 1_000_000_000),
                utc_ms: second.cast_signed() * 1000,
            },
            interval_s: 1.0,
            capacity_cores: 4.0,
            busy_cores,
            memory_bytes: 8192.0 * MIB,
            swap_free: 1.0,
            memory_waiting: 0.0,
            io_waiting: 0.0,
            apps,
        }
    }

    pub(crate) fn close(left: f64, right: f64) {
        assert!(
            (left - right).abs() <= 1e-9 * right.abs().max(1.0),
            "{left} is not {right}"
        );
    }

    #[test]
    fn every_rule_has_a_name_of_its_own_and_lives_through_a_strange_host() {
        let batch = BTreeSet::from([AppName::new("b")]);
        let mut rules = all(&batch);
        let names: BTreeSet<&str> = rules.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), rules.len());
        let mut nothing = app("b", f64::NAN, f64::INFINITY);
        nothing.memory_bytes = f64::NAN;
        for rule in &mut rules {
            for second in [0, 1, 400, 400, 90_000] {
                let decision = rule.step(&seen(second, vec![nothing.clone()]));
                assert!(
                    decision.cpu_cores.values().all(|cores| !cores.is_nan()),
                    "{}",
                    rule.name()
                );
                assert!(
                    decision.memory_bytes.values().all(|bytes| !bytes.is_nan()),
                    "{}",
                    rule.name()
                );
                let _ = rule.step(&seen(second, Vec::new()));
            }
        }
    }
}

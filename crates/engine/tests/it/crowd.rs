//! A simulated host: two apps share a fixed sum of CPU limits, and one of them has a crowd every 45 s.
//!
//! The kernel's part is simple: an app uses its demand up to its limit, and what it cannot use shows as
//! throttling. Leases of the plan move the limits, as `act` would.

use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_types::{
    App, AppName, BootTime, Entity, Event, Field, Group, GroupPath, Hierarchy, Input, Knob, KnobValue,
    LeaseId, Moment, Output, Owner, Row, Sample, WriteResult,
};

/// Cores that the tenant wants in its crowd, and otherwise.
const CROWD_CORES: f64 = 0.7;
const QUIET_CORES: f64 = 0.05;
/// Limits as they are found; their sum is the pool's.
pub(crate) const TENANT_LIMIT: f64 = 0.3;
const BATCH_LIMIT: f64 = 0.9;
const PERIOD_US: u64 = 100_000;

/// The policy that lets tidegate act on both.
pub(crate) const POLICY: &str = r#"
[default]
mode = "observe"

[[app]]
name = "tenant"
match = { cgroup = "/pool/tenant" }
class = "critical"
mode = "enforce"
cpu = { floor = 0.1, ceiling = 0.8 }

[[app]]
name = "batch"
match = { cgroup = "/pool/batch" }
class = "batch"
mode = "enforce"
cpu = { floor = 0.2 }

[[pool]]
name = "pool"
resource = "cpu"
apps = ["tenant", "batch"]
cores = 1.2

[strategy]
left_alone_share = 0.0
"#;

/// The host at one second.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    second: u64,
    period_s: u64,
    crowd_s: u64,
    held: BTreeMap<LeaseId, (AppName, KnobValue)>,
    events: Vec<Event>,
}

fn cores_of(value: KnobValue) -> f64 {
    value.limit_cores().unwrap_or(f64::INFINITY)
}

fn found(app: &AppName) -> KnobValue {
    let cores = if app.as_str() == "tenant" {
        TENANT_LIMIT
    } else {
        BATCH_LIMIT
    };
    KnobValue::CpuMax {
        quota_us: Some((cores * PERIOD_US as f64) as u64),
        period_us: PERIOD_US,
        burst_us: 0,
    }
}

fn app(name: &str, id: u64) -> App {
    let path = GroupPath {
        hierarchy: Hierarchy::V2,
        path: Arc::from(format!("/pool/{name}")),
        id,
    };
    App {
        name: AppName::new(name),
        group: Some(Group { paths: vec![path] }),
        owner: Owner::Delegated,
        parent: None,
        executable: None,
        user: None,
    }
}

impl Host {
    /// A host whose tenant has a crowd of `crowd_s` seconds every `period_s`.
    pub(crate) fn new(period_s: u64, crowd_s: u64) -> Self {
        let events = vec![
            Event::Started {
                boot_id: Arc::from("boot"),
                cpus: 2,
            },
            Event::PolicyChanged(Arc::from(POLICY)),
            Event::AppCame(app("batch", 1)),
            Event::AppCame(app("tenant", 2)),
        ];
        Self {
            second: 0,
            period_s,
            crowd_s,
            held: BTreeMap::new(),
            events,
        }
    }

    /// Whether the tenant's crowd is there at `second`.
    pub(crate) fn crowd_at(&self, second: u64) -> bool {
        second >= self.period_s && second % self.period_s < self.crowd_s
    }

    pub(crate) fn now(&self) -> Moment {
        let boot = BootTime::from_seconds(1000.0 + self.second as f64);
        Moment {
            boot,
            utc_ms: 1_790_000_000_000 + self.second.cast_signed() * 1000,
        }
    }

    /// The limit in force for an app.
    pub(crate) fn limit(&self, name: &str) -> f64 {
        let app = AppName::new(name);
        let held = self.held.values().find(|(whose, _)| *whose == app);
        cores_of(held.map_or_else(|| found(&app), |(_, value)| *value))
    }

    /// One second passes; what was measured in it, and what happened.
    pub(crate) fn step(&mut self) -> Input {
        self.second += 1;
        let crowd = self.crowd_at(self.second - 1);
        let tenant = self.row("tenant", if crowd { CROWD_CORES } else { QUIET_CORES });
        let batch = self.row("batch", 2.0);
        let mut host = Row::empty(Entity::Host);
        host.set(Field::HostCpuCapacity, 2.0);
        host.set(Field::HostCpuWaiting, 0.0);
        let mut sample = Sample {
            now: self.now(),
            interval_s: 1.0,
            rows: vec![tenant, batch, host],
        };
        sample.sort();
        Input {
            now: self.now(),
            events: std::mem::take(&mut self.events),
            sample: Some(sample),
        }
    }

    fn row(&self, name: &str, demand: f64) -> Row {
        let limit = self.limit(name);
        let mut row = Row::empty(Entity::App(AppName::new(name)));
        let missing = (demand - limit).max(0.0);
        row.set(Field::CpuUsage, demand.min(limit));
        row.set(Field::CpuThrottled, missing.min(1.0));
        row.set(Field::CpuThrottledPeriods, if missing > 0.0 { 1.0 } else { 0.0 });
        row.set(Field::CpuWaiting, missing.min(1.0));
        row.set(Field::CpuLimit, limit);
        row.set(Field::CpuLimitPeriod, 0.1);
        row.set(Field::CpuBurst, 0.0);
        row.set(Field::CpuWeight, 100.0);
        row.set(Field::Processes, 1.0);
        row
    }

    /// Does what `act` does: leases that are due are written, those that are gone are given back.
    pub(crate) fn act(&mut self, output: &Output) {
        let now = self.now().boot;
        // This host moves by whole seconds: a lease holds for the coming one if it holds at its middle.
        let middle = now.plus_seconds(0.5);
        let due: BTreeMap<LeaseId, (AppName, KnobValue)> = output
            .plan
            .leases
            .iter()
            .filter(|lease| lease.active_at(middle) && lease.asked.knob() == Knob::CpuMax)
            .map(|lease| (lease.id, (lease.app.clone(), lease.asked)))
            .collect();
        for (id, (app, asked)) in &due {
            if self.held.get(id).is_none_or(|(_, value)| value != asked) {
                self.events.push(written(*id, app, *asked, now, false));
            }
        }
        for (id, (app, _)) in &self.held {
            if !due.contains_key(id) {
                self.events.push(written(*id, app, found(app), now, true));
            }
        }
        self.held = due;
    }
}

fn written(lease: LeaseId, app: &AppName, value: KnobValue, at: BootTime, restored: bool) -> Event {
    Event::Written(WriteResult {
        lease,
        app: app.clone(),
        knob: value.knob(),
        found: Some(found(app)),
        outcome: Ok(value),
        at,
        restored,
    })
}

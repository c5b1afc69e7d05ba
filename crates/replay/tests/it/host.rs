//! Two tenants with crowds and a batch program share limits; the loop acts, its writes come back as events.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tidegate_engine::{Config, PeakModel, State, plan_bytes, tick};
use tidegate_history::{Store, StoreConfig};
use tidegate_types::{
    App, AppName, BootTime, Entity, Event, Field, Group, GroupPath, Hierarchy, Input, Knob, KnobValue,
    LeaseId, Moment, Owner, Plan, Row, Sample, WriteResult,
};

const POLICY: &str = r#"
[strategy]
left_alone_share = 0.0

[default.cpu]
mode = "enforce"

[[app]]
name = "db"
match = { cgroup = "/bed/db" }
class = "critical"
cpu = { floor = 0.3, ceiling = 1.4 }

[[app]]
name = "web"
match = { cgroup = "/bed/web" }
class = "critical"
cpu = { floor = 0.3, ceiling = 1.4 }

[[app]]
name = "work"
match = { cgroup = "/bed/work" }
class = "batch"
cpu = { floor = 0.1 }

[[pool]]
name = "shared"
resource = "cpu"
apps = ["web", "db", "work"]
cores = 1.8
"#;

const FOUND_CORES: [(&str, f64); 3] = [("db", 0.4), ("web", 0.4), ("work", 1.0)];
/// A Monday at noon.
pub(crate) const NOON_MS: i64 = 1_750_075_200_000;

pub(crate) fn at(second: u64) -> Moment {
    Moment {
        boot: BootTime((1000 + second) * 1_000_000_003),
        utc_ms: NOON_MS + second.cast_signed() * 1000,
    }
}

fn quota(cores: f64) -> KnobValue {
    KnobValue::CpuMax {
        quota_us: Some((cores * 1e5).round() as u64),
        period_us: 100_000,
        burst_us: 0,
    }
}

/// The host and the loop that runs on it.
pub(crate) struct Host {
    pub(crate) state: State,
    pub(crate) store: Store,
    limits: BTreeMap<AppName, f64>,
    written: BTreeSet<LeaseId>,
    events: Vec<Event>,
}

impl Host {
    /// A host whose daemon starts now, from `state` or from nothing.
    pub(crate) fn new(dir: &Path, state: Option<State>) -> Self {
        let config = StoreConfig {
            boot_id: "boot".into(),
            background: false,
            ..StoreConfig::default()
        };
        let (store, _) = Store::open(dir, config).expect("opens");
        let started = Event::Started {
            boot_id: "boot".into(),
            cpus: 2,
        };
        let mut events = vec![started, Event::PolicyChanged(POLICY.into())];
        events.extend(FOUND_CORES.map(|(name, _)| Event::AppCame(app(name))));
        Self {
            state: state.unwrap_or_else(|| State::new(Config::default())),
            store,
            limits: FOUND_CORES
                .map(|(name, cores)| (AppName::new(name), cores))
                .into(),
            written: BTreeSet::new(),
            events,
        }
    }

    /// Keeps a model in the store and promotes it with the next tick; its name.
    pub(crate) fn promote(&mut self, bytes: &[u8]) -> String {
        let name = self.store.put_model(bytes).expect("kept");
        let model = PeakModel::from_bytes(bytes).expect("a model");
        self.state.supply(&Arc::from(&*name), Arc::new(model));
        self.events.push(Event::ModelPromoted(Arc::from(&*name)));
        name
    }

    /// Runs the loop for these seconds, recording it; a checkpoint at every multiple of `checkpoint_every`.
    pub(crate) fn run(&mut self, seconds: std::ops::Range<u64>, checkpoint_every: u64) {
        for second in seconds {
            let input = Input {
                now: at(second),
                events: std::mem::take(&mut self.events),
                sample: Some(self.sample(second)),
            };
            let output = tick(&mut self.state, &input);
            self.act(&output.plan);
            self.store.append_input(&input).expect("recorded");
            let bytes = plan_bytes(&output.plan);
            self.store
                .append_output(input.now, &output, &bytes)
                .expect("recorded");
            if second % checkpoint_every == 0 {
                let state = self.state.checkpoint().expect("a state");
                self.store.append_checkpoint(input.now, &state).expect("kept");
            }
        }
    }

    /// What the plan asks for holds at once, and is told in the next tick.
    fn act(&mut self, plan: &Plan) {
        for (name, cores) in FOUND_CORES {
            let name = AppName::new(name);
            let active = plan.leases.iter().find(|lease| {
                lease.app == name && lease.active_at(plan.made.boot) && lease.asked.limit_cores().is_some()
            });
            let asked = active.and_then(|lease| lease.asked.limit_cores());
            self.limits.insert(name.clone(), asked.unwrap_or(cores));
            let Some(lease) = active.filter(|lease| !self.written.contains(&lease.id)) else {
                continue;
            };
            self.written.insert(lease.id);
            self.events.push(Event::Written(WriteResult {
                lease: lease.id,
                app: name,
                knob: Knob::CpuMax,
                found: Some(quota(cores)),
                outcome: Ok(lease.asked),
                at: plan.made.boot,
                restored: false,
            }));
        }
    }

    fn sample(&self, second: u64) -> Sample {
        let crowd = |shift: u64| (second + shift) % 45 < 6;
        let wanted = |name: &str| match name {
            "db" if crowd(0) => 0.85,
            "web" if crowd(22) => 0.85,
            "work" => 2.0,
            _ => 0.15 + (second % 7) as f64 * 0.003,
        };
        let mut sample = Sample {
            now: at(second),
            interval_s: 1.0 + (second % 11) as f64 * 1e-6,
            rows: FOUND_CORES.map(|(name, _)| self.row(name, wanted(name))).into(),
        };
        let mut host = Row::empty(Entity::Host);
        host.set(Field::HostCpuCapacity, 2.0);
        sample.rows.push(host);
        sample.sort();
        sample
    }

    fn row(&self, name: &str, wanted: f64) -> Row {
        let limit = self.limits[&AppName::new(name)];
        let mut row = Row::empty(Entity::App(AppName::new(name)));
        row.set(Field::CpuUsage, wanted.min(limit));
        row.set(Field::CpuThrottled, (wanted - limit).max(0.0));
        row.set(Field::CpuThrottledPeriods, f64::from(wanted > limit));
        row.set(Field::CpuWaiting, (wanted - limit).clamp(0.0, 1.0));
        row.set(Field::CpuLimit, limit);
        row.set(Field::CpuLimitPeriod, 0.1);
        row.set(Field::CpuBurst, 0.0);
        row.set(Field::CpuWeight, 100.0);
        row.set(Field::CpuIdle, 0.0);
        row
    }
}

fn app(name: &str) -> App {
    App {
        name: AppName::new(name),
        group: Some(Group {
            paths: vec![GroupPath {
                hierarchy: Hierarchy::V2,
                path: format!("/bed/{name}").into(),
                id: 1,
            }],
        }),
        owner: Owner::Tidegate,
        parent: None,
        executable: None,
        user: None,
    }
}

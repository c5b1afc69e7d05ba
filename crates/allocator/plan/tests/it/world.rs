//! A host as the planner sees it: apps, a policy, samples, a map, and a clock that only moves when told.

use std::collections::BTreeMap;
use tidegate_plan::policy::{self, Policy};
use tidegate_plan::{PlanConfig, Planner};
use tidegate_types::{
    App, AppName, Apps, BootTime, ContentionMap, Driver, Entity, Event, Field, Group, GroupPath, Hierarchy,
    KnobValue, Lease, Managed, MapEntry, Moment, Owner, Plan, PredictionId, Quantiles, Resource, Row, Sample,
    Source, Unit, WindowProbability,
};

/// Two critical tenants and a batch program share 1.8 cores of limits.
pub(crate) const SHARED: &str = r#"
[strategy]
left_alone_share = 0.0

[default.cpu]
mode = "enforce"

[[app]]
name = "web"
match = { cgroup = "/bed/web" }
class = "critical"
cpu = { floor = 0.3, ceiling = 1.4 }

[[app]]
name = "db"
match = { cgroup = "/bed/db" }
class = "critical"
cpu = { floor = 0.3, ceiling = 1.4 }

[[app]]
name = "work"
match = { cgroup = "/bed/work" }
class = "batch"
cpu = { floor = 0.1 }
code = { mode = "enforce" }

[[pool]]
name = "shared"
resource = "cpu"
apps = ["web", "db", "work"]
cores = 1.8
"#;

pub(crate) fn name(text: &str) -> AppName {
    AppName::new(text)
}

pub(crate) fn at(seconds: f64) -> Moment {
    Moment {
        boot: BootTime::from_seconds(seconds),
        utc_ms: (seconds * 1e3) as i64,
    }
}

pub(crate) fn limit_of(app: &str) -> Unit {
    Unit::Limit(name(app), Resource::Cpu)
}

/// The host.
pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) apps: Apps,
    pub(crate) planner: Planner,
    pub(crate) map: ContentionMap,
    pub(crate) sample: Sample,
    /// Limits when nothing of ours holds.
    pub(crate) found: BTreeMap<AppName, f64>,
}

impl World {
    /// The apps of [`SHARED`] under `policy`, with 0.4, 0.4 and 1.0 cores.
    pub(crate) fn new(policy: &str) -> Self {
        let policy = policy::parse(policy, "policy.toml").expect("policy");
        let mut world = Self {
            policy,
            apps: Apps::new(),
            planner: Planner::new(PlanConfig { seed: 7 }),
            map: ContentionMap::default(),
            sample: Sample::default(),
            found: BTreeMap::new(),
        };
        for (app, cores) in [("web", 0.4), ("db", 0.4), ("work", 1.0)] {
            world.add(app, &format!("/bed/{app}"), Owner::Tidegate, cores);
        }
        world
    }

    pub(crate) fn add(&mut self, app: &str, path: &str, owner: Owner, cores: f64) {
        let group = Group {
            paths: vec![GroupPath {
                hierarchy: Hierarchy::V2,
                path: path.into(),
                id: 1,
            }],
        };
        let app = App {
            name: name(app),
            group: Some(group),
            owner,
            parent: None,
            executable: Some("/usr/bin/program".into()),
            user: Some("nobody".into()),
        };
        let grant = self.policy.resolve(&app);
        self.found.insert(app.name.clone(), cores);
        self.apps.insert(app.name.clone(), Managed { app, grant });
    }

    /// A sample at `seconds` in which every app uses `usage` of it (0.1 where nothing is said), and limits are
    /// what the plan's leases make of the found ones.
    pub(crate) fn sample(&mut self, seconds: f64, usage: &[(&str, f64)], leases: &[Lease]) {
        let now = at(seconds);
        let limits = self.limits(now.boot, leases);
        let rows = self.apps.keys().map(|app| {
            let mut row = Row::empty(Entity::App(app.clone()));
            let used = usage.iter().find(|(name, _)| *name == app.as_str());
            row.set(Field::CpuUsage, used.map_or(0.1, |(_, cores)| *cores));
            row.set(Field::CpuLimit, limits[app]);
            row.set(Field::CpuLimitPeriod, 0.1);
            row.set(Field::CpuBurst, 0.0);
            row.set(Field::CpuWeight, 100.0);
            row.set(Field::CpuIdle, 0.0);
            row.set(Field::CpuThrottled, 0.0);
            row
        });
        self.sample = Sample {
            now,
            interval_s: 1.0,
            rows: rows.collect(),
        };
        self.sample.sort();
    }

    /// The limits that hold at `now`.
    pub(crate) fn limits(&self, now: BootTime, leases: &[Lease]) -> BTreeMap<AppName, f64> {
        let mut limits = self.found.clone();
        for lease in leases.iter().filter(|lease| lease.active_at(now)) {
            if let (KnobValue::CpuMax { .. }, Some(limit)) = (&lease.asked, limits.get_mut(&lease.app)) {
                *limit = lease.asked.limit_cores().unwrap_or(f64::INFINITY);
            }
        }
        limits
    }

    /// A map, made at `seconds`, that foresees these onsets.
    pub(crate) fn foresee(&mut self, seconds: f64, entries: Vec<MapEntry>) {
        self.map = ContentionMap {
            made: at(seconds),
            entries,
            demands: Vec::new(),
        };
        self.map.entries.sort_by(|left, right| left.unit.cmp(&right.unit));
    }

    pub(crate) fn plan(&mut self, seconds: f64) -> Plan {
        self.planner
            .plan(at(seconds), &self.map, &self.sample, &self.apps, &self.policy)
    }

    /// `app` is seen waiting under its limit for `share` of the time.
    pub(crate) fn wait(&mut self, seconds: f64, app: &str, share: f64) {
        let unit = limit_of(app);
        self.event(seconds, &Event::Waiting { unit, share });
    }

    pub(crate) fn event(&mut self, seconds: f64, event: &Event) {
        self.planner.on_event(at(seconds), event);
    }
}

/// An onset at `onset_s`, half a second unsure, of a demand of `cores` for 6 seconds.
pub(crate) fn onset(unit: Unit, probability: f64, onset_s: f64, cores: f64) -> MapEntry {
    let around = |middle: f64, spread: f64| Quantiles {
        q10: middle - spread,
        q50: middle,
        q90: middle + spread,
    };
    let drivers = match &unit {
        Unit::Limit(app, _) => vec![Driver {
            app: app.clone(),
            share: 1.0,
        }],
        _ => Vec::new(),
    };
    let windows = [60, 300, 900, 3600].map(|window_s| WindowProbability {
        window_s,
        probability,
        peak: None,
    });
    MapEntry {
        id: PredictionId(onset_s as u64),
        unit,
        windows: windows.to_vec(),
        confidence: 0.9,
        onset: Some(around(onset_s, 0.4)),
        end: Some(around(onset_s + 6.0, 0.5)),
        peak: Some(around(cores, 0.05)),
        peak_censored: false,
        ebbing: false,
        drivers,
        reason: "a burst every 45 s".into(),
        source: Source::Periodic,
        trained: true,
        ongoing_since: None,
        demoted: false,
    }
}

/// `APP LIMIT from START to END` per lease on a limit, in order of app and start.
pub(crate) fn shown(plan: &Plan) -> Vec<String> {
    let mut leases: Vec<&Lease> = plan.leases.iter().collect();
    leases.sort_by(|left, right| (&left.app, left.start).cmp(&(&right.app, right.start)));
    let show = |lease: &&Lease| {
        let value = match lease.asked {
            KnobValue::CpuWeight { idle: true, .. } => "idle".into(),
            KnobValue::CpuWeight { weight, .. } => format!("weight {weight}"),
            KnobValue::CpuMax { burst_us, .. } if burst_us > 0 => format!("burst {burst_us}"),
            KnobValue::CpuMax { .. } => format!("{:.3}", lease.asked.limit_cores().unwrap_or(f64::INFINITY)),
        };
        let (from, to) = (lease.start.seconds(), lease.end.seconds());
        format!("{} {value} from {from:.1} to {to:.1}", lease.app)
    };
    leases.iter().map(show).collect()
}

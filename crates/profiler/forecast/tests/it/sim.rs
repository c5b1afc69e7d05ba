//! A host in which apps run under CPU limits: work arrives whether or not it is served, quota is dealt out in
//! periods of 100 ms, and what is left over waits. Seeded, with a clock of its own.

use std::collections::BTreeMap;
use tidegate_forecast::{ForecastConfig, Forecaster};
use tidegate_types::{
    App, AppName, Apps, BootTime, Cause, Class, ContentionEvent, ContentionMap, Entity, Field, Grant,
    KnobValue, Lease, LeaseId, Managed, MapEntry, Moment, Outcome, Owner, PredictionId, Resource, Row,
    Sample, Trigger, Unit,
};

/// Length of a step of the simulation.
const STEP_S: f64 = 0.01;
/// Steps of one enforcement period.
const PERIOD_STEPS: u64 = 10;
/// 2026-11-23, a Monday, 08:00 UTC.
pub(crate) const START_UTC_MS: i64 = 1_795_420_800_000;

/// A small seeded generator.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.uniform() * (high - low)
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -self.uniform().max(1e-12).ln() * mean
    }
}

/// One burst of demand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) at_s: f64,
    pub(crate) lasts_s: f64,
    pub(crate) cores: f64,
}

/// Bursts on a beat.
pub(crate) struct Beat {
    pub(crate) first_s: f64,
    pub(crate) period_s: f64,
    pub(crate) jitter_s: f64,
    pub(crate) skip: f64,
    pub(crate) lasts_s: f64,
    pub(crate) cores: f64,
}

impl Beat {
    pub(crate) fn bursts(&self, count: u32, random: &mut Seeded) -> Vec<Burst> {
        let mut bursts = Vec::new();
        for slot in 0..count {
            let jitter_s = random.between(-self.jitter_s, self.jitter_s);
            let skipped = random.uniform() < self.skip;
            let at_s = self.first_s + f64::from(slot) * self.period_s + jitter_s;
            if !skipped {
                bursts.push(Burst {
                    at_s,
                    lasts_s: self.lasts_s,
                    cores: self.cores,
                });
            }
        }
        bursts
    }
}

/// One app of the simulation.
pub(crate) struct SimApp {
    pub(crate) name: AppName,
    pub(crate) limit_cores: f64,
    pub(crate) base_cores: f64,
    pub(crate) bursts: Vec<Burst>,
    /// Bursts before this one are over.
    past: usize,
    /// The second at whose end it last had work left over from a burst.
    busy_s: u64,
    backlog: f64,
    quota_left: f64,
    used_s: f64,
    throttled_s: f64,
}

/// The simulated host with a forecaster that watches it.
pub(crate) struct Sim {
    pub(crate) apps: Vec<SimApp>,
    pub(crate) managed: Apps,
    pub(crate) forecaster: Forecaster,
    pub(crate) leases: Vec<Lease>,
    pub(crate) second: u64,
    pub(crate) map: ContentionMap,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) events: Vec<ContentionEvent>,
    /// The last sample.
    pub(crate) seen: Sample,
    random: Seeded,
    step: u64,
}

pub(crate) fn managed(name: &str, class: Class) -> Managed {
    let app = App {
        name: AppName::new(name),
        group: None,
        owner: Owner::Tidegate,
        parent: None,
        executable: None,
        user: None,
    };
    Managed {
        app,
        grant: Grant {
            class,
            ..Grant::default()
        },
    }
}

pub(crate) fn limit_unit(name: &str) -> Unit {
    Unit::Limit(AppName::new(name), Resource::Cpu)
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            apps: Vec::new(),
            managed: BTreeMap::new(),
            forecaster: Forecaster::new(ForecastConfig::default()),
            leases: Vec::new(),
            second: 0,
            map: ContentionMap::default(),
            outcomes: Vec::new(),
            events: Vec::new(),
            seen: Sample::default(),
            random: Seeded(seed),
            step: 0,
        }
    }

    pub(crate) fn add(&mut self, name: &str, limit_cores: f64, base_cores: f64, bursts: Vec<Burst>) {
        self.managed
            .insert(AppName::new(name), managed(name, Class::Standard));
        self.apps.push(SimApp {
            name: AppName::new(name),
            limit_cores,
            base_cores,
            bursts,
            past: 0,
            busy_s: 0,
            backlog: 0.0,
            quota_left: 0.0,
            used_s: 0.0,
            throttled_s: 0.0,
        });
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            boot: BootTime::from_seconds(1000.0 + self.second as f64),
            utc_ms: START_UTC_MS + self.second.cast_signed() * 1000,
        }
    }

    /// Simulated seconds of a boot-clock second.
    pub(crate) fn of_boot(seconds: f64) -> f64 {
        seconds - 1000.0
    }

    fn limit_at(&self, app: &SimApp, at_s: f64) -> f64 {
        let at = BootTime::from_seconds(1000.0 + at_s);
        let lease = self
            .leases
            .iter()
            .find(|lease| lease.app == app.name && lease.active_at(at));
        lease
            .and_then(|lease| lease.asked.limit_cores())
            .unwrap_or(app.limit_cores)
    }

    fn run_step(&mut self) {
        let at_s = self.step as f64 * STEP_S;
        let limits: Vec<f64> = if self.step.is_multiple_of(PERIOD_STEPS) {
            self.apps.iter().map(|app| self.limit_at(app, at_s)).collect()
        } else {
            vec![0.0; self.apps.len()]
        };
        for (app, limit) in self.apps.iter_mut().zip(limits) {
            let noise = 2.0 * self.random.uniform();
            if self.step.is_multiple_of(PERIOD_STEPS) {
                app.quota_left = limit * STEP_S * PERIOD_STEPS as f64;
            }
            while app
                .bursts
                .get(app.past)
                .is_some_and(|burst| burst.at_s + burst.lasts_s <= at_s)
            {
                app.past += 1;
            }
            let burst = app
                .bursts
                .get(app.past)
                .filter(|burst| burst.at_s <= at_s)
                .map_or(0.0, |burst| burst.cores);
            if burst > 0.0 || app.backlog > 0.05 {
                app.busy_s = self.second + 1;
            }
            app.backlog += (app.base_cores * noise + burst) * STEP_S;
            let served = app.backlog.min(4.0 * STEP_S).min(app.quota_left);
            app.backlog -= served;
            app.quota_left -= served;
            app.used_s += served;
            if app.backlog > 1e-9 && app.quota_left <= 1e-12 {
                app.throttled_s += STEP_S;
            }
        }
        self.step += 1;
    }

    /// Whether a burst, or the work that it left, was on within the last two seconds.
    pub(crate) fn busy(&self, name: &str) -> bool {
        let app = self
            .apps
            .iter()
            .find(|app| app.name.as_str() == name)
            .expect("an app");
        app.busy_s + 2 > self.second
    }

    pub(crate) fn sample(&mut self) -> Sample {
        let limits: Vec<f64> = self
            .apps
            .iter()
            .map(|app| self.limit_at(app, self.second as f64 - 1e-6))
            .collect();
        let mut rows = Vec::new();
        for (app, limit) in self.apps.iter_mut().zip(limits) {
            let mut row = Row::empty(Entity::App(app.name.clone()));
            row.set(Field::CpuUsage, std::mem::take(&mut app.used_s));
            row.set(Field::CpuThrottled, std::mem::take(&mut app.throttled_s));
            row.set(Field::CpuLimit, limit);
            rows.push(row);
        }
        let mut sample = Sample {
            now: self.now(),
            interval_s: 1.0,
            rows,
        };
        sample.sort();
        sample
    }

    /// Runs one second, lets the forecaster see it, and renews the map when it is due.
    pub(crate) fn tick(&mut self) -> Vec<ContentionEvent> {
        for _ in 0..(1.0 / STEP_S) as u32 {
            self.run_step();
        }
        self.second += 1;
        let sample = self.sample();
        let from = sample.now.boot.plus_seconds(-1.0);
        let leases: Vec<Lease> = self
            .leases
            .iter()
            .filter(|lease| lease.start < sample.now.boot && lease.end > from)
            .cloned()
            .collect();
        let events = self.forecaster.observe(&sample, &self.managed, &leases);
        if self.second.is_multiple_of(10) || !events.is_empty() {
            self.map = self.forecaster.map(sample.now, &self.managed);
        }
        self.outcomes.extend(self.forecaster.take_outcomes());
        self.events.extend(events.iter().cloned());
        self.leases.retain(|lease| lease.end > from);
        self.seen = sample;
        events
    }

    /// The app goes, and comes again under another name.
    pub(crate) fn rename(&mut self, old: &str, new: &str) {
        let mut managed = self.managed.remove(&AppName::new(old)).expect("an app");
        self.forecaster.app_went(managed.app.clone(), self.now());
        managed.app.name = AppName::new(new);
        self.forecaster.app_came(&managed.app, self.now());
        for app in self.apps.iter_mut().filter(|app| app.name.as_str() == old) {
            app.name = AppName::new(new);
        }
        self.managed.insert(AppName::new(new), managed);
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&MapEntry> {
        self.map.entry(&limit_unit(name))
    }

    pub(crate) fn probability(&self, name: &str, window_s: u32) -> f64 {
        self.entry(name)
            .and_then(|entry| entry.probability(window_s))
            .unwrap_or(0.0)
    }

    /// A lease that raises the app's limit.
    pub(crate) fn lease(&self, name: &str, cores: f64, start_s: f64, end_s: f64, id: PredictionId) -> Lease {
        let app = self
            .apps
            .iter()
            .find(|app| app.name.as_str() == name)
            .expect("an app");
        let value = |cores: f64| KnobValue::CpuMax {
            quota_us: Some((cores * 100_000.0) as u64),
            period_us: 100_000,
            burst_us: 0,
        };
        Lease {
            id: LeaseId(id.0),
            app: app.name.clone(),
            asked: value(cores),
            found: Some(value(app.limit_cores)),
            start: BootTime::from_seconds(start_s),
            end: BootTime::from_seconds(end_s),
            cause: Cause {
                trigger: Trigger::Predicted,
                prediction: Some(id),
                unit: limit_unit(name),
                beneficiary: app.name.clone(),
                rule: "raise before the onset".to_owned(),
            },
        }
    }
}

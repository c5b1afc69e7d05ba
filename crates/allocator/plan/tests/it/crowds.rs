//! Crowds of 6 s every 45 s on two tenants and a batch program that share a fixed sum, simulated: acting ahead
//! against reacting, with the same knobs and ceilings.

use crate::world::{SHARED, World, at, limit_of, name, onset};
use std::collections::BTreeMap;
use tidegate_types::{AppName, BootTime, Event, Lease, MapEntry};

/// Step of the simulation: the fast poll of throttled time.
const STEP_S: f64 = 0.1;
const PERIOD_S: f64 = 45.0;
const CROWD_S: f64 = 6.0;
const ROUNDS: u32 = 40;
const BASE_CORES: f64 = 0.15;
const CROWD_CORES: f64 = 0.85;

/// A small seeded generator (splitmix64), 0 to 1.
fn random(seed: u64) -> f64 {
    let mut mixed = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(0x1234_5678_9abc_def1);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Where the crowd of `round` is expected on tenant 0 or 1.
fn nominal(tenant: u32, round: u32) -> f64 {
    100.0 + PERIOD_S * (f64::from(round) + 0.5 * f64::from(tenant))
}

/// When it really begins: jitter of half a second, one in six missing.
fn actual(tenant: u32, round: u32) -> Option<f64> {
    let seed = u64::from(round * 2 + tenant);
    (random(seed) > 1.0 / 6.0).then(|| nominal(tenant, round) + random(seed + 9_000) - 0.5)
}

fn demand(tenant: u32, now_s: f64) -> f64 {
    let in_crowd = (0..ROUNDS)
        .filter_map(|round| actual(tenant, round))
        .any(|begin| (begin..begin + CROWD_S).contains(&now_s));
    if in_crowd { CROWD_CORES } else { BASE_CORES }
}

fn forecast(now_s: f64, sabotage_s: f64) -> Vec<MapEntry> {
    let of = |tenant: u32| {
        let next = (0..ROUNDS)
            .map(|round| nominal(tenant, round))
            .map(|onset| onset + sabotage_s)
            .find(|onset| onset + 0.4 > now_s)?;
        let app = if tenant == 0 { "db" } else { "web" };
        Some(onset(limit_of(app), 0.83, next, CROWD_CORES))
    };
    [0, 1].into_iter().filter_map(of).collect()
}

#[derive(Debug, Default)]
struct Result {
    /// Core-seconds of tenants' work that had to wait, times the time it waited.
    waited: f64,
    /// Core-seconds of batch work.
    batch: f64,
    /// Leases that raised a tenant.
    raises: usize,
}

struct Run {
    world: World,
    leases: Vec<Lease>,
    backlog: BTreeMap<AppName, f64>,
    used: BTreeMap<AppName, f64>,
    result: Result,
    names: Vec<tidegate_types::LeaseId>,
}

impl Run {
    fn new(policy: &str) -> Self {
        let world = World::new(policy);
        Self {
            world,
            leases: Vec::new(),
            backlog: BTreeMap::new(),
            used: BTreeMap::new(),
            result: Result::default(),
            names: Vec::new(),
        }
    }

    /// One step of tenants and batch under the limits that hold; says whether somebody was throttled.
    fn step(&mut self, now_s: f64) -> Vec<Event> {
        let limits = self.world.limits(at(now_s).boot, &self.leases);
        let mut events = Vec::new();
        for (tenant, app) in [(0, "db"), (1, "web")] {
            let app = name(app);
            let limit = limits[&app];
            let backlog = self.backlog.entry(app.clone()).or_default();
            let wanted = demand(tenant, now_s) * STEP_S + *backlog;
            let done = wanted.min(limit * STEP_S);
            *backlog = wanted - done;
            self.result.waited += *backlog * STEP_S;
            *self.used.entry(app.clone()).or_default() += done;
            if *backlog > 1e-9 {
                events.push(Event::Waiting {
                    unit: limit_of(app.as_str()),
                    share: 0.5,
                });
            }
        }
        self.result.batch += limits[&name("work")] * STEP_S;
        *self.used.entry(name("work")).or_default() += limits[&name("work")] * STEP_S;
        events
    }

    fn plan(&mut self, now_s: f64) {
        self.leases = self.world.plan(now_s).leases;
        for lease in &self.leases {
            let new = lease.app != name("work")
                && lease.start <= BootTime::from_seconds(now_s)
                && !self.names.contains(&lease.id);
            if new {
                self.names.push(lease.id);
                self.result.raises += 1;
            }
        }
    }
}

fn run(policy: &str, sabotage_s: f64) -> Result {
    let mut run = Run::new(policy);
    let steps = ((PERIOD_S * f64::from(ROUNDS) + 100.0) / STEP_S) as u32;
    run.world.sample(0.0, &[], &[]);
    for step in 0..steps {
        let now_s = f64::from(step) * STEP_S;
        let events = run.step(now_s);
        let after_s = now_s + STEP_S;
        if step % 100 == 0 {
            run.world.foresee(after_s, forecast(after_s, sabotage_s));
        }
        if step % 10 == 9 {
            let used = std::mem::take(&mut run.used);
            let usage: Vec<(&str, f64)> = used.iter().map(|(app, cores)| (app.as_str(), *cores)).collect();
            let leases = run.leases.clone();
            run.world.sample(after_s, &usage, &leases);
            run.plan(after_s);
        }
        for event in &events {
            run.world.event(after_s, event);
        }
        if !events.is_empty() {
            run.plan(after_s);
        }
    }
    run.result
}

#[test]
fn acting_ahead_waits_less_and_leaves_the_batch_its_work() {
    let reactive = run(
        &SHARED.replace("[strategy]", "[strategy]\nkind = \"reactive\""),
        0.0,
    );
    let predictive = run(SHARED, 0.0);
    let sabotaged = run(SHARED, PERIOD_S / 2.0);
    let kept = predictive.batch / reactive.batch;
    eprintln!(
        "reactive {reactive:?}\npredictive {predictive:?}, batch kept {kept:.4}\nsabotaged {sabotaged:?}"
    );
    assert!(
        predictive.waited * 3.0 < reactive.waited,
        "{predictive:?} {reactive:?}"
    );
    assert!(kept >= 0.93, "{kept}");
    assert!(
        sabotaged.batch < predictive.batch,
        "a wrong forecast costs: {sabotaged:?}"
    );
    assert!(sabotaged.waited > predictive.waited * 2.0, "and does not help");
}

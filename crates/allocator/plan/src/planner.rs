//! The planner: what is remembered between two plans, and the order in which one is made.

use crate::allocate::{self, View};
use crate::episode::{self, Episode};
use crate::found::{Found, Key};
use crate::gate::Reach;
use crate::policy::{Kind, Policy};
use crate::{reconcile, requests, weights};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_types::{
    App, AppName, Apps, BootTime, Class, ContentionMap, Entity, Event, Field, Group, Knob, Lease, Moment,
    Plan, Resource, Sample, Unit, WriteFailure, WriteResult,
};

/// Leases are handed over this long before they start, so that a late tick delays none, in seconds.
const LOOKAHEAD_S: f64 = 3.0;
/// A knob that someone else wrote is theirs for this long, in seconds.
const FOREIGN_BLOCK_S: f64 = 3600.0;
/// A knob whose write failed otherwise is tried again after this long, in seconds.
const FAILED_BLOCK_S: f64 = 10.0;
/// Share of time throttled from which it counts as waiting.
const WAITING_SHARE: f64 = 0.05;

/// Settings that are not the user's policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanConfig {
    /// Seeds the choice of the onsets that are left alone.
    pub seed: u64,
}

/// Turns maps into plans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planner {
    config: PlanConfig,
    boot_id: Arc<str>,
    paused: bool,
    draws: u64,
    next_lease: u64,
    found: Found,
    /// Groups of the apps that came.
    groups: BTreeMap<AppName, Option<Group>>,
    blocked: BTreeMap<Key, BootTime>,
    episodes: BTreeMap<Unit, Episode>,
    /// Onsets up to here are dealt with.
    done: BTreeMap<Unit, BootTime>,
    /// Waiting that was seen since the last plan.
    waiting: BTreeMap<Unit, f64>,
    leases: Vec<Lease>,
    last_sample: BootTime,
}

impl Planner {
    /// A planner that has done nothing yet.
    pub fn new(config: PlanConfig) -> Self {
        Self {
            config,
            boot_id: Arc::from(""),
            paused: false,
            draws: 0,
            next_lease: 0,
            found: Found::default(),
            groups: BTreeMap::new(),
            blocked: BTreeMap::new(),
            episodes: BTreeMap::new(),
            done: BTreeMap::new(),
            waiting: BTreeMap::new(),
            leases: Vec::new(),
            last_sample: BootTime::default(),
        }
    }

    /// Takes note of what happened since the last plan.
    pub fn on_event(&mut self, now: Moment, event: &Event) {
        match event {
            Event::Started { boot_id, .. } => self.start(boot_id),
            Event::Paused => self.paused = true,
            Event::Resumed => self.paused = false,
            Event::Waiting { unit, share } if *share >= WAITING_SHARE => {
                let most = self.waiting.entry(unit.clone()).or_insert(*share);
                *most = most.max(*share);
            }
            Event::AppCame(app) => self.came(app),
            Event::AppWent(app) => {
                self.groups.remove(app);
                self.forget(app);
            }
            Event::Written(result) => self.written(now.boot, result),
            Event::ForeignWrite { app, knob, value } => {
                let key = (app.clone(), *knob);
                self.lose(&key, now.boot.plus_seconds(FOREIGN_BLOCK_S));
                if let Some(value) = value {
                    self.found.set(key, *value);
                }
            }
            _ => {}
        }
    }

    /// Nothing of ours holds after a start; after a boot, no moment means anything either.
    fn start(&mut self, boot_id: &Arc<str>) {
        self.episodes.clear();
        self.waiting.clear();
        self.leases.clear();
        if self.boot_id != *boot_id {
            self.boot_id = boot_id.clone();
            self.blocked.clear();
            self.done.clear();
            self.found.forget_times();
            self.last_sample = BootTime::default();
        }
    }

    /// An app that is said again without having moved is still the one whose knobs are ours.
    fn came(&mut self, app: &App) {
        let before = self.groups.insert(app.name.clone(), app.group.clone());
        if before.is_some_and(|group| group != app.group) {
            self.forget(&app.name);
        }
    }

    fn forget(&mut self, app: &AppName) {
        self.found.forget(app);
        self.leases.retain(|lease| lease.app != *app);
    }

    fn written(&mut self, now: BootTime, result: &WriteResult) {
        let key = (result.app.clone(), result.knob);
        self.found.touch(&key, result.at);
        match (&result.outcome, result.found) {
            (Ok(_), Some(found)) => self.found.set(key, found),
            (Ok(_), None) => {}
            (Err(WriteFailure::Foreign), _) => self.lose(&key, now.plus_seconds(FOREIGN_BLOCK_S)),
            (Err(_), _) => self.lose(&key, now.plus_seconds(FAILED_BLOCK_S)),
        }
    }

    fn lose(&mut self, key: &Key, until: BootTime) {
        let blocked = self.blocked.entry(key.clone()).or_insert(until);
        *blocked = (*blocked).max(until);
        self.leases
            .retain(|lease| (lease.app.clone(), lease.asked.knob()) != *key);
    }

    /// What should hold from `now` on.
    pub fn plan(
        &mut self,
        now: Moment,
        map: &ContentionMap,
        sample: &Sample,
        apps: &Apps,
        policy: &Policy,
    ) -> Plan {
        let at = now.boot;
        self.blocked.retain(|_, until| *until > at);
        if sample.now.boot > self.last_sample {
            self.last_sample = sample.now.boot;
            self.learn(at, sample, apps);
        }
        let waiting = std::mem::take(&mut self.waiting);
        if self.paused {
            self.episodes.clear();
            self.release(at);
            return Plan {
                made: now,
                ..Plan::default()
            };
        }
        self.close_episodes(at, apps);
        self.foresee(at, map, apps, policy);
        self.react(at, map, apps, &waiting);
        let capacity = sample.get(&Entity::Host, Field::HostCpuCapacity);
        self.decide(now, map, apps, policy, capacity)
    }

    fn release(&mut self, at: BootTime) {
        for lease in std::mem::take(&mut self.leases) {
            self.found.touch(&(lease.app, lease.asked.knob()), at);
        }
    }

    /// Found values, and whether contention began or ended.
    fn learn(&mut self, at: BootTime, sample: &Sample, apps: &Apps) {
        let leases = &self.leases;
        self.found.learn(sample, apps, |(app, knob)| {
            let mut held = leases.iter().filter(|lease| lease.start <= at);
            held.any(|lease| lease.app == *app && lease.asked.knob() == *knob)
        });
        let mut over = Vec::new();
        for (unit, episode) in &mut self.episodes {
            let Unit::Limit(app, Resource::Cpu) = unit else {
                continue;
            };
            let entity = Entity::App(app.clone());
            let usage = sample.get(&entity, Field::CpuUsage);
            let (Some(usage), Some(limit)) = (usage, self.found.limit(app)) else {
                continue;
            };
            let throttled = is_throttled(sample, app);
            if episode.learn(sample.now.boot, sample.interval_s, usage, limit, throttled) {
                over.push(unit.clone());
            }
        }
        for unit in &over {
            self.close(unit);
        }
        for app in apps
            .iter()
            .filter(|(_, managed)| managed.grant.class != Class::Batch)
            .map(|(name, _)| name)
        {
            if is_throttled(sample, app) {
                self.waiting
                    .entry(Unit::Limit(app.clone(), Resource::Cpu))
                    .or_insert(WAITING_SHARE);
            }
        }
    }

    fn close_episodes(&mut self, at: BootTime, apps: &Apps) {
        let over: Vec<Unit> = self
            .episodes
            .iter()
            .filter(|(unit, episode)| {
                let gone = matches!(unit, Unit::Limit(app, _) if !apps.contains_key(app));
                episode.is_over(at) || gone
            })
            .map(|(unit, _)| unit.clone())
            .collect();
        for unit in &over {
            self.close(unit);
        }
    }

    fn close(&mut self, unit: &Unit) {
        if let Some(episode) = self.episodes.remove(unit) {
            let done = self.done.entry(unit.clone()).or_default();
            *done = (*done).max(episode.onset_by);
        }
    }

    /// Opens, follows and drops episodes that lie ahead, as the map says.
    fn foresee(&mut self, at: BootTime, map: &ContentionMap, apps: &Apps, policy: &Policy) {
        let strategy = &policy.strategy;
        self.episodes.retain(|unit, episode| {
            let ahead = episode.is_ahead(at);
            let entry = map.entry(unit);
            let still = entry.and_then(|entry| episode::foreseen(entry, map.made.boot, at, strategy));
            !ahead || (still.is_some() && strategy.kind == Kind::Predictive)
        });
        if strategy.kind == Kind::Reactive {
            return;
        }
        for entry in &map.entries {
            let onset = episode::foreseen(entry, map.made.boot, at, strategy);
            let Some(onset) = onset.filter(|_| concerns_limits_or_cpus(&entry.unit, apps)) else {
                continue;
            };
            let dealt_with = self
                .done
                .get(&entry.unit)
                .is_some_and(|done| BootTime::from_seconds(onset.q50) <= *done);
            match self.episodes.get_mut(&entry.unit) {
                Some(episode) if episode.is_ahead(at) => episode.follow(entry, onset),
                Some(_) => {}
                None if dealt_with => {}
                None => {
                    let mut episode = Episode::foreseen(entry, onset);
                    episode.left_alone = self.draw() < strategy.left_alone_share;
                    self.episodes.insert(entry.unit.clone(), episode);
                }
            }
        }
    }

    /// Contention that goes on, foreseen or not.
    fn react(&mut self, at: BootTime, map: &ContentionMap, apps: &Apps, waiting: &BTreeMap<Unit, f64>) {
        let going_on = map
            .entries
            .iter()
            .filter(|entry| entry.ongoing_since.is_some() && is_fresh(map, at));
        let said = going_on.map(|entry| {
            (
                entry.unit.clone(),
                "the forecast sees it going on".to_owned(),
                true,
            )
        });
        let waited = waiting.iter().map(|(unit, share)| {
            let percent = share * 100.0;
            (unit.clone(), format!("waiting {percent:.0} % of the time"), false)
        });
        for (unit, reason, labelled) in waited.chain(said) {
            if !concerns_limits_or_cpus(&unit, apps) {
                continue;
            }
            match self.episodes.get_mut(&unit) {
                // An onset that is left alone is helped only once it was labelled, so that it can be scored.
                Some(episode) if episode.left_alone && !labelled => {
                    episode.onset_seen.get_or_insert(at);
                }
                Some(episode) if !episode.is_another(at) => episode.show(at, &reason),
                // For a limit, what the forecast sees is late: waiting itself is the sign.
                None if labelled && matches!(unit, Unit::Limit(..)) => {}
                _ => {
                    let episode = Episode::observed(&unit, map.entry(&unit), at, reason);
                    self.episodes.insert(unit, episode);
                }
            }
        }
    }

    fn decide(
        &mut self,
        now: Moment,
        map: &ContentionMap,
        apps: &Apps,
        policy: &Policy,
        capacity: Option<f64>,
    ) -> Plan {
        let at = now.boot;
        let episodes: Vec<Episode> = self.episodes.values().cloned().collect();
        let view = |reach: Reach| View {
            now: at,
            apps,
            policy,
            found: &self.found,
            blocked: &self.blocked,
            reach,
        };
        let (enforce, hypothetical) = (view(Reach::Enforce), view(Reach::Advise));
        let all = |view: &View<'_>| {
            let mut leases = allocate::limits(view, &episodes);
            leases.extend(allocate::bursts(view, &episodes));
            leases.extend(weights::throttles(view, &episodes, capacity));
            hand_over(leases, at.plus_seconds(LOOKAHEAD_S))
        };
        let mut wanted = all(&enforce);
        let mut advice = requests::withheld(&hypothetical, &wanted, &all(&hypothetical));
        if policy.strategy.standing_weights {
            let stepped_back: Vec<AppName> = wanted
                .iter()
                .filter(|lease| lease.asked.knob() == Knob::CpuWeight)
                .map(|lease| lease.app.clone())
                .collect();
            let standing = weights::standing_leases(&enforce, &self.leases).into_iter();
            wanted.extend(standing.filter(|lease| !stepped_back.contains(&lease.app)));
        } else {
            advice.extend(requests::standing(&hypothetical));
        }
        advice.extend(requests::beyond(&hypothetical, map, &episodes));
        let recompiles = requests::recompiles(&enforce, map);
        let leases = reconcile::name(wanted, &self.leases, at, &mut self.next_lease);
        for old in &self.leases {
            let ended = old.start <= at && !leases.iter().any(|lease| lease.id == old.id);
            if ended {
                self.found.touch(&(old.app.clone(), old.asked.knob()), at);
            }
        }
        self.leases.clone_from(&leases);
        Plan {
            made: now,
            leases,
            shifts: Vec::new(),
            recompiles,
            advice,
        }
    }

    /// A number in [0, 1) from the seed (splitmix64, Steele, Lea and Flood 2014).
    fn draw(&mut self) -> f64 {
        self.draws += 1;
        let mut mixed = self
            .config
            .seed
            .wrapping_add(self.draws.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The leases that begin before `horizon`, and those that have to follow while one of these still holds: without them
/// a limit that was lowered for two would come back when the first of the two ends.
fn hand_over(mut leases: Vec<Lease>, mut horizon: BootTime) -> Vec<Lease> {
    loop {
        let soon = leases.iter().filter(|lease| lease.start <= horizon);
        let last = soon.map(|lease| lease.end).max().unwrap_or(horizon);
        if last <= horizon {
            leases.retain(|lease| lease.start <= horizon);
            return leases;
        }
        horizon = last;
    }
}

/// What the map says of the present is believed for a few seconds.
fn is_fresh(map: &ContentionMap, at: BootTime) -> bool {
    at.seconds_since(map.made.boot) < 3.0
}

fn is_throttled(sample: &Sample, app: &AppName) -> bool {
    let share = sample.get(&Entity::App(app.clone()), Field::CpuThrottled);
    share.is_some_and(|share| share >= WAITING_SHARE)
}

/// Whether a knob of this planner meets contention on `unit`: CPUs, and limits of apps that are not batch work
/// (waiting of batch work alone is no contention).
fn concerns_limits_or_cpus(unit: &Unit, apps: &Apps) -> bool {
    match unit {
        Unit::Cpu | Unit::Core(_) => true,
        Unit::Limit(app, Resource::Cpu) => apps
            .get(app)
            .is_some_and(|managed| managed.grant.class != Class::Batch),
        _ => false,
    }
}

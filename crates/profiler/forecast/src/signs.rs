//! Where the signs of events to come are from: the dependency graph and the timers that fire.
//!
//! A rise of an app is a sign for the CPU limit of every app that it calls, itself or through others. A firing is a
//! sign for the limits of the app that it starts and for the CPUs, and for any unit whose onset once followed it.
//! What a sign is worth is learned by each unit for itself (`leads`).

use crate::demand::AppDemand;
use crate::graph::{Edge, Graph, below};
use crate::leads::{Lead, Rise, Sign};
use crate::report::{DependencyReport, EdgeReport};
use crate::unit::UnitState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_types::{
    AppName, Apps, ContentionEvent, Dependency, DependencyOrigin, ExpectedEvent, Moment, Notice, Resource,
    Severity, Unit,
};

/// Seconds between looks at which apps the edges join: apps come and go.
const REFRESH_S: f64 = 10.0;
/// Firings that are kept.
const FIRINGS_MAX: usize = 2048;
/// A firing is remembered so long after it was, to learn what it brings.
const FIRED_S: f64 = 120.0;
/// An onset this long after a firing, and this little before it, may be its doing.
const BROUGHT_S: f64 = 30.0;
const BROUGHT_EARLY_S: f64 = 1.5;
/// Apps that are looked up before declared names count as unknown: at the start they are still being found.
const SETTLED_S: f64 = 20.0;

/// The graph, the firings, and what upstream apps do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Signs {
    graph: Graph,
    edges: Vec<Edge>,
    refreshed_s: Option<f64>,
    rises: BTreeMap<AppName, Rise>,
    firings: Vec<ExpectedEvent>,
    /// Something was seen that a map should say at once.
    news: bool,
    /// When remarks on declared names are due.
    remarks_due_s: Option<f64>,
}

type Units = BTreeMap<Unit, UnitState>;

fn boot_s(now: Moment, utc_ms: i64) -> f64 {
    now.boot.seconds() + (utc_ms - now.utc_ms) as f64 / 1e3
}

impl Signs {
    /// Takes in dependencies.
    pub(crate) fn depend(&mut self, origin: DependencyOrigin, edges: &[Dependency], now: Moment) {
        self.graph.take(origin, edges, now.utc_ms);
        self.refreshed_s = None;
        if origin == DependencyOrigin::Declared {
            self.remarks_due_s = Some(now.boot.seconds() + SETTLED_S);
        }
    }

    /// Who calls whom, among apps that are there.
    pub(crate) fn calls(&self, apps: &Apps) -> Vec<(AppName, AppName)> {
        if self.graph.is_empty() {
            return Vec::new();
        }
        let edges = self.graph.edges(apps).into_iter();
        edges.map(|edge| (edge.upstream, edge.downstream)).collect()
    }

    /// Takes in all firings ahead.
    pub(crate) fn expect(&mut self, firings: &[ExpectedEvent], units: &mut Units, now: Moment) {
        let past = |firing: &ExpectedEvent| firing.at_utc_ms <= now.utc_ms;
        self.firings.retain(past);
        let ahead = firings.iter().filter(|firing| !past(firing));
        self.firings.extend(ahead.cloned());
        self.firings.sort_by_key(|firing| firing.at_utc_ms);
        self.firings.truncate(FIRINGS_MAX);
        let now_s = now.boot.seconds();
        for state in units.values_mut() {
            state.leads.drop_planned(now_s);
        }
        self.plan(units, now);
    }

    /// Firings that are known, soonest first.
    pub(crate) fn firings(&self) -> &[ExpectedEvent] {
        &self.firings
    }

    /// Makes the firings ahead signs of the units that they concern.
    fn plan(&self, units: &mut Units, now: Moment) {
        if self.firings.is_empty() {
            return;
        }
        let ahead = self.firings.iter().filter(|firing| firing.at_utc_ms > now.utc_ms);
        let mut followers: BTreeMap<&str, Vec<Unit>> = BTreeMap::new();
        for firing in &self.firings {
            followers.entry(&firing.name).or_insert_with(|| {
                let sign = Sign::Fire(firing.name.clone());
                let own = firing.app.iter().flat_map(|app| {
                    [Resource::Cpu, Resource::Memory].map(|resource| Unit::Limit(app.clone(), resource))
                });
                let mut targets: Vec<Unit> = own.filter(|unit| units.contains_key(unit)).collect();
                if targets.is_empty() {
                    targets.push(Unit::Cpu);
                }
                let learned = units.iter().filter(|(_, state)| state.leads.follows(&sign));
                targets.extend(learned.map(|(unit, _)| unit.clone()));
                targets.sort();
                targets.dedup();
                targets
            });
        }
        for firing in ahead {
            let at_s = boot_s(now, firing.at_utc_ms);
            let sign = Sign::Fire(firing.name.clone());
            for unit in followers.get(&*firing.name).into_iter().flatten() {
                if let Some(state) = units.get_mut(unit) {
                    state.plan(&sign, at_s);
                }
            }
        }
    }

    /// Takes in what upstream apps ask for, before the units are read.
    pub(crate) fn observe(
        &mut self,
        demands: &BTreeMap<AppName, AppDemand>,
        apps: &Apps,
        units: &mut Units,
        now: Moment,
        interval_s: f64,
    ) {
        let now_s = now.boot.seconds();
        if self.refreshed_s.is_none_or(|at_s| now_s - at_s >= REFRESH_S) {
            self.refreshed_s = Some(now_s);
            self.refresh(apps, units, now);
        }
        let mut upstream: Option<&AppName> = None;
        for edge in &self.edges {
            if upstream == Some(&edge.upstream) {
                continue;
            }
            upstream = Some(&edge.upstream);
            let cores = demands.get(&edge.upstream).and_then(|demand| demand.usage_cores);
            let watch = self.rises.entry(edge.upstream.clone()).or_default();
            let Some(at_s) = cores.and_then(|cores| watch.observe(cores, now_s, interval_s)) else {
                continue;
            };
            let sign = Sign::Rise(edge.upstream.clone());
            for app in below(&self.edges, &edge.upstream) {
                if let Some(state) = units.get_mut(&Unit::Limit(app.clone(), Resource::Cpu)) {
                    self.news |= state.sign(&sign, at_s);
                }
            }
        }
    }

    fn refresh(&mut self, apps: &Apps, units: &mut Units, now: Moment) {
        self.edges = if self.graph.is_empty() {
            Vec::new()
        } else {
            self.graph.edges(apps)
        };
        let edges = &self.edges;
        self.rises
            .retain(|app, _| edges.iter().any(|edge| edge.upstream == *app));
        self.firings
            .retain(|firing| boot_s(now, firing.at_utc_ms) > now.boot.seconds() - FIRED_S);
        self.plan(units, now);
    }

    /// Takes in onsets that were confirmed: a firing shortly before one may have brought it.
    pub(crate) fn learn(&self, events: &[ContentionEvent], units: &mut Units, now: Moment) {
        for event in events.iter().filter(|event| event.end.is_none()) {
            let onset_s = event.begin.seconds();
            let Some(state) = units.get_mut(&event.unit) else {
                continue;
            };
            for firing in &self.firings {
                let at_s = boot_s(now, firing.at_utc_ms);
                let brought = (-BROUGHT_EARLY_S..=BROUGHT_S).contains(&(onset_s - at_s));
                let sign = Sign::Fire(firing.name.clone());
                if brought && !state.leads.follows(&sign) {
                    state.leads.adopt(&sign, onset_s - at_s);
                }
            }
        }
    }

    /// Nothing was measured of the app for a while.
    pub(crate) fn pause(&mut self, app: Option<&AppName>) {
        match app {
            Some(app) => self.rises.get_mut(app).into_iter().for_each(Rise::pause),
            None => self.rises.values_mut().for_each(Rise::pause),
        }
    }

    /// The boot clock began anew.
    pub(crate) fn shift(&mut self) {
        self.refreshed_s = None;
        self.remarks_due_s = self.remarks_due_s.map(|_| 0.0);
    }

    /// Whether there is something that a map should say at once; asking takes it.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// What is wrong with declared names, once.
    pub(crate) fn remarks(&mut self, apps: &Apps, now_s: f64) -> Vec<Notice> {
        if self.remarks_due_s.is_none_or(|due_s| now_s < due_s) {
            return Vec::new();
        }
        self.remarks_due_s = None;
        let remarks = self.graph.remarks(apps).into_iter();
        remarks
            .map(|text| Notice {
                severity: Severity::Warning,
                text,
            })
            .collect()
    }

    /// Every edge with what was learned of it.
    pub(crate) fn report(&self, apps: &Apps, units: &Units) -> DependencyReport {
        let edges = self.graph.edges(apps).into_iter().map(|edge| {
            let unit = Unit::Limit(edge.downstream.clone(), Resource::Cpu);
            let sign = Sign::Rise(edge.upstream.clone());
            let lead = units
                .get(&unit)
                .and_then(|state| state.leads.iter().find(|lead| *lead.sign() == sign));
            let known = lead.filter(|lead| lead.followed().0 > 0.0);
            let lag = known.and_then(Lead::lag);
            EdgeReport {
                upstream: edge.upstream,
                downstream: edge.downstream,
                places: edge.places,
                lag_s: lag.map(|(median, _)| median),
                lag_spread_s: lag.map(|(_, spread)| spread),
                followed_share: known.map(|lead| {
                    let (hits, all) = lead.followed();
                    hits / all
                }),
                rises: lead.map_or(0.0, |lead| lead.followed().1),
            }
        });
        DependencyReport {
            edges: edges.collect(),
            remarks: self.graph.remarks(apps),
        }
    }
}

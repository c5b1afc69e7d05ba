//! Where the signs of events to come are from: the dependency graph and the timers that fire.
//!
//! A rise of an app, of its CPU use or of what it receives, is a sign for the limits of every app that it calls,
//! itself or through others, and for any shared unit on which one of these once waited soon after. A firing is a
//! sign for the limits of the app that it starts and for the CPUs, and for any unit whose onset once followed it.
//! What a sign is worth is learned by each unit for itself (`leads`).

use crate::demand::AppDemand;
use crate::graph::{Edge, Graph, below};
use crate::leads::{Lead, Rises, Sign};
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
/// Limits of a downstream that a rise may lead to.
const LED: [Resource; 3] = [Resource::Cpu, Resource::Memory, Resource::Io];
/// Apps that are looked up before declared names count as unknown: at the start they are still being found.
const SETTLED_S: f64 = 20.0;

/// The graph, the firings, and what upstream apps do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Signs {
    graph: Graph,
    edges: Vec<Edge>,
    refreshed_s: Option<f64>,
    rises: BTreeMap<AppName, Rises>,
    /// Apps that rose in the last half minute, and when.
    risen: Vec<(AppName, f64)>,
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

/// Tells the units below that `upstream` rose: the limits of apps that it reaches, and shared units that once followed.
/// True where that says something of any.
fn rose(edges: &[Edge], upstream: &AppName, at_s: f64, units: &mut Units) -> bool {
    let sign = Sign::Rise(upstream.clone());
    let mut news = false;
    let limits = below(edges, upstream)
        .into_iter()
        .flat_map(|app| LED.map(|resource| Unit::Limit(app.clone(), resource)));
    for limit in limits {
        if let Some(state) = units.get_mut(&limit) {
            news |= state.sign(&sign, at_s);
        }
    }
    let shared = units
        .iter_mut()
        .filter(|(unit, state)| !matches!(unit, Unit::Limit(..)) && state.leads.follows(&sign));
    for (_, state) in shared {
        news |= state.sign(&sign, at_s);
    }
    news
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
            let Some(demand) = demands.get(&edge.upstream) else {
                continue;
            };
            let watch = self.rises.entry(edge.upstream.clone()).or_default();
            let received = Some(demand.net_bytes_per_s[0]);
            let Some(at_s) = watch.observe(demand.usage_cores, received, now_s, interval_s) else {
                continue;
            };
            self.risen.retain(|(_, before_s)| at_s - before_s <= BROUGHT_S);
            self.risen.push((edge.upstream.clone(), at_s));
            self.news |= rose(&self.edges, &edge.upstream, at_s, units);
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
            for (riser, at_s) in self.risers_before(event) {
                let sign = Sign::Rise(riser.clone());
                if !state.leads.follows(&sign) {
                    state.leads.adopt(&sign, onset_s - at_s);
                }
            }
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

    /// Apps that rose shortly before an onset on a shared unit, and whose call reaches an app that waits there.
    fn risers_before(&self, event: &ContentionEvent) -> impl Iterator<Item = (&AppName, f64)> {
        let onset_s = event.begin.seconds();
        let shared = !matches!(event.unit, Unit::Limit(..));
        let before = self.risen.iter().filter(move |(riser, at_s)| {
            let near = (-BROUGHT_EARLY_S..=BROUGHT_S).contains(&(onset_s - at_s));
            shared
                && near
                && below(&self.edges, riser)
                    .iter()
                    .any(|app| event.apps.contains(app))
        });
        before.map(|(riser, at_s)| (riser, *at_s))
    }

    /// Nothing was measured of the app for a while.
    pub(crate) fn pause(&mut self, app: Option<&AppName>) {
        match app {
            Some(app) => self.rises.get_mut(app).into_iter().for_each(Rises::pause),
            None => self.rises.values_mut().for_each(Rises::pause),
        }
    }

    /// The boot clock began anew.
    pub(crate) fn shift(&mut self) {
        self.refreshed_s = None;
        self.risen.clear();
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

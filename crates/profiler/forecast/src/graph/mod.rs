//! Which app needs which: what was seen in socket tables and what was declared, as one graph.
//!
//! Seen edges come in pieces and are kept for a week after they were last seen; declared ones come whole, with the
//! place that says so. Declared names are matched to apps each time they are asked for, since apps come and go: the
//! name itself, or the one app whose name means the same (`web` for `web.service`, `exe:web@www` or `group:/a/web`).
//! A name that matches no app is named in the remarks, and the rest of the graph works without it.
//!
//! It does not know what an edge is good for: leads and classes are `leads`' and the planner's business.

mod dot;
pub(crate) mod read;
mod toml_file;
mod traces;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tidegate_types::{AppName, Apps, Dependency, DependencyOrigin};

/// Edges of each origin that are kept.
const EDGES_MAX: usize = 4096;
/// A seen edge is forgotten so long after it was last seen, in milliseconds: weekly jobs are in it.
const SEEN_KEPT_MS: i64 = 8 * 86_400_000;
/// Calls are followed over so many apps.
const DEPTH_MAX: usize = 4;
/// Names at least this alike are offered in place of an unknown one.
const ALIKE: f64 = 0.7;

/// All that is known of dependencies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Graph {
    seen: BTreeMap<(AppName, AppName), Seen>,
    declared: Vec<Dependency>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    place: Arc<str>,
    last_utc_ms: i64,
}

/// Where an edge is known from.
pub(crate) type Places = Vec<(DependencyOrigin, Arc<str>)>;

/// One edge between apps that are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Edge {
    pub(crate) upstream: AppName,
    pub(crate) downstream: AppName,
    /// Where it is known from: of both origins, where there are both.
    pub(crate) places: Places,
}

/// The part of an app's name that people mean: without the kind of rule, the folders, the user and the suffix.
fn meaning(name: &str) -> &str {
    let without_kind = ["exe:", "group:", "docker:"]
        .iter()
        .find_map(|kind| name.strip_prefix(kind))
        .unwrap_or(name);
    let without_user = match name.strip_prefix("exe:") {
        Some(rest) => rest.split('@').next().unwrap_or(rest),
        None => without_kind,
    };
    let last = without_user.rsplit('/').next().unwrap_or(without_user);
    [".service", ".scope", ".slice"]
        .iter()
        .find_map(|suffix| last.strip_suffix(suffix))
        .unwrap_or(last)
}

/// Looks declared names up.
pub(crate) struct Names<'a> {
    apps: &'a Apps,
    meant: BTreeMap<&'a str, Vec<&'a AppName>>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(apps: &'a Apps) -> Self {
        let mut meant: BTreeMap<&str, Vec<&AppName>> = BTreeMap::new();
        for name in apps.keys() {
            meant.entry(meaning(name.as_str())).or_default().push(name);
        }
        Self { apps, meant }
    }

    fn find(&self, name: &AppName) -> Option<&'a AppName> {
        if let Some((known, _)) = self.apps.get_key_value(name) {
            return Some(known);
        }
        match self.meant.get(name.as_str()).map(Vec::as_slice) {
            Some([one]) => Some(one),
            _ => None,
        }
    }

    /// Why `name` is no app, in words.
    fn remark(&self, name: &AppName, place: &str) -> String {
        if let Some(several) = self.meant.get(name.as_str()) {
            let names: Vec<&str> = several.iter().map(|app| app.as_str()).collect();
            return format!(
                "{place}: `{name}` may be any of {}; write one of them",
                names.join(", ")
            );
        }
        let alike = |candidate: &&str| strsim::jaro_winkler(candidate, name.as_str());
        let candidates = self
            .apps
            .keys()
            .flat_map(|app| [app.as_str(), meaning(app.as_str())]);
        let nearest = candidates
            .max_by(|left, right| alike(left).total_cmp(&alike(right)))
            .filter(|nearest| alike(nearest) >= ALIKE);
        match nearest {
            Some(nearest) => format!("{place}: `{name}` is no app on this host; did you mean `{nearest}`?"),
            None => format!("{place}: `{name}` is no app on this host"),
        }
    }
}

impl Graph {
    /// Takes in edges: all that are declared, or what was seen at `utc_ms`.
    pub(crate) fn take(&mut self, origin: DependencyOrigin, edges: &[Dependency], utc_ms: i64) {
        match origin {
            DependencyOrigin::Declared => {
                self.declared = edges.iter().take(EDGES_MAX).cloned().collect();
            }
            DependencyOrigin::Observed => self.see(edges, utc_ms),
        }
    }

    fn see(&mut self, edges: &[Dependency], utc_ms: i64) {
        self.seen
            .retain(|_, seen| seen.last_utc_ms > utc_ms - SEEN_KEPT_MS);
        for edge in edges {
            let key = (edge.upstream.clone(), edge.downstream.clone());
            if edge.upstream == edge.downstream
                || (self.seen.len() >= EDGES_MAX && !self.seen.contains_key(&key))
            {
                continue;
            }
            let seen = Seen {
                place: edge.place.clone(),
                last_utc_ms: utc_ms,
            };
            self.seen.insert(key, seen);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.declared.is_empty()
    }

    /// The edges between apps that are there, sorted.
    pub(crate) fn edges(&self, apps: &Apps) -> Vec<Edge> {
        let names = Names::new(apps);
        let mut found: BTreeMap<(AppName, AppName), Places> = BTreeMap::new();
        for ((upstream, downstream), seen) in &self.seen {
            if apps.contains_key(upstream) && apps.contains_key(downstream) {
                let key = (upstream.clone(), downstream.clone());
                let place = (DependencyOrigin::Observed, seen.place.clone());
                found.entry(key).or_default().push(place);
            }
        }
        for edge in &self.declared {
            let ends = names.find(&edge.upstream).zip(names.find(&edge.downstream));
            if let Some((upstream, downstream)) = ends.filter(|(upstream, downstream)| upstream != downstream)
            {
                let key = (upstream.clone(), downstream.clone());
                let place = (DependencyOrigin::Declared, edge.place.clone());
                found.entry(key).or_default().push(place);
            }
        }
        found
            .into_iter()
            .map(|((upstream, downstream), places)| Edge {
                upstream,
                downstream,
                places,
            })
            .collect()
    }

    /// What is wrong with the declared edges on this host.
    pub(crate) fn remarks(&self, apps: &Apps) -> Vec<String> {
        let names = Names::new(apps);
        let mut remarks = BTreeSet::new();
        for edge in &self.declared {
            for name in [&edge.upstream, &edge.downstream] {
                if names.find(name).is_none() {
                    remarks.insert(names.remark(name, &edge.place));
                }
            }
        }
        remarks.into_iter().collect()
    }
}

/// Every app that `from` calls, itself or through others, nearest first; a cycle ends where it began.
pub(crate) fn below<'a>(edges: &'a [Edge], from: &AppName) -> Vec<&'a AppName> {
    let mut found: Vec<&AppName> = Vec::new();
    let mut next: VecDeque<(&AppName, usize)> = VecDeque::new();
    let calls = |name: &AppName| {
        let first = edges.partition_point(|edge| edge.upstream < *name);
        let name = name.clone();
        edges[first..]
            .iter()
            .take_while(move |edge| edge.upstream == name)
            .map(|edge| &edge.downstream)
    };
    next.extend(calls(from).map(|app| (app, 1)));
    while let Some((app, depth)) = next.pop_front() {
        if app == from || found.contains(&app) {
            continue;
        }
        found.push(app);
        if depth < DEPTH_MAX {
            next.extend(calls(app).map(|app| (app, depth + 1)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::{App, Grant, Managed, Owner};

    fn apps(names: &[&str]) -> Apps {
        let managed = |name: &&str| {
            let app = App {
                name: AppName::new(name),
                group: None,
                owner: Owner::Nobody,
                parent: None,
                executable: None,
                user: None,
            };
            let grant = Grant::default();
            (AppName::new(name), Managed { app, grant })
        };
        names.iter().map(managed).collect()
    }

    fn edge(upstream: &str, downstream: &str) -> Dependency {
        Dependency {
            upstream: AppName::new(upstream),
            downstream: AppName::new(downstream),
            place: "calls.toml:3".into(),
        }
    }

    #[test]
    fn declared_names_find_their_apps_and_unknown_ones_are_named() {
        let apps = apps(&[
            "web.service",
            "exe:redis-server@redis",
            "group:/a/db",
            "group:/b/db",
        ]);
        let mut graph = Graph::default();
        let declared = [
            edge("web", "redis-server"),
            edge("web.service", "db"),
            edge("web", "rediz-server"),
        ];
        graph.take(DependencyOrigin::Declared, &declared, 0);
        let edges = graph.edges(&apps);
        assert_eq!(edges.len(), 1, "{edges:?}");
        assert_eq!(edges[0].downstream.as_str(), "exe:redis-server@redis");
        let remarks = graph.remarks(&apps).join("\n");
        assert!(
            remarks.contains("`db` may be any of group:/a/db, group:/b/db"),
            "{remarks}"
        );
        assert!(
            remarks.contains("calls.toml:3: `rediz-server` is no app"),
            "{remarks}"
        );
        assert!(remarks.contains("did you mean `redis-server`?"), "{remarks}");
    }

    #[test]
    fn what_was_seen_is_kept_a_week_and_a_cycle_is_walked_once() {
        let apps = apps(&["a", "b", "c"]);
        let mut graph = Graph::default();
        let seen = [edge("a", "b"), edge("b", "c"), edge("c", "a")];
        graph.take(DependencyOrigin::Observed, &seen, 0);
        graph.take(DependencyOrigin::Observed, &seen[..1], 86_400_000);
        let edges = graph.edges(&apps);
        let names: Vec<&str> = below(&edges, &AppName::new("a"))
            .iter()
            .map(|app| app.as_str())
            .collect();
        assert_eq!(names, ["b", "c"]);
        graph.take(DependencyOrigin::Observed, &[], SEEN_KEPT_MS + 1);
        assert_eq!(
            graph.edges(&apps).len(),
            1,
            "only the one that was seen again is left"
        );
    }
}

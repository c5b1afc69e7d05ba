//! Declared dependencies out of files: TOML, OpenTelemetry's service graph as JSON, or DOT.
//!
//! Pure: text in, edges and findings out. A file that cannot be read gives findings and no edges, and the others
//! still count. An edge that closes a cycle among the declared ones is left out and named, with the way round.

use super::{dot, toml_file, traces};
use std::collections::BTreeMap;
use std::fmt;
use tidegate_types::{AppName, Dependency};

/// Edges of one file that are taken.
pub(super) const FILE_EDGES_MAX: usize = 4096;

/// Something wrong in a file, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// File, and line or pointer, such as `calls.toml:4` or `graph.json:/data/0`.
    pub place: String,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.text)
    }
}

/// What files declare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The edges, in the order of the files.
    pub edges: Vec<Dependency>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Line and column of a byte of `text`, from 1.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

/// What a reader of one format gives: edges as written, and findings, each with its place within the file.
#[derive(Default)]
pub(super) struct Read {
    pub(super) edges: Vec<(String, String, String)>,
    pub(super) findings: Vec<(String, String)>,
}

impl Read {
    pub(super) fn edge(&mut self, upstream: &str, downstream: &str, place: String) {
        if upstream.is_empty() || downstream.is_empty() {
            self.finding(place, "an edge needs two names".to_owned());
        } else if upstream == downstream {
            self.finding(place, format!("`{upstream}` calls itself: that is no dependency"));
        } else if self.edges.len() >= FILE_EDGES_MAX {
            self.finding(
                place,
                format!("more than {FILE_EDGES_MAX} edges: the rest is left out"),
            );
        } else {
            self.edges
                .push((upstream.to_owned(), downstream.to_owned(), place));
        }
    }

    pub(super) fn finding(&mut self, place: String, text: String) {
        self.findings.push((place, text));
    }

    pub(super) fn failed(place: String, text: String) -> Self {
        Self {
            edges: Vec::new(),
            findings: vec![(place, text)],
        }
    }
}

fn read(name: &str, text: &str) -> Read {
    let extension = name.rsplit('.').next().unwrap_or_default();
    match extension {
        "toml" => toml_file::read(text),
        "json" => traces::read(text),
        "dot" | "gv" => dot::read(text),
        _ => Read::failed(
            "1".to_owned(),
            "a dependency graph is a .toml, .json, .dot or .gv file".to_owned(),
        ),
    }
}

/// Reads files, each a name and a text.
pub fn declared<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Declared {
    let mut declared = Declared::default();
    let mut calls: BTreeMap<AppName, Vec<AppName>> = BTreeMap::new();
    for (name, text) in files {
        let found = read(name, text);
        let placed = |place: &str| format!("{name}:{place}");
        let findings = found.findings.iter().map(|(place, text)| Finding {
            place: placed(place),
            text: text.clone(),
        });
        declared.findings.extend(findings);
        for (upstream, downstream, place) in found.edges {
            let (upstream, downstream) = (AppName::new(&upstream), AppName::new(&downstream));
            if let Some(way) = way(&calls, &downstream, &upstream) {
                let round: Vec<&str> = way.iter().map(AppName::as_str).collect();
                declared.findings.push(Finding {
                    place: placed(&place),
                    text: format!(
                        "{upstream} -> {downstream} closes a cycle ({} -> {downstream}); this edge is left out",
                        round.join(" -> ")
                    ),
                });
                continue;
            }
            let known = calls.entry(upstream.clone()).or_default();
            if !known.contains(&downstream) {
                known.push(downstream.clone());
            }
            declared.edges.push(Dependency {
                upstream,
                downstream,
                place: placed(&place).into(),
            });
        }
    }
    declared
}

/// The apps on the way from `from` to `to`, both included.
fn way(calls: &BTreeMap<AppName, Vec<AppName>>, from: &AppName, to: &AppName) -> Option<Vec<AppName>> {
    let mut came_from: BTreeMap<&AppName, Option<&AppName>> = BTreeMap::from([(from, None)]);
    let mut next = vec![from];
    while let Some(app) = next.pop() {
        if app == to {
            let steps = std::iter::successors(Some(app), |app| came_from.get(app).copied().flatten());
            let mut way: Vec<AppName> = steps.cloned().collect();
            way.reverse();
            return Some(way);
        }
        for below in calls.get(app).into_iter().flatten() {
            if !came_from.contains_key(below) {
                came_from.insert(below, Some(app));
                next.push(below);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(name: &str, text: &str, edges: &[(&str, &str, &str)], findings: &[&str]) {
        let found = declared([(name, text)]);
        let read: Vec<(&str, &str, &str)> = found
            .edges
            .iter()
            .map(|edge| (edge.upstream.as_str(), edge.downstream.as_str(), &*edge.place))
            .collect();
        assert_eq!(read, edges, "{:?}", found.findings);
        let said: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), findings.len(), "{said:?}");
        for (said, expected) in said.iter().zip(findings) {
            assert!(said.contains(expected), "`{said}` should say `{expected}`");
        }
    }

    #[test]
    fn toml_names_the_line_of_each_edge_and_of_each_fault() {
        let text =
            "[[edge]]\nfrom = \"web\"\nto = \"db\"\n\n[[edge]]\nfrom = \"web\"\nto = [\"cache\", \"web\"]\n";
        let edges = [("web", "db", "calls.toml:3"), ("web", "cache", "calls.toml:7")];
        check("calls.toml", text, &edges, &["calls.toml:7: `web` calls itself"]);
        check("a.toml", "[[edge]]\nfrom = \"web\"\n", &[], &["a.toml:1"]);
        check(
            "a.toml",
            "[[edge]]\nfrom = \"web\"\nto = \"db\"\nlag = 3\n",
            &[],
            &["a.toml:4"],
        );
        check("a.toml", "[[edge]\n", &[], &["a.toml:1"]);
    }

    #[test]
    fn dot_knows_chains_groups_quotes_and_comments() {
        let text = "digraph calls { // who calls whom\n  rankdir = LR; node [shape=box];\n  web -> \"my db\" -> disk [label=\"reads -> writes\"];\n  web -> { cache; queue } /* both */\n  subgraph cluster { a:out -> b }\n}\n";
        let edges = [
            ("web", "my db", "calls.dot:3"),
            ("my db", "disk", "calls.dot:3"),
            ("web", "cache", "calls.dot:4"),
            ("web", "queue", "calls.dot:4"),
            ("a", "b", "calls.dot:5"),
        ];
        check("calls.dot", text, &edges, &[]);
        check("a.dot", "graph { a -- b }", &[], &["a.dot:1:1: it is no digraph"]);
        check(
            "a.dot",
            "digraph {\n a -> \n}",
            &[],
            &["a.dot:3:1: a name is missing after `->`"],
        );
        check(
            "a.dot",
            "digraph { a -> b",
            &[("a", "b", "a.dot:1")],
            &["a.dot:1:17: `}` is missing"],
        );
        check(
            "a.dot",
            "digraph { a -> \"b }",
            &[],
            &["a.dot:1:16: a quote is not closed"],
        );
    }

    #[test]
    fn service_graphs_of_traces_are_read_in_three_shapes() {
        let otlp = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"traces_service_graph_request_total",
            "sum":{"dataPoints":[{"attributes":[{"key":"client","value":{"stringValue":"web"}},
            {"key":"server","value":{"stringValue":"db"}}],"asInt":"7"}]}}]}]}]}"#;
        let place = "g.json:/resourceMetrics/0/scopeMetrics/0/metrics/0/sum/dataPoints/0";
        check("g.json", otlp, &[("web", "db", place)], &[]);
        let prometheus = r#"{"data":{"result":[{"metric":{"client":"web","server":"db"},"value":[1,"7"]},
            {"metric":{"client":"web","server":""}}]}}"#;
        check(
            "p.json",
            prometheus,
            &[("web", "db", "p.json:/data/result/0/metric")],
            &["p.json:/data/result/1/metric: an edge needs two names"],
        );
        let jaeger = r#"{"data":[{"parent":"web","child":"db","callCount":3}]}"#;
        check("j.json", jaeger, &[("web", "db", "j.json:/data/0")], &[]);
        check("j.json", "{\"data\":[\n{]}", &[], &["j.json:2:2"]);
        check("j.json", "{}", &[], &["no service graph"]);
        check("j.yaml", "", &[], &["a .toml, .json, .dot or .gv file"]);
    }

    #[test]
    fn a_cycle_is_named_with_its_way_round_and_the_rest_stays() {
        let found = declared([
            ("a.dot", "digraph { a -> b -> c }"),
            ("bad.toml", "="),
            (
                "b.toml",
                "[[edge]]\nfrom = \"c\"\nto = \"a\"\n[[edge]]\nfrom = \"c\"\nto = \"d\"\n",
            ),
        ]);
        assert_eq!(found.edges.len(), 3);
        let said: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
        assert!(said[0].starts_with("bad.toml:1"), "{said:?}");
        assert_eq!(
            said[1],
            "b.toml:3: c -> a closes a cycle (a -> b -> c -> a); this edge is left out"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in "[a-c\\->{}\\[\\]\"=;:,/*\\\\ \n#.]{0,60}") {
            for name in ["a.toml", "a.json", "a.dot"] {
                let _ = declared([(name, text.as_str())]);
            }
        }
    }
}

//! `tidegate graph`: which app calls which, as a table, DOT or JSON.

use super::print_json;
use crate::cli::GraphArguments;
use crate::daemon::graph::read_files;
use crate::failure::{Failure, Outcome};
use crate::out::{note, put, say};
use crate::place::Folders;
use crate::source::Source;
use crate::table::{number, percent, print};
use std::fmt::Write as _;
use tidegate_dashboard::{EdgeRow, GraphView};

/// `tidegate graph`. What is wrong goes to standard error; with `--file`, it is also a finding.
pub(crate) fn graph(arguments: &GraphArguments) -> Outcome {
    let from_files = !arguments.file.is_empty();
    let view = if from_files {
        declared(arguments)
    } else {
        Source::open(&Folders::of(&arguments.places))?.graph()?
    };
    if arguments.format.json {
        print_json(&view)?;
    } else if arguments.dot {
        put!("{}", dot(&view));
    } else {
        print_edges(&view.edges);
    }
    for remark in &view.remarks {
        note!("{remark}");
    }
    match view.remarks.len() {
        findings if from_files && findings > 0 => Err(Failure::finding(format!("{findings} findings"))),
        _ => Ok(()),
    }
}

fn declared(arguments: &GraphArguments) -> GraphView {
    let found = read_files(&arguments.file);
    let edges = found.edges.into_iter().map(|edge| EdgeRow {
        upstream: edge.upstream.to_string(),
        downstream: edge.downstream.to_string(),
        declared: Some(edge.place.to_string()),
        ..EdgeRow::default()
    });
    GraphView {
        edges: edges.collect(),
        remarks: found.findings.iter().map(ToString::to_string).collect(),
    }
}

fn print_edges(edges: &[EdgeRow]) {
    if edges.is_empty() {
        say!("no app is known to call another");
        return;
    }
    let row = |edge: &EdgeRow| {
        let lag = edge.lag_s.map(|lag_s| {
            let spread = number(edge.lag_spread_s, 1);
            format!("{lag_s:.1} s ±{spread} s")
        });
        vec![
            edge.upstream.clone(),
            edge.downstream.clone(),
            edge.seen.clone().unwrap_or_else(|| "-".to_owned()),
            edge.declared.clone().unwrap_or_else(|| "-".to_owned()),
            lag.unwrap_or_else(|| "-".to_owned()),
            percent(edge.followed_share),
            edge.downstream_class.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = edges.iter().map(row).collect();
    print(
        &[
            "calls",
            "called",
            "seen",
            "declared",
            ">follows after",
            ">of its rises",
            "class",
        ],
        &rows,
    );
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Graphviz's DOT: what was only declared is dashed, what is critical is bold.
fn dot(view: &GraphView) -> String {
    let mut text = "digraph tidegate {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    for edge in &view.edges {
        let mut attributes = Vec::new();
        if let Some(lag_s) = edge.lag_s {
            attributes.push(format!("label=\"{lag_s:.1} s\""));
        }
        if edge.seen.is_none() {
            attributes.push("style=dashed".to_owned());
        } else if edge.downstream_class == "critical" {
            attributes.push("style=bold".to_owned());
        }
        let attributes = if attributes.is_empty() {
            String::new()
        } else {
            format!(" [{}]", attributes.join(", "))
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "  {} -> {}{attributes};",
            quoted(&edge.upstream),
            quoted(&edge.downstream)
        );
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_reads_back_as_it_was_written() {
        let view = GraphView {
            edges: vec![EdgeRow {
                upstream: "a \"b\"".to_owned(),
                downstream: "c\\d".to_owned(),
                lag_s: Some(2.0),
                ..EdgeRow::default()
            }],
            remarks: Vec::new(),
        };
        let text = dot(&view);
        let again = tidegate_forecast::declared([("x.dot", text.as_str())]);
        assert_eq!(again.findings, []);
        assert_eq!(again.edges[0].upstream.as_str(), "a \"b\"");
        assert_eq!(again.edges[0].downstream.as_str(), "c\\d");
    }
}

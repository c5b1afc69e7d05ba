//! What the loop knows, as the rows that the API shows: dependencies.

use tidegate_dashboard::{EdgeRow, GraphView};
use tidegate_engine::State;
use tidegate_types::DependencyOrigin;

/// The dependency graph of `state`.
pub(crate) fn graph(state: &State) -> GraphView {
    let report = state.forecaster().dependencies(state.apps());
    let edges = report.edges.into_iter().map(|edge| {
        let place = |wanted: DependencyOrigin| {
            let found = edge.places.iter().find(|(origin, _)| *origin == wanted);
            found.map(|(_, place)| place.to_string())
        };
        let class = state
            .apps()
            .get(&edge.downstream)
            .map(|managed| managed.grant.class);
        EdgeRow {
            seen: place(DependencyOrigin::Observed),
            declared: place(DependencyOrigin::Declared),
            lag_s: edge.lag_s,
            lag_spread_s: edge.lag_spread_s,
            followed_share: edge.followed_share,
            downstream_class: class.map_or_else(String::new, |class| format!("{class:?}").to_lowercase()),
            upstream: edge.upstream.to_string(),
            downstream: edge.downstream.to_string(),
        }
    });
    GraphView {
        edges: edges.collect(),
        remarks: report.remarks,
    }
}

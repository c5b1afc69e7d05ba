//! What the loop knows, as the rows that the API shows: dependencies, and events to come.

use tidegate_dashboard::{EdgeRow, EventKind, EventRow, GraphView};
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

/// Announced and scheduled events of `state`, the next of each, soonest first.
pub(crate) fn events(state: &State, now_utc_ms: i64) -> Vec<EventRow> {
    let (declared, firings) = state.forecaster().events();
    let mut rows: Vec<EventRow> = declared
        .iter()
        .map(|event| EventRow {
            name: event.name.to_string(),
            kind: EventKind::Announced,
            app: Some(event.app.to_string()),
            next_utc_ms: next_of(event, now_utc_ms),
            duration_s: Some(event.duration_s),
            cores: event.cores,
            place: None,
        })
        .collect();
    for firing in firings.iter().filter(|firing| firing.at_utc_ms > now_utc_ms) {
        let known = |row: &EventRow| row.kind == EventKind::Scheduled && row.name == *firing.name;
        if !rows.iter().any(known) {
            rows.push(EventRow {
                name: firing.name.to_string(),
                kind: EventKind::Scheduled,
                app: firing.app.as_ref().map(ToString::to_string),
                next_utc_ms: firing.at_utc_ms,
                duration_s: None,
                cores: None,
                place: Some(firing.place.to_string()),
            });
        }
    }
    rows.sort_by_key(|row| row.next_utc_ms);
    rows
}

fn next_of(event: &tidegate_types::DeclaredEvent, now_utc_ms: i64) -> i64 {
    let over = now_utc_ms - event.at_utc_ms - (event.duration_s * 1e3) as i64;
    match event.every_s.map(|every_s| (every_s * 1e3) as i64) {
        Some(every_ms) if over > 0 && every_ms > 0 => event.at_utc_ms + (over / every_ms + 1) * every_ms,
        _ => event.at_utc_ms,
    }
}

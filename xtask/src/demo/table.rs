//! What people read at the end: a line per arm, and a line per action.

use super::measure::Outcome;
use crate::bench::report::{markdown, number};
use crate::bench::stats::median;
use serde_json::Value;
use std::collections::BTreeSet;

/// One line per arm; percentiles are medians over the crowds, work is products per second.
pub(crate) fn arms(outcomes: &[(String, Outcome)]) -> String {
    let head = [
        "arm",
        "crowds",
        "p50 ms",
        "p99 ms",
        "first 3 s p50",
        "first 3 s p99",
        "batch work/s",
        "knob changes",
        "false acts",
    ];
    let mut cells = vec![head.map(str::to_owned)];
    for (name, outcome) in outcomes {
        let over = |pick: fn(&super::measure::CrowdResult) -> f64| {
            number(median(&outcome.crowds.iter().map(pick).collect::<Vec<_>>()))
        };
        let work = outcome.work_per_s.iter().sum::<f64>() / outcome.work_per_s.len() as f64;
        cells.push([
            name.clone(),
            outcome.crowds.len().to_string(),
            over(|crowd| crowd.whole_ms.0),
            over(|crowd| crowd.whole_ms.1),
            over(|crowd| crowd.first_ms.0),
            over(|crowd| crowd.first_ms.1),
            number(work),
            outcome.changes.to_string(),
            if outcome.acts == 0 {
                "-".to_owned()
            } else {
                format!("{} of {}", outcome.false_acts, outcome.acts)
            },
        ]);
    }
    markdown(&cells)
}

/// The daemon's own account of what it did, oldest first: `tidegate actions --json`.
pub(crate) fn actions(actions: &Value) -> String {
    let mut list: Vec<&Value> = actions.as_array().into_iter().flatten().collect();
    // A lease that was planned anew before its start changed nothing.
    list.retain(|action| {
        !action["outcome"]["written_utc_ms"].is_null() || !action["outcome"]["failure"].is_null()
    });
    if list.is_empty() {
        return "no actions\n".to_owned();
    }
    list.sort_by_key(|action| (action["start_utc_ms"].as_i64(), action["id"].as_u64()));
    let mut cells = vec![
        [
            "id",
            "app",
            "limit",
            "for s",
            "set off by",
            "unit",
            "foreseen",
            "came",
            "onset error",
        ]
        .map(str::to_owned),
    ];
    cells.extend(list.iter().map(|action| action_cells(action)));
    let mut text = markdown(&cells);
    let reasons: BTreeSet<String> = list.iter().filter_map(|action| reason(action)).collect();
    for reason in reasons {
        text.push('\n');
        text.push_str(&reason);
    }
    text
}

fn action_cells(action: &Value) -> [String; 9] {
    let outcome = &action["outcome"];
    let time_s = |field: &Value| field.as_f64().map(|at_ms| at_ms / 1e3);
    let end_s = time_s(&outcome["restored_utc_ms"]).or_else(|| time_s(&action["end_utc_ms"]));
    let start_s = time_s(&outcome["written_utc_ms"]).or_else(|| time_s(&action["start_utc_ms"]));
    let lasted = start_s.zip(end_s).map_or_else(
        || "-".to_owned(),
        |(start_s, end_s)| format!("{:.1}", end_s - start_s),
    );
    let probability = action["prediction"]["probability"].as_f64();
    [
        word(&action["id"]),
        word(&action["app"]),
        outcome["failure"]
            .as_str()
            .map_or_else(|| word(&action["asked"]["text"]), |why| format!("not set: {why}")),
        lasted,
        word(&action["trigger"]),
        word(&action["unit"]),
        probability.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
        outcome["happened"]
            .as_bool()
            .map_or("-", |came| if came { "yes" } else { "no" })
            .to_owned(),
        outcome["onset_error_s"]
            .as_f64()
            .map_or_else(|| "-".to_owned(), |error_s| format!("{error_s:+.2} s")),
    ]
}

/// Why, in the daemon's words, for the first action of its kind.
fn reason(action: &Value) -> Option<String> {
    let prediction = action["prediction"]["id"].as_u64()?;
    let reason = action["prediction"]["reason"].as_str()?;
    Some(format!(
        "prediction {prediction} ({}): {reason}",
        word(&action["unit"])
    ))
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn actions_are_told_from_the_oldest() {
        let action = |id: u64, start_utc_ms: u64| {
            json!({
                "id": id, "app": "north", "asked": {"text": "0.80 cores"}, "trigger": "predicted", "unit": "limit:north/cpu",
                "start_utc_ms": start_utc_ms, "end_utc_ms": start_utc_ms + 6500,
                "prediction": {"id": 7, "probability": 0.93, "reason": "a burst every 15 s"},
                "outcome": {"happened": true, "onset_error_s": -0.25, "written_utc_ms": start_utc_ms},
            })
        };
        let text = actions(&json!([action(2, 9000), action(1, 2000)]));
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[2].starts_with("| 1 ") && lines[3].starts_with("| 2 "),
            "{text}"
        );
        assert!(
            lines[2].contains("6.5") && lines[2].contains("93 %") && lines[2].contains("-0.25 s"),
            "{text}"
        );
        assert_eq!(text.matches("a burst every 15 s").count(), 1);
        let mut superseded = action(3, 9000);
        superseded["outcome"]["written_utc_ms"] = Value::Null;
        assert_eq!(actions(&json!([superseded])), "no actions\n");
    }
}

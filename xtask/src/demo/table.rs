//! What people read at the end: a line per arm, and a line per action.

use super::measure::Outcome;
use crate::bench::report::{markdown, number};
use crate::bench::stats::median;
use serde_json::Value;

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

/// The daemon's own account of what it did: `tidegate actions --json`.
pub(crate) fn actions(actions: &Value) -> String {
    let Some(list) = actions.as_array() else {
        return "no actions\n".to_owned();
    };
    let mut cells = vec![
        [
            "lease",
            "app",
            "asked",
            "trigger",
            "unit",
            "prediction",
            "outcome",
        ]
        .map(str::to_owned),
    ];
    for action in list {
        cells.push(
            [
                "lease",
                "app",
                "asked",
                "trigger",
                "unit",
                "prediction",
                "outcome",
            ]
            .map(|name| plain(&action[name])),
        );
    }
    if list.is_empty() {
        "no actions\n".to_owned()
    } else {
        markdown(&cells)
    }
}

/// A JSON value as a person would write it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(value) => value
            .as_f64()
            .filter(|value| value.fract() != 0.0)
            .map_or_else(|| value.to_string(), number),
        Value::Object(fields) => {
            let inner: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name} {}", plain(value)))
                .collect();
            inner.join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn actions_read_like_sentences() {
        let text = actions(
            &json!([{"lease": 3, "app": "north", "asked": {"cpu_max": {"quota_us": 80000}}, "outcome": null}]),
        );
        assert!(text.contains("| cpu_max quota_us 80000 |"), "{text}");
        assert_eq!(actions(&json!([])), "no actions\n");
    }
}

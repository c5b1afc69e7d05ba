//! Answers that need more than the present: explanations, reports and series.

use super::{LeaseRow, MapRow, QuantileRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One step of an explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Which question the step answers, such as `Prediction`, `Data`, `Rule` or `After`.
    pub title: String,
    /// The answer, in words.
    pub text: String,
}

/// Which prediction, which data, which rule, and what happened after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// What was asked for, as asked.
    pub id: String,
    /// One line.
    pub title: String,
    /// In the order of reading.
    pub steps: Vec<Step>,
    /// The lease, where it is about one.
    pub lease: Option<LeaseRow>,
    /// The forecast, where it is about one.
    pub forecast: Option<MapRow>,
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn onset_words(onset: &QuantileRow) -> String {
    let spread = (onset.q90 - onset.q10) / 1e3;
    format!("the onset within a span of {spread:.1} s (80 %)")
}

impl Explanation {
    /// What a lease's own row can say, without the store.
    pub fn of_lease(row: &LeaseRow) -> Self {
        let mut steps = Vec::new();
        let mut step = |title: &str, text: String| {
            steps.push(Step {
                title: title.to_owned(),
                text,
            });
        };
        if let Some(prediction) = &row.prediction {
            let mut words = vec![format!("Prediction p{}", prediction.id)];
            words.extend(
                prediction
                    .probability
                    .zip(prediction.window_s)
                    .map(|(p, window)| {
                        format!("{} that {} is contended within {window} s", percent(p), row.unit)
                    }),
            );
            words.extend(
                prediction
                    .confidence
                    .map(|confidence| format!("confidence {}", percent(confidence))),
            );
            words.extend(prediction.onset_utc_ms.as_ref().map(onset_words));
            step("Prediction", format!("{}.", words.join(", ")));
            if !prediction.reason.is_empty() {
                step("Data", prediction.reason.clone());
            }
        }
        step("Rule", row.rule.clone());
        let found = row
            .found
            .as_ref()
            .map_or("a value not yet read", |setting| &setting.text);
        step(
            "Action",
            format!(
                "{}: from {found} to {}, for {}.",
                row.app, row.asked.text, row.beneficiary
            ),
        );
        step("After", after_words(row));
        Self {
            id: row.id.to_string(),
            title: format!("{} of {} for {}", row.asked.text, row.app, row.unit),
            steps,
            lease: Some(row.clone()),
            forecast: None,
        }
    }

    /// What a forecast's own row can say, without the store.
    pub fn of_forecast(row: &MapRow) -> Self {
        let windows = row
            .windows
            .iter()
            .map(|window| format!("{} within {} s", percent(window.probability), window.window_s))
            .collect::<Vec<_>>()
            .join(", ");
        let drivers = row
            .drivers
            .iter()
            .map(|driver| format!("{} ({})", driver.app, percent(driver.share)))
            .collect::<Vec<_>>()
            .join(", ");
        let step = |title: &str, text: String| Step {
            title: title.to_owned(),
            text,
        };
        let mut steps = vec![
            step(
                "Prediction",
                format!("{windows}; confidence {}.", percent(row.confidence)),
            ),
            step("Data", row.reason.clone()),
        ];
        if !drivers.is_empty() {
            steps.push(step("Driven by", drivers));
        }
        Self {
            id: format!("p{}", row.id),
            title: format!("Contention of {}", row.unit),
            steps,
            lease: None,
            forecast: Some(row.clone()),
        }
    }
}

fn after_words(row: &LeaseRow) -> String {
    let outcome = &row.outcome;
    if let Some(failure) = &outcome.failure {
        return format!("Nothing was changed: {failure}.");
    }
    let came = match outcome.happened {
        Some(true) => "The foreseen contention came",
        Some(false) => "The foreseen contention did not come (a false act)",
        None => "Whether the foreseen contention comes is still open",
    };
    let error = outcome
        .onset_error_s
        .map_or_else(String::new, |error| format!(", {error:+.1} s from the median"));
    let back = match outcome.restored_utc_ms {
        Some(_) => "; the found value is back",
        None => "",
    };
    format!("{came}{error}{back}.")
}

/// Counts of one unit in a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportRow {
    /// Of which unit.
    pub unit: String,
    /// Events of contention that were seen.
    pub events: u64,
    /// Leases that were in effect for it.
    pub acted: u64,
    /// Leases that would have been made under `enforce`.
    pub advised: u64,
    /// Foreseen events that came.
    pub hits: u64,
    /// Events that were not foreseen.
    pub misses: u64,
    /// Foreseen events that did not come.
    pub false_alarms: u64,
    /// Answers that nobody can know.
    pub unknown: u64,
}

/// What tidegate did or would have done over a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// First moment, in milliseconds since the Unix epoch.
    pub since_utc_ms: i64,
    /// Last moment, in milliseconds since the Unix epoch.
    pub until_utc_ms: i64,
    /// Over all units.
    pub total: ReportRow,
    /// Per unit, sorted.
    pub units: Vec<ReportRow>,
    /// Functions whose variant was kept.
    pub variants_kept: u64,
    /// Functions whose base was kept.
    pub bases_kept: u64,
    /// What else should be known, such as gaps in the record.
    pub remarks: Vec<String>,
}

/// A series of one field of one entity, thinned to the points that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// The entity, such as `host` or `app:web`.
    pub entity: String,
    /// The field's stable name, such as `cpu_busy`.
    pub field: String,
    /// Unit of the values, such as `cores`.
    pub unit: String,
    /// Begin of each point, in milliseconds since the Unix epoch.
    pub at_utc_ms: Vec<i64>,
    /// Mean over each point; `null` where nothing was measured.
    pub mean: Vec<Option<f64>>,
    /// Greatest value in each point; `null` where nothing was measured.
    pub maximum: Vec<Option<f64>>,
}

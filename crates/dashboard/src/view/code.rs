//! Variants of functions and the verdicts of their trials.

use super::finite;
use crate::words::ScenarioWord;
use serde::{Deserialize, Serialize};
use tidegate_types::{Scenario, TrialVerdict};
use utoipa::ToSchema;

/// One function compiled for one scenario, and what its live trial said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VariantRow {
    /// Whose function.
    pub app: String,
    /// The process of the trial; `null` before there was one.
    pub pid: Option<u32>,
    /// Which function.
    pub function: String,
    /// Compiled for what.
    #[schema(value_type = ScenarioWord)]
    pub scenario: Scenario,
    /// When it was ready or judged, in milliseconds since the Unix epoch.
    pub at_utc_ms: i64,
    /// `true` when the variant is kept, `false` when the base is, `null` before the trial's end.
    pub kept: Option<bool>,
    /// Base cost over variant cost per unit of work: above 1 the variant is cheaper.
    pub ratio: Option<f64>,
    /// Lower end of the 95 % interval of `ratio`.
    pub ratio_low: Option<f64>,
    /// Upper end of the 95 % interval of `ratio`.
    pub ratio_high: Option<f64>,
    /// In words.
    pub reason: String,
}

impl VariantRow {
    /// A variant that waits for its trial.
    pub fn ready(app: String, function: String, scenario: Scenario, at_utc_ms: i64) -> Self {
        Self {
            app,
            pid: None,
            function,
            scenario,
            at_utc_ms,
            kept: None,
            ratio: None,
            ratio_low: None,
            ratio_high: None,
            reason: "Compiled; not tried yet.".to_owned(),
        }
    }

    /// The row of a verdict.
    pub fn judged(verdict: &TrialVerdict, at_utc_ms: i64) -> Self {
        Self {
            app: verdict.app.to_string(),
            pid: Some(verdict.pid),
            function: verdict.function.clone(),
            scenario: verdict.scenario,
            at_utc_ms,
            kept: Some(verdict.kept),
            ratio: finite(verdict.ratio),
            ratio_low: finite(verdict.interval.0),
            ratio_high: finite(verdict.interval.1),
            reason: verdict.reason.clone(),
        }
    }

    /// Whether both rows are of the same function, scenario and app.
    pub fn same_variant(&self, other: &Self) -> bool {
        self.app == other.app && self.function == other.function && self.scenario == other.scenario
    }
}

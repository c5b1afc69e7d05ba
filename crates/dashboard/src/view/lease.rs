//! Leases, the predictions behind them and what became of both.

use super::{MapRow, QuantileRow, finite};
use crate::words::{KnobWord, SourceWord, TreatmentWord, TriggerWord};
use serde::{Deserialize, Serialize};
use tidegate_types::{
    Advice, Knob, KnobValue, Lease, Moment, Outcome, Plan, Recompile, Shift, ShiftTarget, Source, Treatment,
    Trigger, WriteFailure, WriteResult,
};
use utoipa::ToSchema;

/// A knob's value in words and in base units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// As a person says it, such as `0.5 cores` or `weight 20`.
    pub text: String,
    /// CPU limit in cores; `null` where there is no limit or the knob is none.
    pub limit_cores: Option<f64>,
    /// Enforcement period in seconds.
    pub period_s: Option<f64>,
    /// Quota that may be saved up, in seconds.
    pub burst_s: Option<f64>,
    /// Scheduler weight.
    pub weight: Option<u32>,
    /// Runs only on idle CPUs.
    pub idle: Option<bool>,
}

impl From<&KnobValue> for Setting {
    fn from(value: &KnobValue) -> Self {
        match *value {
            KnobValue::CpuWeight { weight, idle } => Self {
                text: if idle {
                    "idle".to_owned()
                } else {
                    format!("weight {weight}")
                },
                weight: Some(weight),
                idle: Some(idle),
                ..Self::default()
            },
            KnobValue::CpuMax {
                period_us, burst_us, ..
            } => Self {
                text: value
                    .limit_cores()
                    .map_or_else(|| "no limit".to_owned(), |cores| format!("{cores:.2} cores")),
                limit_cores: value.limit_cores(),
                period_s: Some(period_us as f64 / 1e6),
                burst_s: Some(burst_us as f64 / 1e6),
                ..Self::default()
            },
        }
    }
}

/// Where a lease is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// Planned; its start lies ahead.
    #[default]
    Ahead,
    /// In effect.
    Active,
    /// Over: the found value is back, or was never changed.
    Ended,
    /// The write did not take.
    Refused,
}

/// The prediction behind a lease, as it was when the lease was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PredictionRow {
    /// Its name.
    pub id: u64,
    /// Probability of the shortest window.
    pub probability: Option<f64>,
    /// Length of that window in seconds.
    pub window_s: Option<u32>,
    /// How much it deserved trust, 0 to 1.
    pub confidence: Option<f64>,
    /// Expected onset, in milliseconds since the Unix epoch.
    pub onset_utc_ms: Option<QuantileRow>,
    /// What it rested on.
    #[schema(value_type = Option<SourceWord>)]
    pub source: Option<Source>,
    /// Why, in one sentence.
    pub reason: String,
}

impl PredictionRow {
    /// A prediction of which only the name is known.
    pub fn unknown(id: u64) -> Self {
        Self {
            id,
            probability: None,
            window_s: None,
            confidence: None,
            onset_utc_ms: None,
            source: None,
            reason: String::new(),
        }
    }
}

impl From<&MapRow> for PredictionRow {
    fn from(row: &MapRow) -> Self {
        let window = row.windows.first();
        Self {
            id: row.id,
            probability: window.map(|window| window.probability),
            window_s: window.map(|window| window.window_s),
            confidence: Some(row.confidence),
            onset_utc_ms: row.onset_utc_ms,
            source: Some(row.source),
            reason: row.reason.clone(),
        }
    }
}

/// What happened after a lease was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeaseOutcome {
    /// Whether the foreseen event came; `null` while that is open or cannot be known.
    pub happened: Option<bool>,
    /// Whether the answer was seen under treatment.
    #[schema(value_type = Option<TreatmentWord>)]
    pub treatment: Option<Treatment>,
    /// Actual onset less predicted median onset, in seconds.
    pub onset_error_s: Option<f64>,
    /// When the knob was written, in milliseconds since the Unix epoch.
    pub written_utc_ms: Option<i64>,
    /// When the found value was given back, in milliseconds since the Unix epoch.
    pub restored_utc_ms: Option<i64>,
    /// What the knob was after the write.
    pub read_back: Option<Setting>,
    /// Why the write did not take, in words.
    pub failure: Option<String>,
}

impl LeaseOutcome {
    /// Takes over what a scored prediction says; a known answer is not overwritten by an unknown one.
    pub fn score(&mut self, outcome: &Outcome) {
        if self.happened.is_some() && outcome.happened.is_none() {
            return;
        }
        // Windows are nested: once one of them saw the event, a longer one cannot unsee it.
        if self.happened != Some(true) {
            self.happened = outcome.happened;
        }
        self.treatment = Some(outcome.treatment);
        self.onset_error_s = outcome.onset_error_s.and_then(finite).or(self.onset_error_s);
    }
}

/// In words, why a write did not take.
fn failure_words(failure: &WriteFailure) -> String {
    match failure {
        WriteFailure::GroupGone => "the group is gone or another one is under its path".to_owned(),
        WriteFailure::Foreign => "someone else wrote the knob; it is theirs now".to_owned(),
        WriteFailure::JournalFull => "the undo journal has no room, so nothing was written".to_owned(),
        WriteFailure::Refused(words) => format!("the kernel refused: {words}"),
        WriteFailure::NotAllowed(words) => format!("not allowed: {words}"),
    }
}

/// One lease, from its reason to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeaseRow {
    /// Its name; `explain` takes it.
    pub id: u64,
    /// Whose knob.
    pub app: String,
    /// Which knob.
    #[schema(value_type = KnobWord)]
    pub knob: Knob,
    /// What it was before, once that is known.
    pub found: Option<Setting>,
    /// What it is to be.
    pub asked: Setting,
    /// When it takes effect, in milliseconds since the Unix epoch.
    pub start_utc_ms: i64,
    /// When the found value comes back, in milliseconds since the Unix epoch.
    pub end_utc_ms: i64,
    /// Where it is in its life.
    pub state: LeaseState,
    /// What set it off.
    #[schema(value_type = TriggerWord)]
    pub trigger: Trigger,
    /// The unit whose contention it is to prevent or end.
    pub unit: String,
    /// The app it is for.
    pub beneficiary: String,
    /// The rule that decided, in words.
    pub rule: String,
    /// The prediction behind it.
    pub prediction: Option<PredictionRow>,
    /// What happened after.
    pub outcome: LeaseOutcome,
}

impl LeaseRow {
    /// The row of `lease` at `now`. Only the name of its prediction is known here.
    pub fn new(lease: &Lease, now: Moment) -> Self {
        let state = match () {
            () if lease.end <= now.boot => LeaseState::Ended,
            () if lease.start > now.boot => LeaseState::Ahead,
            () => LeaseState::Active,
        };
        Self {
            id: lease.id.0,
            app: lease.app.to_string(),
            knob: lease.asked.knob(),
            found: lease.found.as_ref().map(Setting::from),
            asked: Setting::from(&lease.asked),
            start_utc_ms: now.utc_ms_of(lease.start),
            end_utc_ms: now.utc_ms_of(lease.end),
            state,
            trigger: lease.cause.trigger,
            unit: lease.cause.unit.to_string(),
            beneficiary: lease.cause.beneficiary.to_string(),
            rule: lease.cause.rule.clone(),
            prediction: lease.cause.prediction.map(|id| PredictionRow::unknown(id.0)),
            outcome: LeaseOutcome::default(),
        }
    }
}

impl LeaseRow {
    /// Takes over the result of a write, by the clocks of `now`.
    pub fn written(&mut self, result: &WriteResult, now: Moment) {
        let at_utc_ms = now.utc_ms_of(result.at);
        if let Some(found) = &result.found {
            self.found = Some(Setting::from(found));
        }
        match &result.outcome {
            Ok(_) if result.restored => self.outcome.restored_utc_ms = Some(at_utc_ms),
            Ok(value) => {
                self.outcome.written_utc_ms = Some(at_utc_ms);
                self.outcome.read_back = Some(Setting::from(value));
                self.outcome.failure = None;
            }
            Err(failure) => self.outcome.failure = Some(failure_words(failure)),
        }
    }
}

/// What would be done, moved or compiled, or cannot be, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AdviceRow {
    /// For whom.
    pub app: String,
    /// About which unit, where it is about one.
    pub unit: Option<String>,
    /// The value that the knob would get, where it is about one.
    pub setting: Option<Setting>,
    /// In words.
    pub text: String,
}

impl From<&Advice> for AdviceRow {
    fn from(advice: &Advice) -> Self {
        Self {
            app: advice.app.to_string(),
            unit: Some(advice.unit.to_string()),
            setting: advice.value.as_ref().map(Setting::from),
            text: advice.text.clone(),
        }
    }
}

impl From<&Shift> for AdviceRow {
    fn from(shift: &Shift) -> Self {
        let target = match &shift.target {
            ShiftTarget::Cores(cores) => format!("CPUs {cores:?}"),
            ShiftTarget::Node(node) => format!("NUMA node {node}"),
            ShiftTarget::Host(host) => format!("host {host}"),
        };
        Self {
            app: shift.app.to_string(),
            unit: None,
            setting: None,
            text: format!("Move to {target}: {}", shift.rule),
        }
    }
}

impl From<&Recompile> for AdviceRow {
    fn from(recompile: &Recompile) -> Self {
        Self {
            app: recompile.app.to_string(),
            unit: None,
            setting: None,
            text: format!("Compile its hot functions for `{}`.", recompile.scenario),
        }
    }
}

/// What should hold from now on, as rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// When it was decided, in milliseconds since the Unix epoch.
    pub made_utc_ms: i64,
    /// Leases that hold now or later, by start.
    pub leases: Vec<LeaseRow>,
    /// Moves.
    pub shifts: Vec<AdviceRow>,
    /// Wishes for variants.
    pub recompiles: Vec<AdviceRow>,
    /// What is only said.
    pub advice: Vec<AdviceRow>,
}

impl PlanView {
    /// `plan` as rows at `now`.
    pub fn new(plan: &Plan, now: Moment) -> Self {
        Self {
            made_utc_ms: plan.made.utc_ms,
            leases: plan
                .leases
                .iter()
                .map(|lease| LeaseRow::new(lease, now))
                .collect(),
            shifts: plan.shifts.iter().map(AdviceRow::from).collect(),
            recompiles: plan.recompiles.iter().map(AdviceRow::from).collect(),
            advice: plan.advice.iter().map(AdviceRow::from).collect(),
        }
    }
}

//! What this room asks of the binary: answers that the view does not hold, and acts.
//!
//! Both traits may block: they are called on a small pool of this room's own threads, never on the
//! sampler's. Nothing here decides whether a caller may act; the guard in front of the routes does.

use crate::view::{CalibrationView, EventRow, Explanation, GraphView, PlanView, Report, Series};
use serde::{Deserialize, Serialize};
use tidegate_types::DeclaredEvent;
use utoipa::{IntoParams, ToSchema};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No such lease, prediction, entity or field.
    #[error("{0} is not known")]
    NotFound(String),
    /// The question is wrong.
    #[error("{text}")]
    Invalid {
        /// What is wrong.
        text: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// This daemon cannot answer it.
    #[error("{0}")]
    Unavailable(String),
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The caller may not do this.
    #[error("{0}")]
    NotAllowed(String),
    /// No such process, function or file.
    #[error("{0} is not known")]
    NotFound(String),
    /// The request is wrong, or the policy that was to be loaded is.
    #[error("{0}")]
    Invalid(String),
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
}

/// A span of the past.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// First moment, in milliseconds since the Unix epoch.
    pub since_utc_ms: i64,
    /// Last moment, in milliseconds since the Unix epoch; now where it is absent.
    pub until_utc_ms: Option<i64>,
}

/// Which outcomes, and how many false alarms may be.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CalibrationQuery {
    /// First moment, in milliseconds since the Unix epoch; a week back where it is absent.
    pub since_utc_ms: Option<i64>,
    /// Share of the quiet windows that may be alarmed, 0 to 1.
    #[serde(default = "default_false_alarms")]
    pub false_alarms: f64,
}

fn default_false_alarms() -> f64 {
    0.05
}

/// Which series, and how fine.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SeriesQuery {
    /// The entity, such as `host`, `core:0` or `app:web`.
    pub entity: String,
    /// The field's stable name, such as `cpu_busy`.
    pub field: String,
    /// First moment, in milliseconds since the Unix epoch.
    pub from_utc_ms: i64,
    /// Last moment, in milliseconds since the Unix epoch.
    pub to_utc_ms: i64,
    /// At most this many points, 1 to 2000.
    #[serde(default = "default_points")]
    pub points: u32,
}

fn default_points() -> u32 {
    300
}

/// A policy to plan with, without loading it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanRequest {
    /// The policy file's text.
    pub policy: String,
    /// The policy file's name, for messages.
    pub file_name: String,
}

/// Answers that the view does not hold.
pub trait Backend: Send + Sync + 'static {
    /// Everything that is known of a lease (`12`) or a prediction (`p34`). What the view can say of it is
    /// shown where this does not find it.
    fn explain(&self, id: &str) -> Result<Explanation, BackendError>;

    /// What was done, or would have been done, in a span of the past.
    fn report(&self, query: &ReportQuery) -> Result<Report, BackendError>;

    /// Recorded values of one field of one entity.
    fn series(&self, query: &SeriesQuery) -> Result<Series, BackendError>;

    /// What would be planned now under another policy. Nothing is written.
    fn plan(&self, request: &PlanRequest) -> Result<PlanView, BackendError>;

    /// How far predictions deserve belief: counted from recorded outcomes.
    fn calibration(&self, _query: &CalibrationQuery) -> Result<CalibrationView, BackendError> {
        no_store()
    }

    /// Events that are expected by name: announced and scheduled, soonest first.
    fn events(&self) -> Result<Vec<EventRow>, BackendError> {
        no_store()
    }

    /// Which app calls which, with what was learned of it.
    fn graph(&self) -> Result<GraphView, BackendError> {
        no_store()
    }
}

/// Who is at the other end of the control socket, by the kernel's word (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Effective user id when it connected.
    pub uid: u32,
    /// Effective group id when it connected.
    pub gid: u32,
    /// Its process, where the kernel told it.
    pub pid: Option<i32>,
}

/// It is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// In words.
    pub text: String,
}

impl Done {
    /// Done, in words.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

/// Which process or executable to look into.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InspectRequest {
    /// The process.
    pub pid: u32,
}

/// An announced event that comes again by the wall clock.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockRequest {
    /// The event; it does not come before its time, and not necessarily at it.
    pub event: DeclaredEvent,
    /// cron's five fields.
    pub schedule: String,
    /// IANA name of the time zone; the system's where it is absent.
    pub zone: Option<String>,
}

/// Switch functions of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchRequest {
    /// The process.
    pub pid: u32,
    /// One function; all switchable ones where it is absent.
    pub function: Option<String>,
    /// `base`, or a scenario.
    pub to: String,
}

/// What a switch did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchReport {
    /// Functions that now run as asked.
    pub switched: Vec<String>,
    /// Functions that do not, each with why.
    pub refused: Vec<String>,
}

/// Switch everything back and forth: a fault-injection aid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StormRequest {
    /// The process.
    pub pid: u32,
    /// For how many seconds.
    pub seconds: f64,
}

/// What a storm did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StormReport {
    /// Functions that were switched.
    pub functions: u64,
    /// Switches in all.
    pub switches: u64,
    /// Switches that failed.
    pub failures: u64,
}

/// The verbs that change something. Only root and the daemon's own user reach them, and only by the socket.
pub trait Control: Send + Sync + 'static {
    /// Gives every lease back and acts no more until resumed.
    fn pause(&self, caller: Caller) -> Result<Done, ControlError>;

    /// Goes on.
    fn resume(&self, caller: Caller) -> Result<Done, ControlError>;

    /// Reads policy and configuration again; the old ones stay where the new ones have an error.
    fn reload(&self, caller: Caller) -> Result<Done, ControlError>;

    /// Announces an event.
    fn declare(&self, caller: Caller, event: DeclaredEvent) -> Result<Done, ControlError>;

    /// Announces an event that comes again by the wall clock, through changes of daylight saving.
    fn declare_by_clock(&self, _caller: Caller, _request: &ClockRequest) -> Result<Done, ControlError> {
        no_control()
    }

    /// Takes an announced event back.
    fn withdraw(&self, _caller: Caller, _name: &str) -> Result<Done, ControlError> {
        no_control()
    }

    /// Switches functions of a process.
    fn switch(&self, caller: Caller, request: &SwitchRequest) -> Result<SwitchReport, ControlError>;

    /// Switches all functions of a process back and forth.
    fn storm(&self, caller: Caller, request: &StormRequest) -> Result<StormReport, ControlError>;

    /// What is switchable in a process, and what is not and why.
    fn inspect(&self, caller: Caller, request: &InspectRequest) -> Result<serde_json::Value, ControlError>;
}

/// A backend without a store: every question is unavailable.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBackend;

fn no_store<T>() -> Result<T, BackendError> {
    Err(BackendError::Unavailable("no store is open here".to_owned()))
}

impl Backend for NoBackend {
    fn explain(&self, _: &str) -> Result<Explanation, BackendError> {
        no_store()
    }
    fn report(&self, _: &ReportQuery) -> Result<Report, BackendError> {
        no_store()
    }
    fn series(&self, _: &SeriesQuery) -> Result<Series, BackendError> {
        no_store()
    }
    fn plan(&self, _: &PlanRequest) -> Result<PlanView, BackendError> {
        no_store()
    }
}

/// A control that does nothing and says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoControl;

fn no_control<T>() -> Result<T, ControlError> {
    Err(ControlError::NotAllowed(
        "nothing can be acted on here".to_owned(),
    ))
}

impl Control for NoControl {
    fn pause(&self, _: Caller) -> Result<Done, ControlError> {
        no_control()
    }
    fn resume(&self, _: Caller) -> Result<Done, ControlError> {
        no_control()
    }
    fn reload(&self, _: Caller) -> Result<Done, ControlError> {
        no_control()
    }
    fn declare(&self, _: Caller, _: DeclaredEvent) -> Result<Done, ControlError> {
        no_control()
    }
    fn switch(&self, _: Caller, _: &SwitchRequest) -> Result<SwitchReport, ControlError> {
        no_control()
    }
    fn storm(&self, _: Caller, _: &StormRequest) -> Result<StormReport, ControlError> {
        no_control()
    }
    fn inspect(&self, _: Caller, _: &InspectRequest) -> Result<serde_json::Value, ControlError> {
        no_control()
    }
}

//! Events that are expected by name, as rows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who says that it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// Somebody announced it.
    Announced,
    /// A cron table or a timer.
    Scheduled,
}

/// One event that is expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventRow {
    /// What it is called.
    pub name: String,
    /// Who says that it comes.
    pub kind: EventKind,
    /// Whose demand rises, where that is known.
    pub app: Option<String>,
    /// When it comes next, in milliseconds since the Unix epoch.
    pub next_utc_ms: i64,
    /// How long it lasts, in seconds, where that was said.
    pub duration_s: Option<f64>,
    /// Expected demand in cores, where that was said.
    pub cores: Option<f64>,
    /// File and line of what is scheduled.
    pub place: Option<String>,
}

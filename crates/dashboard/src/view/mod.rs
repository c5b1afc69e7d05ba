//! The snapshot that the daemon publishes each tick, as rows that JSON can carry.
//!
//! Rows differ from `tidegate_types` in three ways, each because a browser or a script reads them: moments
//! are wall-clock milliseconds (a boot clock in nanoseconds does not fit a JSON number for long), units and
//! names are text, and what was not measured is `null` (JSON has no NaN and no infinity).

mod answers;
mod app;
mod calibration;
mod code;
mod event;
mod graph;
mod heat;
mod lease;
mod map;

pub use answers::{Explanation, Report, ReportRow, Series, Step};
pub use app::{AppRow, Sparks};
pub use calibration::{CalibrationRow, CalibrationView, ReliabilityBinRow};
pub use code::VariantRow;
pub use event::{EventKind, EventRow};
pub use graph::{EdgeRow, GraphView};
pub use heat::{HeatColumn, HeatView};
pub use lease::{AdviceRow, LeaseOutcome, LeaseRow, LeaseState, PlanView, PredictionRow, Setting};
pub use map::{ContentionRow, DemandRow, DriverRow, MapRow, MapView, QuantileRow, SkillRow, WindowRow};

use crate::words::{ModeWord, SeverityWord};
use serde::{Deserialize, Serialize};
use tidegate_types::{Mode, Notice, Severity};
use utoipa::ToSchema;

/// `value` where it is a number that JSON can carry.
pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// What the machine is; it does not change while the daemon runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostView {
    /// Host name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
    /// CPU model as the kernel names it.
    pub cpu_model: String,
    /// Online CPUs.
    pub cpus: u16,
    /// Memory in bytes.
    pub memory_bytes: f64,
    /// cgroup layout, in words.
    pub layout: String,
    /// Version of tidegate.
    pub version: String,
}

/// What tidegate itself costs, from the last sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SelfCost {
    /// CPU cores used.
    pub cpu_cores: Option<f64>,
    /// Resident memory in bytes.
    pub memory_bytes: Option<f64>,
    /// File descriptors held.
    pub descriptors: Option<f64>,
    /// How late the last sample was, in seconds.
    pub tick_late_s: Option<f64>,
    /// Level of self-protection; 0 is nothing shed.
    pub shed_level: Option<f64>,
}

/// The host's totals with their recent past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostNow {
    /// CPU cores in use.
    pub cpu_busy_cores: Option<f64>,
    /// CPU cores that can be had.
    pub cpu_capacity_cores: Option<f64>,
    /// Share of time in which some task waited for a CPU.
    pub cpu_waiting_ratio: Option<f64>,
    /// Memory that is not available, in bytes.
    pub memory_used_bytes: Option<f64>,
    /// Memory of the host in bytes.
    pub memory_total_bytes: Option<f64>,
    /// Share of time in which some task waited for memory.
    pub memory_waiting_ratio: Option<f64>,
    /// Share of time in which some task waited for I/O.
    pub io_waiting_ratio: Option<f64>,
    /// Recent values, one a sample, oldest first.
    pub sparks: Sparks,
}

/// Something the loop said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoticeRow {
    /// When, in milliseconds since the Unix epoch.
    pub at_utc_ms: i64,
    /// How serious.
    #[schema(value_type = SeverityWord)]
    pub severity: Severity,
    /// In words.
    pub text: String,
}

impl NoticeRow {
    /// `notice` as it was said at `at_utc_ms`.
    pub fn new(notice: &Notice, at_utc_ms: i64) -> Self {
        Self {
            at_utc_ms,
            severity: notice.severity,
            text: notice.text.clone(),
        }
    }
}

impl View {
    /// The view as the page polls it: at most `apps` apps, without what changes seldom and has an address
    /// of its own.
    pub(crate) fn page(&self, apps: usize) -> Self {
        Self {
            host: self.host.clone(),
            now: self.now.clone(),
            self_cost: self.self_cost.clone(),
            apps: self.apps.iter().take(apps).cloned().collect(),
            heat: HeatView::default(),
            map: self.map.clone(),
            plan: self.plan.clone(),
            actions: self.actions.clone(),
            contention: self.contention.clone(),
            variants: self.variants.clone(),
            skill: self.skill.clone(),
            notices: self.notices.clone(),
            doctor: serde_json::Value::Null,
            ..*self
        }
    }
}

/// Everything that the page shows and the read verbs answer with, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct View {
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_utc_ms: i64,
    /// Seconds since the daemon started.
    pub uptime_s: f64,
    /// How far tidegate may go at most.
    #[schema(value_type = ModeWord)]
    pub mode: Mode,
    /// True between `pause` and `resume`: nothing is acted on.
    pub paused: bool,
    /// The machine.
    pub host: HostView,
    /// The host's totals.
    pub now: HostNow,
    /// What tidegate itself costs.
    pub self_cost: SelfCost,
    /// Apps, busiest first.
    pub apps: Vec<AppRow>,
    /// How many apps there are, also where `apps` was cut.
    pub apps_total: u32,
    /// The contention map.
    pub map: MapView,
    /// The map's recent past.
    pub heat: HeatView,
    /// What holds, and what is only said.
    pub plan: PlanView,
    /// Leases that ended, newest first.
    pub actions: Vec<LeaseRow>,
    /// Contention that was seen, newest first.
    pub contention: Vec<ContentionRow>,
    /// Variants and their trials, newest first.
    pub variants: Vec<VariantRow>,
    /// How well each unit is foreseen.
    pub skill: Vec<SkillRow>,
    /// What the loop said, newest first.
    pub notices: Vec<NoticeRow>,
    /// The doctor's report, as the telemetry room writes it. It has an address of its own and is left out
    /// of the view there.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    #[schema(value_type = Option<Object>)]
    pub doctor: serde_json::Value,
}

//! What goes into a tick and what comes out: the seam between the pure middle and the edges.

use crate::{
    App, AppName, BootTime, ContentionEvent, ContentionMap, Dependency, DependencyOrigin, Knob, KnobValue,
    LeaseId, Moment, Outcome, Plan, Sample, Scenario, Switched, TrialVerdict, Unit,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An event that somebody announced: a release, a batch run, a sale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeclaredEvent {
    /// What it is called.
    pub name: Arc<str>,
    /// Whose demand rises.
    pub app: AppName,
    /// When it begins, milliseconds since the Unix epoch.
    pub at_utc_ms: i64,
    /// How long it lasts, in seconds.
    pub duration_s: f64,
    /// Seconds between repetitions, where it repeats.
    pub every_s: Option<f64>,
    /// Expected demand in cores, where it was said.
    pub cores: Option<f64>,
}

/// One firing of something that a timer or a cron table will start. Whether it brings contention is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedEvent {
    /// What it is called; the same at each firing.
    pub name: Arc<str>,
    /// The app that it starts, where that is known.
    pub app: Option<AppName>,
    /// When it fires, milliseconds since the Unix epoch.
    pub at_utc_ms: i64,
    /// The file and line, or the unit, that says so.
    pub place: Arc<str>,
}

/// Why a write did not take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteFailure {
    /// The group is gone or is another one under the same path.
    GroupGone,
    /// Someone else wrote the knob; it is theirs now.
    Foreign,
    /// The journal has no room: no record, no act.
    JournalFull,
    /// The kernel refused, with its words.
    Refused(String),
    /// Not granted, paused, or disabled.
    NotAllowed(String),
}

/// What became of a lease's write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WriteResult {
    /// Which lease.
    pub lease: LeaseId,
    /// Whose knob.
    pub app: AppName,
    /// Which knob.
    pub knob: Knob,
    /// The value before our first write.
    pub found: Option<KnobValue>,
    /// The value read back, or why there is none.
    pub outcome: Result<KnobValue, WriteFailure>,
    /// When.
    pub at: BootTime,
    /// True when this was the giving back of the found value.
    pub restored: bool,
}

/// Everything that happened since the tick before, other than the sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The daemon started (again): what is between is a gap.
    Started {
        /// Boot id of the kernel.
        boot_id: Arc<str>,
        /// Online CPUs.
        cpus: u16,
    },
    /// An app was found, or its groups changed.
    AppCame(App),
    /// An app went away.
    AppWent(AppName),
    /// The policy, as text: the first one, and after each reload that was valid.
    PolicyChanged(Arc<str>),
    /// A write was done or refused.
    Written(WriteResult),
    /// Someone else wrote a leased knob.
    ForeignWrite {
        /// Whose knob.
        app: AppName,
        /// Which knob.
        knob: Knob,
        /// What it is now.
        value: Option<KnobValue>,
    },
    /// Throttling or waiting was seen between samples, by a fast poll or a PSI trigger.
    Waiting {
        /// On which unit.
        unit: Unit,
        /// Share of time waited since the look before.
        share: f64,
    },
    /// A variant is compiled and loaded, waiting for its switch.
    VariantReady {
        /// Whose.
        app: AppName,
        /// Which function.
        function: String,
        /// For which scenario.
        scenario: Scenario,
    },
    /// A live trial ended.
    Trial(TrialVerdict),
    /// A model, by content hash, was promoted; its bytes lie in the model store under that name.
    ModelPromoted(Arc<str>),
    /// An event was announced.
    Declared(DeclaredEvent),
    /// An announced event was taken back, by its name.
    Withdrawn(Arc<str>),
    /// All firings of timers and cron tables in the time ahead; they take the place of those said before.
    Expected(Vec<ExpectedEvent>),
    /// Local time of the host, in the time around now; it takes the place of what was said before.
    LocalTime {
        /// From when on (Unix seconds, rising) it is how many seconds ahead of UTC; the first holds before, too.
        offsets: Vec<(i64, i32)>,
        /// Days off: local days counted from 1970-01-01, and their names.
        holidays: Vec<(i64, Arc<str>)>,
    },
    /// Dependencies: all that are declared, or those that were seen just now.
    Dependencies {
        /// How they are known.
        origin: DependencyOrigin,
        /// Which.
        edges: Vec<Dependency>,
    },
    /// Release everything until resumed.
    Paused,
    /// Go on.
    Resumed,
    /// Slots were led to variants, or back to the base.
    Switched(Switched),
}

/// One tick's input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// When the tick runs.
    pub now: Moment,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The reading, where this tick has one.
    pub sample: Option<Sample>,
}

/// How serious a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Info,
    /// Someone should look.
    Warning,
}

/// Something the loop wants to say: a demotion, a foreign write, a bound that was hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// How serious.
    pub severity: Severity,
    /// In words.
    pub text: String,
}

/// One tick's output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// A new map, when this tick made one.
    pub map: Option<ContentionMap>,
    /// What should hold from now on.
    pub plan: Plan,
    /// Contention that began or ended in this tick.
    pub contention: Vec<ContentionEvent>,
    /// Predictions whose windows closed.
    pub outcomes: Vec<Outcome>,
    /// Things to say.
    pub notices: Vec<Notice>,
}

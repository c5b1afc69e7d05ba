//! What is to be done.

use crate::{AppName, BootTime, Knob, KnobValue, Lease, Mode, Moment, PredictionId, Unit};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a variant is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// CPU time is contended.
    Cpu,
    /// Memory or its bandwidth is contended.
    Memory,
    /// A disk is contended.
    Disk,
    /// The network is contended.
    Network,
    /// Somebody else is to be protected from this app.
    Neighbour,
}

impl fmt::Display for Scenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Neighbour => "neighbour",
        })
    }
}

/// Where work is shifted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShiftTarget {
    /// To other CPUs of this host.
    Cores(Vec<u16>),
    /// To another NUMA node.
    Node(u16),
    /// To another host, by its manager.
    Host(Arc<str>),
}

/// Moving less time-sensitive work out of the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// Who moves.
    pub app: AppName,
    /// Where to.
    pub target: ShiftTarget,
    /// Why, in words.
    pub rule: String,
    /// The prediction behind it.
    pub prediction: Option<PredictionId>,
}

/// A wish for variants; the recompiler chooses the functions from its own heat profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recompile {
    /// Whose functions.
    pub app: AppName,
    /// CPUs that the contention hits; empty means any.
    pub cores: Vec<u16>,
    /// For which scenario.
    pub scenario: Scenario,
    /// When the variants should be ready.
    pub by: BootTime,
    /// When the contention is expected to be over.
    pub until: BootTime,
    /// The prediction behind it; none where the contention is there. Until then, variants are only made ready.
    pub prediction: Option<PredictionId>,
    /// Observe is never planned; advise names what would be compiled; enforce does it.
    pub mode: Mode,
}

/// What would be done, or cannot be done, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// For whom.
    pub app: AppName,
    /// Which knob, where it is about one.
    pub knob: Option<Knob>,
    /// The value it would get.
    pub value: Option<KnobValue>,
    /// About which unit.
    pub unit: Unit,
    /// In words.
    pub text: String,
}

/// The outcome of one live trial of one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialVerdict {
    /// Whose function.
    pub app: AppName,
    /// The process it ran in.
    pub pid: u32,
    /// Which function.
    pub function: String,
    /// Under which scenario.
    pub scenario: Scenario,
    /// Whether the variant is kept.
    pub kept: bool,
    /// Base cost over variant cost per unit of work: above 1 the variant is cheaper.
    pub ratio: f64,
    /// Lower and upper end of the 95 % interval of `ratio`.
    pub interval: (f64, f64),
    /// In words.
    pub reason: String,
}

/// Slots of one process were led elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Switched {
    /// Whose functions.
    pub app: AppName,
    /// Its process.
    pub pid: u32,
    /// Which functions.
    pub functions: Vec<String>,
    /// To the variants of which scenario; none = to the base.
    pub to: Option<Scenario>,
    /// The prediction behind it; none where present conditions asked for it.
    pub prediction: Option<PredictionId>,
    /// CPU time of the base over that of what is led to now, for the same work, as trials found it; 1 for the base, and
    /// where nothing is known.
    #[serde(default = "no_gain")]
    pub gain: f64,
    /// In words.
    pub reason: String,
}

fn no_gain() -> f64 {
    1.0
}

impl fmt::Display for Switched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.to.map_or_else(|| "the base".to_owned(), |to| to.to_string());
        let functions = self.functions.join(", ");
        write!(
            formatter,
            "{functions} of {} (process {}) to {to}: {}",
            self.app, self.pid, self.reason
        )
    }
}

/// The whole of what should hold, not a difference: a lease that is no longer listed is given back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// When it was decided.
    pub made: Moment,
    /// All leases that should hold now or later, by id.
    pub leases: Vec<Lease>,
    /// Moves.
    pub shifts: Vec<Shift>,
    /// Wishes for variants.
    pub recompiles: Vec<Recompile>,
    /// What is only said.
    pub advice: Vec<Advice>,
}

impl Plan {
    /// True when there is nothing to do, to move, to compile or to say.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
            && self.shifts.is_empty()
            && self.recompiles.is_empty()
            && self.advice.is_empty()
    }
}

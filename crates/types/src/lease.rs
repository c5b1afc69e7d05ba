//! One adjustment, from its reason to its end.

use crate::{AppName, BootTime, PredictionId, Resource, Unit};
use serde::{Deserialize, Serialize};

/// Names one lease for ever; `tidegate explain` takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

/// A set of files or properties that move together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knob {
    /// Scheduler weight and the idle flag.
    CpuWeight,
    /// Quota, period and burst.
    CpuMax,
}

impl Knob {
    /// The resource whose grant it needs.
    pub fn resource(self) -> Resource {
        match self {
            Self::CpuWeight | Self::CpuMax => Resource::Cpu,
        }
    }

    /// Seconds from the write until the kernel has taken it up: a wake-up of the throttled tasks for a quota, the
    /// next scheduling decision for a weight. Acting starts this much before the onset's early quantile. Measured
    /// worst cases are 15 ms and 7 ms; the rest is room for a writer that is late on a busy host.
    pub fn time_to_effect_s(self) -> f64 {
        match self {
            Self::CpuWeight => 0.02,
            Self::CpuMax => 0.05,
        }
    }
}

/// What a knob is set to, in cgroup v2 terms whatever the host's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnobValue {
    /// `weight` 1 to 10000, 100 by default; `idle` runs the group only when no other wants the CPU.
    CpuWeight {
        /// Scheduler weight.
        weight: u32,
        /// The idle flag.
        idle: bool,
    },
    /// `quota_us` of CPU time in each `period_us`, `None` for no limit; `burst_us` may be saved up.
    CpuMax {
        /// Microseconds of CPU time per period.
        quota_us: Option<u64>,
        /// Microseconds.
        period_us: u64,
        /// Microseconds.
        burst_us: u64,
    },
}

impl KnobValue {
    /// The knob that this is a value of.
    pub fn knob(&self) -> Knob {
        match self {
            Self::CpuWeight { .. } => Knob::CpuWeight,
            Self::CpuMax { .. } => Knob::CpuMax,
        }
    }

    /// The CPU limit in cores; `None` where there is none or the knob is no limit.
    pub fn limit_cores(&self) -> Option<f64> {
        match *self {
            Self::CpuMax {
                quota_us: Some(quota_us),
                period_us,
                ..
            } => Some(quota_us as f64 / period_us as f64),
            _ => None,
        }
    }
}

/// What set a lease off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// An onset that was foreseen.
    Predicted,
    /// An event that is already going on.
    Observed,
    /// A standing rule of the policy.
    Standing,
}

/// Why a lease exists; enough for `explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// What set it off.
    pub trigger: Trigger,
    /// The prediction behind it, where there is one.
    pub prediction: Option<PredictionId>,
    /// The unit whose contention it is to prevent or end.
    pub unit: Unit,
    /// The app it is for (the lease's own app, or the one that gains by it).
    pub beneficiary: AppName,
    /// The rule that decided, in words.
    pub rule: String,
}

/// One adjustment of one knob of one app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// Whose knob.
    pub app: AppName,
    /// What the knob is to be.
    pub asked: KnobValue,
    /// What it was before, once that is known.
    pub found: Option<KnobValue>,
    /// When it takes effect; it may lie ahead.
    pub start: BootTime,
    /// When the found value comes back, whoever is alive.
    pub end: BootTime,
    /// Why.
    pub cause: Cause,
}

impl Lease {
    /// Whether it is in effect at `now`.
    pub fn active_at(&self, now: BootTime) -> bool {
        self.start <= now && now < self.end
    }
}

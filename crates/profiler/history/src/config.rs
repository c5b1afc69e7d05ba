//! How much is kept, how often it is made safe, and under which boot.

use crate::layout;
use crate::segment::Tier;
use std::sync::Arc;

/// Hours in milliseconds.
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const MIB: u64 = 1 << 20;

/// Settings of a store. Everything that bounds it can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// The kernel's boot id: boot clocks of different ids do not compare.
    pub boot_id: Arc<str>,
    /// How long samples are kept as they were taken, in hours.
    pub second_hours: u32,
    /// How long minutes are kept, in days.
    pub minute_days: u32,
    /// How long five minutes are kept, in days.
    pub five_minute_days: u32,
    /// How long the input log and the maps are kept, in hours.
    pub input_hours: u32,
    /// How long decisions are kept, in days.
    pub decision_days: u32,
    /// How long scored predictions are kept, in days.
    pub outcome_days: u32,
    /// All files together, in bytes; the oldest of the finest tier goes first.
    pub max_bytes: u64,
    /// The input log alone, in bytes.
    pub input_bytes: u64,
    /// Maps and decisions, each, in bytes.
    pub decision_bytes: u64,
    /// Scored predictions, in bytes: a week of a hundred units takes about 500 MB, of thirty 150.
    pub outcome_bytes: u64,
    /// Checkpoints together, in bytes; the newest is always kept.
    pub checkpoint_bytes: u64,
    /// What power loss may cost, in seconds: how often written data is made safe.
    pub sync_every_s: f64,
    /// Whether syncing and sealing happen on threads of their own (`true` for a daemon, whose tick must not
    /// wait for a disk) or at once (tests).
    pub background: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            boot_id: Arc::from(""),
            second_hours: 24,
            minute_days: 35,
            five_minute_days: 400,
            input_hours: 24,
            decision_days: 400,
            outcome_days: 35,
            max_bytes: 2048 * MIB,
            input_bytes: 384 * MIB,
            decision_bytes: 96 * MIB,
            outcome_bytes: 256 * MIB,
            checkpoint_bytes: 192 * MIB,
            // Half of the ten seconds that are promised, so that a slow sync still keeps the promise.
            sync_every_s: 5.0,
            background: true,
        }
    }
}

impl StoreConfig {
    /// The defaults with the boot id of the running kernel.
    pub fn of_this_boot() -> std::io::Result<Self> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self {
            boot_id: Arc::from(text.trim()),
            ..Self::default()
        })
    }

    pub(crate) fn keep_ms(&self) -> [(Tier, i64); 3] {
        [
            (Tier::Second, i64::from(self.second_hours) * HOUR_MS),
            (Tier::Minute, i64::from(self.minute_days) * DAY_MS),
            (Tier::FiveMinutes, i64::from(self.five_minute_days) * DAY_MS),
        ]
    }

    /// Folder, milliseconds and bytes of each log.
    pub(crate) fn log_limits(&self) -> [(&'static str, i64, u64); 4] {
        let inputs_ms = i64::from(self.input_hours) * HOUR_MS;
        let decisions_ms = i64::from(self.decision_days) * DAY_MS;
        let outcomes_ms = i64::from(self.outcome_days) * DAY_MS;
        [
            (layout::INPUTS, inputs_ms, self.input_bytes),
            (layout::MAPS, inputs_ms, self.decision_bytes),
            (layout::DECISIONS, decisions_ms, self.decision_bytes),
            (layout::OUTCOMES, outcomes_ms, self.outcome_bytes),
        ]
    }
}

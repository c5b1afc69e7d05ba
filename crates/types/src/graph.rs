//! Which app needs which.

use crate::AppName;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a dependency became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DependencyOrigin {
    /// Seen in the kernel's socket tables.
    Observed,
    /// Written down by somebody.
    Declared,
}

/// One app calls another: work flows from upstream to downstream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dependency {
    /// Who calls.
    pub upstream: AppName,
    /// Who is called, and therefore needed. Of a declared one, the name as it was written.
    pub downstream: AppName,
    /// Where it is known from: `tcp:5432`, `unix:/run/db.sock`, or the file and line that declare it.
    pub place: Arc<str>,
}

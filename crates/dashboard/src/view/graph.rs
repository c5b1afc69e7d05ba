//! The dependency graph, as rows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One app calls another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EdgeRow {
    /// Who calls.
    pub upstream: String,
    /// Who is called.
    pub downstream: String,
    /// Where it was seen, such as `tcp:5432`.
    pub seen: Option<String>,
    /// The file and line that declare it.
    pub declared: Option<String>,
    /// Median seconds from a rise upstream to contention at the downstream's CPU limit, where any was seen.
    pub lag_s: Option<f64>,
    /// Spread of that lag in seconds.
    pub lag_spread_s: Option<f64>,
    /// Share of the rises upstream that contention followed.
    pub followed_share: Option<f64>,
    /// Class of the downstream app, what flows down to it included.
    pub downstream_class: String,
}

/// Which app calls which.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphView {
    /// Sorted by caller, then called.
    pub edges: Vec<EdgeRow>,
    /// What is wrong with what was declared, each with its place.
    pub remarks: Vec<String>,
}

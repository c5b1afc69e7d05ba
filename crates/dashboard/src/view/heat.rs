//! The recent past of the map: one column per map, one cell per unit.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One map's probabilities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeatColumn {
    /// When the map was made, in milliseconds since the Unix epoch.
    pub at_utc_ms: i64,
    /// Probability of the window for each of the units, in their order; `null` where there was no forecast.
    pub probability: Vec<Option<f32>>,
}

/// Units × time, bounded on both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeatView {
    /// The window that the probabilities are of, in seconds: the shortest one of the map.
    pub window_s: u32,
    /// Rows, sorted.
    pub units: Vec<String>,
    /// Columns, oldest first.
    pub columns: Vec<HeatColumn>,
}

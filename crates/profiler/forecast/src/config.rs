//! What may be set from outside.

use serde::{Deserialize, Serialize};

/// Settings of the forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecastConfig {
    /// Window lengths in seconds, shortest first.
    pub windows_s: [u32; 4],
}

impl Default for ForecastConfig {
    fn default() -> Self {
        Self {
            windows_s: [60, 300, 900, 3600],
        }
    }
}

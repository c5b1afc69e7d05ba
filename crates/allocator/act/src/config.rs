//! Where things are.

use crate::Layout;
use std::path::PathBuf;

/// What an [`crate::Actuator`] needs to know.
#[derive(Clone, Debug)]
pub struct ActConfig {
    /// Where the knobs are.
    pub layout: Layout,
    /// The journal, on tmpfs.
    pub journal: PathBuf,
    /// While a file is here, nothing is leased.
    pub disable: PathBuf,
}

impl ActConfig {
    /// The places of a host's only enforcer: `/run/tidegate/journal` and `/run/tidegate/disable`.
    pub fn of_host(layout: Layout) -> Self {
        Self {
            layout,
            journal: PathBuf::from("/run/tidegate/journal"),
            disable: PathBuf::from("/run/tidegate/disable"),
        }
    }
}

//! The small process that restores when the daemon cannot.

use crate::{ActConfig, ActError};

/// What the guardian watches.
#[derive(Clone, Debug)]
pub struct GuardianConfig {
    /// Same places as the daemon's.
    pub act: ActConfig,
    /// Process id of the daemon.
    pub daemon_pid: u32,
}

/// Watches until the daemon is gone and everything is back; the body of `tidegate guardian`.
pub fn run(_config: &GuardianConfig) -> Result<(), ActError> {
    Ok(())
}

//! The boot clock and the boot's name.

use crate::ActError;
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::sync::Arc;
use tidegate_types::BootTime;

/// Now on the boot clock (`CLOCK_BOOTTIME`).
pub fn boot_now() -> BootTime {
    let now = clock_gettime(ClockId::Boottime);
    BootTime(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// The random name of this boot of the kernel.
pub fn boot_id() -> Result<Arc<str>, ActError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text =
        std::fs::read_to_string(path).map_err(|error| ActError::io(path, "read the boot id", error))?;
    Ok(Arc::from(text.trim()))
}

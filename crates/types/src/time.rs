//! Two clocks, never mixed: the boot clock measures, the wall clock names days and hours.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A point on the boot clock (`CLOCK_BOOTTIME`), in nanoseconds. It runs through suspend and is
/// never set back, so differences of it are real durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootTime(pub u64);

impl BootTime {
    /// The point `seconds` after boot; negative values clamp to boot.
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds.max(0.0) * 1e9).round() as u64)
    }

    /// Seconds since boot.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Seconds from `earlier` to `self`, negative when `earlier` is the later one.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (i128::from(self.0) - i128::from(earlier.0)) as f64 / 1e9
    }

    /// The point `seconds` later (earlier, when negative); clamps to boot.
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        let moved = i128::from(self.0) + (seconds * 1e9).round() as i128;
        Self(u64::try_from(moved.max(0)).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for BootTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3}s", self.seconds())
    }
}

/// One instant, on both clocks. `utc_ms` serves calendars and people only; it may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The boot clock.
    pub boot: BootTime,
    /// Milliseconds since the Unix epoch, UTC.
    pub utc_ms: i64,
}

impl Moment {
    /// The same instant `seconds` later on both clocks.
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self {
            boot: self.boot.plus_seconds(seconds),
            utc_ms: self.utc_ms + (seconds * 1e3).round() as i64,
        }
    }

    /// Wall-clock milliseconds of a boot-clock point, by this moment's offset between the clocks.
    pub fn utc_ms_of(self, at: BootTime) -> i64 {
        self.utc_ms + (at.seconds_since(self.boot) * 1e3).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_signed_and_clamped_at_boot() {
        let (early, late) = (BootTime::from_seconds(1.5), BootTime::from_seconds(4.0));
        assert_eq!(late.seconds_since(early), 2.5);
        assert_eq!(early.seconds_since(late), -2.5);
        assert_eq!(early.plus_seconds(-9.0), BootTime(0));
        assert_eq!(early.plus_seconds(2.5), late);
    }
}

//! The clocks of the host, in one reading; tests give their own.

use tidegate_types::{BootTime, Moment};

/// The three clocks at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockReading {
    /// Runs through suspend, is never set.
    pub boot: BootTime,
    /// Stands still in suspend, in nanoseconds.
    pub monotonic_ns: u64,
    /// Milliseconds since the Unix epoch; may jump.
    pub utc_ms: i64,
}

impl ClockReading {
    /// The moment without the monotonic clock.
    pub fn moment(self) -> Moment {
        Moment {
            boot: self.boot,
            utc_ms: self.utc_ms,
        }
    }
}

/// Where time comes from. Called a few times per app and tick, so it should be cheap.
pub type Clock = Box<dyn FnMut() -> ClockReading + Send>;

fn nanoseconds(clock: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// The kernel's clocks.
pub fn host_clock() -> Clock {
    Box::new(|| ClockReading {
        boot: BootTime(nanoseconds(rustix::time::ClockId::Boottime)),
        monotonic_ns: nanoseconds(rustix::time::ClockId::Monotonic),
        utc_ms: (nanoseconds(rustix::time::ClockId::Realtime) / 1_000_000).cast_signed(),
    })
}

/// CPU time of this process since its start, in nanoseconds.
pub(crate) fn own_cpu_ns() -> u64 {
    nanoseconds(rustix::time::ClockId::ProcessCPUTime)
}

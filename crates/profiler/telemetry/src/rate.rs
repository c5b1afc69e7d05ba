//! From counters to rates.
//!
//! A rate is the difference of two readings over the boot-clock time between them. Whatever makes
//! that difference meaningless (a first reading, a counter that went back, a group that was made
//! anew, a suspend, a gap, a clock that stood still) gives NaN, which means *not measured*.

use tidegate_types::BootTime;

/// Below this a difference is all quantisation.
const SHORTEST_INTERVAL_S: f64 = 1e-3;

/// What is left of `whole` without `part`. Read at different moments, a part may be the larger: nothing is left then.
/// NaN stays NaN.
pub(crate) fn left_of(whole: f64, part: f64) -> f64 {
    let left = whole - part;
    if left < 0.0 { 0.0 } else { left }
}

/// One counter's last reading.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counter {
    last: Option<(u64, BootTime)>,
}

impl Counter {
    /// Takes a reading and gives the increase per second since the one before, or NaN.
    pub(crate) fn rate(&mut self, value: Option<u64>, at: BootTime) -> f64 {
        let Some(value) = value else {
            self.last = None;
            return f64::NAN;
        };
        let before = self.last.replace((value, at));
        let Some((last, last_at)) = before else {
            return f64::NAN;
        };
        let seconds = at.seconds_since(last_at);
        if value < last || seconds < SHORTEST_INTERVAL_S {
            return f64::NAN;
        }
        (value - last) as f64 / seconds
    }

    /// Takes it as known that the counter stood still: a rate of 0, or NaN without a reading before.
    pub(crate) fn hold(&mut self, at: BootTime) -> f64 {
        self.rate(self.last.map(|(last, _)| last), at)
    }

    /// The increase since the reading before without dividing by time, or NaN.
    pub(crate) fn increase(&mut self, value: Option<u64>, at: BootTime) -> f64 {
        let last_at = self.last.map(|(_, last_at)| last_at);
        let rate = self.rate(value, at);
        last_at.map_or(f64::NAN, |last_at| rate * at.seconds_since(last_at))
    }

    /// Forgets the reading, so that the next one only starts anew.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }
}

/// A share of time from microseconds per second. Kernel totals are updated a little late, so a
/// reading may overshoot one interval; what is far above the whole is not a share and is absent.
pub(crate) fn share_of_time(microseconds_per_second: f64) -> f64 {
    let share = microseconds_per_second * 1e-6;
    if share > 2.0 { f64::NAN } else { share.min(1.0) }
}

/// `cores` unless it is more than the host can do, which only a broken counter claims.
pub(crate) fn plausible_cores(cores: f64, online: f64) -> f64 {
    if cores > online * 1.25 + 0.5 {
        f64::NAN
    } else {
        cores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(readings: &[(f64, Option<u64>)], expect: f64) {
        let mut counter = Counter::default();
        let mut rate = f64::NAN;
        for (seconds, value) in readings {
            rate = counter.rate(*value, BootTime::from_seconds(*seconds));
        }
        assert_eq!(rate.to_bits(), expect.to_bits(), "{readings:?} gave {rate}");
    }

    #[test]
    fn rates_are_over_measured_time_or_absent() {
        check(&[(1.0, Some(100))], f64::NAN);
        check(&[(1.0, Some(100)), (3.0, Some(500))], 200.0);
        check(&[(1.0, Some(500)), (2.0, Some(100))], f64::NAN);
        check(&[(1.0, Some(500)), (2.0, Some(100)), (3.0, Some(101))], 1.0);
        check(&[(2.0, Some(1)), (2.0, Some(9))], f64::NAN);
        check(&[(3.0, Some(1)), (2.0, Some(9))], f64::NAN);
        check(&[(1.0, Some(1)), (2.0, None), (3.0, Some(9))], f64::NAN);
    }

    #[test]
    fn shares_and_cores_are_bounded() {
        assert_eq!(share_of_time(500_000.0), 0.5);
        assert_eq!(share_of_time(1_050_000.0), 1.0);
        assert!(share_of_time(1e9).is_nan());
        assert_eq!(plausible_cores(2.1, 2.0), 2.1);
        assert!(plausible_cores(200.0, 2.0).is_nan());
    }
}

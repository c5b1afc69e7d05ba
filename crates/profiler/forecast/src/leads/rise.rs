//! When an app's demand rises.
//!
//! A quiet level and its noise are followed; demand well above both is a rise, dated to the part of the second in
//! which it began. Demand that stays high becomes the quiet level, so that a step up is one rise.

use serde::{Deserialize, Serialize};

/// A rise is at least so many cores,
const RISE_MIN_CORES: f64 = 0.04;
/// so many times the noise,
const RISE_NOISE: f64 = 5.0;
/// and this share of the quiet level.
const RISE_SHARE: f64 = 0.4;
/// Below this part of the rise, it is over.
const OVER: f64 = 0.35;
/// Pace at which the quiet level and its noise are followed, and while demand is high.
const PACE: f64 = 0.1;
const PACE_HIGH: f64 = 0.01;
/// Seconds before the quiet level is known.
const KNOWN_S: f64 = 5.0;

/// Watches one app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rise {
    quiet: f64,
    noise: f64,
    peak: f64,
    high: bool,
    watched_s: f64,
}

impl Rise {
    /// Takes in the demand of the `interval_s` seconds before `now_s`; gives when a rise began.
    pub(crate) fn observe(&mut self, cores: f64, now_s: f64, interval_s: f64) -> Option<f64> {
        if self.watched_s == 0.0 {
            self.quiet = cores;
        }
        self.watched_s += interval_s;
        if self.high {
            self.peak = self.peak.max(cores);
            self.quiet += PACE_HIGH * (cores - self.quiet);
            self.high = cores > self.quiet + OVER * (self.peak - self.quiet) && self.rises(self.peak);
            return None;
        }
        if self.watched_s > KNOWN_S && self.rises(cores) {
            self.high = true;
            self.peak = cores;
            return Some(now_s - interval_s / 2.0);
        }
        self.noise += PACE * ((cores - self.quiet).abs() - self.noise);
        self.quiet += PACE * (cores - self.quiet);
        None
    }

    fn rises(&self, cores: f64) -> bool {
        let above = RISE_MIN_CORES
            .max(RISE_NOISE * self.noise)
            .max(RISE_SHARE * self.quiet);
        cores - self.quiet > above
    }

    /// Nothing was measured for a while.
    pub(crate) fn pause(&mut self) {
        self.high = false;
        self.watched_s = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_and_steps_are_one_rise_each_and_noise_is_none() {
        let mut watch = Rise::default();
        let mut found = Vec::new();
        for second in 0..600_u32 {
            let noise = f64::from(second * 7919 % 13) / 13.0 * 0.02;
            let burst = if (100..108).contains(&second) || (200..220).contains(&second) {
                0.5
            } else {
                0.0
            };
            let step = if second >= 300 { 0.4 } else { 0.0 };
            found.extend(watch.observe(0.05 + noise + burst + step, f64::from(second) + 1.0, 1.0));
        }
        assert_eq!(found, [100.5, 200.5, 300.5]);
    }
}

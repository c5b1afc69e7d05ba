//! When an app's demand rises: its use of CPUs, or what it receives, whichever comes first.
//!
//! A quiet level and its noise are followed; demand well above both is a rise, dated to the part of the second in
//! which it began. Demand that stays high becomes the quiet level, so that a step up is one rise.

use serde::{Deserialize, Serialize};

/// A rise is at least so many cores, or bytes per second,
const RISE_MIN_CORES: f64 = 0.04;
const RISE_MIN_BYTES_PER_S: f64 = 20_000.0;
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
pub(crate) struct Rises {
    cores: Rise,
    received: Rise,
}

impl Rises {
    /// Takes in the demand of the `interval_s` seconds before `now_s`, in cores and in bytes received per second, where
    /// they are known; gives when a rise began. While one of the two is high, the other's rise is the same.
    pub(crate) fn observe(
        &mut self,
        cores: Option<f64>,
        received: Option<f64>,
        now_s: f64,
        interval_s: f64,
    ) -> Option<f64> {
        let high = self.cores.high || self.received.high;
        let began =
            |watch: &mut Rise, amount: Option<f64>, least| watch.observe(amount?, least, now_s, interval_s);
        let by_cores = began(&mut self.cores, cores, RISE_MIN_CORES);
        let by_received = began(&mut self.received, received, RISE_MIN_BYTES_PER_S);
        by_cores.or(by_received).filter(|_| !high)
    }

    /// Nothing was measured for a while.
    pub(crate) fn pause(&mut self) {
        self.cores.pause();
        self.received.pause();
    }
}

/// Watches one quantity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rise {
    quiet: f64,
    noise: f64,
    peak: f64,
    high: bool,
    watched_s: f64,
}

impl Rise {
    /// Takes in the demand of the `interval_s` seconds before `now_s`; gives when a rise of at least `least` began.
    fn observe(&mut self, amount: f64, least: f64, now_s: f64, interval_s: f64) -> Option<f64> {
        if self.watched_s == 0.0 {
            self.quiet = amount;
        }
        self.watched_s += interval_s;
        if self.high {
            self.peak = self.peak.max(amount);
            self.quiet += PACE_HIGH * (amount - self.quiet);
            let over = self.quiet + OVER * (self.peak - self.quiet);
            self.high = amount > over && self.rises(self.peak, least);
            return None;
        }
        if self.watched_s > KNOWN_S && self.rises(amount, least) {
            self.high = true;
            self.peak = amount;
            return Some(now_s - interval_s / 2.0);
        }
        self.noise += PACE * ((amount - self.quiet).abs() - self.noise);
        self.quiet += PACE * (amount - self.quiet);
        None
    }

    fn rises(&self, amount: f64, least: f64) -> bool {
        let above = least.max(RISE_NOISE * self.noise).max(RISE_SHARE * self.quiet);
        amount - self.quiet > above
    }

    fn pause(&mut self) {
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
            let cores = 0.05 + noise + burst + step;
            found.extend(watch.observe(cores, RISE_MIN_CORES, f64::from(second) + 1.0, 1.0));
        }
        assert_eq!(found, [100.5, 200.5, 300.5]);
    }

    #[test]
    fn what_is_received_rises_as_well_and_once_with_the_cores() {
        let mut watch = Rises::default();
        let mut found = Vec::new();
        for second in 0..400_u32 {
            let burst = |from: u32| (from..from + 8).contains(&second);
            let received = if burst(100) || burst(200) { 5e6 } else { 1e3 };
            // A relay: the first burst takes no CPU time, the second some, a second later.
            let cores = if burst(201) || burst(300) { 0.5 } else { 0.01 };
            found.extend(watch.observe(Some(cores), Some(received), f64::from(second) + 1.0, 1.0));
        }
        assert_eq!(found, [100.5, 200.5, 300.5]);
    }
}

//! Katalyst's Rama policy: proportional and derivative on the logarithm of an indicator over its target.
//!
//! Source: `helper/pid.go` and `provision/policy_rama.go`. The indicator here is usage over allocation (their
//! `cpu_usage_ratio`), every five seconds, a region per app. Left out: the other indicators, of which the most
//! demanding would win.

use super::{Decision, Rule, Seen};
use std::collections::BTreeMap;
use tidegate_types::AppName;

const EVERY_S: f64 = 5.0;
const SMALLEST_STEP_CORES: f64 = -2.0;
const LARGEST_STEP_CORES: f64 = 10.0;
/// No target is given for the usage ratio; four fifths leaves a fifth of headroom.
const TARGET_RATIO: f64 = 0.8;
const SMALLEST_REGION_CORES: f64 = 0.1;

/// Gains and dead-band of one indicator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PdLaw {
    /// Gain above the target.
    pub gain_above: f64,
    /// Gain below the target.
    pub gain_below: f64,
    /// Gain on the change of the error.
    pub gain_derivative: f64,
    /// Relative distance below the target at which nothing is done yet.
    pub band_below: f64,
    /// Relative distance above the target at which nothing is done yet.
    pub band_above: f64,
}

impl PdLaw {
    /// For usage over allocation.
    pub const CPU_USAGE_RATIO: Self = Self {
        gain_above: 0.1,
        gain_below: 0.04,
        gain_derivative: 0.0,
        band_below: 0.01,
        band_above: 0.06,
    };

    /// For the time that tasks wait to be scheduled.
    pub const SCHEDULER_WAIT: Self = Self {
        gain_above: 0.05,
        gain_below: 0.009,
        gain_derivative: 0.0,
        band_below: 0.05,
        band_above: 0.2,
    };

    /// Cores to add to a region of `region_cores`; `previous_error` is the logarithmic error of the step before.
    pub fn adjustment(&self, current: f64, target: f64, region_cores: f64, previous_error: f64) -> f64 {
        let relative = (current - target) / target;
        if (-self.band_below..=self.band_above).contains(&relative) {
            return 0.0;
        }
        let error = current.ln() - target.ln();
        let gain = if error >= 0.0 {
            self.gain_above
        } else {
            self.gain_below
        };
        let change = error.abs() - previous_error.abs();
        let adjustment = gain * region_cores * error + error.signum() * self.gain_derivative * change;
        adjustment.clamp(SMALLEST_STEP_CORES, LARGEST_STEP_CORES)
    }
}

/// The rule: a region per app, starting at its limit.
#[derive(Clone, Debug, Default)]
pub struct Rama {
    regions: BTreeMap<AppName, (f64, f64)>,
    adjusted_s: Option<f64>,
}

impl Rule for Rama {
    fn name(&self) -> &'static str {
        "rama-pd"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let at_s = seen.at.boot.seconds();
        let due = self.adjusted_s.is_none_or(|before| at_s - before >= EVERY_S);
        if due {
            self.adjusted_s = Some(at_s);
        }
        let mut decision = Decision::default();
        for app in &seen.apps {
            let start = (seen.limit_cores(app), 0.0);
            let (region, error) = self.regions.entry(app.name.clone()).or_insert(start);
            let ratio = app.cpu_cores / *region;
            if due && ratio > 0.0 {
                *region += PdLaw::CPU_USAGE_RATIO.adjustment(ratio, TARGET_RATIO, *region, *error);
                *region = region.clamp(
                    SMALLEST_REGION_CORES,
                    seen.capacity_cores.max(SMALLEST_REGION_CORES),
                );
                *error = ratio.ln() - TARGET_RATIO.ln();
            }
            decision.cpu_cores.insert(app.name.clone(), *region);
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::{app, close, seen};

    #[test]
    fn inside_the_band_nothing_is_done() {
        let law = PdLaw::CPU_USAGE_RATIO;
        close(law.adjustment(0.84, 0.8, 10.0, 0.0), 0.0);
        close(law.adjustment(0.795, 0.8, 10.0, 0.0), 0.0);
    }

    #[test]
    fn outside_it_steps_are_proportional_to_the_logarithm() {
        let law = PdLaw::CPU_USAGE_RATIO;
        close(law.adjustment(1.6, 0.8, 10.0, 0.0), 0.1 * 10.0 * 2_f64.ln());
        close(law.adjustment(0.4, 0.8, 10.0, 0.0), -0.04 * 10.0 * 2_f64.ln());
        close(
            PdLaw::SCHEDULER_WAIT.adjustment(1.6, 0.8, 10.0, 0.0),
            0.05 * 10.0 * 2_f64.ln(),
        );
        close(law.adjustment(1.6, 0.8, 1e6, 0.0), 10.0);
        close(law.adjustment(0.4, 0.8, 1e6, 0.0), -2.0);
    }

    #[test]
    fn a_change_of_the_error_counts_with_its_gain() {
        let law = PdLaw {
            gain_derivative: 1.0,
            ..PdLaw::CPU_USAGE_RATIO
        };
        let error = 2_f64.ln();
        close(law.adjustment(1.6, 0.8, 10.0, 0.5), error + (error - 0.5));
    }

    #[test]
    fn an_idle_region_shrinks_each_five_seconds() {
        let mut rule = Rama::default();
        let cores = |rule: &mut Rama, second| {
            let decision = rule.step(&seen(second, vec![app("web", 0.8, 2.0)]));
            decision.cpu_cores[&AppName::new("web")]
        };
        // Ratio 0.4 of a target of 0.8, at once and then five seconds later.
        let first = 2.0 - 0.04 * 2.0 * 2_f64.ln();
        close(cores(&mut rule, 0), first);
        close(cores(&mut rule, 4), first);
        assert!(cores(&mut rule, 5) < first);
    }
}

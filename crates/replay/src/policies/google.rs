//! Peak predictors of a machine: the sum of limits, N-sigma, the sum of percentiles, and the largest of several.
//!
//! Source: Bashir et al., "Take it to the limit" (`EuroSys` 2021), and the simulator `cluster-resource-forecast`.
//! A sample is five minutes (the P90 of its seconds), the history two hours. An app without a limit counts with
//! the host's capacity, and limits together with no more than that.

use super::window::{Slots, percentile};
use super::{Decision, Rule, Seen};
use std::collections::{BTreeMap, VecDeque};
use tidegate_types::AppName;

const SAMPLE_S: f64 = 300.0;
const HISTORY: usize = 24;

/// What the apps may use together at most.
pub(crate) fn limit_sum(seen: &Seen) -> f64 {
    let sum: f64 = seen.apps.iter().map(|app| seen.limit_cores(app)).sum();
    sum.min(seen.capacity_cores)
}

fn usage_sum(seen: &Seen) -> f64 {
    seen.apps
        .iter()
        .map(|app| app.cpu_cores)
        .filter(|cores| !cores.is_nan())
        .sum()
}

/// No overcommitment: everybody may need all of the limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitSum;

impl Rule for LimitSum {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        Decision {
            host_cpu_cores: Some(limit_sum(seen)),
            ..Decision::default()
        }
    }
}

/// Five-minute samples of the last two hours.
#[derive(Clone, Debug)]
struct History {
    slot: Slots,
    samples: VecDeque<f64>,
}

impl History {
    fn new() -> Self {
        Self {
            slot: Slots::new(SAMPLE_S),
            samples: VecDeque::new(),
        }
    }

    fn push(&mut self, at_s: f64, value: f64) {
        let ended = self.slot.push(at_s, value);
        if let Some(sample) = ended.and_then(|values| percentile(&values, 0.9)) {
            self.samples.push_back(sample);
            if self.samples.len() > HISTORY {
                self.samples.pop_front();
            }
        }
    }

    /// The samples, once there are enough.
    fn full(&self) -> Option<Vec<f64>> {
        (self.samples.len() == HISTORY).then(|| self.samples.iter().copied().collect())
    }
}

/// Mean and N standard deviations of the machine's usage over its limits.
#[derive(Clone, Debug)]
pub struct NSigma {
    sigmas: f64,
    history: History,
}

impl NSigma {
    /// With that many standard deviations.
    pub fn new(sigmas: f64) -> Self {
        Self {
            sigmas,
            history: History::new(),
        }
    }
}

/// Share of the limits that mean and `sigmas` standard deviations (of the population) reach, at most all.
fn n_sigma(shares: &[f64], sigmas: f64) -> f64 {
    let count = shares.len() as f64;
    let mean = shares.iter().sum::<f64>() / count;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / count;
    (mean + sigmas * variance.sqrt()).min(1.0)
}

impl Rule for NSigma {
    fn name(&self) -> &'static str {
        "n-sigma"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let limit = limit_sum(seen);
        self.history.push(seen.at.boot.seconds(), usage_sum(seen) / limit);
        let peak = self
            .history
            .full()
            .map(|shares| n_sigma(&shares, self.sigmas) * limit);
        Decision {
            host_cpu_cores: peak,
            ..Decision::default()
        }
    }
}

/// The sum over apps of a percentile of their usage over their limit, as in Resource Central.
#[derive(Clone, Debug)]
pub struct RcLike {
    share: f64,
    apps: BTreeMap<AppName, History>,
}

impl RcLike {
    /// With that percentile, 0 to 1.
    pub fn new(share: f64) -> Self {
        Self {
            share,
            apps: BTreeMap::new(),
        }
    }
}

impl Rule for RcLike {
    fn name(&self) -> &'static str {
        "rc-like"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let at_s = seen.at.boot.seconds();
        let mut decision = Decision::default();
        self.apps
            .retain(|name, _| seen.apps.iter().any(|app| app.name == *name));
        for app in &seen.apps {
            let limit = seen.limit_cores(app);
            let history = self.apps.entry(app.name.clone()).or_insert_with(History::new);
            history.push(at_s, app.cpu_cores / limit);
            let shares = history.full();
            if let Some(share) = shares.and_then(|shares| percentile(&shares, self.share)) {
                decision.cpu_cores.insert(app.name.clone(), share * limit);
            }
        }
        // An app that is too young counts with its limit.
        let young = seen
            .apps
            .iter()
            .filter(|app| !decision.cpu_cores.contains_key(&app.name));
        let young: f64 = young.map(|app| seen.limit_cores(app)).sum();
        let known: f64 = decision.cpu_cores.values().sum();
        decision.host_cpu_cores = Some((young + known).min(limit_sum(seen)));
        decision
    }
}

/// The largest of several predictions of the machine.
pub struct MaxOf {
    rules: Vec<Box<dyn Rule>>,
}

impl MaxOf {
    /// Of these rules.
    pub fn new(rules: Vec<Box<dyn Rule>>) -> Self {
        Self { rules }
    }
}

impl Rule for MaxOf {
    fn name(&self) -> &'static str {
        "max"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let peaks = self.rules.iter_mut().map(|rule| rule.step(seen).host_cpu_cores);
        // A rule that cannot say yet counts with the limits.
        let peaks: Vec<f64> = peaks
            .map(|peak| peak.unwrap_or_else(|| limit_sum(seen)))
            .collect();
        Decision {
            host_cpu_cores: peaks.into_iter().reduce(f64::max),
            ..Decision::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::{app, close, seen};

    /// Steps through `slots` of five minutes and 1 s more, with the app's usage by slot.
    fn run(rule: &mut dyn Rule, slots: u64, cores: impl Fn(u64) -> f64) -> Decision {
        let mut decision = Decision::default();
        for second in (0..=slots * 300).step_by(10) {
            decision = rule.step(&seen(second, vec![app("web", cores(second / 300), 2.0)]));
        }
        decision
    }

    #[test]
    fn mean_and_deviations_of_the_share_of_the_limit() {
        // Half of the samples 0.5 of 2 cores, half 1: shares 0.25 and 0.5, mean 0.375, deviation 0.125.
        let alternating = |slot: u64| if slot.is_multiple_of(2) { 0.5 } else { 1.0 };
        let peak = run(&mut NSigma::new(2.0), 24, alternating).host_cpu_cores;
        close(peak.expect("two hours"), (0.375 + 2.0 * 0.125) * 2.0);
        let capped = run(&mut NSigma::new(9.0), 24, alternating).host_cpu_cores;
        close(capped.expect("two hours"), 2.0);
        assert_eq!(run(&mut NSigma::new(2.0), 23, alternating).host_cpu_cores, None);
    }

    #[test]
    fn percentiles_of_apps_add_up_and_young_ones_count_with_their_limit() {
        let decision = run(&mut RcLike::new(1.0), 24, |slot| slot as f64 / 24.0);
        close(decision.cpu_cores[&AppName::new("web")], 23.0 / 24.0);
        let young = run(&mut RcLike::new(1.0), 3, |_| 0.1);
        close(young.host_cpu_cores.expect("always"), 2.0);
    }

    #[test]
    fn the_largest_counts_and_limits_are_no_more_than_the_host() {
        let mut rule = MaxOf::new(vec![Box::new(NSigma::new(0.0)), Box::new(RcLike::new(1.0))]);
        let decision = run(
            &mut rule,
            24,
            |slot| if slot.is_multiple_of(2) { 0.5 } else { 1.0 },
        );
        close(decision.host_cpu_cores.expect("two hours"), 1.0);
        let host = seen(0, vec![app("a", 0.1, 3.0), app("b", 0.1, f64::INFINITY)]);
        close(LimitSum.step(&host).host_cpu_cores.expect("always"), 4.0);
    }
}

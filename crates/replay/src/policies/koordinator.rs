//! Koordinator's peak prediction: decaying percentiles per pod, per class and for the rest of the node.
//!
//! Source: `pkg/koordlet/prediction`. Each minute contributes the P90 of its seconds. A pod younger than a day
//! counts with its request. There is no request in a record: the CPU limit stands in for it, and an app without
//! one counts with its own percentile from the start. Left out: memory of the node as a whole.

use super::histogram::Histogram;
use super::window::{Slots, percentile};
use super::{AppSeen, Decision, Rule, Seen};
use std::collections::BTreeMap;
use tidegate_types::AppName;

const MIB: f64 = 1_048_576.0;
const MARGIN: f64 = 1.10;
const COLD_START_S: f64 = 86_400.0;
const EXPIRES_S: f64 = 1_800.0;

#[derive(Clone, Debug)]
struct Minutes {
    histogram: Histogram,
    slot: Slots,
}

impl Minutes {
    fn cpu() -> Self {
        Self {
            histogram: Histogram::new(0.025, 1.05, 1024.0, 43_200.0),
            slot: Slots::new(60.0),
        }
    }

    fn memory() -> Self {
        Self {
            histogram: Histogram::new(5.0 * MIB, 1.05, 2_f64.powi(41), 86_400.0),
            slot: Slots::new(60.0),
        }
    }

    fn push(&mut self, at_s: f64, value: f64) {
        let ended = self.slot.push(at_s, value);
        if let Some(high) = ended.and_then(|values| percentile(&values, 0.9)) {
            self.histogram.add(high, 1.0, at_s);
        }
    }

    fn percentile(&self, share: f64) -> Option<f64> {
        (!self.histogram.is_empty()).then(|| self.histogram.percentile(share))
    }
}

#[derive(Clone, Debug)]
struct Pod {
    cpu: Minutes,
    memory: Minutes,
    first_s: f64,
    last_s: f64,
}

/// The rule.
#[derive(Clone, Debug)]
pub struct Koordinator {
    pods: BTreeMap<AppName, Pod>,
    /// All pods together, and what the node uses beside them.
    pods_cpu: Minutes,
    system_cpu: Minutes,
}

impl Default for Koordinator {
    fn default() -> Self {
        Self {
            pods: BTreeMap::new(),
            pods_cpu: Minutes::cpu(),
            system_cpu: Minutes::cpu(),
        }
    }
}

impl Koordinator {
    fn observe(&mut self, app: &AppSeen, at_s: f64) {
        let fresh = || Pod {
            cpu: Minutes::cpu(),
            memory: Minutes::memory(),
            first_s: at_s,
            last_s: at_s,
        };
        let pod = self.pods.entry(app.name.clone()).or_insert_with(fresh);
        if at_s - pod.last_s > EXPIRES_S {
            *pod = fresh();
        }
        pod.last_s = at_s;
        pod.cpu.push(at_s, app.cpu_cores);
        pod.memory.push(at_s, app.memory_bytes);
    }

    /// Peak of one app: its request while it is young, else the percentile with the margin.
    fn peak(&self, app: &AppSeen, at_s: f64) -> (Option<f64>, Option<f64>) {
        let Some(pod) = self.pods.get(&app.name) else {
            return (None, None);
        };
        let young = at_s - pod.first_s < COLD_START_S;
        let request = |limit: f64| (young && limit.is_finite()).then_some(limit);
        let cpu = request(app.cpu_limit_cores).or_else(|| Some(pod.cpu.percentile(0.95)? * MARGIN));
        let memory = request(app.memory_limit_bytes).or_else(|| Some(pod.memory.percentile(0.98)? * MARGIN));
        (cpu, memory)
    }
}

impl Rule for Koordinator {
    fn name(&self) -> &'static str {
        "koordinator"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let at_s = seen.at.boot.seconds();
        let sum: f64 = seen
            .apps
            .iter()
            .map(|app| app.cpu_cores)
            .filter(|cores| !cores.is_nan())
            .sum();
        self.pods_cpu.push(at_s, sum);
        self.system_cpu.push(at_s, (seen.busy_cores - sum).max(0.0));
        let mut decision = Decision::default();
        for app in &seen.apps {
            self.observe(app, at_s);
            let (cpu, memory) = self.peak(app, at_s);
            decision
                .cpu_cores
                .extend(cpu.map(|cores| (app.name.clone(), cores)));
            decision
                .memory_bytes
                .extend(memory.map(|bytes| (app.name.clone(), bytes)));
        }
        let by_pod: f64 = decision.cpu_cores.values().sum();
        let by_class = self
            .pods_cpu
            .percentile(0.95)
            .zip(self.system_cpu.percentile(0.95));
        decision.host_cpu_cores = by_class.map(|(pods, system)| by_pod.max((pods + system) * MARGIN));
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::{app, close, seen};

    #[test]
    fn a_young_app_counts_with_its_limit_and_one_without_with_its_percentile() {
        let mut rule = Koordinator::default();
        let mut decision = Decision::default();
        for second in 0..=60 {
            let free = app("free", 0.5, f64::INFINITY);
            decision = rule.step(&seen(second, vec![free, app("web", 0.5, 2.0)]));
        }
        close(decision.cpu_cores[&AppName::new("web")], 2.0);
        // 0.5 × 0.05 / 0.025 + 1 = 2: bucket floor(ln 2 / ln 1.05) = 14, upper edge 0.5 × (1.05^15 − 1).
        let edge = 0.5 * (1.05_f64.powi(15) - 1.0);
        close(decision.cpu_cores[&AppName::new("free")], edge * 1.1);
        // The sum of the pods (2 + 0.59) is above what the class as a whole shows.
        close(decision.host_cpu_cores.expect("a minute"), 2.0 + edge * 1.1);
    }

    #[test]
    fn an_app_that_was_silent_for_half_an_hour_starts_anew() {
        let mut rule = Koordinator::default();
        for second in [0, 30, 61, 62] {
            rule.step(&seen(second, vec![app("free", 0.5, f64::INFINITY)]));
        }
        let decision = rule.step(&seen(62 + 1801, vec![app("free", 0.5, f64::INFINITY)]));
        assert!(decision.cpu_cores.is_empty());
    }
}

//! The vertical pod autoscaler's recommender: decaying percentiles of usage, with margins.
//!
//! Source: `vertical-pod-autoscaler/pkg/recommender`. CPU is the mean of each minute with a constant weight;
//! memory is the peak of each day. Left out: the updater's evictions, pods of several containers, checkpoints.

use super::histogram::Histogram;
use super::window::Slots;
use super::{AppSeen, Decision, Rule, Seen};
use std::collections::BTreeMap;
use tidegate_types::AppName;

const DAY_S: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;
const CPU_WEIGHT: f64 = 0.1;
const MARGIN: f64 = 1.15;
const CPU_FLOOR_CORES: f64 = 0.025;
const MEMORY_FLOOR_BYTES: f64 = 250.0 * MIB;

/// A recommendation and the range within which a request is left alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VpaBounds {
    /// Below it a request is raised.
    pub lower: f64,
    /// What is recommended.
    pub target: f64,
    /// Above it a request is lowered.
    pub upper: f64,
}

#[derive(Clone, Debug)]
struct Model {
    cpu: Histogram,
    minute: Slots,
    memory: Histogram,
    /// End of the running day and its peak, where there is one.
    day: Option<(f64, f64)>,
    first_s: f64,
    last_s: f64,
    cpu_samples: f64,
}

impl Model {
    fn new(at_s: f64) -> Self {
        Self {
            cpu: Histogram::new(0.01, 1.05, 1000.0, DAY_S),
            minute: Slots::new(60.0),
            memory: Histogram::new(1e7, 1.05, 1e12, DAY_S),
            day: None,
            first_s: at_s,
            last_s: at_s,
            cpu_samples: 0.0,
        }
    }

    fn observe(&mut self, app: &AppSeen, at_s: f64) {
        self.last_s = at_s;
        if let Some(values) = self.minute.push(at_s, app.cpu_cores) {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            self.cpu.add(mean, CPU_WEIGHT, at_s);
            self.cpu_samples += 1.0;
        }
        self.peak(app.memory_bytes, at_s);
        if app.oom_kills > 0.0 {
            let used = app.memory_bytes;
            self.peak((used + 100.0 * MIB).max(1.2 * used), at_s);
        }
    }

    /// One peak per day: a higher one takes the place of the one before, both timed at the day's end.
    fn peak(&mut self, bytes: f64, at_s: f64) {
        if bytes.is_nan() {
            return;
        }
        match self.day {
            Some((end_s, peak)) if at_s < end_s => {
                if bytes > peak {
                    self.memory.subtract(peak, 1.0, end_s);
                    self.memory.add(bytes, 1.0, end_s);
                    self.day = Some((end_s, bytes));
                }
            }
            _ => {
                let end_s = self.day.map_or(at_s + DAY_S, |(end_s, _)| {
                    end_s + ((at_s - end_s) / DAY_S + 1.0).floor() * DAY_S
                });
                self.memory.add(bytes, 1.0, end_s);
                self.day = Some((end_s, bytes));
            }
        }
    }

    /// Days of data, by time and by number of samples.
    fn confidence(&self) -> f64 {
        ((self.last_s - self.first_s) / DAY_S).min(self.cpu_samples / 1440.0)
    }

    fn bounds(&self, histogram: &Histogram, floor: f64) -> VpaBounds {
        let confidence = self.confidence();
        let lower = histogram.percentile(0.5) * MARGIN * (1.0 + 0.001 / confidence).powi(-2);
        let upper = histogram.percentile(0.95) * MARGIN * (1.0 + 1.0 / confidence);
        VpaBounds {
            lower: lower.max(floor),
            target: (histogram.percentile(0.9) * MARGIN).max(floor),
            upper: upper.max(floor),
        }
    }
}

/// The rule.
#[derive(Clone, Debug, Default)]
pub struct VpaRecommender {
    models: BTreeMap<AppName, Model>,
}

impl VpaRecommender {
    /// CPU in cores, once there is a minute of it.
    pub fn cpu(&self, app: &AppName) -> Option<VpaBounds> {
        let model = self.models.get(app).filter(|model| !model.cpu.is_empty())?;
        Some(model.bounds(&model.cpu, CPU_FLOOR_CORES))
    }

    /// Memory in bytes.
    pub fn memory(&self, app: &AppName) -> Option<VpaBounds> {
        let model = self.models.get(app).filter(|model| !model.memory.is_empty())?;
        Some(model.bounds(&model.memory, MEMORY_FLOOR_BYTES))
    }
}

impl Rule for VpaRecommender {
    fn name(&self) -> &'static str {
        "vpa"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let at_s = seen.at.boot.seconds();
        let mut decision = Decision::default();
        for app in &seen.apps {
            let model = self
                .models
                .entry(app.name.clone())
                .or_insert_with(|| Model::new(at_s));
            model.observe(app, at_s);
            if let Some(bounds) = self.cpu(&app.name) {
                decision.cpu_cores.insert(app.name.clone(), bounds.target);
            }
            if let Some(bounds) = self.memory(&app.name) {
                decision.memory_bytes.insert(app.name.clone(), bounds.target);
            }
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::{app, close, seen};

    #[test]
    fn a_steady_app_gets_its_bucket_and_the_margin() {
        let mut rule = VpaRecommender::default();
        let mut decision = Decision::default();
        // Five minutes of 0.5 cores: bucket 25, [0.4773, 0.5111), whose upper edge counts.
        for second in 0..=300 {
            decision = rule.step(&seen(second, vec![app("web", 0.5, 2.0)]));
        }
        let upper_edge = 0.01 * (1.05_f64.powi(26) - 1.0) / 0.05;
        close(decision.cpu_cores[&AppName::new("web")], upper_edge * 1.15);
        // 100 MiB lie below the floor of 250 MiB.
        close(decision.memory_bytes[&AppName::new("web")], 250.0 * MIB);
    }

    #[test]
    fn bounds_close_in_with_confidence() {
        let mut rule = VpaRecommender::default();
        for second in 0..=300 {
            rule.step(&seen(second, vec![app("web", 0.5, 2.0)]));
        }
        let bounds = rule.cpu(&AppName::new("web")).expect("samples");
        // 300 s are 300/86400 of a day, five samples 5/1440: the same.
        let confidence: f64 = 300.0 / 86_400.0;
        close(bounds.upper, bounds.target * (1.0 + 1.0 / confidence));
        close(bounds.lower, bounds.target / (1.0 + 0.001 / confidence).powi(2));
    }

    #[test]
    fn memory_is_the_peak_of_the_day_and_an_oom_kill_raises_it() {
        let mut rule = VpaRecommender::default();
        let mut big = app("web", 0.1, 2.0);
        for (second, mib) in [(0, 1000.0), (1, 3000.0), (2, 2000.0)] {
            big.memory_bytes = mib * MIB;
            rule.step(&seen(second, vec![big.clone()]));
        }
        let target = |rule: &VpaRecommender| rule.memory(&AppName::new("web")).expect("a peak").target;
        let edge = |bytes: f64| {
            let histogram = Histogram::new(1e7, 1.05, 1e12, DAY_S);
            histogram.start(histogram.bucket(bytes) + 1) * 1.15
        };
        close(target(&rule), edge(3000.0 * MIB));
        big.memory_bytes = 3000.0 * MIB;
        big.oom_kills = 1.0;
        rule.step(&seen(3, vec![big]));
        close(target(&rule), edge(3600.0 * MIB));
    }
}

//! Autopilot's moving-window recommender: statistics of weighted windows, a margin, the maximum of an hour.
//!
//! Source: Rzadca et al., "Autopilot: workload autoscaling at Google" (`EuroSys` 2020, doi
//! 10.1145/3342195.3387524). Serving apps get the load-adjusted 95th percentile of CPU, batch the average;
//! memory is the load-adjusted 98th percentile of window peaks (the rule for apps that survive an out-of-memory
//! kill). Left out: the recommender that chooses among models, whose weights are not published.

use super::window::{Slots, Window};
use super::{AppSeen, Decision, Rule, Seen};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_types::AppName;

const WINDOW_S: f64 = 300.0;
const CPU_HALF_LIFE_S: f64 = 12.0 * 3600.0;
const MEMORY_HALF_LIFE_S: f64 = 48.0 * 3600.0;
/// The paper gives 10 to 15 percent.
const MARGIN: f64 = 1.10;
const BUCKETS: usize = 400;

/// Weighted counts in equal buckets up to the host's capacity.
#[derive(Clone, Debug)]
pub(crate) struct Weighted {
    width: f64,
    decay: f64,
    counts: Vec<f64>,
    mean_sum: f64,
    weight_sum: f64,
}

impl Weighted {
    pub(crate) fn new(max: f64, half_life_s: f64) -> Self {
        Self {
            width: max / BUCKETS as f64,
            decay: (-WINDOW_S / half_life_s).exp2(),
            counts: vec![0.0; BUCKETS],
            mean_sum: 0.0,
            weight_sum: 0.0,
        }
    }

    /// Ages what is there by one window and adds the values of the newest.
    pub(crate) fn add_window(&mut self, values: &[f64]) {
        self.counts.iter_mut().for_each(|count| *count *= self.decay);
        for value in values {
            let bucket = (value / self.width).ceil().max(1.0) as usize - 1;
            self.counts[bucket.min(BUCKETS - 1)] += 1.0;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        self.mean_sum = self.mean_sum * self.decay + mean;
        self.weight_sum = self.weight_sum * self.decay + 1.0;
    }

    pub(crate) fn average(&self) -> f64 {
        self.mean_sum / self.weight_sum
    }

    /// The `share` percentile of the histogram in which each bucket weighs by its load: count times upper edge.
    pub(crate) fn load_adjusted(&self, share: f64) -> f64 {
        let edge = |bucket: usize| (bucket + 1) as f64 * self.width;
        let load = |bucket: usize| self.counts[bucket] * edge(bucket);
        let total: f64 = (0..BUCKETS).map(load).sum();
        let mut cumulative = 0.0;
        let reached = (0..BUCKETS).find(|bucket| {
            cumulative += load(*bucket);
            cumulative >= share * total
        });
        reached.map_or(0.0, edge)
    }
}

#[derive(Clone, Debug)]
struct Model {
    cpu: Weighted,
    cpu_slot: Slots,
    memory: Weighted,
    memory_slot: Slots,
    cpu_hour: Window,
    memory_hour: Window,
}

/// The rule.
#[derive(Clone, Debug)]
pub struct Autopilot {
    batch: BTreeSet<AppName>,
    models: BTreeMap<AppName, Model>,
}

impl Autopilot {
    /// `batch` gets averages, everybody else percentiles.
    pub fn new(batch: BTreeSet<AppName>) -> Self {
        Self {
            batch,
            models: BTreeMap::new(),
        }
    }

    fn model(&mut self, app: &AppSeen, seen: &Seen) -> &mut Model {
        let memory_bytes = if seen.memory_bytes > 0.0 {
            seen.memory_bytes
        } else {
            1e12
        };
        self.models.entry(app.name.clone()).or_insert_with(|| Model {
            cpu: Weighted::new(seen.capacity_cores.max(0.01), CPU_HALF_LIFE_S),
            cpu_slot: Slots::new(WINDOW_S),
            memory: Weighted::new(memory_bytes, MEMORY_HALF_LIFE_S),
            memory_slot: Slots::new(WINDOW_S),
            cpu_hour: Window::new(3600.0),
            memory_hour: Window::new(3600.0),
        })
    }
}

fn maximum(window: &Window) -> Option<f64> {
    window.values().reduce(f64::max)
}

impl Rule for Autopilot {
    fn name(&self) -> &'static str {
        "autopilot"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let at_s = seen.at.boot.seconds();
        let mut decision = Decision::default();
        for app in &seen.apps {
            let batch = self.batch.contains(&app.name);
            let model = self.model(app, seen);
            if let Some(values) = model.cpu_slot.push(at_s, app.cpu_cores) {
                model.cpu.add_window(&values);
                let wanted = if batch {
                    model.cpu.average()
                } else {
                    model.cpu.load_adjusted(0.95)
                };
                model.cpu_hour.push(at_s, wanted * MARGIN);
            }
            if let Some(values) = model.memory_slot.push(at_s, app.memory_bytes) {
                let peak = values.iter().copied().fold(0.0, f64::max);
                model.memory.add_window(&[peak]);
                model
                    .memory_hour
                    .push(at_s, model.memory.load_adjusted(0.98) * MARGIN);
            }
            let (cpu, memory) = (maximum(&model.cpu_hour), maximum(&model.memory_hour));
            decision
                .cpu_cores
                .extend(cpu.map(|cores| (app.name.clone(), cores)));
            decision
                .memory_bytes
                .extend(memory.map(|bytes| (app.name.clone(), bytes)));
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::{app, close, seen};

    #[test]
    fn load_counts_more_than_time() {
        let mut weighted = Weighted::new(4.0, CPU_HALF_LIFE_S);
        // 90 seconds at 0.01 and 10 at 1: by time the P80 is 0.01, by load nearly all is at 1.
        let values: Vec<f64> = [[0.01; 90].as_slice(), &[1.0; 10]].concat();
        weighted.add_window(&values);
        close(weighted.load_adjusted(0.05), 0.01);
        close(weighted.load_adjusted(0.95), 1.0);
        close(weighted.average(), (0.9 + 10.0) / 100.0);
    }

    #[test]
    fn old_windows_lose_weight_by_age() {
        let mut weighted = Weighted::new(4.0, WINDOW_S);
        weighted.add_window(&[1.0]);
        weighted.add_window(&[2.0]);
        // Half-life of one window: (0.5 × 1 + 2) / 1.5.
        close(weighted.average(), 2.5 / 1.5);
    }

    #[test]
    fn serving_gets_the_percentile_batch_the_average_both_the_margin() {
        let batch = BTreeSet::from([AppName::new("batch")]);
        let mut rule = Autopilot::new(batch);
        let mut decision = Decision::default();
        for second in 0..=300 {
            let cores = if second % 2 == 0 { 1.0 } else { 2.0 };
            decision = rule.step(&seen(
                second,
                vec![app("batch", cores, 4.0), app("web", cores, 4.0)],
            ));
        }
        close(decision.cpu_cores[&AppName::new("web")], 2.0 * 1.1);
        close(decision.cpu_cores[&AppName::new("batch")], 1.5 * 1.1);
    }
}

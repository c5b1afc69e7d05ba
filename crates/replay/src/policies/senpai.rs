//! Senpai: squeezes memory until a little pressure shows, and lets go at once when it is too much.
//!
//! Source: `senpai.py`. Left out: the plugin's immediate back-off. On a record nothing is squeezed, so the
//! pressure that the law reads is that of the memory the app really had.

use super::{Decision, Rule, Seen};
use std::collections::BTreeMap;
use tidegate_types::AppName;

const TARGET_US: f64 = 10_000.0;
const INTERVAL_S: f64 = 6.0;
const GRACE_TICKS: u32 = 5;
const MAX_PROBE: f64 = 0.01;
const MAX_BACKOFF: f64 = 1.0;
const COEFFICIENT_PROBE: f64 = 10.0;
const COEFFICIENT_BACKOFF: f64 = 20.0;
const LOWEST_BYTES: f64 = 100.0 * 1_048_576.0;
const HIGHEST_BYTES: f64 = 100.0 * 1_073_741_824.0;
const PAGE_BYTES: f64 = 4096.0;

/// The law for one group.
#[derive(Clone, Debug, PartialEq)]
pub struct SenpaiLaw {
    high_bytes: f64,
    integral_us: f64,
    grace_ticks: u32,
    since_adjusted_s: f64,
}

impl SenpaiLaw {
    /// Starts from what is used now.
    pub fn new(current_bytes: f64) -> Self {
        Self {
            high_bytes: aligned(current_bytes),
            integral_us: 0.0,
            grace_ticks: 0,
            since_adjusted_s: 0.0,
        }
    }

    /// Takes in `waited_us` of memory pressure over `elapsed_s` and gives `memory.high`.
    pub fn step(&mut self, waited_us: f64, elapsed_s: f64) -> f64 {
        self.integral_us += waited_us;
        self.since_adjusted_s += elapsed_s;
        let ratio = self.integral_us / TARGET_US;
        if ratio > 1.0 {
            if self.grace_ticks > 0 {
                self.grace_ticks -= 1;
                return self.high_bytes;
            }
            let grow = ((ratio / COEFFICIENT_BACKOFF).powi(2) * MAX_BACKOFF).min(MAX_BACKOFF);
            self.adjust(1.0 + grow);
            self.grace_ticks = GRACE_TICKS;
            return self.high_bytes;
        }
        self.grace_ticks = self.grace_ticks.saturating_sub(1);
        if self.since_adjusted_s >= INTERVAL_S {
            let inverse = TARGET_US / self.integral_us.max(1.0);
            let shrink = ((inverse / COEFFICIENT_PROBE).powi(2) * MAX_PROBE).min(MAX_PROBE);
            self.adjust(1.0 - shrink);
        }
        self.high_bytes
    }

    fn adjust(&mut self, factor: f64) {
        self.high_bytes = aligned(self.high_bytes * factor);
        self.integral_us = 0.0;
        self.since_adjusted_s = 0.0;
    }
}

fn aligned(bytes: f64) -> f64 {
    (bytes.clamp(LOWEST_BYTES, HIGHEST_BYTES) / PAGE_BYTES).floor() * PAGE_BYTES
}

/// The rule: the law for every app.
#[derive(Clone, Debug, Default)]
pub struct Senpai {
    groups: BTreeMap<AppName, SenpaiLaw>,
}

impl Rule for Senpai {
    fn name(&self) -> &'static str {
        "senpai"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let mut decision = Decision::default();
        for app in seen.apps.iter().filter(|app| !app.memory_bytes.is_nan()) {
            let law = self.groups.entry(app.name.clone());
            let law = law.or_insert_with(|| SenpaiLaw::new(app.memory_bytes));
            let waited_us = if app.memory_waiting.is_nan() {
                0.0
            } else {
                app.memory_waiting
            };
            let high = law.step(waited_us * seen.interval_s * 1e6, seen.interval_s);
            decision.memory_bytes.insert(app.name.clone(), high);
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: f64 = 1_073_741_824.0;

    fn check(waited_us: &[f64], expect_factor: f64) {
        let mut law = SenpaiLaw::new(GIB);
        let high = waited_us.iter().map(|waited_us| law.step(*waited_us, 1.0)).last();
        assert_eq!(high, Some(aligned(GIB * expect_factor)), "{waited_us:?}");
    }

    #[test]
    fn without_pressure_it_squeezes_a_percent_each_six_seconds() {
        check(&[0.0; 5], 1.0);
        check(&[0.0; 6], 0.99);
        // A third of the target: (3 / 10)² of a percent.
        check(&[0.0, 0.0, 0.0, 0.0, 0.0, 10_000.0 / 3.0], 1.0 - 0.09 * 0.01);
    }

    #[test]
    fn pressure_above_the_target_lets_go_at_once() {
        check(&[20_000.0], 1.0 + 0.01);
        check(&[1_000_000.0], 2.0);
    }

    #[test]
    fn after_it_let_go_it_waits() {
        check(&[20_000.0, 20_000.0], 1.01);
        let mut law = SenpaiLaw::new(GIB);
        (0..6).for_each(|_| {
            law.step(20_000.0, 1.0);
        });
        let before = law.high_bytes;
        assert!(
            law.step(20_000.0, 1.0) > before,
            "after five ticks of grace it acts again"
        );
    }

    #[test]
    fn it_stays_within_its_range() {
        let mut law = SenpaiLaw::new(1.0);
        assert_eq!(law.step(0.0, 6.0), LOWEST_BYTES);
    }
}

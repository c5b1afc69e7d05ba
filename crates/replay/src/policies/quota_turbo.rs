//! Rubik's quotaTurbo: throttled containers may borrow quota while the node has room.
//!
//! Source: openEuler Rubik. Below the high mark (60 % of the node) throttled containers rise by their mean
//! throttled time, together by at most 1 % of the node's CPUs a period; above it borrowed quota falls slowly;
//! above the alarm mark (80 %) it is given back at once, pro rata. Nobody gets more than twice the limit, and
//! over 60 periods no more than the limit on average. A period is a second here.

use super::window::Window;
use super::{AppSeen, Decision, Rule, Seen};
use std::collections::BTreeMap;
use tidegate_types::AppName;

const HIGH: f64 = 0.60;
const ALARM: f64 = 0.80;
const RISE_OF_NODE: f64 = 0.01;
const FALL: f64 = 0.1;
const LARGEST_FACTOR: f64 = 2.0;
const PERIODS: f64 = 60.0;
const CALM_S: f64 = 60.0;
const CALM: f64 = 0.10;

#[derive(Clone, Debug)]
struct Container {
    limit: f64,
    quota: f64,
    /// Cores below the limit, summed over the last periods: what may be borrowed.
    saved: Window,
}

/// The rule.
#[derive(Clone, Debug)]
pub struct QuotaTurbo {
    containers: BTreeMap<AppName, Container>,
    utilisation: Window,
}

impl Default for QuotaTurbo {
    fn default() -> Self {
        Self {
            containers: BTreeMap::new(),
            utilisation: Window::new(CALM_S),
        }
    }
}

impl QuotaTurbo {
    fn is_calm(&self) -> bool {
        let low = self.utilisation.values().fold(f64::INFINITY, f64::min);
        let high = self.utilisation.values().fold(f64::NEG_INFINITY, f64::max);
        high - low <= CALM
    }

    fn rise(&mut self, apps: &[&AppSeen], capacity_cores: f64) {
        let wanted: f64 = apps.iter().map(|app| app.cpu_throttled).sum();
        let scale = (RISE_OF_NODE * capacity_cores / wanted).min(1.0);
        for app in apps {
            if let Some(container) = self.containers.get_mut(&app.name) {
                container.quota += app.cpu_throttled * scale;
            }
        }
    }

    /// Between the marks: `(u − high) / (alarm − high)` of a tenth of what was borrowed goes.
    fn fall(&mut self, utilisation: f64) {
        let share = (utilisation - HIGH) / (ALARM - HIGH) * FALL;
        for container in self.containers.values_mut() {
            container.quota += share * (container.limit - container.quota).min(0.0);
        }
    }

    /// What the node is above the alarm mark comes from the borrowers, each in proportion to what it borrowed.
    fn give_back(&mut self, excess_cores: f64) {
        let borrowed: f64 = self
            .containers
            .values()
            .map(|one| (one.quota - one.limit).max(0.0))
            .sum();
        if borrowed <= 0.0 {
            return;
        }
        let share = (excess_cores / borrowed).min(1.0);
        for container in self.containers.values_mut() {
            container.quota -= share * (container.quota - container.limit).max(0.0);
        }
    }
}

impl Rule for QuotaTurbo {
    fn name(&self) -> &'static str {
        "quota-turbo"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let at_s = seen.at.boot.seconds();
        let utilisation = seen.utilisation();
        self.utilisation.push(at_s, utilisation);
        let limited: Vec<&AppSeen> = seen
            .apps
            .iter()
            .filter(|app| app.cpu_limit_cores.is_finite())
            .collect();
        self.containers
            .retain(|name, _| limited.iter().any(|app| app.name == *name));
        for app in &limited {
            let limit = app.cpu_limit_cores;
            let container = self
                .containers
                .entry(app.name.clone())
                .or_insert_with(|| Container {
                    limit,
                    quota: limit,
                    saved: Window::new(PERIODS),
                });
            container.limit = limit;
            container.saved.push(at_s, limit - app.cpu_cores);
        }
        if utilisation > ALARM {
            self.give_back((utilisation - ALARM) * seen.capacity_cores);
        } else if utilisation > HIGH {
            self.fall(utilisation);
        } else if self.is_calm() {
            let throttled: Vec<&AppSeen> = limited
                .into_iter()
                .filter(|app| app.cpu_throttled > 0.0)
                .collect();
            self.rise(&throttled, seen.capacity_cores);
        }
        for container in self.containers.values_mut() {
            let allowed = container.limit + container.saved.values().sum::<f64>().max(0.0);
            let largest = (container.limit * LARGEST_FACTOR).min(allowed);
            container.quota = container
                .quota
                .clamp(container.limit, largest.max(container.limit));
        }
        let quotas = self
            .containers
            .iter()
            .map(|(name, one)| (name.clone(), one.quota));
        Decision {
            cpu_cores: quotas.collect(),
            ..Decision::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::{app, close, seen};

    fn given(rule: &mut QuotaTurbo, second: u64, others: f64, throttled: f64) -> f64 {
        let mut web = app("web", 0.5, 1.0);
        web.cpu_throttled = throttled;
        let decision = rule.step(&seen(second, vec![web, app("others", others, f64::INFINITY)]));
        decision.cpu_cores[&AppName::new("web")]
    }

    #[test]
    fn a_throttled_one_rises_by_at_most_a_percent_of_the_node() {
        let mut rule = QuotaTurbo::default();
        close(given(&mut rule, 0, 1.0, 0.0), 1.0);
        close(given(&mut rule, 1, 1.0, 0.01), 1.01);
        close(given(&mut rule, 2, 1.0, 3.0), 1.01 + 0.04);
    }

    #[test]
    fn it_falls_slowly_above_the_high_mark_and_at_once_above_the_alarm() {
        let mut rule = QuotaTurbo::default();
        (0..10).for_each(|second| {
            given(&mut rule, second, 1.0, 3.0);
        });
        // 1.4 of 1; the node at 70 %: half of a tenth of 0.4 goes.
        close(given(&mut rule, 10, 2.3, 3.0), 1.4 - 0.5 * 0.1 * 0.4);
        // At 81 %: one percent of four cores goes.
        close(given(&mut rule, 11, 2.74, 3.0), 1.38 - 0.04);
    }

    #[test]
    fn a_restless_node_raises_nothing() {
        let mut rule = QuotaTurbo::default();
        given(&mut rule, 0, 0.5, 0.0);
        close(given(&mut rule, 1, 1.0, 3.0), 1.0);
        close(given(&mut rule, 60, 1.0, 3.0), 1.04);
    }

    #[test]
    fn nobody_gets_more_than_twice_the_limit_or_what_was_saved() {
        let mut rule = QuotaTurbo::default();
        let most = (0..100)
            .map(|second| given(&mut rule, second, 1.0, 3.0))
            .fold(0.0, f64::max);
        close(most, 2.0);
        // Used as much as the limit: nothing was saved, nothing is lent.
        let mut full = app("web", 1.0, 1.0);
        full.cpu_throttled = 1.0;
        let decision = QuotaTurbo::default().step(&seen(0, vec![full]));
        close(decision.cpu_cores[&AppName::new("web")], 1.0);
    }
}

//! What tidegate may cost, and what is shed when it costs more.
//!
//! A decision of its own CPU and memory, with hysteresis: it takes several looks over the budget to shed
//! one more thing, and many well below it to take one back. What is shed, in order: training, then
//! maps between events, then the slow sweeps. Sampling itself is never shed. Pure; the caller acts.

use serde::{Deserialize, Serialize};

/// Highest level: everything but the sample is shed.
pub const MOST_SHED: u8 = 3;

/// Bounds of tidegate's own use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetLimits {
    /// CPU cores, as a mean over the looks.
    pub cpu_cores: f64,
    /// Resident bytes.
    pub memory_bytes: f64,
    /// Looks over the budget before the next thing is shed.
    pub looks_to_shed: u32,
    /// Looks below the budget before one is taken back.
    pub looks_to_return: u32,
    /// Share of the budget below which a look counts as below.
    pub return_share: f64,
}

impl Default for BudgetLimits {
    fn default() -> Self {
        Self {
            cpu_cores: 0.25,
            memory_bytes: 512.0 * 1024.0 * 1024.0,
            looks_to_shed: 5,
            looks_to_return: 60,
            return_share: 0.7,
        }
    }
}

/// The state of the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    limits: BudgetLimits,
    level: u8,
    over: u32,
    under: u32,
}

impl Budget {
    /// Nothing shed.
    pub fn new(limits: BudgetLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// The level now: 0 nothing, 1 training, 2 maps, 3 slow sweeps.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Takes one look (cores, resident bytes; NaN is no look) and gives the level.
    pub fn observe(&mut self, cpu_cores: f64, memory_bytes: f64) -> u8 {
        let use_of = |value: f64, limit: f64| if limit > 0.0 { value / limit } else { f64::NAN };
        // `max` ignores NaN, so one of the two is enough.
        let share =
            use_of(cpu_cores, self.limits.cpu_cores).max(use_of(memory_bytes, self.limits.memory_bytes));
        if share > 1.0 {
            self.over += 1;
            self.under = 0;
        } else if share < self.limits.return_share {
            self.under += 1;
            self.over = 0;
        } else {
            self.over = 0;
            self.under = 0;
        }
        if self.over >= self.limits.looks_to_shed && self.level < MOST_SHED {
            self.level += 1;
            self.over = 0;
        } else if self.under >= self.limits.looks_to_return && self.level > 0 {
            self.level -= 1;
            self.under = 0;
        }
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uses: &[(f64, u32)], expect: u8) {
        let mut budget = Budget::new(BudgetLimits {
            cpu_cores: 0.1,
            ..BudgetLimits::default()
        });
        for (cores, looks) in uses {
            for _ in 0..*looks {
                budget.observe(*cores, 1e6);
            }
        }
        assert_eq!(budget.level(), expect, "{uses:?}");
    }

    #[test]
    fn shedding_needs_persistence_and_returning_more_of_it() {
        check(&[(0.05, 100)], 0);
        check(&[(0.2, 4)], 0);
        check(&[(0.2, 4), (0.05, 1), (0.2, 4)], 0);
        check(&[(0.2, 5)], 1);
        check(&[(0.2, 500)], MOST_SHED);
        check(&[(0.2, 5), (0.09, 500)], 1);
        check(&[(0.2, 5), (0.05, 59)], 1);
        check(&[(0.2, 5), (0.05, 60)], 0);
        check(&[(f64::NAN, 100)], 0);
    }

    #[test]
    fn memory_alone_is_enough() {
        let mut budget = Budget::new(BudgetLimits::default());
        for _ in 0..5 {
            budget.observe(f64::NAN, 1e12);
        }
        assert_eq!(budget.level(), 1);
    }
}

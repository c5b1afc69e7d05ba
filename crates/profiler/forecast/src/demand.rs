//! What an app would use if nothing held it back.
//!
//! Usage is the demand while the app is free; while it is throttled, waiting, or at its limit, usage is only a
//! lower bound. What was seen while free then fills in (`free`). Where it was never seen above the bound, the bound is
//! all that is said (`censored`). What is said of the last minutes is a distribution (`recent`).
//!
//! An app that takes whatever it is allowed is *elastic* (`elastic`). Its waiting is no contention.

mod elastic;
mod free;
mod recent;

use elastic::{Elastic, Shown};
use free::Free;
use recent::Recent;
use serde::{Deserialize, Serialize};
use tidegate_types::{Field, Quantiles, Row};

/// Throttled less than this share of time is free.
const FREE_WAITING: f64 = 0.03;
/// So is waiting for CPUs less than this: on a busy host everybody waits a little, and is served all the same.
const FREE_STALLED: f64 = 0.1;
/// Usage above this share of the limit is at the limit.
pub(crate) const AT_LIMIT: f64 = 0.95;
/// Throttled here and there but below this share of the limit, all that was asked for was served within the second.
const NEAR_LIMIT: f64 = 0.9;
/// Waiting for CPUs from this share of time on, something may be left over at the end of the second.
const HELD_WAITING: f64 = 0.2;

/// One estimate of demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Demand {
    /// Cores.
    pub(crate) cores: f64,
    /// True where `cores` is only a lower bound.
    pub(crate) censored: bool,
}

/// What is remembered of one app's demand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AppDemand {
    /// Last usage in cores.
    pub(crate) usage_cores: Option<f64>,
    /// Limit in cores, where there is a finite one.
    pub(crate) limit_cores: Option<f64>,
    /// The limit as it was when nobody of ours had raised or lowered it.
    pub(crate) standing_limit_cores: Option<f64>,
    /// Share of time throttled by its own limit, at most 1.
    pub(crate) throttled: Option<f64>,
    /// Last bytes of memory.
    pub(crate) memory_bytes: Option<f64>,
    /// Last bytes per second on all disks.
    pub(crate) disk_bytes_per_s: f64,
    /// Last received and sent bytes per second.
    pub(crate) net_bytes_per_s: [f64; 2],
    /// Estimate of the demand for CPU.
    pub(crate) demand: Demand,
    free: Free,
    recent: Recent,
    elastic: Elastic,
}

/// Share of time that the group of `row` was throttled by its own limit, at most 1.
pub(crate) fn throttled_share(row: &Row) -> Option<f64> {
    row.get(Field::CpuThrottled)
        .or_else(|| row.get(Field::CpuThrottledPeriods))
        .filter(|share| share.is_finite())
        .map(|share| share.clamp(0.0, 1.0))
}

/// What was measured and is a number that can be reckoned with.
pub(crate) fn finite(row: &Row, field: Field) -> Option<f64> {
    row.get(field).filter(|value| value.is_finite())
}

impl AppDemand {
    /// Takes in the app's row. `held` is the share of time that an ancestor's limit held it; `leased` says
    /// that a lease on its limit is in effect.
    pub(crate) fn observe(&mut self, row: &Row, interval_s: f64, held: f64, leased: bool) {
        self.usage_cores = finite(row, Field::CpuUsage).map(|usage| usage.max(0.0));
        self.limit_cores = finite(row, Field::CpuLimit).filter(|limit| *limit > 0.0);
        if !leased && row.get(Field::CpuLimit).is_some() {
            self.standing_limit_cores = self.limit_cores;
        }
        self.throttled = throttled_share(row);
        self.memory_bytes = finite(row, Field::Memory);
        let rate = |field| finite(row, field).unwrap_or(0.0).max(0.0);
        self.disk_bytes_per_s = rate(Field::AppRead) + rate(Field::AppWrite);
        self.net_bytes_per_s = [rate(Field::AppReceive), rate(Field::AppTransmit)];
        if let Some(usage) = self.usage_cores {
            let waiting = finite(row, Field::CpuWaiting).unwrap_or(0.0);
            self.observe_cpu(usage, waiting, held, interval_s);
        }
    }

    fn observe_cpu(&mut self, usage: f64, waiting: f64, held: f64, interval_s: f64) {
        let over = |share: f64| self.limit_cores.is_some_and(|limit| usage >= share * limit);
        let (at_limit, near_limit) = (over(AT_LIMIT), over(NEAR_LIMIT));
        let throttled = self.throttled.unwrap_or(0.0);
        let free = !at_limit && throttled.max(held) < FREE_WAITING && waiting < FREE_STALLED;
        let left_over = at_limit
            || (throttled >= FREE_WAITING && near_limit)
            || held >= FREE_WAITING
            || waiting - throttled >= HELD_WAITING;
        if free {
            self.free.observe(usage, self.limit_cores, interval_s);
        } else if left_over {
            self.free.held(self.limit_cores.unwrap_or(usage));
        }
        self.demand = match self.free.median_above(usage).filter(|_| !free) {
            Some(cores) => Demand {
                cores,
                censored: false,
            },
            None => Demand {
                cores: usage,
                censored: !free,
            },
        };
        self.recent.observe(usage, left_over);
        let shown = Shown {
            usage_cores: usage,
            limit_cores: self.limit_cores,
            full: at_limit || throttled > FREE_WAITING,
            free,
        };
        self.elastic.observe(&shown, &self.free, interval_s);
    }

    /// Whether the app takes whatever it is allowed.
    pub(crate) fn is_elastic(&self) -> bool {
        self.elastic.yes()
    }

    /// Demand for CPU in the last minutes, in cores, and whether its upper part is only a lower bound; `None` where
    /// usage says it all.
    pub(crate) fn distribution(&self) -> Option<(Quantiles, bool)> {
        let says = self.recent.was_held() || self.is_elastic();
        self.recent.quantiles(&self.free).filter(|_| says)
    }

    /// Forgets the present but not what was learned: nothing was measured for a while.
    pub(crate) fn pause(&mut self) {
        self.usage_cores = None;
        self.throttled = None;
        self.memory_bytes = None;
        self.disk_bytes_per_s = 0.0;
        self.net_bytes_per_s = [0.0; 2];
        self.demand = Demand::default();
        self.recent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::{AppName, Entity};

    fn row(usage: f64, throttled: f64, limit: f64) -> Row {
        let mut row = Row::empty(Entity::App(AppName::new("web")));
        row.set(Field::CpuUsage, usage);
        row.set(Field::CpuThrottled, throttled);
        row.set(Field::CpuLimit, limit);
        row
    }

    #[test]
    fn demand_under_a_limit_is_filled_in_from_what_was_seen_free() {
        let mut app = AppDemand::default();
        for second in 0..600 {
            let usage = if second % 2 == 0 { 0.9 } else { 0.8 };
            app.observe(&row(usage, 0.0, f64::INFINITY), 1.0, 0.0, false);
        }
        assert_eq!(app.distribution(), None, "usage says it all");
        for _ in 0..60 {
            app.observe(&row(0.3, 0.7, 0.3), 1.0, 0.0, false);
        }
        assert!(!app.demand.censored);
        assert!((app.demand.cores / 0.85 - 1.0).abs() < 0.2, "{:?}", app.demand);
        let (demand, censored) = app.distribution().expect("held");
        assert!(!censored && (demand.q50 / 0.85 - 1.0).abs() < 0.1, "{demand:?}");
        assert!(!app.is_elastic());
    }

    #[test]
    fn an_app_seen_only_under_its_limit_is_a_lower_bound_and_not_elastic() {
        let mut app = AppDemand::default();
        for _ in 0..1000 {
            app.observe(&row(0.3, 0.7, 0.3), 1.0, 0.0, false);
        }
        let bound = Demand {
            cores: 0.3,
            censored: true,
        };
        assert_eq!(app.demand, bound);
        assert!(app.distribution().expect("held").1);
        assert!(!app.is_elastic());
    }

    #[test]
    fn what_fills_every_limit_is_elastic_and_what_leaves_slack_is_not() {
        let mut spinner = AppDemand::default();
        for second in 0..200 {
            let limit = if second < 100 { 0.5 } else { 1.0 };
            spinner.observe(&row(limit, 1.0 - limit * 0.5, limit), 1.0, 0.0, false);
        }
        assert!(spinner.is_elastic());
        for _ in 0..30 {
            spinner.observe(&row(0.2, 0.0, 1.0), 1.0, 0.0, false);
        }
        assert!(!spinner.is_elastic());
        let mut whole = AppDemand::default();
        for _ in 0..150 {
            whole.observe(&row(1.995, 0.0, f64::INFINITY), 1.0, 0.0, false);
        }
        assert!(whole.is_elastic());
    }

    #[test]
    fn an_app_that_was_seen_to_ask_for_more_than_both_its_limits_is_not_elastic() {
        let mut app = AppDemand::default();
        for _ in 0..60 {
            app.observe(&row(0.8, 0.0, f64::INFINITY), 1.0, 0.0, false);
        }
        for limit in [0.3, 0.5] {
            for _ in 0..200 {
                app.observe(&row(limit, 0.6, limit), 1.0, 0.0, false);
            }
        }
        assert!(!app.is_elastic());
    }
}

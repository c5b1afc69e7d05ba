//! What an app would use if nothing held it back.
//!
//! Usage is the demand while the app is free; while it is throttled, waiting, or at its limit, usage is only a
//! lower bound. The distribution seen while free then fills in: of what it used to ask for, the part that is
//! at least the bound. Where it was never seen above the bound, the bound is all that is said (`censored`).
//!
//! An app that takes whatever it is allowed is *elastic*: it used all of two clearly different limits, or sat
//! on a whole number of cores for long, and never left slack. Its waiting is no contention.

use serde::{Deserialize, Serialize};
use tidegate_types::{Field, Row};

/// Bins of the free distribution; with `BIN_RATIO` they reach from `BIN_FIRST_CORES` to some 1,500 cores.
const BINS: usize = 64;
const BIN_FIRST_CORES: f64 = 0.004;
const BIN_RATIO: f64 = 1.22;
/// What was seen free fades with this many seconds, so that last week's size is not believed for ever.
const FREE_MEMORY_S: f64 = 86_400.0;
/// Throttled or waiting less than this share of time is free.
const FREE_WAITING: f64 = 0.03;
/// Usage above this share of the limit is at the limit.
pub(crate) const AT_LIMIT: f64 = 0.95;
/// Free seconds that must lie above a bound before they fill in for it.
const FILL_SECONDS: f64 = 5.0;

/// Seconds of taking everything before an app is elastic; of sitting on whole cores, longer.
const ELASTIC_FULL_S: f64 = 60.0;
const ELASTIC_WHOLE_CORES_S: f64 = 120.0;
/// The two limits that it filled must differ by this factor.
const ELASTIC_LEVELS: f64 = 1.5;
/// Memory of the shares of full and slack seconds.
const ELASTIC_MEMORY_S: f64 = 120.0;
/// More slack than this share of time is not elastic.
const ELASTIC_SLACK: f64 = 0.05;
/// Usage within this share of a whole number of cores counts as whole.
const WHOLE_CORES: f64 = 0.02;

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
    free: Vec<f32>,
    elastic: Elastic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Elastic {
    yes: bool,
    full_share: f64,
    slack_share: f64,
    full_s: f64,
    whole_cores_s: f64,
    lowest_cores: f64,
    highest_cores: f64,
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

fn bin_of(cores: f64) -> usize {
    ((cores / BIN_FIRST_CORES).max(1.0).ln() / BIN_RATIO.ln()).clamp(0.0, BINS as f64 - 1.0) as usize
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
        let Some(usage) = self.usage_cores else { return };
        let waiting = finite(row, Field::CpuWaiting).unwrap_or(0.0);
        let at_limit = self.limit_cores.is_some_and(|limit| usage >= AT_LIMIT * limit);
        let throttled = self.throttled.unwrap_or(0.0);
        let free = !at_limit && throttled.max(waiting).max(held) < FREE_WAITING;
        if free {
            self.remember_free(usage, interval_s);
            self.demand = Demand {
                cores: usage,
                censored: false,
            };
        } else {
            self.demand = self.fill_in(usage);
        }
        self.elastic.observe(
            usage,
            self.limit_cores,
            at_limit || throttled > FREE_WAITING,
            free,
            interval_s,
        );
    }

    fn remember_free(&mut self, usage: f64, interval_s: f64) {
        if self.free.is_empty() {
            self.free = vec![0.0; BINS];
        }
        // Adding a growing weight in place of fading every bin; the scale is taken down when it gets large.
        let bin = &mut self.free[bin_of(usage)];
        *bin += interval_s as f32;
        let total: f32 = self.free.iter().sum();
        if f64::from(total) > FREE_MEMORY_S {
            self.free.iter_mut().for_each(|weight| *weight *= 0.5);
        }
    }

    /// The median of what it asked for when free, given that it asks for at least `bound` cores.
    fn fill_in(&self, bound: f64) -> Demand {
        let lower = Demand {
            cores: bound,
            censored: true,
        };
        let first = bin_of(bound);
        let Some(above) = self.free.get(first..) else {
            return lower;
        };
        let total: f32 = above.iter().sum();
        if f64::from(total) < FILL_SECONDS {
            return lower;
        }
        let mut left = total / 2.0;
        for (offset, weight) in above.iter().enumerate() {
            left -= weight;
            if left <= 0.0 {
                let middle = BIN_FIRST_CORES * BIN_RATIO.powf((first + offset) as f64 + 0.5);
                return Demand {
                    cores: middle.max(bound),
                    censored: false,
                };
            }
        }
        lower
    }

    /// Whether the app takes whatever it is allowed.
    pub(crate) fn is_elastic(&self) -> bool {
        self.elastic.yes
    }

    /// Forgets the present but not what was learned: nothing was measured for a while.
    pub(crate) fn pause(&mut self) {
        self.usage_cores = None;
        self.throttled = None;
        self.demand = Demand::default();
    }
}

impl Elastic {
    fn observe(&mut self, usage: f64, limit: Option<f64>, full: bool, free: bool, interval_s: f64) {
        let whole = usage.round() >= 1.0 && (usage / usage.round() - 1.0).abs() < WHOLE_CORES;
        let pace = (interval_s / ELASTIC_MEMORY_S).min(1.0);
        let towards = |share: &mut f64, is: bool| *share += pace * (f64::from(u8::from(is)) - *share);
        towards(&mut self.full_share, full || whole);
        towards(&mut self.slack_share, free && !whole);
        if free && !whole {
            self.full_s = 0.0;
            self.whole_cores_s = 0.0;
            (self.lowest_cores, self.highest_cores) = (0.0, 0.0);
        } else if full {
            self.full_s += interval_s;
            if let Some(limit) = limit {
                let first = self.lowest_cores == 0.0;
                self.lowest_cores = if first {
                    limit
                } else {
                    self.lowest_cores.min(limit)
                };
                self.highest_cores = self.highest_cores.max(limit);
            }
        }
        if whole {
            self.whole_cores_s += interval_s;
        }
        let filled_two = self.full_s >= ELASTIC_FULL_S
            && self.lowest_cores > 0.0
            && self.highest_cores >= ELASTIC_LEVELS * self.lowest_cores;
        if filled_two || self.whole_cores_s >= ELASTIC_WHOLE_CORES_S {
            self.yes = true;
        }
        if self.slack_share > ELASTIC_SLACK {
            self.yes = false;
        }
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
        for _ in 0..60 {
            app.observe(&row(0.3, 0.7, 0.3), 1.0, 0.0, false);
        }
        assert!(!app.demand.censored);
        assert!((app.demand.cores / 0.85 - 1.0).abs() < 0.2, "{:?}", app.demand);
        assert!(!app.is_elastic());
    }

    #[test]
    fn an_app_seen_only_under_its_limit_is_a_lower_bound_and_not_elastic() {
        let mut app = AppDemand::default();
        for _ in 0..1000 {
            app.observe(&row(0.3, 0.7, 0.3), 1.0, 0.0, false);
        }
        assert_eq!(
            app.demand,
            Demand {
                cores: 0.3,
                censored: true
            }
        );
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
}

//! PARTIES: moves one unit of one resource at a time to the app with the least slack.
//!
//! Source: `PARTIES.py`. Slack is (target − latency) / target. A record has no latencies: waiting for CPU stands
//! in for latency against a target of 5 % of the time, a step is a second (not 100 ms), and only cores are moved.
//! The law itself knows the three resources and their order. The first resource is cores, not a random one.

use super::{AppSeen, Decision, Rule, Seen};
use std::collections::BTreeMap;
use tidegate_types::AppName;

const SLACK_TOO_SMALL: f64 = 0.05;
const SLACK_AMPLE: f64 = 0.2;
const WATCH_INTERVALS: u32 = 5;
const BLOCKED_INTERVALS: u32 = 100;
const RESOURCES: u8 = 3;
const UNIT_CORES: f64 = 0.25;
const LARGEST_WAITING: f64 = 0.05;

/// One app's slack, now and over the last second.
#[derive(Clone, Debug, PartialEq)]
pub struct Slack {
    /// Whose.
    pub app: AppName,
    /// (target − latency) / target.
    pub now: f64,
    /// The same of the mean latency of a second.
    pub mean: f64,
}

impl Slack {
    fn is_too_small(&self) -> bool {
        self.now < SLACK_TOO_SMALL && self.mean < SLACK_TOO_SMALL
    }

    fn is_ample(&self) -> bool {
        self.now > SLACK_AMPLE && self.mean > SLACK_AMPLE
    }
}

/// What the law wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum PartiesMove {
    /// One unit more of a resource (0 cores, 1 frequency, 2 cache) for `app`; from the free pool, or else from
    /// the app named.
    Up {
        /// Who gains.
        app: AppName,
        /// Which resource.
        resource: u8,
        /// Who has the most slack.
        from: Option<AppName>,
    },
    /// One unit less for `app`.
    Down {
        /// Who gives.
        app: AppName,
        /// Which resource.
        resource: u8,
    },
    /// The last downsizing was too much: back.
    Revert {
        /// Who gets it back.
        app: AppName,
        /// Which resource.
        resource: u8,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Watch {
    Nothing,
    /// After an upsizing: does its slack rise?
    Up {
        app: AppName,
        slack: f64,
        better: u32,
        seen: u32,
    },
    /// After a downsizing: does anybody's slack get too small?
    Down {
        app: AppName,
        worse: u32,
        seen: u32,
    },
}

/// The rule and its law.
#[derive(Clone, Debug)]
pub struct Parties {
    watch: Watch,
    resource: BTreeMap<AppName, u8>,
    blocked: BTreeMap<AppName, u32>,
    cores: BTreeMap<AppName, f64>,
    before: BTreeMap<AppName, f64>,
}

impl Default for Parties {
    fn default() -> Self {
        Self {
            watch: Watch::Nothing,
            resource: BTreeMap::new(),
            blocked: BTreeMap::new(),
            cores: BTreeMap::new(),
            before: BTreeMap::new(),
        }
    }
}

impl Parties {
    /// One interval: what should move, if anything.
    pub fn interval(&mut self, slacks: &[Slack]) -> Option<PartiesMove> {
        self.blocked.retain(|_, left| {
            *left = left.saturating_sub(1);
            *left > 0
        });
        match std::mem::replace(&mut self.watch, Watch::Nothing) {
            Watch::Up {
                app,
                slack,
                better,
                seen,
            } => {
                let now = slacks.iter().find(|entry| entry.app == app);
                let better = better + u32::from(now.is_some_and(|entry| entry.now > slack));
                self.watched_up(app, slack, better, seen + 1, slacks)
            }
            Watch::Down { app, worse, seen } => {
                let small = slacks.iter().any(|entry| entry.now < SLACK_TOO_SMALL);
                self.watched_down(app, worse + u32::from(small), seen + 1)
            }
            Watch::Nothing => self.decide(slacks),
        }
    }

    fn watched_up(
        &mut self,
        app: AppName,
        slack: f64,
        better: u32,
        seen: u32,
        slacks: &[Slack],
    ) -> Option<PartiesMove> {
        if seen < WATCH_INTERVALS {
            self.watch = Watch::Up {
                app,
                slack,
                better,
                seen,
            };
            return None;
        }
        if better * 2 <= seen {
            // Cores, then cache, then frequency, then cores.
            let next = match self.resource_of(&app) {
                0 => 2,
                2 => 1,
                _ => 0,
            };
            self.resource.insert(app, next % RESOURCES);
        }
        self.decide(slacks)
    }

    fn watched_down(&mut self, app: AppName, worse: u32, seen: u32) -> Option<PartiesMove> {
        if seen < WATCH_INTERVALS {
            self.watch = Watch::Down { app, worse, seen };
            return None;
        }
        if worse * 2 <= seen {
            return None;
        }
        self.blocked.insert(app.clone(), BLOCKED_INTERVALS);
        let resource = self.resource_of(&app);
        Some(PartiesMove::Revert { app, resource })
    }

    fn resource_of(&self, app: &AppName) -> u8 {
        self.resource.get(app).copied().unwrap_or(0)
    }

    fn decide(&mut self, slacks: &[Slack]) -> Option<PartiesMove> {
        let by_slack = |left: &&Slack, right: &&Slack| left.now.total_cmp(&right.now);
        let worst = slacks
            .iter()
            .filter(|slack| slack.is_too_small())
            .min_by(by_slack);
        if let Some(worst) = worst {
            let others = slacks.iter().filter(|slack| slack.app != worst.app);
            let from = others.max_by(by_slack).map(|slack| slack.app.clone());
            self.watch = Watch::Up {
                app: worst.app.clone(),
                slack: worst.now,
                better: 0,
                seen: 0,
            };
            let (app, resource) = (worst.app.clone(), self.resource_of(&worst.app));
            return Some(PartiesMove::Up { app, resource, from });
        }
        let free_to_give = |slack: &&Slack| slack.is_ample() && !self.blocked.contains_key(&slack.app);
        let ample = slacks.iter().filter(free_to_give).max_by(by_slack)?;
        let app = ample.app.clone();
        self.watch = Watch::Down {
            app: app.clone(),
            worse: 0,
            seen: 0,
        };
        let resource = self.resource_of(&app);
        Some(PartiesMove::Down { app, resource })
    }

    fn slack(&mut self, app: &AppSeen) -> Option<Slack> {
        let waiting = Some(app.cpu_waiting).filter(|waiting| !waiting.is_nan())?;
        let before = self.before.insert(app.name.clone(), waiting).unwrap_or(waiting);
        let slack = |waiting: f64| (LARGEST_WAITING - waiting) / LARGEST_WAITING;
        Some(Slack {
            app: app.name.clone(),
            now: slack(waiting),
            mean: slack(f64::midpoint(waiting, before)),
        })
    }

    fn carry_out(&mut self, wanted: PartiesMove, capacity_cores: f64) {
        let free = capacity_cores - self.cores.values().sum::<f64>();
        let mut change = |app: &AppName, cores: f64| {
            if let Some(held) = self.cores.get_mut(app) {
                *held = (*held + cores).max(UNIT_CORES);
            }
        };
        match wanted {
            PartiesMove::Up {
                app,
                resource: 0,
                from,
            } => {
                change(&app, UNIT_CORES);
                if let Some(from) = from.filter(|_| free < UNIT_CORES) {
                    change(&from, -UNIT_CORES);
                }
            }
            PartiesMove::Down { app, resource: 0 } => change(&app, -UNIT_CORES),
            PartiesMove::Revert { app, resource: 0 } => change(&app, UNIT_CORES),
            _ => {}
        }
    }
}

impl Rule for Parties {
    fn name(&self) -> &'static str {
        "parties"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        self.cores
            .retain(|name, _| seen.apps.iter().any(|app| app.name == *name));
        let equal = seen.capacity_cores / seen.apps.len().max(1) as f64;
        for app in &seen.apps {
            let start = app.cpu_limit_cores.min(equal);
            self.cores.entry(app.name.clone()).or_insert(start);
        }
        let slacks: Vec<Slack> = seen.apps.iter().filter_map(|app| self.slack(app)).collect();
        if let Some(wanted) = self.interval(&slacks) {
            self.carry_out(wanted, seen.capacity_cores);
        }
        Decision {
            cpu_cores: self.cores.clone(),
            ..Decision::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slacks(values: &[(&str, f64)]) -> Vec<Slack> {
        let slack = |(name, value): &(&str, f64)| Slack {
            app: AppName::new(name),
            now: *value,
            mean: *value,
        };
        values.iter().map(slack).collect()
    }

    fn up(name: &str, resource: u8, from: &str) -> PartiesMove {
        PartiesMove::Up {
            app: AppName::new(name),
            resource,
            from: Some(AppName::new(from)),
        }
    }

    #[test]
    fn the_worst_gets_from_the_best_and_another_resource_when_it_does_not_help() {
        let mut law = Parties::default();
        let bad = slacks(&[("a", -0.5), ("b", 0.1), ("c", 0.6)]);
        assert_eq!(law.interval(&bad), Some(up("a", 0, "c")));
        for _ in 0..4 {
            assert_eq!(law.interval(&bad), None, "it watches");
        }
        assert_eq!(
            law.interval(&bad),
            Some(up("a", 2, "c")),
            "not better: the next resource"
        );
        let better = slacks(&[("a", -0.1), ("b", 0.1), ("c", 0.6)]);
        for _ in 0..4 {
            assert_eq!(law.interval(&better), None);
        }
        assert_eq!(
            law.interval(&better),
            Some(up("a", 2, "c")),
            "better: the same resource again"
        );
    }

    #[test]
    fn a_downsizing_that_hurts_is_taken_back_and_blocked() {
        let mut law = Parties::default();
        let fine = slacks(&[("a", 0.5), ("b", 0.15)]);
        let down = Some(PartiesMove::Down {
            app: AppName::new("a"),
            resource: 0,
        });
        assert_eq!(law.interval(&fine), down);
        let hurt = slacks(&[("a", 0.0), ("b", 0.15)]);
        for _ in 0..4 {
            assert_eq!(law.interval(&hurt), None);
        }
        let revert = Some(PartiesMove::Revert {
            app: AppName::new("a"),
            resource: 0,
        });
        assert_eq!(law.interval(&hurt), revert);
        for _ in 0..99 {
            assert_eq!(law.interval(&fine), None, "blocked");
        }
        assert_eq!(law.interval(&fine), down);
    }
}

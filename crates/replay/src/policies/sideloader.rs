//! Sideloader: side jobs get what is idle, less a headroom, and are frozen when the host is short.
//!
//! Source: `rd-agent`'s `sideloader.py` and `sideloader.rs`. Side jobs are the batch apps, which share what
//! there is equally. The headroom of 20 % and the 10-second margin as idle CPU are from memory. Left out: the
//! repair of weights, and kills, which are reported as a freeze.

use super::window::Window;
use super::{Decision, Rule, Seen};
use std::collections::BTreeSet;
use tidegate_types::AppName;

const HEADROOM: f64 = 0.20;
const FLOOR: f64 = 0.05;
const OVERLOAD_MARGIN: f64 = 0.10;
const OVERLOAD_MEMORY_WAITING: f64 = 0.50;
const CRITICAL_SWAP_FREE: f64 = 0.10;
const CRITICAL_WAITING: f64 = 0.75;
const HOLD_S: f64 = 10.0;
const LONGEST_HOLD_S: f64 = 30.0;
const HOLD_DECAY: f64 = 0.5;

/// The rule.
#[derive(Clone, Debug)]
pub struct Sideloader {
    side: BTreeSet<AppName>,
    side_use: Window,
    idle: Window,
    memory_minute: Window,
    memory_minutes: Window,
    io_minutes: Window,
    hold_s: f64,
    frozen_until_s: f64,
}

impl Sideloader {
    /// These are the side jobs.
    pub fn new(side: BTreeSet<AppName>) -> Self {
        Self {
            side,
            side_use: Window::new(5.0),
            idle: Window::new(10.0),
            memory_minute: Window::new(60.0),
            memory_minutes: Window::new(300.0),
            io_minutes: Window::new(300.0),
            hold_s: 0.0,
            frozen_until_s: f64::NEG_INFINITY,
        }
    }

    fn observe(&mut self, seen: &Seen) {
        let at_s = seen.at.boot.seconds();
        let side = seen.apps.iter().filter(|app| self.side.contains(&app.name));
        let used: f64 = side
            .map(|app| app.cpu_cores)
            .filter(|cores| !cores.is_nan())
            .sum();
        self.side_use.push(at_s, used / seen.capacity_cores);
        self.idle.push(at_s, (1.0 - seen.utilisation()).max(0.0));
        self.memory_minute.push(at_s, seen.memory_waiting);
        self.memory_minutes.push(at_s, seen.memory_waiting);
        self.io_minutes.push(at_s, seen.io_waiting);
    }

    /// Share of the host that side jobs may use.
    fn available(&self) -> f64 {
        let careful = |window: &Window| {
            let short = window.mean_of_last(1.0).unwrap_or(0.0);
            window.mean_of_last(5.0).unwrap_or(0.0).min(short)
        };
        (careful(&self.side_use) + careful(&self.idle) - HEADROOM).max(FLOOR)
    }

    fn overloaded(&self, seen: &Seen) -> bool {
        let high = |window: &Window, bound: f64| window.mean().is_some_and(|mean| mean >= bound);
        let margin = self.idle.mean().unwrap_or(1.0) + self.side_use.mean().unwrap_or(0.0);
        margin < OVERLOAD_MARGIN
            || high(&self.memory_minute, OVERLOAD_MEMORY_WAITING)
            || seen.swap_free <= CRITICAL_SWAP_FREE
            || high(&self.memory_minutes, CRITICAL_WAITING)
            || high(&self.io_minutes, CRITICAL_WAITING)
    }
}

impl Rule for Sideloader {
    fn name(&self) -> &'static str {
        "sideloader"
    }

    fn step(&mut self, seen: &Seen) -> Decision {
        let at_s = seen.at.boot.seconds();
        self.observe(seen);
        let frozen = at_s < self.frozen_until_s;
        if !frozen && self.overloaded(seen) {
            self.hold_s = (self.hold_s + HOLD_S).min(LONGEST_HOLD_S);
            self.frozen_until_s = at_s + self.hold_s;
        } else if !frozen {
            self.hold_s = (self.hold_s - HOLD_DECAY * seen.interval_s).max(0.0);
        }
        let share = if at_s < self.frozen_until_s {
            0.0
        } else {
            self.available()
        };
        let side: Vec<_> = seen
            .apps
            .iter()
            .filter(|app| self.side.contains(&app.name))
            .collect();
        let each = share * seen.capacity_cores / side.len().max(1) as f64;
        Decision {
            cpu_cores: side.into_iter().map(|app| (app.name.clone(), each)).collect(),
            ..Decision::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::{app, close, seen};

    fn rule() -> Sideloader {
        Sideloader::new(BTreeSet::from([AppName::new("side")]))
    }

    fn given(rule: &mut Sideloader, second: u64, side: f64, main: f64) -> f64 {
        let decision = rule.step(&seen(
            second,
            vec![app("main", main, 4.0), app("side", side, 4.0)],
        ));
        decision.cpu_cores[&AppName::new("side")]
    }

    #[test]
    fn it_gets_what_is_idle_and_its_own_less_the_headroom() {
        // Side 1 of 4 cores, idle 2 of 4: 0.25 + 0.5 − 0.2 of 4 cores.
        close(given(&mut rule(), 0, 1.0, 1.0), 0.55 * 4.0);
        close(given(&mut rule(), 0, 0.0, 3.5), FLOOR * 4.0);
    }

    #[test]
    fn the_careful_one_of_five_and_one_second_counts() {
        let mut rule = rule();
        (0..4).for_each(|second| {
            given(&mut rule, second, 1.0, 1.0);
        });
        // Idle: now 3 of 4, but 0.55 on average of the last five; side: 0 now.
        close(given(&mut rule, 4, 0.0, 1.0), (0.55 - 0.2) * 4.0);
    }

    #[test]
    fn a_short_host_freezes_it_longer_each_time() {
        let mut rule = rule();
        close(given(&mut rule, 0, 0.0, 3.9), 0.0);
        close(given(&mut rule, 9, 0.0, 3.9), 0.0);
        assert_eq!(rule.frozen_until_s, 10.0);
        // Still short when it thaws: twenty seconds.
        close(given(&mut rule, 10, 0.0, 3.9), 0.0);
        assert_eq!(rule.frozen_until_s, 30.0);
        let thawed = given(&mut rule, 100, 0.0, 1.0);
        close(thawed, (0.75 - 0.2) * 4.0);
        assert_eq!(rule.hold_s, 19.5);
    }
}

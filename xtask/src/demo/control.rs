//! The rivals, and the witness that watches every arm alike.
//!
//! All arms that act use the same knobs, ceilings and floor ([`Scenario::split`]); they differ only in *when*. The
//! witness reads the limits ten times a second whoever writes them, so that knob changes, false acts and a broken sum
//! are counted the same way for our own daemon as for its rivals.

use super::scenario::{Crowd, Scenario, Span, Split, TENANTS};
use super::stage::{Block, SHARERS, Stage};
use anyhow::Result;
use std::collections::VecDeque;

/// Seconds between looks at the schedule.
const TICK_S: f64 = 0.02;
/// The reactive rule and the witness look every so many ticks: every 100 ms.
const TICKS_PER_POLL: u32 = 5;
/// Polls over which the reactive rule judges usage: one enforcement period is too noisy.
const CALM_POLLS: usize = 5;
/// A tenant is calm when it uses less than this share of its resting limit.
const CALM_SHARE: f64 = 0.8;
/// Slack of the sum that is rounding and no breach, in cores.
const SUM_SLACK_CORES: f64 = 0.005;
/// What the oracle and the metronome allow a limit to take effect, in seconds.
const EFFECT_S: f64 = 0.2;

/// Who decides over the limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Arm {
    /// No limits at all.
    Unlimited,
    /// One split for good.
    Static(Split),
    /// Raised when throttled time was seen, given back when calm for so many seconds.
    Reactive {
        /// Seconds of calm before giving back.
        hold_s: f64,
    },
    /// Raised around every due time by the jitter that was learned, whether or not the crowd comes.
    Metronome,
    /// The daemon.
    Predictive,
    /// Knows every crowd.
    Oracle,
}

impl Arm {
    /// Whether it changes limits as it goes.
    pub(crate) fn acts(self) -> bool {
        !matches!(self, Self::Unlimited | Self::Static(_))
    }
}

/// The limits at one moment, in cores; none where there is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    /// Seconds since the block's zero.
    pub(crate) at_s: f64,
    /// In the order of a split.
    pub(crate) limits: [Option<f64>; 3],
}

/// What the witness saw in one span.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    /// Every poll, in order.
    pub(crate) seen: Vec<Seen>,
    /// Polls at which the limits exceeded the fixed sum.
    pub(crate) breaches: usize,
}

impl Witness {
    /// How often a limit was another one than at the poll before.
    pub(crate) fn changes(&self) -> usize {
        let pairs = self.seen.windows(2);
        pairs
            .map(|pair| {
                pair[0]
                    .limits
                    .iter()
                    .zip(pair[1].limits)
                    .filter(|(old, new)| **old != *new)
                    .count()
            })
            .sum()
    }

    /// When `tenant` had more than at the beginning.
    pub(crate) fn acts(&self, tenant: usize) -> Vec<Span> {
        let limit = |seen: &Seen| seen.limits[tenant].unwrap_or(f64::INFINITY);
        let Some(rest) = self.seen.first().map(limit) else {
            return Vec::new();
        };
        let mut acts: Vec<Span> = Vec::new();
        let mut raised = false;
        for seen in &self.seen {
            let above = limit(seen) > rest + SUM_SLACK_CORES;
            if above && !raised {
                acts.push(Span {
                    start_s: seen.at_s,
                    end_s: seen.at_s,
                });
            }
            if (above || raised)
                && let Some(act) = acts.last_mut()
            {
                act.end_s = seen.at_s;
            }
            raised = above;
        }
        acts
    }

    /// Acts whose crowd did not come before their end, and all acts.
    pub(crate) fn false_acts(&self, crowds: &[Crowd]) -> (usize, usize) {
        let mut counts = (0, 0);
        for tenant in 0..TENANTS.len() {
            for act in self.acts(tenant) {
                let came = crowds
                    .iter()
                    .any(|crowd| crowd.tenant == tenant && crowd.comes && crowd.span().meets(act));
                counts.0 += usize::from(!came);
                counts.1 += 1;
            }
        }
        counts
    }
}

/// Lets `arm` decide from now to the end of `span`, and watches.
pub(crate) fn drive(
    stage: &Stage,
    scenario: &Scenario,
    block: &Block,
    arm: Arm,
    span: Span,
    crowds: &[Crowd],
) -> Result<Witness> {
    match arm {
        Arm::Unlimited => stage.unlimit()?,
        Arm::Static(split) => stage.set(split)?,
        _ => stage.set(scenario.rest)?,
    }
    let mut reactive = Reactive::new(stage)?;
    let mut witness = Witness::default();
    let mut tick = 0_u32;
    let mut hot = [false; 2];
    loop {
        let now_s = span.start_s + f64::from(tick) * TICK_S;
        block.wait_until(now_s);
        if now_s >= span.end_s {
            return Ok(witness);
        }
        let polls = tick.is_multiple_of(TICKS_PER_POLL);
        let wanted = match arm {
            Arm::Oracle | Arm::Metronome => due(arm, scenario, crowds, now_s),
            Arm::Reactive { hold_s } if polls => reactive.poll(stage, scenario, now_s, hold_s)?,
            _ => hot,
        };
        if wanted != hot {
            hot = wanted;
            stage.set(scenario.split(hot))?;
        }
        if polls {
            watch(stage, scenario, arm, now_s, &mut witness)?;
        }
        tick += 1;
    }
}

/// Which tenants the schedule wants raised now.
fn due(arm: Arm, scenario: &Scenario, crowds: &[Crowd], now_s: f64) -> [bool; 2] {
    let mut hot = [false; 2];
    for crowd in crowds {
        let (start_s, end_s) = if arm == Arm::Oracle {
            (crowd.start_s, crowd.span().end_s)
        } else {
            (
                crowd.due_s - scenario.jitter_s,
                crowd.due_s + scenario.jitter_s + crowd.duration_s,
            )
        };
        let wanted = arm == Arm::Metronome || crowd.comes;
        hot[crowd.tenant] |= wanted && start_s - EFFECT_S <= now_s && now_s < end_s + EFFECT_S;
    }
    hot
}

fn watch(stage: &Stage, scenario: &Scenario, arm: Arm, at_s: f64, witness: &mut Witness) -> Result<()> {
    let read = || -> Result<[Option<f64>; 3]> {
        let [north, south, batch] = SHARERS;
        Ok([
            stage.groups.limit(north)?,
            stage.groups.limit(south)?,
            stage.groups.limit(batch)?,
        ])
    };
    let over = |limits: &[Option<f64>; 3]| {
        limits
            .iter()
            .map(|limit| limit.unwrap_or(f64::INFINITY))
            .sum::<f64>()
            > scenario.rest.sum() + SUM_SLACK_CORES
    };
    let mut limits = read()?;
    if arm != Arm::Unlimited && over(&limits) {
        // Three files are not read at one moment: look again before calling it a breach.
        limits = read()?;
        witness.breaches += usize::from(over(&limits));
    }
    witness.seen.push(Seen { at_s, limits });
    Ok(())
}

/// The reactive rule's memory.
struct Reactive {
    tenants: [Watched; 2],
}

#[derive(Default)]
struct Watched {
    throttled_s: f64,
    /// Time and CPU seconds of the latest polls.
    used: VecDeque<(f64, f64)>,
    hot: bool,
    calm_since_s: Option<f64>,
}

impl Reactive {
    fn new(stage: &Stage) -> Result<Self> {
        let mut tenants = [Watched::default(), Watched::default()];
        for (watched, group) in tenants.iter_mut().zip(SHARERS) {
            watched.throttled_s = stage.groups.usage(group)?.throttled_s;
        }
        Ok(Self { tenants })
    }

    fn poll(&mut self, stage: &Stage, scenario: &Scenario, now_s: f64, hold_s: f64) -> Result<[bool; 2]> {
        for (index, watched) in self.tenants.iter_mut().enumerate() {
            let usage = stage.groups.usage(SHARERS[index])?;
            let throttled = usage.throttled_s > watched.throttled_s;
            watched.throttled_s = usage.throttled_s;
            watched.used.push_back((now_s, usage.cpu_s));
            if watched.used.len() > CALM_POLLS + 1 {
                watched.used.pop_front();
            }
            watched.decide(now_s, throttled, scenario.rest.0[index] * CALM_SHARE, hold_s);
        }
        Ok([self.tenants[0].hot, self.tenants[1].hot])
    }
}

impl Watched {
    /// Up at once, down after `hold_s` of calm.
    fn decide(&mut self, now_s: f64, throttled: bool, calm_cores: f64, hold_s: f64) {
        if throttled {
            self.hot = true;
            self.calm_since_s = None;
            return;
        }
        let (Some(oldest), Some(newest)) = (self.used.front(), self.used.back()) else {
            return;
        };
        let elapsed_s = newest.0 - oldest.0;
        let calm = elapsed_s > 0.0 && (newest.1 - oldest.1) / elapsed_s < calm_cores;
        if !calm {
            self.calm_since_s = None;
            return;
        }
        let since_s = *self.calm_since_s.get_or_insert(now_s);
        if now_s - since_s >= hold_s {
            self.hot = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(limits: &[f64]) -> Witness {
        let seen = limits.iter().enumerate().map(|(index, limit)| Seen {
            at_s: index as f64,
            limits: [Some(*limit), Some(0.3), Some(1.3 - limit)],
        });
        Witness {
            seen: seen.collect(),
            breaches: 0,
        }
    }

    fn crowd(start_s: f64) -> Crowd {
        Crowd {
            tenant: 0,
            due_s: start_s,
            start_s,
            duration_s: 2.0,
            comes: true,
        }
    }

    #[test]
    fn an_act_without_its_crowd_is_false() {
        let watched = witness(&[0.3, 0.3, 0.8, 0.8, 0.3, 0.3]);
        assert_eq!(
            watched.acts(0),
            [Span {
                start_s: 2.0,
                end_s: 4.0
            }]
        );
        assert_eq!(watched.changes(), 4);
        assert_eq!(watched.false_acts(&[crowd(3.0)]), (0, 1));
        assert_eq!(watched.false_acts(&[crowd(4.5)]), (1, 1));
        assert_eq!(
            watched.false_acts(&[Crowd {
                comes: false,
                ..crowd(3.0)
            }]),
            (1, 1)
        );
    }

    #[test]
    fn the_reactive_rule_goes_up_at_once_and_down_after_calm() {
        let mut watched = Watched::default();
        let mut poll = |now_s: f64, used_s: f64, throttled| {
            watched.used.push_back((now_s, used_s));
            if watched.used.len() > 2 {
                watched.used.pop_front();
            }
            watched.decide(now_s, throttled, 0.24, 1.0);
            watched.hot
        };
        assert!(!poll(0.0, 0.0, false));
        assert!(poll(1.0, 0.3, true));
        assert!(poll(2.0, 0.8, false));
        assert!(poll(3.0, 0.8, false));
        assert!(!poll(4.0, 0.8, false));
    }

    #[test]
    fn the_oracle_knows_what_the_metronome_guesses() {
        let scenario = Scenario::promised();
        let missing = [Crowd {
            comes: false,
            ..crowd(3.0)
        }];
        assert_eq!(due(Arm::Oracle, &scenario, &missing, 3.5), [false, false]);
        assert_eq!(due(Arm::Metronome, &scenario, &missing, 3.5), [true, false]);
        assert_eq!(due(Arm::Oracle, &scenario, &[crowd(3.0)], 2.9), [true, false]);
        assert_eq!(due(Arm::Oracle, &scenario, &[crowd(3.0)], 5.3), [false, false]);
    }
}

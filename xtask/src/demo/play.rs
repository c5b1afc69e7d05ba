//! One arm in one block, from an empty stage to its numbers.

use super::control::{Arm, drive};
use super::daemon::{Daemon, Options};
use super::measure::{Outcome, measure};
use super::scenario::{Crowd, Scenario, Span};
use super::stage::Stage;
use crate::load::Segment;
use anyhow::Result;

/// Keeps the crowds that the daemon learns from apart from those that are scored.
const PRELUDE_SEED: u64 = 0x7072_656c;

/// How long one block is, and whose luck it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Untreated periods before the scored ones; only the daemon needs them.
    pub(crate) prelude: usize,
    /// Scored periods.
    pub(crate) periods: usize,
    /// What crowds and arrivals are drawn from.
    pub(crate) seed: u64,
}

/// The spans of a block and what happens in them.
pub(crate) struct Script {
    /// Untreated.
    pub(crate) prelude: Span,
    /// Scored; every part has the same luck.
    pub(crate) parts: Vec<Part>,
    /// What the tenants are loaded with.
    pub(crate) loads: [Vec<Segment>; 2],
}

/// One scored span.
pub(crate) struct Part {
    pub(crate) span: Span,
    pub(crate) crowds: Vec<Crowd>,
}

impl Script {
    /// Draws everything in advance: a prelude of so many periods, then parts of so many.
    pub(crate) fn write(scenario: &Scenario, prelude: usize, parts: &[usize], seed: u64) -> Self {
        let early_seed = seed ^ PRELUDE_SEED;
        let mut end_s = 0.0;
        let mut part = |periods: usize, seed: u64| {
            let start_s = end_s;
            end_s += periods as f64 * scenario.period_s;
            let crowds = scenario.crowds(start_s, periods, seed);
            Part {
                span: Span { start_s, end_s },
                crowds,
            }
        };
        let early = part(prelude, early_seed);
        let parts: Vec<Part> = parts.iter().map(|periods| part(*periods, seed)).collect();
        let loads = [0, 1].map(|tenant| {
            let first = scenario.segment(tenant, early.span, &early.crowds, early_seed);
            let others = parts
                .iter()
                .map(|part| scenario.segment(tenant, part.span, &part.crowds, seed));
            std::iter::once(first).chain(others).collect()
        });
        Self {
            prelude: early.span,
            parts,
            loads,
        }
    }
}

/// Plays `arm` and measures its scored span.
pub(crate) fn play(
    stage: &mut Stage,
    scenario: &Scenario,
    arm: Arm,
    plan: Plan,
    options: Option<&Options>,
) -> Result<Outcome> {
    let script = Script::write(scenario, plan.prelude, &[plan.periods], plan.seed);
    let Part { span, crowds } = &script.parts[0];
    stage.set(scenario.rest)?;
    let daemon = match options.filter(|_| arm == Arm::Predictive) {
        Some(options) => Some(Daemon::start(
            stage,
            scenario,
            options,
            &format!("daemon-{}", plan.seed),
        )?),
        None => None,
    };
    let environment = daemon
        .as_ref()
        .map(|daemon| daemon.environment(stage))
        .unwrap_or_default();
    let block = stage.begin(scenario, &script.loads, &environment)?;
    block.wait_until(span.start_s);
    if let Some(daemon) = &daemon {
        daemon.enforce(stage, scenario)?;
    }
    let witness = drive(stage, scenario, &block, arm, *span, crowds)?;
    if let Some(daemon) = daemon {
        let actions = daemon.ask(stage, &["actions"])?;
        let path = stage.folder.join(format!("actions-{}.json", plan.seed));
        std::fs::write(path, serde_json::to_vec_pretty(&actions)?)?;
        daemon.stop()?;
    }
    let record = block.finish()?;
    Ok(measure(scenario, *span, crowds, &record, &witness, arm.acts()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prelude_does_not_change_what_is_scored() {
        let scenario = Scenario::promised();
        let alone = Script::write(&scenario, 0, &[3], 5);
        let after = Script::write(&scenario, 4, &[3, 3], 5);
        for (index, part) in after.parts.iter().enumerate() {
            let shift_s = (4 + 3 * index) as f64 * scenario.period_s;
            for (alone, after) in alone.parts[0].crowds.iter().zip(&part.crowds) {
                assert!((after.start_s - alone.start_s - shift_s).abs() < 1e-9);
                assert_eq!(after.comes, alone.comes);
            }
            assert_eq!(alone.loads[1][1].seed, after.loads[1][index + 1].seed);
        }
    }
}

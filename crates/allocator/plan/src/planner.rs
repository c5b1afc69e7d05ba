//! The planner: what is remembered between two plans.

use crate::policy::Policy;
use serde::{Deserialize, Serialize};
use tidegate_types::{Apps, ContentionMap, Event, Moment, Plan, Sample};

/// Settings that are not the user's policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanConfig {
    /// Seeds the choice of the onsets that are left alone.
    pub seed: u64,
}

/// Turns maps into plans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planner {
    config: PlanConfig,
    paused: bool,
}

impl Planner {
    /// A planner that has done nothing yet.
    pub fn new(config: PlanConfig) -> Self {
        Self {
            config,
            paused: false,
        }
    }

    /// Takes note of what happened since the last plan.
    pub fn on_event(&mut self, _now: Moment, event: &Event) {
        match event {
            Event::Paused => self.paused = true,
            Event::Resumed => self.paused = false,
            _ => {}
        }
    }

    /// What should hold from `now` on.
    pub fn plan(
        &mut self,
        now: Moment,
        _map: &ContentionMap,
        _sample: &Sample,
        _apps: &Apps,
        _policy: &Policy,
    ) -> Plan {
        Plan {
            made: now,
            ..Plan::default()
        }
    }
}

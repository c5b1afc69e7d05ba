//! The hand of the loop: started only when there is something to do, so that observing stays inert.

use super::Message;
use crate::cli::GuardianArguments;
use crate::failure::{Failure, Status};
use crate::place::Folders;
use std::sync::mpsc::SyncSender;
use tidegate_act::guardian::{Guard, GuardianConfig};
use tidegate_act::{ActConfig, ActError, Actuator, Layout, Runner};
use tidegate_types::{Apps, Event, Plan};

/// Writes plans to the kernel, once there is one that asks for a write.
pub(crate) struct Actor {
    folders: Folders,
    outbox: SyncSender<Message>,
    runner: Option<Runner>,
    /// Why nothing is acted on, once that is known.
    refused: bool,
}

/// Where the journal and the knobs are.
pub(crate) fn act_config(folders: &Folders) -> Result<ActConfig, Failure> {
    let layout = Layout::detect().map_err(Failure::environment)?;
    Ok(ActConfig {
        journal: folders.journal(),
        disable: folders.disable(),
        ..ActConfig::of_host(layout)
    })
}

/// What `tidegate guardian` watches.
pub(crate) fn guardian_config(arguments: &GuardianArguments) -> Result<GuardianConfig, Failure> {
    let run = arguments
        .journal
        .parent()
        .map(std::path::Path::to_owned)
        .unwrap_or_default();
    let layout = Layout::detect().map_err(Failure::environment)?;
    let act = ActConfig {
        journal: arguments.journal.clone(),
        disable: run.join("disable"),
        ..ActConfig::of_host(layout)
    };
    Ok(GuardianConfig {
        act,
        daemon_pid: arguments.daemon,
    })
}

impl Actor {
    /// Nothing is opened yet; what happens to writes comes by `outbox`.
    pub(crate) fn new(folders: &Folders, outbox: SyncSender<Message>) -> Self {
        Self {
            folders: folders.clone(),
            outbox,
            runner: None,
            refused: false,
        }
    }

    /// Takes the host's lock and starts the guardian and the writing thread.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        let config = act_config(&self.folders)?;
        let mut actuator = Actuator::open(config).map_err(|error| start_failure(&error))?;
        for entry in actuator.take_recovered() {
            tracing::warn!(
                "left by an earlier daemon: {:?} of {}: {:?}",
                entry.knob,
                entry.app,
                entry.outcome
            );
        }
        actuator.guarded_by(self.guard().map_err(Failure::environment)?);
        let outbox = self.outbox.clone();
        let on_events = move |events| {
            // Only a loop that ended does not listen any more.
            let _ = outbox.send(Message::Events(events));
        };
        self.runner = Some(Runner::start(actuator, on_events).map_err(|error| start_failure(&error))?);
        Ok(())
    }

    fn guard(&self) -> std::io::Result<Guard> {
        let arguments = vec![
            "guardian".to_owned(),
            "--journal".to_owned(),
            self.folders.journal().display().to_string(),
            "--daemon".to_owned(),
            std::process::id().to_string(),
        ];
        Ok(Guard::new(std::env::current_exe()?, arguments))
    }

    /// Makes `plan` hold. The first plan with a lease starts what is needed for acting.
    pub(crate) fn submit(&mut self, plan: &Plan, apps: &Apps) {
        if self.runner.is_none() && !plan.leases.is_empty() && !self.refused {
            self.refused = self
                .start()
                .inspect_err(|failure| tracing::error!("nothing is acted on: {failure}"))
                .is_err();
        }
        let Some(runner) = &self.runner else { return };
        if !runner.submit(plan.clone(), apps.clone()) {
            tracing::error!(
                "the guardian has taken over or the journal failed; nothing is acted on any more"
            );
            self.runner = None;
            self.refused = true;
        }
    }

    /// Gives everything back; the last events come as the answer.
    pub(crate) fn stop(&mut self) -> Vec<Event> {
        let Some(runner) = self.runner.take() else {
            return Vec::new();
        };
        runner.stop().unwrap_or_else(|error| {
            tracing::error!("not everything could be given back: {error}; run `tidegate restore`");
            Vec::new()
        })
    }
}

fn start_failure(error: &ActError) -> Failure {
    match error {
        ActError::AnotherEnforcer { .. } => Failure::new(Status::AlreadyRunning, error)
            .hint("stop the other one, or start this one with --mode advise"),
        _ => Failure::environment(error),
    }
}

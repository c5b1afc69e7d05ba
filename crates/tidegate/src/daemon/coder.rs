//! The recompiler's end in the daemon: serves the runtimes and hands on wishes for variants.

use crate::place::Folders;
use std::collections::BTreeSet;
use tidegate_telemetry::Layout;
use tidegate_types::{AppName, Apps, Event, Hierarchy, LeaseId, Mode, Plan, Recompile};
use tidegate_variants::orchestrator::{Orchestrator, Settings, Wish};
use tidegate_variants::switchboard::{Options, Server, Switchboard};

/// Hierarchies in the order in which an app's processes are looked up.
const LOOKED_UP: [Hierarchy; 3] = [Hierarchy::V2, Hierarchy::Cpu, Hierarchy::Cpuacct];

/// The running recompiler; without a socket it does nothing.
pub(crate) struct Coder {
    // Dropped in this order: the orchestrator commands through the server.
    orchestrator: Option<Orchestrator>,
    server: Option<Server>,
    layout: Layout,
    settings: Settings,
    held: BTreeSet<LeaseId>,
}

impl Coder {
    /// Serves the runtime's socket in the run folder. A host where that is not possible has no switching,
    /// and everything else works.
    pub(crate) fn start(folders: &Folders, layout: Layout) -> Self {
        let started = Options::for_this_host().and_then(|options| {
            Server::start(Options {
                socket_path: folders.runtime_socket(),
                cache_folder: folders.cache.join("variants"),
                ..options
            })
        });
        let server = started
            .inspect_err(|error| tracing::warn!("no program can be switched: {error}"))
            .ok();
        let settings = Settings::in_folder(&folders.data);
        Self {
            orchestrator: None,
            server,
            layout,
            settings,
            held: BTreeSet::new(),
        }
    }

    /// Where commands for connected programs go.
    pub(crate) fn board(&self) -> Option<Switchboard> {
        self.server.as_ref().map(|server| server.board().clone())
    }

    /// Hands on what the plan wishes. Sampling for heat begins with the first wish that may touch a process.
    pub(crate) fn submit(&mut self, plan: &Plan, apps: &Apps) {
        let enforced = plan.recompiles.iter().any(|wish| wish.mode == Mode::Enforce);
        if self.orchestrator.is_none() && enforced {
            let board = self.board();
            self.orchestrator = board.map(|board| Orchestrator::start(board, self.settings.clone()));
        }
        let Some(orchestrator) = &self.orchestrator else {
            return;
        };
        let wish = |wish: &Recompile| Wish {
            app: wish.app.clone(),
            processes: self.processes(&wish.app, apps),
            cores: wish.cores.clone(),
            scenario: wish.scenario,
            by: wish.by,
            until: wish.until,
            mode: wish.mode,
            prediction: wish.prediction,
            is_observed: wish.prediction.is_none(),
        };
        orchestrator.submit(plan.recompiles.iter().map(wish).collect());
        let held: BTreeSet<LeaseId> = plan.leases.iter().map(|lease| lease.id).collect();
        if held != self.held {
            let changed = plan.leases.iter().filter(|lease| !self.held.contains(&lease.id));
            let processes: Vec<u32> = changed
                .flat_map(|lease| self.processes(&lease.app, apps))
                .collect();
            orchestrator.disturb(&processes);
            self.held = held;
        }
    }

    /// The processes in the app's own group, now; none where it has no group or it is gone.
    fn processes(&self, app: &AppName, apps: &Apps) -> Vec<u32> {
        let Some(group) = apps.get(app).and_then(|managed| managed.app.group.as_ref()) else {
            return Vec::new();
        };
        let list = LOOKED_UP.into_iter().find_map(|hierarchy| {
            let path = group.in_hierarchy(hierarchy)?;
            let folder = self
                .layout
                .root(hierarchy)?
                .join(path.path.trim_start_matches('/'));
            std::fs::read_to_string(folder.join("cgroup.procs")).ok()
        });
        list.unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    /// Variants that became ready and trials that ended since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.orchestrator
            .as_ref()
            .map(Orchestrator::take_events)
            .unwrap_or_default()
    }

    /// Every slot back to the base, now and until [`Coder::resume`].
    pub(crate) fn pause(&self) {
        if let Some(server) = &self.server {
            server.board().pause();
        }
    }

    /// Switching is possible again.
    pub(crate) fn resume(&self) {
        if let Some(server) = &self.server {
            server.board().resume();
        }
    }

    /// Every slot back to the base, and nothing is served any more.
    pub(crate) fn stop(&mut self) {
        self.orchestrator = None;
        self.server = None;
    }
}

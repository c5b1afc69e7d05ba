//! The recompiler's end in the daemon: serves the runtimes and carries out wishes for variants.

use crate::place::Folders;
use tidegate_types::{Apps, Event, Plan};
use tidegate_variants::switchboard::{Options, Server, Switchboard};

/// The running recompiler; without a socket it does nothing.
pub(crate) struct Coder {
    server: Option<Server>,
}

impl Coder {
    /// Serves the runtime's socket in the run folder. A host where that is not possible has no switching,
    /// and everything else works.
    pub(crate) fn start(folders: &Folders) -> Self {
        let started = Options::for_this_host().and_then(|options| {
            Server::start(Options {
                socket_path: folders.runtime_socket(),
                cache_folder: folders.cache.join("variants"),
                ..options
            })
        });
        match started {
            Ok(server) => Self { server: Some(server) },
            Err(error) => {
                tracing::warn!("no program can be switched: {error}");
                Self { server: None }
            }
        }
    }

    /// Where commands for connected programs go.
    pub(crate) fn board(&self) -> Option<Switchboard> {
        self.server.as_ref().map(|server| server.board().clone())
    }

    pub(crate) fn submit(&mut self, _plan: &Plan, _apps: &Apps) {}

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// Every slot back to the base, now and until [`Coder::resume`].
    pub(crate) fn pause(&self) {
        if let Some(server) = &self.server {
            server.board().pause();
        }
    }

    pub(crate) fn resume(&self) {
        if let Some(server) = &self.server {
            server.board().resume();
        }
    }

    pub(crate) fn stop(&mut self) {
        self.server = None;
    }
}

//! The fast lane: ten looks a second at the limits of the apps that may be acted on.
//!
//! What is foreseen is acted on before it comes; what is not is seen here a tenth of a second after it
//! began, long before the next sample.

use super::Message;
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use tidegate_telemetry::{FAST_INTERVAL, FastPoll, Layout, host_clock};
use tidegate_types::{App, AppName, Apps, Mode, Resource};

/// The running thread. It ends when this is dropped.
pub(crate) struct FastLane {
    followed: BTreeSet<(AppName, Option<u64>)>,
    apps: SyncSender<Vec<App>>,
}

impl FastLane {
    /// A lane that follows nobody yet.
    pub(crate) fn start(layout: Layout, outbox: SyncSender<Message>) -> std::io::Result<Self> {
        let (apps, changes) = sync_channel(4);
        std::thread::Builder::new()
            .name("tidegate-fast".to_owned())
            .spawn(move || follow(&layout, &changes, &outbox))?;
        Ok(Self {
            followed: BTreeSet::new(),
            apps,
        })
    }

    /// Follows the apps on whose CPU or code the policy lets tidegate act.
    pub(crate) fn follow(&mut self, apps: &Apps) {
        let acted_on = apps.values().filter(|managed| {
            [Resource::Cpu, Resource::Code]
                .iter()
                .any(|resource| managed.grant.mode(*resource) == Mode::Enforce)
        });
        let wanted: Vec<App> = acted_on.map(|managed| managed.app.clone()).collect();
        let names: BTreeSet<_> = wanted
            .iter()
            .map(|app| (app.name.clone(), first_id(app)))
            .collect();
        if names != self.followed && self.apps.try_send(wanted).is_ok() {
            self.followed = names;
        }
    }
}

/// A group that was made again has another id, and must be opened again.
fn first_id(app: &App) -> Option<u64> {
    app.group.as_ref()?.paths.first().map(|path| path.id)
}

fn follow(layout: &Layout, changes: &Receiver<Vec<App>>, outbox: &SyncSender<Message>) {
    let mut poll: Option<FastPoll> = None;
    loop {
        let change = match &poll {
            Some(_) => changes.recv_timeout(FAST_INTERVAL),
            None => changes.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match change {
            Ok(apps) => {
                let next = FastPoll::new(layout, &apps, host_clock());
                poll = (!next.is_empty()).then_some(next);
            }
            Err(RecvTimeoutError::Timeout) => {
                let events = poll.as_mut().map(FastPoll::poll).unwrap_or_default();
                // A loop that is behind has a sample with the same news in its queue.
                if !events.is_empty() {
                    let _ = outbox.try_send(Message::Events(events));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

//! The dependency graph's edge to the world: a thread that reads socket tables, and the files that declare.
//!
//! What it finds becomes events, so that the loop, and a replay of it, learns from the record alone.

use super::Message;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tidegate_forecast::{Declared, declared};
use tidegate_telemetry::{DependencyReader, Members};
use tidegate_types::{Dependency, DependencyOrigin, Event};

/// Time between two readings of the socket tables.
pub(crate) const READ_EVERY: Duration = Duration::from_secs(10);
/// Edges that are still there are said again so often, so that the loop knows their age.
const SAY_AGAIN: Duration = Duration::from_mins(10);

/// Starts the thread; it ends when nobody sends members any more, or nobody listens.
pub(super) fn start(outbox: SyncSender<Message>) -> std::io::Result<SyncSender<Members>> {
    let (members, inbox) = sync_channel(1);
    let thread = std::thread::Builder::new().name("tidegate-graph".to_owned());
    thread.spawn(move || watch(&inbox, &outbox))?;
    Ok(members)
}

fn watch(inbox: &Receiver<Members>, outbox: &SyncSender<Message>) {
    let mut reader = DependencyReader::new(Path::new("/proc"), true);
    let mut said: Vec<Dependency> = Vec::new();
    let mut said_at = Instant::now();
    for members in inbox {
        let edges = reader.read(&members);
        let is_new = edges.iter().any(|edge| said.binary_search(edge).is_err());
        if !is_new && (edges.is_empty() || said_at.elapsed() < SAY_AGAIN) {
            continue;
        }
        said.clone_from(&edges);
        said_at = Instant::now();
        let event = Event::Dependencies {
            origin: DependencyOrigin::Observed,
            edges,
        };
        if outbox.send(Message::Events(vec![event])).is_err() {
            return;
        }
    }
}

/// What the files declare; one that cannot be opened is a finding of its own.
pub(crate) fn read_files(files: &[PathBuf]) -> Declared {
    let mut unreadable = Vec::new();
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => texts.push((name, text)),
            Err(error) => unreadable.push(tidegate_forecast::Finding {
                place: name,
                text: error.to_string(),
            }),
        }
    }
    let pairs = texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let mut found = declared(pairs);
    found.findings.extend(unreadable);
    found
}

/// The files' edges as an event; what is wrong in them is said, and the rest still counts.
pub(super) fn declared_event(files: &[PathBuf]) -> Option<Event> {
    if files.is_empty() {
        return None;
    }
    let found = read_files(files);
    for finding in &found.findings {
        tracing::warn!("{finding}");
    }
    Some(Event::Dependencies {
        origin: DependencyOrigin::Declared,
        edges: found.edges,
    })
}

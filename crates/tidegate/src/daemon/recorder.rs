//! The recording thread: everything that went in and came out, to the store.

use crate::remember;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use tidegate_dashboard::View;
use tidegate_history::Store;
use tidegate_types::{Input, Moment, Output};

/// Ticks that may wait for a slow disk; beyond it they are not recorded, and that is said.
const QUEUE: usize = 600;
/// Samples between two views kept for when no daemon answers.
const REMEMBER_EVERY: u32 = 10;

enum Record {
    Tick {
        content: Box<(Input, Output)>,
        /// Ticks before this one that found no place.
        lost: u64,
    },
    Checkpoint(Moment, Vec<u8>),
    View(Box<View>),
}

/// The running thread.
pub(crate) struct Recorder {
    outbox: Option<SyncSender<Record>>,
    thread: Option<JoinHandle<()>>,
    lost: u64,
    lost_ticks: u64,
    since_remembered: u32,
}

impl Recorder {
    /// Starts recording into `store`; the last view goes to `data`.
    pub(crate) fn start(store: Store, data: PathBuf) -> std::io::Result<Self> {
        let (outbox, inbox) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("tidegate-record".to_owned())
            .spawn(move || record(store, &data, &inbox))?;
        Ok(Self {
            outbox: Some(outbox),
            thread: Some(thread),
            lost: 0,
            lost_ticks: 0,
            since_remembered: 0,
        })
    }

    pub(crate) fn record(&mut self, input: Input, output: Output) {
        let sent = self.send(Record::Tick {
            content: Box::new((input, output)),
            lost: self.lost_ticks,
        });
        self.lost_ticks = if sent { 0 } else { self.lost_ticks + 1 };
    }

    pub(crate) fn checkpoint(&mut self, at: Moment, state: Vec<u8>) {
        self.send(Record::Checkpoint(at, state));
    }

    /// Keeps every tenth view, for verbs that find no daemon.
    pub(crate) fn remember(&mut self, view: &View) {
        self.since_remembered += 1;
        if self.since_remembered >= REMEMBER_EVERY {
            self.since_remembered = 0;
            self.send(Record::View(Box::new(view.clone())));
        }
    }

    /// Whether the record found a place.
    fn send(&mut self, record: Record) -> bool {
        let sent = self.outbox.as_ref().map(|outbox| outbox.try_send(record));
        match &sent {
            Some(Ok(())) if self.lost > 0 => {
                tracing::warn!("recording goes on; {} records were lost", self.lost);
                self.lost = 0;
            }
            Some(Err(TrySendError::Full(_))) if self.lost == 0 => {
                tracing::warn!("the disk is too slow to record: records are being lost");
            }
            Some(Err(TrySendError::Disconnected(_))) => {
                tracing::error!("the recording thread has ended: nothing is recorded until a restart");
                self.outbox = None;
            }
            _ => {}
        }
        let sent = matches!(sent, Some(Ok(())));
        self.lost += u64::from(!sent);
        sent
    }

    /// Writes what waits and closes the store.
    pub(crate) fn stop(&mut self) {
        self.outbox = None;
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        if self.lost > 0 || !ended {
            tracing::warn!("{} records were lost at the end", self.lost);
        }
    }
}

fn record(mut store: Store, data: &std::path::Path, inbox: &Receiver<Record>) {
    for record in inbox {
        let done = match record {
            Record::Tick { content, lost } => {
                store.skip_ticks(lost);
                keep(&mut store, &content.0, &content.1)
            }
            Record::Checkpoint(at, state) => store.append_checkpoint(at, &state).map(|_| ()),
            Record::View(view) => {
                remember::keep_view(data, &view);
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::warn!("not recorded: {error}");
        }
        for notice in store.take_notices() {
            tracing::warn!("{}", notice.text);
        }
    }
    if let Err(error) = store.flush() {
        tracing::warn!("the last records may be lost: {error}");
    }
}

fn keep(store: &mut Store, input: &Input, output: &Output) -> tidegate_history::Result<()> {
    store.append_input(input)?;
    store.append_output(input.now, output, &tidegate_engine::plan_bytes(&output.plan))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_has_ended_loses_records_and_they_are_counted() {
        let (outbox, inbox) = sync_channel(1);
        let mut recorder = Recorder {
            outbox: Some(outbox),
            thread: None,
            lost: 0,
            lost_ticks: 0,
            since_remembered: 0,
        };
        drop(inbox);
        recorder.record(Input::default(), Output::default());
        recorder.record(Input::default(), Output::default());
        assert_eq!((recorder.lost, recorder.lost_ticks), (2, 2));
        assert!(recorder.outbox.is_none(), "it is said once");
    }
}

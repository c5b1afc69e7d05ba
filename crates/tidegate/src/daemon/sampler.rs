//! The sampling thread: reads on a fixed grid and hands over, whatever the rest is busy with.

use super::Message;
use super::graph::READ_EVERY;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tidegate_telemetry::{AppRule, Collector, Members, host_clock};
use tidegate_types::{BootTime, Event, Moment, Sample};

/// The longest that the thread sleeps before it looks whether it should end.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);

/// The running thread.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    /// The newest rules, until they are taken up.
    rules: Arc<Mutex<Option<Vec<AppRule>>>>,
    thread: Option<JoinHandle<()>>,
}

/// The present on both clocks.
pub(crate) fn now() -> Moment {
    host_clock()().moment()
}

impl Sampler {
    /// Starts sampling into `outbox`.
    /// Who the processes are is handed to `members` now and then.
    pub(crate) fn start(
        mut collector: Collector,
        outbox: SyncSender<Message>,
        members: SyncSender<Members>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let rules = Arc::<Mutex<Option<Vec<AppRule>>>>::default();
        let new_rules = Arc::clone(&rules);
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("tidegate-sample".to_owned())
            .spawn(move || sample(&mut collector, &new_rules, &outbox, &members, &stopped))?;
        Ok(Self {
            stop,
            rules,
            thread: Some(thread),
        })
    }

    /// Recognises apps by other rules from the next sample on.
    pub(crate) fn set_rules(&self, rules: Vec<AppRule>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules);
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn sample(
    collector: &mut Collector,
    rules: &Mutex<Option<Vec<AppRule>>>,
    outbox: &SyncSender<Message>,
    members: &SyncSender<Members>,
    stop: &AtomicBool,
) {
    let mut told: Option<Instant> = None;
    let mut reading = Sample::default();
    let mut waiting: Vec<Event> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let newest = rules.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rules) = newest
            && let Err(error) = collector.set_rules(rules)
        {
            tracing::warn!("the apps of the policy are not recognised: {error}");
        }
        if !sleep_until(collector.next_due(), stop) {
            return;
        }
        collector.collect(&mut reading);
        waiting.extend(collector.events());
        if told.is_none_or(|told| told.elapsed() >= READ_EVERY) {
            told = Some(Instant::now());
            // A reader that is not done yet gets the next ones.
            let _ = members.try_send(collector.members());
        }
        match outbox.try_send(Message::Sample(
            Box::new(reading.clone()),
            std::mem::take(&mut waiting),
        )) {
            Ok(()) => {}
            // The loop is behind: this sample is a gap, but who came and went must not be lost.
            Err(TrySendError::Full(Message::Sample(_, events))) => waiting = events,
            Err(_) => return,
        }
    }
}

/// Sleeps up to `due`; false where the thread should end before.
fn sleep_until(due: BootTime, stop: &AtomicBool) -> bool {
    while !stop.load(Ordering::Relaxed) {
        let wait_s = due.seconds_since(now().boot);
        if wait_s <= 0.0 {
            return true;
        }
        std::thread::sleep(Duration::from_secs_f64(wait_s).min(LONGEST_SLEEP));
    }
    false
}

//! The loop on the main thread: gather, tick, hand out.

use super::Message;
use super::actor::Actor;
use super::coder::Coder;
use super::fast::FastLane;
use super::graph;
use super::night::Night;
use super::recorder::Recorder;
use super::sampler::{self, Sampler};
use crate::policy_file::PolicyFile;
use crate::watch;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_dashboard::{Assembler, HostState, Shared};
use tidegate_engine::{State, tick};
use tidegate_plan::policy;
use tidegate_types::{Apps, Event, Input, Mode, Output, Sample};

/// How long the loop waits before it looks for events of the actor again.
const PATIENCE: Duration = Duration::from_millis(20);
/// Time between two checkpoints: what a killed daemon has to learn again at most.
const CHECKPOINT_EVERY: Duration = Duration::from_mins(5);

/// Everything that the loop hands its output to.
pub(crate) struct Core {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) recorder: Recorder,
    pub(crate) actor: Actor,
    pub(crate) coder: Coder,
    pub(crate) assembler: Assembler,
    pub(crate) shared: Shared,
    pub(crate) policy: PolicyFile,
    /// Files that declare dependencies.
    pub(crate) graph: Vec<PathBuf>,
    pub(crate) ceiling: Mode,
    pub(crate) paused: bool,
    pub(crate) started: Instant,
    /// The last checkpoint; the first one follows the first turn, so that a replay has where to begin.
    pub(crate) checkpointed: Option<Instant>,
    pub(crate) fast: FastLane,
    pub(crate) sampler: Sampler,
    pub(crate) night: Night,
}

/// What one wait gathered.
#[derive(Default)]
struct Gathered {
    sample: Option<Box<Sample>>,
    events: Vec<Event>,
    stop: bool,
}

impl Core {
    /// Runs until a message says stop; then everything held is given back and recorded.
    pub(crate) fn run(&mut self, inbox: &Receiver<Message>) {
        loop {
            let mut gathered = self.gather(inbox);
            gathered.events.extend(self.coder.take_events());
            if gathered.sample.is_some() || !gathered.events.is_empty() {
                self.turn(gathered.sample.map(|sample| *sample), gathered.events);
            }
            if gathered.stop {
                break;
            }
        }
        self.night.stop();
        self.sampler.stop();
        let last = self.actor.stop();
        self.coder.stop();
        if !last.is_empty() {
            self.turn(None, last);
        }
        self.checkpoint();
        self.recorder.stop();
    }

    /// Waits for a message, then takes what else is there, up to the first sample.
    fn gather(&mut self, inbox: &Receiver<Message>) -> Gathered {
        let mut gathered = Gathered::default();
        let mut next = inbox.recv_timeout(PATIENCE);
        loop {
            match next {
                Ok(Message::Sample(sample, events)) => {
                    gathered.events.extend(events);
                    gathered.sample = Some(sample);
                    return gathered;
                }
                Ok(Message::Events(events)) => gathered.events.extend(events),
                Ok(Message::Model(name, model)) => {
                    let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.supply(&name, model);
                    gathered.events.push(Event::ModelPromoted(name));
                }
                Ok(Message::Reload(answer)) => {
                    gathered.events.extend(self.reload(answer.as_ref()));
                    gathered.events.extend(graph::declared_event(&self.graph));
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    gathered.stop = true;
                    return gathered;
                }
                Err(RecvTimeoutError::Timeout) => return gathered,
            }
            next = inbox.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
    }

    /// A valid policy becomes an event; an invalid one is said, and the old one stays.
    fn reload(&mut self, answer: Option<&SyncSender<Result<String, String>>>) -> Option<Event> {
        let loaded = self.policy.load();
        let text = match &loaded {
            Ok(_) => Ok(format!("{} is in force", self.policy.name())),
            Err(error) => Err(error.clone()),
        };
        match &text {
            Ok(words) => tracing::info!("{words}"),
            Err(error) => tracing::warn!("the policy before stays in force:\n{error}"),
        }
        if let Some(answer) = answer {
            let _ = answer.try_send(text);
        }
        let text = loaded.ok()?;
        if let Ok(policy) = policy::parse(&text, &self.policy.name()) {
            self.sampler.set_rules(watch::rules(&policy));
        }
        Some(Event::PolicyChanged(text))
    }

    fn turn(&mut self, sample: Option<Sample>, events: Vec<Event>) {
        let now = sample.as_ref().map_or_else(sampler::now, |sample| sample.now);
        let input = Input { now, events, sample };
        let (output, apps) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let output = tick(&mut state, &input);
            (output, state.apps().clone())
        };
        for notice in &output.notices {
            tracing::info!("{}", notice.text);
        }
        self.actor.submit(&output.plan, &apps);
        self.coder.submit(&output.plan, &apps);
        self.fast.follow(&apps);
        self.show(&input, &output, &apps);
        self.recorder.record(input, output);
        if self
            .checkpointed
            .is_none_or(|at| at.elapsed() >= CHECKPOINT_EVERY)
        {
            self.checkpoint();
        }
    }

    fn show(&mut self, input: &Input, output: &Output, apps: &Apps) {
        self.hold_or_go_on(&input.events);
        let host = HostState {
            mode: shown_mode(self.ceiling, apps),
            paused: self.paused,
            uptime_s: self.started.elapsed().as_secs_f64(),
        };
        let Some(sample) = &input.sample else {
            return self.assembler.absorb(input, output);
        };
        let view = self.assembler.tick(input, output, apps, host);
        self.recorder.remember(&view);
        self.shared.publish(view, Arc::new(sample.clone()));
    }

    /// The planner hears of a pause by itself; slots are put back here, since no plan lists them.
    fn hold_or_go_on(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Paused => {
                    self.paused = true;
                    self.coder.pause();
                }
                Event::Resumed => {
                    self.paused = false;
                    self.coder.resume();
                }
                _ => {}
            }
        }
    }

    fn checkpoint(&mut self) {
        self.checkpointed = Some(Instant::now());
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.sample().now;
        match state.checkpoint() {
            Ok(bytes) => self.recorder.checkpoint(at, bytes),
            Err(error) => tracing::warn!("no checkpoint: {error}"),
        }
    }
}

/// The furthest that anything here may go now: what is granted to some app, under the ceiling.
fn shown_mode(ceiling: Mode, apps: &Apps) -> Mode {
    let granted = apps.values().flat_map(|managed| managed.grant.modes.values());
    granted.copied().max().unwrap_or_default().min(ceiling)
}

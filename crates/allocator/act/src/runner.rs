//! The thread that keeps deadlines: it sleeps until the next edge of a lease, a foreign write, or a new plan.

use crate::{ActError, Actuator, boot_now};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use tidegate_types::{Apps, Event, Plan};

/// The longest sleep: the heart beats at least this often, in seconds.
const BEAT_S: f64 = 0.25;

enum Command {
    Plan(Box<(Plan, Apps)>),
    Stop,
}

/// An [`Actuator`] on a thread of its own.
#[derive(Debug)]
pub struct Runner {
    commands: Sender<Command>,
    waker: Arc<OwnedFd>,
    thread: Option<JoinHandle<Result<Vec<Event>, ActError>>>,
}

impl Runner {
    /// Starts the thread; `on_events` is called on it with what happened, in order.
    pub fn start(
        actuator: Actuator,
        on_events: impl FnMut(Vec<Event>) + Send + 'static,
    ) -> Result<Self, ActError> {
        let path = actuator.config().journal.clone();
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let waker = Arc::new(waker.map_err(|error| ActError::io(&path, "make a waker", error))?);
        let (commands, received) = channel();
        let theirs = waker.clone();
        let thread = std::thread::Builder::new()
            .name("actuator".into())
            .spawn(move || run(actuator, &received, &theirs, on_events))
            .map_err(|error| ActError::io(&path, "start the actuator's thread", error))?;
        Ok(Self {
            commands,
            waker,
            thread: Some(thread),
        })
    }

    /// Hands over a plan with the apps it is about; it replaces the one before. False where the thread has ended.
    pub fn submit(&self, plan: Plan, apps: Apps) -> bool {
        self.send(Command::Plan(Box::new((plan, apps))))
    }

    /// Whether the thread is still there; it ends by itself only when the guardian took over or the journal failed.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Gives everything back, ends the thread and returns the last events.
    pub fn stop(mut self) -> Result<Vec<Event>, ActError> {
        self.send(Command::Stop);
        let Some(thread) = self.thread.take() else {
            return Ok(Vec::new());
        };
        thread.join().unwrap_or_else(|_| Ok(Vec::new()))
    }

    fn send(&self, command: Command) -> bool {
        let sent = self.commands.send(command).is_ok();
        // A full counter wakes as well.
        let _ = rustix::io::write(&*self.waker, &1_u64.to_ne_bytes());
        sent
    }
}

/// A runner that is dropped gives everything back, like one that is stopped.
impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.send(Command::Stop);
            let _ = thread.join();
        }
    }
}

fn run(
    mut actuator: Actuator,
    commands: &Receiver<Command>,
    waker: &OwnedFd,
    mut on_events: impl FnMut(Vec<Event>),
) -> Result<Vec<Event>, ActError> {
    loop {
        let mut newest = None;
        loop {
            match commands.try_recv() {
                Ok(Command::Plan(plan)) => newest = Some(plan),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return actuator.close(boot_now()),
                Err(TryRecvError::Empty) => break,
            }
        }
        let events = match newest {
            Some(plan) => actuator.apply(boot_now(), &plan.0, &plan.1)?,
            None => actuator.run_due(boot_now())?,
        };
        if !events.is_empty() {
            on_events(events);
        }
        sleep(&actuator, waker);
    }
}

fn sleep(actuator: &Actuator, waker: &OwnedFd) {
    let now = boot_now();
    let until_edge_s = actuator
        .next_deadline(now)
        .map_or(BEAT_S, |edge| edge.seconds_since(now));
    let nanoseconds = (until_edge_s.clamp(0.0, BEAT_S) * 1e9).ceil() as i64;
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    let watch = actuator.descriptor();
    let mut waits = [
        PollFd::new(waker, PollFlags::IN),
        PollFd::new(&watch, PollFlags::IN),
    ];
    // An interrupted sleep is a short one.
    let _ = poll(&mut waits, Some(&wait));
    let mut counter = [0; 8];
    let _ = rustix::io::read(waker, &mut counter);
}

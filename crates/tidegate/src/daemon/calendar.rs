//! The calendar's edge to the world: local time, holidays, cron tables and timers of this host, and announced events that
//! come again by the wall clock.
//!
//! A thread turns them into events with plain times, two hours ahead, and says how far local time is from UTC, so that
//! the loop, and a replay of it, looks up no time zone. Events that repeat by the clock are announced one at a time: the
//! next one when the one before is over.

use super::Message;
use crate::failure::Failure;
use crate::local_time::{self, Holidays};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tidegate_telemetry::{Jobs, next_by_cron, read_jobs};
use tidegate_types::{DeclaredEvent, Event, ExpectedEvent};

/// Time between two looks at the tables.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Firings are said again so often, before those that were said run out.
const SAY_AGAIN: Duration = Duration::from_mins(10);
/// How far ahead firings are said: past the longest window, and past the next time they are said.
const AHEAD_S: i64 = 7800;
/// Repeating announcements that are kept.
const RECURRING_MAX: usize = 256;

/// An announced event that comes again by the wall clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recurring {
    /// Its name, app, length and size; its time is that of the next occurrence.
    pub(crate) event: DeclaredEvent,
    /// cron's five fields.
    pub(crate) schedule: String,
    /// IANA name of the time zone; the system's where it is absent.
    pub(crate) zone: Option<String>,
}

/// What the thread is told.
pub(crate) enum Order {
    /// Announce this again and again.
    Add(Recurring),
    /// Announce it no more.
    Remove(String),
}

/// The thread's end of the work.
struct Calendar {
    file: PathBuf,
    holidays_file: Option<PathBuf>,
    holidays: Holidays,
    /// The file could not be read the last time.
    unread: bool,
    /// Local time as it was said last.
    local_time: Option<Event>,
    recurring: Vec<Recurring>,
    outbox: SyncSender<Message>,
    said: Vec<ExpectedEvent>,
    said_at: Option<Instant>,
    findings: Vec<String>,
}

/// Starts the thread; what repeats is kept in the data folder. A file of holidays that cannot be read is refused.
pub(super) fn start(
    data: &Path,
    holidays: Option<&Path>,
    outbox: SyncSender<Message>,
) -> Result<SyncSender<Order>, Failure> {
    let (orders, inbox) = sync_channel(16);
    let mut calendar = Calendar::open(data, outbox);
    calendar.holidays = local_time::holidays(holidays)?;
    calendar.holidays_file = holidays.map(Path::to_owned);
    let thread = std::thread::Builder::new().name("tidegate-calendar".to_owned());
    let started = thread.spawn(move || calendar.run(&inbox));
    started.map_err(Failure::environment)?;
    Ok(orders)
}

/// What systemd says of its timers; `None` where it does not run here.
pub(crate) fn listed_timers() -> Option<String> {
    let first = std::fs::read_to_string("/proc/1/comm").ok()?;
    if first.trim() != "systemd" {
        return None;
    }
    let output = Command::new("systemctl")
        .args(["list-timers", "--all", "--output=json"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Calendar {
    fn open(data: &Path, outbox: SyncSender<Message>) -> Self {
        let file = data.join("recurring.json");
        let kept = std::fs::read(&file).ok();
        let recurring = kept.and_then(|bytes| match serde_json::from_slice(&bytes) {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::warn!("{}: {error}; what repeats must be announced anew", file.display());
                None
            }
        });
        Self {
            recurring: recurring.unwrap_or_default(),
            file,
            holidays_file: None,
            holidays: Holidays::new(),
            unread: false,
            local_time: None,
            outbox,
            said: Vec::new(),
            said_at: None,
            findings: Vec::new(),
        }
    }

    fn run(&mut self, inbox: &Receiver<Order>) {
        loop {
            if !self.look() {
                return;
            }
            match inbox.recv_timeout(LOOK_EVERY) {
                Ok(Order::Add(recurring)) => self.add(recurring),
                Ok(Order::Remove(name)) => {
                    self.recurring.retain(|known| *known.event.name != *name);
                    self.keep();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// False where nobody listens any more.
    fn look(&mut self) -> bool {
        let now_utc_ms = crate::when::now_utc_ms();
        let mut events = self.due(now_utc_ms);
        events.extend(self.local_time(&TimeZone::system(), Timestamp::now()));
        let jobs = read_jobs(Path::new("/"), listed_timers().as_deref());
        events.extend(self.firings(&jobs, now_utc_ms));
        for finding in &jobs.findings {
            if !self.findings.contains(finding) {
                tracing::info!("not followed: {finding}");
            }
        }
        self.findings = jobs.findings;
        events.is_empty() || self.outbox.send(Message::Events(events)).is_ok()
    }

    /// Local time, where it is another than was said: the host's zone or the holidays changed, or a year began.
    fn local_time(&mut self, zone: &TimeZone, now: Timestamp) -> Option<Event> {
        match local_time::holidays(self.holidays_file.as_deref()) {
            Ok(holidays) => (self.holidays, self.unread) = (holidays, false),
            Err(failure) => {
                if !std::mem::replace(&mut self.unread, true) {
                    tracing::warn!("{failure}\nthe holidays that were known before go on");
                }
            }
        }
        let event = local_time::of_host(zone, now, &self.holidays);
        let fresh = self.local_time.as_ref() != Some(&event);
        fresh.then(|| self.local_time.insert(event).clone())
    }

    /// The firings ahead, where they are others than were said, or were said long ago.
    fn firings(&mut self, jobs: &Jobs, now_utc_ms: i64) -> Option<Event> {
        let firings = jobs.firings(now_utc_ms, AHEAD_S);
        let ahead = |firing: &&ExpectedEvent| firing.at_utc_ms > now_utc_ms;
        // What is new only at the far end was not to be said before.
        let said_until = self.said.last().map_or(i64::MIN, |last| last.at_utc_ms);
        let near = |firing: &&ExpectedEvent| firing.at_utc_ms <= said_until;
        let same = firings.iter().filter(near).eq(self.said.iter().filter(ahead));
        let fresh = self.said_at.is_some_and(|at| at.elapsed() < SAY_AGAIN);
        if same && fresh || (firings.is_empty() && self.said.is_empty()) {
            return None;
        }
        self.said_at = Some(Instant::now());
        self.said.clone_from(&firings);
        Some(Event::Expected(firings))
    }

    /// The next occurrences of what repeats, where the ones before are over.
    fn due(&mut self, now_utc_ms: i64) -> Vec<Event> {
        let mut due = Vec::new();
        for recurring in &mut self.recurring {
            let event = &mut recurring.event;
            let over_utc_ms = event.at_utc_ms + (event.duration_s * 1e3) as i64;
            if over_utc_ms > now_utc_ms && self.said_at.is_some() {
                continue;
            }
            // At a start, one that goes on is announced again as it is.
            if over_utc_ms <= now_utc_ms {
                let next = next_by_cron(&recurring.schedule, recurring.zone.as_deref(), now_utc_ms);
                let Ok(Some(at_utc_ms)) = next else { continue };
                event.at_utc_ms = at_utc_ms;
            }
            due.push(Event::Declared(event.clone()));
        }
        due
    }

    fn add(&mut self, recurring: Recurring) {
        self.recurring
            .retain(|known| known.event.name != recurring.event.name);
        if self.recurring.len() >= RECURRING_MAX {
            tracing::warn!("{RECURRING_MAX} events repeat already: the first of them is dropped");
            self.recurring.remove(0);
        }
        let sent = Event::Declared(recurring.event.clone());
        self.recurring.push(recurring);
        self.keep();
        let _ = self.outbox.send(Message::Events(vec![sent]));
    }

    fn keep(&self) {
        let draft = self.file.with_extension("new");
        let written = serde_json::to_vec(&self.recurring)
            .map_err(std::io::Error::other)
            .and_then(|bytes| std::fs::write(&draft, bytes))
            .and_then(|()| std::fs::rename(&draft, &self.file));
        if let Err(error) = written {
            tracing::warn!(
                "{}: {error}; what repeats is forgotten at the next start",
                self.file.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::AppName;

    #[test]
    fn what_repeats_by_the_clock_is_announced_one_at_a_time_through_a_clock_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let (outbox, _inbox) = sync_channel(4);
        let mut calendar = Calendar::open(folder.path(), outbox.clone());
        let at = |text: &str| {
            text.parse::<jiff::Timestamp>()
                .expect("a moment")
                .as_millisecond()
        };
        let event = DeclaredEvent {
            name: "opening".into(),
            app: AppName::new("shop"),
            at_utc_ms: at("2026-10-24T06:00:00Z"),
            duration_s: 600.0,
            every_s: None,
            cores: None,
        };
        calendar.add(Recurring {
            event,
            schedule: "0 8 * * *".to_owned(),
            zone: Some("Europe/Berlin".to_owned()),
        });
        let mut again = Calendar::open(folder.path(), outbox);
        let told = |calendar: &mut Calendar, now: &str| {
            calendar.said_at = Some(Instant::now());
            let events = calendar.due(at(now));
            events.iter().find_map(|event| match event {
                Event::Declared(event) => Some(event.at_utc_ms),
                _ => None,
            })
        };
        assert_eq!(told(&mut again, "2026-10-24T06:05:00Z"), None, "it goes on");
        assert_eq!(
            told(&mut again, "2026-10-24T06:15:00Z"),
            Some(at("2026-10-25T07:00:00Z"))
        );
        assert_eq!(
            told(&mut again, "2026-10-24T20:00:00Z"),
            None,
            "it is announced already"
        );
        assert_eq!(
            told(&mut again, "2026-10-25T07:20:00Z"),
            Some(at("2026-10-26T07:00:00Z"))
        );
    }

    #[test]
    fn local_time_is_said_when_it_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let (outbox, _inbox) = sync_channel(4);
        let mut calendar = Calendar::open(folder.path(), outbox);
        let file = folder.path().join("holidays");
        std::fs::write(&file, "2026-10-26 National Day").expect("written");
        calendar.holidays_file = Some(file.clone());
        let zone = |name| TimeZone::get(name).expect("a zone");
        let now = "2026-07-01T12:00:00Z".parse().expect("a moment");
        let said = calendar.local_time(&zone("Europe/Vienna"), now);
        let Some(Event::LocalTime { offsets, holidays }) = said else {
            panic!("nothing was said");
        };
        assert!(offsets.contains(&(1_774_746_000, 7200)), "summer time");
        assert_eq!(holidays.len(), 1);
        std::fs::write(&file, "never").expect("written");
        assert_eq!(
            calendar.local_time(&zone("Europe/Vienna"), now),
            None,
            "what was known goes on"
        );
        assert!(calendar.local_time(&zone("America/New_York"), now).is_some());
        std::fs::write(&file, "").expect("written");
        assert!(calendar.local_time(&zone("America/New_York"), now).is_some());
    }
}

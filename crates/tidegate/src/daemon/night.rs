//! Training by night, and taking up what came of it.
//!
//! A thread starts `tidegate train` in the small hours, once a day, at idle priority for CPU and disk where the tools for
//! that are there, and ends it when the night is over; what it kept goes on the next night. Whatever training left, by
//! night or by command, is put into the store and sent to the loop, which promotes it by name.

use super::Message;
use crate::train::folder::{last_result, take_candidate};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate_engine::PeakModel;
use tidegate_history::Reader;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LONGEST_SLEEP: Duration = Duration::from_millis(200);
/// Hours of the local clock in which it trains.
const NIGHT: std::ops::Range<i8> = 1..5;
/// Time between two trainings that came to their end.
const PAUSE_MS: i64 = 20 * 3_600_000;
/// Programs that lower the priority further than `nice`, each with what it takes; from util-linux.
const IDLE: [(&str, &[&str]); 2] = [("chrt", &["--idle", "0"]), ("ionice", &["-c", "3"])];

/// The running thread.
pub(crate) struct Night {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Watch {
    data: PathBuf,
    reader: Reader,
    outbox: SyncSender<Message>,
    child: Option<Child>,
    tried_utc_ms: i64,
}

impl Night {
    /// Starts the thread.
    pub(crate) fn start(data: &Path, reader: Reader, outbox: SyncSender<Message>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let mut watch = Watch {
            data: data.to_owned(),
            reader,
            outbox,
            child: None,
            tried_utc_ms: i64::MIN,
        };
        let thread = std::thread::Builder::new()
            .name("tidegate-night".to_owned())
            .spawn(move || watch.run(&seen))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the thread, and a training that is at work.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Watch {
    fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.look();
            let mut left = LOOK_EVERY;
            while !left.is_zero() && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(LONGEST_SLEEP);
                left = left.saturating_sub(LONGEST_SLEEP);
            }
        }
        self.end();
    }

    fn look(&mut self) {
        self.take_up();
        let now = jiff::Timestamp::now();
        let local = now.to_zoned_datetime(jiff::tz::TimeZone::system());
        let night = NIGHT.contains(&local.hour());
        let ended = self
            .child
            .as_mut()
            .is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        if ended {
            self.child = None;
        }
        if !night {
            return self.end();
        }
        let now_utc_ms = now.as_millisecond();
        let last_utc_ms = last_result(&self.data).map_or(i64::MIN, |result| result.at_utc_ms);
        let due = now_utc_ms.saturating_sub(last_utc_ms.max(self.tried_utc_ms)) >= PAUSE_MS;
        if due && self.child.is_none() {
            self.tried_utc_ms = now_utc_ms;
            match command(&self.data).spawn() {
                Ok(child) => {
                    tracing::info!("training on the history of this host begins, at idle priority");
                    self.child = Some(child);
                }
                Err(error) => tracing::warn!("training cannot be started: {error}"),
            }
        }
    }

    /// A training that is at work is ended; what it kept goes on the next time.
    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Puts a better model into the store and sends it to the loop.
    fn take_up(&self) {
        let Some(bytes) = take_candidate(&self.data) else {
            return;
        };
        let model = PeakModel::from_bytes(&bytes).map_err(|error| error.to_string());
        let name = self.reader.put_model(&bytes).map_err(|error| error.to_string());
        match model.and_then(|model| Ok((name?, model))) {
            Ok((name, model)) => {
                if let Some(result) = last_result(&self.data) {
                    tracing::info!("{}", result.words());
                }
                let _ = self.outbox.send(Message::Model(name.into(), Arc::new(model)));
            }
            Err(problem) => tracing::warn!("the trained model is not taken up: {problem}"),
        }
    }
}

/// `tidegate train` behind every program that lowers its priority and is there.
fn command(data: &Path) -> Command {
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tidegate"));
    let mut words: Vec<std::ffi::OsString> = Vec::new();
    for (program, arguments) in IDLE {
        if is_there(program) {
            words.push(program.into());
            words.extend(arguments.iter().map(Into::into));
        }
    }
    words.push(own.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg("train").arg("--data").arg(data);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

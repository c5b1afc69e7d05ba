//! Training by night, and taking up what came of it.
//!
//! A thread starts `tidegate train` in the small hours, once a day, at idle priority for CPU and disk where the tools for
//! that are there, and ends it when the night is over; what it kept goes on the next night. Whatever training left, by
//! night or by command, is put into the store and sent to the loop, which promotes it by name.

use super::Message;
use crate::train::folder::{candidate, drop_candidate, last_result};
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
    /// Name of the model that was taken up last.
    taken: Option<String>,
    /// Why the last one was not.
    refused: Option<String>,
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
            taken: None,
            refused: None,
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

    /// Puts a better model into the store and sends it to the loop. A model that the store has no room for waits;
    /// what is no model goes.
    fn take_up(&mut self) {
        let Some(bytes) = candidate(&self.data) else {
            return;
        };
        let model = match PeakModel::from_bytes(&bytes) {
            Ok(model) => model,
            Err(error) => {
                drop_candidate(&self.data);
                return self.refuse(format!("it is not taken up: {error}"));
            }
        };
        let name = match self.reader.put_model(&bytes) {
            Ok(name) => name,
            Err(error) => return self.refuse(format!("it waits until the store takes it: {error}")),
        };
        drop_candidate(&self.data);
        if self.taken.as_ref() == Some(&name) {
            return;
        }
        if let Some(result) = last_result(&self.data) {
            tracing::info!("{}", result.words());
        }
        self.refused = None;
        self.taken = Some(name.clone());
        let _ = self.outbox.send(Message::Model(name.into(), Arc::new(model)));
    }

    /// Says once why a trained model is not in use, however often it is looked at.
    fn refuse(&mut self, why: String) {
        if self.refused.as_ref() != Some(&why) {
            tracing::warn!("the trained model: {why}");
        }
        self.refused = Some(why);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::folder::{Folder, Report};
    use std::sync::mpsc::sync_channel;
    use tidegate_forecast::models::peaks::growth::Verdict;

    #[test]
    fn a_model_that_the_store_does_not_take_waits_until_it_does() {
        let data = tempfile::tempdir().expect("a folder");
        let history = crate::place::store(data.path());
        std::fs::create_dir_all(&history).expect("a folder");
        // A file where the store keeps its models: nothing can be written there.
        std::fs::write(history.join("models"), "").expect("written");
        let result = Report {
            at_utc_ms: 0,
            verdict: Verdict {
                grown: 2,
                judged: 1,
                before: 0.5,
                after: 0.1,
            },
        };
        let model = PeakModel::shipped().expect("a model");
        let trained = Folder::open(data.path()).expect("a folder");
        trained.finish(&model, &result).expect("left for the daemon");
        let (outbox, inbox) = sync_channel(4);
        let mut watch = Watch {
            data: data.path().to_owned(),
            reader: Reader::open(&history),
            outbox,
            child: None,
            tried_utc_ms: i64::MIN,
            taken: None,
            refused: None,
        };
        watch.take_up();
        assert!(watch.refused.is_some() && inbox.try_recv().is_err());
        std::fs::remove_file(history.join("models")).expect("removed");
        std::fs::create_dir(history.join("models")).expect("made");
        watch.take_up();
        assert!(matches!(inbox.try_recv(), Ok(Message::Model(..))));
        watch.take_up();
        assert!(inbox.try_recv().is_err(), "once");
    }
}

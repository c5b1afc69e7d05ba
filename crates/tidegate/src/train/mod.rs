//! Training on this host's own history: gather, grow, judge, leave the result for the daemon.
//!
//! It runs as a process of its own, by night or by command, at idle priority and under bounds of memory and CPU time.
//! What it has is kept in the training folder after every few trees, so it may be killed at any time; the next one goes
//! on and comes to the same model. It promotes nothing: the daemon takes up a result that was judged better, now or at
//! its next start.

pub(crate) mod folder;
mod pasts;

use crate::failure::Failure;
use crate::place;
use folder::{Begun, Folder, Report};
use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::sync::Arc;
use tidegate_engine::{PeakModel, State};
use tidegate_forecast::models::calendar::Calendar;
use tidegate_forecast::models::peaks::growth::{Growth, HostRows, gather};
use tidegate_history::Reader;

/// Trees between two savings.
const TREES_AT_ONCE: usize = 5;
/// Address space of the process: 60,000 rows take some 100 MB, history's files the rest.
const MEMORY_MAX_BYTES: u64 = 1 << 30;
/// The lowest priority.
const NICE: i32 = 19;

/// How a training ended.
pub(crate) enum Ended {
    /// The CPU time was used up; the next one goes on.
    Unfinished {
        /// Trees that were grown.
        grown: usize,
        /// Trees that there will be.
        of: usize,
    },
    /// There is too little to learn from.
    TooFew(String),
    /// It came to its end.
    Judged(Report),
}

/// Lowers this process's priority and bounds its memory. Idle scheduling of CPU and disk comes from the caller
/// (`daemon::night`), where the tools for it are there.
pub(crate) fn hold_back() {
    if let Err(error) = setpriority_process(None, NICE) {
        tracing::debug!("priority: {error}");
    }
    let limit = Rlimit {
        current: Some(MEMORY_MAX_BYTES),
        maximum: Some(MEMORY_MAX_BYTES),
    };
    if let Err(error) = setrlimit(Resource::As, limit) {
        tracing::debug!("bound of memory: {error}");
    }
}

/// Trains on the history in `data` for at most `cpu_seconds` of CPU time; `say` hears how far it is.
pub(crate) fn train(
    data: &Path,
    cpu_seconds: u64,
    anew: bool,
    now_utc_ms: i64,
    mut say: impl FnMut(&str),
) -> Result<Ended, Failure> {
    let folder = Folder::open(data)?;
    if anew {
        folder.clear()?;
    }
    let reader = Reader::open(&place::store(data));
    let shipped = PeakModel::shipped().map_err(Failure::environment)?;
    let base = mark_of(&shipped);
    let begun = folder.begun(&base);
    let rows = match begun {
        Some(begun) => {
            say("going on with what an earlier training kept");
            begun.rows
        }
        None => begin(&folder, &reader, base, now_utc_ms)?,
    };
    let mut growth = match Growth::new(&shipped, &rows, folder.grown()) {
        Ok(growth) => growth,
        Err(few) => {
            folder.clear()?;
            return Ok(Ended::TooFew(few.to_string()));
        }
    };
    while growth.grow(TREES_AT_ONCE) {
        folder.keep_grown(growth.kept())?;
        let (grown, of) = growth.progress();
        say(&format!("{grown} of {of} trees"));
        if cpu_used_s() >= cpu_seconds && grown < of {
            return Ok(Ended::Unfinished { grown, of });
        }
    }
    let in_force = in_force(&reader).unwrap_or_else(|| shipped.clone());
    let (model, verdict) = growth.verdict(&in_force);
    let report = Report {
        at_utc_ms: now_utc_ms,
        verdict,
    };
    folder.finish(&model, &report)?;
    Ok(Ended::Judged(report))
}

fn begin(folder: &Folder, reader: &Reader, base: String, now_utc_ms: i64) -> Result<HostRows, Failure> {
    let pasts = pasts::of(reader, now_utc_ms).map_err(Failure::environment)?;
    let begun = Begun {
        base,
        rows: gather(&pasts, &local_time(reader)),
    };
    folder.begin(&begun)?;
    Ok(begun.rows)
}

/// What the loop knew last.
fn last_state(reader: &Reader) -> Option<State> {
    let checkpoint = reader.latest_checkpoint().ok()??;
    State::restore(&checkpoint.state).ok()
}

/// The local time that the loop went by last.
fn local_time(reader: &Reader) -> Arc<Calendar> {
    last_state(reader).map_or_else(Arc::default, |state| state.forecaster().local_time().clone())
}

/// The model that the loop used last, where it is not the shipped one.
fn in_force(reader: &Reader) -> Option<PeakModel> {
    let name = last_state(reader)?.forecaster().model_report().name?;
    let bytes = reader.model(&name).ok()??;
    PeakModel::from_bytes(&bytes).ok()
}

/// What tells one shipped model from another.
fn mark_of(model: &PeakModel) -> String {
    let bytes = model.to_bytes();
    let sum = bytes.last_chunk::<8>().map_or(0, |sum| u64::from_le_bytes(*sum));
    format!("{sum:016x}-{}", bytes.len())
}

fn cpu_used_s() -> u64 {
    u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0)
}

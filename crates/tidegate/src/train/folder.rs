//! The training folder: what an interrupted training goes on from, and the result that the daemon takes up.
//!
//! Every file is written whole or not at all. `rows` and `grown` are of one training; `candidate.tgpm` and
//! `result.json` are of the last one that came to its end.

use crate::failure::{Failure, Status};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use tidegate_engine::PeakModel;
use tidegate_forecast::models::peaks::growth::{HostRows, Kept, Verdict};

/// Version of `rows` and `grown`; what another program kept is forgotten.
const VERSION: u32 = 2;
/// A larger file is not ours.
const MAX_BYTES: u64 = 256 << 20;

/// The folder, held by one training.
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// What a training begins with.
#[derive(Serialize, Deserialize)]
pub(crate) struct Begun {
    /// Which shipped model it grows on.
    pub(crate) base: String,
    pub(crate) rows: HostRows,
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// When.
    pub(crate) at_utc_ms: i64,
    /// How the grown model did beside the one in force.
    pub(crate) verdict: Verdict,
}

impl Report {
    /// In one line.
    pub(crate) fn words(&self) -> String {
        let verdict = &self.verdict;
        format!(
            "trained on {} rows of this host; on {} newer ones its mean squared error is {:.4}, that of the model in \
             force {:.4}: {}",
            verdict.grown,
            verdict.judged,
            verdict.after,
            verdict.before,
            if verdict.is_better() {
                "it is better"
            } else {
                "not better, the model in force stays"
            }
        )
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("training")
}

/// The last result in `data`.
pub(crate) fn last_result(data: &Path) -> Option<Report> {
    let bytes = std::fs::read(folder(data).join("result.json")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn candidate_path(data: &Path) -> PathBuf {
    folder(data).join("candidate.tgpm")
}

/// The model that the last training in `data` left, where it was judged better; it stays until [`drop_candidate`].
pub(crate) fn candidate(data: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(candidate_path(data)).ok()?;
    last_result(data)
        .is_some_and(|result| result.verdict.is_better())
        .then_some(bytes)
}

/// Forgets the candidate: it was taken up, or never will be.
pub(crate) fn drop_candidate(data: &Path) {
    // One that cannot be removed is offered again; whoever took it up knows it by its name.
    let _ = std::fs::remove_file(candidate_path(data));
}

impl Folder {
    /// Opens the folder in `data`, making it where there is none; refused while another training holds it.
    pub(crate) fn open(data: &Path) -> Result<Self, Failure> {
        let path = folder(data);
        let failed = |error: std::io::Error| Failure::environment(format!("{}: {error}", path.display()));
        std::fs::create_dir_all(&path).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Failure::new(
                Status::AlreadyRunning,
                format!("{}: a training is at work there", path.display()),
            )
            .hint("wait until it has ended")
        })?;
        Ok(Self { path, _lock: lock })
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Option<T> {
        let path = self.path.join(name);
        let length = std::fs::metadata(&path).ok()?.len();
        let bytes = (length <= MAX_BYTES).then(|| std::fs::read(&path).ok())??;
        let (version, rest) = bytes.split_first_chunk::<4>()?;
        (u32::from_le_bytes(*version) == VERSION).then(|| postcard::from_bytes(rest).ok())?
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Failure> {
        let bytes =
            postcard::to_extend(value, VERSION.to_le_bytes().to_vec()).map_err(Failure::environment)?;
        self.put(name, &bytes)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path.join(name);
        let draft = path.with_extension("new");
        std::fs::write(&draft, bytes)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(|error| Failure::environment(format!("{}: {error}", path.display())))
    }

    /// What an earlier training began with, where it was to grow on the same shipped model.
    pub(crate) fn begun(&self, base: &str) -> Option<Begun> {
        self.read::<Begun>("rows").filter(|begun| begun.base == base)
    }

    /// Begins a training: what was grown before is forgotten first.
    pub(crate) fn begin(&self, begun: &Begun) -> Result<(), Failure> {
        self.clear()?;
        self.write("rows", begun)
    }

    /// What was grown so far.
    pub(crate) fn grown(&self) -> Option<Kept> {
        self.read("grown")
    }

    /// Keeps what was grown.
    pub(crate) fn keep_grown(&self, kept: &Kept) -> Result<(), Failure> {
        self.write("grown", kept)
    }

    /// Forgets what was kept.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        self.remove("grown")?;
        self.remove("rows")
    }

    /// Removes a file; one that is not there is as good.
    fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::environment(format!("{}: {error}", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// Leaves the result for the daemon.
    pub(crate) fn finish(&self, model: &PeakModel, result: &Report) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(result).map_err(Failure::environment)?;
        // The candidate before goes first and the verdict second, so that none is taken up on another one's verdict.
        self.remove("candidate.tgpm")?;
        self.put("result.json", &text)?;
        if result.verdict.is_better() {
            self.put("candidate.tgpm", &model.to_bytes())?;
        }
        self.clear()
    }
}

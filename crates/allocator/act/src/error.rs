//! Everything that can go wrong here, with the path it went wrong at.

use std::io;
use std::path::{Path, PathBuf};

/// Why acting, restoring or guarding failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActError {
    /// The kernel or the file system refused.
    #[error("{}: cannot {what}: {source}", path.display())]
    Io {
        /// On which file.
        path: PathBuf,
        /// Doing what.
        what: &'static str,
        /// In the system's words.
        source: io::Error,
    },
    /// There is no CPU controller to act through.
    #[error("no cpu controller is mounted under {}", root.display())]
    NoCpuController {
        /// Where it was looked for.
        root: PathBuf,
    },
    /// Another enforcer holds this host.
    #[error("{}: another enforcer is running on this host", path.display())]
    AnotherEnforcer {
        /// The cgroup root whose lock it holds.
        path: PathBuf,
    },
    /// The journal is of another version.
    #[error("{}: the journal has version {found}, this program reads {read}; restore with the program that wrote it", path.display())]
    JournalVersion {
        /// The journal.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The version that is read.
        read: u16,
    },
    /// The file is no journal.
    #[error("{}: this is not a journal ({reason})", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The guardian took over: this process may not write any more and should exit.
    #[error("the guardian has taken over (generation {generation}); this process must end")]
    Fenced {
        /// The generation of the journal that was taken.
        generation: u64,
    },
    /// The guardian did not start.
    #[error("the guardian did not start: {reason}")]
    NoGuardian {
        /// In words.
        reason: String,
    },
}

impl ActError {
    pub(crate) fn io(path: &Path, what: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Io {
            path: path.to_owned(),
            what,
            source: source.into(),
        }
    }
}

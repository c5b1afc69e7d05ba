//! What can go wrong in this room, with the path, the process or the function that it is about.

use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tidegate_format::FormatError;
use tidegate_format::message::{MessageError, Reason};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum VariantsError {
    /// A file or folder could not be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The control socket failed.
    #[error("control socket of process {process}: {source}")]
    Socket {
        /// The process at the other end; 0 = not known yet.
        process: u32,
        /// Why.
        source: io::Error,
    },
    /// The other side sent what is not a message.
    #[error("control socket of process {process}: {source}")]
    Message {
        /// The process at the other end; 0 = not known yet.
        process: u32,
        /// Why.
        source: MessageError,
    },
    /// The other side answered something else than what was asked.
    #[error("control socket of process {process}: unexpected answer to {request}")]
    Answer {
        /// The process at the other end.
        process: u32,
        /// What was asked.
        request: &'static str,
    },
    /// The runtime refused.
    #[error("process {process}: {}", reason.text())]
    Refused {
        /// The process.
        process: u32,
        /// Why.
        reason: Reason,
    },
    /// No runtime of this process is connected.
    #[error("process {process} has no tidegate runtime connected: {why}")]
    NotConnected {
        /// The process.
        process: u32,
        /// What is known about it.
        why: String,
    },
    /// The process has no function of this name.
    #[error("process {process} has no switchable function `{function}`")]
    UnknownFunction {
        /// The process.
        process: u32,
        /// What was asked for.
        function: String,
    },
    /// The caller may not command this process.
    #[error("user {user} may not switch process {process} of user {owner}")]
    NotAllowed {
        /// The caller.
        user: u32,
        /// The process.
        process: u32,
        /// Its owner.
        owner: u32,
    },
    /// Switching is paused.
    #[error("paused: everything runs its base until `tidegate resume`")]
    Paused,
    /// A filter was installed after the runtime started; its next system call could be its last.
    #[error("process {process} has a seccomp filter on its helper thread")]
    Seccomp {
        /// The process.
        process: u32,
    },
    /// The worker could not be run.
    #[error("worker {path}: {source}")]
    Worker {
        /// Its executable.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The worker was stopped after its time.
    #[error("worker took more than {limit:?} of CPU time, or ten times as long, and was stopped")]
    WorkerTimeout {
        /// The CPU time it had.
        limit: Duration,
    },
    /// The worker died: LLVM may abort.
    #[error("worker ended with {status}: {message}")]
    WorkerDied {
        /// Exit status or signal.
        status: String,
        /// The last of what it said.
        message: String,
    },
    /// Bytes from the worker, the cache or the process are not what they should be.
    #[error("{what}: {source}")]
    Format {
        /// Which bytes.
        what: &'static str,
        /// Why.
        source: FormatError,
    },
    /// The worker answered that there is no image.
    #[error("no variant: {0}")]
    NoVariant(String),
    /// A stored file of a version that this build does not read.
    #[error("{path}: version {found}, this build reads {known}; remove the file")]
    StoredVersion {
        /// Which file.
        path: PathBuf,
        /// Found in it.
        found: u32,
        /// Read by this build.
        known: u32,
    },
    /// A stored file that is damaged.
    #[error("{path}: {what}")]
    Stored {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The kernel refuses sampling.
    #[error("perf_event_open: {source}; without it, functions are not chosen by heat")]
    Perf {
        /// Why.
        source: io::Error,
    },
    /// An ELF file could not be read.
    #[error("{path}: {what}")]
    Elf {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The daemon answered a command with an error.
    #[error("{0}")]
    Remote(String),
}

/// Attaches a path to an I/O error.
pub(crate) fn at(path: &std::path::Path) -> impl FnOnce(io::Error) -> VariantsError {
    let path = path.to_path_buf();
    move |source| VariantsError::File { path, source }
}

//! What can go wrong at the start. After it, what cannot be read is absent instead.

use std::path::PathBuf;

/// Why the telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A folder or file without which nothing can be measured.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which one.
        path: PathBuf,
        /// The kernel's word.
        source: std::io::Error,
    },
    /// A file that does not look as the kernel writes it.
    #[error("{path}, line {line}: cannot be understood")]
    Malformed {
        /// Which one.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A rule that cannot match anything.
    #[error("rule for app {app}: {problem}")]
    Rule {
        /// The app that the rule names.
        app: String,
        /// What is wrong with it.
        problem: String,
    },
}

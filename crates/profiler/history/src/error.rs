//! What can go wrong in the store, in words that name the file and the remedy.

use std::path::PathBuf;

/// Everything the store refuses or fails at.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The disk said no; `doing` is what was tried.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Another process writes this store.
    #[error(
        "{}: another process writes this store; stop it first, or open the store for reading only",
        path.display()
    )]
    Busy {
        /// The store's folder.
        path: PathBuf,
    },
    /// A file was written by a version of tidegate that this one cannot read.
    #[error(
        "{}: written in format {found}, this tidegate reads up to {supported}; use the newer tidegate, or `tidegate dump` with it and `tidegate import` here",
        path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The newest that is understood.
        supported: u16,
    },
    /// Bytes whose checksum or structure is wrong. The file is kept and skipped.
    #[error("{}: {what}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A value could not be turned into bytes.
    #[error("encoding {what}: {reason}")]
    Encode {
        /// Of what.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A line of an import is not as it should be. Nothing was imported.
    #[error("line {line}, column `{column}`: {reason}")]
    Line {
        /// Counted from 1, the heading included.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The whole of an import is not acceptable. Nothing was imported.
    #[error("import refused: {0}")]
    Import(String),
    /// A text is not a point in time.
    #[error(
        "`{text}` is not a time; write 10m ago, 2h ago, now, 2026-11-24T08:00:00Z, 2026-11-24 or Unix seconds"
    )]
    Time {
        /// What was given.
        text: String,
    },
    /// A model's bytes do not have the hash they are stored under.
    #[error("{}: the bytes do not match the hash in the name; train again or copy it anew", path.display())]
    Model {
        /// Which file.
        path: PathBuf,
    },
}

impl HistoryError {
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn corrupt(path: &std::path::Path, what: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    /// True when the disk had no room (or a quota or size limit was hit).
    pub fn is_no_room(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, HistoryError>;

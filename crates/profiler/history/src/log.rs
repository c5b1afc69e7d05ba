//! A row of growing files in one folder, of which the newest is written.
//!
//! A write that failed is cut off again and the next one is tried at the same place, so a full disk costs
//! what was not written and nothing else. When to begin a new file is the caller's choice.

use crate::error::{HistoryError, Result};
use crate::frame::{self, Purpose};
use crate::layout::{self, LOG_SUFFIX};
use crate::storage::{LogFile, Storage};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The frame at the beginning of each file: when it was begun, UTC milliseconds.
pub(crate) const OPENED: u8 = 0;

/// The writing end.
pub(crate) struct Log {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    folder: &'static str,
    purpose: Purpose,
    sequence: u64,
    file: Option<Arc<dyn LogFile>>,
    length: u64,
    opened_utc_ms: i64,
    unsynced: bool,
    buffer: Vec<u8>,
    written: u64,
}

impl Log {
    /// A log whose next file comes after all that are there.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        dir: &Path,
        folder: &'static str,
        purpose: Purpose,
        after: u64,
    ) -> Result<Self> {
        let last = files(storage.as_ref(), dir, folder)?
            .last()
            .map_or(0, |(number, _)| *number);
        Ok(Self {
            storage,
            dir: dir.to_owned(),
            folder,
            purpose,
            sequence: last.max(after) + 1,
            file: None,
            length: 0,
            opened_utc_ms: 0,
            unsynced: false,
            buffer: Vec::new(),
            written: 0,
        })
    }

    /// The number of the file that is written or would be next.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes written to all files since it was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes in the file that is written.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// When the file that is written was begun.
    pub(crate) fn opened_utc_ms(&self) -> i64 {
        self.opened_utc_ms
    }

    /// True before the first frame of a file.
    pub(crate) fn is_fresh(&self) -> bool {
        self.length == 0
    }

    /// Appends whole frames; `preamble` adds the frames that every file begins with.
    pub(crate) fn append(
        &mut self,
        utc_ms: i64,
        frames: &[u8],
        preamble: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        let path = layout::path(&self.dir, self.folder, self.sequence, LOG_SUFFIX);
        let file = if let Some(file) = &self.file {
            file
        } else {
            let opened = self.storage.open_log(&path);
            self.file
                .insert(opened.map_err(HistoryError::io("making", &path))?)
        };
        self.buffer.clear();
        if self.length == 0 {
            self.buffer.extend_from_slice(&frame::header(self.purpose));
            frame::put(&mut self.buffer, OPENED, &utc_ms.to_le_bytes());
            preamble(&mut self.buffer);
            self.opened_utc_ms = utc_ms;
        }
        self.buffer.extend_from_slice(frames);
        if let Err(error) = file.write_at(self.length, &self.buffer) {
            // If cutting fails too, the next write goes over the rest of this one.
            let _ = file.truncate(self.length);
            return Err(HistoryError::io("writing", &path)(error));
        }
        self.length += self.buffer.len() as u64;
        self.written += self.buffer.len() as u64;
        self.unsynced = true;
        Ok(())
    }

    /// Ends the file; the next frame begins another.
    pub(crate) fn rotate(&mut self) -> Option<Arc<dyn LogFile>> {
        if self.length == 0 {
            return None;
        }
        let file = self.file.take();
        self.sequence += 1;
        self.length = 0;
        std::mem::take(&mut self.unsynced).then_some(file).flatten()
    }

    /// The file, if something in it is not synced yet; it counts as synced from now on.
    pub(crate) fn take_unsynced(&mut self) -> Option<Arc<dyn LogFile>> {
        std::mem::take(&mut self.unsynced)
            .then(|| self.file.clone())
            .flatten()
    }
}

/// The numbers and lengths of a folder's growing files, oldest first.
pub(crate) fn files(storage: &dyn Storage, dir: &Path, folder: &str) -> Result<Vec<(u64, u64)>> {
    numbered(storage, dir, folder, LOG_SUFFIX)
}

/// The numbers and lengths of a folder's files with this suffix, lowest first.
pub(crate) fn numbered(
    storage: &dyn Storage,
    dir: &Path,
    folder: &str,
    suffix: &str,
) -> Result<Vec<(u64, u64)>> {
    let dir = dir.join(folder);
    let mut found: Vec<_> = storage
        .list(&dir)
        .map_err(HistoryError::io("listing", &dir))?
        .into_iter()
        .filter_map(|file| Some((layout::number(&file.name, suffix)?, file.bytes)))
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// The whole file, its header checked; empty when it ends within its header.
pub(crate) fn read(storage: &dyn Storage, path: &Path, purpose: Purpose) -> Result<Vec<u8>> {
    let bytes = storage
        .read(path, 0, usize::MAX)
        .map_err(HistoryError::io("reading", path))?;
    Ok(if frame::check_header(&bytes, purpose, path)? {
        bytes
    } else {
        Vec::new()
    })
}

/// When the file was begun, or `None` where its first frame is not readable.
pub(crate) fn opened_utc_ms(storage: &dyn Storage, path: &Path) -> Option<i64> {
    let bytes = storage.read(path, 0, 64).ok()?;
    let scan = frame::scan(&bytes);
    let first = scan.frames.first().filter(|frame| frame.kind == OPENED)?;
    first.payload.try_into().ok().map(i64::from_le_bytes)
}

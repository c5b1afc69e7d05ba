//! The few things the store needs of a disk, behind a trait, so that tests can cut the power, fill the
//! disk or flip a bit at any moment.
//!
//! Nothing here knows what the bytes mean. Whole files appear atomically ([`Storage::replace`]); logs grow
//! at an offset that the caller keeps, so a write that failed half-way is simply written over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name without the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// A log that grows. Shared between the thread that writes and the one that syncs.
pub trait LogFile: Send + Sync {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file to `length` bytes.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Returns when all that was written is safe from power loss.
    fn sync(&self) -> io::Result<()>;
}

/// A disk.
pub trait Storage: Send + Sync {
    /// Makes the folder and those above it.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The files of a folder by name; empty when the folder is not there.
    fn list(&self, dir: &Path) -> io::Result<Vec<FileEntry>>;
    /// Up to `length` bytes from `offset`; fewer only at the end of the file.
    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// The file's length.
    fn length(&self, path: &Path) -> io::Result<u64>;
    /// Makes or opens a log for writing.
    fn open_log(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;
    /// Puts a whole file in place: after a crash there is the old one or the new one, never a mixture.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file another name in the same folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that is gone already is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealStorage;

/// An open log; the folder's entry for it is made safe with the first sync.
struct RealLog {
    file: File,
    path: PathBuf,
    entry_is_safe: AtomicBool,
}

impl LogFile for RealLog {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.entry_is_safe.load(Ordering::Relaxed) {
            sync_parent(&self.path)?;
            self.entry_is_safe.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The name under which a file is written before it is put in place.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

impl Storage for RealStorage {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FileEntry>> {
        let listing = match fs::read_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing?,
        };
        let mut files = Vec::new();
        for entry in listing {
            let entry = entry?;
            let Ok(meta) = entry.metadata() else { continue };
            if let (true, Ok(name)) = (meta.is_file(), entry.file_name().into_string()) {
                files.push(FileEntry {
                    name,
                    bytes: meta.len(),
                });
            }
        }
        files.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(files)
    }

    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let available = file.metadata()?.len().saturating_sub(offset);
        let length = usize::try_from(available).map_or(length, |available| available.min(length));
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|meta| meta.len())
    }

    fn open_log(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Arc::new(RealLog {
            file,
            path: path.to_owned(),
            entry_is_safe: AtomicBool::new(false),
        }))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = temporary(path);
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_data()
        });
        if let Err(error) = written {
            // The half-written file would only take room that is needed.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        fs::rename(&temporary, path)?;
        sync_parent(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        sync_parent(to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

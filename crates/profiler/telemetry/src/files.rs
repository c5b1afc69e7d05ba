//! Reading kernel files cheaply: kept descriptors, `pread`, one reused buffer.
//!
//! A kept descriptor costs a fifth of open, read, close. Descriptors are a bounded good, so a
//! [`DescriptorBudget`] says how many may be kept; the files beyond it are opened by path each time.
//! Nothing here parses.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Big enough for every file of a host with some 100 CPUs; it grows when one is longer.
const FIRST_BUFFER_BYTES: usize = 64 * 1024;

/// No kernel file that is read here is longer; a longer one is cut.
const LONGEST_FILE_BYTES: usize = 4 * 1024 * 1024;

/// How many descriptors may be kept open, shared by all readers of a collector.
#[derive(Clone, Debug)]
pub(crate) struct DescriptorBudget {
    left: Arc<AtomicUsize>,
}

impl DescriptorBudget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(limit)),
        }
    }

    /// Descriptors that may still be kept.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }

    fn give_back(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }
}

/// A descriptor that counts against the budget until it is dropped.
#[derive(Debug)]
struct Kept {
    fd: OwnedFd,
    budget: DescriptorBudget,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.give_back();
    }
}

/// One buffer for all files of a collector, and the path buffer for those that are opened each time.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    path: Vec<u8>,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            bytes: vec![0; FIRST_BUFFER_BYTES],
            path: Vec::with_capacity(512),
        }
    }
}

/// Whether one read yields the whole file (cgroup files, single-record files of /proc) or the kernel
/// hands out a page at a time (lists such as `/proc/diskstats`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Single,
    Paged,
}

impl Buffer {
    /// The content of an open file from its start.
    pub(crate) fn read(&mut self, fd: impl AsFd, extent: Extent) -> Result<&[u8], Errno> {
        let mut filled = 0;
        loop {
            let got = rustix::io::pread(&fd, &mut self.bytes[filled..], filled as u64)?;
            filled += got;
            if got == 0 || (extent == Extent::Single && filled < self.bytes.len()) {
                return Ok(&self.bytes[..filled]);
            }
            if filled == self.bytes.len() {
                if filled >= LONGEST_FILE_BYTES {
                    return Ok(&self.bytes[..filled]);
                }
                self.bytes.resize(filled * 2, 0);
            }
        }
    }

    /// Opens, reads and closes `folder`/`name` below `root`.
    pub(crate) fn read_at(
        &mut self,
        root: impl AsFd,
        folder: &str,
        name: &str,
        extent: Extent,
    ) -> Result<&[u8], Errno> {
        let fd = self.open_at(root, folder, name)?;
        self.read(fd, extent)
    }

    /// Opens `folder`/`name` below `root`; no allocation once the path buffer has grown.
    pub(crate) fn open_at(&mut self, root: impl AsFd, folder: &str, name: &str) -> Result<OwnedFd, Errno> {
        self.path.clear();
        self.path.extend_from_slice(folder.trim_matches('/').as_bytes());
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.as_bytes());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::openat(root, self.path.as_slice(), flags, Mode::empty())
    }
}

/// Opens a folder for `openat`.
pub(crate) fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// A file that is read again and again: kept open within the budget, else opened each time.
#[derive(Debug)]
pub(crate) struct KeptFile {
    name: &'static str,
    extent: Extent,
    kept: Option<Kept>,
}

impl KeptFile {
    /// Opens `folder`/`name` below `root` once, to see whether it can be read, and keeps it if the
    /// budget allows.
    pub(crate) fn open(
        root: impl AsFd,
        folder: &str,
        name: &'static str,
        extent: Extent,
        budget: &DescriptorBudget,
        buffer: &mut Buffer,
    ) -> Result<Self, Errno> {
        let fd = buffer.open_at(root, folder, name)?;
        buffer.read(&fd, extent)?;
        let kept = budget.take().then(|| Kept {
            fd,
            budget: budget.clone(),
        });
        Ok(Self { name, extent, kept })
    }

    /// The present content.
    pub(crate) fn read<'buffer>(
        &self,
        root: impl AsFd,
        folder: &str,
        buffer: &'buffer mut Buffer,
    ) -> Result<&'buffer [u8], Errno> {
        match &self.kept {
            Some(kept) => buffer.read(&kept.fd, self.extent),
            None => buffer.read_at(root, folder, self.name, self.extent),
        }
    }

    /// The kept descriptor, for the bench that compares with a bare loop.
    pub(crate) fn descriptor(&self) -> Option<rustix::fd::BorrowedFd<'_>> {
        self.kept.as_ref().map(|kept| kept.fd.as_fd())
    }
}

/// A small file as text, once; for what is read at start and on change only.
pub(crate) fn text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .map(|text| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beyond_the_budget_are_still_read() {
        let tree = tempfile::tempdir().expect("tempdir");
        std::fs::create_dir(tree.path().join("web")).expect("folder");
        std::fs::write(tree.path().join("web/cpu.stat"), "usage_usec 5\n").expect("file");
        let root = open_folder(tree.path()).expect("root");
        let (budget, mut buffer) = (DescriptorBudget::new(1), Buffer::default());
        let mut open = || {
            KeptFile::open(&root, "/web", "cpu.stat", Extent::Single, &budget, &mut buffer).expect("opens")
        };
        let (first, second) = (open(), open());
        assert_eq!(budget.left(), 0);
        assert!(first.descriptor().is_some() && second.descriptor().is_none());
        for file in [&first, &second] {
            assert_eq!(file.read(&root, "/web", &mut buffer), Ok(&b"usage_usec 5\n"[..]));
        }
        drop(first);
        assert_eq!(budget.left(), 1);
    }

    #[test]
    fn a_long_file_grows_the_buffer() {
        let tree = tempfile::tempdir().expect("tempdir");
        std::fs::write(tree.path().join("long"), vec![b'x'; FIRST_BUFFER_BYTES * 3]).expect("file");
        let root = open_folder(tree.path()).expect("root");
        for extent in [Extent::Single, Extent::Paged] {
            let mut buffer = Buffer::default();
            let read = buffer.read_at(&root, "", "long", extent).expect("reads");
            assert_eq!(read.len(), FIRST_BUFFER_BYTES * 3);
        }
    }
}

//! One group, held by its open folder: a group that was re-created under the same path is another one.

use crate::Layout;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// Longest text of a knob file; more is not a knob.
const LONGEST_VALUE: usize = 256;

/// Why a group could not be read or written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GroupFault {
    /// It is gone, or its folder is another one.
    Gone,
    /// It has no such file.
    NoSuchFile,
    /// The kernel's words.
    Refused(String),
}

impl From<Errno> for GroupFault {
    fn from(errno: Errno) -> Self {
        match errno {
            // A kept folder of a group that was removed.
            Errno::NODEV => Self::Gone,
            Errno::NOENT => Self::NoSuchFile,
            other => Self::Refused(io::Error::from(other).to_string()),
        }
    }
}

/// An open group.
#[derive(Debug)]
pub(crate) struct Group {
    folder: OwnedFd,
}

impl Group {
    /// Opens the group at `path` if its folder is still the one with inode `id`.
    pub(crate) fn open(layout: &Layout, path: &str, id: u64) -> Result<Self, GroupFault> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(layout.folder(path), flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) => return Err(GroupFault::Gone),
            Err(errno) => return Err(errno.into()),
        };
        if rustix::fs::fstat(&folder)?.st_ino != id {
            return Err(GroupFault::Gone);
        }
        Ok(Self { folder })
    }

    /// A path to one of its files that cannot come to mean another group's.
    pub(crate) fn pinned(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd())).join(name)
    }

    /// A file's text without its line end.
    pub(crate) fn read(&self, name: &str) -> Result<String, GroupFault> {
        let file = rustix::fs::openat(
            &self.folder,
            name,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let file = file.map_err(|errno| self.missing_or(errno))?;
        let mut buffer = [0; LONGEST_VALUE];
        let length = rustix::io::pread(&file, &mut buffer, 0)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
    }

    /// Writes a file's whole text, in one write that is seen whole or not at all. (Knobs have no size; a plain file
    /// of a fake tree would keep the tail of a longer text, so there it is covered with blanks.)
    pub(crate) fn write(&self, name: &str, value: &str) -> Result<(), GroupFault> {
        let file = rustix::fs::openat(
            &self.folder,
            name,
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let file = file.map_err(|errno| self.missing_or(errno))?;
        let size = usize::try_from(rustix::fs::fstat(&file)?.st_size)
            .unwrap_or(0)
            .min(LONGEST_VALUE);
        rustix::io::write(&file, format!("{value:<size$}").as_bytes())?;
        Ok(())
    }

    /// A missing file in a folder that was removed means that the group is gone.
    fn missing_or(&self, errno: Errno) -> GroupFault {
        let shown =
            std::fs::read_link(format!("/proc/self/fd/{}", self.folder.as_raw_fd())).unwrap_or_default();
        let removed = shown.as_os_str().as_encoded_bytes().ends_with(b" (deleted)");
        if errno == Errno::NOENT && removed {
            GroupFault::Gone
        } else {
            errno.into()
        }
    }
}

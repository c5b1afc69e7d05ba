//! One enforcer per host: a lock on the root folder of the tree that is acted on.

use crate::{ActError, Layout};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Held until it is dropped, or its process is gone.
#[derive(Debug)]
pub(crate) struct Lock {
    _folder: OwnedFd,
}

impl Lock {
    /// Takes the lock, or says that somebody has it. A lock on a folder writes nothing.
    pub(crate) fn take(layout: &Layout) -> Result<Self, ActError> {
        let path = layout.root();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty());
        let folder = folder.map_err(|error| ActError::io(path, "open the cgroup root", error))?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _folder: folder }),
            Err(Errno::WOULDBLOCK) => Err(ActError::AnotherEnforcer {
                path: path.to_owned(),
            }),
            Err(error) => Err(ActError::io(path, "lock the cgroup root", error)),
        }
    }
}

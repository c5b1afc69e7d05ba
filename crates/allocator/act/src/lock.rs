//! One enforcer per host: a lock on the root folder of the tree that is acted on.

use crate::{ActError, Layout};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A lock outlives its process for as long as a child that was just forked has not started its own program.
const LINGERS: Duration = Duration::from_millis(300);

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
        let begin = Instant::now();
        loop {
            match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _folder: folder }),
                Err(Errno::WOULDBLOCK) if begin.elapsed() < LINGERS => std::thread::sleep(LINGERS / 10),
                Err(Errno::WOULDBLOCK) => {
                    return Err(ActError::AnotherEnforcer {
                        path: path.to_owned(),
                    });
                }
                Err(error) => return Err(ActError::io(path, "lock the cgroup root", error)),
            }
        }
    }
}

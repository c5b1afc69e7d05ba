//! Who else writes what is ours: a watch on every leased knob file, and on the disabling file's folder.
//!
//! The kernel queues a notice for each write, also of the same value, before the write returns. So our own
//! writes are recognised by taking the queue right before and right after them; a foreign write that falls
//! between those two (some microseconds) is seen only where its value differs from ours.

use crate::{ActError, group::Group};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use tidegate_types::{AppName, Knob};

/// Names one knob of one app.
pub(crate) type Key = (AppName, Knob);

/// The queue of notices.
#[derive(Debug)]
pub(crate) struct Watch {
    queue: OwnedFd,
    keys: BTreeMap<i32, Key>,
}

impl Watch {
    /// An empty watch; the folder of `disable`, where it exists, is watched from the start.
    pub(crate) fn new(disable: &Path) -> Result<Self, ActError> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let queue = queue.map_err(|error| ActError::io(disable, "watch", error))?;
        if let Some(folder) = disable.parent().filter(|folder| folder.is_dir()) {
            let flags =
                WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM;
            inotify::add_watch(&queue, folder, flags)
                .map_err(|error| ActError::io(folder, "watch", error))?;
        }
        Ok(Self {
            queue,
            keys: BTreeMap::new(),
        })
    }

    /// Readable while there are notices.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// Watches the files of `key`.
    pub(crate) fn add(&mut self, key: &Key, group: &Group, files: &[&str]) -> Result<(), Errno> {
        for file in files {
            let watch = inotify::add_watch(&self.queue, group.pinned(file), WatchFlags::MODIFY)?;
            self.keys.insert(watch, key.clone());
        }
        Ok(())
    }

    /// Stops watching `key`.
    pub(crate) fn remove(&mut self, key: &Key) {
        let watches: Vec<i32> = self
            .keys
            .iter()
            .filter(|(_, held)| *held == key)
            .map(|(watch, _)| *watch)
            .collect();
        for watch in watches {
            // The group may be gone, and its watches with it.
            let _ = inotify::remove_watch(&self.queue, watch);
            self.keys.remove(&watch);
        }
    }

    /// Takes all notices: the knobs that were written since the last call. When the queue overflowed, every
    /// watched knob may have been.
    pub(crate) fn written(&mut self) -> BTreeSet<Key> {
        let mut written = BTreeSet::new();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.queue, &mut buffer);
        while let Ok(notice) = reader.next() {
            if notice.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                written.extend(self.keys.values().cloned());
            }
            if notice.events().contains(inotify::ReadFlags::MODIFY) {
                written.extend(self.keys.get(&notice.wd()).cloned());
            }
        }
        written
    }
}

//! A disk in memory that can be cut off at any write, filled up, or damaged.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tidegate_history::storage::{FileEntry, LogFile, Storage};

#[derive(Clone, Default)]
struct Node {
    data: Vec<u8>,
    /// What power loss leaves.
    durable: Vec<u8>,
}

#[derive(Clone, Default)]
struct Content {
    files: BTreeMap<PathBuf, Node>,
    /// Changes still allowed before everything fails.
    changes_left: Option<usize>,
    changes: usize,
    capacity: Option<usize>,
    refuses_replacing: bool,
}

/// Shared by the store and the test.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Content>>);

struct Log {
    disk: Disk,
    path: PathBuf,
}

fn dead() -> io::Error {
    io::Error::other("the machine is off")
}

impl Content {
    /// Counts a change: `Ok(true)` goes through, `Ok(false)` is the one that is cut in half.
    fn change(&mut self) -> io::Result<bool> {
        self.changes += 1;
        match &mut self.changes_left {
            None => Ok(true),
            Some(0) => Err(dead()),
            Some(left) => {
                *left -= 1;
                Ok(*left > 0)
            }
        }
    }

    fn bytes(&self) -> usize {
        self.files.values().map(|node| node.data.len()).sum()
    }

    fn room(&self, more: usize) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if self.bytes() + more > capacity => Err(ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

fn overwrite(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if data.len() < offset + bytes.len() {
        data.resize(offset + bytes.len(), 0);
    }
    data[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Disk {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    /// Everything fails after so many changes; the last one is done by half.
    pub(crate) fn die_after(&self, changes: usize) {
        self.content().changes_left = Some(changes);
    }

    pub(crate) fn changes(&self) -> usize {
        self.content().changes
    }

    pub(crate) fn set_capacity(&self, capacity: Option<usize>) {
        self.content().capacity = capacity;
    }

    /// Whole files find no room; logs do.
    pub(crate) fn refuse_replacing(&self, refuse: bool) {
        self.content().refuses_replacing = refuse;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.content().bytes()
    }

    /// The disk after the process was killed, or after the power went.
    pub(crate) fn survivor(&self, power_loss: bool) -> Self {
        let mut content = self.content().clone();
        content.changes_left = None;
        content.capacity = None;
        if power_loss {
            for node in content.files.values_mut() {
                node.data.clone_from(&node.durable);
            }
        }
        Self(Arc::new(Mutex::new(content)))
    }

    /// All files with their lengths.
    pub(crate) fn files(&self) -> Vec<(PathBuf, usize)> {
        let content = self.content();
        let files = content.files.iter();
        files
            .map(|(path, node)| (path.clone(), node.data.len()))
            .collect()
    }

    /// Changes the bytes of one file.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(node) = self.content().files.get_mut(path) {
            change(&mut node.data);
        }
    }
}

impl LogFile for Log {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.disk.content();
        let whole = content.change()?;
        let room = content.room(bytes.len());
        let half = if whole && room.is_ok() {
            bytes
        } else {
            &bytes[..bytes.len() / 2]
        };
        let node = content.files.entry(self.path.clone()).or_default();
        overwrite(&mut node.data, offset as usize, half);
        room?;
        if whole { Ok(()) } else { Err(dead()) }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut content = self.disk.content();
        content.change()?;
        let node = content.files.entry(self.path.clone()).or_default();
        node.data.truncate(length as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = self.disk.content();
        if content.changes_left == Some(0) {
            return Err(dead());
        }
        if let Some(node) = content.files.get_mut(&self.path) {
            node.durable = node.data.clone();
        }
        Ok(())
    }
}

impl Storage for Disk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FileEntry>> {
        let content = self.content();
        let inside = content
            .files
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, node): (&PathBuf, &Node)| FileEntry {
            name: path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
                .to_owned(),
            bytes: node.data.len() as u64,
        };
        Ok(inside.map(entry).collect())
    }

    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let content = self.content();
        let node = content.files.get(path).ok_or(ErrorKind::NotFound)?;
        let rest = node.data.get(offset as usize..).unwrap_or_default();
        Ok(rest[..rest.len().min(length)].to_vec())
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let content = self.content();
        let node = content.files.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(node.data.len() as u64)
    }

    fn open_log(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let mut content = self.content();
        if !content.files.contains_key(path) {
            content.change()?;
            content.files.insert(path.to_owned(), Node::default());
        }
        Ok(Arc::new(Log {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.content();
        let whole = content.change()?;
        if content.refuses_replacing {
            return Err(ErrorKind::StorageFull.into());
        }
        content.room(bytes.len())?;
        let mut name = path.as_os_str().to_owned();
        if !whole {
            name.push(".tmp");
        }
        let half = if whole { bytes } else { &bytes[..bytes.len() / 2] };
        let node = Node {
            data: half.to_vec(),
            durable: half.to_vec(),
        };
        content.files.insert(PathBuf::from(name), node);
        if whole { Ok(()) } else { Err(dead()) }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut content = self.content();
        content.change()?;
        let node = content.files.remove(from).ok_or(ErrorKind::NotFound)?;
        content.files.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut content = self.content();
        content.change()?;
        content.files.remove(path);
        Ok(())
    }
}

/// The disk as the store takes it.
pub(crate) fn shared(disk: &Disk) -> Arc<dyn Storage> {
    Arc::new(disk.clone())
}

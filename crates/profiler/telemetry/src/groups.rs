//! The group folders of every hierarchy, kept up to date by inotify.
//!
//! The tree is walked once; from then on new and removed folders, and writes to the files that
//! matter (limits, membership, enabled controllers), arrive as events. A watch is set before its
//! folder is listed, so nothing falls between. Where watches cannot be had, or events were lost, the
//! caller walks again at its slow interval. The inode of a folder is the identity of the group:
//! the same path with another inode is another group.

use crate::layout::{HIERARCHIES, Layout};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use tidegate_types::{Group, GroupPath, Hierarchy};

/// Group ids by hierarchy; 0 where the path has no group in it.
pub(crate) type GroupIds = [u64; HIERARCHIES.len()];

/// Folders deeper than this are not looked at: nobody nests so deep, and a loop must end.
const DEEPEST: usize = 32;

/// Most groups that are followed; what lies beyond is counted with its parent, and said by the doctor.
pub(crate) const MOST_GROUPS: usize = 20_000;

const EVENT_BUFFER_BYTES: usize = 32 * 1024;

/// Rounds of events in one look; a storm of new groups must not hold up the sample.
const MOST_ROUNDS: usize = 16;

/// What someone wrote in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// A limit or weight.
    Limits,
    /// The list of processes.
    Members,
    /// The controllers of its children, whose files come and go with them.
    Controllers,
}

/// What the events of one look said.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Groups came, went or were made anew.
    pub(crate) tree: bool,
    /// Files that were written, by group path.
    pub(crate) touched: Vec<(Arc<str>, Touched)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct GroupTree {
    layout: Layout,
    groups: BTreeMap<Arc<str>, GroupIds>,
    inotify: Option<OwnedFd>,
    /// Controllers that are mounted together share a folder, hence a watch.
    watches: HashMap<i32, Vec<(Hierarchy, Arc<str>)>>,
    buffer: Vec<MaybeUninit<u8>>,
    announced: Vec<(i32, ReadFlags, Box<[u8]>)>,
    /// Some folder has no watch, so the tree must be walked again now and then.
    pub(crate) unwatched: bool,
    /// More groups exist than are followed.
    pub(crate) overfull: bool,
    pub(crate) changes: Changes,
}

fn touched(name: &[u8]) -> Option<Touched> {
    match name {
        b"cgroup.procs" | b"tasks" => Some(Touched::Members),
        b"cgroup.subtree_control" => Some(Touched::Controllers),
        b"cpu.max"
        | b"cpu.max.burst"
        | b"cpu.weight"
        | b"cpu.weight.nice"
        | b"cpu.idle"
        | b"memory.max"
        | b"memory.high"
        | b"cpu.cfs_quota_us"
        | b"cpu.cfs_period_us"
        | b"cpu.cfs_burst_us"
        | b"cpu.shares"
        | b"memory.limit_in_bytes" => Some(Touched::Limits),
        _ => None,
    }
}

impl GroupTree {
    /// Walks all hierarchies of `layout` and watches what it finds.
    pub(crate) fn new(layout: Layout) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let mut tree = Self {
            layout,
            groups: BTreeMap::new(),
            unwatched: inotify.is_none(),
            inotify,
            watches: HashMap::new(),
            buffer: vec![MaybeUninit::uninit(); EVENT_BUFFER_BYTES],
            announced: Vec::new(),
            overfull: false,
            changes: Changes::default(),
        };
        tree.walk_all();
        tree
    }

    /// All groups but the roots, by path.
    pub(crate) fn groups(&self) -> &BTreeMap<Arc<str>, GroupIds> {
        &self.groups
    }

    /// Watches that are set.
    pub(crate) fn watched(&self) -> usize {
        self.watches.len()
    }

    /// Walks everything again, for lost events and for folders without a watch.
    pub(crate) fn walk_again(&mut self) {
        let before = std::mem::take(&mut self.groups);
        self.unwatched = self.inotify.is_none();
        self.overfull = false;
        self.walk_all();
        self.changes.tree |= before != self.groups;
    }

    fn walk_all(&mut self) {
        for mount in self.layout.mounts.clone() {
            self.walk(mount.hierarchy, &mount.path, "", DEEPEST);
        }
    }

    fn walk(&mut self, hierarchy: Hierarchy, folder: &Path, path: &str, depth: usize) {
        let Ok(metadata) = std::fs::metadata(folder) else {
            return;
        };
        let shared: Arc<str> = Arc::from(path);
        self.watch(hierarchy, folder, &shared);
        if !path.is_empty() {
            if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(path) {
                self.overfull = true;
                return;
            }
            self.groups.entry(shared).or_default()[hierarchy as usize] = metadata.ino();
        }
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // A name that is not text cannot be an app's name; its processes count with the parent.
            if let (true, Some(name), Some(depth)) =
                (is_folder, entry.file_name().to_str(), depth.checked_sub(1))
            {
                self.walk(hierarchy, &entry.path(), &format!("{path}/{name}"), depth);
            }
        }
    }

    fn watch(&mut self, hierarchy: Hierarchy, folder: &Path, path: &Arc<str>) {
        let Some(inotify) = &self.inotify else { return };
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::MODIFY
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(inotify, folder, flags) {
            Ok(number) => {
                let places = self.watches.entry(number).or_default();
                if !places
                    .iter()
                    .any(|place| place.0 == hierarchy && place.1 == *path)
                {
                    places.push((hierarchy, path.clone()));
                }
            }
            Err(Errno::NOENT) => {}
            Err(_) => self.unwatched = true,
        }
    }

    /// Takes all events that are waiting; what they say is in `changes`, to which this adds.
    pub(crate) fn drain(&mut self) {
        let mut announced = std::mem::take(&mut self.announced);
        // Handling one may set watches, whose events are then taken as well.
        for _ in 0..MOST_ROUNDS {
            self.receive(&mut announced);
            if announced.is_empty() {
                break;
            }
            for (number, flags, name) in announced.drain(..) {
                let places = self.watches.get(&number).cloned().unwrap_or_default();
                for (hierarchy, path) in places {
                    self.happened(hierarchy, &path, &name, flags);
                }
            }
        }
        self.announced = announced;
    }

    /// Moves the waiting events that matter into `announced`.
    fn receive(&mut self, announced: &mut Vec<(i32, ReadFlags, Box<[u8]>)>) {
        let Some(inotify) = &self.inotify else { return };
        let mut reader = inotify::Reader::new(inotify, &mut self.buffer);
        while let Ok(event) = reader.next() {
            let (number, flags) = (event.wd(), event.events());
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                self.unwatched = true;
                self.changes.tree = true;
                continue;
            }
            if flags.contains(ReadFlags::IGNORED) {
                self.watches.remove(&number);
                continue;
            }
            let name = event.file_name().map_or(&b""[..], std::ffi::CStr::to_bytes);
            let is_folder = flags.contains(ReadFlags::ISDIR);
            if is_folder || (flags.contains(ReadFlags::MODIFY) && touched(name).is_some()) {
                announced.push((number, flags, Box::from(name)));
            }
        }
    }

    fn happened(&mut self, hierarchy: Hierarchy, path: &Arc<str>, name: &[u8], flags: ReadFlags) {
        if !flags.contains(ReadFlags::ISDIR) {
            self.changes
                .touched
                .extend(touched(name).map(|what| (path.clone(), what)));
            return;
        }
        let (Ok(name), Some(root)) = (std::str::from_utf8(name), self.layout.root(hierarchy)) else {
            return;
        };
        let child = format!("{path}/{name}");
        let folder = root.join(child.trim_start_matches('/'));
        self.changes.tree = true;
        if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            let depth = DEEPEST.saturating_sub(child.matches('/').count());
            self.walk(hierarchy, &folder, &child, depth);
        } else {
            self.forget(hierarchy, &child);
        }
    }

    fn forget(&mut self, hierarchy: Hierarchy, path: &str) {
        let below = format!("{path}/");
        self.groups.retain(|other, ids| {
            if &**other == path || other.starts_with(&below) {
                ids[hierarchy as usize] = 0;
            }
            ids.iter().any(|id| *id != 0)
        });
    }
}

/// The groups at `path` as the shared vocabulary has them.
pub(crate) fn group(path: &Arc<str>, ids: &GroupIds) -> Group {
    let paths = HIERARCHIES
        .iter()
        .filter(|hierarchy| ids[**hierarchy as usize] != 0)
        .map(|hierarchy| GroupPath {
            hierarchy: *hierarchy,
            path: path.clone(),
            id: ids[*hierarchy as usize],
        })
        .collect();
    Group { paths }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(folders: &[&str]) -> (tempfile::TempDir, GroupTree) {
        let root = tempfile::tempdir().expect("tempdir");
        std::fs::write(root.path().join("cgroup.controllers"), "cpu").expect("file");
        for folder in folders {
            std::fs::create_dir_all(root.path().join(folder)).expect("folder");
        }
        let tree = GroupTree::new(Layout::detect(root.path()));
        (root, tree)
    }

    fn paths(tree: &GroupTree) -> Vec<&str> {
        tree.groups().keys().map(|path| &**path).collect()
    }

    #[test]
    fn groups_are_followed_as_they_come_and_go() {
        let (root, mut tree) = tree(&["a/b"]);
        assert_eq!(paths(&tree), ["/a", "/a/b"]);
        std::fs::create_dir_all(root.path().join("a/c/d")).expect("folder");
        tree.drain();
        assert_eq!(paths(&tree), ["/a", "/a/b", "/a/c", "/a/c/d"]);
        std::fs::create_dir(root.path().join("a/c/d/e")).expect("folder");
        std::fs::remove_dir(root.path().join("a/b")).expect("removed");
        tree.drain();
        assert_eq!(paths(&tree), ["/a", "/a/c", "/a/c/d", "/a/c/d/e"]);
        assert!(tree.changes.tree);
    }

    #[test]
    fn a_group_made_anew_has_another_id() {
        let (root, mut tree) = tree(&["a"]);
        let before = tree.groups()["/a"];
        // The new folder is made first, so that the file system cannot hand out the old inode.
        std::fs::create_dir(root.path().join("other")).expect("folder");
        std::fs::remove_dir(root.path().join("a")).expect("removed");
        std::fs::rename(root.path().join("other"), root.path().join("a")).expect("renamed");
        tree.drain();
        assert_ne!(tree.groups()["/a"], before);
        assert_eq!(paths(&tree), ["/a"]);
    }

    #[test]
    fn writes_to_limits_and_members_are_seen() {
        let (root, mut tree) = tree(&["a"]);
        std::fs::write(root.path().join("a/cpu.max"), "max 100000").expect("write");
        std::fs::write(root.path().join("a/cpu.stat"), "usage_usec 1").expect("write");
        std::fs::write(root.path().join("a/cgroup.procs"), "1").expect("write");
        tree.drain();
        let mut seen: Vec<_> = tree
            .changes
            .touched
            .iter()
            .map(|(path, what)| (&**path, *what))
            .collect();
        seen.dedup();
        assert_eq!(seen, [("/a", Touched::Limits), ("/a", Touched::Members)]);
        assert!(!tree.changes.tree);
    }
}

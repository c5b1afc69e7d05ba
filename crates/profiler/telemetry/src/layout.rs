//! Which cgroup layout the host has: where each hierarchy is mounted.
//!
//! Detected from the folders themselves below one configurable root, so that the same code runs on
//! fake trees. Pure v2, hybrid (v1 controllers with a v2 tree beside them) and pure v1 are all
//! first-class; a host without any is watched from /proc alone.

use rustix::fd::OwnedFd;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tidegate_types::Hierarchy;

/// How the hierarchies are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayoutKind {
    /// One v2 tree.
    V2,
    /// v1 controllers, and a v2 tree that carries waiting (PSI) and basic CPU usage.
    Hybrid,
    /// v1 controllers alone.
    V1,
    /// No cgroup tree can be read.
    Absent,
}

impl LayoutKind {
    /// In words, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::V2 => "cgroup v2",
            Self::Hybrid => "cgroup v1 controllers with a v2 tree beside them (hybrid)",
            Self::V1 => "cgroup v1",
            Self::Absent => "no cgroup tree",
        }
    }
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Which tree.
    pub hierarchy: Hierarchy,
    /// Its root folder.
    pub path: PathBuf,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The kind.
    pub kind: LayoutKind,
    /// Sorted by hierarchy; v1 controllers that are mounted together have the same folder.
    pub mounts: Vec<Mount>,
}

/// All hierarchies, in their order.
pub(crate) const HIERARCHIES: [Hierarchy; 6] = [
    Hierarchy::V2,
    Hierarchy::Cpu,
    Hierarchy::Cpuacct,
    Hierarchy::Cpuset,
    Hierarchy::Blkio,
    Hierarchy::Memory,
];

/// The hierarchies whose groups make apps. The others only add to an app of equal path: a process
/// may sit in one group of each, and must be counted once.
pub(crate) const APP_HIERARCHIES: [Hierarchy; 3] = [Hierarchy::V2, Hierarchy::Cpu, Hierarchy::Cpuacct];

/// The name of a v1 controller in paths and in `/proc/PID/cgroup`; empty for v2.
pub(crate) fn controller(hierarchy: Hierarchy) -> &'static str {
    match hierarchy {
        Hierarchy::V2 => "",
        Hierarchy::Cpu => "cpu",
        Hierarchy::Cpuacct => "cpuacct",
        Hierarchy::Cpuset => "cpuset",
        Hierarchy::Blkio => "blkio",
        Hierarchy::Memory => "memory",
    }
}

fn v1_folder(cgroup_root: &Path, hierarchy: Hierarchy) -> Option<PathBuf> {
    let own = cgroup_root.join(controller(hierarchy));
    let candidates = match hierarchy {
        Hierarchy::Cpu | Hierarchy::Cpuacct => vec![
            own,
            cgroup_root.join("cpu,cpuacct"),
            cgroup_root.join("cpuacct,cpu"),
        ],
        _ => vec![own],
    };
    candidates
        .into_iter()
        .find(|folder| folder.join("cgroup.procs").exists())
}

impl Layout {
    /// What stands below `cgroup_root` (on a host: `/sys/fs/cgroup`).
    pub fn detect(cgroup_root: &Path) -> Self {
        let is_v2 = |folder: &Path| folder.join("cgroup.controllers").exists();
        let v2 = |path: PathBuf| Mount {
            hierarchy: Hierarchy::V2,
            path,
        };
        if is_v2(cgroup_root) {
            return Self {
                kind: LayoutKind::V2,
                mounts: vec![v2(cgroup_root.to_owned())],
            };
        }
        let unified = cgroup_root.join("unified");
        let mut mounts: Vec<Mount> = is_v2(&unified).then(|| v2(unified)).into_iter().collect();
        let has_v2 = !mounts.is_empty();
        mounts.extend(HIERARCHIES[1..].iter().filter_map(|hierarchy| {
            Some(Mount {
                hierarchy: *hierarchy,
                path: v1_folder(cgroup_root, *hierarchy)?,
            })
        }));
        let has_v1 = mounts.len() > usize::from(has_v2);
        let kind = match (has_v1, has_v2) {
            (true, true) => LayoutKind::Hybrid,
            (true, false) => LayoutKind::V1,
            (false, true) => LayoutKind::V2,
            (false, false) => LayoutKind::Absent,
        };
        Self { kind, mounts }
    }

    /// The root folder of `hierarchy`, where it is mounted.
    pub fn root(&self, hierarchy: Hierarchy) -> Option<&Path> {
        self.mounts
            .iter()
            .find(|mount| mount.hierarchy == hierarchy)
            .map(|mount| mount.path.as_path())
    }
}

/// Open root folders, by hierarchy.
#[derive(Debug)]
pub(crate) struct Roots {
    folders: [Option<OwnedFd>; HIERARCHIES.len()],
}

impl Roots {
    pub(crate) fn open(layout: &Layout) -> Self {
        Self {
            folders: HIERARCHIES.map(|hierarchy| {
                layout
                    .root(hierarchy)
                    .and_then(|path| crate::files::open_folder(path).ok())
            }),
        }
    }

    pub(crate) fn get(&self, hierarchy: Hierarchy) -> Option<&OwnedFd> {
        self.folders[hierarchy as usize].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[&str], expect: LayoutKind, hierarchies: &[Hierarchy]) {
        let tree = tempfile::tempdir().expect("tempdir");
        for file in files {
            let path = tree.path().join(file);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(path, "").expect("file");
        }
        let layout = Layout::detect(tree.path());
        assert_eq!(layout.kind, expect, "{files:?}");
        let found: Vec<_> = layout.mounts.iter().map(|mount| mount.hierarchy).collect();
        assert_eq!(found, hierarchies, "{files:?}");
    }

    #[test]
    fn the_layouts_are_told_apart() {
        check(&["cgroup.controllers"], LayoutKind::V2, &[Hierarchy::V2]);
        check(
            &[
                "unified/cgroup.controllers",
                "cpu/cgroup.procs",
                "memory/cgroup.procs",
            ],
            LayoutKind::Hybrid,
            &[Hierarchy::V2, Hierarchy::Cpu, Hierarchy::Memory],
        );
        check(
            &["cpu,cpuacct/cgroup.procs", "blkio/cgroup.procs"],
            LayoutKind::V1,
            &[Hierarchy::Cpu, Hierarchy::Cpuacct, Hierarchy::Blkio],
        );
        check(&[], LayoutKind::Absent, &[]);
    }
}

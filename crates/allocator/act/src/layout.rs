//! Where the CPU controller of this host is, and in which dialect it speaks.

use crate::ActError;
use std::path::{Path, PathBuf};
use tidegate_types::Hierarchy;

/// The tree in which CPU knobs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// [`Hierarchy::V2`] or [`Hierarchy::Cpu`].
    hierarchy: Hierarchy,
    /// Its mount point.
    root: PathBuf,
}

impl Layout {
    /// The layout with the v2 tree at `root`.
    pub fn v2(root: impl Into<PathBuf>) -> Self {
        Self {
            hierarchy: Hierarchy::V2,
            root: root.into(),
        }
    }

    /// The layout with the v1 `cpu` hierarchy at `root`.
    pub fn v1(root: impl Into<PathBuf>) -> Self {
        Self {
            hierarchy: Hierarchy::Cpu,
            root: root.into(),
        }
    }

    /// The layout of this host, by its mounts: v1 `cpu` where that is mounted, else v2.
    pub fn detect() -> Result<Self, ActError> {
        let path = Path::new("/proc/self/mounts");
        let mounts =
            std::fs::read_to_string(path).map_err(|error| ActError::io(path, "read the mounts", error))?;
        Self::from_mounts(&mounts).ok_or_else(|| ActError::NoCpuController {
            root: PathBuf::from("/sys/fs/cgroup"),
        })
    }

    fn from_mounts(mounts: &str) -> Option<Self> {
        let mut v2 = None;
        for line in mounts.lines() {
            let mut words = line.split(' ');
            let (_, at, kind, options) = (words.next()?, words.next()?, words.next()?, words.next()?);
            if kind == "cgroup" && options.split(',').any(|option| option == "cpu") {
                return Some(Self::v1(at));
            }
            if kind == "cgroup2" && v2.is_none() {
                v2 = Some(Self::v2(at));
            }
        }
        v2
    }

    /// Which hierarchy the knobs are in.
    pub fn hierarchy(&self) -> Hierarchy {
        self.hierarchy
    }

    /// Its mount point.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the group at `path` (which starts with `/`).
    pub fn folder(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_host_acts_through_v1_cpu() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            Layout::from_mounts(hybrid),
            Some(Layout::v1("/sys/fs/cgroup/cpu,cpuacct"))
        );
        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
        assert_eq!(Layout::from_mounts(unified), Some(Layout::v2("/sys/fs/cgroup")));
        assert_eq!(Layout::from_mounts("tmpfs /run tmpfs rw 0 0\n"), None);
    }
}

//! The content of every writable file of the cgroup trees, to see whether a run changed any.
//!
//! Process lists are left out, because processes come and go; so is what the kernel itself keeps changing (pressure
//! and counters that may be reset by writing), which is told by name or by a second look before the run.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Files of processes.
const PROCESS_LISTS: [&str; 3] = ["cgroup.procs", "cgroup.threads", "tasks"];
/// Ends of names of what the kernel counts in files that can be written.
const COUNTERS: [&str; 6] = [
    ".pressure",
    "cpuacct.usage",
    ".failcnt",
    "max_usage_in_bytes",
    "memory.peak",
    "memory.swap.peak",
];

/// Content by path.
pub(super) struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    /// Reads all trees.
    pub(super) fn read() -> Result<Self> {
        let mut files = BTreeMap::new();
        walk(Path::new("/sys/fs/cgroup"), &mut files)?;
        Ok(Self(files))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Paths whose content is another one in `later`, other than those that already differ from `calm`. What came or
    /// went meanwhile is somebody's new group, not a changed file.
    pub(super) fn differences(&self, later: &Self, calm: &Self) -> Vec<String> {
        let changed = self.0.iter().filter(|(path, content)| {
            let restless = calm.0.get(*path) != Some(content);
            !restless && later.0.get(*path).is_some_and(|later| later != *content)
        });
        changed.map(|(path, _)| path.display().to_string()).collect()
    }
}

fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // A group may go while we look.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            walk(&path, files)?;
        } else if metadata.is_file() && metadata.permissions().mode() & 0o222 != 0 && is_setting(&path) {
            // Some can only be written.
            files.extend(std::fs::read(&path).ok().map(|content| (path, content)));
        }
    }
    Ok(())
}

fn is_setting(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    !PROCESS_LISTS.contains(&name) && !COUNTERS.iter().any(|counter| name.ends_with(counter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> Files {
        Files(
            entries
                .iter()
                .map(|(path, content)| (PathBuf::from(path), content.as_bytes().to_vec()))
                .collect(),
        )
    }

    #[test]
    fn only_a_changed_setting_is_a_difference() {
        let calm = files(&[("a", "1"), ("b", "1"), ("gone", "1")]);
        let before = files(&[("a", "1"), ("b", "2"), ("gone", "1")]);
        let later = files(&[("a", "9"), ("b", "3"), ("new", "1")]);
        assert_eq!(before.differences(&later, &calm), ["a"]);
        assert!(before.differences(&before, &calm).is_empty());
    }

    #[test]
    fn counters_and_process_lists_are_no_settings() {
        assert!(is_setting(Path::new("/x/cpu.max")));
        assert!(!is_setting(Path::new("/x/cpu.pressure")));
        assert!(!is_setting(Path::new("/x/cgroup.procs")));
    }
}

//! Which processes there are, whose they are, and in which group they sit.
//!
//! A sweep reads /proc once through; process events name single processes in between. Kernel threads
//! are known but never apps. Executables and users are read without arguments or environments.

use crate::files::{Buffer, Extent, open_folder};
use crate::layout::{APP_HIERARCHIES, controller};
use crate::parse;
use rustix::fd::OwnedFd;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_types::Hierarchy;

/// More processes than this are not followed one by one; the rest counts as too short-lived.
const MOST_PROCESSES: usize = 32_768;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Clock ticks after boot; with the number it is the identity, since numbers are used again.
    pub(crate) start_ticks: u64,
    /// A thread of the kernel.
    pub(crate) kernel: bool,
    /// File name of its executable, or its own name where the link may not be read.
    pub(crate) executable: Arc<str>,
    /// User name, or the number where it has none.
    pub(crate) user: Arc<str>,
    /// Its deepest group in the hierarchies that make apps; `None` in the root.
    pub(crate) group: Option<Arc<str>>,
    /// The link to its executable may not be read.
    pub(crate) hidden: bool,
}

/// All processes by number.
#[derive(Debug)]
pub(crate) struct ProcessTable {
    root: PathBuf,
    folder: Option<OwnedFd>,
    processes: BTreeMap<u32, Process>,
    users: HashMap<u32, Arc<str>>,
    names: BTreeSet<Arc<str>>,
    /// More processes exist than are followed.
    pub(crate) overfull: bool,
}

impl ProcessTable {
    /// An empty table over `proc_root`; user names come from `passwd`.
    pub(crate) fn new(proc_root: &Path, passwd: &Path) -> Self {
        Self {
            root: proc_root.to_owned(),
            folder: open_folder(proc_root).ok(),
            processes: BTreeMap::new(),
            users: user_names(&std::fs::read_to_string(passwd).unwrap_or_default()),
            names: BTreeSet::new(),
            overfull: false,
        }
    }

    /// All processes by number.
    pub(crate) fn processes(&self) -> &BTreeMap<u32, Process> {
        &self.processes
    }

    /// The open folder of /proc.
    pub(crate) fn folder(&self) -> Option<&OwnedFd> {
        self.folder.as_ref()
    }

    /// Reads all of /proc. True when anything differs from before.
    pub(crate) fn sweep(&mut self, buffer: &mut Buffer) -> bool {
        let Ok(entries) = std::fs::read_dir(&self.root) else {
            return false;
        };
        let before = std::mem::take(&mut self.processes);
        self.overfull = false;
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if self.processes.len() >= MOST_PROCESSES {
                self.overfull = true;
                break;
            }
            let known = before.get(&pid);
            if let Some(process) = self.read(pid, known, buffer) {
                self.processes.insert(pid, process);
            }
        }
        before != self.processes
    }

    /// Reads one process again, or for the first time. True when the table changed.
    pub(crate) fn look(&mut self, pid: u32, buffer: &mut Buffer) -> bool {
        let before = self.processes.remove(&pid);
        let after = self.read(pid, before.as_ref(), buffer);
        let changed = before != after;
        if let Some(process) = after {
            self.processes.insert(pid, process);
        }
        changed
    }

    /// The process ended. True when it was known.
    pub(crate) fn forget(&mut self, pid: u32) -> bool {
        self.processes.remove(&pid).is_some()
    }

    fn read(&mut self, pid: u32, known: Option<&Process>, buffer: &mut Buffer) -> Option<Process> {
        let folder = self.folder.take()?;
        let read = self.read_in(&folder, pid, known, buffer);
        self.folder = Some(folder);
        read
    }

    fn read_in(
        &mut self,
        root: &OwnedFd,
        pid: u32,
        known: Option<&Process>,
        buffer: &mut Buffer,
    ) -> Option<Process> {
        let folder = pid.to_string();
        let bytes = buffer.read_at(root, &folder, "stat", Extent::Single).ok()?;
        let stat = parse::process_stat(bytes)?;
        let kernel = stat.flags & parse::KERNEL_THREAD != 0;
        let known = known.filter(|known| known.start_ticks == stat.start_ticks);
        if let (true, Some(known)) = (kernel, known) {
            return Some(known.clone());
        }
        let (start_ticks, own_name) = (stat.start_ticks, String::from_utf8_lossy(stat.name).into_owned());
        let group = match buffer.read_at(root, &folder, "cgroup", Extent::Paged) {
            Ok(bytes) => deepest_group(bytes),
            Err(_) => None,
        };
        let path = self.root.join(&folder);
        let user = std::fs::metadata(&path).ok().map_or(0, |metadata| metadata.uid());
        let link = if kernel { None } else { executable(&path) };
        let hidden = !kernel && link.is_none();
        let executable = link.unwrap_or(own_name);
        Some(Process {
            start_ticks,
            kernel,
            executable: self.intern(&executable),
            user: self.user(user),
            group: group.map(|group| self.intern(group)),
            hidden,
        })
    }

    fn intern(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        // Names of what is long gone are not worth keeping.
        if self.names.len() > 4 * MOST_PROCESSES {
            self.names.clear();
        }
        let name: Arc<str> = Arc::from(name);
        self.names.insert(name.clone());
        name
    }

    fn user(&mut self, number: u32) -> Arc<str> {
        self.users
            .entry(number)
            .or_insert_with(|| Arc::from(number.to_string()))
            .clone()
    }
}

/// The file name of a process's executable, where its link may be read.
fn executable(folder: &Path) -> Option<String> {
    let link = std::fs::read_link(folder.join("exe")).ok()?;
    let link = link.to_string_lossy();
    let name = link
        .strip_suffix(" (deleted)")
        .unwrap_or(&link)
        .rsplit('/')
        .next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// `name:x:number:…` lines; the first name of a number wins.
fn user_names(passwd: &str) -> HashMap<u32, Arc<str>> {
    let mut users = HashMap::new();
    for line in passwd.lines() {
        let mut parts = line.split(':');
        if let (Some(name), Some(Ok(number))) = (parts.next(), parts.nth(1).map(str::parse)) {
            users.entry(number).or_insert_with(|| Arc::from(name));
        }
    }
    users
}

/// The deepest path among the hierarchies that make apps; of equally deep ones, the v2 tree's.
fn deepest_group(bytes: &[u8]) -> Option<&str> {
    let mut best: Option<&str> = None;
    parse::process_cgroups(bytes, |controllers, path| {
        let makes_apps = APP_HIERARCHIES.iter().any(|hierarchy| match hierarchy {
            Hierarchy::V2 => controllers.is_empty(),
            v1 => controllers
                .split(|byte| *byte == b',')
                .any(|name| name == controller(*v1).as_bytes()),
        });
        let Ok(path) = std::str::from_utf8(path) else {
            return;
        };
        if !makes_apps || path == "/" || path.starts_with("/..") {
            return;
        }
        let depth = |path: &str| path.matches('/').count();
        let deeper = best.is_none_or(|best| {
            depth(path) > depth(best) || (depth(path) == depth(best) && controllers.is_empty())
        });
        if deeper {
            best = Some(path);
        }
    });
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_group_that_makes_apps_wins() {
        let check =
            |text: &str, expect: Option<&str>| assert_eq!(deepest_group(text.as_bytes()), expect, "{text}");
        check("0::/\n", None);
        check(
            "0::/system.slice/nginx.service\n",
            Some("/system.slice/nginx.service"),
        );
        check("4:memory:/process_api/x\n1:cpu:/\n0::/\n", None);
        check(
            "2:cpu,cpuacct:/system.slice\n0::/system.slice/a.service\n",
            Some("/system.slice/a.service"),
        );
        check("1:cpu:/web\n0::/job\n", Some("/job"));
        check("1:cpu:/bed/web\n0::/job\n", Some("/bed/web"));
        check("0::/../outside\n", None);
    }

    #[test]
    fn users_by_number() {
        let users = user_names("root:x:0:0::/root:/bin/sh\nbroken\nredis:x:105:113::/:/bin/false\n");
        assert_eq!(
            (users[&0].as_ref(), users[&105].as_ref(), users.len()),
            ("root", "redis", 2)
        );
    }
}

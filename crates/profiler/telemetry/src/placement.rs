//! Where an app runs that may not use every CPU: its affinity, and the CPUs its threads were last seen on.
//!
//! The kernel's list of allowed CPUs counts an explicit affinity and the group's cpuset alike. Of an app some of whose
//! threads are confined, each thread's CPU time since the look before counts for the CPU it ran on last; the app's
//! CPU time is divided in these proportions. Apps that may use every CPU are not followed thread by thread: what they
//! do on a CPU is what the confined ones leave of it.

use crate::files::{Buffer, DescriptorBudget, Extent, KeptFile};
use crate::parse;
use rustix::fd::OwnedFd;
use rustix::fs::RawDir;
use std::mem::MaybeUninit;
use tidegate_types::{Field, Row};

/// Processes and threads of one app that are looked at, and threads of a confined one that are followed.
const PROCESSES_MAX: usize = 16;
const LOOKED_AT_MAX: usize = 8;
const FOLLOWED_MAX: usize = 64;
/// CPUs on which one app has a row.
const CORES_MAX: usize = 64;
/// Room for the names of some fifty threads at a time.
const NAMES_BYTES: usize = 2048;

/// One thread that is followed.
#[derive(Debug)]
struct Thread {
    /// `PID/task/TID` below /proc.
    folder: String,
    stat: KeptFile,
    ticks: Option<u64>,
    gone: bool,
}

/// CPUs as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cores([u64; 16]);

impl Cores {
    fn add(&mut self, core: u16) {
        if let Some(word) = self.0.get_mut(usize::from(core / 64)) {
            *word |= 1 << (core % 64);
        }
    }

    fn has(&self, core: u16) -> bool {
        let word = self.0.get(usize::from(core / 64));
        word.is_some_and(|word| word >> (core % 64) & 1 == 1)
    }

    fn join(&mut self, other: Self) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(word, more)| *word |= more);
    }
}

/// What reading needs.
pub(crate) struct Place<'collector> {
    pub(crate) proc_folder: &'collector OwnedFd,
    pub(crate) descriptors: &'collector DescriptorBudget,
    /// CPUs that are online.
    pub(crate) online: &'collector [u16],
}

/// The placement of one app.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    /// Numbers of the processes, as folders below /proc.
    processes: Vec<String>,
    /// CPUs it may use where it may not use all, each with its row and the share of its CPU time that was there.
    pub(crate) cores: Vec<PlacedCore>,
    threads: Vec<Thread>,
    /// It must be looked at.
    pub(crate) stale: bool,
}

/// One CPU that a confined app may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlacedCore {
    pub(crate) core: u16,
    pub(crate) row: usize,
    share: f64,
    ticks: u64,
}

impl Placement {
    /// The app's processes are these now.
    pub(crate) fn assign(&mut self, pids: &[u32]) {
        let same = self.processes.len() == pids.len().min(PROCESSES_MAX)
            && self
                .processes
                .iter()
                .zip(pids)
                .all(|(known, pid)| known.parse() == Ok(*pid));
        if same {
            return;
        }
        self.processes = pids.iter().take(PROCESSES_MAX).map(u32::to_string).collect();
        self.stale = true;
    }

    /// Looks at the affinity of its threads. True where it may use other CPUs than before.
    pub(crate) fn look(&mut self, place: &Place<'_>, buffer: &mut Buffer) -> bool {
        self.stale = false;
        let (mut allowed, mut confined) = (Cores::default(), false);
        for process in &self.processes {
            each_thread(place, process, buffer, LOOKED_AT_MAX, |folder, name, buffer| {
                let status = buffer.read_at(folder, name, "status", Extent::Single);
                let Some(cores) = status.ok().and_then(allowed_cores) else {
                    return;
                };
                confined |= place.online.iter().any(|core| !cores.has(*core));
                allowed.join(cores);
            });
        }
        let cores = || {
            let kept = place.online.iter().filter(|core| confined && allowed.has(**core));
            kept.copied().take(CORES_MAX)
        };
        if confined {
            self.follow(place, buffer);
        } else {
            self.threads.clear();
        }
        if self.cores.iter().map(|placed| placed.core).eq(cores()) {
            return false;
        }
        let even = 1.0 / cores().count().max(1) as f64;
        self.cores = cores()
            .map(|core| PlacedCore {
                core,
                row: usize::MAX,
                share: even,
                ticks: 0,
            })
            .collect();
        true
    }

    /// Whether its threads are followed.
    pub(crate) fn is_confined(&self) -> bool {
        !self.cores.is_empty()
    }

    /// Follows threads that are new.
    fn follow(&mut self, place: &Place<'_>, buffer: &mut Buffer) {
        self.threads.retain(|thread| !thread.gone);
        let threads = &mut self.threads;
        for process in &self.processes {
            each_thread(place, process, buffer, FOLLOWED_MAX, |_, name, buffer| {
                let known = threads.iter().any(|thread| {
                    let parts = thread.folder.split_once("/task/");
                    parts == Some((process.as_str(), name))
                });
                if known || threads.len() >= FOLLOWED_MAX {
                    return;
                }
                let folder = format!("{process}/task/{name}");
                let opened = KeptFile::open(
                    place.proc_folder,
                    &folder,
                    "stat",
                    Extent::Single,
                    place.descriptors,
                    buffer,
                );
                threads.extend(opened.ok().map(|stat| Thread {
                    folder,
                    stat,
                    ticks: None,
                    gone: false,
                }));
            });
        }
    }

    /// Fills the rows of its CPUs, given the CPU time of the whole app in cores.
    pub(crate) fn read(&mut self, proc_folder: &OwnedFd, buffer: &mut Buffer, usage: f64, rows: &mut [Row]) {
        if !self.is_confined() {
            return;
        }
        self.cores.iter_mut().for_each(|placed| placed.ticks = 0);
        for thread in self.threads.iter_mut().filter(|thread| !thread.gone) {
            let bytes = thread.stat.read(proc_folder, &thread.folder, buffer);
            let Some(stat) = bytes.ok().and_then(parse::process_stat) else {
                thread.gone = true;
                self.stale = true;
                continue;
            };
            let before = thread.ticks.replace(stat.cpu_ticks);
            let ticks = before.map_or(0, |before| stat.cpu_ticks.saturating_sub(before));
            let placed = self
                .cores
                .iter_mut()
                .find(|placed| Some(placed.core) == stat.processor);
            if let Some(placed) = placed {
                placed.ticks += ticks;
            }
        }
        let all: u64 = self.cores.iter().map(|placed| placed.ticks).sum();
        for placed in &mut self.cores {
            if all > 0 {
                placed.share = placed.ticks as f64 / all as f64;
            }
            if let Some(row) = rows.get_mut(placed.row) {
                row.set(Field::AppCoreUsage, usage * placed.share);
            }
        }
    }

    /// Forgets counters, so that nothing spans a gap.
    pub(crate) fn forget(&mut self) {
        self.threads.iter_mut().for_each(|thread| thread.ticks = None);
    }

    /// The kept files, for the bench.
    pub(crate) fn files(&self) -> impl Iterator<Item = &KeptFile> {
        self.threads.iter().map(|thread| &thread.stat)
    }
}

/// Calls `each` with the folder of the process's threads and the name of each of them, at most `most`. Without
/// allocating: it is done while sampling.
fn each_thread(
    place: &Place<'_>,
    process: &str,
    buffer: &mut Buffer,
    most: usize,
    mut each: impl FnMut(&OwnedFd, &str, &mut Buffer),
) {
    let Ok(folder) = buffer.open_at(place.proc_folder, process, "task") else {
        return;
    };
    let mut room = [MaybeUninit::uninit(); NAMES_BYTES];
    let mut names = RawDir::new(&folder, &mut room);
    let mut left = most;
    while let Some(Ok(name)) = names.next() {
        let name = name.file_name().to_str().unwrap_or_default();
        if !name.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        if left == 0 {
            return;
        }
        left -= 1;
        each(&folder, name, buffer);
    }
}

/// The CPUs that a thread's `status` allows.
fn allowed_cores(status: &[u8]) -> Option<Cores> {
    let mut lines = parse::lines(status);
    let list = lines.find_map(|line| line.strip_prefix(b"Cpus_allowed_list:"))?;
    let mut cores = Cores::default();
    parse::number_list(list, |core| cores.add(core))?;
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_cpus_are_read_from_a_status() {
        let cores =
            allowed_cores(b"Name:\tx\nCpus_allowed:\tf\nCpus_allowed_list:\t0-2,65\nMems_allowed:\t1\n");
        let cores = cores.expect("told");
        let has: Vec<u16> = (0..100).filter(|core| cores.has(*core)).collect();
        assert_eq!(has, [0, 1, 2, 65]);
        assert_eq!(allowed_cores(b"Name:\tx\n"), None);
        assert_eq!(allowed_cores(b"Cpus_allowed_list:\tx\n"), None);
    }
}

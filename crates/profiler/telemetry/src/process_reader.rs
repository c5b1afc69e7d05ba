//! The processes of an app that its groups do not answer for.
//!
//! An app without a group of its own is the sum of its processes; an app whose groups lack a
//! controller (v1 without I/O statistics) has only that part summed here. Each process keeps its own
//! counters, so one that ends takes nothing away from the sum. A process that started after the look
//! before counts from its start.
//!
//! `/proc/PID/io` also holds all I/O of children that were waited for, in one lump when that happens. A
//! look in which a child was waited for, and the one after it, therefore do not count for I/O.

use crate::files::{Buffer, DescriptorBudget, Extent, KeptFile};
use crate::host::TICKS_PER_SECOND;
use crate::parse;
use crate::rate::{Counter, plausible_cores};
use rustix::fd::OwnedFd;
use tidegate_types::{BootTime, Field, Row};

/// A process with more threads than this has no run delay: each thread is a file of its own.
const MOST_THREADS: u64 = 1;

/// What the processes are to answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent quantities, each asked for or not"
)]
pub(crate) struct Wanted {
    pub(crate) usage: bool,
    pub(crate) memory: bool,
    pub(crate) io: bool,
    pub(crate) run_delay: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Self {
        usage: true,
        memory: true,
        io: true,
        run_delay: true,
    };

    pub(crate) fn nothing(self) -> bool {
        !(self.usage || self.memory || self.io || self.run_delay)
    }
}

/// One process's open files and last readings.
#[derive(Debug)]
pub(crate) struct ProcessReader {
    pub(crate) pid: u32,
    start_ticks: u64,
    folder: String,
    wanted: Wanted,
    stat: Option<KeptFile>,
    statm: Option<KeptFile>,
    io: Option<KeptFile>,
    schedstat: Option<KeptFile>,
    usage: Counter,
    read: Counter,
    write: Counter,
    run_delay: Counter,
    children_faults: u64,
    /// Looks whose I/O may hold a child's.
    lumps: u8,
    /// It ended, or its number is another process's now.
    pub(crate) gone: bool,
}

/// Sums over processes; NaN until the first that tells it.
#[derive(Clone, Copy, Debug)]
struct Sums {
    cpu_s: f64,
    resident: f64,
    shared: f64,
    read: f64,
    write: f64,
    run_delay_s: f64,
}

fn add(sum: &mut f64, value: f64) {
    if !value.is_nan() {
        *sum = if sum.is_nan() { value } else { *sum + value };
    }
}

impl ProcessReader {
    /// Opens what `pid` offers of `wanted`; `since` is the look before, from which a younger process counts.
    pub(crate) fn open(
        pid: u32,
        start_ticks: u64,
        wanted: Wanted,
        root: &OwnedFd,
        budget: &DescriptorBudget,
        buffer: &mut Buffer,
    ) -> Self {
        let folder = pid.to_string();
        let mut open = |wanted: bool, name| {
            wanted
                .then(|| KeptFile::open(root, &folder, name, Extent::Single, budget, buffer).ok())
                .flatten()
        };
        Self {
            pid,
            start_ticks,
            wanted,
            stat: open(wanted.usage || wanted.run_delay || wanted.io, "stat"),
            statm: open(wanted.memory, "statm"),
            io: open(wanted.io, "io"),
            schedstat: open(wanted.run_delay, "schedstat"),
            usage: Counter::default(),
            read: Counter::default(),
            write: Counter::default(),
            run_delay: Counter::default(),
            children_faults: 0,
            lumps: 0,
            gone: false,
            folder,
        }
    }

    /// Whether this reads that process for that purpose.
    pub(crate) fn is(&self, pid: u32, start_ticks: u64, wanted: Wanted) -> bool {
        (self.pid, self.start_ticks, self.wanted) == (pid, start_ticks, wanted)
    }

    /// Lets a process that started after `since` count from its start, where everything was zero.
    pub(crate) fn count_from_start(&mut self, since: BootTime) {
        if self.start_ticks as f64 / TICKS_PER_SECOND > since.seconds() {
            for counter in [
                &mut self.usage,
                &mut self.read,
                &mut self.write,
                &mut self.run_delay,
            ] {
                let _ = counter.rate(Some(0), since);
            }
        }
    }

    fn add_to(&mut self, root: &OwnedFd, buffer: &mut Buffer, at: BootTime, sums: &mut Sums) {
        // I/O first, so that a child waited for before it shows in what is read after it.
        let io = self.io.as_ref().map(|file| {
            let bytes = file.read(root, &self.folder, buffer).ok();
            bytes.and_then(parse::process_io)
        });
        let mut threads = u64::MAX;
        if let Some(file) = &self.stat {
            let stat = file
                .read(root, &self.folder, buffer)
                .ok()
                .and_then(parse::process_stat)
                .filter(|stat| stat.start_ticks == self.start_ticks);
            let Some(stat) = stat else {
                self.gone = true;
                return;
            };
            threads = stat.threads;
            let ticks = self.usage.increase(Some(stat.cpu_ticks), at);
            if self.wanted.usage {
                add(&mut sums.cpu_s, ticks / TICKS_PER_SECOND);
            }
            let waited =
                std::mem::replace(&mut self.children_faults, stat.children_faults) != stat.children_faults;
            self.lumps = if waited { 2 } else { self.lumps.saturating_sub(1) };
        }
        if let Some(io) = io {
            let read = self.read.increase(io.map(|(read, _)| read), at);
            let write = self.write.increase(io.map(|(_, write)| write), at);
            if self.lumps == 0 {
                add(&mut sums.read, read);
                add(&mut sums.write, write);
            }
        }
        if let Some(Ok(bytes)) = self
            .statm
            .as_ref()
            .map(|file| file.read(root, &self.folder, buffer))
            && let Some((resident, shared)) = parse::process_statm(bytes)
        {
            add(&mut sums.resident, resident as f64);
            add(&mut sums.shared, shared as f64);
        }
        if let (Some(file), true) = (&self.schedstat, threads <= MOST_THREADS) {
            let delay = file
                .read(root, &self.folder, buffer)
                .ok()
                .and_then(parse::run_delay_ns);
            add(&mut sums.run_delay_s, self.run_delay.increase(delay, at) * 1e-9);
        }
    }

    fn forget(&mut self) {
        for counter in [
            &mut self.usage,
            &mut self.read,
            &mut self.write,
            &mut self.run_delay,
        ] {
            counter.forget();
        }
    }

    /// The kept files, for the bench.
    pub(crate) fn files(&self) -> impl Iterator<Item = &KeptFile> {
        [&self.stat, &self.statm, &self.io, &self.schedstat]
            .into_iter()
            .filter_map(Option::as_ref)
    }
}

/// All processes of one app.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) readers: Vec<ProcessReader>,
    last: Option<BootTime>,
}

impl Members {
    /// When they were last read.
    pub(crate) fn last(&self) -> Option<BootTime> {
        self.last
    }

    /// Fills what `wanted` names in `row`.
    pub(crate) fn read(
        &mut self,
        root: &OwnedFd,
        buffer: &mut Buffer,
        at: BootTime,
        online: f64,
        wanted: Wanted,
        row: &mut Row,
    ) {
        let mut sums = Sums {
            cpu_s: f64::NAN,
            resident: f64::NAN,
            shared: f64::NAN,
            read: f64::NAN,
            write: f64::NAN,
            run_delay_s: f64::NAN,
        };
        for reader in &mut self.readers {
            reader.add_to(root, buffer, at, &mut sums);
        }
        let before = self.last.replace(at);
        let interval_s = before.map_or(f64::NAN, |before| at.seconds_since(before));
        let per_second = |sum: f64| {
            if interval_s > 0.0 {
                sum / interval_s
            } else {
                f64::NAN
            }
        };
        let page = rustix::param::page_size() as f64;
        if wanted.usage {
            row.set(Field::CpuUsage, plausible_cores(per_second(sums.cpu_s), online));
        }
        if wanted.memory {
            row.set(Field::Memory, sums.resident * page);
            row.set(Field::MemoryFile, sums.shared * page);
            row.set(Field::MemoryAnonymous, (sums.resident - sums.shared) * page);
        }
        if wanted.io {
            row.set(Field::AppRead, per_second(sums.read));
            row.set(Field::AppWrite, per_second(sums.write));
        }
        if wanted.run_delay {
            row.set(Field::RunDelay, per_second(sums.run_delay_s));
        }
    }

    /// Whether some process ended since they were assigned.
    pub(crate) fn lost_some(&self) -> bool {
        self.readers.iter().any(|reader| reader.gone)
    }

    pub(crate) fn forget(&mut self) {
        self.last = None;
        self.readers.iter_mut().for_each(ProcessReader::forget);
    }
}

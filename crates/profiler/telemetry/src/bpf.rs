//! The BPF readers: all groups in one pass, how long tasks waited for each CPU, and what is asked of which part of a
//! disk.
//!
//! All are optional at build time (feature `bpf`) and at run time: a kernel without type information,
//! a process without the right, or an older iterator is one reason in words, and files are read
//! instead. Nothing is pinned, so nothing outlives the process.

#![expect(
    unsafe_code,
    reason = "the records are shared memory, mapped once and read in place"
)]

use crate::ranges::{Asked, Part};
use libbpf_rs::libbpf_sys::bpf_map_get_next_key;
use libbpf_rs::{
    CgroupIterOpts, CgroupIterOrder, IterOpts, Link, MapCore, MapFlags, MapHandle, Object, ObjectBuilder,
};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::mm::{MapFlags as Sharing, ProtFlags};
use std::collections::HashMap;
use std::ffi::c_void;
use std::io::Read;
use std::path::Path;
use tidegate_types::BootTime;

static GROUPS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/groups.bpf.o"));
static RANGES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ranges.bpf.o"));
static CORES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cores.bpf.o"));

/// One group as the kernel side writes it; times in nanoseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupRecord {
    /// The group's id, which is the inode of its folder.
    pub id: u64,
    /// CPU time.
    pub usage_ns: u64,
    /// CPU time in user space.
    pub user_ns: u64,
    /// CPU time in the kernel.
    pub system_ns: u64,
    /// Waiting: I/O some and full, memory some and full, CPU some and full. Up to 2 seconds old.
    pub waiting_ns: [u64; 6],
}

/// An error with all that led to it.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn in_words(error: libbpf_rs::Error) -> String {
    format!("{error:#}")
}

/// Loads all programs of an object, or the one that is named.
fn load(bytes: &[u8], only: Option<&str>) -> Result<Object, String> {
    // libbpf would write to standard error.
    libbpf_rs::set_print(None);
    let mut object = ObjectBuilder::default().open_memory(bytes).map_err(in_words)?;
    for mut program in object.progs_mut() {
        let wanted = only.is_none_or(|name| program.name() == name);
        program.set_autoload(wanted);
    }
    object.load().map_err(in_words)
}

/// Attaches every program of an object; each stays attached as long as its link lives.
fn attached(object: &Object) -> Result<Vec<Link>, String> {
    let programs = object.progs_mut();
    programs
        .map(|program| program.attach().map_err(in_words))
        .collect()
}

fn map(object: &Object, name: &str) -> Result<MapHandle, String> {
    let found = object.maps().find(|map| map.name() == name);
    let map = found.ok_or_else(|| format!("no map {name}"))?;
    MapHandle::try_from(&map).map_err(in_words)
}

/// The pass over all groups, by what the kernel calls the flush before it.
const GROUP_PROGRAMS: [&str; 2] = ["read_groups", "read_groups_before_6_16"];

/// Reads all groups of a v2 tree at once.
#[derive(Debug)]
pub struct GroupsByBpf {
    link: Link,
    records: Mapped,
    _map: MapHandle,
    /// Groups of the last pass that did not fit.
    pub overflow: u64,
}

/// The kernel's array of records, mapped read-only for as long as this lives.
#[derive(Debug)]
struct Mapped {
    start: *const GroupRecord,
    entries: usize,
}

// SAFETY: the mapping belongs to this value alone and is only read; the pointer is valid in every thread.
unsafe impl Send for Mapped {}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the region was mapped with this start and length, and no reference into it outlives `self`.
        let _ = unsafe {
            rustix::mm::munmap(
                self.start.cast_mut().cast::<c_void>(),
                self.entries * RECORD_BYTES,
            )
        };
    }
}

const RECORD_BYTES: usize = size_of::<GroupRecord>();

impl Mapped {
    fn new(map: &MapHandle) -> Result<Self, String> {
        let entries = map.max_entries() as usize;
        if map.value_size() as usize != RECORD_BYTES {
            return Err("the kernel side writes other records".to_owned());
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                entries * RECORD_BYTES,
                ProtFlags::READ,
                Sharing::SHARED,
                map.as_fd(),
                0,
            )
        };
        let start = start.map_err(|errno| errno.to_string())?;
        Ok(Self {
            start: start.cast::<GroupRecord>(),
            entries,
        })
    }

    /// The first `count` entries, as they are between two passes.
    fn first(&self, count: usize) -> &[GroupRecord] {
        // SAFETY: the region holds `entries` records of plain integers, is page-aligned and mapped while
        // `self` lives; the kernel writes it only during a pass, which needs `&mut` of the owner.
        unsafe { std::slice::from_raw_parts(self.start, count.min(self.entries)) }
    }
}

impl GroupsByBpf {
    /// Loads the iterator over the tree at `root`; the error says why it cannot be had.
    pub fn open(root: &Path) -> Result<Self, String> {
        let folder: OwnedFd = crate::files::open_folder(root).map_err(|errno| errno.to_string())?;
        let loads = |name: &'static str| load(GROUPS, Some(name)).map(|object| (object, name));
        let [newer, older] = GROUP_PROGRAMS;
        let (object, name) = loads(newer).or_else(|_| loads(older))?;
        let program = object.progs_mut().find(|program| program.name() == name);
        let program = program.ok_or_else(|| format!("no program {name}"))?;
        let options = IterOpts::Cgroup(CgroupIterOpts {
            order: CgroupIterOrder::DescendantsPre,
            ..CgroupIterOpts::from_fd(folder.as_fd())
        });
        let link = program.attach_iter_with_opts(options).map_err(in_words)?;
        let map = map(&object, "records")?;
        Ok(Self {
            link,
            records: Mapped::new(&map)?,
            _map: map,
            overflow: 0,
        })
    }

    /// One pass: every group of the tree, the root first, parents before their children.
    pub fn read(&mut self) -> std::io::Result<&[GroupRecord]> {
        let mut pass = libbpf_rs::Iter::new(&self.link).map_err(std::io::Error::other)?;
        let mut nothing = [0; 64];
        while pass.read(&mut nothing)? > 0 {}
        let header = self.records.first(1)[0];
        self.overflow = header.usage_ns;
        Ok(&self.records.first(header.id as usize + 1)[1..])
    }
}

/// How long tasks waited for each CPU.
#[derive(Debug)]
pub struct CoresByBpf {
    _links: Vec<Link>,
    map: MapHandle,
}

impl CoresByBpf {
    /// Attaches to the scheduler's events; the error says why it cannot be done.
    pub fn open() -> Result<Self, String> {
        let object = load(CORES, None)?;
        Ok(Self {
            _links: attached(&object)?,
            map: map(&object, "cores")?,
        })
    }

    /// Nanoseconds that tasks waited for `core` since the start, with the context switches of it.
    pub fn waited(&self, core: u16) -> Option<(u64, u64)> {
        let mut value = [0; 16];
        let key = u32::from(core).to_ne_bytes();
        let found = self.map.lookup_into(&key, &mut value, MapFlags::ANY).ok()?;
        found.then(|| (word(&value, 0), word(&value, 8)))
    }
}

/// Entries of the map of parts, at most: one that changes while it is walked may begin again.
const MOST_PARTS: usize = 8192;
const PART_BYTES: usize = 16;
const ASKED_BYTES: usize = 24;

/// What is asked of each range of each disk, by group.
#[derive(Debug)]
pub struct RangesByBpf {
    _links: Vec<Link>,
    parts: MapHandle,
    shifts: MapHandle,
}

impl RangesByBpf {
    /// Attaches to where requests enter the block layer; the error says why it cannot be done.
    pub fn open() -> Result<Self, String> {
        let object = load(RANGES, None)?;
        Ok(Self {
            _links: attached(&object)?,
            parts: map(&object, "parts")?,
            shifts: map(&object, "shifts")?,
        })
    }

    /// Divides the device into ranges of two to the power of `shift` sectors.
    pub fn divide(&self, device: u32, shift: u32) -> Result<(), String> {
        let (key, value) = (device.to_ne_bytes(), shift.to_ne_bytes());
        self.shifts.update(&key, &value, MapFlags::ANY).map_err(in_words)
    }

    /// Calls `each` with what was asked since the start, of every range by every group.
    pub fn each(&self, mut each: impl FnMut(Part, Asked)) {
        let (mut key, mut value) = ([0_u8; PART_BYTES], [0_u8; ASKED_BYTES]);
        let mut before: Option<[u8; PART_BYTES]> = None;
        for _ in 0..MOST_PARTS {
            let from = before
                .as_ref()
                .map_or(std::ptr::null(), |key| key.as_ptr().cast::<c_void>());
            // SAFETY: the map's keys have the length of both arrays, which live until the call returns.
            let status = unsafe {
                bpf_map_get_next_key(
                    self.parts.as_fd().as_raw_fd(),
                    from,
                    key.as_mut_ptr().cast::<c_void>(),
                )
            };
            if status != 0 {
                return;
            }
            before = Some(key);
            let found = self.parts.lookup_into(&key, &mut value, MapFlags::ANY);
            if found.is_ok_and(|found| found) {
                each(part(&key), asked(&value));
            }
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
}

fn part(key: &[u8; PART_BYTES]) -> Part {
    Part {
        group: word(key, 0),
        device: half(key, 8),
        range: half(key, 12),
    }
}

fn asked(value: &[u8; ASKED_BYTES]) -> Asked {
    Asked {
        read: word(value, 0),
        written: word(value, 8),
        requests: word(value, 16),
    }
}

/// Rates of waiting per CPU, for the collector.
#[derive(Debug)]
pub(crate) struct CoreWaiting {
    reader: CoresByBpf,
    counters: Vec<(u16, crate::rate::Counter)>,
}

impl CoreWaiting {
    pub(crate) fn open() -> Result<Self, String> {
        Ok(Self {
            reader: CoresByBpf::open()?,
            counters: Vec::new(),
        })
    }

    /// Tasks that waited for `core` on average since the look before; NaN at first.
    pub(crate) fn mean(&mut self, core: u16, at: BootTime) -> f64 {
        let known = self.counters.iter().position(|(known, _)| *known == core);
        let place = known.unwrap_or_else(|| {
            self.counters.push((core, crate::rate::Counter::default()));
            self.counters.len() - 1
        });
        let waited = self.reader.waited(core).map(|(nanoseconds, _)| nanoseconds);
        self.counters[place].1.rate(waited, at) * 1e-9
    }

    pub(crate) fn forget(&mut self) {
        self.counters.clear();
    }
}

/// A group whose record stood still for longer than this is quiet. The kernel brings waiting up to date
/// every 2 seconds as long as a task of the group runs or waits, so a stall cannot hide in it.
const QUIET_AFTER_S: f64 = 4.0;

#[derive(Clone, Copy, Debug)]
struct Seen {
    usage_ns: u64,
    waiting_ns: u64,
    changed: BootTime,
    pass: u64,
}

/// Which groups nothing happens in, so that their files need not be read.
#[derive(Debug)]
pub(crate) struct QuietGroups {
    reader: GroupsByBpf,
    seen: HashMap<u64, Seen>,
    pass: u64,
    now: BootTime,
}

impl QuietGroups {
    pub(crate) fn open(root: &Path) -> Result<Self, String> {
        let mut reader = GroupsByBpf::open(root)?;
        reader.read().map_err(|error| error.to_string())?;
        Ok(Self {
            reader,
            seen: HashMap::new(),
            pass: 0,
            now: BootTime(0),
        })
    }

    /// One pass over all groups.
    pub(crate) fn look(&mut self, at: BootTime) {
        self.pass += 1;
        self.now = at;
        let pass = self.pass;
        for record in self.reader.read().unwrap_or_default() {
            let waiting_ns = record
                .waiting_ns
                .iter()
                .fold(0, |sum: u64, part| sum.wrapping_add(*part));
            let fresh = Seen {
                usage_ns: record.usage_ns,
                waiting_ns,
                changed: at,
                pass,
            };
            let seen = self.seen.entry(record.id).or_insert(fresh);
            let same = (seen.usage_ns, seen.waiting_ns) == (fresh.usage_ns, fresh.waiting_ns);
            *seen = Seen {
                changed: if same { seen.changed } else { at },
                ..fresh
            };
        }
        self.seen.retain(|_, seen| seen.pass == pass);
    }

    /// Whether nothing happened in the v2 group `id` for a while. False for what was not seen.
    pub(crate) fn is_quiet(&self, id: u64) -> bool {
        let seen = self.seen.get(&id);
        seen.is_some_and(|seen| self.now.seconds_since(seen.changed) > QUIET_AFTER_S)
    }
}

//! The memory that outlives the daemon: what was found, before anything is written.
//!
//! One preallocated file of [`cell`]s, written in place: 0 the header, 1 the daemon's pulse, 2 the fence, 3 how
//! many slots were ever used (a reader need not look at the others), then one entry per cell. Its size never changes, so neither a full disk nor a busy one stands between a crash and
//! the found values; whoever may read the file can restore from it at any moment.
//!
//! The journal holds no history: an entry is there while a knob is ours, and blank when it is not.

mod cell;
mod entry;

pub(crate) use entry::{Entry, FileRecord};

use crate::ActError;
use crate::clock::boot_id;
use cell::{CELL, COPY, CellFault, VERSION};
use rustix::fs::FallocateFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tidegate_types::BootTime;

/// Knobs that can be ours at the same moment; more are refused ("no room, no act").
pub(crate) const SLOTS: usize = 512;

/// End of an entry whose giving back was refused: it waits for `restore`, and no daemon is overdue for it.
pub(crate) const NEVER: BootTime = BootTime(u64::MAX);

const HEADER: usize = 0;
const PULSE: usize = 1;
const FENCE: usize = 2;
const MARK: usize = 3;
const FIRST_SLOT: usize = 4;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Header {
    generation: u64,
}

/// Who writes the journal, and when it last said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// Process id of the daemon; 0 when it ended in order.
    pub pid: u32,
    /// Its start, in clock ticks since boot (field 22 of `/proc/PID/stat`): a reused id has another one.
    pub start_ticks: u64,
    /// When it last was well.
    pub at: BootTime,
}

/// What a slot holds.
enum Slot {
    Blank,
    Held(Box<Entry>),
    Damaged,
}

/// The undo journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    sequences: Vec<u64>,
    used: Vec<bool>,
    mark: usize,
    generation: u64,
    boot_id: String,
}

impl Journal {
    /// Opens the journal at `path` for writing, as a new generation; makes it where it is missing. Entries of
    /// an earlier generation stay until they are restored.
    pub fn open(path: &Path) -> Result<Self, ActError> {
        if !path.exists() {
            create(path)?;
        }
        let mut journal = Self::attach(path)?;
        journal.generation += 1;
        let header = Header {
            generation: journal.generation,
        };
        journal.put(HEADER, &header)?;
        Ok(journal)
    }

    /// Opens the journal at `path` as it is, without starting a generation: for guardian and restore.
    pub fn attach(path: &Path) -> Result<Self, ActError> {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = opened.map_err(|error| ActError::io(path, "open the journal", error))?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            sequences: vec![0; FIRST_SLOT + SLOTS],
            used: vec![false; SLOTS],
            mark: 0,
            generation: 0,
            boot_id: boot_id()?.to_string(),
        };
        journal.generation = journal.current_generation()?;
        journal.mark = journal.slots_in_use()?;
        for slot in 0..journal.mark {
            // A damaged slot is never used again: what it held cannot be known.
            journal.used[slot] = !matches!(journal.slot(slot)?, Slot::Blank);
        }
        for cell in [PULSE, FENCE] {
            journal.note_sequence(cell)?;
        }
        Ok(journal)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The generation that this handle writes as.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The generation that was opened last, by whomever.
    pub fn current_generation(&mut self) -> Result<u64, ActError> {
        let header: Option<Header> = self.get(HEADER)?;
        Ok(header.unwrap_or_default().generation)
    }

    /// Records an entry before its write and returns its slot; `None` where there is no room.
    pub fn insert(&mut self, entry: &Entry) -> Result<Option<usize>, ActError> {
        let Some(slot) = self.used.iter().position(|used| !used) else {
            return Ok(None);
        };
        if slot >= self.mark {
            self.mark = slot + 1;
            self.put(MARK, &(self.mark as u64))?;
        }
        Ok(self.update(slot, entry)?.then_some(slot))
    }

    /// Replaces the entry in `slot`; false where it has no room.
    pub fn update(&mut self, slot: usize, entry: &Entry) -> Result<bool, ActError> {
        let stamped = Entry {
            boot_id: self.boot_id.clone(),
            ..entry.clone()
        };
        let fits = self.put(FIRST_SLOT + slot, &Some(stamped))?;
        self.used[slot] |= fits;
        Ok(fits)
    }

    /// Forgets the entry in `slot`: the knob is not ours any more.
    pub fn clear(&mut self, slot: usize) -> Result<(), ActError> {
        self.put(FIRST_SLOT + slot, &None::<Entry>)?;
        self.used[slot] = false;
        Ok(())
    }

    /// All entries, as they are in the file now.
    pub fn entries(&mut self) -> Result<Vec<(usize, Entry)>, ActError> {
        let mut entries = Vec::new();
        for slot in 0..self.slots_in_use()? {
            if let Slot::Held(entry) = self.slot(slot)? {
                entries.push((slot, *entry));
            }
        }
        Ok(entries)
    }

    /// Slots whose both copies are damaged: what was found there cannot be known any more.
    pub fn damaged(&mut self) -> Result<usize, ActError> {
        let mut damaged = 0;
        for slot in 0..self.slots_in_use()? {
            damaged += usize::from(matches!(self.slot(slot)?, Slot::Damaged));
        }
        Ok(damaged)
    }

    /// Slots that a reader has to look at.
    fn slots_in_use(&mut self) -> Result<usize, ActError> {
        let mark: Option<u64> = self.get(MARK)?;
        Ok(usize::try_from(mark.unwrap_or(0)).unwrap_or(SLOTS).min(SLOTS))
    }

    fn slot(&mut self, slot: usize) -> Result<Slot, ActError> {
        match self.get::<Option<Entry>>(FIRST_SLOT + slot) {
            Ok(Some(Some(entry))) => Ok(Slot::Held(Box::new(entry))),
            Ok(_) => Ok(Slot::Blank),
            Err(ActError::NotAJournal { .. }) => Ok(Slot::Damaged),
            Err(error) => Err(error),
        }
    }

    /// Whether `entry` was written under the kernel that runs now.
    pub fn of_this_boot(&self, entry: &Entry) -> bool {
        entry.boot_id == self.boot_id
    }

    /// Says that the daemon is well.
    pub fn beat(&mut self, pulse: &Pulse) -> Result<(), ActError> {
        self.put(PULSE, pulse).map(drop)
    }

    /// What the daemon last said.
    pub fn pulse(&mut self) -> Result<Pulse, ActError> {
        Ok(self.get(PULSE)?.unwrap_or_default())
    }

    /// Takes every generation up to `generation` away from its daemon, which may write nothing from now on.
    pub fn fence(&mut self, generation: u64) -> Result<(), ActError> {
        self.put(FENCE, &generation).map(drop)
    }

    /// Whether this handle's generation was taken.
    pub fn fenced(&mut self) -> Result<bool, ActError> {
        let taken: Option<u64> = self.get(FENCE)?;
        Ok(taken.is_some_and(|taken| taken >= self.generation))
    }

    fn note_sequence(&mut self, cell: usize) -> Result<(), ActError> {
        match cell {
            PULSE => self.get::<Pulse>(cell).map(drop),
            _ => self.get::<u64>(cell).map(drop),
        }
    }

    /// The value of a cell; damaged cells are errors, since they may hide an entry.
    fn get<T: DeserializeOwned>(&mut self, cell: usize) -> Result<Option<T>, ActError> {
        let mut bytes = [0; CELL];
        let mut attempts = 0;
        loop {
            let read = self.file.read_exact_at(&mut bytes, (cell * CELL) as u64);
            read.map_err(|error| ActError::io(&self.path, "read the journal", error))?;
            match cell::decode(&bytes) {
                Ok((sequence, value)) => {
                    self.sequences[cell] = sequence;
                    return Ok(Some(value));
                }
                Err(CellFault::Blank) => return Ok(None),
                Err(CellFault::Version(found)) => {
                    let path = self.path.clone();
                    return Err(ActError::JournalVersion {
                        path,
                        found,
                        read: VERSION,
                    });
                }
                // A writer may be half way through its very first copy.
                Err(CellFault::Damaged) if attempts < 3 => attempts += 1,
                Err(CellFault::Damaged) => {
                    let reason = format!("cell {cell} is damaged");
                    return Err(ActError::NotAJournal {
                        path: self.path.clone(),
                        reason,
                    });
                }
            }
        }
    }

    /// Writes a cell's older copy; false where the value has no room.
    fn put<T: Serialize>(&mut self, cell: usize, value: &T) -> Result<bool, ActError> {
        let sequence = self.sequences[cell] + 1;
        let Some(copy) = cell::encode(sequence, value) else {
            return Ok(false);
        };
        let offset = cell * CELL + (sequence % 2) as usize * COPY;
        let written = self.file.write_all_at(&copy, offset as u64);
        written.map_err(|error| ActError::io(&self.path, "write the journal", error))?;
        self.sequences[cell] = sequence;
        Ok(true)
    }
}

/// Makes an empty journal with all its room, in one step that is seen whole or not at all.
fn create(path: &Path) -> Result<(), ActError> {
    let fault = |what: &'static str| move |error: io::Error| ActError::io(path, what, error);
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(fault("make the journal's folder"))?;
    let unfinished = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&unfinished).map_err(fault("make the journal"))?;
    let length = ((FIRST_SLOT + SLOTS) * CELL) as u64;
    if rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length).is_err() {
        // Some file systems only reserve by writing.
        let blank = vec![0; length as usize];
        file.write_all_at(&blank, 0)
            .map_err(fault("reserve room for the journal"))?;
    }
    let header = cell::encode(1, &Header::default()).unwrap_or([0; COPY]);
    file.write_all_at(&header, COPY as u64)
        .map_err(fault("write the journal"))?;
    std::fs::rename(&unfinished, path).map_err(fault("put the journal in place"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::{AppName, Hierarchy, Knob, LeaseId};

    fn entry(path: &str) -> Entry {
        Entry {
            boot_id: String::new(),
            app: AppName::new("web"),
            lease: LeaseId(1),
            hierarchy: Hierarchy::V2,
            path: path.into(),
            group_id: 7,
            knob: Knob::CpuMax,
            files: vec![FileRecord::found("cpu.max", "max 100000")],
            end: BootTime(5),
        }
    }

    #[test]
    fn an_entry_is_there_for_others_until_it_is_cleared() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("run/journal");
        let mut daemon = Journal::open(&path).expect("open");
        let slot = daemon.insert(&entry("/a")).expect("insert").expect("room");
        let mut guardian = Journal::attach(&path).expect("attach");
        let seen = guardian.entries().expect("read");
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].1.path, "/a");
        assert!(guardian.of_this_boot(&seen[0].1));
        daemon.clear(slot).expect("clear");
        assert_eq!(guardian.entries().expect("read"), Vec::new());
    }

    #[test]
    fn no_room_no_entry() {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = Journal::open(&folder.path().join("journal")).expect("open");
        assert_eq!(journal.insert(&entry(&"x".repeat(4000))).expect("write"), None);
        for _ in 0..SLOTS {
            assert!(journal.insert(&entry("/a")).expect("write").is_some());
        }
        assert_eq!(journal.insert(&entry("/a")).expect("write"), None);
    }

    #[test]
    fn a_fence_stops_the_generation_before_and_not_the_next() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("journal");
        let mut daemon = Journal::open(&path).expect("open");
        let mut guardian = Journal::attach(&path).expect("attach");
        assert!(!daemon.fenced().expect("read"));
        guardian.fence(daemon.generation()).expect("fence");
        assert!(daemon.fenced().expect("read"));
        let mut next = Journal::open(&path).expect("open");
        assert!(!next.fenced().expect("read"));
        assert_eq!(guardian.current_generation().expect("read"), next.generation());
    }

    #[test]
    fn a_damaged_slot_hides_no_other() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).expect("open");
        for name in ["/a", "/b", "/c"] {
            journal.insert(&entry(name)).expect("insert").expect("room");
        }
        let damage = vec![b'x'; CELL];
        journal
            .file
            .write_all_at(&damage, ((FIRST_SLOT + 1) * CELL) as u64)
            .expect("damage");
        let mut next = Journal::open(&path).expect("open");
        let paths: Vec<String> = next
            .entries()
            .expect("read")
            .into_iter()
            .map(|(_, entry)| entry.path)
            .collect();
        assert_eq!(paths, ["/a", "/c"]);
        assert_eq!(next.damaged().expect("read"), 1);
        assert_eq!(
            next.insert(&entry("/d")).expect("insert"),
            Some(3),
            "the damaged slot is not used again"
        );
    }

    #[test]
    fn what_is_no_journal_is_refused_with_its_name() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("journal");
        std::fs::write(&path, vec![b'x'; (FIRST_SLOT + SLOTS) * CELL]).expect("write");
        let error = Journal::open(&path).expect_err("no journal");
        assert!(error.to_string().contains("not a journal"), "{error}");
    }
}

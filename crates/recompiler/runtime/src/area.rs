//! The code area: one reservation in or near the executable, filled page by page, never given back.
//!
//! Why so: a thread may be inside any code that was ever published, so nothing here is unmapped or reused; at
//! the cap, loading stops. A page is writable until it is sealed, then executable, never both.
//!
//! Not here: what is loaded.

use crate::place::{self, AREA_BYTES, Surroundings};
use crate::sys::{self, Protection};
use tidegate_format::message::Reason;

/// A page: what one protection holds for.
pub const PAGE_BYTES: u64 = 4096;

/// The reservation and how much of it is taken.
#[derive(Debug, Default)]
pub struct Area {
    start: u64,
    used_bytes: u64,
}

/// Pages that are being filled.
#[derive(Debug)]
pub struct Draft {
    /// Where they lie, and will run.
    pub address: u64,
    bytes: u64,
}

impl Area {
    /// The area that the archive reserved in the executable; nothing of it was used yet.
    pub fn inside(start: u64) -> Self {
        let taken = sys::map_over_reserved(start as usize, AREA_BYTES as usize);
        Self {
            start: if taken.is_ok() { start } else { 0 },
            used_bytes: 0,
        }
    }

    /// Bytes taken, whole pages.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Takes writable pages for `length` bytes; makes the reservation if there is none yet.
    ///
    /// # Errors
    /// [`Reason::NoNearMemory`], [`Reason::CodeCap`], [`Reason::Kernel`].
    pub fn draft(&mut self, length: usize, around: Surroundings) -> Result<Draft, Reason> {
        if self.start == 0 {
            self.start = reserve(around).ok_or(Reason::NoNearMemory)?;
        }
        let bytes = (length as u64).next_multiple_of(PAGE_BYTES);
        let after = self
            .used_bytes
            .checked_add(bytes)
            .filter(|after| *after <= AREA_BYTES);
        let address = self.start + self.used_bytes;
        self.used_bytes = after.ok_or(Reason::CodeCap)?;
        sys::protect(address as usize, bytes as usize, Protection::ReadWrite).map_err(|_| Reason::Kernel)?;
        Ok(Draft { address, bytes })
    }

    /// Writable pages near the executable that stay writable: counters and targets of stubs.
    ///
    /// # Errors
    /// As [`draft`](Self::draft).
    pub fn data(&mut self, length: usize, around: Surroundings) -> Result<u64, Reason> {
        self.draft(length, around).map(|draft| draft.address)
    }
}

fn reserve(around: Surroundings) -> Option<u64> {
    place::candidates(around)
        .find(|start| sys::map_exactly(*start as usize, AREA_BYTES as usize, Protection::None).is_ok())
}

impl Draft {
    /// The pages, writable.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `Area::draft` made these pages writable and gives each of them out once.
        unsafe { core::slice::from_raw_parts_mut(self.address as *mut u8, self.bytes as usize) }
    }

    /// Makes the pages executable and no longer writable.
    ///
    /// # Errors
    /// [`Reason::Kernel`]; the pages then stay as they are and are not used.
    pub fn seal(self) -> Result<u64, Reason> {
        let done = sys::protect(
            self.address as usize,
            self.bytes as usize,
            Protection::ReadExecute,
        );
        done.map(|()| self.address).map_err(|_| Reason::Kernel)
    }
}

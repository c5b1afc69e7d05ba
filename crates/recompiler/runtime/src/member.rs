//! One member of the process: the executable, or a library, with its functions and the code area near it.
//!
//! Why so: code must lie within reach of the base that it refers to, and libraries lie far from the executable, so
//! each member has an area of its own. A library that is closed leaves its member behind: the code stays mapped, as all
//! code does, and is used again where the same library comes back to the same place.
//!
//! Not here: who comes and goes; see [`crate::process`] and [`crate::library`].

use crate::area::Area;
use crate::binary::{Binary, File};
use crate::functions::Function;
use crate::place::Surroundings;
use crate::sys;
use crate::unwind::Table;
use core::sync::atomic::{AtomicU64, Ordering};
use tidegate_format::section::{DESCRIPTOR_LENGTH, FUNCTIONS_SECTION};

/// At most so many functions get slots in one binary.
const FUNCTION_LIMIT: usize = 16_384;

/// A member and its state.
#[derive(Debug)]
pub struct Member {
    /// Where it lies.
    pub binary: Binary,
    /// Its functions, in the order of its section.
    pub functions: &'static mut [Function],
    /// The code in it or near it.
    pub area: Area,
    /// Where unwinders find the area's code, if it lies in the executable.
    pub table: Option<Table>,
    /// Index of its first function in the process.
    pub first: u32,
    /// A library that was closed.
    pub is_gone: bool,
    /// Whether the heap grows behind it.
    is_executable: bool,
    work: Option<&'static AtomicU64>,
    /// What was counted until it was closed.
    work_before: u64,
}

impl Member {
    /// The executable; without tidegate's sections it has no functions.
    pub fn executable(program_headers: u64, header_count: usize) -> Option<Self> {
        let file = File::of_executable()?;
        let binary = Binary::find(program_headers, header_count, file.program_headers)?;
        let table = Table::find(&binary);
        let area = table.map_or_else(Area::default, |table| Area::inside(table.area));
        Some(Self {
            area,
            table,
            ..Self::new(binary, &file, true)?
        })
    }

    /// The library whose ELF header is at `header`; `None` where it cannot be read or has no functions.
    pub fn library(header: u64, work: Option<&'static AtomicU64>) -> Option<Self> {
        let file = File::mapped_at(header)?;
        let member = Self::new(Binary::at(header)?, &file, false)?;
        (!member.functions.is_empty()).then_some(Self { work, ..member })
    }

    fn new(binary: Binary, file: &File, is_executable: bool) -> Option<Self> {
        let (address, length) = file.find_section(FUNCTIONS_SECTION).unwrap_or((0, 0));
        let start = address.wrapping_add(binary.load_bias);
        let count = (length as usize / DESCRIPTOR_LENGTH).min(FUNCTION_LIMIT);
        Some(Self {
            functions: read_functions(&binary, start, count)?,
            binary,
            area: Area::default(),
            table: None,
            first: 0,
            is_gone: false,
            is_executable,
            work: None,
            work_before: 0,
        })
    }

    /// Whether `other` is the same library at the same place.
    pub fn is_same_place(&self, other: &Self) -> bool {
        (self.binary.extent(), self.functions.len()) == (other.binary.extent(), other.functions.len())
    }

    /// Comes back in place of `before`, which was closed: with what was loaded for it, as far as that still holds.
    pub fn take_over(&mut self, before: &mut Self) {
        for (function, old) in self.functions.iter_mut().zip(before.functions.iter()) {
            function.inherit(old, &self.binary);
        }
        self.first = before.first;
        self.area = core::mem::take(&mut before.area);
        self.work_before = before.work_before;
        give_back(core::mem::take(&mut before.functions));
    }

    /// The library is about to be unmapped: nothing of it is touched from here on.
    pub fn leave(&mut self) {
        self.functions.iter_mut().for_each(Function::leave);
        self.work_before = self.work();
        self.work = None;
        self.is_gone = true;
    }

    /// Gives up what [`library`](Self::library) made.
    pub fn discard(self) {
        give_back(self.functions);
    }

    /// The sum of `TIDEGATE_WORK` in a library; the executable's own counter is read elsewhere.
    pub fn work(&self) -> u64 {
        let counted = self.work.map_or(0, |work| work.load(Ordering::Relaxed));
        self.work_before.wrapping_add(counted)
    }

    /// What the area must be near, and keep away from.
    pub fn surroundings(&self) -> Surroundings {
        let (lowest, highest) = self.binary.extent();
        Surroundings {
            lowest,
            highest,
            program_break: self.is_executable.then(|| sys::program_break() as u64),
        }
    }
}

/// Places the functions' state in memory of its own.
fn read_functions(binary: &Binary, start: u64, count: usize) -> Option<&'static mut [Function]> {
    if count == 0 {
        return Some(&mut []);
    }
    let memory = sys::map_anywhere(count * size_of::<Function>()).ok()? as *mut Function;
    for index in 0..count {
        let record = start + (index * DESCRIPTOR_LENGTH) as u64;
        let Some(function) = Function::read(binary, record) else {
            sys::unmap(memory as usize, count * size_of::<Function>());
            return None;
        };
        // SAFETY: the mapping has room for `count` functions and is aligned to a page.
        unsafe { memory.add(index).write(function) };
    }
    // SAFETY: all `count` elements were just written; whoever gives them back owns them.
    Some(unsafe { core::slice::from_raw_parts_mut(memory, count) })
}

fn give_back(functions: &'static mut [Function]) {
    if !functions.is_empty() {
        sys::unmap(functions.as_mut_ptr() as usize, size_of_val(functions));
    }
}

//! The part that is linked into libraries: it tells the executable's runtime that the library comes and goes.
//!
//! Why so: the runtime is in the executable, once; a library carries only this. Where the executable was not built with
//! tidegate's driver there is no note to be found, and the library's functions stay at the base.
//!
//! A crate of its own (see `build.rs`): it shares nothing with the runtime but the note's form (`library.rs`).

#![no_std]

use core::ffi::c_ulong;

/// `AT_PHDR` and `AT_PHNUM`.
const PROGRAM_HEADERS: c_ulong = 3;
const PROGRAM_HEADER_COUNT: c_ulong = 5;
const NOTE: u32 = 4;
const OWN_PLACE: u32 = 6;
/// Name length, content length, type, name.
const NOTE_START: [u32; 6] = [
    9,
    8,
    1,
    u32::from_le_bytes(*b"tide"),
    u32::from_le_bytes(*b"gate"),
    0,
];

const COMES: u32 = 1;
const GOES: u32 = 2;

type Door = extern "C" fn(u32, u64, u64);

/// An ELF program header.
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_bytes: u64,
    memory_bytes: u64,
    alignment: u64,
}

unsafe extern "C" {
    fn getauxval(kind: c_ulong) -> c_ulong;
    static tidegate_work_total: u64;
    /// The library's ELF header, by the linker's word.
    static __ehdr_start: u8;
}

// The ELF header is this library's own, never another's.
core::arch::global_asm!(".hidden __ehdr_start", include_str!("work_total.s"));

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = come;

#[used]
#[unsafe(link_section = ".fini_array")]
static DESTRUCTOR: extern "C" fn() = go;

extern "C" fn come() {
    announce(COMES);
}

extern "C" fn go() {
    announce(GOES);
}

fn announce(what: u32) {
    if let Some(door) = find_door() {
        let header = &raw const __ehdr_start as u64;
        let work = &raw const tidegate_work_total as u64;
        door(what, header, work);
    }
}

/// The executable's door, by the note in its program headers.
fn find_door() -> Option<Door> {
    // SAFETY: takes and gives numbers.
    let (table, count) = unsafe { (getauxval(PROGRAM_HEADERS), getauxval(PROGRAM_HEADER_COUNT)) };
    if table == 0 {
        return None;
    }
    // SAFETY: the kernel mapped the executable's program headers there and says how many there are.
    let headers = unsafe { core::slice::from_raw_parts(table as *const ProgramHeader, count as usize) };
    let own = headers.iter().find(|header| header.kind == OWN_PLACE)?;
    let bias = table.wrapping_sub(own.address);
    let notes = headers.iter().filter(|header| header.kind == NOTE);
    notes
        .filter_map(|header| door_in(header.address.wrapping_add(bias), header.memory_bytes as usize))
        .next()
}

/// The door in a segment of notes.
fn door_in(start: u64, length: usize) -> Option<Door> {
    // SAFETY: a segment of the executable, loaded and aligned to four bytes at least, as notes are.
    let words = unsafe { core::slice::from_raw_parts(start as *const u32, length / 4) };
    let index = words
        .windows(NOTE_START.len() + 2)
        .position(|window| window.starts_with(&NOTE_START))?;
    let place = start + 4 * (index + NOTE_START.len()) as u64;
    let low = words.get(index + NOTE_START.len()).copied()?;
    let high = words.get(index + NOTE_START.len() + 1).copied()?;
    let distance = u64::from(low) | u64::from(high) << 32;
    let door = place.wrapping_add(distance);
    // SAFETY: the note's writer is the runtime of this version (type 1), whose door has this signature.
    Some(unsafe { core::mem::transmute::<u64, Door>(door) })
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

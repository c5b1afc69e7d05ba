//! Names of variants for debuggers.
//!
//! gdb reads objects that a process makes while it runs from a list in its memory (gdb's manual, "JIT Compilation
//! Interface"): each entry leads to an ELF object that says what lies where. There is one for each image, with a symbol
//! `NAME.SCENARIO` over its code, and its frame descriptions. A debugger that is there already is told by the call of an
//! empty function, on which it has a breakpoint; one that comes later reads the list. Nothing is ever taken off it: nor
//! is the code.
//!
//! Both symbols that gdb looks for are local ones, so that they do not meet those of a program that compiles by itself;
//! where a program has some, or was stripped, gdb does not see ours.

use crate::sys;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tidegate_format::image::Image;

/// Bytes that are mapped at once: room for some hundred entries.
const CHUNK_BYTES: usize = 64 << 10;
/// What a debugger is told: an entry was added.
const ADDED: u32 = 1;

/// The head of the list.
#[repr(C)]
#[derive(Debug)]
struct List {
    _version: u32,
    action: AtomicU32,
    relevant: AtomicU64,
    first: AtomicU64,
}

/// An entry of the list; its object lies behind it.
#[repr(C)]
struct Entry {
    next: u64,
    previous: u64,
    object: u64,
    object_bytes: u64,
}

/// What is left of the memory that entries are put in.
#[derive(Debug, Default)]
pub struct Names {
    next: usize,
    left: usize,
}

impl Names {
    /// Tells debuggers about an image that was copied to `place`, relocated and sealed. Where there is no memory, it
    /// stays without a name.
    pub fn tell(&mut self, place: u64, image: &Image<'_>) {
        let frames = place + u64::from(image.eh_frame.0);
        let object = Object {
            text: (place, u64::from(image.text_length)),
            // SAFETY: a part of the sealed copy: `Image::read` found it inside of the span.
            frames: (frames, unsafe {
                core::slice::from_raw_parts(frames as *const u8, image.eh_frame.1 as usize)
            }),
            name: image.name,
            scenario: image.scenario.name(),
        };
        let object_bytes = object.write(&mut []);
        let Some(memory) = self.take(size_of::<Entry>() + object_bytes) else {
            return;
        };
        let behind = memory + size_of::<Entry>();
        // SAFETY: fresh memory of this length that nobody else refers to.
        object.write(unsafe { core::slice::from_raw_parts_mut(behind as *mut u8, object_bytes) });
        let list = gdb::list();
        let next = list.first.load(Ordering::Relaxed);
        let entry = Entry {
            next,
            previous: 0,
            object: behind as u64,
            object_bytes: object_bytes as u64,
        };
        // SAFETY: fresh memory, aligned by `take`; the entry before was put there the same way, and the list is changed
        // by one thread at a time: whoever is inside the gate.
        unsafe {
            (memory as *mut Entry).write(entry);
            if let Some(next) = (next as *mut Entry).as_mut() {
                next.previous = memory as u64;
            }
        }
        list.first.store(memory as u64, Ordering::Release);
        list.relevant.store(memory as u64, Ordering::Release);
        list.action.store(ADDED, Ordering::Release);
        gdb::tell();
    }

    /// Writable memory for `bytes`, aligned to 8.
    fn take(&mut self, bytes: usize) -> Option<usize> {
        let bytes = bytes.next_multiple_of(8);
        if bytes > self.left {
            let chunk = bytes.next_multiple_of(CHUNK_BYTES);
            self.next = sys::map_anywhere(chunk).ok()?;
            self.left = chunk;
        }
        let place = self.next;
        self.next += bytes;
        self.left -= bytes;
        Some(place)
    }
}

/// Bytes of ELF's header, of a section header and of a symbol.
const HEADER_BYTES: usize = 64;
const SECTION_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;
/// None, text, frames, symbols, their names, the sections' names.
const SECTIONS: usize = 6;
const SECTION_NAMES: &[u8] = b"\0.text\0.eh_frame\0.symtab\0.strtab\0.shstrtab\0";
const FRAMES_AT: usize = HEADER_BYTES + SECTIONS * SECTION_BYTES;
/// Kinds of sections.
const CONTENT: u32 = 1;
const SYMBOLS: u32 = 2;
const STRINGS: u32 = 3;
const NO_CONTENT: u32 = 8;
/// They are in memory; they are code.
const IN_MEMORY: u64 = 2;
const CODE: u64 = 4;

/// A relocatable object whose sections lie at addresses already, as compilers at run time make them.
struct Object<'a> {
    /// Where the code lies, and its length.
    text: (u64, u64),
    /// Where the frame descriptions lie, and a copy of them.
    frames: (u64, &'a [u8]),
    name: &'a str,
    scenario: &'a str,
}

/// A section's header; names are places in [`SECTION_NAMES`]; `link`, `first` and `each` are those of a table of symbols.
#[derive(Default)]
struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: usize,
    length: u64,
    link: u32,
    first: u32,
    alignment: u64,
    each: usize,
}

impl Object<'_> {
    /// Writes as much as `memory` has room for; gives the length of all.
    fn write(&self, memory: &mut [u8]) -> usize {
        let mut out = Filler { memory, at: 0 };
        // 64 bits, little-endian, version 1; a relocatable object for x86-64 without entry and segments.
        out.raw(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        out.raw(&1_u16.to_le_bytes());
        out.raw(&62_u16.to_le_bytes());
        out.words(&[1]);
        out.longs(&[0, 0, HEADER_BYTES as u64]);
        out.words(&[0]);
        for half in [HEADER_BYTES, 0, 0, SECTION_BYTES, SECTIONS, SECTIONS - 1] {
            out.raw(&(half as u16).to_le_bytes());
        }
        let sections = self.sections();
        let symbols_at = sections[3].offset;
        for section in sections {
            out.words(&[section.name, section.kind]);
            out.longs(&[
                section.flags,
                section.address,
                section.offset as u64,
                section.length,
            ]);
            out.words(&[section.link, section.first]);
            out.longs(&[section.alignment, section.each as u64]);
        }
        out.raw(self.frames.1);
        let gap = symbols_at - FRAMES_AT - self.frames.1.len();
        out.raw([0; 8].get(..gap).unwrap_or(&[]));
        self.write_names(&mut out);
        out.at
    }

    fn sections(&self) -> [Section; SECTIONS] {
        let frames = self.frames.1.len();
        let symbols_at = (FRAMES_AT + frames).next_multiple_of(8);
        let strings_at = symbols_at + 2 * SYMBOL_BYTES;
        let strings = 1 + self.name.len() + 1 + self.scenario.len() + 1;
        let text = Section {
            name: 1,
            kind: NO_CONTENT,
            flags: IN_MEMORY | CODE,
            address: self.text.0,
            offset: FRAMES_AT,
            length: self.text.1,
            alignment: 16,
            ..Section::default()
        };
        let frames = Section {
            name: 7,
            kind: CONTENT,
            flags: IN_MEMORY,
            address: self.frames.0,
            offset: FRAMES_AT,
            length: frames as u64,
            alignment: 1,
            ..Section::default()
        };
        let symbols = Section {
            name: 17,
            kind: SYMBOLS,
            offset: symbols_at,
            length: 2 * SYMBOL_BYTES as u64,
            link: 4,
            first: 1,
            alignment: 8,
            each: SYMBOL_BYTES,
            ..Section::default()
        };
        let table = |name, offset, length: usize| Section {
            name,
            kind: STRINGS,
            offset,
            length: length as u64,
            alignment: 1,
            ..Section::default()
        };
        [
            Section::default(),
            text,
            frames,
            symbols,
            table(25, strings_at, strings),
            table(33, strings_at + strings, SECTION_NAMES.len()),
        ]
    }

    /// The symbols, their names, and the names of the sections.
    fn write_names(&self, out: &mut Filler<'_>) {
        // No symbol, then a global function at the beginning of section 1.
        out.raw(&[0; SYMBOL_BYTES]);
        out.words(&[1]);
        out.raw(&[0x12, 0, 1, 0]);
        out.longs(&[0, self.text.1]);
        for part in [
            &b"\0"[..],
            self.name.as_bytes(),
            b".",
            self.scenario.as_bytes(),
            b"\0",
        ] {
            out.raw(part);
        }
        out.raw(SECTION_NAMES);
    }
}

/// Fills memory from its beginning, and counts what no longer fits.
struct Filler<'a> {
    memory: &'a mut [u8],
    at: usize,
}

impl Filler<'_> {
    fn raw(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if let Some(place) = self.memory.get_mut(self.at..end) {
            place.copy_from_slice(bytes);
        }
        self.at = end;
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.raw(&word.to_le_bytes());
        }
    }

    fn longs(&mut self, longs: &[u64]) {
        for long in longs {
            self.raw(&long.to_le_bytes());
        }
    }
}

#[cfg(tidegate_archive)]
mod gdb {
    //! What gdb looks for by name.

    use super::List;

    core::arch::global_asm!(
        ".section .data.tidegate_debugger,\"aw\"",
        ".balign 8",
        ".type __jit_debug_descriptor, @object",
        ".size __jit_debug_descriptor, 24",
        "__jit_debug_descriptor: .long 1, 0",
        ".quad 0, 0",
        ".section .text.tidegate_debugger,\"ax\"",
        ".type __jit_debug_register_code, @function",
        "__jit_debug_register_code: ret",
        ".size __jit_debug_register_code, . - __jit_debug_register_code",
        ".text",
    );

    unsafe extern "C" {
        static __jit_debug_descriptor: List;
        safe fn __jit_debug_register_code();
    }

    pub(super) fn list() -> &'static List {
        // SAFETY: defined above; what changes in it is atomic.
        unsafe { &__jit_debug_descriptor }
    }

    pub(super) fn tell() {
        __jit_debug_register_code();
    }
}

#[cfg(not(tidegate_archive))]
mod gdb {
    use super::List;
    use core::sync::atomic::{AtomicU32, AtomicU64};

    static LIST: List = List {
        _version: 1,
        action: AtomicU32::new(0),
        relevant: AtomicU64::new(0),
        first: AtomicU64::new(0),
    };

    pub(super) fn list() -> &'static List {
        &LIST
    }

    pub(super) fn tell() {}
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    #[test]
    fn an_object_names_its_code() {
        let object = Object {
            text: (0x7000, 0x123),
            frames: (0x7200, &[7; 21]),
            name: "deflate",
            scenario: "memory",
        };
        let mut bytes = vec![0xaa; object.write(&mut [])];
        assert_eq!(object.write(&mut bytes), bytes.len());
        let long = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("inside"));
        let section = |index: usize, field: usize| long(HEADER_BYTES + index * SECTION_BYTES + field);
        assert_eq!((section(1, 16), section(1, 32)), (0x7000, 0x123));
        assert_eq!((section(2, 16), section(2, 32)), (0x7200, 21));
        let content = |index: usize| {
            let (at, length) = (section(index, 24) as usize, section(index, 32) as usize);
            &bytes[at..at + length]
        };
        assert_eq!(content(2), [7; 21]);
        assert_eq!(content(4), b"\0deflate.memory\0");
        assert_eq!(content(5), SECTION_NAMES);
        let symbol = &content(3)[SYMBOL_BYTES..];
        assert_eq!(symbol[..8], [1, 0, 0, 0, 0x12, 0, 1, 0]);
        assert_eq!(symbol[8..], [[0; 8], 0x123_u64.to_le_bytes()].concat());
        assert_eq!(long(40), HEADER_BYTES as u64);
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let object = Object {
            text: (0, 1),
            frames: (0, &[]),
            name: "f",
            scenario: "cpu",
        };
        let mut bytes = [0xaa; 10];
        assert!(object.write(&mut bytes) > 448);
        assert_eq!(bytes, [0xaa; 10]);
    }
}

//! Unwind information of loaded images, for whoever walks the stack inside the process: exceptions, panics, backtraces.
//!
//! Why so: every unwinder (libgcc's, LLVM's, the one in libc) finds a function's frame description by a binary search in
//! the executable's `.eh_frame_hdr`. The archive reserves the code area inside the executable, and in its `.eh_frame`
//! one description per page of it, so the linker puts an entry per page into that table. To publish an image's
//! description is then one aligned four-byte store per page of code: the entry leads to the image's own description
//! instead of the reserved one. No lock, no allocation, no call into the unwinder, nothing that grows: a throw costs what
//! it cost before, and no thread, known to libc or not, can meet a half-made state.
//!
//! Where there is no such table (`--no-eh-frame-hdr`, a static executable at a fixed address, the areas of libraries),
//! nobody is told, and variants that exceptions may pass are refused: libgcc's `__register_frame_info` takes its mutexes
//! and, since version 13, allocates, which no thread that libc does not know may do.

use crate::area::PAGE_BYTES;
use crate::binary::Binary;
use crate::place::AREA_BYTES;
use crate::sys::{self, Protection};
use core::sync::atomic::{AtomicU32, Ordering};
use tidegate_format::bytes::Reader;
use tidegate_format::image::Image;

/// Entries that the archive reserves: one per page of the area.
const RESERVED: u64 = AREA_BYTES / PAGE_BYTES;
/// Bytes of `.eh_frame_hdr` before its table.
const TABLE_OFFSET: u64 = 12;
/// Version 1, and the encodings that linkers write: relative to the place, a plain count, relative to the header.
const ENCODINGS: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
/// Bytes of an entry: where code begins and where its description is, both relative to the header.
const ENTRY_BYTES: u64 = 8;

/// The area inside the executable, and its entries in the executable's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where the reserved area starts.
    pub area: u64,
    header: u64,
    /// Address of the first page's entry.
    first: u64,
}

impl Table {
    /// The reserved entries; `None` where the linker made no such table, or not of them.
    pub fn find(executable: &Binary) -> Option<Self> {
        let area = imports::area()?;
        let (header, _) = executable.frame_header()?;
        let start = executable.bytes(header, TABLE_OFFSET as usize)?;
        let mut reader = Reader::new(start);
        if reader.array::<4>().ok()? != ENCODINGS {
            return None;
        }
        reader.u32().ok()?;
        let count = reader.u32().ok()?;
        let length = count as usize * ENTRY_BYTES as usize;
        let table = executable.bytes(header + TABLE_OFFSET, length)?;
        let index = position(table, relative(area, header)?)?;
        Some(Self {
            area,
            header,
            first: header + TABLE_OFFSET + index as u64 * ENTRY_BYTES,
        })
    }

    /// Has the entries of an image's pages lead to its own descriptions. `text` is where its code lies, `frames` its
    /// `.eh_frame`, relocated. Gives whether every one of its functions is found now: each must have pages of its own.
    pub fn publish(&self, text: (u64, u64), frames: (u64, &[u8])) -> bool {
        let pages = |address: u64| address.wrapping_sub(self.area) / PAGE_BYTES;
        let (first, last) = (pages(text.0), pages(text.0 + text.1.max(1) - 1));
        if last >= RESERVED {
            return false;
        }
        let begin = self.entry(first) & !(PAGE_BYTES - 1);
        let bytes = (self.entry(last + 1) - begin).next_multiple_of(PAGE_BYTES) as usize;
        if sys::protect(begin as usize, bytes, Protection::ReadWrite).is_err() {
            return false;
        }
        let mut complete = frames.1.len() >= 8;
        let mut free = first;
        for (address, code, length) in descriptions(frames.0, frames.1) {
            let within = code >= text.0 && length > 0 && code.saturating_add(length) <= text.0 + text.1;
            let Some(place) = relative(address, self.header).filter(|_| within && pages(code) >= free) else {
                complete = false;
                continue;
            };
            free = pages(code + length - 1) + 1;
            for page in pages(code)..free {
                let cell = (self.entry(page) + 4) as *mut u32;
                // SAFETY: aligned, inside of the table that `find` saw, writable just now, and only ever read as a whole.
                unsafe { AtomicU32::from_ptr(cell) }.store(place.cast_unsigned(), Ordering::Release);
            }
        }
        let sealed = sys::protect(begin as usize, bytes, Protection::Read);
        complete && sealed.is_ok()
    }

    fn entry(&self, page: u64) -> u64 {
        self.first + page * ENTRY_BYTES
    }
}

/// Where in `table` the entries of the area's pages begin, if they are all there, one behind the other.
fn position(table: &[u8], area: i32) -> Option<usize> {
    let mut entries = table.chunks_exact(ENTRY_BYTES as usize);
    let begin = |entry: &[u8]| Some(i32::from_le_bytes(*entry.first_chunk()?));
    let index = entries.clone().position(|entry| begin(entry) == Some(area))?;
    let mut found = entries.by_ref().skip(index);
    let complete = (0..RESERVED).all(|page| {
        let expect = area.checked_add((page * PAGE_BYTES) as i32);
        expect.is_some() && found.next().and_then(begin) == expect
    });
    complete.then_some(index)
}

fn relative(address: u64, header: u64) -> Option<i32> {
    i32::try_from(address.wrapping_sub(header).cast_signed()).ok()
}

/// The frame descriptions in `bytes`, which lie at `address`: where each is, where its code begins, and its length.
/// As LLVM writes them: both ends in four bytes, the beginning relative to its place.
fn descriptions(address: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
    let mut offset = 0;
    core::iter::from_fn(move || {
        loop {
            let mut reader = Reader::new(bytes.get(offset..)?);
            let length = reader.u32().ok().filter(|length| *length >= 4)? as usize;
            let record = address + offset as u64;
            offset = offset.checked_add(length)?.checked_add(4)?;
            if offset > bytes.len() {
                return None;
            }
            if reader.u32().ok()? == 0 {
                // What several descriptions have in common.
                continue;
            }
            let (begin, range) = (reader.u32().ok()?.cast_signed(), reader.u32().ok()?);
            let code = (record + 8).wrapping_add_signed(i64::from(begin));
            return Some((record, code, u64::from(range)));
        }
    })
}

/// Tells whoever walks the stack about an image that was copied to `place`, relocated and sealed. Gives whether its
/// frames are found from now on: never without a table. A backtrace then ends at the variant, and an exception that
/// passed through it would end the program.
pub fn tell(table: Option<Table>, place: u64, image: &Image<'_>) -> bool {
    let Some(table) = table else {
        return false;
    };
    let text = (place, u64::from(image.text_length));
    let address = place + u64::from(image.eh_frame.0);
    let length = image.eh_frame.1 as usize;
    // SAFETY: a part of the sealed copy: `Image::read` found it inside of the span.
    let frames = unsafe { core::slice::from_raw_parts(address as *const u8, length) };
    table.publish(text, (address, frames))
}

#[cfg(tidegate_archive)]
mod imports {
    // The area, and a description per page of it that describes nothing: nobody is ever in a page before its entry
    // leads elsewhere.
    core::arch::global_asm!(
        ".section .bss.tidegate_area,\"aw\",@nobits",
        ".balign {page}",
        ".hidden tidegate_area",
        ".globl tidegate_area",
        ".type tidegate_area, @object",
        ".size tidegate_area, {area}",
        "tidegate_area: .zero {area}",
        ".section .eh_frame,\"a\",@unwind",
        ".balign 8",
        ".Ltidegate_common: .long .Ltidegate_common_end - .Ltidegate_common_id",
        ".Ltidegate_common_id: .long 0",
        // Version, augmentation, alignment of code and data, return address; addresses relative to their place.
        ".byte 1",
        ".asciz \"zR\"",
        ".byte 1, 0x78, 16, 1, 0x1b",
        // As at any function's entry: the frame is at rsp + 8, the return address below it.
        ".byte 0x0c, 7, 8, 0x90, 1",
        ".balign 8",
        ".Ltidegate_common_end:",
        ".set .Ltidegate_page, 0",
        ".rept {area} / {page}",
        ".long 20",
        ".long . - .Ltidegate_common",
        ".long tidegate_area + .Ltidegate_page - .",
        ".long {page}",
        ".zero 8",
        ".set .Ltidegate_page, .Ltidegate_page + {page}",
        ".endr",
        ".text",
        page = const crate::area::PAGE_BYTES,
        area = const crate::place::AREA_BYTES,
    );

    unsafe extern "C" {
        static tidegate_area: u8;
    }

    pub(super) fn area() -> Option<u64> {
        Some(&raw const tidegate_area as u64)
    }
}

#[cfg(not(tidegate_archive))]
mod imports {
    pub(super) fn area() -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn record(words: &[u32]) -> Vec<u8> {
        let length = (words.len() * 4) as u32;
        let all = core::iter::once(&length).chain(words);
        all.flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn descriptions_are_read_up_to_the_end_or_the_first_damage() {
        let common = record(&[0, 1, 2]);
        // At 0x1010, code 0x10 before its own place.
        let first = record(&[20, (-0x18_i32).cast_unsigned(), 0x40, 0]);
        let bytes = [
            common,
            first.clone(),
            record(&[0xff, 8, 4]),
            0_u32.to_le_bytes().to_vec(),
        ]
        .concat();
        let found: Vec<_> = descriptions(0x1000, &bytes).collect();
        assert_eq!(found, [(0x1010, 0x1000, 0x40), (0x1024, 0x1034, 4)]);
        for length in 0..first.len() {
            assert_eq!(descriptions(0, &first[..length]).count(), 0, "{length}");
        }
    }

    #[test]
    fn the_pages_entries_are_found_where_they_are_all_there() {
        let table = |pages: u64| {
            let pages = (0..pages).map(|page| 0x5000 + (page * PAGE_BYTES) as i32);
            let begins = [-0x200, -0x100].into_iter().chain(pages);
            let words = begins.flat_map(|begin| [begin, 7]);
            words.flat_map(i32::to_le_bytes).collect::<Vec<u8>>()
        };
        assert_eq!(position(&table(RESERVED), 0x5000), Some(2));
        assert_eq!(position(&table(RESERVED - 1), 0x5000), None);
        assert_eq!(position(&table(RESERVED), 0x5004), None);
    }
}

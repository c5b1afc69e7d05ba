//! The executable or a library of the process: where it was loaded, what it holds, what it imports.
//!
//! Why so: the sections are found by their headers in the file (see `format::section`), because a
//! reference by linker symbols would keep dead functions alive. The contents are then read from memory, but
//! only from within the loaded segments: a damaged reference gives `None`, not a fault.
//!
//! Not here: what the sections mean.

use crate::{maps, sys};
use core::ffi::CStr;
use tidegate_format::bytes::Reader;

/// At most so many loadable segments are known; linkers make four to eight.
const SEGMENT_LIMIT: usize = 16;
/// The longest build id that is told.
const BUILD_ID_LIMIT_BYTES: usize = 32;
/// At most so many section headers are looked at (an object with a section per function is not an executable).
const SECTION_LIMIT: u64 = 4096;
const PROGRAM_HEADER_BYTES: usize = 56;
const SECTION_HEADER_BYTES: u64 = 64;
const ELF_HEADER_BYTES: usize = 64;
/// The longest path of a library, with its terminator.
const PATH_LIMIT_BYTES: usize = 4096;

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const NOTE: u32 = 4;
/// Where the table is that unwinders search.
const FRAME_HEADER: u32 = 0x6474_e550;
/// The segment may only be read.
const READ_ONLY: u32 = 4;

/// An executable or a library as it lies in memory.
#[derive(Clone, Debug)]
pub struct Binary {
    /// Where it was loaded less where it was linked.
    pub load_bias: u64,
    segments: [(u64, u64); SEGMENT_LIMIT],
    segment_count: usize,
    dynamic: Option<(u64, u64)>,
    frame_header: Option<(u64, u64)>,
    build_id: [u8; BUILD_ID_LIMIT_BYTES],
    build_id_bytes: usize,
}

/// A program header, the fields that matter.
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    memory_bytes: u64,
}

impl ProgramHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u32().ok()?;
        let flags = reader.u32().ok()?;
        let offset = reader.u64().ok()?;
        let address = reader.u64().ok()?;
        reader.u64().ok()?;
        reader.u64().ok()?;
        Some(Self {
            kind,
            flags,
            offset,
            address,
            memory_bytes: reader.u64().ok()?,
        })
    }
}

impl ProgramHeader {
    /// Whether this is a segment that may only be read and holds what `other` describes.
    fn is_read_only_around(&self, other: &Self) -> bool {
        let within = self.address <= other.address
            && other.address.saturating_add(other.memory_bytes)
                <= self.address.saturating_add(self.memory_bytes);
        self.kind == LOAD && self.flags == READ_ONLY && within
    }
}

impl Binary {
    /// Reads the program headers at `headers_address`, which lie at `headers_offset` in the file.
    pub fn find(headers_address: u64, header_count: usize, headers_offset: u64) -> Option<Self> {
        let length = header_count.checked_mul(PROGRAM_HEADER_BYTES)?;
        // SAFETY: the kernel mapped the program headers there and says how many there are (AT_PHDR, AT_PHNUM).
        let table = unsafe { core::slice::from_raw_parts(headers_address as *const u8, length) };
        let headers = || {
            table
                .chunks_exact(PROGRAM_HEADER_BYTES)
                .filter_map(ProgramHeader::read)
        };
        let first = headers().find(|header| {
            header.kind == LOAD
                && (header.offset..header.offset.saturating_add(header.memory_bytes))
                    .contains(&headers_offset)
        })?;
        let linked_at = first.address.wrapping_add(headers_offset - first.offset);
        let mut binary = Self {
            load_bias: headers_address.wrapping_sub(linked_at),
            segments: [(0, 0); SEGMENT_LIMIT],
            segment_count: 0,
            dynamic: None,
            frame_header: None,
            build_id: [0; BUILD_ID_LIMIT_BYTES],
            build_id_bytes: 0,
        };
        headers()
            .filter(|header| header.kind == LOAD)
            .for_each(|header| binary.add_segment(&header));
        for header in headers() {
            let address = header.address.wrapping_add(binary.load_bias);
            match header.kind {
                DYNAMIC => binary.dynamic = Some((address, header.memory_bytes)),
                FRAME_HEADER if headers().any(|segment| segment.is_read_only_around(&header)) => {
                    binary.frame_header = Some((address, header.memory_bytes));
                }
                NOTE => binary.find_build_id(address, header.memory_bytes),
                _ => {}
            }
        }
        Some(binary)
    }

    /// Reads the headers behind the ELF header at `start`, where a linker puts it: at the begin of the first segment.
    pub fn at(start: u64) -> Option<Self> {
        // SAFETY: an ELF header, as the caller says; its program headers lie behind it in the same segment.
        let header = unsafe { core::slice::from_raw_parts(start as *const u8, ELF_HEADER_BYTES) };
        let headers_offset = Reader::new(header.get(32..)?).u64().ok()?;
        let count = Reader::new(header.get(56..)?).u16().ok()?;
        Self::find(start.checked_add(headers_offset)?, count.into(), headers_offset)
    }

    fn add_segment(&mut self, header: &ProgramHeader) {
        let start = header.address.wrapping_add(self.load_bias);
        if let Some(place) = self.segments.get_mut(self.segment_count) {
            *place = (start, start.saturating_add(header.memory_bytes));
            self.segment_count += 1;
        }
    }

    fn find_build_id(&mut self, address: u64, length: u64) {
        const BUILD_ID: u32 = 3;
        let Some(notes) = self.bytes(address, length as usize) else {
            return;
        };
        let mut reader = Reader::new(notes);
        while let (Ok(name), Ok(value), Ok(kind)) = (reader.u32(), reader.u32(), reader.u32()) {
            let Ok(name) = reader.take((name as usize).next_multiple_of(4)) else {
                return;
            };
            let Ok(padded) = reader.take((value as usize).next_multiple_of(4)) else {
                return;
            };
            let id = padded.get(..value as usize).unwrap_or(&[]);
            if kind == BUILD_ID && name == b"GNU\0" {
                let length = id.len().min(BUILD_ID_LIMIT_BYTES);
                self.build_id[..length].copy_from_slice(&id[..length]);
                self.build_id_bytes = length;
            }
        }
    }

    /// Address and length of the table that unwinders search, where it lies in a segment that may only be read and the
    /// dynamic linker is there to find it: a static executable at a fixed address registers its frames by itself.
    pub fn frame_header(&self) -> Option<(u64, u64)> {
        self.frame_header.filter(|_| self.dynamic.is_some())
    }

    /// The GNU build id, empty if there is none.
    pub fn build_id(&self) -> &[u8] {
        self.build_id.get(..self.build_id_bytes).unwrap_or(&[])
    }

    /// Lowest and highest address of its segments.
    pub fn extent(&self) -> (u64, u64) {
        let segments = self.segments();
        let lowest = segments.iter().map(|segment| segment.0).min().unwrap_or(0);
        let highest = segments.iter().map(|segment| segment.1).max().unwrap_or(0);
        (lowest, highest)
    }

    fn segments(&self) -> &[(u64, u64)] {
        self.segments.get(..self.segment_count).unwrap_or(&[])
    }

    fn holds(&self, address: u64, length: usize) -> bool {
        let Some(end) = address.checked_add(length as u64) else {
            return false;
        };
        self.segments()
            .iter()
            .any(|(start, stop)| *start <= address && end <= *stop)
    }

    /// Bytes of it in memory; `None` outside of its segments.
    pub fn bytes(&self, address: u64, length: usize) -> Option<&'static [u8]> {
        // SAFETY: the range lies in a loaded segment, which stays mapped until the process ends or the library
        // says that it leaves; nobody asks afterwards. Callers read only what nobody writes (headers, tables, names, blobs, tables of relocated addresses).
        self.holds(address, length)
            .then(|| unsafe { core::slice::from_raw_parts(address as *const u8, length) })
    }

    /// An aligned eight-byte cell of it in memory.
    pub fn cell(&self, address: u64) -> Option<&'static core::sync::atomic::AtomicU64> {
        let fits = self.holds(address, 8) && address.is_multiple_of(8);
        // SAFETY: aligned, in a loaded segment, and only ever accessed as a whole.
        fits.then(|| unsafe { core::sync::atomic::AtomicU64::from_ptr(address as *mut u64) })
    }

    /// Whether the dynamic symbol table has an undefined symbol of one of these names.
    pub fn imports_any(&self, names: &[&[u8]]) -> bool {
        self.undefined_symbols().is_some_and(|(symbols, strings)| {
            symbols.chunks_exact(SYMBOL_BYTES).any(|symbol| {
                let name = Reader::new(symbol).u32().unwrap_or(0);
                let undefined = symbol.get(6..8) == Some(&[0, 0]);
                undefined && self.text_is_any(strings.wrapping_add(u64::from(name)), names)
            })
        })
    }

    fn text_is_any(&self, address: u64, names: &[&[u8]]) -> bool {
        names.iter().any(|name| {
            let found = self.bytes(address, name.len() + 1).and_then(<[u8]>::split_last);
            found.is_some_and(|(end, text)| *end == 0 && text == *name)
        })
    }

    /// The dynamic symbols that may be undefined, and the address of their names.
    fn undefined_symbols(&self) -> Option<(&'static [u8], u64)> {
        const HASH: u64 = 4;
        const STRING_TABLE: u64 = 5;
        const SYMBOL_TABLE: u64 = 6;
        const GNU_HASH: u64 = 0x6fff_fef5;
        let (address, length) = self.dynamic?;
        let entries = self.bytes(address, length as usize)?;
        let find = |tag: u64| {
            let value = entries.chunks_exact(16).find_map(|entry| {
                let mut reader = Reader::new(entry);
                (reader.u64() == Ok(tag)).then(|| reader.u64().ok()).flatten()
            })?;
            // glibc relocates the table in place, others do not.
            Some(if value < self.load_bias {
                value.wrapping_add(self.load_bias)
            } else {
                value
            })
        };
        // The GNU table hashes defined symbols only and names the first of them; the old one counts all.
        let (hash, field) = find(GNU_HASH)
            .map(|hash| (hash, 4))
            .or_else(|| find(HASH).map(|hash| (hash, 4)))?;
        let count = Reader::new(self.bytes(hash + field, 4)?).u32().ok()? as usize;
        let symbols = self.bytes(find(SYMBOL_TABLE)?, count.checked_mul(SYMBOL_BYTES)?)?;
        Some((symbols, find(STRING_TABLE)?))
    }
}

const SYMBOL_BYTES: usize = 24;

/// A binary's file, opened for its headers.
#[derive(Debug)]
pub struct File {
    descriptor: sys::Descriptor,
    section_headers: u64,
    section_count: u64,
    names_offset: u64,
    /// Offset of the program headers.
    pub program_headers: u64,
}

impl File {
    /// Opens the executable and reads the ELF header.
    pub fn of_executable() -> Option<Self> {
        Self::open(c"/proc/self/exe")
    }

    /// Opens the file that is mapped at `address`.
    pub fn mapped_at(address: u64) -> Option<Self> {
        let mut path = [0; PATH_LIMIT_BYTES];
        Self::open(maps::path_at(address, &mut path)?)
    }

    fn open(path: &CStr) -> Option<Self> {
        let descriptor = sys::open_read(path).ok()?;
        let mut file = Self {
            descriptor,
            section_headers: 0,
            section_count: 0,
            names_offset: 0,
            program_headers: 0,
        };
        file.read_header()?;
        Some(file)
    }

    fn read_header(&mut self) -> Option<()> {
        let mut header = [0_u8; ELF_HEADER_BYTES];
        self.fill(&mut header, 0)?;
        let mut reader = Reader::new(header.get(32..)?);
        self.program_headers = reader.u64().ok()?;
        self.section_headers = reader.u64().ok()?;
        let mut reader = Reader::new(header.get(60..)?);
        self.section_count = u64::from(reader.u16().ok()?).min(SECTION_LIMIT);
        let names = u64::from(reader.u16().ok()?);
        self.names_offset = self.section(names)?.offset;
        Some(())
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> Option<()> {
        (sys::read_at(self.descriptor, buffer, offset) == Ok(buffer.len())).then_some(())
    }

    fn section(&self, index: u64) -> Option<SectionHeader> {
        let mut bytes = [0_u8; SECTION_HEADER_BYTES as usize];
        self.fill(
            &mut bytes,
            self.section_headers.checked_add(index * SECTION_HEADER_BYTES)?,
        )?;
        SectionHeader::read(&bytes)
    }

    /// Linked address and length of the section with this name.
    pub fn find_section(&self, name: &str) -> Option<(u64, u64)> {
        (0..self.section_count)
            .filter_map(|index| self.section(index))
            .find_map(|section| {
                self.is_named(&section, name)
                    .then_some((section.address, section.length))
            })
    }

    fn is_named(&self, section: &SectionHeader, name: &str) -> bool {
        let mut found = [0_u8; 32];
        let Some(place) = found.get_mut(..=name.len()) else {
            return false;
        };
        let read = self.fill(place, self.names_offset.saturating_add(section.name));
        read.is_some() && place.split_last() == Some((&0, name.as_bytes()))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        sys::close(self.descriptor);
    }
}

/// A section header, the fields that matter.
struct SectionHeader {
    name: u64,
    address: u64,
    offset: u64,
    length: u64,
}

impl SectionHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let name = u64::from(reader.u32().ok()?);
        reader.take(12).ok()?;
        Some(Self {
            name,
            address: reader.u64().ok()?,
            offset: reader.u64().ok()?,
            length: reader.u64().ok()?,
        })
    }
}

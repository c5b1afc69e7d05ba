//! What the compiler plugin leaves in an ELF file, section by section.
//!
//! ## How a reader finds it
//! By **section header**, in the file: `.tidegate.functions` is a plain array of [`Descriptor`]s. There are no
//! `__start_`/`__stop_` symbols on purpose: a reference to them makes GNU ld keep every function of a program
//! linked with `--gc-sections`, dead ones included. Section headers survive `strip` and `llvm-strip`. The
//! runtime reads them from `/proc/self/exe`; a section's address plus the load base is where it is mapped.
//!
//! ## Sections
//! | section | flags | content |
//! |---|---|---|
//! | `.tidegate.functions` | alloc, link-order of the body | one [`Descriptor`] per switchable function |
//! | `.tidegate.anchors` | alloc, link-order of the body | tables of [`AnchorEntry`], one per function |
//! | `.tidegate.blobs` | alloc, link-order of the body | [blobs](crate::blob), 8-aligned, sealed records |
//! | `.tidegate.names` | alloc, link-order of the body | function names, UTF-8, without a terminator |
//! | `.tidegate.slots` | alloc, write, a section group of its own | one 8-byte cell per function: the address that its calls take |
//! | `.tidegate.refused` | alloc, link-order of the function; not alloc for a whole file that is left alone | [`Refusal`]s, 8-aligned, one after the other; where both kinds are linked there may be two sections |
//! | `.tidegate.tunables` | alloc | [`Tunable`] records, [`TUNABLE_LENGTH`] bytes each |
//!
//! Link order (`SHF_LINK_ORDER`) and the function's COMDAT group make each record live and die with its
//! function under `--gc-sections`.
//!
//! ## Slots
//! A slot is 8 bytes, 8-aligned, writable, and starts as the address of the base body (the linker or the
//! dynamic loader relocates it). A switch is one aligned 8-byte store; callers load it with a plain load right
//! before each call. Whoever enters the function by its symbol (other objects, function pointers) goes through
//! a *stub*, `jmp *slot(%rip)`, which carries the function's name; the base body is then called
//! `NAME.tidegate`. A function that is only called directly within its object has no stub, and its body keeps
//! its name. A function's address (for comparison) is always the stub's, never the body's or a variant's.
//!
//! ## References
//! A reference is an `i32`, relative to the address of the reference itself; 0 means absent.
//!
//! ## The work counter
//! `tidegate_work_total`: 8 bytes, 8-aligned, one per link image, symbol weak and hidden, defined by every
//! object that uses `TIDEGATE_WORK(n)` and by the runtime, so that both link with and without the other.
//! `TIDEGATE_WORK(n)` is an atomic relaxed add of `n` units.
//!
//! ## Tunables
//! `TIDEGATE_TUNABLE` (see `tidegate.h`) leaves one [`Tunable`] in `.tidegate.tunables`. In the base it is the
//! constant `default`; in a variant it is the scenario's constant, or what the request to the worker says. No
//! memory cell of it exists.

use core::fmt;

use crate::FormatError;
use crate::FunctionHash;
use crate::arguments::ArgumentLayout;
use crate::bytes::Reader;

/// Section of [`Descriptor`]s.
pub const FUNCTIONS_SECTION: &str = ".tidegate.functions";
/// Section of [`AnchorEntry`] tables.
pub const ANCHORS_SECTION: &str = ".tidegate.anchors";
/// Section of [blobs](crate::blob).
pub const BLOBS_SECTION: &str = ".tidegate.blobs";
/// Section of function names.
pub const NAMES_SECTION: &str = ".tidegate.names";
/// Section of slots.
pub const SLOTS_SECTION: &str = ".tidegate.slots";
/// Section of [`Refusal`]s.
pub const REFUSED_SECTION: &str = ".tidegate.refused";
/// Section of [`Tunable`]s.
pub const TUNABLES_SECTION: &str = ".tidegate.tunables";
/// Section of the note by which libraries find the runtime in an executable.
pub const RUNTIME_NOTE_SECTION: &str = ".note.tidegate";
/// Ending of a base body's symbol where a stub carries the function's name.
pub const BODY_SUFFIX: &str = ".tidegate";
/// Symbol of the work counter.
pub const WORK_COUNTER_SYMBOL: &str = "tidegate_work_total";

/// Version of the sections' layout; it stands in every descriptor, refusal and tunable.
pub const SECTION_VERSION: u16 = 1;
/// Bit of [`Descriptor::flags`]: a stub carries the function's name.
pub const HAS_STUB: u16 = 1;
/// Bit of [`Descriptor::flags`]: an exception may pass through the function, so its variants' unwind information
/// must be registered before one is called.
pub const MAY_UNWIND: u16 = 2;
/// Bytes of a [`Descriptor`].
pub const DESCRIPTOR_LENGTH: usize = 64;
/// Bytes of an [`AnchorEntry`].
pub const ANCHOR_LENGTH: usize = 8;

/// A reference: the target's address is the address of the reference plus `delta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Offset of the reference itself from the start of its record.
    pub field_offset: u32,
    /// Distance from the reference to its target; 0 = absent.
    pub delta: i32,
}

impl Reference {
    fn read(reader: &mut Reader<'_>, start: usize) -> Result<Self, FormatError> {
        let field_offset = (reader.position() - start) as u32;
        Ok(Self {
            field_offset,
            delta: reader.i32()?,
        })
    }

    /// Where the target is, for a record at `record_address`; `None` where the reference is absent.
    pub fn target(self, record_address: u64) -> Option<u64> {
        let field = record_address.wrapping_add(u64::from(self.field_offset));
        (self.delta != 0).then(|| field.wrapping_add_signed(i64::from(self.delta)))
    }
}

/// One switchable function, 64 bytes, 8-aligned:
///
/// | offset | field |
/// |---|---|
/// | 0 | version `u16` |
/// | 2 | flags `u16`: [`HAS_STUB`], [`MAY_UNWIND`] |
/// | 4 | reference to the base body (code) |
/// | 8 | reference to the slot |
/// | 12 | reference to the anchor table |
/// | 16 | anchors `u32` (entries) |
/// | 20 | reference to the blob |
/// | 24 | blob length `u32` (bytes) |
/// | 28 | reference to the name |
/// | 32 | name length `u32` (bytes) |
/// | 36 | LLVM instructions of the body when the blob was taken `u32` |
/// | 40 | [`FunctionHash`] (16 bytes) |
/// | 56 | reference to the stub; absent where there is none |
/// | 60 | [`ArgumentLayout`] (`u32`) |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Flags as stored.
    pub flags: u16,
    /// The base body's first instruction.
    pub body: Reference,
    /// The slot's cell.
    pub slot: Reference,
    /// The first entry of the anchor table.
    pub anchors: Reference,
    /// Entries of the anchor table.
    pub anchor_count: u32,
    /// The blob's first byte.
    pub blob: Reference,
    /// Bytes of the blob.
    pub blob_length: u32,
    /// The name's first byte.
    pub name: Reference,
    /// Bytes of the name.
    pub name_length: u32,
    /// LLVM instructions of the body when the blob was taken.
    pub instruction_count: u32,
    /// Identity of blob and anchors.
    pub hash: FunctionHash,
    /// The stub that carries the function's name, where there is one.
    pub stub: Reference,
    /// Where its arguments travel.
    pub arguments: ArgumentLayout,
}

impl Descriptor {
    /// Reads the record at the start of `bytes`.
    pub fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        known_version(reader.u16()?)?;
        Ok(Self {
            flags: reader.u16()?,
            body: Reference::read(&mut reader, 0)?,
            slot: Reference::read(&mut reader, 0)?,
            anchors: Reference::read(&mut reader, 0)?,
            anchor_count: reader.u32()?,
            blob: Reference::read(&mut reader, 0)?,
            blob_length: reader.u32()?,
            name: Reference::read(&mut reader, 0)?,
            name_length: reader.u32()?,
            instruction_count: reader.u32()?,
            hash: FunctionHash(reader.array()?),
            stub: Reference::read(&mut reader, 0)?,
            arguments: ArgumentLayout(reader.u32()?),
        })
    }

    /// The records of a `.tidegate.functions` section, in order, with each one's offset in the section.
    pub fn read_all(section: &[u8]) -> impl Iterator<Item = (usize, Result<Self, FormatError>)> + '_ {
        let records = section.chunks(DESCRIPTOR_LENGTH).enumerate();
        records.map(|(index, bytes)| (index * DESCRIPTOR_LENGTH, Self::read(bytes)))
    }
}

fn known_version(found: u16) -> Result<(), FormatError> {
    let error = FormatError::Version {
        found: found.into(),
        known: SECTION_VERSION.into(),
    };
    if found == SECTION_VERSION {
        Ok(())
    } else {
        Err(error)
    }
}

/// What an anchor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AnchorKind {
    /// The address of a function, as the base sees it.
    Function = 0,
    /// The address of a variable or constant of the base.
    Data = 1,
    /// The address of the slot of another (or the same) switchable function.
    Slot = 2,
    /// The address of a function without arguments that gives the calling thread's copy of a variable.
    ThreadLocal = 3,
}

impl AnchorKind {
    /// The kind of a number, `None` where there is none.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Function, Self::Data, Self::Slot, Self::ThreadLocal]
            .get(usize::from(number))
            .copied()
    }
}

/// Bit of [`AnchorEntry::flags`]: the reference leads to a cell of the global offset table; the address is
/// the 8-byte value read there (by then relocated). Without it, the reference leads to the thing itself,
/// which then lies in the same link image.
pub const ANCHOR_INDIRECT: u8 = 1;
/// Bit of [`AnchorEntry::flags`]: the address may be 0 (a weak symbol that nobody defined). A variant that
/// refers to it is refused by the loader.
pub const ANCHOR_WEAK: u8 = 2;

/// One entry of an anchor table, 8 bytes, 4-aligned: reference `i32`, kind `u8`, flags `u8`, 0 `u16`.
///
/// Entry 0 is the function itself, as its symbol's users see it. The names that stand for the entries in
/// bitcode are in the [blob](crate::blob), in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchorEntry {
    /// The thing, or the cell that holds its address (see [`ANCHOR_INDIRECT`]).
    pub reference: Reference,
    /// What it is.
    pub kind: AnchorKind,
    /// [`ANCHOR_INDIRECT`] and [`ANCHOR_WEAK`].
    pub flags: u8,
}

impl AnchorEntry {
    /// Reads entry `index` of the table that starts at the start of `table`. The reference is relative to
    /// the table's start, so its [`Reference::target`] takes the table's address.
    pub fn read(table: &[u8], index: usize) -> Result<Self, FormatError> {
        let start = index
            .checked_mul(ANCHOR_LENGTH)
            .ok_or(FormatError::Value { field: "index" })?;
        let mut reader = Reader::new(table);
        reader.take(start)?;
        let reference = Reference::read(&mut reader, 0)?;
        let kind = AnchorKind::from_number(reader.u8()?).ok_or(FormatError::Value { field: "kind" })?;
        let flags = reader.u8()?;
        reader.u16()?;
        Ok(Self {
            reference,
            kind,
            flags,
        })
    }

    /// Whether the address is read from the reference's target instead of being it.
    pub fn is_indirect(&self) -> bool {
        self.flags & ANCHOR_INDIRECT != 0
    }

    /// Whether the address may be 0.
    pub fn is_weak(&self) -> bool {
        self.flags & ANCHOR_WEAK != 0
    }
}

macro_rules! refusal_reasons {
    ($($variant:ident = $number:literal, $text:literal;)*) => {
        /// Why a function, or a whole file, was left as it was.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum RefusalReason {
            $(#[doc = $text] $variant = $number,)*
        }

        impl RefusalReason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The reason in words.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

refusal_reasons! {
    TooSmall = 1, "smaller than what is worth a slot";
    NotListed = 2, "not in the list of functions to select";
    Variadic = 3, "takes a variable number of arguments";
    CallsSetjmp = 4, "calls setjmp, vfork or another function that returns twice";
    CallsDynamicLoader = 5, "calls dlsym or dlopen, which depend on the caller's address";
    TakesReturnAddress = 6, "uses its return or frame address";
    Naked = 7, "is naked";
    AlwaysInline = 8, "is always inlined";
    CallingConvention = 9, "has a calling convention that slots do not carry";
    Interrupt = 10, "is an interrupt handler";
    Retpoline = 11, "is compiled with retpolines";
    Kcfi = 12, "is compiled with kernel control-flow integrity";
    X87 = 13, "computes in x87 registers";
    Coroutine = 14, "is a coroutine before splitting";
    IfuncResolver = 15, "is an ifunc resolver, or called by one";
    TargetClones = 16, "has clones per target";
    ExceptionHandling = 17, "handles exceptions";
    ThreadLocal = 18, "uses a thread-local variable in a way that variants cannot";
    BlockAddress = 19, "takes the address of a label";
    InlineAssembly = 20, "contains inline assembly that names symbols or labels";
    FastMath = 21, "may change floating-point results (contract, reassoc, afn or arcp)";
    NotOptimised = 22, "is not optimised";
    MustTail = 23, "contains a guaranteed tail call";
    InMemoryArguments = 24, "has arguments that the caller keeps on its stack (inalloca or preallocated)";
    SignatureChanged = 25, "changed its signature after its blob was taken";
    ReplaceableBody = 26, "may be replaced by another definition when linked";
    UserSection = 27, "is placed in a section by the user";
    SplitFailed = 28, "could not be split off from its file";
    TooLarge = 29, "is larger than what a worker compiles in time";
    FileSanitized = 64, "whole file: compiled with a sanitizer";
    FileInstrumented = 65, "whole file: compiled with profiling or coverage instrumentation";
    FileFreestanding = 66, "whole file: freestanding";
    FileTarget = 67, "whole file: not for x86-64 Linux in 64-bit mode";
    FileCodeModel = 68, "whole file: a code model other than small";
    FileLanguage = 69, "whole file: a language that is not supported yet";
    FileNotOptimised = 70, "whole file: compiled without optimisation";
    Precompiled = 71, "whole crate: it was machine code when it was linked";
    FileVectorLibrary = 72, "whole file: compiled with -fveclib, whose results differ from the library's";
    LinkTimeOptimisationDropped = 96, "note: -flto was dropped, objects are plain ELF";
}

impl RefusalReason {
    /// The reason of a number, `None` where there is none.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| *reason as u16 == number)
    }

    /// Whether it leaves a whole file as it was, rather than a function, or none.
    pub fn leaves_file_alone(self) -> bool {
        (Self::FileSanitized..Self::LinkTimeOptimisationDropped).contains(&self)
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.text())
    }
}

/// One function, or one whole file, that is not switchable. In bytes: version `u16`, reason `u16`, name length
/// `u32`, the name (of the function, or of the source file), zeros up to a multiple of 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The function's name, or the source file's for reasons about whole files.
    pub name: &'a str,
    /// Why.
    pub reason: RefusalReason,
}

impl<'a> Refusal<'a> {
    /// The records of a `.tidegate.refused` section; ends after the first record that cannot be read.
    pub fn read_all(section: &'a [u8]) -> impl Iterator<Item = Result<Self, FormatError>> + 'a {
        let mut reader = Reader::new(section);
        let mut failed = false;
        core::iter::from_fn(move || {
            if failed || reader.remaining() == 0 {
                return None;
            }
            let record = Self::read(&mut reader);
            failed = record.is_err();
            Some(record)
        })
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        known_version(reader.u16()?)?;
        let reason =
            RefusalReason::from_number(reader.u16()?).ok_or(FormatError::Value { field: "reason" })?;
        let length = reader.u32()? as usize;
        let name = reader.text(length, "name")?;
        let padding = length.next_multiple_of(8) - length;
        reader.take(padding)?;
        Ok(Self { name, reason })
    }

    /// The record's bytes.
    #[cfg(feature = "alloc")]
    pub fn to_bytes(&self) -> alloc::vec::Vec<u8> {
        let mut writer = crate::bytes::Writer::new();
        writer
            .u16(SECTION_VERSION)
            .u16(self.reason as u16)
            .u32(self.name.len() as u32);
        writer.raw(self.name.as_bytes()).pad(8);
        writer.finish()
    }
}

/// Bytes of a [`Tunable`] record.
pub const TUNABLE_LENGTH: usize = 168;
/// Bytes for a tunable's name, its terminating zero included.
pub const TUNABLE_NAME_LENGTH: usize = 64;

/// A value that the user allowed to differ by scenario; 168 bytes, 8-aligned:
///
/// | offset | field |
/// |---|---|
/// | 0 | version `u32` |
/// | 4 | 0 `u32` |
/// | 8 | default `i64` |
/// | 16 | values: five pairs {set `u64`: 0 or 1, value `i64`} for cpu, memory, disk, network, neighbour |
/// | 96 | 0 `u64` |
/// | 104 | name, zero-terminated, 64 bytes |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunable<'a> {
    /// The name in the source.
    pub name: &'a str,
    /// The value in the base, and in scenarios without a value of their own.
    pub default: i64,
    /// Values in the order of [`Scenario::TUNABLE`](crate::scenario::Scenario::TUNABLE).
    pub values: [Option<i64>; 5],
}

impl<'a> Tunable<'a> {
    /// Reads the record at the start of `bytes`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u32()?;
        known_version(u16::try_from(version).unwrap_or(u16::MAX))?;
        reader.u32()?;
        let default = reader.i64()?;
        let mut values = [None; 5];
        for value in &mut values {
            let set = reader.u64()? != 0;
            let number = reader.i64()?;
            *value = set.then_some(number);
        }
        reader.u64()?;
        let name = reader.take(TUNABLE_NAME_LENGTH)?;
        let length = name
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(FormatError::Value { field: "name" })?;
        let name = core::str::from_utf8(&name[..length]).map_err(|_| FormatError::Value { field: "name" })?;
        Ok(Self {
            name,
            default,
            values,
        })
    }

    /// The value in `scenario`.
    pub fn value(&self, scenario: crate::scenario::Scenario) -> i64 {
        let index = crate::scenario::Scenario::TUNABLE
            .iter()
            .position(|known| *known == scenario);
        index.and_then(|index| self.values[index]).unwrap_or(self.default)
    }

    /// The records of a `.tidegate.tunables` section.
    pub fn read_all(section: &'a [u8]) -> impl Iterator<Item = Result<Self, FormatError>> + 'a {
        section.chunks(TUNABLE_LENGTH).map(Self::read)
    }
}

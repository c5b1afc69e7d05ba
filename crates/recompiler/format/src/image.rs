//! An image: one variant, flattened by the worker, as the code cache keeps it and the runtime loads it.
//!
//! ## Why so flat
//! The loader runs inside somebody's process, so it gets as little to decide as possible. The variant is one
//! contiguous span of bytes (text, then constants, then unwind information); everything that refers from one
//! part of the span to another at a relative distance is already resolved. What is left are
//! [`Relocation`]s: places that need the address of an anchor, or an absolute address within the span. Calls
//! out of the span go through cells in the span's constants (the worker makes them: a cell is 8 zero bytes with
//! an [`RelocationKind::Absolute64`]), so a target may be at any distance. There is no writable data: a variant
//! that would own some cannot be represented.
//!
//! ## What a loader does
//! 1. [`Image::read`] (checks everything below), compare [`Image::hash`] with the descriptor's, and
//!    [`Image::cpu_features`] with the CPU's.
//! 2. Copy [`Image::span`] to a writable, 64-aligned place near the executable.
//! 3. Apply every relocation; refuse the image where an anchor's address is 0 or a distance does not fit.
//! 4. Make the place readable and executable, register `eh_frame`, publish `place + entry`.
//!
//! ## Layout (offsets in bytes)
//!
//! | offset | field |
//! |---|---|
//! | 0 | magic `TGIMAGE\0` |
//! | 8 | version `u32` |
//! | 12 | CRC-32 `u32` of everything from byte 16 |
//! | 16 | length `u32` of the whole record |
//! | 20 | scenario `u8`, 0 `u8`, pipeline version `u16` |
//! | 24 | [`CpuFeatures`] `u64` |
//! | 32 | [`FunctionHash`] (16 bytes) |
//! | 48 | anchors `u32`: entries that the function's table must have |
//! | 52 | span length `u32` |
//! | 56 | text length `u32` (text starts at 0) |
//! | 60, 64 | rodata offset and length `u32` |
//! | 68, 72 | eh_frame offset and length `u32` (0 length = none; ends with 4 zero bytes) |
//! | 76 | entry offset `u32`, within the text |
//! | 80 | relocations `u32` |
//! | 84 | name length `u32` |
//! | 88 | 0 `u64` |
//! | 96 | the span, then zeros up to a multiple of 8 |
//! | … | relocations, 16 bytes each |
//! | … | the function's name, UTF-8 |

use crate::bytes::{Reader, open_record};
use crate::scenario::Scenario;
use crate::{FormatError, FunctionHash};

/// First bytes of an image.
pub const IMAGE_MAGIC: [u8; 8] = *b"TGIMAGE\0";
/// Version of the layout.
pub const IMAGE_VERSION: u32 = 1;
/// Bytes of one relocation.
pub const RELOCATION_LENGTH: usize = 16;
/// What the span's start must be aligned to, in bytes: a page, which unwinders find code by.
pub const SPAN_ALIGNMENT: usize = 4096;
/// Longest span, in bytes: the cap of a process's whole code cache.
pub const SPAN_LENGTH_MAX: u32 = 4 << 20;

/// Instruction set extensions beyond the x86-64 baseline (SSE2) that code needs, as a bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CpuFeatures(pub u64);

macro_rules! cpu_features {
    ($($constant:ident = $bit:literal, $name:literal;)*) => {
        impl CpuFeatures {
            $(#[doc = concat!("The extension `", $name, "`.")] pub const $constant: Self = Self(1 << $bit);)*

            /// Every known extension with its name, as LLVM and `/proc/cpuinfo` (mostly) spell it.
            pub const NAMED: &[(Self, &'static str)] = &[$((Self::$constant, $name),)*];
        }
    };
}

cpu_features! {
    SSE3 = 0, "sse3";
    SSSE3 = 1, "ssse3";
    SSE4_1 = 2, "sse4.1";
    SSE4_2 = 3, "sse4.2";
    POPCNT = 4, "popcnt";
    CX16 = 5, "cx16";
    SAHF = 6, "sahf";
    AVX = 7, "avx";
    AVX2 = 8, "avx2";
    BMI = 9, "bmi";
    BMI2 = 10, "bmi2";
    F16C = 11, "f16c";
    FMA = 12, "fma";
    LZCNT = 13, "lzcnt";
    MOVBE = 14, "movbe";
    AVX512F = 15, "avx512f";
    AVX512BW = 16, "avx512bw";
    AVX512CD = 17, "avx512cd";
    AVX512DQ = 18, "avx512dq";
    AVX512VL = 19, "avx512vl";
}

impl CpuFeatures {
    /// Nothing beyond the baseline.
    pub const BASELINE: Self = Self(0);
    /// The level x86-64-v2.
    pub const V2: Self = Self(0x7f);
    /// The level x86-64-v3.
    pub const V3: Self = Self(0x7fff);
    /// The level x86-64-v4.
    pub const V4: Self = Self(0xf_ffff);

    /// Whether everything in `self` is also in `offered`.
    pub fn is_subset_of(self, offered: Self) -> bool {
        self.0 & !offered.0 == 0
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How the bytes at a place depend on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RelocationKind {
    /// 8 bytes: target + addend.
    Absolute64 = 1,
    /// 4 bytes: target + addend − place, signed.
    Relative32 = 2,
    /// 8 bytes: target + addend − place.
    Relative64 = 3,
    /// The last 4 bytes of the 6-byte instruction `call *cell(%rip)` (`ff 15 …`), already correct as they are.
    /// A loader *may* make it `addr32 call target` (`67 e8 …`, distance = target − place − 4) where that fits;
    /// one that does not know better leaves it alone.
    CallThroughCell = 4,
}

/// What a relocation refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelocationTarget {
    /// Entry of the function's anchor table.
    Anchor(u32),
    /// Offset in the image's own span.
    Span(u32),
    /// The function's base body, whatever its slot leads to: where a guard of the variant does not hold.
    Base,
}

/// One place to fill in when the image is loaded: offset `u32`, kind `u8`, target kind `u8` (0 anchor, 1 span,
/// 2 base body), 0 `u16`, target `u32` (0 for the base body), addend `i32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Relocation {
    /// Offset of the place in the span.
    pub offset: u32,
    /// How to fill it in.
    pub kind: RelocationKind,
    /// With whose address.
    pub target: RelocationTarget,
    /// Added to the address.
    pub addend: i32,
}

impl Relocation {
    /// Bytes at the place.
    pub fn width(&self) -> u32 {
        match self.kind {
            RelocationKind::Absolute64 | RelocationKind::Relative64 => 8,
            RelocationKind::Relative32 | RelocationKind::CallThroughCell => 4,
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let offset = reader.u32()?;
        let kind = match reader.u8()? {
            1 => RelocationKind::Absolute64,
            2 => RelocationKind::Relative32,
            3 => RelocationKind::Relative64,
            4 => RelocationKind::CallThroughCell,
            _ => {
                return Err(FormatError::Value {
                    field: "relocation kind",
                });
            }
        };
        let target_kind = reader.u8()?;
        reader.u16()?;
        let target = match (target_kind, reader.u32()?) {
            (0, index) => RelocationTarget::Anchor(index),
            (1, offset) => RelocationTarget::Span(offset),
            (2, 0) => RelocationTarget::Base,
            _ => {
                return Err(FormatError::Value {
                    field: "relocation target",
                });
            }
        };
        Ok(Self {
            offset,
            kind,
            target,
            addend: reader.i32()?,
        })
    }
}

/// An image that was read: every offset, length and relocation in it lies where it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    /// What it was compiled for.
    pub scenario: Scenario,
    /// Version of the worker's pipeline table.
    pub pipeline_version: u16,
    /// What the CPU must offer.
    pub cpu_features: CpuFeatures,
    /// Identity of the function it belongs to.
    pub hash: FunctionHash,
    /// Entries that the function's anchor table must have.
    pub anchor_count: u32,
    /// Text, constants, unwind information.
    pub span: &'a [u8],
    /// Bytes of text at the start of the span.
    pub text_length: u32,
    /// Constants: offset in the span and bytes.
    pub rodata: (u32, u32),
    /// Unwind information: offset in the span and bytes, the terminating 4 zero bytes included; length 0 = none.
    pub eh_frame: (u32, u32),
    /// Offset of the function's first instruction in the span.
    pub entry: u32,
    /// The relocations as stored.
    relocations: &'a [u8],
    /// The function's name.
    pub name: &'a str,
}

impl<'a> Image<'a> {
    /// Reads the record at the start of `bytes` and checks all of it; bytes behind it are ignored.
    pub fn read(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = open_record(bytes, IMAGE_MAGIC, IMAGE_VERSION)?;
        let scenario = Scenario::from_number(reader.u8()?).ok_or(FormatError::Value { field: "scenario" })?;
        reader.u8()?;
        let pipeline_version = reader.u16()?;
        let cpu_features = CpuFeatures(reader.u64()?);
        let hash = FunctionHash(reader.array()?);
        let anchor_count = reader.u32()?;
        let span_length = reader.u32()?;
        let text_length = reader.u32()?;
        let rodata = (reader.u32()?, reader.u32()?);
        let eh_frame = (reader.u32()?, reader.u32()?);
        let entry = reader.u32()?;
        let relocation_count = reader.u32()? as usize;
        let name_length = reader.u32()? as usize;
        reader.u64()?;
        let span = reader.take(span_length as usize)?;
        reader.take((span_length as usize).next_multiple_of(8) - span_length as usize)?;
        let relocations_length = relocation_count.checked_mul(RELOCATION_LENGTH);
        let relocations =
            reader.take(relocations_length.ok_or(FormatError::Value { field: "relocations" })?)?;
        let name = reader.text(name_length, "name")?;
        let image = Self {
            scenario,
            pipeline_version,
            cpu_features,
            hash,
            anchor_count,
            span,
            text_length,
            rodata,
            eh_frame,
            entry,
            relocations,
            name,
        };
        image.check()?;
        Ok(image)
    }

    /// The relocations in order. [`Image::read`] has checked each of them.
    pub fn relocations(&self) -> impl Iterator<Item = Relocation> + use<'a> {
        self.relocations
            .chunks_exact(RELOCATION_LENGTH)
            .filter_map(|bytes| Relocation::read(bytes).ok())
    }

    /// The unwind information.
    pub fn eh_frame_bytes(&self) -> &'a [u8] {
        let (offset, length) = self.eh_frame;
        self.span
            .get(offset as usize..offset as usize + length as usize)
            .unwrap_or(&[])
    }

    fn check(&self) -> Result<(), FormatError> {
        let within = |offset: u32, length: u32| {
            offset
                .checked_add(length)
                .is_some_and(|end| end as usize <= self.span.len())
        };
        let parts = [
            ("span length", self.span.len() <= SPAN_LENGTH_MAX as usize),
            ("text length", within(0, self.text_length)),
            ("rodata", within(self.rodata.0, self.rodata.1)),
            ("eh_frame", within(self.eh_frame.0, self.eh_frame.1)),
            ("entry", self.entry < self.text_length),
        ];
        if let Some((field, _)) = parts.iter().find(|(_, holds)| !holds) {
            return Err(FormatError::Value { field });
        }
        for bytes in self.relocations.chunks_exact(RELOCATION_LENGTH) {
            let relocation = Relocation::read(bytes)?;
            let target_holds = match relocation.target {
                RelocationTarget::Anchor(index) => index < self.anchor_count,
                RelocationTarget::Span(offset) => within(offset, 0),
                RelocationTarget::Base => true,
            };
            // The instruction's two opcode bytes stand before the place.
            let before = if relocation.kind == RelocationKind::CallThroughCell {
                2
            } else {
                0
            };
            if !target_holds || !within(relocation.offset, relocation.width()) || relocation.offset < before {
                return Err(FormatError::Value { field: "relocation" });
            }
        }
        Ok(())
    }
}

#[cfg(feature = "alloc")]
mod write {
    use super::{IMAGE_MAGIC, IMAGE_VERSION, Image, Relocation, RelocationTarget};
    use crate::bytes::Writer;
    use crate::scenario::Scenario;
    use crate::{FormatError, FunctionHash};
    use alloc::string::String;
    use alloc::vec::Vec;

    /// The parts of an image to be written; the fields are those of [`Image`].
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ImageParts {
        /// What it is compiled for.
        pub scenario: Scenario,
        /// Version of the worker's pipeline table.
        pub pipeline_version: u16,
        /// What the CPU must offer.
        pub cpu_features: super::CpuFeatures,
        /// Identity of the function.
        pub hash: FunctionHash,
        /// Entries of the function's anchor table.
        pub anchor_count: u32,
        /// Text, constants, unwind information.
        pub span: Vec<u8>,
        /// Bytes of text.
        pub text_length: u32,
        /// Offset and bytes of the constants.
        pub rodata: (u32, u32),
        /// Offset and bytes of the unwind information.
        pub eh_frame: (u32, u32),
        /// Offset of the first instruction.
        pub entry: u32,
        /// Places to fill in.
        pub relocations: Vec<Relocation>,
        /// The function's name.
        pub name: String,
    }

    impl ImageParts {
        /// The record's bytes; an error where a reader would refuse them.
        pub fn to_bytes(&self) -> Result<Vec<u8>, FormatError> {
            let mut writer = Writer::record(IMAGE_MAGIC, IMAGE_VERSION);
            writer.u8(self.scenario.number()).u8(0).u16(self.pipeline_version);
            writer.u64(self.cpu_features.0).raw(&self.hash.0);
            writer
                .u32(self.anchor_count)
                .u32(self.span.len() as u32)
                .u32(self.text_length);
            writer
                .u32(self.rodata.0)
                .u32(self.rodata.1)
                .u32(self.eh_frame.0)
                .u32(self.eh_frame.1);
            writer
                .u32(self.entry)
                .u32(self.relocations.len() as u32)
                .u32(self.name.len() as u32)
                .u64(0);
            writer.raw(&self.span).pad(8);
            for relocation in &self.relocations {
                let (kind, target) = match relocation.target {
                    RelocationTarget::Anchor(index) => (0, index),
                    RelocationTarget::Span(offset) => (1, offset),
                    RelocationTarget::Base => (2, 0),
                };
                writer
                    .u32(relocation.offset)
                    .u8(relocation.kind as u8)
                    .u8(kind)
                    .u16(0);
                writer.u32(target).i32(relocation.addend);
            }
            writer.raw(self.name.as_bytes());
            let bytes = writer.seal();
            Image::read(&bytes)?;
            Ok(bytes)
        }
    }
}

#[cfg(feature = "alloc")]
pub use write::ImageParts;

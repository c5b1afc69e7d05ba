//! A blob: one function with what can be inlined into it, as compressed LLVM bitcode, ready for the worker.
//!
//! Layout (offsets in bytes):
//!
//! | offset | field |
//! |---|---|
//! | 0 | magic `TGBLOB\0\0` |
//! | 8 | version `u32` |
//! | 12 | CRC-32 `u32` of everything from byte 16 |
//! | 16 | length `u32` of the whole record |
//! | 20 | optimisation level `u8`, 0 to 3 |
//! | 21 | size level `u8`, 0 to 2 (-Os, -Oz) |
//! | 22 | flags `u16` (0) |
//! | 24 | [`FunctionHash`] (16 bytes) |
//! | 40 | anchors `u32`: names that follow |
//! | 44 | bytes of the name table `u32` |
//! | 48 | bytes of the compressed bitcode `u32` |
//! | 52 | bytes of the bitcode `u32` |
//! | 56 | name table: per anchor kind `u8`, flags `u8`, length `u16`, symbol in the bitcode |
//! | … | one zstd frame |
//!
//! The names say which symbol of the bitcode stands for which entry of the function's anchor table; entry 0 is
//! the function itself. The flags are those of the anchor entry. A [`AnchorKind::Slot`] entry carries the name of the function whose slot it is.
//! Compression and hashing are the writer's; this module knows only where the bytes stand.

use crate::bytes::{Reader, open_record};
use crate::section::AnchorKind;
use crate::{FormatError, FunctionHash};

/// First bytes of a blob.
pub const BLOB_MAGIC: [u8; 8] = *b"TGBLOB\0\0";
/// Version of the layout.
pub const BLOB_VERSION: u32 = 1;
/// Most bytes of bitcode that a blob may claim: a bound for whoever allocates before decompressing.
pub const BITCODE_LENGTH_MAX: u32 = 64 << 20;

/// A blob that was read: its checksum holds, its parts lie within the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob<'a> {
    /// Optimisation level of the file, 0 to 3.
    pub optimisation_level: u8,
    /// 1 for -Os, 2 for -Oz, else 0.
    pub size_level: u8,
    /// Identity.
    pub hash: FunctionHash,
    /// Names in the name table.
    pub anchor_count: u32,
    /// The name table.
    pub names: &'a [u8],
    /// One zstd frame.
    pub compressed: &'a [u8],
    /// Bytes of the bitcode once decompressed.
    pub bitcode_length: u32,
}

/// One line of the name table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchorName<'a> {
    /// What the anchor is.
    pub kind: AnchorKind,
    /// [`ANCHOR_INDIRECT`](crate::section::ANCHOR_INDIRECT) and [`ANCHOR_WEAK`](crate::section::ANCHOR_WEAK).
    pub flags: u8,
    /// The symbol in the bitcode; for a slot, the function's.
    pub symbol: &'a str,
}

impl<'a> Blob<'a> {
    /// Reads the record at the start of `bytes`; bytes behind it are ignored.
    pub fn read(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = open_record(bytes, BLOB_MAGIC, BLOB_VERSION)?;
        let optimisation_level = reader.u8()?;
        let size_level = reader.u8()?;
        reader.u16()?;
        let hash = FunctionHash(reader.array()?);
        let anchor_count = reader.u32()?;
        let names_length = reader.u32()? as usize;
        let compressed_length = reader.u32()? as usize;
        let bitcode_length = reader.u32()?;
        if bitcode_length > BITCODE_LENGTH_MAX {
            return Err(FormatError::Value {
                field: "bitcode length",
            });
        }
        let names = reader.take(names_length)?;
        let compressed = reader.take(compressed_length)?;
        Ok(Self {
            optimisation_level,
            size_level,
            hash,
            anchor_count,
            names,
            compressed,
            bitcode_length,
        })
    }

    /// The anchors' names in order; ends after the first line that cannot be read.
    pub fn anchor_names(&self) -> impl Iterator<Item = Result<AnchorName<'a>, FormatError>> + use<'a> {
        let mut reader = Reader::new(self.names);
        let mut left = self.anchor_count;
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let name = read_name(&mut reader);
            left = if name.is_err() { 0 } else { left };
            Some(name)
        })
    }
}

fn read_name<'a>(reader: &mut Reader<'a>) -> Result<AnchorName<'a>, FormatError> {
    let kind = AnchorKind::from_number(reader.u8()?).ok_or(FormatError::Value { field: "kind" })?;
    let flags = reader.u8()?;
    let length = reader.u16()?;
    let symbol = reader.text(length.into(), "symbol")?;
    Ok(AnchorName { kind, flags, symbol })
}

#[cfg(feature = "alloc")]
mod write {
    use super::{AnchorName, BLOB_MAGIC, BLOB_VERSION, Blob};
    use crate::FormatError;
    use crate::bytes::Writer;
    use alloc::vec::Vec;

    /// The name table of `names`; an error where a symbol is longer than 65,535 bytes.
    pub fn name_table(names: &[AnchorName<'_>]) -> Result<Vec<u8>, FormatError> {
        let mut writer = Writer::new();
        for name in names {
            let length =
                u16::try_from(name.symbol.len()).map_err(|_| FormatError::Value { field: "symbol" })?;
            writer
                .u8(name.kind as u8)
                .u8(name.flags)
                .u16(length)
                .raw(name.symbol.as_bytes());
        }
        Ok(writer.finish())
    }

    impl Blob<'_> {
        /// The record's bytes, padded to a multiple of 8.
        pub fn to_bytes(&self) -> Vec<u8> {
            let mut writer = Writer::record(BLOB_MAGIC, BLOB_VERSION);
            writer
                .u8(self.optimisation_level)
                .u8(self.size_level)
                .u16(0)
                .raw(&self.hash.0);
            writer.u32(self.anchor_count).u32(self.names.len() as u32);
            writer.u32(self.compressed.len() as u32).u32(self.bitcode_length);
            writer.raw(self.names).raw(self.compressed).pad(8);
            writer.seal()
        }
    }
}

#[cfg(feature = "alloc")]
pub use write::name_table;

//! Byte layouts shared by the rooms of the recompiler.
//!
//! Four parties that never share memory layouts by accident meet here: the compiler plugin writes
//! [`section`]s and [`blob`]s into objects, the worker turns a [`request`] into an [`image`], the runtime in
//! the app loads the image, and the daemon talks to it in [`message`]s. Everything is little-endian,
//! versioned, and read with bounds checks only; no reader panics on any input.
//!
//! This crate knows no file, no ELF, no LLVM, and no heap (the writers, behind the feature `alloc`, excepted).

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod arguments;
pub mod blob;
pub mod bytes;
pub mod image;
pub mod message;
#[cfg(feature = "alloc")]
pub mod request;
pub mod scenario;
pub mod section;
pub mod served;

use core::fmt;

/// Why bytes are not what a reader expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatError {
    /// The bytes end before the field at `offset` (bytes from the start of the record) does.
    Truncated {
        /// Where the missing field starts.
        offset: usize,
    },
    /// The record does not start with its magic bytes.
    Magic,
    /// A version that this build does not know. Remedy: rebuild the program, or use the matching tidegate.
    Version {
        /// The version found.
        found: u32,
        /// The version this build reads.
        known: u32,
    },
    /// The checksum in the record is not the one of its bytes.
    Checksum,
    /// A field holds a value outside of its domain.
    Value {
        /// The field's name.
        field: &'static str,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { offset } => write!(formatter, "the record is cut off at byte {offset}"),
            Self::Magic => formatter.write_str("the record does not start with its magic bytes"),
            Self::Version { found, known } => {
                write!(
                    formatter,
                    "version {found} of the record, this build reads version {known}"
                )
            }
            Self::Checksum => formatter.write_str("the record's checksum does not match its bytes"),
            Self::Value { field } => write!(formatter, "the field `{field}` is outside of its domain"),
        }
    }
}

impl core::error::Error for FormatError {}

/// Identity of what a function's variants are made from: the first 16 bytes of the BLAKE3 hash over the
/// blob's name table and its uncompressed bitcode. Two functions with the same hash take the same images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FunctionHash(pub [u8; 16]);

impl fmt::Display for FunctionHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

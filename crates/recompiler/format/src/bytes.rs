//! Reading and writing little-endian fields with bounds checks, and the checksum of all records.
//!
//! A cursor instead of casts: the runtime reads hostile bytes inside somebody's process, so no field may be
//! read past the end or at a wrong alignment. It does not know what the fields mean.

use crate::FormatError;

/// A cursor over bytes that gives an error at the end instead of a panic.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A cursor at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let end = self
            .position
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len());
        let truncated = FormatError::Truncated {
            offset: self.position,
        };
        let slice = end
            .and_then(|end| self.bytes.get(self.position..end))
            .ok_or(truncated)?;
        self.position += length;
        Ok(slice)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// A 16-bit number.
    pub fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A 32-bit number.
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A signed 32-bit number.
    pub fn i32(&mut self) -> Result<i32, FormatError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    /// A 64-bit number.
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A signed 64-bit number.
    pub fn i64(&mut self) -> Result<i64, FormatError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// UTF-8 text of `length` bytes; `field` names it in the error.
    pub fn text(&mut self, length: usize, field: &'static str) -> Result<&'a str, FormatError> {
        core::str::from_utf8(self.take(length)?).map_err(|_| FormatError::Value { field })
    }
}

/// Reads a record's magic bytes, version and checksum: `magic` (8 bytes), version `u32`, checksum `u32` over
/// everything from byte 16 to the record's length, length `u32` of the whole record. Gives the cursor behind
/// the length, over exactly the record's bytes.
pub fn open_record(bytes: &[u8], magic: [u8; 8], known: u32) -> Result<Reader<'_>, FormatError> {
    let mut reader = Reader::new(bytes);
    if reader.array::<8>()? != magic {
        return Err(FormatError::Magic);
    }
    let found = reader.u32()?;
    if found != known {
        return Err(FormatError::Version { found, known });
    }
    let checksum = reader.u32()?;
    let length = reader.u32()? as usize;
    let record = bytes
        .get(..length)
        .ok_or(FormatError::Truncated { offset: bytes.len() })?;
    let covered = record.get(16..).ok_or(FormatError::Value { field: "length" })?;
    if crc32(covered) != checksum {
        return Err(FormatError::Checksum);
    }
    let mut reader = Reader::new(record);
    reader.take(20)?;
    Ok(reader)
}

/// CRC-32 (IEEE 802.3, reflected) of `bytes`: finds every single flipped bit and every burst up to 32 bits.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |state: u32, byte| {
        TABLE[((state ^ u32::from(*byte)) & 0xff) as usize] ^ (state >> 8)
    })
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xedb8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(feature = "alloc")]
mod write {
    use alloc::vec::Vec;

    /// Builds one record: the fields in order, then [`Writer::seal`] fills in checksum and length.
    #[derive(Debug, Default)]
    pub struct Writer {
        bytes: Vec<u8>,
    }

    impl Writer {
        /// An empty record without a header.
        pub fn new() -> Self {
            Self::default()
        }

        /// A record that starts with `magic` and `version`, with room for checksum and length.
        pub fn record(magic: [u8; 8], version: u32) -> Self {
            let mut writer = Self::new();
            writer.raw(&magic).u32(version).u32(0).u32(0);
            writer
        }

        /// Bytes written so far.
        pub fn position(&self) -> usize {
            self.bytes.len()
        }

        /// Appends bytes as they are.
        pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
            self.bytes.extend_from_slice(bytes);
            self
        }

        /// Appends one byte.
        pub fn u8(&mut self, value: u8) -> &mut Self {
            self.raw(&[value])
        }

        /// Appends a 16-bit number.
        pub fn u16(&mut self, value: u16) -> &mut Self {
            self.raw(&value.to_le_bytes())
        }

        /// Appends a 32-bit number.
        pub fn u32(&mut self, value: u32) -> &mut Self {
            self.raw(&value.to_le_bytes())
        }

        /// Appends a signed 32-bit number.
        pub fn i32(&mut self, value: i32) -> &mut Self {
            self.raw(&value.to_le_bytes())
        }

        /// Appends a 64-bit number.
        pub fn u64(&mut self, value: u64) -> &mut Self {
            self.raw(&value.to_le_bytes())
        }

        /// Appends a signed 64-bit number.
        pub fn i64(&mut self, value: i64) -> &mut Self {
            self.raw(&value.to_le_bytes())
        }

        /// Appends zeros up to a multiple of `alignment` (a power of two).
        pub fn pad(&mut self, alignment: usize) -> &mut Self {
            self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
            self
        }

        /// The bytes without checksum and length.
        pub fn finish(self) -> Vec<u8> {
            self.bytes
        }

        /// Fills in the length (at byte 16) and the checksum (at byte 12) and gives the record's bytes.
        pub fn seal(mut self) -> Vec<u8> {
            let length = self.bytes.len() as u32;
            self.bytes[16..20].copy_from_slice(&length.to_le_bytes());
            let checksum = super::crc32(&self.bytes[16..]);
            self.bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
            self.bytes
        }
    }
}

#[cfg(feature = "alloc")]
pub use write::Writer;

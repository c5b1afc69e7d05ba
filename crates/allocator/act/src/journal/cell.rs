//! One value in one page, twice, so that a reader always finds a whole one.
//!
//! A cell is a page with two copies of 2,048 bytes. A write goes to the older copy, so a write that is cut
//! short, or is read while it happens, leaves the other copy valid; the reader takes the valid copy with the
//! higher sequence number. A copy is, little-endian: magic (4 bytes), version (2), length of the payload (2),
//! sequence (8), CRC-32 of version, length, sequence and payload (4), payload (postcard).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a cell.
pub(crate) const CELL: usize = 4096;
/// Bytes of each of its two copies.
pub(crate) const COPY: usize = CELL / 2;
/// Version of everything in the journal.
pub(crate) const VERSION: u16 = 1;

const MAGIC: [u8; 4] = *b"TGJ\n";
const HEAD: usize = 20;

/// Why a cell has no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CellFault {
    /// Nothing was ever written.
    Blank,
    /// Written by another version.
    Version(u16),
    /// Both copies are damaged.
    Damaged,
}

/// The bytes of one copy, or `None` where the value has no room.
pub(crate) fn encode<T: Serialize>(sequence: u64, value: &T) -> Option<[u8; COPY]> {
    let payload = postcard::to_stdvec(value).ok()?;
    if payload.len() > COPY - HEAD {
        return None;
    }
    let mut copy = [0; COPY];
    copy[0..4].copy_from_slice(&MAGIC);
    copy[4..6].copy_from_slice(&VERSION.to_le_bytes());
    copy[6..8].copy_from_slice(&(payload.len() as u16).to_le_bytes());
    copy[8..16].copy_from_slice(&sequence.to_le_bytes());
    copy[HEAD..HEAD + payload.len()].copy_from_slice(&payload);
    let checksum = checksum(&copy, payload.len());
    copy[16..20].copy_from_slice(&checksum.to_le_bytes());
    Some(copy)
}

fn checksum(copy: &[u8], length: usize) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&copy[4..16]);
    hasher.update(&copy[HEAD..HEAD + length]);
    hasher.finalize()
}

/// The value of a cell with its sequence number.
pub(crate) fn decode<T: DeserializeOwned>(cell: &[u8]) -> Result<(u64, T), CellFault> {
    let copies = [
        decode_copy::<T>(&cell[..COPY]),
        decode_copy::<T>(&cell[COPY..CELL]),
    ];
    match copies {
        [Ok(first), Ok(second)] => Ok(if first.0 > second.0 { first } else { second }),
        [Ok(only), _] | [_, Ok(only)] => Ok(only),
        [Err(CellFault::Version(version)), _] | [_, Err(CellFault::Version(version))] => {
            Err(CellFault::Version(version))
        }
        [Err(CellFault::Blank), Err(CellFault::Blank)] => Err(CellFault::Blank),
        _ => Err(CellFault::Damaged),
    }
}

fn decode_copy<T: DeserializeOwned>(copy: &[u8]) -> Result<(u64, T), CellFault> {
    if copy.iter().all(|byte| *byte == 0) {
        return Err(CellFault::Blank);
    }
    let word = |at: usize| u16::from_le_bytes([copy[at], copy[at + 1]]);
    let (version, length) = (word(4), usize::from(word(6)));
    if copy[0..4] != MAGIC || length > COPY - HEAD {
        return Err(CellFault::Damaged);
    }
    if checksum(copy, length).to_le_bytes() != copy[16..20] {
        return Err(CellFault::Damaged);
    }
    if version != VERSION {
        return Err(CellFault::Version(version));
    }
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&copy[8..16]);
    let value = postcard::from_bytes(&copy[HEAD..HEAD + length]).map_err(|_| CellFault::Damaged)?;
    Ok((u64::from_le_bytes(sequence), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell(first: &[u8], second: &[u8]) -> Vec<u8> {
        [first, second].concat()
    }

    proptest! {
        #[test]
        fn a_write_cut_short_anywhere_leaves_the_value_before(
            before in ".{0,300}", after in ".{0,300}", cut in 0..COPY, sequence in 1..u64::MAX - 1,
        ) {
            let old = encode(sequence, &before).expect("room");
            let new = encode(sequence + 1, &after).expect("room");
            let torn = [&new[..cut], &[0; COPY][cut..]].concat();
            let (read, value) = decode::<String>(&cell(&old, &torn)).expect("one whole copy");
            let whole = torn == new;
            prop_assert_eq!(read, sequence + u64::from(whole));
            prop_assert_eq!(value, if whole { after } else { before });
        }

        #[test]
        fn a_flipped_bit_is_never_taken_for_a_value(value in ".{1,100}", bit in 0..COPY * 8) {
            let mut copy = encode(7, &value).expect("room");
            copy[bit / 8] ^= 1 << (bit % 8);
            let read = decode::<String>(&cell(&copy, &[0; COPY]));
            let beyond = bit / 8 >= HEAD + postcard::to_stdvec(&value).expect("text").len();
            prop_assert_eq!(read.is_ok(), beyond);
        }
    }

    #[test]
    fn what_has_no_room_is_refused() {
        assert!(encode(1, &"x".repeat(COPY)).is_none());
        assert_eq!(decode::<String>(&[0; CELL]), Err(CellFault::Blank));
    }
}

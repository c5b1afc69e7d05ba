//! Files that grow: a small header, then frames of a kind, a length and a checksum each.
//!
//! A frame starts with a marker, so that after damage the next whole frame is found again. Damage that
//! reaches to the end of the file is what a killed process or a power loss leaves and is called torn; damage
//! with whole frames behind it is corruption. Nothing here knows what a payload means.

use crate::bytes::Cursor;
use crate::error::{HistoryError, Result};
use std::ops::Range;
use std::path::Path;

/// Newest format of growing files that is read and the one that is written.
pub(crate) const VERSION: u16 = 1;
pub(crate) const HEADER_BYTES: usize = 16;
const MAGIC: [u8; 4] = *b"TGLG";
const MARKER: [u8; 4] = [b't', b'g', 0xf5, 0x9a];
const FRAME_OVERHEAD: usize = 13;

/// What a growing file holds; its byte in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// Samples that are not sealed yet.
    Head = b'H',
    /// Inputs and plans.
    Inputs = b'I',
    /// Contention maps.
    Maps = b'M',
    /// Decisions.
    Decisions = b'D',
    /// Scored predictions.
    Outcomes = b'O',
}

/// The header of a growing file.
pub(crate) fn header(purpose: Purpose) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
    bytes[6] = purpose as u8;
    let checksum = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Appends one frame to `out` and returns its checksum.
pub(crate) fn put(out: &mut Vec<u8>, kind: u8, payload: &[u8]) -> u32 {
    let checksum = checksum(kind, payload);
    out.extend_from_slice(&MARKER);
    out.push(kind);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(payload);
    checksum
}

fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&(payload.len() as u32).to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'bytes> {
    pub(crate) kind: u8,
    pub(crate) checksum: u32,
    pub(crate) payload: &'bytes [u8],
}

/// What is in a growing file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan<'bytes> {
    pub(crate) frames: Vec<Frame<'bytes>>,
    /// Bytes without a whole frame, with whole frames behind them.
    pub(crate) corrupt: Vec<Range<usize>>,
    /// Where the bytes without a whole frame begin that reach to the end of the file.
    pub(crate) torn_from: Option<usize>,
}

impl Scan<'_> {
    /// One sentence on what cannot be read, or `None` where all can.
    pub(crate) fn damage(&self) -> Option<String> {
        self.corrupt
            .first()
            .map(|first| {
                let bytes: usize = self.corrupt.iter().map(ExactSizeIterator::len).sum();
                format!("{bytes} damaged bytes from offset {}", first.start)
            })
            .or_else(|| {
                self.torn_from
                    .map(|offset| format!("incomplete from offset {offset}"))
            })
    }
}

/// Checks the header; `Ok(false)` means that the file ends within it.
pub(crate) fn check_header(bytes: &[u8], purpose: Purpose, path: &Path) -> Result<bool> {
    let Some(head) = bytes.get(..HEADER_BYTES) else {
        return Ok(false);
    };
    if *head == header(purpose) {
        return Ok(true);
    }
    let intact = head[12..] == crc32fast::hash(&head[..12]).to_le_bytes();
    if !intact || head[..4] != MAGIC {
        return Err(HistoryError::corrupt(path, "the header is damaged"));
    }
    let found = u16::from_le_bytes([head[4], head[5]]);
    if found != VERSION {
        return Err(HistoryError::Version {
            path: path.to_owned(),
            found,
            supported: VERSION,
        });
    }
    Err(HistoryError::corrupt(path, "the header names another purpose"))
}

fn frame_at(bytes: &[u8], offset: usize) -> Option<(Frame<'_>, usize)> {
    let mut cursor = Cursor::new(bytes.get(offset..)?);
    if cursor.take(4).ok()? != MARKER {
        return None;
    }
    let kind = cursor.u8().ok()?;
    let length = cursor.u32().ok()? as usize;
    let stored = cursor.u32().ok()?;
    let payload = cursor.take(length).ok()?;
    (checksum(kind, payload) == stored).then_some((
        Frame {
            kind,
            checksum: stored,
            payload,
        },
        offset + FRAME_OVERHEAD + length,
    ))
}

/// All whole frames of a file whose header was checked.
pub(crate) fn scan(bytes: &[u8]) -> Scan<'_> {
    let mut scan = Scan::default();
    let mut offset = HEADER_BYTES;
    let mut bad_from = None;
    while offset < bytes.len() {
        if let Some((frame, end)) = frame_at(bytes, offset) {
            if let Some(start) = bad_from.take() {
                scan.corrupt.push(start..offset);
            }
            scan.frames.push(frame);
            offset = end;
            continue;
        }
        bad_from.get_or_insert(offset);
        offset = bytes[offset + 1..]
            .windows(MARKER.len())
            .position(|window| window == MARKER)
            .map_or(bytes.len(), |gap| offset + 1 + gap);
    }
    scan.torn_from = bad_from;
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = header(Purpose::Inputs).to_vec();
        for payload in payloads {
            put(&mut bytes, 7, payload);
        }
        bytes
    }

    #[test]
    fn damage_in_the_middle_costs_one_frame() {
        let mut bytes = file(&[b"one", b"two", b"three"]);
        let second = HEADER_BYTES + FRAME_OVERHEAD + 3;
        bytes[second + 5] ^= 0xff;
        let scan = scan(&bytes);
        let seen: Vec<_> = scan.frames.iter().map(|frame| frame.payload).collect();
        assert_eq!(seen, [&b"one"[..], b"three"]);
        assert_eq!(scan.corrupt.first(), Some(&(second..second + FRAME_OVERHEAD + 3)));
        assert_eq!(scan.corrupt.len(), 1);
        assert_eq!(scan.torn_from, None);
    }

    #[test]
    fn a_cut_file_is_torn_not_corrupt() {
        let whole = file(&[b"one", b"two"]);
        let cut = scan(&whole[..whole.len() - 1]);
        assert_eq!(cut.frames.len(), 1);
        assert!(cut.corrupt.is_empty() && cut.torn_from.is_some());
    }

    #[test]
    fn a_newer_version_is_refused_with_the_remedy() {
        let mut bytes = file(&[]);
        bytes[4] = 9;
        let checksum = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        let error = check_header(&bytes, Purpose::Inputs, Path::new("x")).expect_err("newer");
        assert!(error.to_string().contains("format 9"));
    }
}

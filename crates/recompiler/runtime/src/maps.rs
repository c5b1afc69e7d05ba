//! Which file is mapped at an address, as the kernel tells it.
//!
//! Why so: a library knows where it lies, but not from where it came, and the loader's own word for it may be a
//! relative path by now.
//!
//! Not here: what the file holds.

use crate::sys;
use core::ffi::CStr;

/// Read at a time; a longer line than this is none of a library.
const BUFFER_BYTES: usize = 8192;

/// The path of the file mapped at `address`, in `place`; `None` where no file is, or it was removed.
pub fn path_at(address: u64, place: &mut [u8]) -> Option<&CStr> {
    let descriptor = sys::open_read(c"/proc/self/maps").ok()?;
    let found = search(descriptor, address, place);
    sys::close(descriptor);
    let length = found?;
    CStr::from_bytes_with_nul(place.get(..=length)?).ok()
}

/// The length of the path that was written to `place`, a zero behind it.
fn search(descriptor: sys::Descriptor, address: u64, place: &mut [u8]) -> Option<usize> {
    let mut buffer = [0; BUFFER_BYTES];
    let mut filled = 0;
    loop {
        let count = sys::read(descriptor, buffer.get_mut(filled..)?).ok()?;
        filled += count;
        let mut rest = buffer.get(..filled)?;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if let Some(path) = rest.get(..end).and_then(|line| path_if_at(line, address)) {
                place.get_mut(..path.len())?.copy_from_slice(path);
                *place.get_mut(path.len())? = 0;
                return Some(path.len());
            }
            rest = rest.get(end + 1..)?;
        }
        let left = rest.len();
        if count == 0 || left == BUFFER_BYTES {
            return None;
        }
        buffer.copy_within(filled - left..filled, 0);
        filled = left;
    }
}

/// The path in a line `start-end access offset device inode   path` that covers `address`.
fn path_if_at(line: &[u8], address: u64) -> Option<&[u8]> {
    let line = core::str::from_utf8(line).ok()?;
    let (start, rest) = line.split_once('-')?;
    let (end, rest) = rest.split_once(' ')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    if !(number(start)?..number(end)?).contains(&address) {
        return None;
    }
    let path = rest.split_once('/').map(|(fields, _)| &rest[fields.len()..])?;
    Some(path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_covers_an_address_tells_the_path() {
        let line = b"7f0000001000-7f0000003000 r-xp 00001000 fe:00 1234      /tmp/a folder/lib.so";
        let check = |address, expect: Option<&str>| {
            assert_eq!(
                path_if_at(line, address),
                expect.map(str::as_bytes),
                "{address:x}"
            );
        };
        check(0x7f00_0000_1000, Some("/tmp/a folder/lib.so"));
        check(0x7f00_0000_2fff, Some("/tmp/a folder/lib.so"));
        check(0x7f00_0000_3000, None);
        assert_eq!(
            path_if_at(b"1000-2000 rw-p 00000000 00:00 0   [heap]", 0x1000),
            None
        );
        assert_eq!(path_if_at(b"", 0), None);
    }

    #[test]
    fn our_own_code_comes_from_a_file() {
        let mut place = [0; 4096];
        let address = path_at as *const () as u64;
        assert!(path_at(address, &mut place).is_some());
        assert!(path_at(8, &mut place).is_none());
    }
}

//! The counting stub: `endbr64; lock inc counter(%rip); jmp *target(%rip)`.
//!
//! Why so: calls of a function are a measure of work only if counting costs the same in every scenario, so the same
//! stub stands before the base and before each image, and a switch while counting changes the stub's target.
//! The stub changes no register; of the flags, which carry nothing at a call, it changes some.
//! `lock` is paid also by a single thread: it is the same in every arm.
//!
//! The capturing stub notes the registers that arguments travel in, for the first calls after it was armed, and jumps
//! on. It uses r11, which carries nothing at a call, and flags; rax and r10, which may, are left alone. Once its places
//! are full it costs a comparison per call until it is taken away: it does not take itself away, for two writers of a
//! slot would have to agree.
//!
//! Not here: where stubs live and who is counted.

use crate::sync::{AtomicU32, AtomicU64};
use tidegate_format::message::{CAPTURE_CALLS, CAPTURE_WORDS};

/// Room per stub; the code is shorter.
pub const STUB_BYTES: usize = 32;

/// A counter and a target, as the stub of the same index reads them.
#[repr(C)]
#[derive(Debug)]
pub struct Counted {
    /// Calls.
    pub calls: AtomicU64,
    /// Where the stub leads.
    pub target: AtomicU64,
}

/// The code of a stub at `address` for a [`Counted`] at `data`; `None` if they are more than 2 GiB apart.
pub fn encode(address: u64, data: u64) -> Option<[u8; STUB_BYTES]> {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    const LOCK_INC: [u8; 4] = [0xf0, 0x48, 0xff, 0x05];
    const JMP: [u8; 2] = [0xff, 0x25];
    const TRAP: u8 = 0xcc;
    let after_increment = address + 12;
    let after_jump = after_increment + 6;
    let mut code = [TRAP; STUB_BYTES];
    code[..4].copy_from_slice(&ENDBR64);
    code[4..8].copy_from_slice(&LOCK_INC);
    code[8..12].copy_from_slice(&displacement(after_increment, data)?);
    code[12..14].copy_from_slice(&JMP);
    code[14..18].copy_from_slice(&displacement(after_jump, data + 8)?);
    Some(code)
}

/// Room per capturing stub; the code is shorter.
pub const CAPTURE_STUB_BYTES: usize = 192;
/// A noted call: the registers, and a word that is 1 once they are all there.
pub const CAPTURE_RECORD_WORDS: usize = CAPTURE_WORDS + 1;

/// What a capturing stub reads and writes.
#[repr(C)]
#[derive(Debug)]
pub struct Capture {
    /// Places taken since it was armed; may grow past their number.
    pub taken: AtomicU32,
    padding: u32,
    /// Where the stub leads.
    pub target: AtomicU64,
    /// The places.
    pub calls: [[AtomicU64; CAPTURE_RECORD_WORDS]; CAPTURE_CALLS],
}

/// The code of a capturing stub at `address` for a [`Capture`] at `data`; `None` if they are more than 2 GiB apart.
pub fn encode_capture(address: u64, data: u64) -> Option<[u8; CAPTURE_STUB_BYTES]> {
    const PLACES: u8 = CAPTURE_CALLS as u8;
    const RECORD_BYTES: u8 = (8 * CAPTURE_RECORD_WORDS) as u8;
    const CALLS_OFFSET: u64 = core::mem::offset_of!(Capture, calls) as u64;
    const TARGET_OFFSET: u64 = core::mem::offset_of!(Capture, target) as u64;
    let mut code = Code {
        bytes: [0xcc; CAPTURE_STUB_BYTES],
        length: 0,
        address,
    };
    // endbr64; cmp dword taken(%rip), places; jae done
    code.put(&[0xf3, 0x0f, 0x1e, 0xfa, 0x83, 0x3d]);
    code.put_distance(data, 1)?;
    code.put(&[PLACES, 0x73, 0]);
    let first_jump = code.length;
    // mov $1, %r11d; lock xadd %r11d, taken(%rip)
    code.put(&[0x41, 0xbb, 1, 0, 0, 0, 0xf0, 0x44, 0x0f, 0xc1, 0x1d]);
    code.put_distance(data, 0)?;
    // cmp $places, %r11d; jae done
    code.put(&[0x41, 0x83, 0xfb, PLACES, 0x73, 0]);
    let second_jump = code.length;
    // imul $bytes, %r11, %r11; push %rax; lea calls(%rip), %rax; add %rax, %r11; pop %rax
    code.put(&[0x4d, 0x6b, 0xdb, RECORD_BYTES, 0x50, 0x48, 0x8d, 0x05]);
    code.put_distance(data + CALLS_OFFSET, 0)?;
    code.put(&[0x49, 0x01, 0xc3, 0x58]);
    // mov %rdi, (%r11) and so on: rdi, rsi, rdx, rcx, r8, r9
    let integers = [
        [0x49, 0x7b],
        [0x49, 0x73],
        [0x49, 0x53],
        [0x49, 0x4b],
        [0x4d, 0x43],
        [0x4d, 0x4b],
    ];
    for (index, [prefix, operands]) in (0..).zip(integers) {
        code.put(&[prefix, 0x89, operands, 8 * index]);
    }
    // movq %xmm0, 48(%r11) and so on
    for index in 0..8 {
        code.put(&[0x66, 0x41, 0x0f, 0xd6, 0x43 | index << 3, 48 + 8 * index]);
    }
    // movq $1, 112(%r11)
    code.put(&[0x49, 0xc7, 0x43, 8 * CAPTURE_WORDS as u8, 1, 0, 0, 0]);
    let done = code.length;
    code.bytes[first_jump - 1] = (done - first_jump) as u8;
    code.bytes[second_jump - 1] = (done - second_jump) as u8;
    // jmp *target(%rip)
    code.put(&[0xff, 0x25]);
    code.put_distance(data + TARGET_OFFSET, 0)?;
    Some(code.bytes)
}

/// Code in the making.
struct Code {
    bytes: [u8; CAPTURE_STUB_BYTES],
    length: usize,
    address: u64,
}

impl Code {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// The distance to `target`, of an instruction that ends `behind` bytes after it.
    fn put_distance(&mut self, target: u64, behind: u64) -> Option<()> {
        let from = self.address + self.length as u64 + 4 + behind;
        self.put(&displacement(from, target)?);
        Some(())
    }
}

/// The signed 32-bit distance from `from` to `to`, little-endian.
fn displacement(from: u64, to: u64) -> Option<[u8; 4]> {
    i32::try_from(to.wrapping_sub(from).cast_signed())
        .ok()
        .map(i32::to_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displacements_count_from_the_next_instruction() {
        let code = encode(0x1000, 0x2000).unwrap();
        assert_eq!(code[8..12], 0xff4_i32.to_le_bytes());
        assert_eq!(code[14..18], (0x2008_i32 - 0x1012).to_le_bytes());
        assert!(code[18..].iter().all(|byte| *byte == 0xcc));
    }

    #[test]
    fn the_capturing_stub_has_room_and_its_jumps_lead_to_its_end() {
        let code = encode_capture(0x1000, 0x3000).unwrap();
        let jump = code.windows(2).rposition(|bytes| bytes == [0xff, 0x25]).unwrap();
        assert!(jump + 6 <= CAPTURE_STUB_BYTES);
        let jumps = code.windows(2).enumerate();
        let jumps = jumps.filter(|(_, bytes)| bytes[0] == 0x73 && bytes[1] > 0x40);
        for (index, bytes) in jumps.take(2) {
            assert_eq!(index + 2 + usize::from(bytes[1]), jump);
        }
        assert_eq!(encode_capture(0, 0x1_0000_0000), None);
    }

    #[test]
    fn data_below_and_far() {
        let code = encode(0x2000, 0x1000).unwrap();
        assert_eq!(code[8..12], (0x1000_i32 - 0x200c).to_le_bytes());
        assert_eq!(encode(0, 0x1_0000_0000), None);
    }
}

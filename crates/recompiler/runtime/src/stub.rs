//! The counting stub: `endbr64; lock inc counter(%rip); jmp *target(%rip)`.
//!
//! Why so: calls of a function are a measure of work only if counting costs the same in every scenario, so the same
//! stub stands before the base and before each image, and a switch while counting changes the stub's target.
//! The stub changes no register; of the flags, which carry nothing at a call, it changes some.
//! `lock` is paid also by a single thread: it is the same in every arm.
//!
//! Not here: where stubs live and who is counted.

/// Room per stub; the code is shorter.
pub const STUB_BYTES: usize = 32;

/// A counter and a target, as the stub of the same index reads them.
#[repr(C)]
#[derive(Debug)]
pub struct Counted {
    /// Calls.
    pub calls: core::sync::atomic::AtomicU64,
    /// Where the stub leads.
    pub target: core::sync::atomic::AtomicU64,
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
    fn data_below_and_far() {
        let code = encode(0x2000, 0x1000).unwrap();
        assert_eq!(code[8..12], (0x1000_i32 - 0x200c).to_le_bytes());
        assert_eq!(encode(0, 0x1_0000_0000), None);
    }
}

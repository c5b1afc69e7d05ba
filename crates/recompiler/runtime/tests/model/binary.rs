//! A binary with one function, as far as slots need one.

use crate::sync::AtomicU64;
use tidegate_format::section::DESCRIPTOR_LENGTH;

/// Where the function's descriptor, base body and slot are said to be.
pub(crate) const RECORD: u64 = 0x1000;
pub(crate) const BODY: u64 = 0x2000;
const SLOT: u64 = 0x3000;

/// What [`crate::functions::Function`] asks of an binary.
pub(crate) struct Binary {
    pub(crate) slot: &'static AtomicU64,
}

impl Binary {
    #[expect(clippy::unused_self, reason = "as the real one is called")]
    pub(crate) fn bytes(&self, address: u64, length: usize) -> Option<&'static [u8]> {
        (address == RECORD && length == DESCRIPTOR_LENGTH).then(descriptor)
    }

    pub(crate) fn cell(&self, address: u64) -> Option<&'static AtomicU64> {
        (address == SLOT).then_some(self.slot)
    }
}

fn descriptor() -> &'static [u8] {
    let mut bytes = vec![0; DESCRIPTOR_LENGTH];
    bytes[0] = 1;
    for (field, target) in [(4_usize, BODY), (8, SLOT)] {
        let distance = (target - RECORD - field as u64) as u32;
        bytes[field..field + 4].copy_from_slice(&distance.to_le_bytes());
    }
    bytes.leak()
}

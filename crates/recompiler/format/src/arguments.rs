//! Where a function's arguments travel.

/// Registers that whole numbers and pointers are passed in: rdi, rsi, rdx, rcx, r8, r9.
pub const INTEGER_REGISTERS: u8 = 6;
/// Registers that floating point is passed in: xmm0 to xmm7.
pub const FLOAT_REGISTERS: u8 = 8;
/// All registers that arguments are passed in.
pub const ARGUMENT_REGISTERS: u8 = INTEGER_REGISTERS + FLOAT_REGISTERS;

/// Which registers carry numbers that a function is called with, and how much of each: two bits a register, 0 = no
/// argument, or an address; 1 = its low 32 bits; 2 = all 64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArgumentLayout(pub u32);

impl ArgumentLayout {
    /// As `self`, with an argument of so many bits in a register.
    #[must_use]
    pub fn with(self, register: u8, bits: u32) -> Self {
        let code = if bits > 32 { 2 } else { 1 };
        Self(self.0 | code << (2 * u32::from(register)))
    }

    /// The bits of a register that belong to an argument.
    pub fn mask(self, register: u8) -> u64 {
        match self.0.checked_shr(2 * u32::from(register)).unwrap_or(0) & 3 {
            0 => 0,
            1 => u64::from(u32::MAX),
            _ => u64::MAX,
        }
    }
}

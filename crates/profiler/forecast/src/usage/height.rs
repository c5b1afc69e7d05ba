//! A load in sixteen bits: a unit keeps thousands, and a host has thousands of units.
//!
//! Six bits of exponent and ten of mantissa of a positive number, right to a twentieth of a percent from 2⁻²⁰, below
//! which it is 0, to 2⁴⁴, which a load in bytes per second does not reach.

use serde::{Deserialize, Serialize};

/// Bits of an `f32`'s mantissa that are left out.
const LEFT_OUT: u32 = 13;
/// The bits, less those, of the smallest number that is kept.
const SMALLEST: u32 = (127 - 20) << 10;
/// Not measured.
const UNKNOWN: u16 = u16::MAX;

/// One load, by its bytes: a checkpoint takes larger numbers apart into three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Height([u8; 2]);

impl From<f32> for Height {
    fn from(load: f32) -> Self {
        if load.is_nan() {
            return Self(UNKNOWN.to_le_bytes());
        }
        let rounded = (load.max(0.0).to_bits() + (1 << (LEFT_OUT - 1))) >> LEFT_OUT;
        let bits = rounded.saturating_sub(SMALLEST).min(u32::from(UNKNOWN) - 1);
        Self((bits as u16).to_le_bytes())
    }
}

impl From<Height> for f64 {
    fn from(height: Height) -> Self {
        match u16::from_le_bytes(height.0) {
            UNKNOWN => Self::NAN,
            0 => 0.0,
            bits => f32::from_bits((u32::from(bits) + SMALLEST) << LEFT_OUT).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_of_every_size_come_back_nearly_as_they_were() {
        let back = |load: f32| f64::from(Height::from(load));
        for exponent in -19..43 {
            for part in [1.0, 1.0003, 1.3, 1.9999] {
                let load = part * f32::powi(2.0, exponent);
                let off = back(load) / f64::from(load) - 1.0;
                assert!(off.abs() < 5e-4, "{load}: {off}");
            }
        }
        assert_eq!(
            (back(0.0), back(1.0), back(1e-9), back(-1.0)),
            (0.0, 1.0, 0.0, 0.0)
        );
        assert!(back(f32::NAN).is_nan() && back(1e30) > 1e13 && back(f32::INFINITY).is_finite());
    }
}

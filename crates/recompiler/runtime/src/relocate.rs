//! Filling in an image's places: pure arithmetic on bytes.
//!
//! Why so: the one step where a wrong number becomes a wrong jump, so it knows no memory but the span it is
//! given, and refuses what does not fit.
//!
//! Not here: where the span lies, and where anchors' addresses come from.

use tidegate_format::image::{Image, Relocation, RelocationKind, RelocationTarget};
use tidegate_format::message::Reason;

/// Applies every relocation of `image` to `span`, a copy of its span that will run at `place`. `base` is where the
/// function's base body is.
///
/// # Errors
/// What `anchor` refuses, [`Reason::OutOfReach`], and [`Reason::BadImage`] where a place lies outside the span.
pub fn relocate(
    span: &mut [u8],
    place: u64,
    image: &Image<'_>,
    base: u64,
    anchor: impl Fn(u32) -> Result<u64, Reason>,
) -> Result<(), Reason> {
    for relocation in image.relocations() {
        let target = match relocation.target {
            RelocationTarget::Anchor(index) => anchor(index)?,
            RelocationTarget::Span(offset) => place + u64::from(offset),
            RelocationTarget::Base => base,
        };
        apply(span, place, &relocation, target)?;
    }
    Ok(())
}

fn apply(span: &mut [u8], place: u64, relocation: &Relocation, target: u64) -> Result<(), Reason> {
    let offset = relocation.offset as usize;
    let field = place + u64::from(relocation.offset);
    let value = target.wrapping_add_signed(i64::from(relocation.addend));
    let distance = value.wrapping_sub(field).cast_signed();
    match relocation.kind {
        RelocationKind::Absolute64 => write(span, offset, &value.to_le_bytes()),
        RelocationKind::Relative64 => write(span, offset, &distance.to_le_bytes()),
        RelocationKind::Relative32 => {
            let distance = i32::try_from(distance).map_err(|_| Reason::OutOfReach)?;
            write(span, offset, &distance.to_le_bytes())
        }
        RelocationKind::CallThroughCell => {
            shorten_call(span, offset, target.wrapping_sub(field + 4).cast_signed())
        }
    }
}

/// Makes `call *cell(%rip)` a direct call where the target is near: one load less per call.
fn shorten_call(span: &mut [u8], offset: usize, distance: i64) -> Result<(), Reason> {
    const THROUGH_CELL: [u8; 2] = [0xff, 0x15];
    const DIRECT: [u8; 2] = [0x67, 0xe8];
    let Ok(distance) = i32::try_from(distance) else {
        return Ok(());
    };
    let opcode = offset.checked_sub(2).ok_or(Reason::BadImage)?;
    if span.get(opcode..offset) != Some(&THROUGH_CELL) {
        return Ok(());
    }
    write(span, opcode, &DIRECT)?;
    write(span, offset, &distance.to_le_bytes())
}

fn write(span: &mut [u8], offset: usize, bytes: &[u8]) -> Result<(), Reason> {
    let place = span
        .get_mut(offset..)
        .and_then(|rest| rest.get_mut(..bytes.len()));
    place.ok_or(Reason::BadImage)?.copy_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    const PLACE: u64 = 0x10_0000;

    fn check(kind: RelocationKind, target: u64, addend: i32, expect: Result<&[u8], Reason>) {
        let mut span = vec![0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0];
        let relocation = Relocation {
            offset: 2,
            kind,
            target: RelocationTarget::Anchor(0),
            addend,
        };
        let done = apply(&mut span, PLACE, &relocation, target);
        assert_eq!(done.map(|()| &span[..]), expect);
    }

    #[test]
    fn absolute() {
        check(
            RelocationKind::Absolute64,
            0x1122,
            1,
            Ok(&[0xff, 0x15, 0x23, 0x11, 0, 0, 0, 0, 0, 0]),
        );
    }

    #[test]
    fn relative() {
        check(
            RelocationKind::Relative32,
            PLACE + 0x102,
            -4,
            Ok(&[0xff, 0x15, 0xfc, 0, 0, 0, 0, 0, 0, 0]),
        );
        check(
            RelocationKind::Relative32,
            PLACE,
            -4,
            Ok(&[0xff, 0x15, 0xfa, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        );
        check(
            RelocationKind::Relative32,
            PLACE + (1 << 32),
            0,
            Err(Reason::OutOfReach),
        );
        check(
            RelocationKind::Relative64,
            PLACE + 2 + (1 << 32),
            0,
            Ok(&[0xff, 0x15, 0, 0, 0, 0, 1, 0, 0, 0]),
        );
    }

    #[test]
    fn near_calls_are_shortened_far_ones_left() {
        let near = [0x67, 0xe8, 0x0a, 0, 0, 0, 0, 0, 0, 0];
        check(RelocationKind::CallThroughCell, PLACE + 16, 0, Ok(&near));
        let far = [0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0];
        check(RelocationKind::CallThroughCell, PLACE + (1 << 40), 0, Ok(&far));
    }

    #[test]
    fn places_outside_are_refused() {
        let relocation = Relocation {
            offset: 8,
            kind: RelocationKind::Absolute64,
            target: RelocationTarget::Anchor(0),
            addend: 0,
        };
        assert_eq!(apply(&mut [0; 10], PLACE, &relocation, 1), Err(Reason::BadImage));
    }
}

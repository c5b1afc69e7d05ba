//! Where an image's code begins within its page.
//!
//! Why so: every image is loaded at the start of a page, so the first lines of all of them share one set of the
//! instruction cache, and one variant's cost depends on that luck. Moved by whole lines, the same code has another place;
//! a trial measures several.
//!
//! Not here: loading.

use crate::VariantsError;
use tidegate_format::image::{Image, ImageParts, Relocation, RelocationTarget};

/// Constants of an image are aligned to this at most; code to less.
pub const LINE_BYTES: u32 = 64;
/// What is executed by a fault only.
const TRAP: u8 = 0xcc;

/// The image with so many lines before its code.
///
/// # Errors
/// [`VariantsError::Format`] where the image is damaged, or would be too long.
pub fn moved(image: &[u8], lines: u32) -> Result<Vec<u8>, VariantsError> {
    let format = |source| VariantsError::Format {
        what: "image",
        source,
    };
    let image = Image::read(image).map_err(format)?;
    let by = lines * LINE_BYTES;
    let mut span = vec![TRAP; by as usize];
    span.extend_from_slice(image.span);
    let relocations = image.relocations().map(|relocation| Relocation {
        offset: relocation.offset + by,
        target: match relocation.target {
            RelocationTarget::Span(offset) => RelocationTarget::Span(offset + by),
            other => other,
        },
        ..relocation
    });
    let parts = ImageParts {
        scenario: image.scenario,
        pipeline_version: image.pipeline_version,
        cpu_features: image.cpu_features,
        hash: image.hash,
        anchor_count: image.anchor_count,
        span,
        text_length: image.text_length + by,
        rodata: (image.rodata.0 + by, image.rodata.1),
        eh_frame: (image.eh_frame.0 + by, image.eh_frame.1),
        entry: image.entry + by,
        relocations: relocations.collect(),
        name: image.name.to_owned(),
    };
    parts.to_bytes().map_err(format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_format::FunctionHash;
    use tidegate_format::image::{CpuFeatures, RelocationKind};
    use tidegate_format::scenario::Scenario;

    #[test]
    fn everything_moves_together() {
        let image = ImageParts {
            scenario: Scenario::Cpu,
            pipeline_version: 1,
            cpu_features: CpuFeatures::BASELINE,
            hash: FunctionHash([7; 16]),
            anchor_count: 1,
            span: vec![0x90; 128],
            text_length: 64,
            rodata: (64, 32),
            eh_frame: (96, 32),
            entry: 16,
            relocations: vec![
                Relocation {
                    offset: 20,
                    kind: RelocationKind::Relative32,
                    target: RelocationTarget::Span(64),
                    addend: -4,
                },
                Relocation {
                    offset: 30,
                    kind: RelocationKind::Relative32,
                    target: RelocationTarget::Anchor(0),
                    addend: -4,
                },
            ],
            name: "sum".to_owned(),
        };
        let bytes = image.to_bytes().unwrap();
        assert_eq!(moved(&bytes, 0).unwrap(), bytes);
        let moved = moved(&bytes, 2).unwrap();
        let moved = Image::read(&moved).unwrap();
        assert_eq!(
            (moved.entry, moved.text_length, moved.rodata, moved.eh_frame),
            (144, 192, (192, 32), (224, 32))
        );
        let relocations: Vec<_> = moved.relocations().collect();
        assert_eq!(
            (relocations[0].offset, relocations[0].target),
            (148, RelocationTarget::Span(192))
        );
        assert_eq!(
            (relocations[1].offset, relocations[1].target),
            (158, RelocationTarget::Anchor(0))
        );
        assert_eq!(&moved.span[128..], &[0x90; 128]);
        assert!(super::moved(&[1, 2, 3], 1).is_err());
    }
}

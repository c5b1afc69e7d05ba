//! Sealed records: blob, image, request, answer.

use proptest::prelude::*;
use tidegate_format::arguments::ARGUMENT_REGISTERS;
use tidegate_format::blob::{AnchorName, Blob, name_table};
use tidegate_format::image::{CpuFeatures, Image, ImageParts, Relocation, RelocationKind, RelocationTarget};
use tidegate_format::request::{
    CompileError, CompileErrorKind, Constant, REQUEST_VERSION, Request, Response,
};
use tidegate_format::scenario::Scenario;
use tidegate_format::section::AnchorKind;
use tidegate_format::{FormatError, FunctionHash};

pub(crate) fn image() -> ImageParts {
    ImageParts {
        scenario: Scenario::Memory,
        pipeline_version: 3,
        cpu_features: CpuFeatures::V3,
        hash: FunctionHash([7; 16]),
        anchor_count: 2,
        span: (0..100).collect(),
        text_length: 40,
        rodata: (64, 16),
        eh_frame: (80, 20),
        entry: 8,
        relocations: vec![
            Relocation {
                offset: 64,
                kind: RelocationKind::Absolute64,
                target: RelocationTarget::Anchor(1),
                addend: -4,
            },
            Relocation {
                offset: 20,
                kind: RelocationKind::CallThroughCell,
                target: RelocationTarget::Anchor(0),
                addend: 0,
            },
            Relocation {
                offset: 72,
                kind: RelocationKind::Absolute64,
                target: RelocationTarget::Span(12),
                addend: 0,
            },
        ],
        name: "inner_loop".to_owned(),
    }
}

#[test]
fn an_image_reads_back_as_written() {
    let parts = image();
    let bytes = parts.to_bytes().unwrap();
    let image = Image::read(&bytes).unwrap();
    assert_eq!(image.span, parts.span);
    assert_eq!(image.relocations().collect::<Vec<_>>(), parts.relocations);
    assert_eq!(
        (image.name, image.entry, image.eh_frame_bytes().len()),
        ("inner_loop", 8, 20)
    );
}

#[test]
fn an_image_that_points_outside_of_itself_is_refused() {
    let check = |change: fn(&mut ImageParts), field: &'static str| {
        let mut parts = image();
        change(&mut parts);
        assert_eq!(parts.to_bytes(), Err(FormatError::Value { field }));
    };
    check(|parts| parts.entry = 40, "entry");
    check(|parts| parts.text_length = 101, "text length");
    check(|parts| parts.rodata = (u32::MAX, 2), "rodata");
    check(|parts| parts.eh_frame = (90, 20), "eh_frame");
    check(|parts| parts.relocations[0].offset = 93, "relocation");
    check(
        |parts| parts.relocations[0].target = RelocationTarget::Anchor(2),
        "relocation",
    );
    check(|parts| parts.relocations[1].offset = 1, "relocation");
    check(
        |parts| parts.relocations[2].target = RelocationTarget::Span(101),
        "relocation",
    );
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let bytes = image().to_bytes().unwrap();
    for position in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[position / 8] ^= 1 << (position % 8);
        assert!(Image::read(&damaged).is_err(), "bit {position}");
    }
    for length in 0..bytes.len() {
        assert!(Image::read(&bytes[..length]).is_err(), "length {length}");
    }
}

#[test]
fn a_version_from_the_future_is_named() {
    let mut bytes = image().to_bytes().unwrap();
    bytes[8] = 9;
    assert_eq!(
        Image::read(&bytes),
        Err(FormatError::Version { found: 9, known: 1 })
    );
}

proptest! {
    #[test]
    fn a_blob_reads_back_as_written(
        symbols in prop::collection::vec("[a-z_.]{1,40}", 0..20),
        compressed in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let kinds = [AnchorKind::Function, AnchorKind::Data, AnchorKind::Slot];
        let names: Vec<_> = symbols.iter().enumerate()
            .map(|(index, symbol)| AnchorName { kind: kinds[index % 3], flags: index as u8 % 4, symbol })
            .collect();
        let table = name_table(&names).unwrap();
        let blob = Blob {
            optimisation_level: 2,
            size_level: 1,
            hash: FunctionHash([3; 16]),
            anchor_count: names.len() as u32,
            names: &table,
            compressed: &compressed,
            bitcode_length: 1000,
        };
        let mut bytes = blob.to_bytes();
        prop_assert_eq!(bytes.len() % 8, 0);
        bytes.extend_from_slice(b"the next blob of the section");
        let read = Blob::read(&bytes).unwrap();
        prop_assert_eq!(read, blob);
        prop_assert_eq!(read.anchor_names().collect::<Result<Vec<_>, _>>().unwrap(), names);
    }

    #[test]
    fn a_request_reads_back_as_written(
        scenario in 0_u8..7,
        features in any::<u64>(),
        tune_cpu in "[a-z0-9]{0,12}",
        tunables in prop::collection::vec(("[a-z]{1,20}", any::<i64>()), 0..10),
        candidate in any::<u8>(),
        constants in prop::collection::vec((0..ARGUMENT_REGISTERS, any::<u64>()), 0..14),
        blob in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let constants = constants.into_iter().map(|(register, value)| Constant { register, value }).collect();
        let scenario = Scenario::from_number(scenario).unwrap();
        let request = Request {
            scenario, candidate, cpu_features: CpuFeatures(features), tune_cpu, tunables, constants, blob,
        };
        prop_assert_eq!(Request::read(&request.to_bytes()).unwrap(), request);
    }

    #[test]
    fn an_answer_reads_back_as_written(
        kind in prop::sample::select(CompileErrorKind::ALL),
        detail in ".{0,40}",
        image in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        for answer in [Response(Ok(image)), Response(Err(CompileError { kind, detail }))] {
            prop_assert_eq!(Response::read(&answer.to_bytes()).unwrap(), answer);
        }
    }

    #[test]
    fn no_reader_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in 0..4_usize) {
        let magics = [*b"TGBLOB\0\0", *b"TGIMAGE\0", *b"TGREQST\0", *b"TGREPLY\0"];
        let mut record = magics[magic].to_vec();
        let version = [1, 1, REQUEST_VERSION, REQUEST_VERSION][magic];
        record.extend_from_slice(&version.to_le_bytes());
        let length = 20 + bytes.len() as u32;
        let mut covered = length.to_le_bytes().to_vec();
        covered.extend_from_slice(&bytes);
        record.extend_from_slice(&tidegate_format::bytes::crc32(&covered).to_le_bytes());
        record.extend_from_slice(&covered);
        let _ = Blob::read(&record).map(|blob| blob.anchor_names().count());
        let _ = Image::read(&record).map(|image| image.relocations().count());
        let _ = Request::read(&record);
        let _ = Response::read(&record);
    }
}

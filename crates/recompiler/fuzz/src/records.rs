//! Good records, to start from.

use std::path::Path;
use tidegate_format::FunctionHash;
use tidegate_format::arguments::ArgumentLayout;
use tidegate_format::blob::{AnchorName, Blob, name_table};
use tidegate_format::image::{CpuFeatures, ImageParts, Relocation, RelocationKind, RelocationTarget};
use tidegate_format::message::{self, FunctionEntry, FunctionListWriter, Hello, Reason, Reply};
use tidegate_format::request::{CompileError, CompileErrorKind, Constant, Request, Response};
use tidegate_format::scenario::Scenario;
use tidegate_format::section::{
    AnchorKind, BLOBS_SECTION, FUNCTIONS_SECTION, NAMES_SECTION, REFUSED_SECTION, Refusal, RefusalReason,
    TUNABLES_SECTION,
};
use tidegate_format::served::Outcome;
use tidegate_variants::cache::{Key, KeyParts, Label, Stored, entry_bytes};

/// The hash in all records.
pub(crate) const HASH: FunctionHash = FunctionHash([7; 16]);

pub(crate) fn image() -> Vec<u8> {
    let relocation = |offset, kind, target, addend| Relocation {
        offset,
        kind,
        target,
        addend,
    };
    let parts = ImageParts {
        scenario: Scenario::Memory,
        pipeline_version: 3,
        cpu_features: CpuFeatures::V3,
        hash: HASH,
        anchor_count: 2,
        span: (0..100).collect(),
        text_length: 40,
        rodata: (64, 16),
        eh_frame: (80, 20),
        entry: 8,
        relocations: vec![
            relocation(64, RelocationKind::Absolute64, RelocationTarget::Anchor(1), -4),
            relocation(
                20,
                RelocationKind::CallThroughCell,
                RelocationTarget::Anchor(0),
                0,
            ),
            relocation(30, RelocationKind::Relative32, RelocationTarget::Base, -4),
            relocation(72, RelocationKind::Absolute64, RelocationTarget::Span(12), 0),
        ],
        name: "inner_loop".to_owned(),
    };
    parts.to_bytes().unwrap_or_default()
}

pub(crate) fn blob() -> Vec<u8> {
    let names = [
        (AnchorKind::Function, "root"),
        (AnchorKind::Data, "cells"),
        (AnchorKind::Slot, "other"),
    ];
    let names: Vec<_> = names
        .iter()
        .map(|(kind, symbol)| AnchorName {
            kind: *kind,
            flags: 1,
            symbol,
        })
        .collect();
    let names = name_table(&names).unwrap_or_default();
    let blob = Blob {
        optimisation_level: 2,
        size_level: 0,
        hash: HASH,
        anchor_count: 3,
        names: &names,
        compressed: b"a frame",
        bitcode_length: 100,
    };
    blob.to_bytes()
}

pub(crate) fn worker() -> Vec<Vec<u8>> {
    let request = Request {
        scenario: Scenario::Memory,
        candidate: 1,
        cpu_features: CpuFeatures::V3,
        tune_cpu: "znver4".to_owned(),
        tunables: vec![("batch".to_owned(), 7)],
        constants: vec![Constant {
            register: 3,
            value: 5,
        }],
        blob: blob(),
    };
    let refusal = CompileError {
        kind: CompileErrorKind::ALL[0],
        detail: "why".to_owned(),
    };
    vec![
        request.to_bytes(),
        Response(Ok(image())).to_bytes(),
        Response(Err(refusal)).to_bytes(),
    ]
}

pub(crate) fn outcome() -> Vec<u8> {
    let outcome = Outcome {
        answer_length: 100,
        message_length: 3,
        status: 6,
        cpu_ns: 1,
        start_cpu_ns: 2,
    };
    outcome.to_bytes().to_vec()
}

pub(crate) fn messages() -> Vec<Vec<u8>> {
    [questions(), replies()].concat()
}

fn questions() -> Vec<Vec<u8>> {
    use message::Request as Ask;
    let mut buffer = [0; 512];
    let (function, scenario) = (1, Scenario::Cpu);
    let requests = [
        Ask::Functions { first: 0 },
        Ask::Blob { function, offset: 8 },
        Ask::Load {
            function,
            scenario,
            image: b"image",
        },
        Ask::Switch { function, scenario },
        Ask::Count {
            function,
            enabled: true,
        },
        Ask::Capture {
            function,
            armed: true,
        },
        Ask::Storm {
            duration_ms: 5,
            pause_us: 1,
        },
    ];
    let encoded = requests.map(|request| {
        let length = request.encode(&mut buffer).unwrap_or(0);
        buffer[..length].to_vec()
    });
    encoded.into()
}

fn replies() -> Vec<Vec<u8>> {
    let (mut buffer, mut place) = ([0; 512], [0; 256]);
    let length = {
        let mut writer = FunctionListWriter::new(&mut place);
        writer.push(&FunctionEntry {
            hash: HASH,
            address: 0x1000,
            code_bytes: 64,
            blob_bytes: 100,
            arguments: ArgumentLayout(0b10_01),
            scenario: Scenario::Cpu,
            loaded: 2,
            reason: Reason::None,
            name: "inner_loop",
        });
        writer.written_bytes()
    };
    let replies = [
        Reply::Hello(Hello {
            process: 1,
            helper_thread: 2,
            functions: 3,
            reason: Reason::None,
            load_bias: 0x1000,
            build_id: &[1; 20],
            executable: "/bin/program",
        }),
        Reply::Functions {
            total: 1,
            first: 0,
            list: message::FunctionList::from_bytes(&place[..length]),
        },
        Reply::Captured { calls: &[7; 112] },
        Reply::Calls { calls: 5 },
        Reply::Refused(Reason::BadImage),
    ];
    let encoded = replies.map(|reply| {
        let length = reply.encode(&mut buffer).unwrap_or(0);
        buffer[..length].to_vec()
    });
    encoded.into()
}

fn descriptor() -> Vec<u8> {
    let mut descriptor = vec![0; 64];
    descriptor[0] = 1;
    descriptor
}

fn tunable() -> Vec<u8> {
    let mut tunable = vec![0; 168];
    tunable[0] = 1;
    tunable[104] = b'a';
    tunable
}

fn refusal() -> Vec<u8> {
    let refusal = Refusal {
        name: "main",
        reason: RefusalReason::TooSmall,
    };
    refusal.to_bytes()
}

pub(crate) fn sections() -> Vec<Vec<u8>> {
    vec![refusal(), descriptor(), tunable()]
}

/// The key of [`cache_entry`].
pub(crate) fn cache_key() -> Key {
    Key::new(&KeyParts {
        blob: b"blob",
        scenario: "cpu",
        candidate: 0,
        constants: &[],
        worker: "worker",
        cpu_model: "model",
        cpu_features: 3,
        tunables: &[],
    })
}

pub(crate) fn cache_entries() -> Vec<Vec<u8>> {
    let label = Label {
        function: "inner_loop".to_owned(),
        scenario: "cpu".to_owned(),
        executable: "/bin/program".to_owned(),
        cpu_model: "model".to_owned(),
        compile_cpu_ms: 12.5,
    };
    [Stored::Image(image()), Stored::Refusal("why".to_owned())]
        .iter()
        .map(|stored| entry_bytes(cache_key(), &label, stored))
        .collect()
}

pub(crate) fn choices() -> Vec<Vec<u8>> {
    vec![br#"{"version":1,"choices":{}}"#.to_vec()]
}

/// A program with all sections: an object of which the header says that it is linked.
pub(crate) fn program() -> Vec<u8> {
    use object::write::{Object, StandardSegment};
    let mut file = Object::new(
        object::BinaryFormat::Elf,
        object::Architecture::X86_64,
        object::Endianness::Little,
    );
    let segment = file.segment_name(StandardSegment::Data).to_vec();
    let sections = [
        (FUNCTIONS_SECTION, descriptor()),
        (BLOBS_SECTION, blob()),
        (NAMES_SECTION, b"inner_loop".to_vec()),
        (REFUSED_SECTION, refusal()),
        (TUNABLES_SECTION, tunable()),
    ];
    for (name, bytes) in sections {
        let id = file.add_section(
            segment.clone(),
            name.as_bytes().to_vec(),
            object::SectionKind::ReadOnlyData,
        );
        file.append_section_data(id, &bytes, 8);
    }
    let mut bytes = file.write().unwrap_or_default();
    if let Some(kind) = bytes.get_mut(16) {
        // ET_EXEC.
        *kind = 2;
    }
    bytes
}

/// The path that errors name.
pub(crate) fn path() -> &'static Path {
    Path::new("input")
}

//! The list of targets.

use crate::records::{self, path};
use tidegate_format::blob::Blob;
use tidegate_format::bytes::crc32;
use tidegate_format::image::Image;
use tidegate_format::message::{self, Header, Reply};
use tidegate_format::request::{Request, Response};
use tidegate_format::section::{AnchorEntry, Descriptor, Refusal, Tunable};
use tidegate_format::served::Outcome;
use tidegate_runtime::relocate::relocate;
use tidegate_variants::cache;
use tidegate_variants::choice::Choices;
use tidegate_variants::client::{Answer, Command};
use tidegate_variants::program::Program;

/// One reader, or a few that read the same bytes.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Good records to start from, without the byte of choice.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Makes length and checksum good.
    pub seal: fn(&mut [u8]),
    /// Reads a record.
    pub read: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "sections",
        seeds: records::sections,
        seal: unsealed,
        read: sections,
    },
    Target {
        name: "blobs",
        seeds: || vec![records::blob()],
        seal: seal_record,
        read: |bytes| {
            let _ = Blob::read(bytes).map(|blob| blob.anchor_names().count());
        },
    },
    Target {
        name: "images",
        seeds: || vec![records::image()],
        seal: seal_record,
        read: images,
    },
    Target {
        name: "worker",
        seeds: records::worker,
        seal: seal_record,
        read: |bytes| {
            let _ = Request::read(bytes).map(|request| Blob::read(&request.blob).is_ok());
            let _ = Response::read(bytes);
        },
    },
    Target {
        name: "outcomes",
        seeds: || vec![records::outcome()],
        seal: unsealed,
        read: |bytes| {
            let _ = Outcome::read(bytes);
        },
    },
    Target {
        name: "messages",
        seeds: records::messages,
        seal: unsealed,
        read: messages,
    },
    Target {
        name: "commands",
        seeds: || vec![br#"{"command":"storm","process":1,"duration_s":2.5}"#.to_vec()],
        seal: unsealed,
        read: |bytes| {
            let _ = serde_json::from_slice::<Command>(bytes);
            let _ = serde_json::from_slice::<Answer>(bytes);
        },
    },
    Target {
        name: "cache",
        seeds: records::cache_entries,
        seal: seal_cache_entry,
        read: |bytes| {
            let _ = cache::parse(path(), records::cache_key(), bytes);
        },
    },
    Target {
        name: "choices",
        seeds: records::choices,
        seal: unsealed,
        read: |bytes| {
            let _ = Choices::parse(path(), bytes);
        },
    },
    Target {
        name: "programs",
        seeds: || vec![records::program()],
        seal: unsealed,
        read: programs,
    },
];

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Reads an input: a byte of choice, and a record.
    pub fn run(&self, input: &[u8]) {
        let Some((choice, record)) = input.split_first() else {
            return;
        };
        if choice & 1 == 0 {
            return (self.read)(record);
        }
        let mut sealed = record.to_vec();
        (self.seal)(&mut sealed);
        (self.read)(&sealed);
    }
}

/// For records without a checksum.
fn unsealed(_: &mut [u8]) {}

/// Length and checksum of a sealed record.
fn seal_record(bytes: &mut [u8]) {
    if bytes.len() >= 20 {
        let length = bytes.len() as u32;
        bytes[16..20].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The hash of an entry of the code cache.
fn seal_cache_entry(bytes: &mut [u8]) {
    if bytes.len() >= 80 {
        let hash = blake3::hash(&bytes[80..]);
        bytes[48..80].copy_from_slice(hash.as_bytes());
    }
}

fn sections(bytes: &[u8]) {
    for (offset, descriptor) in Descriptor::read_all(bytes) {
        let _ = descriptor.map(|descriptor| descriptor.body.target(offset as u64));
    }
    let _ = Refusal::read_all(bytes).count();
    let _ = Tunable::read_all(bytes).count();
    for index in [0, 1, 7, usize::MAX] {
        let _ = AnchorEntry::read(bytes, index);
    }
}

/// What is accepted keeps its promises to the loader, which then fills in its places wherever it lies.
fn images(bytes: &[u8]) {
    let Ok(image) = Image::read(bytes) else { return };
    assert!(image.entry < image.text_length && image.text_length as usize <= image.span.len());
    for relocation in image.relocations() {
        let end = relocation.offset as usize + relocation.width() as usize;
        assert!(end <= image.span.len());
    }
    let _ = image.eh_frame_bytes();
    for place in [0x10_0000, 0x5555_5555_4000, u64::MAX - 0x1000] {
        let mut span = image.span.to_vec();
        let _ = relocate(&mut span, place, &image, 0x5555_5555_5000, |index| {
            Ok(0x5555_5556_0000_u64.wrapping_mul(u64::from(index) + 1))
        });
    }
}

fn messages(bytes: &[u8]) {
    let Some((header, body)) = bytes.split_first_chunk() else {
        return;
    };
    if let Ok(header) = Header::decode(*header) {
        let _ = message::Request::decode(header.kind, body);
        let _ = Reply::decode(header.kind, body);
    }
    for kind in 0..16 {
        let _ = message::Request::decode(kind, body);
        if let Ok(Reply::Functions { list, .. }) = Reply::decode(kind | 0x100, body) {
            let _ = list.iter().count();
        }
    }
}

fn programs(bytes: &[u8]) {
    if let Ok(program) = Program::parse(path(), bytes) {
        for address in [0, 0x1000, u64::MAX] {
            let _ = program.function_at(address);
            let _ = program.linked_address(address);
        }
    }
    let _ = tidegate_drivers::inspect::inspect(path(), bytes);
}

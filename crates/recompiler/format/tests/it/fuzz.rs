//! Fuzzing: every reader of bytes from outside, fed with mutated good records. None may panic or read out of bounds.
//!
//! The smoke run feeds each target a fixed number of inputs from a fixed seed. `TIDEGATE_FUZZ_INPUTS` names another
//! number for a long run and `TIDEGATE_FUZZ_SEED` another seed. A checksum is made good again in half of the inputs, for
//! behind it the readers would see next to nothing.

use crate::records::image;
use tidegate_format::FunctionHash;
use tidegate_format::blob::{AnchorName, Blob, name_table};
use tidegate_format::bytes::crc32;
use tidegate_format::image::{CpuFeatures, Image};
use tidegate_format::message::{self, Header, Reply};
use tidegate_format::request::{Constant, Request, Response};
use tidegate_format::scenario::Scenario;
use tidegate_format::section::{AnchorEntry, AnchorKind, Descriptor, Refusal, RefusalReason, Tunable};
use tidegate_format::served::Outcome;

/// Inputs per target in a smoke run.
const SMOKE_INPUTS: u64 = 20_000;

/// A seeded source of numbers (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// One to eight small damages: bits, bytes, numbers at the edge, parts cut out, doubled, or taken from elsewhere.
fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    const EDGES: [u32; 6] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 if bytes.len() >= at + 4 => {
                let edge = EDGES[random.below(EDGES.len())];
                bytes[at..at + 4].copy_from_slice(&edge.to_le_bytes());
            }
            3 => bytes.truncate(at),
            4 => {
                let part = bytes[at..(at + random.below(40)).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.extend((0..random.below(24)).map(|index| index as u8)),
        }
    }
    bytes
}

/// Makes length and checksum of a sealed record right again.
fn seal(bytes: &mut [u8]) {
    if bytes.len() >= 20 {
        let length = bytes.len() as u32;
        bytes[16..20].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn fuzz(seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    let mut random = Random(setting("TIDEGATE_FUZZ_SEED", 0x9e37_79b9) | 1);
    for _ in 0..setting("TIDEGATE_FUZZ_INPUTS", SMOKE_INPUTS) {
        let seed = &seeds[random.below(seeds.len())];
        let mut bytes = mutate(seed, &mut random);
        if random.next() & 1 == 0 {
            seal(&mut bytes);
        }
        target(&bytes);
    }
}

fn blob() -> Vec<u8> {
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
    let names = name_table(&names).unwrap();
    let blob = Blob {
        optimisation_level: 2,
        size_level: 0,
        hash: FunctionHash([3; 16]),
        anchor_count: 3,
        names: &names,
        compressed: b"a frame",
        bitcode_length: 100,
    };
    blob.to_bytes()
}

#[test]
fn blobs() {
    fuzz(&[blob()], |bytes| {
        let _ = Blob::read(bytes).map(|blob| blob.anchor_names().count());
    });
}

#[test]
fn images() {
    fuzz(&[image().to_bytes().unwrap()], |bytes| {
        if let Ok(image) = Image::read(bytes) {
            // What was accepted keeps its promises to the loader.
            assert!(image.entry < image.text_length && image.text_length as usize <= image.span.len());
            for relocation in image.relocations() {
                let end = relocation.offset as usize + relocation.width() as usize;
                assert!(end <= image.span.len());
            }
            let _ = image.eh_frame_bytes();
        }
    });
}

#[test]
fn requests_and_answers() {
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
    let answer = Response(Ok(image().to_bytes().unwrap()));
    fuzz(&[request.to_bytes(), answer.to_bytes()], |bytes| {
        let _ = Request::read(bytes);
        let _ = Response::read(bytes);
    });
    let outcome = Outcome {
        answer_length: 100,
        message_length: 3,
        status: 6,
        cpu_ns: 1,
        start_cpu_ns: 2,
    };
    assert_eq!(Outcome::read(&outcome.to_bytes()), Ok(outcome));
    fuzz(&[outcome.to_bytes().to_vec()], |bytes| {
        let _ = Outcome::read(bytes);
    });
}

#[test]
fn messages() {
    let mut buffer = [0; 512];
    let mut seeds = Vec::new();
    let requests = [
        message::Request::Load {
            function: 1,
            scenario: Scenario::Cpu,
            image: b"image",
        },
        message::Request::Capture {
            function: 1,
            armed: true,
        },
        message::Request::Storm {
            duration_ms: 5,
            pause_us: 1,
        },
    ];
    for request in requests {
        let length = request.encode(&mut buffer).unwrap();
        seeds.push(buffer[..length].to_vec());
    }
    for reply in [Reply::Captured { calls: &[7; 112] }, Reply::Calls { calls: 5 }] {
        let length = reply.encode(&mut buffer).unwrap();
        seeds.push(buffer[..length].to_vec());
    }
    fuzz(&seeds, |bytes| {
        let Some((header, body)) = bytes.split_first_chunk() else {
            return;
        };
        if let Ok(header) = Header::decode(*header) {
            let _ = message::Request::decode(header.kind, body);
            if let Ok(Reply::Functions { list, .. }) = Reply::decode(header.kind, body) {
                let _ = list.iter().count();
            }
        }
        for kind in 0..16 {
            let _ = message::Request::decode(kind, body);
            let _ = Reply::decode(kind | 0x100, body);
        }
    });
}

#[test]
fn sections() {
    let refusal = Refusal {
        name: "main",
        reason: RefusalReason::TooSmall,
    };
    let mut descriptor = vec![0; 64];
    descriptor[0] = 1;
    let mut tunable = vec![0; 168];
    tunable[0] = 1;
    tunable[104] = b'a';
    fuzz(&[refusal.to_bytes(), descriptor, tunable], |bytes| {
        let _ = Descriptor::read_all(bytes).count();
        let _ = Refusal::read_all(bytes).count();
        let _ = Tunable::read_all(bytes).count();
        for index in [0, 1, 7, usize::MAX] {
            let _ = AnchorEntry::read(bytes, index);
        }
    });
}

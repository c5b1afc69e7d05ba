//! The smoke run: every target on mutated good records from a fixed seed.
//!
//! `TIDEGATE_FUZZ_INPUTS` names another number of inputs per target, `TIDEGATE_FUZZ_SEED` another seed.

use tidegate_fuzz::{TARGETS, Target};

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
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const EDGES: [u32; 6] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
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
}

fn fuzz(target: &Target) {
    let seeds = (target.seeds)();
    let mut random = Random(setting("TIDEGATE_FUZZ_SEED", 0x9e37_79b9) | 1);
    for _ in 0..setting("TIDEGATE_FUZZ_INPUTS", SMOKE_INPUTS) {
        let mut record = seeds[random.below(seeds.len())].clone();
        mutate(&mut record, &mut random);
        record.insert(0, random.next() as u8);
        target.run(&record);
    }
}

#[test]
fn no_reader_panics_on_mutated_records() {
    for target in TARGETS {
        eprintln!("{}", target.name);
        fuzz(target);
    }
}

/// A target that reads nothing but refusals would find nothing: every good record goes all the way.
#[test]
fn good_records_are_accepted() {
    use tidegate_format::blob::Blob;
    use tidegate_format::image::Image;
    let seeds = |name: &str| Target::named(name).map_or_else(Vec::new, |target| (target.seeds)());
    assert!(Blob::read(&seeds("blobs")[0]).is_ok());
    assert!(Image::read(&seeds("images")[0]).is_ok());
    let program = &seeds("programs")[0];
    let path = std::path::Path::new("input");
    assert!(
        tidegate_variants::program::Program::parse(path, program).is_ok_and(|program| {
            !program.functions.is_empty() && !program.refused.is_empty() && !program.tunables.is_empty()
        })
    );
    assert!(TARGETS.iter().all(|target| !(target.seeds)().is_empty()));
}

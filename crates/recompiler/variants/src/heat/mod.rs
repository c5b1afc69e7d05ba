//! Which functions run on which core.
//!
//! Why so: contention on one core is helped by recompiling what runs hot on that core and nothing else. Samples
//! come from the kernel's software clock (virtual machines have no performance counters), at a low rate, and
//! age: the profile follows the program with a half-life. What is short of memory or waits for a disk or a network is not
//! found by the time that it runs, so page faults and switches off the core are sampled too.
//!
//! Not here: what is compiled. Where the kernel refuses sampling, there is no heat, and the caller says so.

pub(crate) mod mappings;
mod perf;
pub mod profile;
pub mod resolve;

pub use perf::{Sampler, Scope};

use tidegate_format::bytes::Reader;

/// What a sample says of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// It ran.
    Clock,
    /// It touched memory that was not there.
    Fault,
    /// It called what left the core: most often to wait for a disk, a network, a lock.
    Wait,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Clock, Self::Fault, Self::Wait];
}

/// How much of the stack comes with a sample of waiting: some frames of libc, and its caller's.
const STACK_BYTES: u32 = 512;

/// One moment of one core in a program's own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What it says.
    pub signal: Signal,
    /// The process.
    pub process: u32,
    /// The core.
    pub core: u32,
    /// Where it was.
    pub address: u64,
    /// The words on top of its stack, return addresses among them; of waiting only, which happens in libc.
    pub stack: Vec<u64>,
}

/// What a buffer held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// The samples, in order per core.
    pub samples: Vec<Sample>,
    /// Samples that the kernel dropped because nobody read in time.
    pub lost: u64,
}

impl Drained {
    /// Reads kernel records as `perf_event_open(2)` lays them out: header (type `u32`, misc `u16`, size `u16`), for
    /// a sample instruction pointer `u64`, process and thread `u32` each, core `u32` and a reserved `u32`; for one of
    /// waiting also what [`read_user_side`] reads. A record that does not parse ends the reading: what follows it has no
    /// known beginning.
    fn add_records(&mut self, signal: Signal, mut bytes: &[u8]) {
        const LOST: u32 = 2;
        const SAMPLE: u32 = 9;
        while let Some((kind, body, rest)) = split_record(bytes) {
            match kind {
                SAMPLE => self.samples.extend(read_sample(signal, body)),
                LOST => {
                    let mut reader = Reader::new(body);
                    let count = reader.u64().and_then(|_| reader.u64());
                    self.lost += count.unwrap_or(0);
                }
                _ => {}
            }
            bytes = rest;
        }
    }
}

fn read_sample(signal: Signal, body: &[u8]) -> Option<Sample> {
    let mut reader = Reader::new(body);
    let address = reader.u64().ok()?;
    let process = reader.u32().ok()?;
    reader.u32().ok()?;
    // The upper half is reserved.
    let core = reader.u64().ok()? as u32;
    let (address, stack) = if signal == Signal::Wait {
        read_user_side(&mut reader)
    } else {
        (address, Vec::new())
    };
    Some(Sample {
        signal,
        process,
        core,
        address,
        stack,
    })
}

/// The program's instruction pointer and the words on its stack: what the registers are `u64` (0 = none), the one that was
/// asked for `u64`, the size of the stack's copy `u64`, the copy, and how much of it is real `u64`.
fn read_user_side(reader: &mut Reader<'_>) -> (u64, Vec<u64>) {
    let mut read = || {
        let has_registers = reader.u64().ok()? != 0;
        let address = if has_registers { reader.u64().ok()? } else { 0 };
        let size = reader.u64().ok()?.min(u64::from(STACK_BYTES));
        let mut words = Vec::new();
        for _ in 0..size / 8 {
            words.push(reader.u64().ok()?);
        }
        if size > 0 {
            let real = reader.u64().ok()?;
            words.truncate((real / 8) as usize);
        }
        Some((address, words))
    };
    read().unwrap_or_default()
}

fn split_record(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    const HEADER_BYTES: usize = 8;
    let mut reader = Reader::new(bytes);
    let kind = reader.u32().ok()?;
    reader.u16().ok()?;
    let size = usize::from(reader.u16().ok()?);
    let record = bytes.get(..size)?;
    Some((kind, record.get(HEADER_BYTES..)?, bytes.get(size..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend((body.len() as u16 + 8).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    fn sample(address: u64, process: u32, core: u32) -> Vec<u8> {
        let mut body = address.to_le_bytes().to_vec();
        for field in [process, process + 1, core, 0] {
            body.extend(field.to_le_bytes());
        }
        record(9, &body)
    }

    fn check(bytes: &[u8], samples: &[(u64, u32, u32)], lost: u64) {
        let mut drained = Drained::default();
        drained.add_records(Signal::Clock, bytes);
        let found: Vec<_> = drained
            .samples
            .iter()
            .map(|sample| (sample.address, sample.process, sample.core))
            .collect();
        assert_eq!((found.as_slice(), drained.lost), (samples, lost));
    }

    #[test]
    fn records_of_all_kinds() {
        let mut lost = 7_u64.to_le_bytes().to_vec();
        lost.extend(5_u64.to_le_bytes());
        let bytes = [
            sample(0x1000, 10, 1),
            record(2, &lost),
            record(3, b"12345678"),
            sample(2, 3, 4),
        ]
        .concat();
        check(&bytes, &[(0x1000, 10, 1), (2, 3, 4)], 5);
    }

    #[test]
    fn waiting_comes_with_the_program_s_own_place_and_stack() {
        let mut body = 0xffff_8000_u64.to_le_bytes().to_vec();
        for field in [7_u32, 8, 1, 0] {
            body.extend(field.to_le_bytes());
        }
        for word in [2_u64, 0x7f00, 24, 0x11, 0x22, 0x33, 16] {
            body.extend(word.to_le_bytes());
        }
        let mut drained = Drained::default();
        drained.add_records(Signal::Wait, &record(9, &body));
        let sample = drained.samples.pop().unwrap();
        assert_eq!((sample.process, sample.core, sample.address), (7, 1, 0x7f00));
        assert_eq!(sample.stack, [0x11, 0x22], "no more than is real");
    }

    #[test]
    fn damaged_records_end_the_reading() {
        let good = sample(1, 2, 3);
        check(
            &[good.clone(), vec![9, 0, 0, 0, 0, 0, 3, 0]].concat(),
            &[(1, 2, 3)],
            0,
        );
        check(
            &[good.clone(), vec![9, 0, 0, 0, 0, 0, 0xff, 0xff]].concat(),
            &[(1, 2, 3)],
            0,
        );
        check(&good[..20], &[], 0);
        check(&record(9, &[1, 2]), &[], 0);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(0_u8..16, 0..200)) {
            for signal in Signal::ALL {
                Drained::default().add_records(signal, &bytes);
            }
        }
    }
}

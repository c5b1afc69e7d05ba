//! Which functions run on which core.
//!
//! Why so: contention on one core is helped by recompiling what runs hot on that core and nothing else. Samples
//! come from the kernel's software clock (virtual machines have no performance counters), at a low rate, and
//! age: the profile follows the program with a half-life.
//!
//! Not here: what is compiled. Where the kernel refuses sampling, there is no heat, and the caller says so.

pub(crate) mod mappings;
mod perf;
pub mod profile;
pub mod resolve;

pub use perf::{Sampler, Scope};

/// One moment of one core in a program's own code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The process.
    pub process: u32,
    /// The core.
    pub core: u32,
    /// Where it was.
    pub address: u64,
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
    /// a sample instruction pointer `u64`, process and thread `u32` each, core `u32` and a reserved `u32`. A record
    /// that does not parse ends the reading: what follows it has no known beginning.
    fn add_records(&mut self, mut bytes: &[u8]) {
        use tidegate_format::bytes::Reader;
        const LOST: u32 = 2;
        const SAMPLE: u32 = 9;
        while let Some((kind, body, rest)) = split_record(bytes) {
            let mut reader = Reader::new(body);
            match kind {
                SAMPLE => {
                    let fields = (reader.u64(), reader.u32(), reader.u32(), reader.u32());
                    if let (Ok(address), Ok(process), Ok(_), Ok(core)) = fields {
                        self.samples.push(Sample {
                            process,
                            core,
                            address,
                        });
                    }
                }
                LOST => {
                    let count = reader.u64().and_then(|_| reader.u64());
                    self.lost += count.unwrap_or(0);
                }
                _ => {}
            }
            bytes = rest;
        }
    }
}

fn split_record(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    const HEADER_BYTES: usize = 8;
    let mut reader = tidegate_format::bytes::Reader::new(bytes);
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
        drained.add_records(bytes);
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
            Drained::default().add_records(&bytes);
        }
    }
}

//! What a warm worker reads and writes: one order and one outcome per compile, over its standard input and output.
//!
//! Why so: a worker that stays forks for each compile, so that the start of LLVM is paid once; what the child cost and
//! how it ended is known to its parent only, and told beside the answer. An order is a length `u32` and so many bytes
//! of a [`Request`](crate::request::Request). An outcome begins with these 32 bytes:
//!
//! | offset | field |
//! |---|---|
//! | 0 | length `u32` of the answer that follows |
//! | 4 | length `u32` of the message that follows the answer |
//! | 8 | wait status `i32` of the child, as waitpid(2) tells it |
//! | 12 | version `u32` |
//! | 16 | CPU time `u64` of the child from fork to exit, in nanoseconds |
//! | 24 | CPU time `u64` of the parent until its first order, in nanoseconds |

use crate::FormatError;
use crate::bytes::Reader;

/// Bytes at the start of an outcome.
pub const OUTCOME_BYTES: usize = 32;
/// Version of the layout.
pub const OUTCOME_VERSION: u32 = 1;
/// Most bytes of an answer: one image and its record.
pub const ANSWER_LENGTH_MAX: u32 = 5 << 20;
/// How much of a child's complaints is kept.
pub const MESSAGE_LENGTH_MAX: u32 = 16 << 10;

/// How a compile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes of the answer.
    pub answer_length: u32,
    /// Bytes of what the child said on its standard error.
    pub message_length: u32,
    /// Its wait status.
    pub status: i32,
    /// CPU time of the child.
    pub cpu_ns: u64,
    /// CPU time of the parent's start.
    pub start_cpu_ns: u64,
}

impl Outcome {
    /// The first bytes of an outcome.
    pub fn to_bytes(&self) -> [u8; OUTCOME_BYTES] {
        let mut bytes = [0; OUTCOME_BYTES];
        let words = [
            self.answer_length,
            self.message_length,
            self.status.cast_unsigned(),
            OUTCOME_VERSION,
        ];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes[16..24].copy_from_slice(&self.cpu_ns.to_le_bytes());
        bytes[24..].copy_from_slice(&self.start_cpu_ns.to_le_bytes());
        bytes
    }

    /// Reads them; lengths beyond their bounds are refused.
    pub fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let (answer_length, message_length) = (reader.u32()?, reader.u32()?);
        let status = reader.i32()?;
        let found = reader.u32()?;
        if found != OUTCOME_VERSION {
            return Err(FormatError::Version {
                found,
                known: OUTCOME_VERSION,
            });
        }
        if answer_length > ANSWER_LENGTH_MAX || message_length > MESSAGE_LENGTH_MAX {
            return Err(FormatError::Value { field: "length" });
        }
        Ok(Self {
            answer_length,
            message_length,
            status,
            cpu_ns: reader.u64()?,
            start_cpu_ns: reader.u64()?,
        })
    }
}

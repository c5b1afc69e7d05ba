//! What the worker reads on its standard input and answers on its standard output: one of each per process.
//!
//! The worker is unprivileged and short-lived, and the caller distrusts its answer as the worker distrusts the
//! request: both are sealed records. This module knows neither LLVM nor processes.

use crate::FormatError;
use crate::arguments::ARGUMENT_REGISTERS;
use crate::bytes::{Reader, Writer, open_record};
use crate::image::CpuFeatures;
use crate::scenario::Scenario;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// First bytes of a request.
pub const REQUEST_MAGIC: [u8; 8] = *b"TGREQST\0";
/// First bytes of an answer.
pub const RESPONSE_MAGIC: [u8; 8] = *b"TGREPLY\0";
/// Version of both.
pub const REQUEST_VERSION: u32 = 2;
/// Most tunables in one request.
pub const TUNABLES_MAX: u32 = 256;
/// More candidates than any scenario has.
pub const CANDIDATES_MAX: u8 = 4;

/// An assumption: this argument register holds this value when the function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constant {
    /// The register: 0 to 5 are rdi, rsi, rdx, rcx, r8, r9; 6 to 13 are the low halves of xmm0 to xmm7.
    pub register: u8,
    /// Its bits, as far as the parameter's type has them.
    pub value: u64,
}

/// One compile. In bytes, behind the record header: scenario `u8`, candidate `u8`, tunables `u16`, CPU features
/// `u64`, length of the CPU's name `u32`, length of the blob `u32`, constants `u32`, the CPU's name, per tunable
/// {length `u32`, name, value `i64`}, per constant {register `u8`, value `u64`}, the blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to compile for.
    pub scenario: Scenario,
    /// Which of the scenario's pipelines, counted from 0 in the order in which they are tried.
    pub candidate: u8,
    /// What the CPU that will run the variant offers; the image may use any of it, or none.
    pub cpu_features: CpuFeatures,
    /// The CPU's name as LLVM knows it (`znver4`), for tuning only; empty = generic.
    pub tune_cpu: String,
    /// Values of tunables that override the declared ones.
    pub tunables: Vec<(String, i64)>,
    /// Arguments that may be assumed; the variant checks them whenever it is entered.
    pub constants: Vec<Constant>,
    /// The blob, as read from the program.
    pub blob: Vec<u8>,
}

impl Request {
    /// The record's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::record(REQUEST_MAGIC, REQUEST_VERSION);
        writer
            .u8(self.scenario.number())
            .u8(self.candidate)
            .u16(self.tunables.len() as u16)
            .u64(self.cpu_features.0);
        writer
            .u32(self.tune_cpu.len() as u32)
            .u32(self.blob.len() as u32)
            .u32(self.constants.len() as u32)
            .raw(self.tune_cpu.as_bytes());
        for (name, value) in &self.tunables {
            writer.u32(name.len() as u32).raw(name.as_bytes()).i64(*value);
        }
        for constant in &self.constants {
            writer.u8(constant.register).u64(constant.value);
        }
        writer.raw(&self.blob);
        writer.seal()
    }

    /// Reads a record.
    pub fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = open_record(bytes, REQUEST_MAGIC, REQUEST_VERSION)?;
        let scenario = Scenario::from_number(reader.u8()?).ok_or(FormatError::Value { field: "scenario" })?;
        let candidate = reader.u8()?;
        let tunable_count = reader.u16()?;
        if u32::from(tunable_count) > TUNABLES_MAX {
            return Err(FormatError::Value { field: "tunables" });
        }
        let cpu_features = CpuFeatures(reader.u64()?);
        let cpu_length = reader.u32()? as usize;
        let blob_length = reader.u32()? as usize;
        let constant_count = reader.u32()?;
        if constant_count > ARGUMENT_REGISTERS.into() {
            return Err(FormatError::Value { field: "constants" });
        }
        let tune_cpu = reader.text(cpu_length, "cpu")?.to_owned();
        let tunables = (0..tunable_count)
            .map(|_| read_tunable(&mut reader))
            .collect::<Result<_, _>>()?;
        let constants = (0..constant_count)
            .map(|_| read_constant(&mut reader))
            .collect::<Result<_, _>>()?;
        let blob = reader.take(blob_length)?.to_vec();
        Ok(Self {
            scenario,
            candidate,
            cpu_features,
            tune_cpu,
            tunables,
            constants,
            blob,
        })
    }
}

fn read_tunable(reader: &mut Reader<'_>) -> Result<(String, i64), FormatError> {
    let length = reader.u32()? as usize;
    Ok((reader.text(length, "tunable")?.to_owned(), reader.i64()?))
}

fn read_constant(reader: &mut Reader<'_>) -> Result<Constant, FormatError> {
    let register = reader.u8()?;
    if register >= ARGUMENT_REGISTERS {
        return Err(FormatError::Value { field: "register" });
    }
    Ok(Constant {
        register,
        value: reader.u64()?,
    })
}

macro_rules! compile_errors {
    ($($variant:ident = $number:literal, $text:literal;)*) => {
        /// Why there is no image. All but the first three are answers about the function, and final for the
        /// same blob, scenario and pipeline version.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum CompileErrorKind {
            $(#[doc = $text] $variant = $number,)*
        }

        impl CompileErrorKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The kind in words.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

compile_errors! {
    Request = 1, "the request could not be read";
    Blob = 2, "the blob could not be read";
    Environment = 3, "the worker could not set itself up";
    Bitcode = 4, "LLVM could not read the bitcode";
    Pipeline = 5, "LLVM could not run the pipeline";
    Code = 6, "LLVM could not generate code";
    NewImport = 7, "the variant refers to a symbol that its base does not";
    WritableData = 8, "the variant would own writable data";
    VectorAbi = 9, "a vector crosses a call whose width another instruction set would change";
    FastMath = 10, "the function may change floating-point results";
    UnknownRelocation = 11, "the object holds a relocation that images do not have";
    UnknownSection = 12, "the object holds a section that images do not have";
    TooLarge = 13, "the variant is larger than an image may be";
    NothingToDo = 14, "the scenario has no pipeline that differs from the base for this function";
    NoCandidate = 15, "the scenario has no further candidate";
    NoConstant = 16, "none of the values stands for an argument of the function";
}

/// Why there is no image, with the symbol or LLVM's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The kind.
    pub kind: CompileErrorKind,
    /// The symbol, section, or message; may be empty.
    pub detail: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.kind.text();
        if self.detail.is_empty() {
            formatter.write_str(text)
        } else {
            write!(formatter, "{text}: {}", self.detail)
        }
    }
}

impl core::error::Error for CompileError {}

/// The worker's answer. In bytes, behind the record header: kind `u16` (0 = image), 0 `u16`, length `u32`, the
/// image or the detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response(
    /// The image's bytes, or why there is none.
    pub Result<Vec<u8>, CompileError>,
);

impl Response {
    /// The record's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, payload) = match &self.0 {
            Ok(image) => (0, image.as_slice()),
            Err(error) => (error.kind as u16, error.detail.as_bytes()),
        };
        let mut writer = Writer::record(RESPONSE_MAGIC, REQUEST_VERSION);
        writer.u16(kind).u16(0).u32(payload.len() as u32).raw(payload);
        writer.seal()
    }

    /// Reads a record. An image in it is not yet checked.
    pub fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = open_record(bytes, RESPONSE_MAGIC, REQUEST_VERSION)?;
        let number = reader.u16()?;
        reader.u16()?;
        let length = reader.u32()? as usize;
        if number == 0 {
            return Ok(Self(Ok(reader.take(length)?.to_vec())));
        }
        let kind = CompileErrorKind::ALL
            .iter()
            .copied()
            .find(|kind| *kind as u16 == number);
        let kind = kind.ok_or(FormatError::Value { field: "error kind" })?;
        let detail = reader.text(length, "detail")?.to_owned();
        Ok(Self(Err(CompileError { kind, detail })))
    }
}

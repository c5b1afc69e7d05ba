//! Reads what the plugin left in a linked program: what is switchable, what is not and why.
//!
//! Works on the file alone, stripped or not. Of a program that runs, only the runtime in it knows more.

use crate::DriverError;
use object::read::elf::ElfFile64;
use object::{Object, ObjectKind, ObjectSection};
use serde::Serialize;
use std::path::Path;
use tidegate_format::FormatError;
use tidegate_format::blob::Blob;
use tidegate_format::scenario::Scenario;
use tidegate_format::section::{
    BLOBS_SECTION, DESCRIPTOR_LENGTH, Descriptor, FUNCTIONS_SECTION, NAMES_SECTION, REFUSED_SECTION,
    Reference, Refusal, RefusalReason, TUNABLES_SECTION, Tunable,
};

/// What a binary says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Inspection {
    /// The linker's build id in hexadecimal digits, where there is one.
    pub build_id: Option<String>,
    /// Switchable functions, in the order of the section.
    pub functions: Vec<SwitchableFunction>,
    /// What was wanted and left as it was.
    pub refused: Vec<RefusedFunction>,
    /// Values that may differ by scenario.
    pub tunables: Vec<DeclaredTunable>,
}

/// One switchable function; addresses are those of the file (before it is loaded anywhere).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwitchableFunction {
    /// The function's symbol.
    pub name: String,
    /// Address of the base body.
    pub body_address: u64,
    /// Address of the stub that carries the name, where there is one.
    pub stub_address: Option<u64>,
    /// Address of the slot.
    pub slot_address: u64,
    /// Address of the anchor table.
    pub anchors_address: u64,
    /// Entries of the anchor table.
    pub anchor_count: u32,
    /// LLVM instructions of the body when the blob was taken.
    pub instructions: u32,
    /// Bytes of the blob.
    pub blob_bytes: u32,
    /// Identity of the blob in hexadecimal digits.
    pub hash: String,
    /// The blob itself, for a worker.
    #[serde(skip)]
    pub blob: Vec<u8>,
}

/// Something that is not switchable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedFunction {
    /// The function, or the source file.
    pub name: String,
    /// Why, as a name for machines (`Variadic`).
    pub reason: String,
    /// Why, in words.
    pub text: &'static str,
}

/// A declared tunable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeclaredTunable {
    /// Its name in the source.
    pub name: String,
    /// Its value in the program as built.
    pub default: i64,
    /// Scenarios with a value of their own.
    pub values: Vec<(String, i64)>,
}

/// Reads the program at `path`.
pub fn binary(path: &Path) -> Result<Inspection, DriverError> {
    let bytes = std::fs::read(path).map_err(|source| DriverError::Read {
        path: path.to_owned(),
        source,
    })?;
    inspect(path, &bytes)
}

/// The linked program in `bytes`; `path` is for errors.
pub fn inspect(path: &Path, bytes: &[u8]) -> Result<Inspection, DriverError> {
    let elf: ElfFile64<'_> = ElfFile64::parse(bytes).map_err(|source| DriverError::NotElf {
        path: path.to_owned(),
        source,
    })?;
    if elf.kind() == ObjectKind::Relocatable {
        return Err(DriverError::NotLinked {
            path: path.to_owned(),
        });
    }
    let build_id = elf.build_id().ok().flatten();
    let build_id = build_id.map(hexadecimal);
    let program = Program { path, elf };
    Ok(Inspection {
        build_id,
        functions: program.functions()?,
        refused: program.refused()?,
        tunables: program.tunables()?,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A section's address and content.
#[derive(Debug, Clone, Copy)]
struct Section<'a> {
    address: u64,
    bytes: &'a [u8],
}

impl<'a> Section<'a> {
    /// `length` bytes where `reference` of the record at `record` leads to.
    fn at(&self, reference: Reference, record: u64, length: u32) -> Option<&'a [u8]> {
        let start = usize::try_from(reference.target(record)?.checked_sub(self.address)?).ok()?;
        self.bytes.get(start..start.checked_add(length as usize)?)
    }
}

struct Program<'a> {
    path: &'a Path,
    elf: ElfFile64<'a>,
}

impl<'a> Program<'a> {
    fn section(&self, name: &str) -> Section<'a> {
        let section = self.elf.section_by_name(name);
        let read = section.map(|found| (found.address(), found.data().unwrap_or_default()));
        let (address, bytes) = read.unwrap_or_default();
        Section { address, bytes }
    }

    fn error(&self, section: &'static str, offset: usize) -> impl Fn(FormatError) -> DriverError + '_ {
        move |source| DriverError::Section {
            path: self.path.to_owned(),
            section,
            offset,
            source,
        }
    }

    fn functions(&self) -> Result<Vec<SwitchableFunction>, DriverError> {
        let table = self.section(FUNCTIONS_SECTION);
        let blobs = self.section(BLOBS_SECTION);
        let names = self.section(NAMES_SECTION);
        let mut functions = Vec::with_capacity(table.bytes.len() / DESCRIPTOR_LENGTH);
        for (offset, descriptor) in Descriptor::read_all(table.bytes) {
            let error = self.error(FUNCTIONS_SECTION, offset);
            let descriptor = descriptor.map_err(&error)?;
            let record = table.address + offset as u64;
            let function = function(&descriptor, record, blobs, names).map_err(error)?;
            functions.push(function);
        }
        Ok(functions)
    }

    fn refused(&self) -> Result<Vec<RefusedFunction>, DriverError> {
        let all = self.elf.sections();
        let all = all.filter(|section| section.name() == Ok(REFUSED_SECTION));
        let records =
            all.flat_map(|section| Refusal::read_all(section.data().unwrap_or_default()).enumerate());
        let refused = records.map(|(index, record)| {
            let record = record.map_err(self.error(REFUSED_SECTION, index))?;
            Ok(RefusedFunction {
                name: record.name.to_owned(),
                reason: format!("{:?}", record.reason),
                text: RefusalReason::text(record.reason),
            })
        });
        refused.collect()
    }

    fn tunables(&self) -> Result<Vec<DeclaredTunable>, DriverError> {
        let section = self.section(TUNABLES_SECTION);
        let records = Tunable::read_all(section.bytes).enumerate();
        let tunables = records.map(|(index, record)| {
            let record = record.map_err(self.error(TUNABLES_SECTION, index))?;
            let values = Scenario::TUNABLE.iter().zip(record.values);
            let values = values.filter_map(|(scenario, value)| Some((scenario.name().to_owned(), value?)));
            let values = values.collect();
            Ok(DeclaredTunable {
                name: record.name.to_owned(),
                default: record.default,
                values,
            })
        });
        tunables.collect()
    }
}

fn function(
    descriptor: &Descriptor,
    record: u64,
    blobs: Section<'_>,
    names: Section<'_>,
) -> Result<SwitchableFunction, FormatError> {
    let required = |reference: Reference, field| reference.target(record).ok_or(FormatError::Value { field });
    let name = names.at(descriptor.name, record, descriptor.name_length);
    let name = name.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let blob = blobs.at(descriptor.blob, record, descriptor.blob_length);
    let blob = blob.ok_or(FormatError::Value { field: "blob" })?;
    if Blob::read(blob)?.hash != descriptor.hash {
        return Err(FormatError::Value { field: "hash" });
    }
    Ok(SwitchableFunction {
        name: name.ok_or(FormatError::Value { field: "name" })?.to_owned(),
        body_address: required(descriptor.body, "body")?,
        stub_address: descriptor.stub.target(record),
        slot_address: required(descriptor.slot, "slot")?,
        anchors_address: required(descriptor.anchors, "anchors")?,
        anchor_count: descriptor.anchor_count,
        instructions: descriptor.instruction_count,
        blob_bytes: descriptor.blob_length,
        hash: descriptor.hash.to_string(),
        blob: blob.to_vec(),
    })
}

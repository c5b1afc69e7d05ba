//! What an executable on disk carries: switchable functions, refusals, tunables, and where its code lies.
//!
//! Why so: `inspect` works on a file as on a process, and sampled addresses become functions without asking the
//! process. Symbols are used for sizes where the file still has them; otherwise a function reaches up to the
//! next known one.
//!
//! Not here: what a running process has loaded.

use crate::VariantsError;
use crate::error::at;
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tidegate_format::FunctionHash;
use tidegate_format::section::{
    BLOBS_SECTION, BODY_SUFFIX, Descriptor, FUNCTIONS_SECTION, NAMES_SECTION, REFUSED_SECTION,
    RUNTIME_NOTE_SECTION, Refusal, SLOTS_SECTION, TUNABLES_SECTION, Tunable,
};

/// A function without a size in the symbol table reaches at most so far.
const REACH_BYTES: u64 = 1024 * 1024;

/// One switchable function of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFunction {
    /// Its linker name.
    pub name: String,
    /// Identity of its blob.
    pub hash: FunctionHash,
    /// Linked address of its body.
    pub address: u64,
    /// Linked address of its slot.
    pub slot_address: u64,
    /// Bytes of its body, as far as known.
    pub code_bytes: u64,
    /// Bytes of its blob.
    pub blob_bytes: u32,
    /// LLVM instructions of the body when the blob was taken.
    pub instructions: u32,
}

/// A tunable of a file, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramTunable {
    /// The name in the source.
    pub name: String,
    /// The value in the base.
    pub default: i64,
    /// Values for cpu, memory, disk, network and neighbour.
    pub values: [Option<i64>; 5],
}

/// What a file carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Switchable functions, by address.
    pub functions: Vec<ProgramFunction>,
    /// What is not switchable, and why.
    pub refused: Vec<(String, String)>,
    /// Declared tunables.
    pub tunables: Vec<ProgramTunable>,
    /// Whether it carries the runtime, or a library's word to it: it was linked by tidegate's driver.
    pub has_runtime: bool,
    /// The GNU build id, empty if there is none.
    pub build_id: Vec<u8>,
    /// Bytes of all blobs and of all slots.
    pub section_bytes: (u64, u64),
    /// Executable segments: (file offset, length, linked address).
    code: Vec<(u64, u64, u64)>,
}

impl Program {
    /// Reads an ELF file; one without tidegate's sections has no functions.
    ///
    /// # Errors
    /// [`VariantsError::File`], [`VariantsError::Elf`].
    pub fn read(path: &Path) -> Result<Self, VariantsError> {
        let bytes = fs::read(path).map_err(at(path))?;
        Self::parse(path, &bytes)
    }

    /// Reads the bytes of an ELF file; `path` is only named in errors.
    ///
    /// # Errors
    /// [`VariantsError::Elf`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, VariantsError> {
        let failed = |what: String| VariantsError::Elf {
            path: path.to_path_buf(),
            what,
        };
        let file: ElfFile64<'_> = ElfFile64::parse(bytes).map_err(|error| failed(error.to_string()))?;
        let mut program = Self {
            has_runtime: [RUNTIME_NOTE_SECTION, FUNCTIONS_SECTION]
                .iter()
                .any(|name| file.section_by_name(name).is_some()),
            build_id: file.build_id().ok().flatten().unwrap_or(&[]).to_vec(),
            section_bytes: (
                section(&file, BLOBS_SECTION).1.len() as u64,
                section(&file, SLOTS_SECTION).1.len() as u64,
            ),
            code: code_segments(&file),
            ..Self::default()
        };
        program.functions = functions(&file).map_err(|error| failed(error.to_string()))?;
        let all = file.sections();
        let all = all.filter(|section| section.name() == Ok(REFUSED_SECTION));
        for refusal in all.flat_map(|section| Refusal::read_all(section.data().unwrap_or_default())) {
            let refusal = refusal.map_err(|error| failed(error.to_string()))?;
            program
                .refused
                .push((refusal.name.to_owned(), refusal.reason.text().to_owned()));
        }
        for tunable in Tunable::read_all(section(&file, TUNABLES_SECTION).1) {
            let tunable = tunable.map_err(|error| failed(error.to_string()))?;
            let name = tunable.name.to_owned();
            program.tunables.push(ProgramTunable {
                name,
                default: tunable.default,
                values: tunable.values,
            });
        }
        Ok(program)
    }

    /// The function whose body holds this linked address.
    pub fn function_at(&self, address: u64) -> Option<&ProgramFunction> {
        let after = self
            .functions
            .partition_point(|function| function.address <= address);
        let function = self.functions.get(after.checked_sub(1)?)?;
        (address - function.address < function.code_bytes).then_some(function)
    }

    /// The linked address of a place in the file that is mapped as code.
    pub fn linked_address(&self, file_offset: u64) -> Option<u64> {
        let segment = self
            .code
            .iter()
            .find(|(offset, length, _)| (*offset..offset + length).contains(&file_offset));
        segment.map(|(offset, _, address)| address + (file_offset - offset))
    }
}

fn section<'d>(file: &ElfFile64<'d>, name: &str) -> (u64, &'d [u8]) {
    let found = file.section_by_name(name);
    found.map_or((0, &[]), |section| {
        (section.address(), section.data().unwrap_or(&[]))
    })
}

fn code_segments(file: &ElfFile64<'_>) -> Vec<(u64, u64, u64)> {
    let endian = file.endian();
    let loads = file.elf_program_headers().iter().filter(|header| {
        header.p_type(endian) == object::elf::PT_LOAD && header.p_flags(endian).contains(object::elf::PF_X)
    });
    loads
        .map(|header| {
            (
                header.p_offset(endian),
                header.p_filesz(endian),
                header.p_vaddr(endian),
            )
        })
        .collect()
}

fn functions(file: &ElfFile64<'_>) -> Result<Vec<ProgramFunction>, tidegate_format::FormatError> {
    let (start, records) = section(file, FUNCTIONS_SECTION);
    let names = section(file, NAMES_SECTION);
    let sizes = symbol_sizes(file);
    let mut functions = Vec::new();
    for (offset, descriptor) in Descriptor::read_all(records) {
        let descriptor = descriptor?;
        let record = start + offset as u64;
        let address = descriptor.body.target(record).unwrap_or(0);
        functions.push(ProgramFunction {
            name: name_at(names, descriptor.name.target(record), descriptor.name_length),
            hash: descriptor.hash,
            address,
            slot_address: descriptor.slot.target(record).unwrap_or(0),
            code_bytes: sizes.get(&address).copied().unwrap_or(0),
            blob_bytes: descriptor.blob_length,
            instructions: descriptor.instruction_count,
        });
    }
    functions.sort_by_key(|function| function.address);
    let starts: Vec<u64> = functions.iter().map(|function| function.address).collect();
    for (index, function) in functions
        .iter_mut()
        .enumerate()
        .filter(|(_, function)| function.code_bytes == 0)
    {
        let next = starts
            .get(index + 1)
            .map_or(REACH_BYTES, |next| next - function.address);
        function.code_bytes = next.min(REACH_BYTES);
    }
    Ok(functions)
}

fn name_at((start, names): (u64, &[u8]), address: Option<u64>, length: u32) -> String {
    let offset = address
        .and_then(|address| address.checked_sub(start))
        .unwrap_or(u64::MAX) as usize;
    let bytes = names.get(offset..).and_then(|rest| rest.get(..length as usize));
    bytes.map_or_else(
        || "?".to_owned(),
        |bytes| String::from_utf8_lossy(bytes).into_owned(),
    )
}

/// Sizes of function symbols by address; a body's own symbol wins over its stub's, which lies elsewhere anyway.
fn symbol_sizes(file: &ElfFile64<'_>) -> BTreeMap<u64, u64> {
    let symbols = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
    let mut sizes = BTreeMap::new();
    for symbol in symbols {
        let is_body = symbol.name().is_ok_and(|name| name.ends_with(BODY_SUFFIX));
        let size = sizes.entry(symbol.address()).or_insert(0);
        if is_body || *size == 0 {
            *size = symbol.size();
        }
    }
    sizes
}

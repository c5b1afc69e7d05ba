//! Flattens a relocatable ELF object into an image: one span of bytes and the few places that need an address.
//!
//! Only what images can represent passes: text, constants, unwind information, and references to anchors.
//! Anything else (writable data, thread-locals, a symbol that the base does not import, a section nobody
//! knows) is an error that names it.

use crate::bind::Anchors;
use crate::pipelines::PIPELINE_VERSION;
use crate::specialise::BASE_BODY;
use object::elf;
use object::read::elf::{ElfFile64, ElfSection64};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget as ObjectTarget, SectionFlags,
    SectionIndex, SymbolIndex,
};
use std::collections::HashMap;
use tidegate_format::FunctionHash;
use tidegate_format::image::{
    CpuFeatures, ImageParts, Relocation, RelocationKind, RelocationTarget, SPAN_ALIGNMENT, SPAN_LENGTH_MAX,
};
use tidegate_format::request::{CompileError, CompileErrorKind};
use tidegate_format::scenario::Scenario;
use tidegate_format::section::{ANCHOR_INDIRECT, AnchorKind};

/// What the image is for.
pub(crate) struct Target<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) cpu_features: CpuFeatures,
    pub(crate) hash: FunctionHash,
    /// The function's name.
    pub(crate) name: &'a str,
    /// The symbol of the body in the object.
    pub(crate) entry: &'a str,
}

/// Fills the gaps between functions: `int3`.
const GAP: u8 = 0xcc;
/// Bytes of a cell.
const CELL_LENGTH: usize = 8;
/// `call *disp32(%rip)`.
const CALL_THROUGH_CELL: [u8; 2] = [0xff, 0x15];
/// `jmp *disp32(%rip)`, filled up with `int3`.
const JUMP_THROUGH_CELL: [u8; CELL_LENGTH] = [0xff, 0x25, 0, 0, 0, 0, GAP, GAP];

type Outcome<T> = Result<T, CompileError>;

fn failure<T>(kind: CompileErrorKind, detail: impl Into<String>) -> Outcome<T> {
    Err(CompileError {
        kind,
        detail: detail.into(),
    })
}

/// Flattens `object`.
pub(crate) fn flatten(object: &[u8], target: &Target<'_>, anchors: &Anchors<'_>) -> Outcome<Vec<u8>> {
    let elf: ElfFile64<'_> = match ElfFile64::parse(object) {
        Ok(elf) => elf,
        Err(error) => return failure(CompileErrorKind::Code, error.to_string()),
    };
    let mut flattener = Flattener {
        elf: &elf,
        anchors,
        placed: HashMap::new(),
        span: Vec::new(),
    };
    let sections = flattener.sort_sections()?;
    flattener.append(&sections.text, GAP)?;
    let jumps = flattener.add_jumps(&sections)?;
    let text_length = flattener.span.len();
    flattener.append(&sections.rodata, 0)?;
    let cells = flattener.add_cells(&sections, jumps)?;
    let rodata_length = flattener.span.len() - text_length;
    flattener.align(8, 0);
    let eh_frame_offset = flattener.span.len();
    flattener.append(&sections.eh_frame, 0)?;
    if flattener.span.len() > eh_frame_offset {
        flattener.span.extend([0; 4]);
    }
    let eh_frame_length = flattener.span.len() - eh_frame_offset;
    if flattener.span.len() > SPAN_LENGTH_MAX as usize {
        return failure(
            CompileErrorKind::TooLarge,
            format!("{} bytes", flattener.span.len()),
        );
    }
    let mut relocations = cells.relocations.clone();
    for section in sections.all() {
        relocations.extend(flattener.relocate(section, &cells)?);
    }
    let parts = ImageParts {
        scenario: target.scenario,
        pipeline_version: PIPELINE_VERSION,
        cpu_features: target.cpu_features,
        hash: target.hash,
        anchor_count: anchors.count(),
        entry: flattener.entry(target.entry)?,
        span: flattener.span,
        text_length: text_length as u32,
        rodata: (text_length as u32, rodata_length as u32),
        eh_frame: (eh_frame_offset as u32, eh_frame_length as u32),
        relocations,
        name: target.name.to_owned(),
    };
    parts
        .to_bytes()
        .or_else(|error| failure(CompileErrorKind::Code, error.to_string()))
}

/// The object's sections that take part.
#[derive(Default)]
struct Sections {
    text: Vec<SectionIndex>,
    rodata: Vec<SectionIndex>,
    eh_frame: Vec<SectionIndex>,
}

impl Sections {
    fn all(&self) -> impl Iterator<Item = SectionIndex> + '_ {
        [&self.text, &self.rodata, &self.eh_frame]
            .into_iter()
            .flatten()
            .copied()
    }
}

/// Cells in the span, by the symbol whose address they hold.
#[derive(Default)]
struct Cells {
    offsets: HashMap<SymbolIndex, u32>,
    /// Jumps through cells, for direct calls of what may be far.
    jumps: HashMap<SymbolIndex, u32>,
    relocations: Vec<Relocation>,
}

/// What a symbol stands for.
#[derive(Clone, Copy)]
enum Meaning {
    /// A place in the span.
    Span(u32),
    /// An anchor; `far` where it may be at any distance.
    Anchor { index: u32, kind: AnchorKind, far: bool },
    /// The function's base body; it may be far from here.
    Base,
}

impl Meaning {
    /// Whether the place may be at any distance.
    fn is_far(self) -> bool {
        matches!(self, Self::Base | Self::Anchor { far: true, .. })
    }

    fn target(self) -> RelocationTarget {
        match self {
            Self::Span(offset) => RelocationTarget::Span(offset),
            Self::Anchor { index, .. } => RelocationTarget::Anchor(index),
            Self::Base => RelocationTarget::Base,
        }
    }
}

struct Flattener<'a, 'data> {
    elf: &'a ElfFile64<'data>,
    anchors: &'a Anchors<'a>,
    placed: HashMap<SectionIndex, u32>,
    span: Vec<u8>,
}

impl<'data> Flattener<'_, 'data> {
    fn sort_sections(&self) -> Outcome<Sections> {
        let mut sections = Sections::default();
        for section in self.elf.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                continue;
            };
            let name = section.name().unwrap_or_default();
            let has = |flag: elf::SectionFlags| sh_flags.contains(flag);
            if !has(elf::SHF_ALLOC) || section.size() == 0 || name.starts_with(".note") {
                continue;
            }
            // Constants that hold addresses: the loader relocates before it protects. `.data` holds nothing else:
            // the IR owned no writable data, and the code generator puts only cells for exceptions' types there.
            let relocated_constant =
                name.starts_with(".data.rel.ro") || name == ".data" || name.starts_with(".data.DW.ref.");
            if has(elf::SHF_TLS) || (has(elf::SHF_WRITE) && !relocated_constant) {
                return failure(CompileErrorKind::WritableData, name);
            }
            match name {
                ".eh_frame" => sections.eh_frame.push(section.index()),
                _ if has(elf::SHF_EXECINSTR) => sections.text.push(section.index()),
                _ if relocated_constant
                    || name.starts_with(".rodata")
                    || name.starts_with(".gcc_except_table") =>
                {
                    sections.rodata.push(section.index());
                }
                _ => return failure(CompileErrorKind::UnknownSection, name),
            }
        }
        Ok(sections)
    }

    fn section(&self, index: SectionIndex) -> Outcome<ElfSection64<'data, '_>> {
        self.elf
            .section_by_index(index)
            .or_else(|error| failure(CompileErrorKind::Code, error.to_string()))
    }

    fn align(&mut self, alignment: usize, fill: u8) {
        self.span
            .resize(self.span.len().next_multiple_of(alignment), fill);
    }

    fn append(&mut self, sections: &[SectionIndex], fill: u8) -> Outcome<()> {
        for &index in sections {
            let section = self.section(index)?;
            let alignment = (section.align() as usize).max(1);
            if alignment > SPAN_ALIGNMENT || !alignment.is_power_of_two() {
                return failure(
                    CompileErrorKind::UnknownSection,
                    section.name().unwrap_or_default(),
                );
            }
            let data = section
                .data()
                .or_else(|error| failure(CompileErrorKind::Code, error.to_string()))?
                .to_vec();
            self.align(alignment, fill);
            self.placed.insert(index, self.span.len() as u32);
            self.span.extend(data);
        }
        Ok(())
    }

    /// One `jmp *cell(%rip)` for each symbol that is called directly although it may be far: calls that code
    /// generation makes by itself, like the one behind a stack protector.
    fn add_jumps(&mut self, sections: &Sections) -> Outcome<HashMap<SymbolIndex, u32>> {
        let mut jumps = HashMap::new();
        for symbol in self.symbols(sections, direct_call_symbol)? {
            if jumps.contains_key(&symbol) || !self.meaning(symbol)?.is_far() {
                continue;
            }
            self.align(CELL_LENGTH, GAP);
            jumps.insert(symbol, self.span.len() as u32);
            self.span.extend(JUMP_THROUGH_CELL);
        }
        Ok(jumps)
    }

    /// One cell for each symbol that is referred to through one.
    fn add_cells(&mut self, sections: &Sections, jumps: HashMap<SymbolIndex, u32>) -> Outcome<Cells> {
        self.align(CELL_LENGTH, 0);
        let mut cells = Cells {
            jumps,
            ..Cells::default()
        };
        let mut wanted = self.symbols(sections, cell_symbol)?;
        wanted.extend(
            self.symbols(sections, direct_call_symbol)?
                .iter()
                .filter(|symbol| cells.jumps.contains_key(symbol)),
        );
        for symbol in wanted {
            if cells.offsets.contains_key(&symbol) {
                continue;
            }
            let offset = self.span.len() as u32;
            let target = self.meaning(symbol)?.target();
            cells.offsets.insert(symbol, offset);
            cells.relocations.push(Relocation {
                offset,
                kind: RelocationKind::Absolute64,
                target,
                addend: 0,
            });
            self.span.extend([0; CELL_LENGTH]);
        }
        for (symbol, jump) in &cells.jumps {
            let cell = cells.offsets.get(symbol).copied().unwrap_or_default();
            self.put_relative(jump + 2, i64::from(cell) - 4)?;
        }
        Ok(cells)
    }

    /// The symbols of all relocations for which `of` names one, in order.
    fn symbols(
        &self,
        sections: &Sections,
        of: impl Fn(&object::Relocation) -> Option<SymbolIndex>,
    ) -> Outcome<Vec<SymbolIndex>> {
        let mut symbols = Vec::new();
        for index in sections.all() {
            symbols.extend(self.section(index)?.relocations().filter_map(|(_, one)| of(&one)));
        }
        Ok(symbols)
    }

    fn meaning(&self, index: SymbolIndex) -> Outcome<Meaning> {
        let symbol = self.elf.symbol_by_index(index);
        let symbol = symbol.or_else(|error| failure(CompileErrorKind::Code, error.to_string()))?;
        let name = symbol.name().unwrap_or_default();
        if let Some(section) = symbol.section_index() {
            let Some(start) = self.placed.get(&section) else {
                return failure(CompileErrorKind::UnknownSection, name);
            };
            return Ok(Meaning::Span(start + symbol.address() as u32));
        }
        if name == BASE_BODY {
            return Ok(Meaning::Base);
        }
        match self.anchors.find(name) {
            Some((index, anchor)) => Ok(Meaning::Anchor {
                index,
                kind: anchor.kind,
                far: anchor.flags & ANCHOR_INDIRECT != 0,
            }),
            None => failure(CompileErrorKind::NewImport, name),
        }
    }

    fn entry(&self, name: &str) -> Outcome<u32> {
        let symbol = self.elf.symbols().find(|symbol| symbol.name() == Ok(name));
        match symbol.map(|symbol| self.meaning(symbol.index())) {
            Some(Ok(Meaning::Span(offset))) => Ok(offset),
            _ => failure(CompileErrorKind::Code, format!("no symbol {name}")),
        }
    }

    /// Resolves what lies within the span, and gives the relocations of the rest.
    fn relocate(&mut self, section: SectionIndex, cells: &Cells) -> Outcome<Vec<Relocation>> {
        let start = self.placed.get(&section).copied().unwrap_or_default();
        let found: Vec<_> = self.section(section)?.relocations().collect();
        let mut relocations = Vec::new();
        for (place, one) in found {
            let RelocationFlags::Elf { r_type } = one.flags() else {
                continue;
            };
            let place = start + place as u32;
            let ObjectTarget::Symbol(symbol) = one.target() else {
                return failure(CompileErrorKind::UnknownRelocation, format!("type {r_type:?}"));
            };
            if let Some(cell) = cell_symbol(&one).and_then(|symbol| cells.offsets.get(&symbol)) {
                self.put_relative(place, i64::from(*cell) + one.addend())?;
                relocations.extend(self.direct_call(place, self.meaning(symbol)?));
                continue;
            }
            if let Some(jump) = direct_call_symbol(&one).and_then(|symbol| cells.jumps.get(&symbol)) {
                self.put_relative(place, i64::from(*jump) + one.addend())?;
                continue;
            }
            let kind = match r_type {
                elf::R_X86_64_64 => RelocationKind::Absolute64,
                elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => RelocationKind::Relative32,
                elf::R_X86_64_PC64 => RelocationKind::Relative64,
                _ => return failure(CompileErrorKind::UnknownRelocation, format!("type {r_type:?}")),
            };
            let meaning = self.meaning(symbol)?;
            if let (Meaning::Span(offset), RelocationKind::Relative32) = (meaning, kind) {
                self.put_relative(place, i64::from(offset) + one.addend())?;
                continue;
            }
            let Ok(addend) = i32::try_from(one.addend()) else {
                return failure(
                    CompileErrorKind::UnknownRelocation,
                    format!("addend {}", one.addend()),
                );
            };
            relocations.push(Relocation {
                offset: place,
                kind,
                target: meaning.target(),
                addend,
            });
        }
        Ok(relocations)
    }

    /// Writes the distance from `place` to `target`, both offsets in the span.
    fn put_relative(&mut self, place: u32, target: i64) -> Outcome<()> {
        let distance = i32::try_from(target - i64::from(place));
        let bytes = self.span.get_mut(place as usize..place as usize + 4);
        match (distance, bytes) {
            (Ok(distance), Some(bytes)) => bytes.copy_from_slice(&distance.to_le_bytes()),
            _ => return failure(CompileErrorKind::Code, "a relocation outside of its section"),
        }
        Ok(())
    }

    /// What lets a loader make `call *cell(%rip)` a direct call.
    fn direct_call(&self, place: u32, meaning: Meaning) -> Option<Relocation> {
        let opcode = self.span.get((place as usize).checked_sub(2)?..place as usize)?;
        let Meaning::Anchor {
            index,
            kind: AnchorKind::Function,
            ..
        } = meaning
        else {
            return None;
        };
        (opcode == CALL_THROUGH_CELL).then_some(Relocation {
            offset: place,
            kind: RelocationKind::CallThroughCell,
            target: RelocationTarget::Anchor(index),
            addend: 0,
        })
    }
}

/// The symbol whose cell a relocation refers to, where it is of that kind.
fn cell_symbol(relocation: &object::Relocation) -> Option<SymbolIndex> {
    let RelocationFlags::Elf { r_type } = relocation.flags() else {
        return None;
    };
    let through_cell = [
        elf::R_X86_64_GOTPCREL,
        elf::R_X86_64_GOTPCRELX,
        elf::R_X86_64_REX_GOTPCRELX,
    ];
    match relocation.target() {
        ObjectTarget::Symbol(symbol) if through_cell.contains(&r_type) => Some(symbol),
        _ => None,
    }
}

/// The symbol that a relocation calls or jumps to directly, where it is of that kind.
fn direct_call_symbol(relocation: &object::Relocation) -> Option<SymbolIndex> {
    let RelocationFlags::Elf {
        r_type: elf::R_X86_64_PLT32,
    } = relocation.flags()
    else {
        return None;
    };
    match relocation.target() {
        ObjectTarget::Symbol(symbol) => Some(symbol),
        _ => None,
    }
}

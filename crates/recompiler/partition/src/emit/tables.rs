//! The tables behind the slots: anchors, blobs, names, descriptors, refusals.
//!
//! Layouts are those of `tidegate_format::section`. Each table is a constant in a section of its own that is
//! tied to its function. References are relative to themselves, so no table needs a dynamic relocation; what
//! lies outside of the object is reached through the global offset table.

use super::library::{self, Libraries};
use super::threads;
use super::{Switchable, associate, c_name, pointer_type};
use crate::arguments;
use crate::early::{Plan, Symbol};
use crate::llvm;
use crate::llvm::{Module, Value};
use llvm_sys::LLVMLinkage;
use llvm_sys::core::*;
use llvm_sys::prelude::*;
use std::collections::HashMap;
use tidegate_format::FunctionHash;
use tidegate_format::blob::{AnchorName, Blob, name_table};
use tidegate_format::section::{
    ANCHOR_INDIRECT, ANCHOR_WEAK, ANCHORS_SECTION, AnchorKind, BLOBS_SECTION, BODY_SUFFIX, FUNCTIONS_SECTION,
    HAS_STUB, MAY_UNWIND, NAMES_SECTION, REFUSED_SECTION, Refusal, RefusalReason, SECTION_VERSION,
};

/// Compression of blobs: half-way between speed and size, as zstd's own default is.
const COMPRESSION_LEVEL: i32 = 9;

/// One anchor to lay down.
struct Anchor {
    kind: AnchorKind,
    flags: u8,
    name: String,
    /// The thing, or the cell of the global offset table.
    target: Value,
}

/// Builds the tables of one module.
pub(super) struct Tables<'a> {
    module: Module,
    context: LLVMContextRef,
    plan: &'a Plan,
    cells: HashMap<Value, Value>,
    libraries: Libraries,
    /// What must survive although nothing in the module refers to it.
    kept: Vec<Value>,
    /// What must also survive the linker.
    retained: Vec<Value>,
}

impl<'a> Tables<'a> {
    pub(super) fn new(module: Module, plan: &'a Plan) -> Self {
        let context = llvm!(LLVMGetModuleContext(module.0));
        let libraries = if plan.chosen.is_empty() {
            Libraries::default()
        } else {
            Libraries::of(module)
        };
        let (kept, retained) = (Vec::new(), Vec::new());
        Self {
            module,
            context,
            plan,
            cells: HashMap::new(),
            libraries,
            kept,
            retained,
        }
    }

    /// Lays down everything about one switchable function.
    pub(super) fn describe(&mut self, function: &Switchable<'_>, by_name: &HashMap<&str, Switchable<'_>>) {
        let anchors = self.anchors(function, by_name);
        let Some((blob, hash)) = self.blob(function, &anchors) else {
            return;
        };
        let owner = function.body;
        let anchor_count = anchors.len() as u32;
        let anchor_table = self.anchor_table(owner, &anchors);
        let blob_length = blob.len() as u32;
        let blob = self.bytes(owner, BLOBS_SECTION, 8, &blob);
        let name_length = function.chosen.name.len() as u32;
        let name = self.bytes(owner, NAMES_SECTION, 1, function.chosen.name.as_bytes());
        let has_stub = function.symbol != function.body;
        let may_unwind = !owner.has_attribute("nounwind");
        let flags = if has_stub { HAS_STUB } else { 0 } | if may_unwind { MAY_UNWIND } else { 0 };
        let [half, word] = [16, 32].map(|bits| llvm!(LLVMIntTypeInContext(self.context, bits)));
        let number = |value: u32| llvm!(LLVMConstInt(word, value.into(), 0));
        let short = |value: u16| llvm!(LLVMConstInt(half, value.into(), 0));
        let hash_bytes = self.byte_array(&hash.0);
        let fields = [half, half, word, word, word, word, word, word, word, word, word];
        let fields: Vec<_> = fields
            .into_iter()
            .chain([llvm!(LLVMTypeOf(hash_bytes)), word, word])
            .collect();
        let record = self.table(owner, FUNCTIONS_SECTION, 8, self.structure(&fields));
        let refer = |field: u32, target: Value| self.reference(record, field, target);
        let stub = if has_stub {
            refer(12, self.own_place(function.symbol))
        } else {
            number(0)
        };
        let values = [
            short(SECTION_VERSION),
            short(flags),
            refer(2, function.body),
            refer(3, function.slot),
            refer(4, anchor_table),
            number(anchor_count),
            refer(6, blob),
            number(blob_length),
            refer(8, name),
            number(name_length),
            number(function.chosen.instructions),
            hash_bytes,
            stub,
            number(arguments::layout(owner).0),
        ];
        self.fill(record, values.to_vec());
        self.kept.push(function.slot);
    }

    /// Records what is not switchable.
    pub(super) fn refuse(&mut self, refused: &[(String, RefusalReason)], file_reasons: &[RefusalReason]) {
        for (name, reason) in refused {
            let record = Refusal {
                name,
                reason: *reason,
            }
            .to_bytes();
            match llvm::global(self.module, name).filter(|found| !found.is_declaration()) {
                Some(owner) => _ = self.bytes(owner, REFUSED_SECTION, 8, &record),
                None => self.retain(&record),
            }
        }
        let mut length = 0;
        let source = llvm!(LLVMGetSourceFileName(self.module.0, &raw mut length));
        let source = llvm::text(source, length);
        let has_code = llvm::functions(self.module).any(|function| !function.is_declaration());
        for reason in file_reasons.iter().filter(|_| has_code) {
            let record = Refusal {
                name: &source,
                reason: *reason,
            }
            .to_bytes();
            if reason.leaves_file_alone() {
                note_beside(self.module, &record);
            } else {
                self.retain(&record);
            }
        }
    }

    /// Makes the tables survive until they are in the object.
    pub(super) fn finish(self) {
        add_to_list(self.module, c"llvm.compiler.used", &self.kept);
        add_to_list(self.module, c"llvm.used", &self.retained);
    }

    fn anchors(&mut self, function: &Switchable<'_>, by_name: &HashMap<&str, Switchable<'_>>) -> Vec<Anchor> {
        let name = function.chosen.name.clone();
        let mut anchors = vec![self.anchor(AnchorKind::Function, name.clone(), function.symbol, 0)];
        if function.direct {
            anchors.push(Anchor {
                kind: AnchorKind::Slot,
                flags: 0,
                name,
                target: function.slot,
            });
        }
        for symbol in &function.chosen.symbols {
            anchors.extend(self.symbol_anchor(symbol, function.body));
            if let Some(callee) = by_name.get(symbol.name.as_str()).filter(|callee| callee.direct) {
                let name = symbol.name.clone();
                anchors.push(Anchor {
                    kind: AnchorKind::Slot,
                    flags: 0,
                    name,
                    target: callee.slot,
                });
            }
        }
        let checked = library::behind_checks(self.module, &function.chosen.symbols);
        for library in self
            .libraries
            .called_by(self.module, function.body)
            .into_iter()
            .chain(checked)
        {
            let name = library.name();
            if !anchors.iter().any(|anchor| anchor.name == name) {
                anchors.push(self.anchor(AnchorKind::Function, name, library, 0));
            }
        }
        anchors
    }

    /// The anchor of what a blob refers to; `None` where the base has dropped it and nothing else may stand in.
    fn symbol_anchor(&mut self, symbol: &Symbol, body: Value) -> Option<Anchor> {
        let kind = if symbol.is_function {
            AnchorKind::Function
        } else {
            AnchorKind::Data
        };
        let name = symbol.name.clone();
        let found = llvm::global(self.module, &name);
        let in_use = |value: &Value| !is_outside(*value) || value.use_count() > 0;
        if symbol.is_thread_local {
            let target = threads::accessor(self.module, found.filter(in_use)?, body);
            return Some(Anchor {
                kind: AnchorKind::ThreadLocal,
                flags: 0,
                name,
                target,
            });
        }
        if let Some(value) = found.filter(in_use) {
            let weak = value.linkage() == LLVMLinkage::LLVMExternalWeakLinkage;
            return Some(self.anchor(kind, name, value, if weak { ANCHOR_WEAK } else { 0 }));
        }
        // The base no longer refers to it, so the link must not come to depend on it: a weak reference. Not for
        // library functions: code generation may call them by name, which a weak symbol would break.
        let declaration = match found {
            Some(value) => value,
            None if symbol.is_outside => self.declare(symbol),
            None => return None,
        };
        if declaration.is_function() && declaration.is_library_function() {
            return None;
        }
        declaration.set_linkage(LLVMLinkage::LLVMExternalWeakLinkage);
        declaration.set_dso_local(false);
        Some(self.anchor(kind, name, declaration, ANCHOR_WEAK))
    }

    fn declare(&self, symbol: &Symbol) -> Value {
        let name = c_name(&symbol.name);
        if symbol.is_function {
            return Value(llvm!(LLVMAddFunction(
                self.module.0,
                name.as_ptr(),
                symbol.value_type
            )));
        }
        Value(llvm!(LLVMAddGlobal(
            self.module.0,
            symbol.value_type,
            name.as_ptr()
        )))
    }

    fn anchor(&mut self, kind: AnchorKind, name: String, value: Value, flags: u8) -> Anchor {
        if !is_outside(value) && value.is_dso_local() {
            return Anchor {
                kind,
                flags,
                name,
                target: value,
            };
        }
        let target = self.cell(value);
        Anchor {
            kind,
            flags: flags | ANCHOR_INDIRECT,
            name,
            target,
        }
    }

    /// A constant that holds the address of `value`. A relative reference to such a constant, where nobody
    /// cares for its own address, is what LLVM makes a reference to the global offset table.
    fn cell(&mut self, value: Value) -> Value {
        if let Some(cell) = self.cells.get(&value) {
            return *cell;
        }
        let cell = Value(llvm!(LLVMAddGlobal(
            self.module.0,
            pointer_type(self.module),
            c"tidegate.cell".as_ptr()
        )));
        llvm!(LLVMSetInitializer(cell.0, value.0));
        llvm!(LLVMSetGlobalConstant(cell.0, 1));
        cell.set_linkage(LLVMLinkage::LLVMPrivateLinkage);
        cell.set_unnamed_address();
        self.cells.insert(value, cell);
        cell
    }

    fn anchor_table(&mut self, owner: Value, anchors: &[Anchor]) -> Value {
        let [byte, half, word] = [8, 16, 32].map(|bits| llvm!(LLVMIntTypeInContext(self.context, bits)));
        let fields: Vec<_> = anchors.iter().flat_map(|_| [word, byte, byte, half]).collect();
        let table = self.table(owner, ANCHORS_SECTION, 4, self.structure(&fields));
        let values = anchors.iter().enumerate().flat_map(|(index, anchor)| {
            [
                self.reference(table, index as u32 * 4, anchor.target),
                llvm!(LLVMConstInt(byte, anchor.kind as u64, 0)),
                llvm!(LLVMConstInt(byte, anchor.flags.into(), 0)),
                llvm!(LLVMConstInt(half, 0, 0)),
            ]
        });
        let values: Vec<_> = values.collect();
        self.fill(table, values);
        table
    }

    fn blob(&self, function: &Switchable<'_>, anchors: &[Anchor]) -> Option<(Vec<u8>, FunctionHash)> {
        let names = anchors.iter().map(|anchor| AnchorName {
            kind: anchor.kind,
            flags: anchor.flags,
            symbol: &anchor.name,
        });
        let names = name_table(&names.collect::<Vec<_>>()).ok()?;
        let bitcode = &function.chosen.bitcode;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&names).update(bitcode);
        let mut hash = FunctionHash::default();
        hash.0.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        let blob = Blob {
            optimisation_level: self.plan.level,
            size_level: self.plan.size_level,
            hash,
            anchor_count: anchors.len() as u32,
            names: &names,
            compressed: &llvm::compress(bitcode, COMPRESSION_LEVEL)?,
            bitcode_length: u32::try_from(bitcode.len()).ok()?,
        };
        Some((blob.to_bytes(), hash))
    }

    /// A constant of bytes in `section`, tied to `owner`.
    fn bytes(&mut self, owner: Value, section: &str, alignment: u32, bytes: &[u8]) -> Value {
        let array = self.byte_array(bytes);
        let table = self.table(owner, section, alignment, llvm!(LLVMTypeOf(array)));
        llvm!(LLVMSetInitializer(table.0, array));
        table
    }

    fn retain(&mut self, record: &[u8]) {
        let array = self.byte_array(record);
        let global = self.global(REFUSED_SECTION, 8, llvm!(LLVMTypeOf(array)));
        llvm!(LLVMSetInitializer(global.0, array));
        self.retained.push(global);
    }

    fn byte_array(&self, bytes: &[u8]) -> LLVMValueRef {
        llvm!(LLVMConstStringInContext2(
            self.context,
            bytes.as_ptr().cast(),
            bytes.len(),
            1
        ))
    }

    fn structure(&self, fields: &[LLVMTypeRef]) -> LLVMTypeRef {
        let mut fields = fields.to_vec();
        llvm!(LLVMStructTypeInContext(
            self.context,
            fields.as_mut_ptr(),
            fields.len() as u32,
            1
        ))
    }

    fn table(&mut self, owner: Value, section: &str, alignment: u32, content: LLVMTypeRef) -> Value {
        let table = self.global(section, alignment, content);
        associate(self.module, table, owner);
        table.join_comdat_of(owner);
        self.kept.push(table);
        table
    }

    fn global(&self, section: &str, alignment: u32, content: LLVMTypeRef) -> Value {
        let global = Value(llvm!(LLVMAddGlobal(
            self.module.0,
            content,
            c"tidegate.table".as_ptr()
        )));
        global.set_linkage(LLVMLinkage::LLVMPrivateLinkage);
        global.exempt_from_sanitizers();
        llvm!(LLVMSetGlobalConstant(global.0, 1));
        llvm!(LLVMSetAlignment(global.0, alignment));
        let section = c_name(section);
        llvm!(LLVMSetSection(global.0, section.as_ptr()));
        global
    }

    fn fill(&self, table: Value, mut values: Vec<LLVMValueRef>) {
        let count = values.len() as u32;
        let content = llvm!(LLVMConstStructInContext(
            self.context,
            values.as_mut_ptr(),
            count,
            1
        ));
        llvm!(LLVMSetInitializer(table.0, content));
    }

    /// A symbol for the function's code in this object, whoever else may define its name for the loader.
    fn own_place(&self, function: Value) -> Value {
        if function.is_dso_local() {
            return function;
        }
        let name = c_name(&format!("{}{BODY_SUFFIX}.stub", function.name()));
        let alias = llvm!(LLVMAddAlias2(
            self.module.0,
            function.value_type(),
            0,
            function.0,
            name.as_ptr()
        ));
        llvm!(LLVMSetLinkage(alias, LLVMLinkage::LLVMPrivateLinkage));
        Value(alias)
    }

    /// `target` relative to the field `field` of `table`, in 32 bits.
    fn reference(&self, table: Value, field: u32, target: Value) -> LLVMValueRef {
        let [word, wide] = [32, 64].map(|bits| llvm!(LLVMIntTypeInContext(self.context, bits)));
        let mut indices = [0, field].map(|index| llvm!(LLVMConstInt(word, index.into(), 0)));
        let place = llvm!(LLVMConstInBoundsGEP2(
            table.value_type(),
            table.0,
            indices.as_mut_ptr(),
            2
        ));
        let [from, to] = [place, target.0].map(|pointer| llvm!(LLVMConstPtrToInt(pointer, wide)));
        llvm!(LLVMConstTrunc(LLVMConstSub(to, from), word))
    }
}

/// Adds a record to a section that is not loaded, so that the file's image in memory is as without us.
fn note_beside(module: Module, record: &[u8]) {
    let triple = llvm::c_text(llvm::CText(llvm!(LLVMGetTarget(module.0))));
    // Other kinds of objects write their sections in other words.
    if !triple.contains("linux") && !triple.ends_with("elf") {
        return;
    }
    let bytes: Vec<_> = record.iter().map(u8::to_string).collect();
    let bytes = bytes.join(",");
    let text = format!(".section {REFUSED_SECTION},\"\"\n.p2align 3\n.byte {bytes}\n.text\n");
    llvm!(LLVMAppendModuleInlineAsm(
        module.0,
        text.as_ptr().cast(),
        text.len()
    ));
}

/// Whether the value's definition is not in this object.
fn is_outside(value: Value) -> bool {
    value.is_declaration() || value.linkage() == LLVMLinkage::LLVMAvailableExternallyLinkage
}

/// Appends to one of the two lists of globals that must not be dropped.
fn add_to_list(module: Module, list: &std::ffi::CStr, globals: &[Value]) {
    if globals.is_empty() {
        return;
    }
    let mut entries: Vec<LLVMValueRef> = Vec::new();
    if let Some(existing) = Value::from_raw(llvm!(LLVMGetNamedGlobal(module.0, list.as_ptr()))) {
        entries.extend(
            existing
                .initializer()
                .into_iter()
                .flat_map(Value::operands)
                .map(|value| value.0),
        );
        llvm!(LLVMDeleteGlobal(existing.0));
    }
    entries.extend(globals.iter().map(|value| value.0));
    let pointer = pointer_type(module);
    let array = llvm!(LLVMConstArray2(
        pointer,
        entries.as_mut_ptr(),
        entries.len() as u64
    ));
    let global = Value(llvm!(LLVMAddGlobal(module.0, LLVMTypeOf(array), list.as_ptr())));
    global.set_linkage(LLVMLinkage::LLVMAppendingLinkage);
    llvm!(LLVMSetInitializer(global.0, array));
    llvm!(LLVMSetSection(global.0, c"llvm.metadata".as_ptr()));
}

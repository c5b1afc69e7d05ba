//! Ties a variant to its base, after the last pass over its IR: what it calls and reads is the base's own.
//!
//! The body kept its own name until now (renamed earlier, a user's `memset` would become a call of itself). Now
//! it gives the name back: whoever takes the function's address, in the variant too, means the base's symbol.
//! Calls of switchable functions, its own included, go through their slots as in the base.

use llvm_sys::LLVMLinkage;
use llvm_sys::LLVMVisibility;
use llvm_sys::core::*;
use std::collections::HashMap;
use std::ffi::CString;
use tidegate_format::blob::AnchorName;
use tidegate_format::request::{CompileError, CompileErrorKind};
use tidegate_format::section::{ANCHOR_INDIRECT, AnchorKind, BODY_SUFFIX};
use tidegate_partition::llvm::{Module, Value};
use tidegate_partition::{emit, llvm};

/// Start of the symbols that stand for slots in a variant's object.
pub(crate) const SLOT_PREFIX: &str = "tidegate.slot.";
/// Start of the symbols that stand for the base's ways to thread-local variables.
const THREAD_PREFIX: &str = "tidegate.thread.";

/// The anchors of a function by the symbol that stands for them in its object.
pub(crate) struct Anchors<'a> {
    names: Vec<AnchorName<'a>>,
    by_symbol: HashMap<String, u32>,
}

impl<'a> Anchors<'a> {
    /// Orders a blob's name table.
    pub(crate) fn new(names: Vec<AnchorName<'a>>) -> Self {
        let symbol = |name: &AnchorName<'_>| match name.kind {
            AnchorKind::Slot => format!("{SLOT_PREFIX}{}", name.symbol),
            AnchorKind::ThreadLocal => format!("{THREAD_PREFIX}{}", name.symbol),
            // A leading 1 says that the rest is the symbol to the letter.
            AnchorKind::Function | AnchorKind::Data => name.symbol.trim_start_matches('\u{1}').to_owned(),
        };
        let by_symbol = names
            .iter()
            .enumerate()
            .map(|(index, name)| (symbol(name), index as u32))
            .collect();
        Self { names, by_symbol }
    }

    /// The function's own name.
    pub(crate) fn root(&self) -> Option<&'a str> {
        self.names.first().map(|name| name.symbol)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.names.len() as u32
    }

    /// The index and name of what a symbol of the object stands for.
    pub(crate) fn find(&self, symbol: &str) -> Option<(u32, AnchorName<'a>)> {
        let index = *self.by_symbol.get(symbol)?;
        Some((index, *self.names.get(index as usize)?))
    }
}

/// Ties the module around `root` to its base. Gives the symbol of the variant's body.
pub(crate) fn bind(module: Module, root: Value, anchors: &Anchors<'_>) -> Result<String, CompileError> {
    refuse_writable_data(module)?;
    let name = root.name();
    let callees: Vec<_> = llvm::functions(module).collect();
    for callee in callees {
        divert_to_slot(module, callee, anchors);
    }
    give_name_back(module, root, &name);
    for global in llvm::functions(module).chain(llvm::variables(module)) {
        if global.is_declaration() {
            place(global, anchors);
        }
    }
    // Code generation's own calls (memcpy) also go through cells: their targets may be far.
    let flag = "RtLibUseGOT";
    let one = llvm!(LLVMConstInt(
        LLVMInt32TypeInContext(LLVMGetModuleContext(module.0)),
        1,
        0
    ));
    llvm!(LLVMAddModuleFlag(
        module.0,
        llvm_sys::LLVMModuleFlagBehavior::LLVMModuleFlagBehaviorOverride,
        flag.as_ptr().cast(),
        flag.len(),
        LLVMValueAsMetadata(one)
    ));
    Ok(root.name())
}

/// Replaces every question for a thread's copy of a variable by a call of the base's answer, before the first pass.
/// The answer is the same all through a call of the function, as that of the intrinsic is.
pub(crate) fn ask_base_for_thread_locals(module: Module) {
    let variables: Vec<_> = llvm::variables(module)
        .filter(|variable| variable.is_thread_local())
        .collect();
    for variable in variables {
        let asking: Vec<_> = variable
            .users()
            .into_iter()
            .filter(|user| user.thread_local_asked_for() == Some(variable))
            .collect();
        if asking.is_empty() {
            continue;
        }
        let answer = thread_local_answer(module, variable);
        for call in asking {
            let builder = llvm!(LLVMCreateBuilderInContext(LLVMGetModuleContext(module.0)));
            llvm!(LLVMPositionBuilderBefore(builder, call.0));
            let address = llvm!(LLVMBuildCall2(
                builder,
                answer.value_type(),
                answer.0,
                std::ptr::null_mut(),
                0,
                c"".as_ptr()
            ));
            llvm!(LLVMDisposeBuilder(builder));
            llvm!(LLVMReplaceAllUsesWith(call.0, address));
            llvm!(LLVMInstructionEraseFromParent(call.0));
        }
    }
}

fn thread_local_answer(module: Module, variable: Value) -> Value {
    let signature = llvm!(LLVMFunctionType(
        LLVMTypeOf(variable.0),
        std::ptr::null_mut(),
        0,
        0
    ));
    let name = CString::new(format!("{THREAD_PREFIX}{}", variable.name())).unwrap_or_default();
    let answer = Value(llvm!(LLVMAddFunction(module.0, name.as_ptr(), signature)));
    for attribute in ["nounwind", "willreturn", "nosync", "nofree", "nocallback"] {
        answer.add_attribute(attribute);
    }
    answer.set_no_memory();
    answer
}

fn refuse_writable_data(module: Module) -> Result<(), CompileError> {
    let owned = llvm::variables(module).filter(|variable| !variable.is_declaration());
    let writable = owned.into_iter().find(|variable| {
        let elsewhere = variable.linkage() == LLVMLinkage::LLVMAvailableExternallyLinkage;
        !elsewhere && (!variable.is_constant_variable() || variable.is_thread_local())
    });
    match writable {
        Some(variable) => Err(CompileError {
            kind: CompileErrorKind::WritableData,
            detail: variable.name(),
        }),
        None => Ok(()),
    }
}

/// Sends direct calls of `callee` through its slot, where it has one.
fn divert_to_slot(module: Module, callee: Value, anchors: &Anchors<'_>) {
    let symbol = format!("{SLOT_PREFIX}{}", callee.name());
    if anchors.find(&symbol).is_none() {
        return;
    }
    let calls: Vec<_> = callee
        .users()
        .into_iter()
        .filter(|user| user.is_direct_call_of(callee))
        .collect();
    if calls.is_empty() {
        return;
    }
    let name = CString::new(symbol).unwrap_or_default();
    let slot = Value(llvm!(LLVMAddGlobal(
        module.0,
        emit::pointer_type(module),
        name.as_ptr()
    )));
    for call in calls {
        emit::divert_call(module, call, callee, slot);
    }
}

fn give_name_back(module: Module, root: Value, name: &str) {
    let uses = root.use_count() > 0;
    root.set_name(&format!("{name}{BODY_SUFFIX}"));
    if !uses {
        return;
    }
    let symbol = CString::new(name).unwrap_or_default();
    let base = llvm!(LLVMAddFunction(module.0, symbol.as_ptr(), root.value_type()));
    llvm!(LLVMSetFunctionCallConv(base, LLVMGetFunctionCallConv(root.0)));
    llvm!(LLVMReplaceAllUsesWith(root.0, base));
}

/// Says where a declaration's symbol is: near (in the base's link image) or behind a cell.
fn place(global: Value, anchors: &Anchors<'_>) {
    let near = anchors
        .find(&global.name())
        .is_some_and(|(_, name)| name.flags & ANCHOR_INDIRECT == 0);
    llvm!(LLVMSetVisibility(global.0, LLVMVisibility::LLVMDefaultVisibility));
    global.set_dso_local(near);
    if global.is_function() && !near {
        global.add_attribute("nonlazybind");
    }
}

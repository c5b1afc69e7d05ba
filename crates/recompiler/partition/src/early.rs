//! The early moment: choose functions and take their blobs, without touching the base, but for long loops, which become
//! functions first (see [`loops`]), and for the rounding of products and sums, which is settled (see [`fused`]).
//!
//! Debug information is left out of blobs (a blob with it is ten times as large), so where the file has some,
//! the blobs are split from a stripped copy of the module.

use crate::fused;
use crate::llvm;
use crate::llvm::{Module, Value};
use crate::loops;
use crate::options::Options;
use crate::select::{self, Verdict};
use llvm_sys::LLVMLinkage;
use llvm_sys::analysis::{LLVMVerifierFailureAction, LLVMVerifyModule};
use llvm_sys::bit_writer::LLVMWriteBitcodeToMemoryBuffer;
use llvm_sys::core::*;
use llvm_sys::debuginfo::LLVMStripModuleDebugInfo;
use llvm_sys::prelude::*;
use std::collections::HashMap;
use tidegate_format::section::RefusalReason;

/// What the early moment leaves for the last one.
#[derive(Debug, Default)]
pub struct Plan {
    /// Optimisation level of the file, 0 to 3.
    pub level: u8,
    /// 1 for -Os, 2 for -Oz.
    pub size_level: u8,
    /// Functions to make switchable, in the module's order.
    pub chosen: Vec<Chosen>,
    /// Functions that were wanted and cannot be: name and reason.
    pub refused: Vec<(String, RefusalReason)>,
    /// Reasons and notes for the whole file.
    pub file_reasons: Vec<RefusalReason>,
}

/// One function to make switchable.
#[derive(Debug)]
pub struct Chosen {
    /// The function's symbol.
    pub name: String,
    /// Its type when the blob was taken.
    pub signature: LLVMTypeRef,
    /// Its calling convention when the blob was taken.
    pub convention: u32,
    /// LLVM instructions when the blob was taken.
    pub instructions: u32,
    /// The bitcode of its module.
    pub bitcode: Vec<u8>,
    /// The symbols that the bitcode may come to refer to, in the order of its module, the root left out.
    pub symbols: Vec<Symbol>,
}

/// A symbol that a blob refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its name, in the base and in the blob.
    pub name: String,
    /// Its type in the blob, to declare it again where the base has dropped it.
    pub value_type: LLVMTypeRef,
    /// A function, else a variable.
    pub is_function: bool,
    /// A variable that each thread has one of.
    pub is_thread_local: bool,
    /// Whether the base had no definition of it either.
    pub is_outside: bool,
}

/// Chooses functions and takes their blobs.
pub fn plan(module: Module, level: u32, size_level: u32, options: &Options) -> Plan {
    let mut plan = Plan {
        level: level.min(3) as u8,
        size_level: size_level.min(2) as u8,
        file_reasons: options.file_reasons.clone(),
        ..Plan::default()
    };
    plan.file_reasons.extend(select::file_refusal(module));
    plan.file_reasons
        .extend((level == 0).then_some(RefusalReason::FileNotOptimised));
    if plan.file_reasons.iter().any(|reason| reason.leaves_file_alone()) {
        return plan;
    }
    let extracted = loops::extract(module, &options.selection);
    let resolvers = select::ifunc_resolvers(module);
    let mut wanted = Vec::new();
    for function in llvm::functions(module) {
        match select::judge(function, &options.selection, &extracted, &resolvers) {
            Verdict::Take { instructions } => wanted.push((function, instructions)),
            Verdict::Refuse(reason) => plan.refused.push((function.name(), reason)),
            Verdict::Leave => {}
        }
    }
    if !wanted.is_empty() {
        fused::settle_fused_operations(module);
        take_blobs(module, &wanted, &mut plan);
    }
    plan
}

fn take_blobs(module: Module, wanted: &[(Value, u32)], plan: &mut Plan) {
    let copy = stripped_copy(module);
    let source = copy.unwrap_or(module);
    let mut inlinable = HashMap::new();
    for &(function, instructions) in wanted {
        let name = function.name();
        let Some(root) = llvm::global(source, &name) else {
            plan.refused.push((name, RefusalReason::SplitFailed));
            continue;
        };
        match split_off(source, root, &mut inlinable) {
            Some((bitcode, symbols)) => plan.chosen.push(Chosen {
                signature: function.value_type(),
                convention: llvm!(LLVMGetFunctionCallConv(function.0)),
                name,
                instructions,
                bitcode,
                symbols,
            }),
            None => plan.refused.push((name, RefusalReason::SplitFailed)),
        }
    }
    if let Some(copy) = copy {
        llvm!(LLVMDisposeModule(copy.0));
    }
}

/// A copy of the module without debug information, where there is any.
fn stripped_copy(module: Module) -> Option<Module> {
    let version = select::module_flag(module, "Debug Info Version");
    version.filter(|version| *version > 0)?;
    let copy = Module(llvm!(LLVMCloneModule(module.0)));
    llvm!(LLVMStripModuleDebugInfo(copy.0));
    Some(copy)
}

/// The module around `root` as bitcode, and what it refers to. `inlinable` remembers verdicts on callees.
fn split_off(
    source: Module,
    root: Value,
    inlinable: &mut HashMap<Value, bool>,
) -> Option<(Vec<u8>, Vec<Symbol>)> {
    let mut decide = |value: Value, depth: u32| {
        if value.is_function() {
            let fits = *inlinable
                .entry(value)
                .or_insert_with(|| select::may_inline(value, 0));
            return fits && depth < select::INLINED_DEPTH_MAX;
        }
        select::may_know(value)
    };
    let part = llvm::split(root, &mut decide);
    let result = describe(source, part, &root.name());
    llvm!(LLVMDisposeModule(part.0));
    result
}

fn describe(source: Module, part: Module, root_name: &str) -> Option<(Vec<u8>, Vec<Symbol>)> {
    let root = llvm::global(part, root_name)?;
    // LLVM must not turn a user's own `memset` into a call of memset.
    if root.is_library_function() {
        root.set_string_attribute("no-builtins", "");
    }
    let mut message = std::ptr::null_mut();
    let action = LLVMVerifierFailureAction::LLVMReturnStatusAction;
    let broken = llvm!(LLVMVerifyModule(part.0, action, &raw mut message)) != 0;
    llvm!(LLVMDisposeMessage(message));
    if broken {
        return None;
    }
    let referred = llvm::functions(part).chain(llvm::variables(part));
    let referred = referred.filter(|value| *value != root && is_symbol(*value));
    let symbols = referred.map(|value| Symbol {
        name: value.name(),
        value_type: value.value_type(),
        is_function: value.is_function(),
        is_thread_local: value.is_thread_local(),
        is_outside: llvm::global(source, &value.name()).is_none_or(is_outside),
    });
    let symbols = symbols.collect();
    let bitcode = llvm::buffer_bytes(llvm::Buffer(llvm!(LLVMWriteBitcodeToMemoryBuffer(part.0))))?;
    Some((bitcode, symbols))
}

fn is_outside(value: Value) -> bool {
    value.is_declaration() || value.linkage() == LLVMLinkage::LLVMAvailableExternallyLinkage
}

/// Whether the linker would see the value: intrinsics, tunables' readers and what is private are not symbols.
fn is_symbol(value: Value) -> bool {
    let outside = [
        LLVMLinkage::LLVMExternalLinkage,
        LLVMLinkage::LLVMExternalWeakLinkage,
        LLVMLinkage::LLVMAvailableExternallyLinkage,
    ];
    let name = value.name();
    outside.contains(&value.linkage()) && !name.starts_with("llvm.") && name != crate::tunables::READER
}

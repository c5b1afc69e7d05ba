//! The last moment: calls become calls through slots, and the tables are laid down.
//!
//! No pass over the IR runs after this that could hoist a slot's load or fold it away. The order matters:
//! slots first, then calls, then stubs (which take over every use that is left), then tables (which refer to
//! what symbols mean *after* the stubs took their names).

mod library;
mod tables;
mod threads;

use crate::early::{Chosen, Plan};
use crate::llvm;
use crate::llvm::{Module, Value};
use llvm_sys::core::*;
use llvm_sys::prelude::*;
use llvm_sys::{LLVMAtomicOrdering, LLVMInlineAsmDialect, LLVMLinkage, LLVMVisibility};
use std::collections::HashMap;
use std::ffi::CString;
use tidegate_format::section::{BODY_SUFFIX, RefusalReason, SLOTS_SECTION};

/// A switchable function in the base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switchable<'a> {
    /// What was planned.
    pub(crate) chosen: &'a Chosen,
    /// The body.
    pub(crate) body: Value,
    /// The cell.
    pub(crate) slot: Value,
    /// What the function's symbol stands for: the stub, or the body where there is none.
    pub(crate) symbol: Value,
    /// Whether callers in this object may take the slot: nobody can replace the function when linking.
    pub(crate) direct: bool,
}

/// Lays everything down.
pub fn emit(module: Module, plan: &Plan) {
    let mut refused = plan.refused.clone();
    let mut switchable = Vec::new();
    for chosen in &plan.chosen {
        match find_body(module, chosen) {
            Ok(Some(body)) => switchable.push(add_slot(module, chosen, body)),
            Ok(None) => {}
            Err(reason) => refused.push((chosen.name.clone(), reason)),
        }
    }
    for function in switchable.iter().filter(|function| function.direct) {
        divert_calls(module, function);
    }
    for function in &mut switchable {
        function.symbol = add_stub(module, function);
        llvm!(LLVMSetInitializer(function.slot.0, function.body.0));
    }
    let mut tables = tables::Tables::new(module, plan);
    let by_name: HashMap<&str, Switchable<'_>> = switchable
        .iter()
        .map(|function| (function.chosen.name.as_str(), *function))
        .collect();
    for function in &switchable {
        tables.describe(function, &by_name);
    }
    tables.refuse(&refused, &plan.file_reasons);
    tables.finish();
}

/// The function's body as it is now; `None` where every call of it was inlined and it is gone.
fn find_body(module: Module, chosen: &Chosen) -> Result<Option<Value>, RefusalReason> {
    let Some(body) = llvm::global(module, &chosen.name).filter(|found| found.is_function()) else {
        return Ok(None);
    };
    if body.is_declaration() {
        return Ok(None);
    }
    let same =
        body.value_type() == chosen.signature && llvm!(LLVMGetFunctionCallConv(body.0)) == chosen.convention;
    if same {
        Ok(Some(body))
    } else {
        Err(RefusalReason::SignatureChanged)
    }
}

fn add_slot(module: Module, chosen: &Chosen, body: Value) -> Switchable<'_> {
    let pointer = pointer_type(module);
    let name = c_name(&format!("{}{BODY_SUFFIX}.slot", chosen.name));
    let slot = Value(llvm!(LLVMAddGlobal(module.0, pointer, name.as_ptr())));
    llvm!(LLVMSetInitializer(slot.0, LLVMConstNull(pointer)));
    slot.set_linkage(LLVMLinkage::LLVMInternalLinkage);
    // Somebody outside of the compiler's sight writes it.
    llvm!(LLVMSetExternallyInitialized(slot.0, 1));
    llvm!(LLVMSetAlignment(slot.0, 8));
    if body.has_comdat() {
        // Kept or dropped with the function, in favour of another object's.
        slot.join_comdat_of(body);
        slot.set_section(&c_name(SLOTS_SECTION));
    } else {
        // Not tied to the body: where the linker folds two equal bodies into one, both slots must stay.
        slot.set_own_section(module, &c_name(SLOTS_SECTION));
    }
    // What is in a group may come from another object when linked, even from one without a slot: only the
    // function's own symbol leads there.
    let replaceable = body.has_comdat() || body.is_interposable();
    let direct = body.is_local() || (body.is_dso_local() && !replaceable);
    Switchable {
        chosen,
        body,
        slot,
        symbol: body,
        direct,
    }
}

/// Makes every direct call of the function a call of what its slot holds.
fn divert_calls(module: Module, function: &Switchable<'_>) {
    let body = function.body;
    let calls: Vec<_> = body
        .users()
        .into_iter()
        .filter(|user| user.is_direct_call_of(body))
        .collect();
    for call in calls {
        let guaranteed = llvm_sys::LLVMTailCallKind::LLVMTailCallKindMustTail;
        if !call.is_call() || llvm!(LLVMGetTailCallKind(call.0)) != guaranteed {
            divert_call(module, call, body, function.slot);
        }
    }
}

/// Makes `call` take its target from `slot` right before it, and keeps what only the callee's declaration said.
pub fn divert_call(module: Module, call: Value, callee: Value, slot: Value) {
    let context = llvm!(LLVMGetModuleContext(module.0));
    let builder = llvm!(LLVMCreateBuilderInContext(context));
    llvm!(LLVMPositionBuilderBefore(builder, call.0));
    let load = llvm!(LLVMBuildLoad2(
        builder,
        pointer_type(module),
        slot.0,
        c"".as_ptr()
    ));
    llvm!(LLVMSetOrdering(
        load,
        LLVMAtomicOrdering::LLVMAtomicOrderingUnordered
    ));
    llvm!(LLVMSetAlignment(load, 8));
    llvm!(LLVMDisposeBuilder(builder));
    let operands = llvm!(LLVMGetNumOperands(call.0)) as u32;
    llvm!(LLVMSetOperand(call.0, operands - 1, load));
    for name in ["noreturn", "nounwind", "cold"]
        .into_iter()
        .filter(|name| callee.has_attribute(name))
    {
        call.add_call_attribute(name);
    }
}

/// Gives the function's name to a stub that jumps through the slot, where anybody may come by that name or by
/// its address; the body goes on under another name. Gives what the name stands for afterwards.
fn add_stub(module: Module, function: &Switchable<'_>) -> Value {
    let body = function.body;
    if body.is_local() && body.use_count() == 0 {
        return body;
    }
    let context = llvm!(LLVMGetModuleContext(module.0));
    let stub = Value(llvm!(LLVMAddFunction(
        module.0,
        c"".as_ptr(),
        function.chosen.signature
    )));
    let (linkage, visibility) = (body.linkage(), llvm!(LLVMGetVisibility(body.0)));
    llvm!(LLVMSetFunctionCallConv(stub.0, function.chosen.convention));
    llvm!(LLVMSetUnnamedAddress(stub.0, LLVMGetUnnamedAddress(body.0)));
    stub.set_linkage(linkage);
    stub.join_comdat_of(body);
    llvm!(LLVMSetVisibility(stub.0, visibility));
    let local = body.is_dso_local();
    stub.add_attribute("naked");
    stub.add_attribute("noinline");
    copy_attributes(body, stub);
    llvm!(LLVMReplaceAllUsesWith(body.0, stub.0));
    body.set_name(&format!("{}{BODY_SUFFIX}", function.chosen.name));
    stub.set_name(&function.chosen.name);
    llvm!(LLVMSetVisibility(body.0, LLVMVisibility::LLVMDefaultVisibility));
    body.set_linkage(LLVMLinkage::LLVMInternalLinkage);
    body.set_dso_local(true);
    stub.set_dso_local(local);
    build_jump(context, stub, function.slot);
    stub
}

/// What the body says about its own code holds for a function that is made beside it.
fn copy_attributes(body: Value, stub: Value) {
    for name in ["nounwind", "uwtable", "nocf_check"] {
        let kind = llvm!(LLVMGetEnumAttributeKindForName(name.as_ptr().cast(), name.len()));
        let attribute = llvm!(LLVMGetEnumAttributeAtIndex(
            body.0,
            llvm::FUNCTION_ATTRIBUTES,
            kind
        ));
        if !attribute.is_null() {
            llvm!(LLVMAddAttributeAtIndex(
                stub.0,
                llvm::FUNCTION_ATTRIBUTES,
                attribute
            ));
        }
    }
    for name in ["target-cpu", "target-features", "tune-cpu"] {
        if let Some(value) = body.string_attribute(name) {
            stub.set_string_attribute(name, &value);
        }
    }
}

fn build_jump(context: LLVMContextRef, stub: Value, slot: Value) {
    let block = llvm!(LLVMAppendBasicBlockInContext(context, stub.0, c"".as_ptr()));
    let builder = llvm!(LLVMCreateBuilderInContext(context));
    llvm!(LLVMPositionBuilderAtEnd(builder, block));
    let mut parameter = llvm!(LLVMTypeOf(slot.0));
    let signature = llvm!(LLVMFunctionType(
        LLVMVoidTypeInContext(context),
        &raw mut parameter,
        1,
        0
    ));
    let (code, constraint) = ("jmp *${0:c}(%rip)", "s");
    let jump = llvm!(LLVMGetInlineAsm(
        signature,
        code.as_ptr().cast(),
        code.len(),
        constraint.as_ptr().cast(),
        constraint.len(),
        1,
        0,
        LLVMInlineAsmDialect::LLVMInlineAsmDialectATT,
        0
    ));
    let mut argument = slot.0;
    llvm!(LLVMBuildCall2(
        builder,
        signature,
        jump,
        &raw mut argument,
        1,
        c"".as_ptr()
    ));
    llvm!(LLVMBuildUnreachable(builder));
    llvm!(LLVMDisposeBuilder(builder));
}

/// Ties a global's section to the section of `owner`: kept when linking exactly as long as it is.
pub(crate) fn associate(module: Module, global: Value, owner: Value) {
    let context = llvm!(LLVMGetModuleContext(module.0));
    let kind = llvm!(LLVMGetMDKindIDInContext(context, c"associated".as_ptr(), 10));
    let mut operand = llvm!(LLVMValueAsMetadata(owner.0));
    let node = llvm!(LLVMMDNodeInContext2(context, &raw mut operand, 1));
    llvm!(LLVMGlobalSetMetadata(global.0, kind, node));
}

/// The type of pointers.
pub fn pointer_type(module: Module) -> LLVMTypeRef {
    llvm!(LLVMPointerTypeInContext(LLVMGetModuleContext(module.0), 0))
}

/// The name for C; a name with a zero byte (which no assembler takes) becomes empty.
pub(crate) fn c_name(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}

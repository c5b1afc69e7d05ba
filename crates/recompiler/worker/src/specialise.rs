//! Specialisation: the body as it is where arguments have the values that they nearly always had, behind a guard.
//!
//! The variant begins with a comparison of the arguments with the assumed values. Where all hold, the body goes on
//! with constants in their place; where one does not, the base's body is called with everything as it came. So an
//! assumption that is wrong costs time, never a result.
//!
//! Constants are named by the register that the argument travels in, for that is what was observed. Which parameter
//! that is follows from the signature, as far as it is made of integers, pointers and floating point; behind the first
//! parameter of another kind, nothing is assumed. Pointers are never assumed: they differ by process.

use llvm_sys::LLVMTailCallKind::LLVMTailCallKindMustTail;
use llvm_sys::core::*;
use llvm_sys::prelude::*;
use llvm_sys::{LLVMIntPredicate, LLVMTypeKind};
use tidegate_format::request::Constant;
use tidegate_partition::arguments::{Argument, arguments};
use tidegate_partition::llvm;
use tidegate_partition::llvm::{Module, Value};

/// The symbol that stands for the base's body, whatever the slot leads to.
pub(crate) const BASE_BODY: &str = "tidegate.base";

/// An assumption on one parameter.
struct Assumption {
    parameter: Value,
    value: u64,
}

/// Puts the assumed constants into `root`. Gives how many of them stand for a parameter that is used.
pub(crate) fn specialise(module: Module, root: Value, constants: &[Constant]) -> usize {
    let assumptions = assumptions(root, constants);
    if assumptions.is_empty() {
        return 0;
    }
    let context = llvm!(LLVMGetModuleContext(module.0));
    let old = llvm!(LLVMGetEntryBasicBlock(root.0));
    let guard = llvm!(LLVMInsertBasicBlockInContext(context, old, c"guard".as_ptr()));
    let base = llvm!(LLVMAppendBasicBlockInContext(context, root.0, c"base".as_ptr()));
    let builder = llvm!(LLVMCreateBuilderInContext(context));
    llvm!(LLVMPositionBuilderAtEnd(builder, guard));
    let holds = build_guard(context, builder, &assumptions);
    llvm!(LLVMBuildCondBr(builder, holds, old, base));
    llvm!(LLVMPositionBuilderAtEnd(builder, base));
    build_base_call(module, root, builder);
    llvm!(LLVMDisposeBuilder(builder));
    move_allocations(guard, old);
    for assumption in &assumptions {
        assume(root, assumption, [guard, base]);
    }
    assumptions.len()
}

/// The parameters that the constants stand for, as far as they are known and used.
fn assumptions(root: Value, constants: &[Constant]) -> Vec<Assumption> {
    let assumption = |argument: Argument| {
        let constant = constants
            .iter()
            .find(|constant| constant.register == argument.register)?;
        Some(Assumption {
            parameter: argument.parameter,
            value: constant.value,
        })
    };
    arguments(root).into_iter().filter_map(assumption).collect()
}

/// The integer type of a parameter's bits.
fn bits_type(context: LLVMContextRef, parameter: Value) -> LLVMTypeRef {
    let kind = llvm!(LLVMTypeOf(parameter.0));
    match llvm!(LLVMGetTypeKind(kind)) {
        LLVMTypeKind::LLVMFloatTypeKind => llvm!(LLVMInt32TypeInContext(context)),
        LLVMTypeKind::LLVMDoubleTypeKind => llvm!(LLVMInt64TypeInContext(context)),
        _ => kind,
    }
}

/// Whether every parameter has its value, bit for bit.
fn build_guard(context: LLVMContextRef, builder: LLVMBuilderRef, assumptions: &[Assumption]) -> LLVMValueRef {
    let mut holds = llvm!(LLVMConstInt(LLVMInt1TypeInContext(context), 1, 0));
    for assumption in assumptions {
        let bits = bits_type(context, assumption.parameter);
        let found = llvm!(LLVMBuildBitCast(
            builder,
            assumption.parameter.0,
            bits,
            c"".as_ptr()
        ));
        // Only the type's own bits count: what stands above them in the register is not defined.
        let wanted = llvm!(LLVMConstInt(bits, assumption.value, 0));
        let equal = llvm!(LLVMBuildICmp(
            builder,
            LLVMIntPredicate::LLVMIntEQ,
            found,
            wanted,
            c"".as_ptr()
        ));
        holds = llvm!(LLVMBuildAnd(builder, holds, equal, c"".as_ptr()));
    }
    holds
}

/// Hands everything over to the base's body, in the frame that was made for this call.
fn build_base_call(module: Module, root: Value, builder: LLVMBuilderRef) {
    let signature = root.value_type();
    let base = Value(llvm!(LLVMAddFunction(
        module.0,
        c"tidegate.base".as_ptr(),
        signature
    )));
    let convention = llvm!(LLVMGetFunctionCallConv(root.0));
    llvm!(LLVMSetFunctionCallConv(base.0, convention));
    let count = llvm!(LLVMCountParams(root.0));
    let mut arguments: Vec<_> = (0..count)
        .map(|index| llvm!(LLVMGetParam(root.0, index)))
        .collect();
    let call = llvm!(LLVMBuildCall2(
        builder,
        signature,
        base.0,
        arguments.as_mut_ptr(),
        count,
        c"".as_ptr()
    ));
    llvm!(LLVMSetInstructionCallConv(call, convention));
    copy_parameter_attributes(root, base, call, count);
    llvm!(LLVMSetTailCallKind(call, LLVMTailCallKindMustTail));
    let result = llvm!(LLVMGetReturnType(signature));
    if llvm!(LLVMGetTypeKind(result)) == LLVMTypeKind::LLVMVoidTypeKind {
        llvm!(LLVMBuildRetVoid(builder));
    } else {
        llvm!(LLVMBuildRet(builder, call));
    }
}

/// How arguments and result travel is said by their attributes.
fn copy_parameter_attributes(root: Value, base: Value, call: LLVMValueRef, count: u32) {
    for index in 0..=count {
        let length = llvm!(LLVMGetAttributeCountAtIndex(root.0, index)) as usize;
        let mut attributes: Vec<LLVMAttributeRef> = vec![std::ptr::null_mut(); length];
        llvm!(LLVMGetAttributesAtIndex(root.0, index, attributes.as_mut_ptr()));
        for attribute in attributes {
            llvm!(LLVMAddAttributeAtIndex(base.0, index, attribute));
            llvm!(LLVMAddCallSiteAttribute(call, index, attribute));
        }
    }
}

/// Frames are laid out once where their parts stand in the first block; what the base is handed over to must not
/// come by them, and does not: it gets only what came in.
fn move_allocations(guard: LLVMBasicBlockRef, old: LLVMBasicBlockRef) {
    let end = llvm!(LLVMGetBasicBlockTerminator(guard));
    let mut next = llvm!(LLVMGetFirstInstruction(old));
    while let Some(instruction) = Value::from_raw(next) {
        next = llvm!(LLVMGetNextInstruction(instruction.0));
        if !llvm!(LLVMIsAAllocaInst(instruction.0)).is_null() && has_constant_operands(instruction) {
            llvm!(LLVMInstructionRemoveFromParent(instruction.0));
            let builder = llvm!(LLVMCreateBuilderInContext(LLVMGetTypeContext(LLVMTypeOf(
                instruction.0
            ))));
            llvm!(LLVMPositionBuilderBefore(builder, end));
            llvm!(LLVMInsertIntoBuilder(builder, instruction.0));
            llvm!(LLVMDisposeBuilder(builder));
        }
    }
}

fn has_constant_operands(instruction: Value) -> bool {
    instruction
        .operands()
        .all(|operand| llvm!(LLVMIsConstant(operand.0)) != 0)
}

/// Replaces the parameter by its value, but for guard and base call.
fn assume(root: Value, assumption: &Assumption, but: [LLVMBasicBlockRef; 2]) {
    let parameter = assumption.parameter;
    let context = llvm!(LLVMGetTypeContext(LLVMTypeOf(root.0)));
    let bits = llvm!(LLVMConstInt(bits_type(context, parameter), assumption.value, 0));
    let constant = llvm!(LLVMConstBitCast(bits, LLVMTypeOf(parameter.0)));
    for user in parameter.users() {
        if but.contains(&llvm!(LLVMGetInstructionParent(user.0))) {
            continue;
        }
        for (index, operand) in (0..).zip(user.operands().collect::<Vec<_>>()) {
            if operand == parameter {
                llvm!(LLVMSetOperand(user.0, index, constant));
            }
        }
    }
}

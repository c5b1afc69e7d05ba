//! How products and sums round: decided once, for the base and for every variant.
//!
//! C's `a * b + c` arrives as `llvm.fmuladd`, which may round once or twice as the CPU likes. LLVM folds it with
//! constants as if fused, whatever code generation would do. So the decision is written down before any pass can meet a
//! constant on one side only: in the base when blobs are taken, and by the worker in whatever blob it gets. A newer
//! instruction set then cannot change it.

use crate::llvm;
use crate::llvm::{Module, Value};
use llvm_sys::core::*;
use llvm_sys::prelude::*;

/// Every `llvm.fmuladd` becomes two operations, or one fused where the function that it stands in may use fused
/// instructions. Calls whose flags allow other results anyway stay: what holds them is no variant's.
pub fn settle_fused_operations(module: Module) {
    let intrinsics: Vec<_> = llvm::functions(module)
        .filter(|function| function.name().starts_with("llvm.fmuladd."))
        .collect();
    for intrinsic in intrinsics {
        let calls = intrinsic.users().into_iter();
        for call in calls.filter(|user| user.is_direct_call_of(intrinsic) && is_exact(*user)) {
            let function = Value(llvm!(LLVMGetBasicBlockParent(LLVMGetInstructionParent(call.0))));
            settle(module, call, is_fused(function));
        }
    }
}

fn is_exact(call: Value) -> bool {
    llvm!(LLVMCanValueUseFastMathFlags(call.0)) == 0 || llvm!(LLVMGetFastMathFlags(call.0)) == 0
}

fn is_fused(function: Value) -> bool {
    let features = function.string_attribute("target-features").unwrap_or_default();
    ["fma", "fma4"].iter().any(|name| has_feature(&features, name))
}

/// Whether LLVM's feature string ends up with `name` switched on.
pub fn has_feature(features: &str, name: &str) -> bool {
    sign_of(features, name) == Some('+')
}

/// The last word on `name` in LLVM's feature string.
pub fn sign_of(features: &str, name: &str) -> Option<char> {
    let words = features
        .split(',')
        .filter_map(|word| Some((word.chars().next()?, word.get(1..)?)));
    words
        .rev()
        .find(|(_, feature)| *feature == name)
        .map(|(sign, _)| sign)
}

fn settle(module: Module, call: Value, fused: bool) {
    let operands: Vec<_> = call.operands().take(3).collect();
    let &[first, second, third] = operands.as_slice() else {
        return;
    };
    let context = llvm!(LLVMGetModuleContext(module.0));
    let builder = llvm!(LLVMCreateBuilderInContext(context));
    llvm!(LLVMPositionBuilderBefore(builder, call.0));
    let result = if fused {
        build_fused(module, builder, [first, second, third])
    } else {
        let product = llvm!(LLVMBuildFMul(builder, first.0, second.0, c"".as_ptr()));
        llvm!(LLVMBuildFAdd(builder, product, third.0, c"".as_ptr()))
    };
    llvm!(LLVMDisposeBuilder(builder));
    llvm!(LLVMReplaceAllUsesWith(call.0, result));
    llvm!(LLVMInstructionEraseFromParent(call.0));
}

fn build_fused(module: Module, builder: LLVMBuilderRef, operands: [Value; 3]) -> LLVMValueRef {
    let mut kind = llvm!(LLVMTypeOf(operands[0].0));
    let identity = llvm!(LLVMLookupIntrinsicID(c"llvm.fma".as_ptr(), 8));
    let function = llvm!(LLVMGetIntrinsicDeclaration(module.0, identity, &raw mut kind, 1));
    let signature = llvm!(LLVMGlobalGetValueType(function));
    let mut arguments = operands.map(|operand| operand.0);
    llvm!(LLVMBuildCall2(
        builder,
        signature,
        function,
        arguments.as_mut_ptr(),
        3,
        c"".as_ptr()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_feature_counts() {
        let check =
            |features: &str, expect: bool| assert_eq!(has_feature(features, "fma"), expect, "{features}");
        check("+cx8,+fma,+mmx", true);
        check("+fma,-fma", false);
        check("+fma4", false);
        check("", false);
    }
}

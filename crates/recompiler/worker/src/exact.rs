//! What keeps results the same to the bit, before any pass runs.
//!
//! * Products and sums round as in the base: see `tidegate_partition::fused`.
//! * Functions with flags that allow other results are refused.
//! * Vectors wider than the base's registers travel in different registers under another instruction set, so
//!   where one crosses a call, the instruction set stays as it is.

use llvm_sys::LLVMTypeKind;
use llvm_sys::core::*;
use llvm_sys::prelude::*;
use tidegate_format::request::CompileErrorKind;
use tidegate_partition::llvm;
use tidegate_partition::llvm::{Module, Value};

/// Width of the vector registers of every x86-64 CPU, in bits.
const BASELINE_VECTOR_BITS: u64 = 128;

/// Refuses functions whose flags allow other results.
pub(crate) fn check_flags(module: Module) -> Result<(), CompileErrorKind> {
    let relaxed = |instruction: Value| {
        llvm!(LLVMCanValueUseFastMathFlags(instruction.0)) != 0
            && llvm!(LLVMGetFastMathFlags(instruction.0)) != 0
    };
    let found = llvm::functions(module).flat_map(Value::instructions).any(relaxed);
    if found {
        Err(CompileErrorKind::FastMath)
    } else {
        Ok(())
    }
}

/// Functions of the mathematics library whose last bit differs between libraries, without the suffixes `f` and `l`.
const INEXACT: [&str; 30] = [
    "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
    "exp", "exp2", "exp10", "expm1", "log", "log2", "log10", "log1p", "pow", "cbrt", "hypot", "erf", "erfc",
    "tgamma", "lgamma", "powi", "sincos",
];

/// Keeps calls of the mathematics library calls: LLVM would compute those with constants by the worker's library,
/// which may round otherwise than the program's.
pub(crate) fn keep_library_results(module: Module) {
    let inexact = |name: &str| {
        // An intrinsic is `llvm.NAME.TYPE`.
        let intrinsic = name.strip_prefix("llvm.").and_then(|rest| rest.split('.').next());
        let name = intrinsic.unwrap_or(name);
        let stem = name.strip_suffix(['f', 'l']).unwrap_or(name);
        INEXACT.contains(&name) || INEXACT.contains(&stem)
    };
    for callee in
        llvm::functions(module).filter(|function| function.is_declaration() && inexact(&function.name()))
    {
        for call in callee
            .users()
            .into_iter()
            .filter(|user| user.is_direct_call_of(callee))
        {
            call.add_call_attribute("nobuiltin");
        }
    }
}

/// Whether another instruction set leaves results and calling conventions as they are.
pub(crate) fn allows_extensions(module: Module) -> bool {
    // Under strict floating point, products and sums are intrinsics that the back end may still fuse.
    let strict = llvm::functions(module).any(|function| function.has_attribute("strictfp"));
    !strict && !wide_vector_crosses_call(module)
}

/// Whether a vector wider than the baseline's registers crosses a call of or from the module's functions.
fn wide_vector_crosses_call(module: Module) -> bool {
    llvm::functions(module)
        .filter(|function| !function.name().starts_with("llvm."))
        .any(|function| {
            let calls = function
                .instructions()
                .filter(|instruction| instruction.is_call_site());
            has_wide_vector(function.value_type()) || calls.into_iter().any(indirect_call_has_wide_vector)
        })
}

fn indirect_call_has_wide_vector(call: Value) -> bool {
    let known = call.called().is_some_and(Value::is_function);
    !known && has_wide_vector(llvm!(LLVMGetCalledFunctionType(call.0)))
}

fn has_wide_vector(signature: LLVMTypeRef) -> bool {
    let count = llvm!(LLVMCountParamTypes(signature)) as usize;
    let mut types: Vec<LLVMTypeRef> = vec![std::ptr::null_mut(); count];
    llvm!(LLVMGetParamTypes(signature, types.as_mut_ptr()));
    types.push(llvm!(LLVMGetReturnType(signature)));
    types.into_iter().any(is_wide_vector)
}

fn is_wide_vector(kind: LLVMTypeRef) -> bool {
    match llvm!(LLVMGetTypeKind(kind)) {
        LLVMTypeKind::LLVMVectorTypeKind => {}
        LLVMTypeKind::LLVMStructTypeKind => {
            let fields = 0..llvm!(LLVMCountStructElementTypes(kind));
            return fields
                .into_iter()
                .any(|index| is_wide_vector(llvm!(LLVMStructGetTypeAtIndex(kind, index))));
        }
        LLVMTypeKind::LLVMArrayTypeKind => return is_wide_vector(llvm!(LLVMGetElementType(kind))),
        _ => return false,
    }
    let element = llvm!(LLVMGetElementType(kind));
    let bits = match llvm!(LLVMGetTypeKind(element)) {
        LLVMTypeKind::LLVMIntegerTypeKind => u64::from(llvm!(LLVMGetIntTypeWidth(element))),
        LLVMTypeKind::LLVMHalfTypeKind | LLVMTypeKind::LLVMBFloatTypeKind => 16,
        LLVMTypeKind::LLVMFloatTypeKind => 32,
        _ => 64,
    };
    u64::from(llvm!(LLVMGetVectorSize(kind))) * bits > BASELINE_VECTOR_BITS
}

//! Library functions that code generation calls without the IR naming them: `memcpy` for an intrinsic, `floor` on
//! a CPU without an instruction for it, `__stack_chk_fail` behind a stack protector, `_Unwind_Resume` behind a `resume`, 128-bit
//! division.
//!
//! The base's object imports them, so its variants may too; anchors are needed for them all the same. Only what
//! the base is sure to call is named: a name more would make the link depend on a library that it never needed.

use super::{c_name, pointer_type};
use crate::early::Symbol;
use crate::llvm;
use crate::llvm::{Module, Value};
use llvm_sys::core::*;
use llvm_sys::{LLVMOpcode, LLVMTypeKind};

/// When code generation calls the library for an intrinsic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// The CPU has no instruction for it: the named feature is missing.
    Without(&'static str),
}

/// Functions on memory: intrinsic and symbol.
const MEMORY: [(&str, &str); 3] = [
    ("llvm.memcpy.", "memcpy"),
    ("llvm.memmove.", "memmove"),
    ("llvm.memset.", "memset"),
];

/// Functions of the mathematics library: the intrinsic is `llvm.NAME.…`, the symbol `NAME` or `NAMEf`.
const MATHEMATICS: [(&str, When); 25] = [
    ("sin", When::Always),
    ("cos", When::Always),
    ("tan", When::Always),
    ("asin", When::Always),
    ("acos", When::Always),
    ("atan", When::Always),
    ("atan2", When::Always),
    ("sinh", When::Always),
    ("cosh", When::Always),
    ("tanh", When::Always),
    ("exp", When::Always),
    ("exp2", When::Always),
    ("exp10", When::Always),
    ("log", When::Always),
    ("log2", When::Always),
    ("log10", When::Always),
    ("pow", When::Always),
    ("round", When::Without("+sse4.1")),
    ("floor", When::Without("+sse4.1")),
    ("ceil", When::Without("+sse4.1")),
    ("trunc", When::Without("+sse4.1")),
    ("rint", When::Without("+sse4.1")),
    ("nearbyint", When::Without("+sse4.1")),
    ("roundeven", When::Without("+sse4.1")),
    ("fma", When::Without("+fma")),
];

/// Functions for 128-bit integers.
const WIDE_DIVISION: [(LLVMOpcode, &str); 4] = [
    (LLVMOpcode::LLVMSDiv, "__divti3"),
    (LLVMOpcode::LLVMUDiv, "__udivti3"),
    (LLVMOpcode::LLVMSRem, "__modti3"),
    (LLVMOpcode::LLVMURem, "__umodti3"),
];

/// The library functions that a module's code may call by its intrinsics.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    functions: Vec<String>,
}

impl Libraries {
    /// Looks for the intrinsics that are still in use.
    pub(super) fn of(module: Module) -> Self {
        let found = llvm::functions(module).filter_map(|intrinsic| {
            let (name, when) = library_function(&intrinsic.name())?;
            let mut calls = intrinsic.users().into_iter().filter(|user| user.is_call_site());
            calls.any(|call| is_called(call, when)).then_some(name)
        });
        let mut functions: Vec<_> = found.collect();
        functions.sort();
        functions.dedup();
        Self { functions }
    }

    /// The functions that code generation may call for `body`, declared in the module.
    pub(super) fn called_by(&self, module: Module, body: Value) -> Vec<Value> {
        let by_intrinsic = self.functions.iter().map(String::as_str);
        let guarded = ["ssp", "sspstrong", "sspreq"]
            .iter()
            .any(|name| body.has_attribute(name));
        let guard = guarded.then_some("__stack_chk_fail");
        let resumes = body
            .instructions()
            .any(|instruction| instruction.opcode() == LLVMOpcode::LLVMResume);
        let resume = resumes.then_some("_Unwind_Resume");
        let divisions = WIDE_DIVISION
            .iter()
            .filter(|(opcode, _)| divides_widely(body, *opcode))
            .map(|(_, name)| *name);
        by_intrinsic
            .chain(guard)
            .chain(resume)
            .chain(divisions)
            .map(|name| declared(module, name))
            .collect()
    }
}

/// Whether code generation calls the library for this call of an intrinsic: by the function that it stands in.
fn is_called(call: Value, when: When) -> bool {
    let function = Value(llvm!(LLVMGetBasicBlockParent(LLVMGetInstructionParent(call.0))));
    let features = function.string_attribute("target-features").unwrap_or_default();
    match when {
        When::Always => true,
        When::Without(feature) => !features.split(',').any(|word| word == feature),
    }
}

/// The unchecked functions behind the checked ones (`strcpy` behind `__strcpy_chk`) that a blob refers to, where
/// the base has come to call them: passes after the blob was taken make one of the other.
pub(super) fn behind_checks(module: Module, symbols: &[Symbol]) -> Vec<Value> {
    let unchecked = |symbol: &Symbol| {
        let name = symbol.name.strip_prefix("__")?.strip_suffix("_chk")?;
        llvm::global(module, name).filter(|found| found.is_declaration() && found.use_count() > 0)
    };
    symbols.iter().filter_map(unchecked).collect()
}

/// The symbol for an intrinsic's name.
fn library_function(intrinsic: &str) -> Option<(String, When)> {
    if let Some((_, symbol)) = MEMORY.iter().find(|(prefix, _)| intrinsic.starts_with(prefix)) {
        return Some(((*symbol).to_owned(), When::Always));
    }
    let mut parts = intrinsic.strip_prefix("llvm.")?.splitn(2, '.');
    let (name, operand) = (parts.next()?, parts.next()?);
    let (name, when) = MATHEMATICS.iter().find(|(known, _)| *known == name)?;
    let suffix = if operand.ends_with("f32") { "f" } else { "" };
    (suffix == "f" || operand.ends_with("f64")).then(|| (format!("{name}{suffix}"), *when))
}

fn divides_widely(body: Value, opcode: LLVMOpcode) -> bool {
    let is_wide = |value: Value| {
        let kind = llvm!(LLVMTypeOf(value.0));
        llvm!(LLVMGetTypeKind(kind)) == LLVMTypeKind::LLVMIntegerTypeKind
            && llvm!(LLVMGetIntTypeWidth(kind)) == 128
    };
    body.instructions()
        .any(|instruction| instruction.opcode() == opcode && is_wide(instruction))
}

/// The symbol in the module; its type does not matter, only its address is taken.
fn declared(module: Module, name: &str) -> Value {
    llvm::global(module, name).unwrap_or_else(|| {
        let signature = llvm!(LLVMFunctionType(pointer_type(module), std::ptr::null_mut(), 0, 0));
        let name = c_name(name);
        Value(llvm!(LLVMAddFunction(module.0, name.as_ptr(), signature)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intrinsics_have_their_library_functions() {
        let check = |intrinsic: &str, expect: Option<&str>| {
            let found = library_function(intrinsic).map(|(name, _)| name);
            assert_eq!(found.as_deref(), expect, "{intrinsic}");
        };
        check("llvm.memcpy.p0.p0.i64", Some("memcpy"));
        check("llvm.floor.f64", Some("floor"));
        check("llvm.floor.v4f32", Some("floorf"));
        check("llvm.pow.f80", None);
        check("llvm.fmuladd.f64", None);
        check("llvm.sqrt.f64", None);
        check("sin", None);
    }
}

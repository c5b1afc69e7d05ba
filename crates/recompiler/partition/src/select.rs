//! Which functions become switchable, and why the others do not.
//!
//! A pure look at the IR as it is after inlining: nothing is changed here. The reasons are those of
//! `tidegate_format::section::RefusalReason`; each has a test.

use crate::llvm;
use crate::llvm::{Module, Value};
use llvm_sys::LLVMOpcode;
use llvm_sys::core::*;
use llvm_sys::prelude::*;
use llvm_sys::{LLVMCallConv, LLVMTypeKind};
use std::collections::HashSet;
use tidegate_format::section::RefusalReason;

/// Smallest function that is worth a slot without telemetry, in LLVM instructions.
pub const INSTRUCTIONS_MIN: u32 = 50;
/// Largest function that a worker compiles in seconds, in LLVM instructions.
pub const INSTRUCTIONS_MAX: u32 = 50_000;
/// Largest function that is copied into another one's blob to be inlined there, in LLVM instructions.
pub const INLINED_INSTRUCTIONS_MAX: u32 = 400;
/// Deepest chain of calls that a blob carries bodies for.
pub const INLINED_DEPTH_MAX: u32 = 3;
/// Largest constant whose content a blob carries, in bytes; beyond, only its symbol.
pub const CONSTANT_BYTES_MAX: u64 = 16 << 10;

/// What telemetry or the default says about which functions to take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The functions to take; `None` = by size.
    pub listed: Option<HashSet<String>>,
}

/// What is to happen with one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It gets a slot and a blob.
    Take {
        /// LLVM instructions now.
        instructions: u32,
    },
    /// It was wanted but cannot be taken.
    Refuse(RefusalReason),
    /// It was not wanted.
    Leave,
}

/// Decides about one function with a body.
/// `extracted` are the names of functions that were made of loops.
pub(crate) fn judge(
    function: Value,
    selection: &Selection,
    extracted: &HashSet<String>,
    resolvers: &HashSet<Value>,
) -> Verdict {
    let instructions = instruction_count(function);
    let by_selection = || match &selection.listed {
        Some(names) => names.contains(&function.name()),
        None => instructions >= INSTRUCTIONS_MIN && function.blocks().nth(1).is_some(),
    };
    let wanted = extracted.contains(&function.name()) || by_selection();
    if !wanted || !has_own_body(function) {
        return Verdict::Leave;
    }
    let refusal = declaration_refusal(function).or_else(|| body_refusal(function));
    let refusal = refusal.or_else(|| {
        resolvers
            .contains(&function)
            .then_some(RefusalReason::IfuncResolver)
    });
    let too_large = || (instructions > INSTRUCTIONS_MAX).then_some(RefusalReason::TooLarge);
    match refusal.or_else(too_large) {
        Some(reason) => Verdict::Refuse(reason),
        None => Verdict::Take { instructions },
    }
}

/// Whether an instruction may become part of a function of its own, and that function switchable.
pub(crate) fn may_move(instruction: Value) -> bool {
    let opcode = instruction.opcode();
    let stays = opcode == LLVMOpcode::LLVMAlloca || leaves_by_exception(opcode);
    !stays && instruction_refusal(instruction).is_none()
}

fn leaves_by_exception(opcode: LLVMOpcode) -> bool {
    matches!(
        opcode,
        LLVMOpcode::LLVMInvoke | LLVMOpcode::LLVMLandingPad | LLVMOpcode::LLVMResume
    )
}

/// Whether a blob may carry the body of `function`, to be inlined `depth` calls away from its root.
pub fn may_inline(function: Value, depth: u32) -> bool {
    depth < INLINED_DEPTH_MAX
        && !function.is_declaration()
        && !function.is_interposable()
        && !function.has_attribute("noinline")
        && instruction_count(function) < INLINED_INSTRUCTIONS_MAX
        && declaration_refusal(function).is_none()
        && body_refusal(function).is_none()
}

/// Whether a blob may carry the content of the constant `variable`.
pub fn may_know(variable: Value) -> bool {
    variable.is_constant_variable()
        && !variable.is_declaration()
        && !variable.is_interposable()
        && !variable.is_thread_local()
        && (1..=CONSTANT_BYTES_MAX).contains(&variable.size_bytes())
}

/// LLVM instructions of a function's body.
pub fn instruction_count(function: Value) -> u32 {
    function.instructions().count() as u32
}

/// The ifunc resolvers of a module and everything in it that they call, directly or not: they run before
/// slots are relocated.
pub fn ifunc_resolvers(module: Module) -> HashSet<Value> {
    let mut reached = HashSet::new();
    let mut ifunc = Value::from_raw(llvm!(LLVMGetFirstGlobalIFunc(module.0)));
    let mut pending = Vec::new();
    while let Some(current) = ifunc {
        pending.extend(Value::from_raw(llvm!(LLVMGetGlobalIFuncResolver(current.0))));
        ifunc = Value::from_raw(llvm!(LLVMGetNextGlobalIFunc(current.0)));
    }
    while let Some(function) = pending.pop() {
        if !function.is_function() || !reached.insert(function) {
            continue;
        }
        let callees = function
            .instructions()
            .filter(|instruction| instruction.is_call_site());
        pending.extend(callees.filter_map(Value::called));
    }
    reached
}

/// Why a whole file is left as it was, from what its IR tells.
pub fn file_refusal(module: Module) -> Option<RefusalReason> {
    let triple = crate::llvm::c_text(crate::llvm::CText(llvm!(LLVMGetTarget(module.0))));
    if !triple.starts_with("x86_64-") || !triple.contains("linux") || triple.ends_with("x32") {
        return Some(RefusalReason::FileTarget);
    }
    if module_flag(module, "Code Model").is_some_and(|model| model > 1) {
        return Some(RefusalReason::FileCodeModel);
    }
    let instrumented = [
        "__llvm_profile_",
        "__profc_",
        "__llvm_gcov",
        "__llvm_coverage",
        "__covrec_",
    ];
    let starts = |name: &str| instrumented.iter().any(|prefix| name.starts_with(prefix));
    if crate::llvm::variables(module).any(|variable| starts(&variable.name())) {
        return Some(RefusalReason::FileInstrumented);
    }
    let sanitizers = [
        "sanitize_address",
        "sanitize_thread",
        "sanitize_memory",
        "sanitize_hwaddress",
        "sanitize_memtag",
        "sanitize_realtime",
        "sanitize_type",
        "sanitize_numerical_stability",
    ];
    let sanitized = |function: Value| sanitizers.iter().any(|name| function.has_attribute(name));
    crate::llvm::functions(module)
        .any(sanitized)
        .then_some(RefusalReason::FileSanitized)
}

/// The number in the module flag `name`.
pub fn module_flag(module: Module, name: &str) -> Option<u64> {
    let flag = llvm!(LLVMGetModuleFlag(module.0, name.as_ptr().cast(), name.len()));
    if flag.is_null() {
        return None;
    }
    let value = llvm!(LLVMMetadataAsValue(LLVMGetModuleContext(module.0), flag));
    let number = Value(value).operands().next()?;
    let constant = !llvm!(LLVMIsAConstantInt(number.0)).is_null();
    constant.then(|| llvm!(LLVMConstIntGetZExtValue(number.0)))
}

fn has_own_body(function: Value) -> bool {
    let elsewhere = llvm_sys::LLVMLinkage::LLVMAvailableExternallyLinkage;
    !function.is_declaration() && function.linkage() != elsewhere
}

/// What the function's declaration alone rules out.
fn declaration_refusal(function: Value) -> Option<RefusalReason> {
    let signature = function.value_type();
    let convention = llvm!(LLVMGetFunctionCallConv(function.0));
    let carried = [
        LLVMCallConv::LLVMCCallConv,
        LLVMCallConv::LLVMFastCallConv,
        LLVMCallConv::LLVMColdCallConv,
    ];
    let features = function.string_attribute("target-features").unwrap_or_default();
    let parameters = 1..=llvm!(LLVMCountParams(function.0));
    let in_memory = |index| {
        ["inalloca", "preallocated"]
            .iter()
            .any(|name| function.has_attribute_at(index, name))
    };
    let rules = [
        (function.has_attribute("naked"), RefusalReason::Naked),
        (
            function.has_attribute("alwaysinline"),
            RefusalReason::AlwaysInline,
        ),
        (function.has_attribute("optnone"), RefusalReason::NotOptimised),
        (
            function.has_attribute("presplitcoroutine"),
            RefusalReason::Coroutine,
        ),
        (
            function.has_attribute("returns_twice"),
            RefusalReason::CallsSetjmp,
        ),
        (
            convention == LLVMCallConv::LLVMX86INTRCallConv as u32,
            RefusalReason::Interrupt,
        ),
        (
            !carried.iter().any(|known| *known as u32 == convention),
            RefusalReason::CallingConvention,
        ),
        (
            llvm!(LLVMIsFunctionVarArg(signature)) != 0,
            RefusalReason::Variadic,
        ),
        (features.contains("+retpoline"), RefusalReason::Retpoline),
        (function.has_metadata(c"kcfi_type"), RefusalReason::Kcfi),
        (
            parameters.into_iter().any(in_memory),
            RefusalReason::InMemoryArguments,
        ),
        (!function.section().is_empty(), RefusalReason::UserSection),
        (is_target_clone(function), RefusalReason::TargetClones),
        (
            has_unknown_personality(function),
            RefusalReason::ExceptionHandling,
        ),
    ];
    rules
        .into_iter()
        .find(|(applies, _)| *applies)
        .map(|(_, reason)| reason)
}

/// Languages whose tables for exceptions are read by the unwinder of every such process: C++, C with
/// `-fexceptions`, Rust.
const PERSONALITIES: [&str; 3] = [
    "__gxx_personality_v0",
    "__gcc_personality_v0",
    "rust_eh_personality",
];

fn has_unknown_personality(function: Value) -> bool {
    if llvm!(LLVMHasPersonalityFn(function.0)) == 0 {
        return false;
    }
    let personality = Value(llvm!(LLVMGetPersonalityFn(function.0))).name();
    // Rust's own is mangled where it is part of the same program.
    !PERSONALITIES.iter().any(|known| personality.contains(known))
}

/// Clones are named after the ifunc that chooses among them: `name.avx2.0`, `name.default.1`, `name.resolver`.
fn is_target_clone(function: Value) -> bool {
    let name = function.name();
    let module = Module(llvm!(LLVMGetGlobalParent(function.0)));
    let chosen = name
        .split_once('.')
        .and_then(|(stem, _)| crate::llvm::global(module, stem));
    chosen.is_some_and(|chosen| !llvm!(LLVMIsAGlobalIFunc(chosen.0)).is_null())
}

/// What the function's instructions rule out.
fn body_refusal(function: Value) -> Option<RefusalReason> {
    let found = function.instructions().find_map(instruction_refusal);
    found.or_else(|| may_reorder(function).then_some(RefusalReason::FastMath))
}

/// Loops that the user wants in vectors add floating point in an order that depends on the vectors' width.
fn may_reorder(function: Value) -> bool {
    let computes = |one: Value| llvm!(LLVMCanValueUseFastMathFlags(one.0)) != 0;
    function.instructions().any(Value::asks_for_vectors) && function.instructions().any(computes)
}

fn instruction_refusal(instruction: Value) -> Option<RefusalReason> {
    let opcode = instruction.opcode();
    let by_opcode = match opcode {
        LLVMOpcode::LLVMIndirectBr | LLVMOpcode::LLVMCallBr => Some(RefusalReason::BlockAddress),
        LLVMOpcode::LLVMCall | LLVMOpcode::LLVMInvoke => call_refusal(instruction),
        _ => None,
    };
    if by_opcode.is_some() {
        return by_opcode;
    }
    if llvm!(LLVMCanValueUseFastMathFlags(instruction.0)) != 0
        && llvm!(LLVMGetFastMathFlags(instruction.0)) != 0
    {
        return Some(RefusalReason::FastMath);
    }
    // The way that variants have too: see `emit::threads`.
    if instruction.thread_local_asked_for().is_some() {
        return None;
    }
    let own = type_refusal(llvm!(LLVMTypeOf(instruction.0)));
    own.or_else(|| {
        instruction
            .operands()
            .find_map(|operand| operand_refusal(operand, 0))
    })
}

fn type_refusal(value_type: LLVMTypeRef) -> Option<RefusalReason> {
    let kind = llvm!(LLVMGetTypeKind(value_type));
    (kind == LLVMTypeKind::LLVMX86_FP80TypeKind).then_some(RefusalReason::X87)
}

/// Deepest nesting of constant expressions that is searched for thread-locals and labels.
const CONSTANT_DEPTH_MAX: u32 = 8;

fn operand_refusal(operand: Value, depth: u32) -> Option<RefusalReason> {
    if operand.is_thread_local() {
        return Some(RefusalReason::ThreadLocal);
    }
    // In a blob it would be another place than what it stands for.
    if is_variable_alias(operand) {
        return Some(RefusalReason::ReplaceableBody);
    }
    if !llvm!(LLVMIsABlockAddress(operand.0)).is_null() {
        return Some(RefusalReason::BlockAddress);
    }
    if let Some(reason) = type_refusal(llvm!(LLVMTypeOf(operand.0))) {
        return Some(reason);
    }
    let expression = !llvm!(LLVMIsAConstant(operand.0)).is_null() && !operand.is_global();
    if !expression || depth == CONSTANT_DEPTH_MAX {
        return None;
    }
    operand
        .operands()
        .find_map(|inner| operand_refusal(inner, depth + 1))
}

fn is_variable_alias(value: Value) -> bool {
    !llvm!(LLVMIsAGlobalAlias(value.0)).is_null()
        && llvm!(LLVMGetTypeKind(value.value_type())) != LLVMTypeKind::LLVMFunctionTypeKind
}

fn call_refusal(call: Value) -> Option<RefusalReason> {
    let guaranteed = llvm_sys::LLVMTailCallKind::LLVMTailCallKindMustTail;
    if call.is_call() && llvm!(LLVMGetTailCallKind(call.0)) == guaranteed {
        return Some(RefusalReason::MustTail);
    }
    let callee = call.called()?;
    if !callee.is_function() {
        return None;
    }
    if callee.has_attribute("returns_twice") {
        return Some(RefusalReason::CallsSetjmp);
    }
    let name = callee.name();
    let frame = [
        "llvm.returnaddress",
        "llvm.frameaddress",
        "llvm.addressofreturnaddress",
        "llvm.sponentry",
    ];
    match name.as_str() {
        "setjmp" | "_setjmp" | "__sigsetjmp" | "sigsetjmp" | "vfork" | "getcontext" => {
            Some(RefusalReason::CallsSetjmp)
        }
        "dlsym" | "dlvsym" | "dlopen" | "dlmopen" => Some(RefusalReason::CallsDynamicLoader),
        _ if frame.iter().any(|intrinsic| name.starts_with(intrinsic)) => {
            Some(RefusalReason::TakesReturnAddress)
        }
        _ if name.starts_with("llvm.coro.") => Some(RefusalReason::Coroutine),
        _ if name.starts_with("llvm.eh.typeid.for") => None,
        _ if name.starts_with("llvm.localescape") || name.starts_with("llvm.eh.") => {
            Some(RefusalReason::ExceptionHandling)
        }
        _ => None,
    }
}

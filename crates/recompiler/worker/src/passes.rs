//! The worker's own passes: each one function of C++ below `src/passes`, with its bounds here.
//!
//! Why in C++: they ask for scalar evolution, alias analysis, and what allocates and captures, which LLVM's C API
//! cannot. Each result is verified: a fault of ours must cost a variant, not a program.
//!
//! Not here: which scenario runs what; see [`crate::pipelines`].

use crate::pipelines::Pass;
use llvm_sys::analysis::{LLVMVerifierFailureAction, LLVMVerifyModule};
use llvm_sys::core::*;
use llvm_sys::prelude::*;
use llvm_sys::target_machine::LLVMTargetMachineRef;
use std::ffi::c_int;
use tidegate_format::request::{CompileError, CompileErrorKind};
use tidegate_partition::llvm;
use tidegate_partition::llvm::{Module, Value};

unsafe extern "C" {
    fn tidegate_lower_allocations(
        root: LLVMValueRef,
        machine: LLVMTargetMachineRef,
        bytes_max: u64,
        reentrant_bytes_max: u64,
    ) -> u32;
    fn tidegate_peel_streams(root: LLVMValueRef, machine: LLVMTargetMachineRef, least_bytes: u64) -> u32;
    fn tidegate_stream_stores(
        root: LLVMValueRef,
        machine: LLVMTargetMachineRef,
        least_bytes: u64,
        prefetch: c_int,
    ) -> u32;
    fn tidegate_prefetch_lookups(root: LLVMValueRef, machine: LLVMTargetMachineRef, turns: u64) -> u32;
}

/// Least that a loop must write before its stores go past the caches: more than a core's own caches keep.
const STREAMED_BYTES_MIN: u64 = 2 << 20;
/// Most that a frame grows by: one page, so that the guard page below a stack is never stepped over.
const LOWERED_BYTES_MAX: u64 = 4096;
/// The same for functions that may be entered again from what they call: a thousand levels deep it is half a megabyte.
const REENTRANT_BYTES_MAX: u64 = 512;
/// How many turns ahead a lookup is asked for: a hundred nanoseconds of memory, in turns of some nanoseconds.
const LOOKUP_TURNS: u64 = 16;

/// Runs one pass on `root`. Gives how often it changed something.
pub(crate) fn run(
    pass: Pass,
    module: Module,
    root: Value,
    machine: LLVMTargetMachineRef,
) -> Result<u32, CompileError> {
    let changes = match pass {
        Pass::LowerAllocations => llvm!(tidegate_lower_allocations(
            root.0,
            machine,
            LOWERED_BYTES_MAX,
            REENTRANT_BYTES_MAX
        )),
        Pass::AlignStreams => llvm!(tidegate_peel_streams(root.0, machine, STREAMED_BYTES_MIN)),
        Pass::StreamStores => llvm!(tidegate_stream_stores(root.0, machine, STREAMED_BYTES_MIN, 0)),
        Pass::StreamStoresAndPrefetch => {
            llvm!(tidegate_stream_stores(root.0, machine, STREAMED_BYTES_MIN, 1))
        }
        Pass::PrefetchLookups => llvm!(tidegate_prefetch_lookups(root.0, machine, LOOKUP_TURNS)),
    };
    verify(module, &format!("{pass:?}"))?;
    Ok(changes)
}

/// Whether the module still holds together; the error names the pass.
pub(crate) fn verify(module: Module, pass: &str) -> Result<(), CompileError> {
    let mut message = std::ptr::null_mut();
    let action = LLVMVerifierFailureAction::LLVMReturnStatusAction;
    let broken = llvm!(LLVMVerifyModule(module.0, action, &raw mut message)) != 0;
    let text = llvm::c_text(llvm::CText(message));
    llvm!(LLVMDisposeMessage(message));
    if broken {
        Err(CompileError {
            kind: CompileErrorKind::Pipeline,
            detail: format!("{pass}: {text}"),
        })
    } else {
        Ok(())
    }
}

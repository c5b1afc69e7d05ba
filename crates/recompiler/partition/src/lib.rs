//! The compiler's side of the recompiler: a pass plugin for clang that makes selected functions switchable.
//!
//! clang loads the shared library with `-fpass-plugin` and calls [`llvmGetPassPluginInfo`]. The plugin works at
//! two moments of one compilation:
//! 1. **Early** ([`early`]): inlining is done, vectorising and unrolling are not. Functions are chosen
//!    ([`select`]) and split off into modules of their own, as bitcode. Of the base only the rounding of products and
//!    sums is settled by it ([`fused`]).
//! 2. **Last** ([`emit`]): the base's IR is final. Direct calls of the chosen functions become calls through
//!    slots, and slots, anchors, blobs, names and descriptors are laid down (see `tidegate_format::section`).
//!
//! Between both, LLVM optimises the base as if the plugin were not there: no use, no global and no attribute is
//! added that a pass could see. [`llvm`] is shared with the worker, which reads what is written here. This crate
//! knows nothing of processes, images or scenarios.
//!
//! The environment carries what the driver has to say: see [`options`].

#![cfg_attr(
    not(test),
    expect(
        clippy::wildcard_imports,
        reason = "LLVM's C API is one flat list of names that carry its prefix"
    )
)]
#![allow(
    clippy::macro_metavars_in_unsafe,
    reason = "the macro is the one place for the one reason why LLVM is unsafe; an expectation does not see it"
)]

pub mod arguments;
pub mod early;
pub mod emit;
pub mod fused;
pub mod llvm;
pub mod loops;
pub mod options;
pub mod select;
pub mod tunables;

use llvm_sys::prelude::LLVMModuleRef;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_char, c_void};

/// What `llvm/Plugins/PassPlugin.h` calls `PassPluginLibraryInfo`.
#[repr(C)]
pub struct PassPluginLibraryInfo {
    api_version: u32,
    name: *const c_char,
    version: *const c_char,
    register: extern "C" fn(*mut c_void),
    before_code_generation: *const c_void,
}

/// The version of the plugin interface of LLVM 22.
const PLUGIN_API_VERSION: u32 = 2;

/// The entry that clang looks up.
#[unsafe(no_mangle)]
pub extern "C" fn llvmGetPassPluginInfo() -> PassPluginLibraryInfo {
    PassPluginLibraryInfo {
        api_version: PLUGIN_API_VERSION,
        name: c"tidegate".as_ptr(),
        version: c"1".as_ptr(),
        register,
        before_code_generation: std::ptr::null(),
    }
}

unsafe extern "C" {
    fn tidegate_shim_register(builder: *mut c_void);
}

extern "C" fn register(builder: *mut c_void) {
    llvm!(tidegate_shim_register(builder));
}

thread_local! {
    /// What the early moment left for the last one, by module.
    static PLANS: RefCell<HashMap<usize, early::Plan>> = RefCell::default();
}

/// Called by the shim after inlining.
#[unsafe(no_mangle)]
extern "C" fn tidegate_at_early(module: LLVMModuleRef, level: u32, size_level: u32) {
    let module = llvm::Module(module);
    let plan = early::plan(module, level, size_level, &options::Options::from_environment());
    tunables::fold_defaults(module);
    PLANS.with_borrow_mut(|plans| plans.insert(module.0 as usize, plan));
}

/// Called by the shim after the last pass over the IR.
#[unsafe(no_mangle)]
extern "C" fn tidegate_at_last(module: LLVMModuleRef) {
    let plan = PLANS.with_borrow_mut(|plans| plans.remove(&(module as usize)));
    if let Some(plan) = plan {
        emit::emit(llvm::Module(module), &plan);
    }
}

//! Thread-local variables: a function of the base gives a variant the calling thread's copy.
//!
//! Why so: how a thread comes to its copy (an offset from the thread pointer, a cell that the loader fills, a call of
//! the loader) depends on how the program was linked, and the linker rewrites it only in objects that it sees. So the
//! base carries one small function per variable, compiled like everything else in its object, and a variant calls it.
//! The address is the same all through one call of a function, so LLVM takes the call out of loops.

use super::{c_name, copy_attributes};
use crate::llvm;
use crate::llvm::{Module, Value};
use llvm_sys::LLVMLinkage;
use llvm_sys::core::*;

/// End of the functions' names.
const SUFFIX: &str = ".tidegate.thread";

/// The function that gives the calling thread's copy of `variable`; `body` is the function that it is made for.
pub(super) fn accessor(module: Module, variable: Value, body: Value) -> Value {
    let name = format!("{}{SUFFIX}", variable.name());
    if let Some(known) = llvm::global(module, &name) {
        return known;
    }
    let context = llvm!(LLVMGetModuleContext(module.0));
    let mut pointer = llvm!(LLVMTypeOf(variable.0));
    let signature = llvm!(LLVMFunctionType(pointer, std::ptr::null_mut(), 0, 0));
    let name = c_name(&name);
    let function = Value(llvm!(LLVMAddFunction(module.0, name.as_ptr(), signature)));
    function.set_linkage(LLVMLinkage::LLVMInternalLinkage);
    copy_attributes(body, function);
    function.add_attribute("nounwind");
    let block = llvm!(LLVMAppendBasicBlockInContext(context, function.0, c"".as_ptr()));
    let builder = llvm!(LLVMCreateBuilderInContext(context));
    llvm!(LLVMPositionBuilderAtEnd(builder, block));
    let intrinsic = llvm::THREAD_LOCAL_ADDRESS;
    let number = llvm!(LLVMLookupIntrinsicID(intrinsic.as_ptr().cast(), intrinsic.len()));
    let asked = llvm!(LLVMGetIntrinsicDeclaration(module.0, number, &raw mut pointer, 1));
    let mut argument = variable.0;
    let address = llvm!(LLVMBuildCall2(
        builder,
        LLVMGlobalGetValueType(asked),
        asked,
        &raw mut argument,
        1,
        c"".as_ptr()
    ));
    llvm!(LLVMBuildRet(builder, address));
    llvm!(LLVMDisposeBuilder(builder));
    function
}

//! One compile: from a request to an image.

use crate::bind::{self, Anchors};
use crate::pipelines::{self, Pipeline};
use crate::{flatten, prepare};
use llvm_sys::analysis::{LLVMVerifierFailureAction, LLVMVerifyModule};
use llvm_sys::bit_reader::LLVMParseBitcodeInContext2;
use llvm_sys::core::*;
use llvm_sys::error::{LLVMDisposeErrorMessage, LLVMGetErrorMessage};
use llvm_sys::prelude::*;
use llvm_sys::target::*;
use llvm_sys::target_machine::*;
use llvm_sys::transforms::pass_builder::*;
use std::ffi::{CString, c_void};
use tidegate_format::blob::Blob;
use tidegate_format::request::{CompileError, CompileErrorKind, Request};
use tidegate_partition::llvm;
use tidegate_partition::llvm::{Module, Value};

/// Makes the image that the request asks for.
pub(crate) fn compile(request: &Request) -> Result<Vec<u8>, CompileError> {
    let blob =
        Blob::read(&request.blob).map_err(|error| failure(CompileErrorKind::Blob, error.to_string()))?;
    let names = blob.anchor_names().collect::<Result<Vec<_>, _>>();
    let names = names.map_err(|error| failure(CompileErrorKind::Blob, error.to_string()))?;
    let anchors = Anchors::new(names);
    let root_name = anchors
        .root()
        .ok_or_else(|| failure(CompileErrorKind::Blob, "no anchors".to_owned()))?;
    let bitcode = llvm::decompress(blob.compressed, blob.bitcode_length as usize);
    let bitcode = bitcode.ok_or_else(|| failure(CompileErrorKind::Blob, "damaged zstd frame".to_owned()))?;
    initialize();
    // The process ends after one compile, so nothing of LLVM's is given back.
    let context = llvm!(LLVMContextCreate());
    llvm!(LLVMContextSetDiagnosticHandler(
        context,
        Some(ignore_diagnostic),
        std::ptr::null_mut()
    ));
    let module = parse(context, &bitcode)?;
    let root = llvm::global(module, root_name).filter(|root| root.is_function() && !root.is_declaration());
    let root = root.ok_or_else(|| failure(CompileErrorKind::Bitcode, format!("no body of {root_name}")))?;
    let pipeline = pipelines::pipeline(request.scenario);
    let prepared = prepare::prepare(module, root, request, pipeline)?;
    let machine = machine(module, &prepared.features, blob.optimisation_level)?;
    run_passes(
        module,
        machine,
        pipeline,
        pipelines::level_name(blob.optimisation_level, blob.size_level),
    )?;
    if pipeline.stream_stores {
        stream_stores(module, root, machine)?;
    }
    let entry = bind::bind(module, root, &anchors)?;
    let object = generate(module, machine)?;
    let target = flatten::Target {
        scenario: request.scenario,
        cpu_features: prepared.cpu_features,
        hash: blob.hash,
        name: root_name,
        entry: &entry,
    };
    flatten::flatten(&object, &target, &anchors)
}

/// What `--version` prints: everything that makes an image of the same request another one.
pub(crate) fn version() -> String {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    llvm!(LLVMGetVersion(&raw mut major, &raw mut minor, &raw mut patch));
    let pipelines = pipelines::PIPELINE_VERSION;
    format!("tidegate-worker pipelines {pipelines}, LLVM {major}.{minor}.{patch}\n")
}

fn failure(kind: CompileErrorKind, detail: String) -> CompileError {
    CompileError { kind, detail }
}

fn initialize() {
    llvm!(LLVMInitializeX86TargetInfo());
    llvm!(LLVMInitializeX86Target());
    llvm!(LLVMInitializeX86TargetMC());
    llvm!(LLVMInitializeX86AsmPrinter());
    // Without its parser, LLVM ends the process at the first inline assembly.
    llvm!(LLVMInitializeX86AsmParser());
}

/// LLVM's remarks and warnings have no reader here; errors come back from the calls.
extern "C" fn ignore_diagnostic(_: LLVMDiagnosticInfoRef, _: *mut c_void) {}

fn parse(context: LLVMContextRef, bitcode: &[u8]) -> Result<Module, CompileError> {
    let start = bitcode.as_ptr().cast();
    let buffer = llvm!(LLVMCreateMemoryBufferWithMemoryRangeCopy(
        start,
        bitcode.len(),
        c"blob".as_ptr()
    ));
    let mut module = std::ptr::null_mut();
    let failed = llvm!(LLVMParseBitcodeInContext2(context, buffer, &raw mut module)) != 0;
    if failed {
        Err(failure(CompileErrorKind::Bitcode, String::new()))
    } else {
        Ok(Module(module))
    }
}

fn machine(module: Module, features: &str, level: u8) -> Result<LLVMTargetMachineRef, CompileError> {
    let triple = llvm!(LLVMGetTarget(module.0));
    let mut target = std::ptr::null_mut();
    let mut message = std::ptr::null_mut();
    if llvm!(LLVMGetTargetFromTriple(triple, &raw mut target, &raw mut message)) != 0 {
        return Err(failure(
            CompileErrorKind::Code,
            llvm::c_text(llvm::CText(message)),
        ));
    }
    let features = CString::new(features).unwrap_or_default();
    let level = match level {
        0 | 1 => LLVMCodeGenOptLevel::LLVMCodeGenLevelLess,
        2 => LLVMCodeGenOptLevel::LLVMCodeGenLevelDefault,
        _ => LLVMCodeGenOptLevel::LLVMCodeGenLevelAggressive,
    };
    let (relocation, model) = (LLVMRelocMode::LLVMRelocPIC, LLVMCodeModel::LLVMCodeModelSmall);
    let cpu = c"x86-64".as_ptr();
    let machine = llvm!(LLVMCreateTargetMachine(
        target,
        triple,
        cpu,
        features.as_ptr(),
        level,
        relocation,
        model
    ));
    if machine.is_null() {
        return Err(failure(CompileErrorKind::Code, "no target machine".to_owned()));
    }
    Ok(machine)
}

fn run_passes(
    module: Module,
    machine: LLVMTargetMachineRef,
    pipeline: Pipeline,
    level: &str,
) -> Result<(), CompileError> {
    let options = llvm!(LLVMCreatePassBuilderOptions());
    let switch = i32::from;
    llvm!(LLVMPassBuilderOptionsSetLoopVectorization(
        options,
        switch(pipeline.loop_vectorize)
    ));
    llvm!(LLVMPassBuilderOptionsSetSLPVectorization(
        options,
        switch(pipeline.slp_vectorize)
    ));
    llvm!(LLVMPassBuilderOptionsSetLoopInterleaving(
        options,
        switch(pipeline.interleave)
    ));
    llvm!(LLVMPassBuilderOptionsSetLoopUnrolling(
        options,
        switch(pipeline.unroll)
    ));
    let passes = CString::new(level).unwrap_or_default();
    let error = llvm!(LLVMRunPasses(module.0, passes.as_ptr(), machine, options));
    llvm!(LLVMDisposePassBuilderOptions(options));
    if error.is_null() {
        return Ok(());
    }
    let message = llvm!(LLVMGetErrorMessage(error));
    let text = llvm::c_text(llvm::CText(message));
    llvm!(LLVMDisposeErrorMessage(message));
    Err(failure(CompileErrorKind::Pipeline, text))
}

unsafe extern "C" {
    fn tidegate_stream_stores(root: LLVMValueRef, machine: LLVMTargetMachineRef, least_bytes: u64) -> u32;
}

/// Least that a loop must write before its stores go past the caches: more than a core's own caches keep.
const STREAMED_BYTES_MIN: u64 = 2 << 20;

/// Streams the stores of long loops past the caches. The result is verified: a fault in our own pass must cost
/// a variant, not a program.
fn stream_stores(module: Module, root: Value, machine: LLVMTargetMachineRef) -> Result<(), CompileError> {
    llvm!(tidegate_stream_stores(root.0, machine, STREAMED_BYTES_MIN));
    let mut message = std::ptr::null_mut();
    let action = LLVMVerifierFailureAction::LLVMReturnStatusAction;
    let broken = llvm!(LLVMVerifyModule(module.0, action, &raw mut message)) != 0;
    let text = llvm::c_text(llvm::CText(message));
    llvm!(LLVMDisposeMessage(message));
    if broken {
        Err(failure(CompileErrorKind::Pipeline, text))
    } else {
        Ok(())
    }
}

fn generate(module: Module, machine: LLVMTargetMachineRef) -> Result<Vec<u8>, CompileError> {
    let mut buffer = std::ptr::null_mut();
    let mut message = std::ptr::null_mut();
    let kind = LLVMCodeGenFileType::LLVMObjectFile;
    let failed = llvm!(LLVMTargetMachineEmitToMemoryBuffer(
        machine,
        module.0,
        kind,
        &raw mut message,
        &raw mut buffer
    )) != 0;
    if failed {
        return Err(failure(
            CompileErrorKind::Code,
            llvm::c_text(llvm::CText(message)),
        ));
    }
    llvm::buffer_bytes(llvm::Buffer(buffer)).ok_or_else(|| failure(CompileErrorKind::Code, String::new()))
}

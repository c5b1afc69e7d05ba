//! One compile: from a request to an image.

use crate::bind::{self, Anchors};
use crate::pipelines::{self, Pipeline};
use crate::{flatten, passes, prepare};
use llvm_sys::bit_reader::LLVMParseBitcodeInContext2;
use llvm_sys::core::*;
use llvm_sys::error::{LLVMDisposeErrorMessage, LLVMGetErrorMessage};
use llvm_sys::ir_reader::LLVMParseIRInContext2;
use llvm_sys::prelude::*;
use llvm_sys::support::LLVMParseCommandLineOptions;
use llvm_sys::target::*;
use llvm_sys::target_machine::*;
use llvm_sys::transforms::pass_builder::*;
use std::ffi::{CStr, CString, c_void};
use tidegate_format::blob::Blob;
use tidegate_format::image::{CpuFeatures, SPAN_ALIGNMENT};
use tidegate_format::request::{CompileError, CompileErrorKind, Request};
use tidegate_partition::llvm;
use tidegate_partition::llvm::{Module, Value};

/// Makes the image that the request asks for.
pub(crate) fn compile(request: &Request) -> Result<Vec<u8>, CompileError> {
    compile_in(new_context(), request)
}

fn compile_in(context: LLVMContextRef, request: &Request) -> Result<Vec<u8>, CompileError> {
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
    let module = parse(context, &bitcode)?;
    let root = body_of(module, root_name)?;
    let (machine, cpu_features) =
        optimise(module, root, request, (blob.optimisation_level, blob.size_level))?;
    let entry = bind::bind(module, root, &anchors)?;
    let object = generate(module, machine)?;
    let target = flatten::Target {
        scenario: request.scenario,
        cpu_features,
        hash: blob.hash,
        name: root_name,
        entry: &entry,
    };
    flatten::flatten(&object, &target, &anchors)
}

/// LLVM's record of a compile instead of its image: what was spilled, unrolled, vectorised.
pub(crate) fn record(request: &Request) -> Result<Vec<u8>, CompileError> {
    let context = new_context();
    let begun = llvm!(tidegate_record_begin(context));
    if begun.is_null() {
        return Err(failure(CompileErrorKind::Environment, "no record".to_owned()));
    }
    let done = compile_in(context, request);
    let text = llvm::buffer_bytes(llvm::Buffer(llvm!(tidegate_record_end(context, begun))));
    done.map(|_| text.unwrap_or_default())
}

/// The IR of `text` after the passes for `function` that the request names; its blob is not looked at.
pub(crate) fn passes_over(text: &[u8], function: &str, request: &Request) -> Result<Vec<u8>, CompileError> {
    let context = new_context();
    let mut module = std::ptr::null_mut();
    let mut message = std::ptr::null_mut();
    let buffer = llvm!(LLVMCreateMemoryBufferWithMemoryRangeCopy(
        text.as_ptr().cast(),
        text.len(),
        c"ir".as_ptr()
    ));
    if llvm!(LLVMParseIRInContext2(
        context,
        buffer,
        &raw mut module,
        &raw mut message
    )) != 0
    {
        return Err(failure(
            CompileErrorKind::Bitcode,
            llvm::c_text(llvm::CText(message)),
        ));
    }
    let module = Module(module);
    let root = body_of(module, function)?;
    optimise(module, root, request, (2, 0))?;
    Ok(llvm::c_text(llvm::CText(llvm!(LLVMPrintModuleToString(module.0)))).into_bytes())
}

/// The compile in its order: prepare, passes before, LLVM's pipeline, passes behind. Gives the machine, and what the
/// CPU must offer beyond what the program needs anyway.
fn optimise(
    module: Module,
    root: Value,
    request: &Request,
    (level, size_level): (u8, u8),
) -> Result<(LLVMTargetMachineRef, CpuFeatures), CompileError> {
    let pipeline = pipelines::pipeline(request.scenario, request.candidate)
        .ok_or_else(|| failure(CompileErrorKind::NoCandidate, String::new()))?;
    bind::ask_base_for_thread_locals(module);
    let prepared = prepare::prepare(module, root, request, pipeline)?;
    let machine = machine(module, &prepared.features, level)?;
    for pass in pipeline.before {
        passes::run(*pass, module, root, machine)?;
    }
    let name = pipelines::level_name(level, size_level, pipeline.small);
    run_passes(module, machine, pipeline, name)?;
    for pass in pipeline.after {
        passes::run(*pass, module, root, machine)?;
    }
    give_frames_pages(module);
    Ok((machine, prepared.cpu_features))
}

/// Unwinders find code by its page: where several functions may be passed by an exception, each has pages of its own.
fn give_frames_pages(module: Module) {
    let bodies = || llvm::functions(module).filter(|function| !function.is_declaration());
    if bodies().count() > 1 && bodies().any(|function| !function.has_attribute("nounwind")) {
        bodies().for_each(|function| function.set_alignment(SPAN_ALIGNMENT as u32));
    }
}

/// What `--version` prints: everything that makes an image of the same request another one.
pub(crate) fn version() -> String {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    llvm!(LLVMGetVersion(&raw mut major, &raw mut minor, &raw mut patch));
    let pipelines = pipelines::PIPELINE_VERSION;
    format!("tidegate-worker pipelines {pipelines}, serves, LLVM {major}.{minor}.{patch}\n")
}

fn failure(kind: CompileErrorKind, detail: String) -> CompileError {
    CompileError { kind, detail }
}

unsafe extern "C" {
    fn tidegate_record_begin(context: LLVMContextRef) -> *mut c_void;
    fn tidegate_record_end(context: LLVMContextRef, begun: *mut c_void) -> LLVMMemoryBufferRef;
}

/// A context for one compile. The process ends after it, so nothing of LLVM's is given back.
fn new_context() -> LLVMContextRef {
    initialize();
    let context = llvm!(LLVMContextCreate());
    llvm!(LLVMContextSetDiagnosticHandler(
        context,
        Some(ignore_diagnostic),
        std::ptr::null_mut()
    ));
    context
}

fn body_of(module: Module, name: &str) -> Result<Value, CompileError> {
    llvm::global(module, name)
        .filter(|root| root.is_function() && !root.is_declaration())
        .ok_or_else(|| failure(CompileErrorKind::Bitcode, format!("no body of {name}")))
}

/// What takes time once and not per compile.
pub(crate) fn initialize() {
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
    switch_vectorizers_off(pipeline);
    let options = llvm!(LLVMCreatePassBuilderOptions());
    let switch = i32::from;
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

/// LLVM 22 takes these two from its command line alone: what its C interface sets changes nothing. They hold for the
/// process, which compiles once.
fn switch_vectorizers_off(pipeline: Pipeline) {
    let switches = [
        (pipeline.loop_vectorize, c"-vectorize-loops=false"),
        (pipeline.slp_vectorize, c"-vectorize-slp=false"),
    ];
    let off = switches.iter().filter(|(on, _)| !on).map(|(_, words)| *words);
    let words: Vec<_> = std::iter::once(c"tidegate-worker")
        .chain(off)
        .map(CStr::as_ptr)
        .collect();
    if words.len() > 1 {
        llvm!(LLVMParseCommandLineOptions(
            i32::try_from(words.len()).unwrap_or_default(),
            words.as_ptr(),
            std::ptr::null()
        ));
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

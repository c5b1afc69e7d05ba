//! A thin layer over LLVM's C API: values as `Copy` handles, lists instead of cursors, text instead of pointers.
//!
//! Shared by the plugin and the worker. It knows nothing of selection, slots or images. Handles are not
//! lifetimed: whoever disposes of a module must drop its values first, as in LLVM itself.

use llvm_sys::comdat::*;
use llvm_sys::core::*;
use llvm_sys::prelude::*;
use llvm_sys::{LLVMLinkage, LLVMOpcode, LLVMUnnamedAddr};
use std::ffi::{CStr, CString, c_char, c_int, c_void};

/// Calls LLVM's C API. All of it is `unsafe` to Rust, for one reason.
#[macro_export]
macro_rules! llvm {
    ($function:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: every handle comes from a live module or context of the one thread that compiles, every
        // pointer outlives the call, and the callee is chosen by the handle's kind, which the caller checked.
        unsafe { $function($($argument),*) }
    };
}

unsafe extern "C" {
    fn tidegate_shim_split(
        root: LLVMValueRef,
        decide: extern "C" fn(*mut c_void, LLVMValueRef, u32) -> u32,
        state: *mut c_void,
    ) -> LLVMModuleRef;
    fn tidegate_shim_is_dso_local(value: LLVMValueRef) -> c_int;
    fn tidegate_shim_set_dso_local(value: LLVMValueRef, local: c_int);
    fn tidegate_shim_is_interposable(value: LLVMValueRef) -> c_int;
    fn tidegate_shim_has_comdat(value: LLVMValueRef) -> c_int;
    fn tidegate_shim_no_sanitize(value: LLVMValueRef);
    fn tidegate_shim_has_metadata(value: LLVMValueRef, kind: *const c_char) -> c_int;
    fn tidegate_shim_asks_for_vectors(instruction: LLVMValueRef) -> c_int;
    fn tidegate_shim_is_library_function(value: LLVMValueRef) -> c_int;
    fn tidegate_shim_size_of(value: LLVMValueRef) -> u64;
    fn tidegate_shim_compress(bytes: *const u8, length: usize, level: c_int) -> LLVMMemoryBufferRef;
    fn tidegate_shim_decompress(bytes: *const u8, compressed: usize, length: usize) -> LLVMMemoryBufferRef;
}

/// A module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Module(pub LLVMModuleRef);

/// Bytes that LLVM owns, until [`buffer_bytes`] takes them.
#[derive(Debug)]
pub struct Buffer(pub LLVMMemoryBufferRef);

/// Zero-terminated text that LLVM owns; may be null.
#[derive(Debug, Clone, Copy)]
pub struct CText(pub *const c_char);

/// A value: function, variable, instruction, constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value(pub LLVMValueRef);

/// Index of a function's or a call's own attributes (as opposed to those of its parameters).
pub const FUNCTION_ATTRIBUTES: u32 = u32::MAX;

/// The intrinsic by which code comes to the calling thread's copy of a variable; behind it the type's suffix.
pub const THREAD_LOCAL_ADDRESS: &str = "llvm.threadlocal.address";

impl Value {
    /// The handle, `None` for null.
    pub fn from_raw(raw: LLVMValueRef) -> Option<Self> {
        (!raw.is_null()).then_some(Self(raw))
    }

    /// The value's name, empty where it has none.
    pub fn name(self) -> String {
        let mut length = 0;
        let bytes = llvm!(LLVMGetValueName2(self.0, &raw mut length));
        text(bytes, length)
    }

    /// Renames the value.
    pub fn set_name(self, name: &str) {
        llvm!(LLVMSetValueName2(self.0, name.as_ptr().cast(), name.len()));
    }

    /// Whether this is a function (with or without a body).
    pub fn is_function(self) -> bool {
        !llvm!(LLVMIsAFunction(self.0)).is_null()
    }

    /// Whether this is a global variable.
    pub fn is_variable(self) -> bool {
        !llvm!(LLVMIsAGlobalVariable(self.0)).is_null()
    }

    /// Whether this is a function, variable, alias or ifunc.
    pub fn is_global(self) -> bool {
        !llvm!(LLVMIsAGlobalValue(self.0)).is_null()
    }

    /// Whether this is an instruction.
    pub fn is_instruction(self) -> bool {
        !llvm!(LLVMIsAInstruction(self.0)).is_null()
    }

    /// Whether this is a call (not an invoke).
    pub fn is_call(self) -> bool {
        !llvm!(LLVMIsACallInst(self.0)).is_null()
    }

    /// Whether this is a call or an invoke (a call that an exception may leave by another way).
    pub fn is_call_site(self) -> bool {
        self.is_call() || !llvm!(LLVMIsAInvokeInst(self.0)).is_null()
    }

    /// Whether this global has no body or initialiser here.
    pub fn is_declaration(self) -> bool {
        llvm!(LLVMIsDeclaration(self.0)) != 0
    }

    /// Whether this variable is thread-local.
    pub fn is_thread_local(self) -> bool {
        self.is_variable() && llvm!(LLVMIsThreadLocal(self.0)) != 0
    }

    /// The thread-local variable whose address this call asks for, where it is such a call.
    pub fn thread_local_asked_for(self) -> Option<Self> {
        let callee = self.is_call().then(|| self.called()).flatten()?;
        let asks = callee.is_function() && callee.name().starts_with(THREAD_LOCAL_ADDRESS);
        asks.then(|| self.operands().next()).flatten()
    }

    /// Whether this variable is constant.
    pub fn is_constant_variable(self) -> bool {
        self.is_variable() && llvm!(LLVMIsGlobalConstant(self.0)) != 0
    }

    /// The variable's initialiser.
    pub fn initializer(self) -> Option<Self> {
        Self::from_raw(llvm!(LLVMGetInitializer(self.0)))
    }

    /// Linkage of a global.
    pub fn linkage(self) -> LLVMLinkage {
        llvm!(LLVMGetLinkage(self.0))
    }

    /// Whether only this object sees the global's symbol.
    pub fn is_local(self) -> bool {
        matches!(
            self.linkage(),
            LLVMLinkage::LLVMInternalLinkage | LLVMLinkage::LLVMPrivateLinkage
        )
    }

    /// Whether the global's symbol is known to resolve within this link image.
    pub fn is_dso_local(self) -> bool {
        llvm!(tidegate_shim_is_dso_local(self.0)) != 0
    }

    /// Says whether the global's symbol resolves within this link image.
    pub fn set_dso_local(self, local: bool) {
        llvm!(tidegate_shim_set_dso_local(self.0, c_int::from(local)));
    }

    /// Whether the linker or loader may take another definition in place of this one.
    pub fn is_interposable(self) -> bool {
        llvm!(tidegate_shim_is_interposable(self.0)) != 0
    }

    /// Whether the global is in a COMDAT group.
    pub fn has_comdat(self) -> bool {
        llvm!(tidegate_shim_has_comdat(self.0)) != 0
    }

    /// Puts the global into the COMDAT group that `owner` is in, if any.
    pub fn join_comdat_of(self, owner: Self) {
        let group = llvm!(LLVMGetComdat(owner.0));
        if !group.is_null() {
            llvm!(LLVMSetComdat(self.0, group));
        }
    }

    /// Keeps sanitizers from padding the variable.
    pub fn exempt_from_sanitizers(self) {
        llvm!(tidegate_shim_no_sanitize(self.0));
    }

    /// Gives the global a section of its own although the section's name is shared, without merging it with
    /// another object's.
    pub fn set_own_section(self, module: Module, section: &CStr) {
        let name = CString::new(self.name()).unwrap_or_default();
        let comdat = llvm!(LLVMGetOrInsertComdat(module.0, name.as_ptr()));
        let kind = LLVMComdatSelectionKind::LLVMNoDuplicatesComdatSelectionKind;
        llvm!(LLVMSetComdatSelectionKind(comdat, kind));
        llvm!(LLVMSetComdat(self.0, comdat));
        self.set_section(section);
    }

    /// Places the global in a section.
    pub fn set_section(self, section: &CStr) {
        llvm!(LLVMSetSection(self.0, section.as_ptr()));
    }

    /// Whether metadata of `kind` is attached to the global.
    pub fn has_metadata(self, kind: &CStr) -> bool {
        llvm!(tidegate_shim_has_metadata(self.0, kind.as_ptr())) != 0
    }

    /// Whether this instruction closes a loop that the user wants in vectors.
    pub fn asks_for_vectors(self) -> bool {
        llvm!(tidegate_shim_asks_for_vectors(self.0)) != 0
    }

    /// Whether LLVM knows a library function by this function's name.
    pub fn is_library_function(self) -> bool {
        llvm!(tidegate_shim_is_library_function(self.0)) != 0
    }

    /// Bytes that the global takes in memory, 0 where unknown.
    pub fn size_bytes(self) -> u64 {
        llvm!(tidegate_shim_size_of(self.0))
    }

    /// The section that the user asked for, empty for none.
    pub fn section(self) -> String {
        let section = llvm!(LLVMGetSection(self.0));
        c_text(CText(section))
    }

    /// The function's own string attribute, `None` where it is absent.
    pub fn string_attribute(self, name: &str) -> Option<String> {
        let length = name.len() as u32;
        let attribute = llvm!(LLVMGetStringAttributeAtIndex(
            self.0,
            FUNCTION_ATTRIBUTES,
            name.as_ptr().cast(),
            length
        ));
        if attribute.is_null() {
            return None;
        }
        let mut length = 0;
        let value = llvm!(LLVMGetStringAttributeValue(attribute, &raw mut length));
        Some(text(value, length as usize))
    }

    /// Sets a string attribute on the function.
    pub fn set_string_attribute(self, name: &str, value: &str) {
        let context = llvm!(LLVMGetTypeContext(LLVMTypeOf(self.0)));
        let attribute = llvm!(LLVMCreateStringAttribute(
            context,
            name.as_ptr().cast(),
            name.len() as u32,
            value.as_ptr().cast(),
            value.len() as u32
        ));
        llvm!(LLVMAddAttributeAtIndex(self.0, FUNCTION_ATTRIBUTES, attribute));
    }

    /// Has the function or global begin at a multiple of `bytes`.
    pub fn set_alignment(self, bytes: u32) {
        llvm!(LLVMSetAlignment(self.0, bytes));
    }

    /// Whether the function itself has the attribute `name` (`naked`, `alwaysinline`, …).
    pub fn has_attribute(self, name: &str) -> bool {
        self.has_attribute_at(FUNCTION_ATTRIBUTES, name)
    }

    /// Whether the function's return (0), parameter (from 1) or itself has the attribute `name`.
    pub fn has_attribute_at(self, index: u32, name: &str) -> bool {
        !llvm!(LLVMGetEnumAttributeAtIndex(self.0, index, attribute_kind(name))).is_null()
    }

    /// Adds the attribute `name`, which takes no value, to the function.
    pub fn add_attribute(self, name: &str) {
        let context = llvm!(LLVMGetTypeContext(LLVMTypeOf(self.0)));
        let attribute = llvm!(LLVMCreateEnumAttribute(context, attribute_kind(name), 0));
        llvm!(LLVMAddAttributeAtIndex(self.0, FUNCTION_ATTRIBUTES, attribute));
    }

    /// Says of the function that it neither reads nor writes memory.
    pub fn set_no_memory(self) {
        let context = llvm!(LLVMGetTypeContext(LLVMTypeOf(self.0)));
        // The value of the attribute is a set of effects; the empty set is 0.
        let attribute = llvm!(LLVMCreateEnumAttribute(context, attribute_kind("memory"), 0));
        llvm!(LLVMAddAttributeAtIndex(self.0, FUNCTION_ATTRIBUTES, attribute));
    }

    /// Adds the attribute `name`, which takes no value, to the call itself.
    pub fn add_call_attribute(self, name: &str) {
        let context = llvm!(LLVMGetTypeContext(LLVMTypeOf(self.0)));
        let attribute = llvm!(LLVMCreateEnumAttribute(context, attribute_kind(name), 0));
        llvm!(LLVMAddCallSiteAttribute(self.0, FUNCTION_ATTRIBUTES, attribute));
    }

    /// Takes the attribute `name` from the function.
    pub fn remove_attribute(self, name: &str) {
        llvm!(LLVMRemoveEnumAttributeAtIndex(
            self.0,
            FUNCTION_ATTRIBUTES,
            attribute_kind(name)
        ));
    }

    /// The function's basic blocks.
    pub fn blocks(self) -> impl Iterator<Item = LLVMBasicBlockRef> {
        let first = llvm!(LLVMGetFirstBasicBlock(self.0));
        chain(first, |block| llvm!(LLVMGetNextBasicBlock(block)))
    }

    /// The function's instructions.
    pub fn instructions(self) -> impl Iterator<Item = Self> {
        self.blocks().flat_map(|block| {
            let first = llvm!(LLVMGetFirstInstruction(block));
            chain(first, |instruction| llvm!(LLVMGetNextInstruction(instruction))).map(Self)
        })
    }

    /// The instruction's kind.
    pub fn opcode(self) -> LLVMOpcode {
        llvm!(LLVMGetInstructionOpcode(self.0))
    }

    /// The operands of an instruction or constant.
    pub fn operands(self) -> impl Iterator<Item = Self> {
        let count = llvm!(LLVMGetNumOperands(self.0)).max(0) as u32;
        (0..count).filter_map(move |index| Self::from_raw(llvm!(LLVMGetOperand(self.0, index))))
    }

    /// Who uses the value, once per use.
    pub fn users(self) -> Vec<Self> {
        let first = llvm!(LLVMGetFirstUse(self.0));
        chain(first, |one| llvm!(LLVMGetNextUse(one)))
            .map(|one| Self(llvm!(LLVMGetUser(one))))
            .collect()
    }

    /// What a call calls: a function, a pointer, or inline assembly.
    pub fn called(self) -> Option<Self> {
        Self::from_raw(llvm!(LLVMGetCalledValue(self.0)))
    }

    /// Whether this is a call site whose callee is `function` itself, with the function's own type.
    pub fn is_direct_call_of(self, function: Self) -> bool {
        self.is_call_site()
            && self.called() == Some(function)
            && llvm!(LLVMGetCalledFunctionType(self.0)) == llvm!(LLVMGlobalGetValueType(function.0))
    }

    /// How often the value is used.
    pub fn use_count(self) -> usize {
        self.users().len()
    }

    /// The type of what the global stands for (a function's signature, a variable's content).
    pub fn value_type(self) -> LLVMTypeRef {
        llvm!(LLVMGlobalGetValueType(self.0))
    }

    /// Makes the global's symbol private to the object and keeps its other properties.
    pub fn set_linkage(self, linkage: LLVMLinkage) {
        llvm!(LLVMSetLinkage(self.0, linkage));
    }

    /// Says that the address does not matter, only the content.
    pub fn set_unnamed_address(self) {
        llvm!(LLVMSetUnnamedAddress(
            self.0,
            LLVMUnnamedAddr::LLVMGlobalUnnamedAddr
        ));
    }
}

/// The functions of a module, in order.
pub fn functions(module: Module) -> impl Iterator<Item = Value> {
    let first = llvm!(LLVMGetFirstFunction(module.0));
    chain(first, |function| llvm!(LLVMGetNextFunction(function))).map(Value)
}

/// The variables of a module, in order.
pub fn variables(module: Module) -> impl Iterator<Item = Value> {
    let first = llvm!(LLVMGetFirstGlobal(module.0));
    chain(first, |variable| llvm!(LLVMGetNextGlobal(variable))).map(Value)
}

/// The function, variable, alias or ifunc called `name`.
pub fn global(module: Module, name: &str) -> Option<Value> {
    let length = name.len();
    let name_text = CString::new(name).ok()?;
    let function = Value::from_raw(llvm!(LLVMGetNamedFunction(module.0, name_text.as_ptr())));
    let variable = || Value::from_raw(llvm!(LLVMGetNamedGlobal(module.0, name_text.as_ptr())));
    let alias = || {
        Value::from_raw(llvm!(LLVMGetNamedGlobalAlias(
            module.0,
            name.as_ptr().cast(),
            length
        )))
    };
    let ifunc = || {
        Value::from_raw(llvm!(LLVMGetNamedGlobalIFunc(
            module.0,
            name.as_ptr().cast(),
            length
        )))
    };
    function.or_else(variable).or_else(alias).or_else(ifunc)
}

/// Splits `root` off into a module of its own. `decide` is asked once per global that the new module comes to
/// refer to, with its distance from the root (0 = referred to by the root): `true` gives it its body or
/// initialiser (`available_externally`), `false` only its symbol.
pub fn split(root: Value, decide: &mut dyn FnMut(Value, u32) -> bool) -> Module {
    extern "C" fn trampoline(state: *mut c_void, value: LLVMValueRef, depth: u32) -> u32 {
        // SAFETY: `state` is the closure that `split` borrows for the length of the call.
        let decide = unsafe { &mut *state.cast::<&mut dyn FnMut(Value, u32) -> bool>() };
        u32::from(decide(Value(value), depth))
    }
    let mut decide = decide;
    Module(llvm!(tidegate_shim_split(
        root.0,
        trampoline,
        (&raw mut decide).cast()
    )))
}

/// Compresses with zstd at `level`; `None` where this LLVM has no zstd.
pub fn compress(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    buffer_bytes(Buffer(llvm!(tidegate_shim_compress(
        bytes.as_ptr(),
        bytes.len(),
        level
    ))))
}

/// Decompresses one zstd frame to exactly `length` bytes; `None` where it is damaged or of another length.
pub fn decompress(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    buffer_bytes(Buffer(llvm!(tidegate_shim_decompress(
        bytes.as_ptr(),
        bytes.len(),
        length
    ))))
}

/// Copies a memory buffer and disposes of it.
pub fn buffer_bytes(Buffer(buffer): Buffer) -> Option<Vec<u8>> {
    if buffer.is_null() {
        return None;
    }
    let (start, length) = (
        llvm!(LLVMGetBufferStart(buffer)),
        llvm!(LLVMGetBufferSize(buffer)),
    );
    // SAFETY: the buffer owns `length` bytes from `start` until it is disposed of below.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) }.to_vec();
    llvm!(LLVMDisposeMemoryBuffer(buffer));
    Some(bytes)
}

/// Text of LLVM's at `bytes`, of `length` bytes.
pub fn text(bytes: *const c_char, length: usize) -> String {
    if bytes.is_null() || length == 0 {
        return String::new();
    }
    // SAFETY: LLVM gave pointer and length of one string that it still owns.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// Zero-terminated text of LLVM's.
pub fn c_text(CText(bytes): CText) -> String {
    if bytes.is_null() {
        return String::new();
    }
    // SAFETY: LLVM gave a zero-terminated string that it still owns.
    unsafe { CStr::from_ptr(bytes) }.to_string_lossy().into_owned()
}

fn attribute_kind(name: &str) -> u32 {
    llvm!(LLVMGetEnumAttributeKindForName(name.as_ptr().cast(), name.len()))
}

fn chain<T>(first: *mut T, next: impl Fn(*mut T) -> *mut T) -> impl Iterator<Item = *mut T> {
    let some = |pointer: *mut T| (!pointer.is_null()).then_some(pointer);
    std::iter::successors(some(first), move |current| some(next(*current)))
}

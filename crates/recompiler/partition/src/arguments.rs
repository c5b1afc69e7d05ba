//! Which register each number that a function is called with travels in, by the calling convention (System V AMD64).

use crate::llvm;
use crate::llvm::Value;
use llvm_sys::LLVMTypeKind;
use llvm_sys::core::{LLVMCountParams, LLVMGetIntTypeWidth, LLVMGetParam, LLVMGetTypeKind, LLVMTypeOf};
use tidegate_format::arguments::{ArgumentLayout, FLOAT_REGISTERS, INTEGER_REGISTERS};

/// A parameter that is a number and is used, and where it travels.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// The parameter.
    pub parameter: Value,
    /// Its register, counted as in [`tidegate_format::request::Constant`].
    pub register: u8,
    /// Bits of its type.
    pub bits: u32,
}

/// The numbers among the function's parameters, up to the first of which it is not known where it travels.
pub fn arguments(function: Value) -> Vec<Argument> {
    let (mut integers, mut floats) = (0, 0);
    let mut arguments = Vec::new();
    for index in 0..llvm!(LLVMCountParams(function.0)) {
        let parameter = Value(llvm!(LLVMGetParam(function.0, index)));
        let has = |name: &&str| function.has_attribute_at(index + 1, name);
        if ["inreg", "nest", "inalloca", "preallocated"].iter().any(has) {
            break;
        }
        // Lies in the caller's frame, in no register.
        if has(&"byval") {
            continue;
        }
        let kind = llvm!(LLVMTypeOf(parameter.0));
        let (register, bits) = match llvm!(LLVMGetTypeKind(kind)) {
            LLVMTypeKind::LLVMPointerTypeKind => {
                integers += 1;
                continue;
            }
            LLVMTypeKind::LLVMIntegerTypeKind if llvm!(LLVMGetIntTypeWidth(kind)) <= 64 => {
                integers += 1;
                let register = (integers <= INTEGER_REGISTERS).then(|| integers - 1);
                (register, llvm!(LLVMGetIntTypeWidth(kind)))
            }
            number @ (LLVMTypeKind::LLVMFloatTypeKind | LLVMTypeKind::LLVMDoubleTypeKind) => {
                floats += 1;
                let register = (floats <= FLOAT_REGISTERS).then(|| INTEGER_REGISTERS + floats - 1);
                let is_double = number == LLVMTypeKind::LLVMDoubleTypeKind;
                (register, if is_double { 64 } else { 32 })
            }
            _ => break,
        };
        if let Some(register) = register.filter(|_| parameter.use_count() > 0) {
            arguments.push(Argument {
                parameter,
                register,
                bits,
            });
        }
    }
    arguments
}

/// The same for the records.
pub(crate) fn layout(function: Value) -> ArgumentLayout {
    let all = arguments(function).into_iter();
    all.fold(ArgumentLayout::default(), |layout, argument| {
        layout.with(argument.register, argument.bits)
    })
}

//! Tunables in the IR: `TIDEGATE_TUNABLE` of `tidegate.h` makes each use a call of [`READER`] with the
//! tunable's record. In blobs the calls stay; in the base they become the default as soon as the blobs are
//! taken; in a variant the worker puts the scenario's value in.

use crate::llvm;
use crate::llvm::{Module, Value};
use llvm_sys::core::*;

/// The function that stands for a tunable's value; no such function exists when a program runs.
pub const READER: &str = "__tidegate_tunable_value";

/// Field of the record that holds the default (see `tidegate_format::section::Tunable`).
const DEFAULT_FIELD: u32 = 2;
/// Field with the scenarios' pairs.
const VALUES_FIELD: u32 = 3;
/// Field with the name.
const NAME_FIELD: u32 = 5;

/// Replaces every use of a tunable by its default.
pub fn fold_defaults(module: Module) {
    fold(module, |tunable| Some(tunable.default));
}

/// A tunable's declaration, read from the IR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Value in the base.
    pub default: i64,
    /// Values in the order of `Scenario::TUNABLE`.
    pub values: Vec<Option<i64>>,
}

/// Replaces each use by what `value` says about it; `None` leaves it. Gives the number of uses replaced.
pub fn fold(module: Module, value: impl Fn(&Declared) -> Option<i64>) -> usize {
    let Some(reader) = llvm::global(module, READER) else {
        return 0;
    };
    let mut folded = 0;
    for call in reader
        .users()
        .into_iter()
        .filter(|user| user.is_direct_call_of(reader))
    {
        let Some(number) = declared(call).and_then(|tunable| value(&tunable)) else {
            continue;
        };
        let constant = llvm!(LLVMConstInt(LLVMTypeOf(call.0), number as u64, 1));
        llvm!(LLVMReplaceAllUsesWith(call.0, constant));
        llvm!(LLVMInstructionEraseFromParent(call.0));
        folded += 1;
    }
    folded
}

fn declared(call: Value) -> Option<Declared> {
    let record = call
        .operands()
        .next()
        .filter(|operand| operand.is_variable())?
        .initializer()?;
    let values = field(record, VALUES_FIELD)?;
    let pair = |index| {
        let pair = field(values, index)?;
        Some(
            number(field(pair, 0)?)?
                .ne(&0)
                .then_some(number(field(pair, 1)?)?),
        )
    };
    Some(Declared {
        name: record_name(field(record, NAME_FIELD)?),
        default: number(field(record, DEFAULT_FIELD)?)?,
        values: (0..5).map(pair).collect::<Option<_>>()?,
    })
}

fn field(aggregate: Value, index: u32) -> Option<Value> {
    Value::from_raw(llvm!(LLVMGetAggregateElement(aggregate.0, index)))
}

fn number(value: Value) -> Option<i64> {
    let is_integer = !llvm!(LLVMIsAConstantInt(value.0)).is_null();
    is_integer.then(|| llvm!(LLVMConstIntGetSExtValue(value.0)))
}

fn record_name(value: Value) -> String {
    let characters = (0..).map_while(|index| number(field(value, index)?));
    characters
        .take_while(|character| *character != 0)
        .map(|character| char::from(character as u8))
        .collect()
}

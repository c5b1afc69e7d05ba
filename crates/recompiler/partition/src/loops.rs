//! Long loops of functions that are entered once: each becomes a function of its own, so that a switch reaches it.
//!
//! A call that never comes again never takes a new target: a program whose work is a loop in `main` could not be
//! switched after its start. So, before blobs are taken, a loop *inside* another one becomes the function
//! `NAME.loop` (`NAME.loop.1`, …), and every turn of the outer loop is a call through its slot.
//!
//! The call costs about as much as ten instructions, so only loops are taken that run a few thousand per entry, by
//! the constant number of turns or by a guess. Telemetry may know better: a loop that is named in the list of
//! functions is taken from any function, whatever its length.
//!
//! Not here: the only loop of a function (without an outer loop there is no second call), and frames in backtraces,
//! which show the loop's function between the two that the source has.

use crate::llvm;
use crate::llvm::{Module, Value};
use crate::select::{self, Selection};
use llvm_sys::prelude::*;
use std::collections::HashSet;
use std::ffi::{c_int, c_void};

/// Between a function's name and what is added for its loops.
pub const LOOP_INFIX: &str = ".loop";
/// Most values that a loop may take: what fits into registers.
const INPUTS_MAX: u32 = 6;
/// Most values that a loop may give: each goes through memory.
const OUTPUTS_MAX: u32 = 1;
/// Most places where a loop may go on when it ends: the function's result tells which.
const EXITS_MAX: u32 = 2;
/// Fewest instructions per entry that pay for a call: ten are half a percent of them.
const WORK_INSTRUCTIONS_MIN: u64 = 2_000;
/// Turns that are assumed of a loop whose number is not constant.
const UNKNOWN_TURNS: u64 = 256;
/// Most loops that are taken from one function.
const LOOPS_MAX: u32 = 16;
/// Where a function's address goes that is entered once per call: the thread's function.
const THREAD_STARTERS: [&str; 2] = ["pthread_create", "thrd_create"];

/// What the shim knows about a loop; `LoopFacts` in `loops.cpp` has the same layout.
#[repr(C)]
struct LoopFacts {
    depth: u32,
    inputs: u32,
    outputs: u32,
    exits: u32,
    trips: u32,
    has_inner_loop: u32,
    instructions: *const LLVMValueRef,
    instruction_count: usize,
}

unsafe extern "C" {
    fn tidegate_shim_extract_loop(
        function: LLVMValueRef,
        decide: extern "C" fn(*mut c_void, *const LoopFacts) -> c_int,
        state: *mut c_void,
    ) -> LLVMValueRef;
    fn tidegate_shim_is_in_loop(instruction: LLVMValueRef) -> c_int;
}

/// Extracts what is worth it. Gives the names of the new functions.
pub fn extract(module: Module, selection: &Selection) -> HashSet<String> {
    let once = entered_once(module);
    let mut names = HashSet::new();
    let parents: Vec<_> = llvm::functions(module)
        .filter(|function| !function.is_declaration() && !returns_twice(*function))
        .collect();
    for parent in parents {
        let name = format!("{}{LOOP_INFIX}", parent.name());
        let is_listed = selection
            .listed
            .as_ref()
            .is_some_and(|listed| listed.contains(&name));
        let is_wanted = match &selection.listed {
            Some(listed) => listed.contains(&parent.name()) && once.contains(&parent),
            None => once.contains(&parent),
        };
        if is_listed || is_wanted {
            names.extend(extract_from(parent, &name, is_listed));
        }
    }
    names
}

fn extract_from(parent: Value, name: &str, is_listed: bool) -> Vec<String> {
    extern "C" fn decide(state: *mut c_void, facts: *const LoopFacts) -> c_int {
        // SAFETY: the shim hands over the flag that `extract_from` borrows, and facts that live during the call.
        let (is_listed, facts) = unsafe { (*state.cast::<bool>(), &*facts) };
        c_int::from(is_worth_it(facts, is_listed))
    }
    let mut state = is_listed;
    let extracted = (0..LOOPS_MAX).map_while(|number| {
        let function = Value::from_raw(llvm!(tidegate_shim_extract_loop(
            parent.0,
            decide,
            (&raw mut state).cast()
        )))?;
        let name = if number == 0 {
            name.to_owned()
        } else {
            format!("{name}.{number}")
        };
        function.set_name(&name);
        function.add_attribute("noinline");
        Some(function.name())
    });
    extracted.collect()
}

fn is_worth_it(facts: &LoopFacts, is_listed: bool) -> bool {
    let fits = facts.depth >= 2
        && facts.inputs <= INPUTS_MAX
        && facts.outputs <= OUTPUTS_MAX
        && facts.exits <= EXITS_MAX;
    let turns = match facts.trips {
        0 => UNKNOWN_TURNS,
        known => known.into(),
    };
    let inner_turns = if facts.has_inner_loop == 0 {
        1
    } else {
        UNKNOWN_TURNS
    };
    let work = turns * facts.instruction_count as u64 * inner_turns;
    if !fits || (!is_listed && work < WORK_INSTRUCTIONS_MIN) {
        return false;
    }
    // SAFETY: the shim's array lives during the call.
    let instructions = unsafe { std::slice::from_raw_parts(facts.instructions, facts.instruction_count) };
    instructions
        .iter()
        .all(|instruction| select::may_move(Value(*instruction)))
}

/// `main`, what threads start with, and what only these call, outside of their loops.
fn entered_once(module: Module) -> HashSet<Value> {
    let mut once = HashSet::new();
    let mut pending: Vec<_> = llvm::functions(module)
        .filter(|function| !function.is_declaration() && (is_main(*function) || starts_thread(*function)))
        .collect();
    while let Some(function) = pending.pop() {
        if !once.insert(function) {
            continue;
        }
        let callees = function
            .instructions()
            .filter(|instruction| instruction.is_call_site())
            .filter_map(|call| Some((call, call.called()?)));
        let called_once = callees.filter(|(call, callee)| {
            callee.is_function()
                && callee.is_local()
                && !callee.is_declaration()
                && callee.users() == [*call]
                && llvm!(tidegate_shim_is_in_loop(call.0)) == 0
        });
        pending.extend(called_once.map(|(_, callee)| callee));
    }
    once
}

/// Whether something in the function returns a second time (`setjmp`): what it keeps where must not change.
fn returns_twice(function: Value) -> bool {
    let mut calls = function.instructions().filter(|one| one.is_call_site());
    calls.any(|call| {
        call.called()
            .is_some_and(|callee| callee.is_function() && callee.has_attribute("returns_twice"))
    })
}

fn is_main(function: Value) -> bool {
    function.name() == "main" && function.use_count() == 0
}

fn starts_thread(function: Value) -> bool {
    let users = function.users();
    let is_start = |user: &Value| {
        user.is_call_site()
            && user
                .called()
                .is_some_and(|callee| callee != function && THREAD_STARTERS.contains(&callee.name().as_str()))
    };
    !users.is_empty() && users.iter().all(is_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(depth: u32, trips: u32, inputs: u32) -> LoopFacts {
        LoopFacts {
            depth,
            inputs,
            outputs: 0,
            exits: 1,
            trips,
            has_inner_loop: 0,
            instructions: std::ptr::dangling(),
            instruction_count: 0,
        }
    }

    #[test]
    fn a_loop_needs_an_outer_one_and_registers_for_what_it_takes() {
        // Listed, so that its length does not count.
        let check = |depth, inputs, expect| {
            assert_eq!(
                is_worth_it(&facts(depth, 0, inputs), true),
                expect,
                "{depth} {inputs}"
            );
        };
        check(1, 1, false);
        check(2, 6, true);
        check(2, 7, false);
        check(3, 0, true);
    }

    #[test]
    fn without_work_a_loop_stays() {
        assert!(!is_worth_it(&facts(2, 4, 0), false));
    }
}

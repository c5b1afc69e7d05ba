//! From an address in a process to one of its switchable functions.
//!
//! Why so: the files say where bodies lie, `/proc/<pid>/maps` where the files were mapped, and the switchboard what was
//! loaded beside them; nothing is asked of the process. Files are read once per identity.
//!
//! Not here: what of it can be switched now.

use super::mappings::{Mapping, Mappings};
use super::{Sample, Signal};
use crate::program::Program;
use std::collections::BTreeMap;
use std::sync::Arc;

/// More files than this at once are not kept.
const PROGRAM_LIMIT: usize = 256;

/// Loaded code of a function: start, length, name.
pub type LoadedRange = (u64, u64, String);

/// A mapping with switchable functions in it.
#[derive(Clone, Debug)]
struct Code {
    range: (u64, u64),
    program: Arc<Program>,
    load_bias: u64,
}

/// What is loaded in a process beside its files.
#[derive(Clone, Debug, Default)]
struct Loaded {
    ranges: Vec<LoadedRange>,
    functions: (usize, usize),
}

/// Resolves addresses; remembers processes and files.
#[derive(Debug, Default)]
pub struct Resolver {
    programs: BTreeMap<(String, u64), Arc<Program>>,
    processes: BTreeMap<u32, Vec<Code>>,
    loaded: BTreeMap<u32, Loaded>,
}

impl Resolver {
    /// Says what is loaded in a process beside its files. `functions` is how many functions the process has, and how
    /// many of them went away: where that changes, libraries came or went, and the process is looked at again.
    pub fn set_loaded(&mut self, process: u32, ranges: Vec<LoadedRange>, functions: (usize, usize)) {
        let loaded = self.loaded.entry(process).or_default();
        if loaded.functions != functions {
            self.processes.remove(&process);
        }
        *loaded = Loaded { ranges, functions };
    }

    /// Forgets processes that are not in `alive`, so that a reused number is looked at again.
    pub fn retain(&mut self, alive: impl Fn(u32) -> bool) {
        self.processes.retain(|process, _| alive(*process));
        self.loaded.retain(|process, _| alive(*process));
    }

    /// Whether a process's executable or libraries carry tidegate's sections.
    pub fn is_switchable(&mut self, process: u32) -> bool {
        !self.process(process).is_empty()
    }

    /// The function at `address`; `None` where it is none of the switchable ones.
    pub fn function(&mut self, process: u32, address: u64) -> Option<String> {
        let covers = |code: &&Code| (code.range.0..code.range.1).contains(&address);
        if let Some(code) = self.process(process).iter().find(covers) {
            let function = code.program.function_at(address.wrapping_sub(code.load_bias));
            return function.map(|function| function.name.clone());
        }
        let ranges = &self.loaded.get(&process)?.ranges;
        let range = ranges
            .iter()
            .find(|(start, length, _)| (*start..start + length).contains(&address));
        range.map(|(_, _, name)| name.clone())
    }

    /// The function that a sample belongs to. One of waiting is libc's: the first word of its stack that leads into a
    /// switchable function names the caller. One that was taken within a function was no wait.
    pub fn function_of(&mut self, sample: &Sample) -> Option<String> {
        let own = self.function(sample.process, sample.address);
        if sample.signal != Signal::Wait {
            return own;
        }
        let callers = sample.stack.iter().filter(|_| own.is_none());
        let mut found = callers.filter_map(|word| self.function(sample.process, *word));
        found.next()
    }

    fn process(&mut self, process: u32) -> &[Code] {
        if !self.processes.contains_key(&process) {
            // A process that cannot be read (it ended, or is another user's) is not switchable.
            let mapped = Mappings::of(process);
            let code = mapped.code().filter_map(|mapping| {
                let is_executable = mapped.is_executable(&mapping.file);
                self.look(process, mapping, is_executable)
            });
            let code = code.collect();
            self.processes.insert(process, code);
        }
        self.processes.get(&process).map_or(&[], Vec::as_slice)
    }

    fn look(&mut self, process: u32, mapping: &Mapping, is_executable: bool) -> Option<Code> {
        let program = if let Some(program) = self.programs.get(&mapping.file.identity) {
            Arc::clone(program)
        } else {
            let path = if is_executable {
                format!("/proc/{process}/exe").into()
            } else {
                mapping.file.real_path(process)
            };
            // What is no ELF file has no functions either, and is not read again.
            let program = Arc::new(Program::read(&path).unwrap_or_default());
            if self.programs.len() >= PROGRAM_LIMIT {
                self.programs.clear();
            }
            self.programs
                .insert(mapping.file.identity.clone(), Arc::clone(&program));
            program
        };
        if program.functions.is_empty() {
            return None;
        }
        let linked = program.linked_address(mapping.offset)?;
        Some(Code {
            range: mapping.range,
            load_bias: mapping.range.0.wrapping_sub(linked),
            program,
        })
    }
}

//! From an address in a process to one of its switchable functions.
//!
//! Why so: the executable's file says where bodies lie, `/proc/<pid>/maps` where the file was mapped, and the
//! switchboard what was loaded beside it; nothing is asked of the process. Files are read once per identity.
//!
//! Not here: functions of libraries; they count as not switchable.

use crate::VariantsError;
use crate::error::at;
use crate::program::Program;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More executables than this at once are not kept.
const PROGRAM_LIMIT: usize = 256;

/// Loaded code of a function: start, length, name.
pub type LoadedRange = (u64, u64, String);

/// One process's map from addresses to functions.
#[derive(Clone, Debug)]
struct Process {
    program: Arc<Program>,
    load_bias: u64,
}

/// Resolves addresses; remembers processes and executables.
#[derive(Debug, Default)]
pub struct Resolver {
    programs: BTreeMap<(u64, u64), Arc<Program>>,
    processes: BTreeMap<u32, Option<Process>>,
    loaded: BTreeMap<u32, Vec<LoadedRange>>,
}

impl Resolver {
    /// Says what is loaded in a process beside its executable.
    pub fn set_loaded(&mut self, process: u32, ranges: Vec<LoadedRange>) {
        self.loaded.insert(process, ranges);
    }

    /// Forgets processes that are not in `alive`, so that a reused number is looked at again.
    pub fn retain(&mut self, alive: impl Fn(u32) -> bool) {
        self.processes.retain(|process, _| alive(*process));
        self.loaded.retain(|process, _| alive(*process));
    }

    /// Whether a process's executable carries tidegate's sections.
    pub fn is_switchable(&mut self, process: u32) -> bool {
        self.process(process).is_some()
    }

    /// The function at `address`; `None` where it is none of the switchable ones.
    pub fn function(&mut self, process: u32, address: u64) -> Option<String> {
        let known = self.process(process)?;
        if let Some(function) = known.program.function_at(address.wrapping_sub(known.load_bias)) {
            return Some(function.name.clone());
        }
        let ranges = self.loaded.get(&process)?;
        let range = ranges
            .iter()
            .find(|(start, length, _)| (*start..start + length).contains(&address));
        range.map(|(_, _, name)| name.clone())
    }

    fn process(&mut self, process: u32) -> Option<&Process> {
        if !self.processes.contains_key(&process) {
            // A process that cannot be read (it ended, or is another user's) is not switchable.
            let found = self
                .look(process)
                .ok()
                .filter(|found| !found.program.functions.is_empty());
            self.processes.insert(process, found);
        }
        self.processes.get(&process)?.as_ref()
    }

    fn look(&mut self, process: u32) -> Result<Process, VariantsError> {
        let path = PathBuf::from(format!("/proc/{process}/exe"));
        let data = fs::metadata(&path).map_err(at(&path))?;
        let identity = (data.dev(), data.ino());
        let program = match self.programs.get(&identity) {
            Some(program) => Arc::clone(program),
            None => Arc::new(Program::read(&path)?),
        };
        if self.programs.len() >= PROGRAM_LIMIT {
            self.programs.clear();
        }
        self.programs.insert(identity, Arc::clone(&program));
        let load_bias = load_bias(process, &program, data.ino())?;
        Ok(Process { program, load_bias })
    }
}

/// Where the executable's code was mapped less where it was linked.
fn load_bias(process: u32, program: &Program, inode: u64) -> Result<u64, VariantsError> {
    let path = format!("/proc/{process}/maps");
    let text = fs::read_to_string(&path).map_err(at(Path::new(&path)))?;
    let found = text.lines().find_map(|line| code_mapping(line, inode));
    let bias = found.and_then(|(start, offset)| Some(start.wrapping_sub(program.linked_address(offset)?)));
    bias.ok_or_else(|| VariantsError::Elf {
        path: PathBuf::from(path),
        what: "its code is not mapped".to_owned(),
    })
}

/// Start and file offset of an executable mapping of the file with this inode.
fn code_mapping(line: &str, inode: u64) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (start, _) = fields.next()?.split_once('-')?;
    let access = fields.next()?;
    let offset = fields.next()?;
    let found: u64 = fields.nth(1)?.parse().ok()?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    (access.contains('x') && found == inode).then_some((number(start)?, number(offset)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_the_executable() {
        let line = "55d0c0001000-55d0c0005000 r-xp 00001000 fe:00 1234                       /tmp/app";
        assert_eq!(code_mapping(line, 1234), Some((0x55d0_c000_1000, 0x1000)));
        assert_eq!(code_mapping(line, 99), None);
        assert_eq!(code_mapping(&line.replace("r-xp", "r--p"), 1234), None);
        assert_eq!(code_mapping("garbage", 1234), None);
    }
}

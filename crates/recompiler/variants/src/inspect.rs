//! What is switchable in a process or a file, and why the rest is not, as it looks from outside: from the executable's
//! sections and from /proc. What a connected runtime adds, `client` adds.

use crate::VariantsError;
use crate::program::{Program, ProgramTunable};
use crate::switchboard::LoadedCode;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use tidegate_format::message::Reason;
use tidegate_format::scenario::Scenario;

/// A process or a file, inspected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The executable's path.
    pub executable: String,
    /// Whether its runtime is connected; `None` for a file.
    pub connected: Option<bool>,
    /// Why nothing can be switched; empty if something can.
    pub reason: String,
    /// Switchable functions.
    pub functions: Vec<InspectedFunction>,
    /// What is not switchable, and why.
    pub refused: Vec<(String, String)>,
    /// Declared tunables.
    pub tunables: Vec<ProgramTunable>,
    /// Bytes of all blobs.
    pub blob_bytes: u64,
}

/// One function of an [`Inspection`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedFunction {
    /// Its linker name.
    pub name: String,
    /// The library that it belongs to; empty for the executable itself.
    #[serde(default)]
    pub library: String,
    /// Identity of its blob.
    pub hash: String,
    /// Address of its base code: in the process, or as linked.
    pub address: u64,
    /// Bytes of its blob.
    pub blob_bytes: u32,
    /// What its slot leads to.
    pub current: String,
    /// What is loaded.
    pub loaded: Vec<String>,
    /// Where its variants' code lies.
    #[serde(default)]
    pub code: Vec<VariantCode>,
    /// Why it is not switchable here; empty if it is.
    pub reason: String,
}

/// Code of a variant in a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantCode {
    /// What it is for.
    pub scenario: String,
    /// Address of its first byte.
    pub address: u64,
    /// Its length.
    pub bytes: u64,
}

/// Where the code of one function's variants lies.
pub(crate) fn code_of(loaded: &[LoadedCode], function: u32) -> Vec<VariantCode> {
    let own = loaded.iter().filter(|code| code.function == function);
    let code = own.map(|code| VariantCode {
        scenario: code.scenario.name().to_owned(),
        address: code.start,
        bytes: code.bytes,
    });
    code.collect()
}

/// Empty where there is none.
pub(crate) fn reason_text(reason: Reason) -> String {
    if reason == Reason::None {
        String::new()
    } else {
        reason.text().to_owned()
    }
}

/// A process as it looks from outside: its executable's sections, and why no runtime is connected.
///
/// # Errors
/// [`VariantsError::File`], [`VariantsError::Elf`].
pub fn inspect_process(process: u32) -> Result<Inspection, VariantsError> {
    let path = format!("/proc/{process}/exe");
    let mut inspection = inspect_file(Path::new(&path))?;
    inspection.executable = fs::read_link(&path).map_or(path, |path| path.display().to_string());
    inspection.connected = Some(false);
    inspection.reason = why_not_connected(process);
    Ok(inspection)
}

/// What an executable on disk carries.
///
/// # Errors
/// [`VariantsError::File`], [`VariantsError::Elf`].
pub fn inspect_file(path: &Path) -> Result<Inspection, VariantsError> {
    let program = Program::read(path)?;
    let functions = program.functions.iter().map(|function| InspectedFunction {
        library: String::new(),
        name: function.name.clone(),
        hash: function.hash.to_string(),
        address: function.address,
        blob_bytes: function.blob_bytes,
        current: Scenario::Base.name().to_owned(),
        loaded: Vec::new(),
        code: Vec::new(),
        reason: String::new(),
    });
    Ok(Inspection {
        executable: path.display().to_string(),
        connected: None,
        reason: without_functions(&program).unwrap_or_default().to_owned(),
        functions: functions.collect(),
        refused: program.refused,
        tunables: program.tunables,
        blob_bytes: program.section_bytes.0,
    })
}

/// Why a file has no switchable function, where it has none.
fn without_functions(program: &Program) -> Option<&'static str> {
    let built = program.has_runtime || !program.refused.is_empty();
    let reason = if built {
        "none of its own functions is large enough or can be made switchable"
    } else {
        Reason::NoSections.text()
    };
    program.functions.is_empty().then_some(reason)
}

/// The likeliest reason why a process has no runtime connected, from what /proc tells.
pub(crate) fn why_not_connected(process: u32) -> String {
    let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else {
        return "there is no such process".to_owned();
    };
    let program = Program::read(Path::new(&format!("/proc/{process}/exe")));
    if program.is_ok_and(|program| !program.has_runtime) {
        return Reason::NoSections.text().to_owned();
    }
    if status_field(&status, "Seccomp").is_some_and(|mode| mode != "0") {
        return Reason::Seccomp.text().to_owned();
    }
    "no daemon served the runtime's socket when it started, or it is not dumpable, or it imports unshare or setns"
        .to_owned()
}

/// A field of `/proc/<pid>/status`.
pub(crate) fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = status.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim())
}

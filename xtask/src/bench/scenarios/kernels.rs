//! The kernels and programs of the bench.

use crate::bench::recompiler::programs::Program;
use crate::workspace::Workspace;
use anyhow::Result;
use std::path::PathBuf;
use tidegate_types::Scenario;

/// Scenarios with a neighbour that contends. Disk and network are reached by tunables alone and have none here.
pub(crate) const SCENARIOS: [Scenario; 2] = [Scenario::Cpu, Scenario::Memory];

/// A kernel or a program.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) flags: Vec<String>,
    /// The functions that get slots; none = the hot ones, as sampling shows them.
    pub(crate) functions: Option<&'static str>,
    /// Whether its source holds a lever by hand, behind `CONTROL`.
    pub(crate) has_control: bool,
    /// The foreign program that it is, to be watched.
    pub(crate) program: Option<Program>,
}

/// Name and file, the selected function, whether there is a control.
const KERNELS: [(&str, &str, bool); 14] = [
    ("triad", "triad", true),
    ("convert", "convert", true),
    ("stencil", "stencil", false),
    ("gemm", "gemm", false),
    ("scan", "scan", false),
    ("fir", "fir", true),
    ("group", "group", true),
    ("join", "join", true),
    ("batch", "steps", true),
    ("records", "record", true),
    ("chase", "chase", false),
    ("crc", "crc", false),
    ("bodies", "attract", false),
    ("tokens", "tokens", false),
];

impl Kernel {
    /// All of them.
    pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Self>> {
        let folder = workspace.root.join("xtask/bench/kernels");
        let kernel = |(name, function, has_control)| Self {
            name,
            sources: vec![folder.join(format!("{name}.c"))],
            flags: vec!["-lm".to_owned()],
            functions: Some(function),
            has_control,
            program: None,
        };
        let mut all: Vec<Self> = KERNELS.into_iter().map(kernel).collect();
        all.extend(Program::all(workspace)?.into_iter().map(|program| Self {
            name: program.name,
            sources: program.sources.clone(),
            flags: program.flags.clone(),
            functions: None,
            has_control: false,
            program: Some(program),
        }));
        Ok(all)
    }
}

//! The kernels and programs of the bench.

use crate::bench::recompiler::programs::Program;
use crate::workspace::Workspace;
use anyhow::Result;
use std::path::PathBuf;
use tidegate_types::Scenario;

/// What programs that compute are played under.
const COMPUTING: &[Scenario] = &[Scenario::Cpu, Scenario::Memory];
/// What moves much memory can harm others, too.
const MOVING: &[Scenario] = &[Scenario::Cpu, Scenario::Memory, Scenario::Neighbour];

/// A kernel or a program.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) flags: Vec<String>,
    /// The functions that get slots; none = the hot ones, as sampling shows them.
    pub(crate) functions: Option<&'static str>,
    /// The scenarios that it is played under.
    pub(crate) scenarios: &'static [Scenario],
    /// Whether its source holds a lever by hand, behind `CONTROL`.
    pub(crate) has_control: bool,
    /// The foreign program that it is, to be watched.
    pub(crate) program: Option<Program>,
}

/// Name and file, the selected function, whether there is a control, and what it is played under.
const KERNELS: [(&str, &str, bool, &[Scenario]); 16] = [
    ("triad", "triad", true, MOVING),
    ("convert", "convert", true, MOVING),
    ("stencil", "stencil", false, MOVING),
    ("gemm", "gemm", false, COMPUTING),
    ("scan", "scan", false, COMPUTING),
    ("fir", "fir", true, COMPUTING),
    ("group", "group", true, COMPUTING),
    ("join", "join", true, COMPUTING),
    ("batch", "steps", true, COMPUTING),
    ("records", "record", true, COMPUTING),
    ("chase", "chase", false, COMPUTING),
    ("crc", "crc", false, COMPUTING),
    ("bodies", "attract", false, COMPUTING),
    ("tokens", "tokens", false, COMPUTING),
    ("append", "append", true, &[Scenario::Disk]),
    ("deliver", "deliver", true, &[Scenario::Network]),
];

impl Kernel {
    /// All of them.
    pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Self>> {
        let folder = workspace.root.join("xtask/bench/kernels");
        let kernel = |(name, function, has_control, scenarios): (_, _, _, &'static [Scenario])| Self {
            name,
            sources: vec![folder.join(format!("{name}.c"))],
            flags: flags(scenarios),
            functions: Some(function),
            scenarios,
            has_control,
            program: None,
        };
        let mut all: Vec<Self> = KERNELS.into_iter().map(kernel).collect();
        all.extend(Program::all(workspace)?.into_iter().map(|program| Self {
            name: program.name,
            sources: program.sources.clone(),
            flags: program.flags.clone(),
            functions: None,
            scenarios: COMPUTING,
            has_control: false,
            program: Some(program),
        }));
        Ok(all)
    }
}

/// Whether what a program costs is the time that passes: it waits more than it computes.
pub(crate) fn costs_elapsed_time(scenario: Scenario) -> bool {
    matches!(scenario, Scenario::Disk | Scenario::Network)
}

fn flags(scenarios: &[Scenario]) -> Vec<String> {
    let waits = scenarios.iter().any(|&scenario| costs_elapsed_time(scenario));
    let flags = if waits {
        &["-pthread", "-DELAPSED"][..]
    } else {
        &["-lm"]
    };
    flags.iter().map(|&flag| flag.to_owned()).collect()
}

//! The builds that are compared: static ones by clang, and tidegate's.

use super::kernels::Kernel;
use crate::bench::recompiler::programs::Program;
use crate::bench::recompiler::{Tools, succeed};
use anyhow::{Context, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arm {
    O2,
    O3,
    Native,
    /// As native, with products and sums contracted: its results differ.
    Contracted,
    /// -O2 with the lever by hand.
    Control,
    /// -O2 by tidegate's compiler, and what it chose.
    Tidegate,
}

impl Arm {
    /// What a user could have built instead.
    pub(crate) const STATIC: [Self; 3] = [Self::O2, Self::O3, Self::Native];
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 6] = [
        Self::O2,
        Self::O3,
        Self::Native,
        Self::Contracted,
        Self::Control,
        Self::Tidegate,
    ];

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::O2 | Self::Tidegate => &["-O2", "-ffp-contract=off"],
            Self::O3 => &["-O3", "-ffp-contract=off"],
            Self::Native => &["-O3", "-march=native", "-ffp-contract=off"],
            Self::Contracted => &["-O3", "-march=native", "-ffp-contract=fast"],
            Self::Control => &["-O2", "-ffp-contract=off", "-DCONTROL"],
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::O2 => "-O2",
            Self::O3 => "-O3",
            Self::Native => "-O3 -march=native",
            Self::Contracted => "contracted",
            Self::Control => "control",
            Self::Tidegate => "tidegate",
        })
    }
}

/// The files of one kernel.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) files: Vec<(Arm, PathBuf)>,
}

impl Built {
    /// Builds every arm.
    pub(crate) fn build(kernel: &Kernel, tools: &Tools, folder: &Path) -> Result<Self> {
        let folder = folder.join(kernel.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut files = Vec::new();
        for arm in Arm::ALL {
            if arm == Arm::Control && !kernel.has_control || arm == Arm::Tidegate {
                continue;
            }
            let mut command = Command::new("clang-22");
            files.push((arm, compile(&mut command, kernel, arm, &folder)?));
        }
        let list = folder.join("functions");
        match (kernel.functions, &kernel.program) {
            (Some(function), _) => std::fs::write(&list, function).context("the list of functions")?,
            (None, Some(_)) => {
                let plain = &files.first().context("no build")?.1;
                Program::hot_functions(plain, Duration::from_secs(4))?.write(&list)?;
            }
            (None, None) => {}
        }
        let mut command = Command::new(tools.compiler());
        command.env("TIDEGATE_FUNCTIONS", &list);
        files.push((
            Arm::Tidegate,
            compile(&mut command, kernel, Arm::Tidegate, &folder)?,
        ));
        Ok(Self { files })
    }

    /// The file of one arm.
    pub(crate) fn file(&self, arm: Arm) -> Result<&Path> {
        let found = self.files.iter().find(|(known, _)| *known == arm);
        found
            .map(|(_, file)| file.as_path())
            .with_context(|| format!("there is no build {arm}"))
    }
}

fn compile(command: &mut Command, kernel: &Kernel, arm: Arm, folder: &Path) -> Result<PathBuf> {
    let out = folder.join(format!("{arm}").replace(' ', ""));
    command
        .args(arm.flags())
        .arg("-w")
        .args(&kernel.sources)
        .args(&kernel.flags)
        .arg("-o")
        .arg(&out);
    succeed(command).map(|()| out)
}

//! The batch program, compiled by our own compiler driver where it is there.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the batch spends its time.
pub(super) const HOT_FUNCTION: &str = "multiply";

/// A compiled batch program.
pub(crate) struct Program {
    /// The executable.
    pub(crate) path: PathBuf,
    /// Whether its functions can be switched.
    pub(crate) switchable: bool,
}

/// Compiles `xtask/demo/batch.c` with `tidegate cc`, else with the system's compiler.
pub(crate) fn compile(workspace: &Workspace, tidegate: &Path) -> Result<Program> {
    let folder = workspace.target.join("demo");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("batch");
    let source = workspace.root.join("xtask/demo/batch.c");
    let compile = |mut command: Command| {
        command.args(["-O2", "-pthread", "-o"]).arg(&path).arg(&source);
        command
            .output()
            .with_context(|| format!("cannot run {command:?}"))
    };
    // The hot function is small; a list, such as telemetry writes, selects it all the same.
    let list = folder.join("functions.txt");
    std::fs::write(&list, HOT_FUNCTION).with_context(|| format!("cannot write {}", list.display()))?;
    let mut own = Command::new(tidegate);
    own.arg("cc").env("TIDEGATE_FUNCTIONS", &list);
    let said = match compile(own) {
        Ok(output) if output.status.success() => {
            return Ok(Program {
                path,
                switchable: true,
            });
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("{error:#}"),
    };
    println!("`tidegate cc` cannot compile the batch here, so its code stays as it is: {said}");
    let output = compile(Command::new("cc"))?;
    if !output.status.success() {
        bail!("cc failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(Program {
        path,
        switchable: false,
    })
}

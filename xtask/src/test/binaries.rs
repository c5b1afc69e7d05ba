//! Builds every test binary in one go and lists them.

use super::suite::{self, Suite};
use crate::workspace::{Workspace, cargo, llvm_prefix};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// One test binary.
pub(crate) struct TestBinary {
    /// Package, and target where it is not the library.
    pub(crate) name: String,
    executable: PathBuf,
    folder: PathBuf,
}

impl TestBinary {
    /// Runs it as cargo would: in its package's folder.
    pub(crate) fn run(self) -> Suite {
        let mut command = Command::new(&self.executable);
        // Captured output of passing tests is shown, because it holds the SKIP lines.
        command
            .arg("--show-output")
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder);
        suite::run_counted(&self.name, command)
    }
}

/// Which packages are built here: all of them with LLVM 22 (its clang compiles the BPF programs, too), else those
/// that need none.
pub(crate) fn selection() -> &'static [&'static str] {
    if llvm_prefix().is_some() {
        &["--workspace", "--features", "tidegate-telemetry/bpf"]
    } else {
        &[]
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds all targets of all packages that can be built here.
pub(crate) fn build(workspace: &Workspace) -> Result<(Suite, Vec<TestBinary>)> {
    println!("== build");
    let start = Instant::now();
    let mut command = Command::new(cargo());
    command
        .args([
            "build",
            "--keep-going",
            "--lib",
            "--bins",
            "--tests",
            "--message-format=json-render-diagnostics",
        ])
        .args(selection())
        .current_dir(&workspace.root)
        .stderr(Stdio::inherit());
    if let Some(prefix) = llvm_prefix() {
        command.env("LLVM_SYS_221_PREFIX", prefix);
    }
    let output = command.output().context("cannot run `cargo build`")?;
    let succeeded = output.status.success();
    let suite = Suite {
        name: "build".to_owned(),
        passed: usize::from(succeeded),
        failed: usize::from(!succeeded),
        failures: if succeeded {
            Vec::new()
        } else {
            vec!["does not build".to_owned()]
        },
        elapsed: start.elapsed(),
        ..Suite::default()
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut binaries: Vec<TestBinary> = text
        .lines()
        .filter_map(|line| test_binary(workspace, line))
        .collect();
    binaries.sort_by(|left, right| left.name.cmp(&right.name));
    Ok((suite, binaries))
}

/// A line of cargo's output that names a test binary of a library, binary or `tests/` target.
fn test_binary(workspace: &Workspace, line: &str) -> Option<TestBinary> {
    let message: Message = serde_json::from_str(line).ok()?;
    if message.reason != "compiler-artifact" || !message.profile?.test {
        return None;
    }
    let target = message.target?;
    let kind = target.kind.first()?.as_str();
    if kind == "bench" || kind == "example" {
        return None;
    }
    let manifest = message.manifest_path?;
    let package = workspace
        .packages
        .iter()
        .find(|package| package.manifest_path == manifest)?;
    let name = if kind == "test" || kind == "bin" {
        format!("{} ({kind} {})", package.name, target.name)
    } else {
        package.name.clone()
    };
    Some(TestBinary {
        name,
        executable: message.executable?,
        folder: package.folder().to_owned(),
    })
}

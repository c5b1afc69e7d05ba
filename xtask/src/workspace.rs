//! Where the workspace is and what is in it, as cargo tells it.
//!
//! Everything else asks here, so that no tool guesses at paths. It does not read sources.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One package of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    /// As in its manifest.
    pub(crate) name: String,
    /// Full path of its `Cargo.toml`.
    pub(crate) manifest_path: PathBuf,
    /// What it depends on, of any kind.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line under `[dependencies]` or its sisters.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package's name.
    pub(crate) name: String,
    /// `dev`, `build`, or none for a normal one.
    pub(crate) kind: Option<String>,
}

impl Package {
    /// The folder that holds the manifest.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("."))
    }
}

/// The workspace as cargo sees it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Workspace {
    /// Members only.
    pub(crate) packages: Vec<Package>,
    /// Folder with the root manifest.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where builds go.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks `cargo metadata` about the workspace around the current folder.
    pub(crate) fn load() -> Result<Self> {
        let output = Command::new(cargo())
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(root()?)
            .output()
            .context("cannot run `cargo metadata`")?;
        if !output.status.success() {
            bail!(
                "`cargo metadata` failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        serde_json::from_slice(&output.stdout).context("`cargo metadata` gave something unexpected")
    }

    /// Where `target/bench/NAME.json` goes.
    pub(crate) fn bench_folder(&self) -> PathBuf {
        self.target.join("bench")
    }
}

/// The folder of a foreign package's sources, as locked, whether or not it is built.
pub(crate) fn foreign_sources(package: &str) -> Result<PathBuf> {
    let output = Command::new(cargo())
        .args(["metadata", "--format-version", "1", "--all-features"])
        .current_dir(root()?)
        .output()
        .context("cannot run `cargo metadata`")?;
    if !output.status.success() {
        bail!(
            "`cargo metadata` failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let workspace: Workspace =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` gave something unexpected")?;
    let found = workspace.packages.iter().find(|found| found.name == package);
    found
        .map(|found| found.folder().to_owned())
        .with_context(|| format!("the package {package} is not locked"))
}

/// The cargo that runs us, else the one on the path.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The nearest folder upwards that holds `xtask/Cargo.toml`.
pub(crate) fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("no current folder")?;
    here.ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file())
        .map(Path::to_path_buf)
        .context("not inside the workspace: no xtask/Cargo.toml above the current folder")
}

/// LLVM 22's folder, where it is installed: `LLVM_SYS_221_PREFIX`, else Debian's place.
pub(crate) fn llvm_prefix() -> Option<PathBuf> {
    let prefix = std::env::var_os("LLVM_SYS_221_PREFIX")
        .map_or_else(|| PathBuf::from("/usr/lib/llvm-22"), PathBuf::from);
    prefix.join("bin/llvm-config").is_file().then_some(prefix)
}

/// True on a continuous-integration host.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

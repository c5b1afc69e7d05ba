//! Where the compiler, the plugin, the runtime and the header are on this machine.
//!
//! Only looks, never runs or writes anything.

use crate::DriverError;
use std::env;
use std::path::{Path, PathBuf};

/// Names another clang than `clang-22` in the path.
pub const CLANG_VARIABLE: &str = "TIDEGATE_CLANG";
/// Names the folder of plugin, runtime and header.
pub const LIBRARY_VARIABLE: &str = "TIDEGATE_LIB_DIR";

const PLUGIN: &str = "libtidegate_partition.so";
const RUNTIME: &str = "libtidegate_runtime.a";
const HEADER: &str = "tidegate.h";
const DEBIAN_CLANG: &str = "/usr/lib/llvm-22/bin/clang";

/// The files that one invocation needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// clang 22.
    pub clang: PathBuf,
    /// The partition plugin.
    pub plugin: PathBuf,
    /// The runtime's archive; `None` where it is not built: executables are then not switchable while they run.
    pub runtime: Option<PathBuf>,
    /// The folder of `tidegate.h`, where it is found.
    pub include: Option<PathBuf>,
}

impl Tools {
    /// Looks for all of them.
    pub fn find() -> Result<Self, DriverError> {
        let folders = library_folders();
        let places = || {
            folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let plugin = first_file(&folders, PLUGIN);
        let plugin = plugin.ok_or_else(|| DriverError::Missing {
            what: PLUGIN,
            places: places(),
        })?;
        Ok(Self {
            clang: find_clang()?,
            plugin,
            runtime: first_file(&folders, RUNTIME),
            include: find_include(&folders),
        })
    }
}

/// The folders in which plugin and runtime are looked for, best first.
pub fn library_folders() -> Vec<PathBuf> {
    if let Some(folder) = env::var_os(LIBRARY_VARIABLE) {
        return vec![PathBuf::from(folder)];
    }
    let executable = env::current_exe()
        .and_then(std::fs::canonicalize)
        .unwrap_or_default();
    let Some(folder) = executable.parent() else {
        return Vec::new();
    };
    let mut folders = vec![folder.to_owned(), folder.join("../lib/tidegate")];
    // A test's executable stands in a folder below the one that holds the libraries.
    if folder.ends_with("deps") {
        folders.extend(folder.parent().map(Path::to_owned));
    } else {
        folders.push(folder.join("deps"));
    }
    folders
}

fn find_clang() -> Result<PathBuf, DriverError> {
    if let Some(clang) = env::var_os(CLANG_VARIABLE) {
        return Ok(PathBuf::from(clang));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|folder| folder.join("clang-22"));
    let mut candidates = in_path.chain([PathBuf::from(DEBIAN_CLANG)]);
    candidates
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| DriverError::Missing {
            what: "clang-22",
            places: format!("PATH, {DEBIAN_CLANG}"),
        })
}

fn find_include(folders: &[PathBuf]) -> Option<PathBuf> {
    let built_from = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/include"));
    let candidates = folders
        .iter()
        .map(|folder| folder.join("include"))
        .chain([built_from]);
    candidates
        .into_iter()
        .find(|folder| folder.join(HEADER).is_file())
}

fn first_file(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

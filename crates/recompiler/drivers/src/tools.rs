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
const LIBRARY: &str = "libtidegate_library.a";
const HEADER: &str = "tidegate.h";
const DEBIAN_CLANG: &str = "/usr/lib/llvm-22/bin/clang";

/// Whose libraries are linked, and what a source without a known ending is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// As `clang`.
    C,
    /// As `clang++`.
    CPlusPlus,
}

/// The files that one invocation needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// clang 22.
    pub clang: PathBuf,
    /// The partition plugin.
    pub plugin: PathBuf,
    /// The runtime's archive; `None` where it is not built: executables are then not switchable while they run.
    pub runtime: Option<PathBuf>,
    /// What libraries carry of it: their word to the executable's runtime. `None` as for the runtime.
    pub library: Option<PathBuf>,
    /// The folder of `tidegate.h`, where it is found.
    pub include: Option<PathBuf>,
}

impl Tools {
    /// Looks for all of them; the compiler is the one for C.
    pub fn find() -> Result<Self, DriverError> {
        Self::find_for(Language::C)
    }

    /// Looks for all of them, with the compiler whose name says `language`.
    pub fn find_for(language: Language) -> Result<Self, DriverError> {
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
            clang: match language {
                Language::C => find_clang()?,
                Language::CPlusPlus => beside(&find_clang()?)?,
            },
            plugin,
            runtime: first_file(&folders, RUNTIME),
            library: first_file(&folders, LIBRARY),
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

/// The C++ compiler beside the C compiler: `clang++-22` beside `clang-22`.
fn beside(clang: &Path) -> Result<PathBuf, DriverError> {
    let name = clang
        .file_name()
        .map(|name| name.to_string_lossy().replacen("clang", "clang++", 1));
    let found = clang.with_file_name(name.unwrap_or_default());
    // A name without a folder is looked up in the path by the system.
    if found.components().count() == 1 || found.is_file() {
        return Ok(found);
    }
    Err(DriverError::Missing {
        what: "clang++",
        places: found.display().to_string(),
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

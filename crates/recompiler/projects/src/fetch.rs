//! Sources: Debian's source packages by apt, which checks signatures, and crates by cargo, which checks hashes.

use crate::{ProjectError, at};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where Debian's sources come from.
const DEBIAN: &str = "Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

/// A project's pinned origin.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// `package=version`.
    Debian(&'static str),
    /// The name of a crate that this room depends on, which pins it.
    Crate(&'static str),
}

/// Puts the sources into a folder below `folder`; `kept` is for what the next fetch can use again.
///
/// # Errors
/// [`ProjectError::Sources`] where they are not to be had, [`ProjectError::File`].
pub fn fetch(source: Source, folder: &Path, kept: &Path) -> Result<PathBuf, ProjectError> {
    match source {
        Source::Debian(package) => debian(package, folder, kept),
        Source::Crate(name) => from_crate(name, folder),
    }
}

fn debian(package: &str, folder: &Path, kept: &Path) -> Result<PathBuf, ProjectError> {
    let lists = kept.join("debian-lists");
    let sources = folder.join("sources");
    let parts = folder.join("parts");
    let archives = folder.join("cache/archives/partial");
    for place in [&lists.join("partial"), &sources, &parts, &archives] {
        fs::create_dir_all(place).map_err(at(place))?;
    }
    // One at a time, of all processes: apt does not wait for another's lists.
    let alone = kept.join("debian-lists.lock");
    let alone = fs::File::create(&alone).map_err(at(&alone))?;
    alone.lock().map_err(at(&lists))?;
    fs::write(parts.join("source.sources"), DEBIAN).map_err(at(&parts))?;
    let options = [
        ("Dir::Etc::SourceList", "/dev/null".to_owned()),
        ("Dir::Etc::SourceParts", parts.display().to_string()),
        ("Dir::State::Lists", lists.display().to_string()),
        ("Dir::Cache", folder.join("cache").display().to_string()),
        ("APT::Sandbox::User", "root".to_owned()),
    ];
    let options = options
        .iter()
        .flat_map(|(name, value)| ["-o".to_owned(), format!("{name}={value}")]);
    let options: Vec<_> = options.collect();
    for words in [&["update"][..], &["source", "--only-source", package]] {
        let mut command = Command::new("apt-get");
        command.args(&options).arg("--quiet=2").args(words);
        succeed(package, command.current_dir(&sources))?;
    }
    let unpacked = fs::read_dir(&sources).map_err(at(&sources))?;
    let mut unpacked = unpacked.flatten().map(|entry| entry.path());
    unpacked
        .find(|path| path.is_dir())
        .ok_or_else(|| missing(package, "nothing was unpacked"))
}

/// A copy of the sources as cargo has them: a crate's own folder stays as it was checked.
fn from_crate(name: &str, folder: &Path) -> Result<PathBuf, ProjectError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--manifest-path", manifest]);
    let output = succeed(name, &mut command)?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let found = packages
        .filter(|package| package["name"] == name)
        .find_map(|package| Path::new(package["manifest_path"].as_str()?).parent());
    let found = found.ok_or_else(|| missing(name, "cargo does not know it"))?;
    let copy = folder.join("sources");
    let mut command = Command::new("cp");
    command.arg("-r").arg(found).arg(&copy);
    succeed(name, &mut command)?;
    Ok(copy)
}

fn succeed(package: &str, command: &mut Command) -> Result<Output, ProjectError> {
    let output = command.output();
    let output = output.map_err(|error| missing(package, &error.to_string()))?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(missing(package, &String::from_utf8_lossy(&output.stderr)))
    }
}

fn missing(package: &str, why: &str) -> ProjectError {
    ProjectError::Sources {
        package: package.to_owned(),
        why: why.to_owned(),
    }
}

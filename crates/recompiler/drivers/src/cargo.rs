//! `tidegate cargo build|test|run|bench`: cargo, with rustc wrapped.
//!
//! Nothing of the project changes: wrapper, target folder and profile come by the environment. The target folder is
//! one of its own, because cargo would not build anew for a wrapper. C sources that build scripts compile for the
//! program (by the `cc` crate) get `tidegate-cc`; those for the build itself do not.

use crate::DriverError;
use crate::link::{self, OBJECTS_VARIABLE};
use crate::rustc::INNER_WRAPPER_VARIABLE;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Folder below the project's target folder.
const TARGET_FOLDER: &str = "tidegate";
/// Folder of converted objects below that.
const OBJECTS_FOLDER: &str = "tidegate-objects";
/// What cargo reads before `RUSTDOCFLAGS`; paths may have spaces in it.
const DOCUMENTATION_FLAGS: &str = "CARGO_ENCODED_RUSTDOCFLAGS";
/// What separates the flags in it.
const SEPARATOR: &str = "\u{1f}";

/// Becomes cargo.
pub fn cargo(arguments: &[OsString]) -> Result<Infallible, DriverError> {
    let program = cargo_program(std::env::var_os("CARGO").map(PathBuf::from));
    let wrapper = link::beside(&["tidegate-rustc"])?;
    let linker = link::program()?;
    let folder = target_folder(arguments, &program)?;
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TARGET_DIR", &folder)
        .env(OBJECTS_VARIABLE, folder.join(OBJECTS_FOLDER))
        .env("RUSTC_WRAPPER", &wrapper)
        .env(DOCUMENTATION_FLAGS, documentation_flags(&linker));
    // Inside of another `tidegate cargo` the wrapper is this one already.
    let inner = std::env::var_os("RUSTC_WRAPPER");
    if let Some(inner) = inner.filter(|inner| !inner.is_empty() && Path::new(inner) != wrapper) {
        command.env(INNER_WRAPPER_VARIABLE, inner);
    }
    for (variable, compiler) in [("CC", "tidegate-cc"), ("CXX", "tidegate-c++")] {
        let variable = format!("{variable}_x86_64_unknown_linux_gnu");
        let compiler = linker.with_file_name(compiler);
        if std::env::var_os(&variable).is_none() && compiler.is_file() {
            command.env(variable, compiler);
        }
    }
    Err(DriverError::Start {
        source: command.exec(),
        program,
    })
}

/// The cargo to become: the one that is named, unless that is this program, which would call itself without an end.
fn cargo_program(named: Option<PathBuf>) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let other = named.filter(|named| named.file_name() != own.file_name());
    other.unwrap_or_else(|| PathBuf::from("cargo"))
}

/// Tests in documentation are built by rustdoc, which no wrapper reaches; they link crates that are bitcode.
fn documentation_flags(linker: &Path) -> OsString {
    let plain = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(SEPARATOR);
    let mut flags = std::env::var_os(DOCUMENTATION_FLAGS).unwrap_or_else(|| plain.into());
    if !flags.is_empty() {
        flags.push(SEPARATOR);
    }
    flags.push("-Clinker=");
    flags.push(linker);
    flags.push(SEPARATOR);
    flags.push("-Clinker-flavor=gcc");
    flags
}

/// Where this build goes: a folder in the one that cargo would take.
fn target_folder(arguments: &[OsString], program: &Path) -> Result<PathBuf, DriverError> {
    let mut command = Command::new(program);
    // `+nightly` is for rustup, and comes first.
    let toolchain = arguments.first();
    command.args(toolchain.filter(|first| first.to_string_lossy().starts_with('+')));
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    if let Some(manifest) = value_of(arguments, "--manifest-path") {
        command.arg("--manifest-path").arg(manifest);
    }
    if let Some(folder) = value_of(arguments, "--target-dir") {
        return Ok(absolute(PathBuf::from(folder)));
    }
    let output = command.stderr(Stdio::null()).output();
    let output = output.map_err(|source| DriverError::Start {
        program: program.to_owned(),
        source,
    })?;
    // Without a project cargo itself says what is wrong.
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let folder = metadata["target_directory"].as_str().unwrap_or("target");
    Ok(absolute(Path::new(folder).join(TARGET_FOLDER)))
}

/// cargo starts rustc in other folders than its own.
fn absolute(folder: PathBuf) -> PathBuf {
    std::path::absolute(&folder).unwrap_or(folder)
}

/// The value of `--name VALUE` or `--name=VALUE`, in front of `--`.
fn value_of(arguments: &[OsString], name: &str) -> Option<OsString> {
    let own = arguments.iter().take_while(|argument| *argument != "--");
    let own: Vec<&OsStr> = own.map(OsString::as_os_str).collect();
    own.iter().enumerate().find_map(|(index, argument)| {
        if *argument == name {
            return own.get(index + 1).map(|value| (*value).to_owned());
        }
        let joined = argument.to_str()?.strip_prefix(name)?.strip_prefix('=')?;
        Some(OsString::from(joined))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_does_not_take_itself_for_cargo() {
        let own = std::env::current_exe().unwrap_or_default();
        let name = own.file_name().map(PathBuf::from);
        let plain = PathBuf::from("cargo");
        assert_eq!(cargo_program(Some(own)), plain);
        assert_eq!(cargo_program(name), plain);
        assert_eq!(cargo_program(None), plain);
        assert_eq!(
            cargo_program(Some("/opt/cargo".into())),
            PathBuf::from("/opt/cargo")
        );
    }

    #[test]
    fn values_are_found_in_both_spellings_and_not_behind_the_program_s_own() {
        let check = |text: &str, expect: Option<&str>| {
            let words: Vec<_> = text.split_whitespace().map(OsString::from).collect();
            assert_eq!(
                value_of(&words, "--target-dir"),
                expect.map(OsString::from),
                "{text}"
            );
        };
        check("build --target-dir x", Some("x"));
        check("build --target-dir=x --release", Some("x"));
        check("run -- --target-dir x", None);
        check("build", None);
    }
}

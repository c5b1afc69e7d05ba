//! `tidegate-rustc`, the wrapper that cargo puts before rustc: which arguments rustc gets.
//!
//! Crates of the program are compiled to bitcode (`-C linker-plugin-lto`), one unit each, and linked by
//! `tidegate-link`, which makes ELF of it with the partition plugin. Macros and build scripts run inside the build,
//! so they only get the linker (what they depend on may be bitcode). What is compiled without optimisation stays as
//! it is. The arguments are added here and not by RUSTFLAGS, which would erase a project's own flags and reach
//! build scripts.

use crate::DriverError;
use crate::link;
use crate::tools::Tools;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Another wrapper that the user had (`sccache`): it is started in front of rustc as before.
pub const INNER_WRAPPER_VARIABLE: &str = "TIDEGATE_INNER_RUSTC_WRAPPER";
/// The optimisation level of the crate that is linked, for [`link`].
pub const LEVEL_VARIABLE: &str = "TIDEGATE_RUST_LEVEL";
/// Set while something is linked that runs inside the build: it gets no runtime.
pub const WITHOUT_RUNTIME_VARIABLE: &str = "TIDEGATE_WITHOUT_RUNTIME";

/// What kind of call of rustc it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A question, anything without a crate, or a crate for another target.
    Question,
    /// A macro or a build script: part of the build.
    Tool,
    /// Part of the program, optimised.
    Optimised,
    /// Part of the program, not optimised.
    Plain,
}

/// The target whose crates are converted; others are built as cargo builds them.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Recognises the kind from rustc's arguments.
pub fn kind(arguments: &[OsString]) -> Kind {
    let text: Vec<&str> = arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .collect();
    let after = |name: &str| {
        let place = text.iter().position(|word| *word == name)?;
        text.get(place + 1).copied()
    };
    let asks = |word: &&str| word.starts_with("--print") || ["-vV", "-V", "--version"].contains(word);
    let Some(name) = after("--crate-name") else {
        return Kind::Question;
    };
    // `--print native-static-libs` prints while it compiles.
    let compiles = text.iter().any(|word| word.starts_with("--emit"));
    let asks = text.iter().any(asks) && !compiles;
    let joined = || text.iter().find_map(|word| word.strip_prefix("--target="));
    let target = after("--target").or_else(joined);
    if asks || target.is_some_and(|target| target != TARGET) {
        return Kind::Question;
    }
    let is_macro = crate_types(arguments).any(|one| one == "proc-macro");
    if is_macro || name.starts_with("build_script_") {
        return Kind::Tool;
    }
    match level(arguments).as_deref() {
        None | Some("0") => Kind::Plain,
        Some(_) => Kind::Optimised,
    }
}

/// The last `-C opt-level`.
fn level(arguments: &[OsString]) -> Option<String> {
    let options = codegen_options(arguments);
    let levels = options.filter_map(|(_, option)| option.strip_prefix("opt-level=").map(str::to_owned));
    let short = arguments.iter().any(|argument| argument == "-O");
    levels.last().or_else(|| short.then(|| "3".to_owned()))
}

fn crate_types(arguments: &[OsString]) -> impl Iterator<Item = &str> {
    let pairs = arguments.windows(2).filter(|pair| pair[0] == "--crate-type");
    let lists = pairs.filter_map(|pair| pair[1].to_str());
    lists.flat_map(|list| list.split(','))
}

/// The options of `-C` and `--codegen`, joined or not, with the index of the argument that holds each.
fn codegen_options(arguments: &[OsString]) -> impl Iterator<Item = (usize, &str)> {
    arguments.iter().enumerate().filter_map(|(index, argument)| {
        let text = argument.to_str()?;
        let is_separate = index > 0
            && ["-C", "--codegen"]
                .iter()
                .any(|flag| arguments[index - 1] == *flag);
        if is_separate {
            return Some((index, text));
        }
        let joined = text
            .strip_prefix("-C")
            .or_else(|| text.strip_prefix("--codegen="))?;
        (!joined.is_empty()).then_some((index, joined))
    })
}

/// Options that the wrapper decides.
const DECIDED: [&str; 6] = [
    "lto",
    "embed-bitcode",
    "codegen-units",
    "linker-plugin-lto",
    "linker",
    "linker-flavor",
];
/// Of these, what is decided for everything that is linked.
const DECIDED_FOR_TOOLS: [&str; 2] = ["linker", "linker-flavor"];

/// What rustc gets; `linker` is `tidegate-link`.
pub fn rustc_arguments(arguments: &[OsString], linker: &OsStr) -> Vec<OsString> {
    let kind = kind(arguments);
    let decided: &[&str] = match kind {
        Kind::Question => return arguments.to_vec(),
        Kind::Tool | Kind::Plain => &DECIDED_FOR_TOOLS,
        Kind::Optimised => &DECIDED,
    };
    let mut dropped = vec![false; arguments.len()];
    for (index, option) in codegen_options(arguments) {
        let name = option.split('=').next().unwrap_or(option);
        if decided.contains(&name) {
            dropped[index] = true;
            let is_joined = arguments[index]
                .to_str()
                .is_some_and(|text| text.starts_with('-'));
            dropped[index - usize::from(!is_joined)] = true;
        }
    }
    let kept = arguments.iter().zip(dropped).filter(|(_, dropped)| !dropped);
    let mut all: Vec<OsString> = kept.map(|(argument, _)| argument.clone()).collect();
    if kind == Kind::Optimised {
        all.extend(["-Clinker-plugin-lto", "-Ccodegen-units=1"].map(OsString::from));
    }
    let mut option = OsString::from("-Clinker=");
    option.push(linker);
    all.extend([option, OsString::from("-Clinker-flavor=gcc")]);
    all
}

/// Runs rustc; `arguments` start with its path. Comes back only with an error: it becomes rustc, or ends as rustc did.
pub fn rustc(arguments: &[OsString]) -> Result<Infallible, DriverError> {
    let Some((program, arguments)) = arguments.split_first() else {
        return Err(DriverError::Missing {
            what: "rustc",
            places: "the arguments".to_owned(),
        });
    };
    let linker = link::program()?;
    let kind = kind(arguments);
    let mut command = match std::env::var_os(INNER_WRAPPER_VARIABLE) {
        Some(wrapper) => {
            let mut command = Command::new(wrapper);
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(rustc_arguments(arguments, linker.as_os_str()));
    command.env(LEVEL_VARIABLE, level(arguments).unwrap_or_default());
    if kind == Kind::Tool {
        command.env(WITHOUT_RUNTIME_VARIABLE, "1");
    }
    let start = |source| DriverError::Start {
        source,
        program: PathBuf::from(program),
    };
    // What is not optimised itself may hold dependencies that are bitcode.
    let archives = crate_types(arguments).any(|one| one == "staticlib") && kind != Kind::Question;
    if !archives {
        return Err(start(command.exec()));
    }
    let status = command.status().map_err(start)?;
    if status.success() {
        convert_static_library(arguments)?;
    }
    std::process::exit(exit_code(status))
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// rustc has put bitcode into the archive that others will link.
fn convert_static_library(arguments: &[OsString]) -> Result<(), DriverError> {
    let after = |flag: &str| {
        let pair = arguments.windows(2).find(|pair| pair[0] == flag)?;
        pair[1].to_str()
    };
    let extra = codegen_options(arguments).find_map(|(_, option)| option.strip_prefix("extra-filename="));
    let (Some(folder), Some(name)) = (after("--out-dir"), after("--crate-name")) else {
        return Ok(());
    };
    let archive = Path::new(folder).join(format!("lib{name}{}.a", extra.unwrap_or_default()));
    // `cargo check` makes none.
    if !archive.is_file() {
        return Ok(());
    }
    let tools = Tools::find()?;
    let level = level(arguments).unwrap_or_default();
    let converted = link::Converter::new(&tools, &level)?.archive(&archive)?;
    let Some(converted) = converted else { return Ok(()) };
    let write = |source| DriverError::Write {
        path: archive.clone(),
        source,
    };
    std::fs::copy(converted, &archive).map(|_| ()).map_err(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn what_a_call_is_for() {
        let check = |text: &str, expect: Kind| assert_eq!(kind(&words(text)), expect, "{text}");
        check("-vV", Kind::Question);
        check("- --crate-name ___ --print=file-names", Kind::Question);
        check(
            "--crate-name m --crate-type proc-macro -C opt-level=3",
            Kind::Tool,
        );
        check("--crate-name build_script_build --crate-type bin", Kind::Tool);
        check("--crate-name a --crate-type lib -C opt-level=3", Kind::Optimised);
        check("--crate-name a --crate-type lib -Copt-level=s", Kind::Optimised);
        check("--crate-name a --crate-type lib -C opt-level=0", Kind::Plain);
        check("--crate-name a src/lib.rs", Kind::Plain);
        check("--crate-name a -O src/lib.rs", Kind::Optimised);
        check(
            "--crate-name a -O --target x86_64-unknown-linux-gnu",
            Kind::Optimised,
        );
        check(
            "--crate-name a -O --target wasm32-unknown-unknown",
            Kind::Question,
        );
        check(
            "--crate-name a -O --target=wasm32-unknown-unknown",
            Kind::Question,
        );
        check(
            "--crate-name a -O --emit=link --print native-static-libs",
            Kind::Optimised,
        );
    }

    #[test]
    fn what_the_wrapper_decides_is_replaced_and_the_rest_stays_in_order() {
        let check = |text: &str, expect: &str| {
            assert_eq!(
                rustc_arguments(&words(text), OsStr::new("L")),
                words(expect),
                "{text}"
            );
        };
        check("-vV", "-vV");
        check(
            "--crate-name a -C opt-level=3 -C lto=fat -Cembed-bitcode=no -C codegen-units=8 --codegen linker=cc -Cpanic=abort a.rs",
            "--crate-name a -C opt-level=3 -Cpanic=abort a.rs -Clinker-plugin-lto -Ccodegen-units=1 -Clinker=L -Clinker-flavor=gcc",
        );
        check(
            "--crate-name build_script_main -C lto=off -Clinker=mold",
            "--crate-name build_script_main -C lto=off -Clinker=L -Clinker-flavor=gcc",
        );
    }
}

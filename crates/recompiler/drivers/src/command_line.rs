//! Which arguments clang gets: a pure function of what the user typed and of where the files are.
//!
//! clang parses its own command line; here only the few arguments are recognised that change what is added.
//! Everything the user wrote stays, in order. What is added stands between `--start-no-unused-arguments` and
//! `--end-no-unused-arguments`, so that clang never warns about an argument that the user did not write.

use crate::tools::Tools;
use std::ffi::{OsStr, OsString};
use tidegate_format::section::RefusalReason;

/// Tells the plugin what only the command line knows; the plugin's side is `tidegate_partition::options`.
pub const FILE_REASONS_VARIABLE: &str = "TIDEGATE_FILE_REASONS";

/// What the driver must know about the arguments before it asks clang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent facts about a command line"
)]
pub struct Traits {
    /// An argument rules linking out (`-c`, `-E`, `-print-…`, …).
    pub never_links: bool,
    /// `-flto` was asked for.
    pub link_time_optimisation: bool,
    /// `-ffreestanding` was asked for.
    pub freestanding: bool,
    /// The arguments are for one of clang's inner tools (`-cc1`): nothing is added.
    pub inner: bool,
}

/// Arguments after which clang does not link.
const WITHOUT_LINK: [&str; 14] = [
    "-c",
    "-S",
    "-E",
    "-M",
    "-MM",
    "-fsyntax-only",
    "-emit-ast",
    "--precompile",
    "--analyze",
    "-dumpversion",
    "-dumpmachine",
    "--version",
    "--help",
    "-emit-llvm",
];

/// Recognises what matters.
pub fn traits(arguments: &[OsString]) -> Traits {
    let mut traits = Traits {
        inner: arguments.first().is_some_and(is_inner),
        ..Traits::default()
    };
    for argument in arguments {
        let Some(text) = argument.to_str() else { continue };
        traits.never_links |= WITHOUT_LINK.contains(&text) || is_print(text);
        match text {
            "-fno-lto" => traits.link_time_optimisation = false,
            "-fhosted" => traits.freestanding = false,
            "-ffreestanding" | "-mkernel" | "-fapple-kext" => traits.freestanding = true,
            _ if text == "-flto" || text.starts_with("-flto=") => traits.link_time_optimisation = true,
            _ => {}
        }
    }
    traits
}

fn is_inner(first: &OsString) -> bool {
    first.to_str().is_some_and(|text| text.starts_with("-cc1"))
}

fn is_print(text: &str) -> bool {
    text.starts_with("-print-") || text.starts_with("--print-")
}

/// Everything clang gets, the runtime excepted.
pub fn compiler_arguments(arguments: &[OsString], tools: &Tools) -> Vec<OsString> {
    if traits(arguments).inner {
        return arguments.to_vec();
    }
    let mut all = vec![OsString::from("--start-no-unused-arguments")];
    all.push(joined("-fpass-plugin=", tools.plugin.as_os_str()));
    all.push(OsString::from("-D__TIDEGATE__=1"));
    if let Some(include) = &tools.include {
        all.push(OsString::from("-idirafter"));
        all.push(include.as_os_str().to_owned());
    }
    all.push(OsString::from("--end-no-unused-arguments"));
    all.extend(arguments.iter().cloned());
    // Objects are ELF, never bitcode; the last word counts, also after response files.
    for word in [
        "--start-no-unused-arguments",
        "-fno-lto",
        "--end-no-unused-arguments",
    ] {
        all.push(OsString::from(word));
    }
    all
}

/// What is linked in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// An executable with C start files.
    Executable,
    /// A shared library with them.
    Library,
}

/// What is added behind the arguments where something is linked: all of the archive that belongs there.
pub fn runtime_arguments(tools: &Tools, linked: Linked) -> Vec<OsString> {
    let archive = match linked {
        Linked::Executable => &tools.runtime,
        Linked::Library => &tools.library,
    };
    let Some(archive) = archive else {
        return Vec::new();
    };
    let words = [
        OsStr::new("--whole-archive"),
        archive.as_os_str(),
        OsStr::new("--no-whole-archive"),
    ];
    words
        .into_iter()
        .flat_map(|word| [OsString::from("-Xlinker"), word.to_owned()])
        .collect()
}

/// What clang's own plan (what `-###` prints) ends in linking. `-r`, `-nostdlib` and programs with their own start
/// code have no C start files, and get no runtime.
pub fn linked(plan: &str) -> Option<Linked> {
    let last = plan
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with('"'))?;
    let has = |files: &[&str]| files.iter().any(|file| last.contains(file));
    if last.contains("\"-cc1") {
        return None;
    }
    if has(&["/crt1.o\"", "/Scrt1.o\"", "/rcrt1.o\"", "/gcrt1.o\""]) {
        return Some(Linked::Executable);
    }
    let shared = has(&["\"-shared\""]) && has(&["/crti.o\""]);
    shared.then_some(Linked::Library)
}

/// The value of [`FILE_REASONS_VARIABLE`], empty for none.
pub fn file_reasons(traits: Traits) -> String {
    let rules = [
        (traits.freestanding, RefusalReason::FileFreestanding),
        (
            traits.link_time_optimisation,
            RefusalReason::LinkTimeOptimisationDropped,
        ),
    ];
    let numbers = rules
        .iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, reason)| (*reason as u16).to_string());
    numbers.collect::<Vec<_>>().join(",")
}

fn joined(prefix: &str, value: &OsStr) -> OsString {
    let mut whole = OsString::from(prefix);
    whole.push(value);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn what_rules_linking_out_is_recognised() {
        let check = |text: &str, expect: bool| assert_eq!(traits(&words(text)).never_links, expect, "{text}");
        check("-c a.c", true);
        check("-print-prog-name=ld", true);
        check("--print-targets", true);
        check("-fsyntax-only a.c", true);
        check("a.c -o a", false);
        check("-v a.o", false);
    }

    #[test]
    fn the_last_word_on_link_time_optimisation_counts() {
        let check = |text: &str, expect: bool| {
            assert_eq!(traits(&words(text)).link_time_optimisation, expect, "{text}");
        };
        check("-flto -c a.c", true);
        check("-flto=thin -c a.c", true);
        check("-flto -fno-lto -c a.c", false);
        check("-flto-jobs=2 -c a.c", false);
    }

    #[test]
    fn the_user_s_arguments_stay_in_order_and_inner_tools_get_nothing() {
        let tools = Tools {
            clang: PathBuf::from("clang"),
            plugin: PathBuf::from("/lib/plugin.so"),
            runtime: None,
            library: None,
            include: Some(PathBuf::from("/include")),
        };
        let all = compiler_arguments(&words("-O2 a.c -c"), &tools);
        assert_eq!(&all[all.len() - 6..all.len() - 3], words("-O2 a.c -c"));
        assert_eq!(all[1], "-fpass-plugin=/lib/plugin.so");
        assert_eq!(compiler_arguments(&words("-cc1 a.c"), &tools), words("-cc1 a.c"));
        assert!(runtime_arguments(&tools, Linked::Executable).is_empty());
    }

    #[test]
    fn clang_s_plan_tells_what_is_linked() {
        let check = |plan: &str, expect: Option<Linked>| assert_eq!(linked(plan), expect, "{plan}");
        check(
            "clang version\n \"clang\" \"-cc1\" \"a.c\"\n \"/usr/bin/ld\" \"/usr/lib/Scrt1.o\" \"a.o\"\n",
            Some(Linked::Executable),
        );
        check(
            " \"/usr/bin/ld\" \"-shared\" \"/usr/lib/crti.o\" \"a.o\"\n",
            Some(Linked::Library),
        );
        check(" \"/usr/bin/ld\" \"-shared\" \"a.o\"\n", None);
        check(" \"/usr/bin/ld\" \"-r\" \"a.o\"\n", None);
        check(" \"clang\" \"-cc1\" \"/x/crt1.o\"\n", None);
        check("", None);
    }

    #[test]
    fn what_only_the_command_line_tells_goes_to_the_plugin() {
        assert_eq!(file_reasons(traits(&words("-flto -ffreestanding"))), "66,96");
        assert_eq!(file_reasons(traits(&words("-O2"))), "");
    }
}

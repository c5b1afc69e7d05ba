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
    reason = "independent facts about a command line"
)]
pub struct Traits {
    /// An argument rules linking out (`-c`, `-E`, `-print-…`, …).
    pub never_links: bool,
    /// `-flto` was asked for.
    pub link_time_optimisation: bool,
    /// `-ffreestanding` was asked for.
    pub freestanding: bool,
    /// `-fveclib` was asked for: loops may call other mathematics in vectors than what they call one by one.
    pub vector_library: bool,
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

/// The next argument is for another tool, though it may look like one of clang's.
const FOR_OTHERS: [&str; 3] = ["-Xlinker", "-Xassembler", "-Xpreprocessor"];

/// Options that take the next argument, whatever it looks like.
const WITH_VALUE: [&str; 14] = [
    "-o", "-x", "-I", "-D", "-U", "-L", "-l", "-T", "-u", "-z", "-include", "-isystem", "-MF", "-Xlinker",
];

/// What clang accepts only with `-flto`, undone.
const WITHOUT_LTO: [&str; 2] = ["-fno-virtual-function-elimination", "-fno-whole-program-vtables"];

/// Recognises what matters in arguments whose response files are expanded.
pub fn traits(arguments: &[OsString]) -> Traits {
    let mut traits = Traits {
        inner: arguments.first().is_some_and(is_inner),
        ..Traits::default()
    };
    let mut is_for_others = false;
    for argument in arguments {
        let text = argument.to_str().unwrap_or_default();
        if std::mem::take(&mut is_for_others) {
            continue;
        }
        is_for_others = FOR_OTHERS.contains(&text);
        traits.never_links |= WITHOUT_LINK.contains(&text) || is_print(text);
        match text {
            "-fno-lto" => traits.link_time_optimisation = false,
            "-fhosted" => traits.freestanding = false,
            "-ffreestanding" | "-mkernel" | "-fapple-kext" => traits.freestanding = true,
            "-fveclib=none" => traits.vector_library = false,
            _ if text.starts_with("-fveclib=") => traits.vector_library = true,
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

/// Adds `more` behind the options, in front of `--` (behind it are files). Nothing where the last option still lacks its
/// value: clang has to say so.
pub fn append(all: &mut Vec<OsString>, more: impl IntoIterator<Item = OsString>) {
    let end = all.iter().position(|argument| argument == "--");
    let end = end.unwrap_or(all.len());
    // The value of an option may look like an option itself: `-Xlinker -z`.
    let open = all[..end].iter().rev();
    let open = open.take_while(|argument| WITH_VALUE.iter().any(|option| *argument == option));
    if open.count().is_multiple_of(2) {
        all.splice(end..end, more);
    }
}

/// Everything clang gets, the runtime excepted.
pub fn compiler_arguments(arguments: &[OsString], traits: Traits, tools: &Tools) -> Vec<OsString> {
    if traits.inner {
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
    let mut words = vec!["--start-no-unused-arguments", "-fno-lto"];
    if traits.link_time_optimisation {
        words.extend(WITHOUT_LTO);
    }
    words.push("--end-no-unused-arguments");
    append(&mut all, words.into_iter().map(OsString::from));
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
/// code have no C start files, and get no runtime; nor does what is for another target (`-m32`).
pub fn linked(plan: &str) -> Option<Linked> {
    let last = plan
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with('"'))?;
    let has = |files: &[&str]| files.iter().any(|file| last.contains(file));
    if last.contains("\"-cc1") || !last.contains("\"elf_x86_64\"") {
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
        (traits.vector_library, RefusalReason::FileVectorLibrary),
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
        check("a.o -Xlinker -E -Xlinker --print-map -o a", false);
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
        let given = |text: &str| compiler_arguments(&words(text), traits(&words(text)), &tools);
        let all = given("-O2 a.c -c");
        assert_eq!(&all[all.len() - 6..all.len() - 3], words("-O2 a.c -c"));
        assert_eq!(all[1], "-fpass-plugin=/lib/plugin.so");
        assert_eq!(given("-cc1 a.c"), words("-cc1 a.c"));
        assert_eq!(
            given("-O2 -- -odd.c").split_off(all.len() - 2),
            words("-- -odd.c")
        );
        let unfinished = given("a.c -o");
        assert_eq!(unfinished.last().map(OsString::as_os_str), Some(OsStr::new("-o")));
        assert!(given("-flto a.c").contains(&"-fno-whole-program-vtables".into()));
        assert!(runtime_arguments(&tools, Linked::Executable).is_empty());
    }

    #[test]
    fn clang_s_plan_tells_what_is_linked() {
        let check = |plan: &str, expect: Option<Linked>| assert_eq!(linked(plan), expect, "{plan}");
        check(
            "clang version\n \"clang\" \"-cc1\" \"a.c\"\n \"/usr/bin/ld\" \"-m\" \"elf_x86_64\" \"/usr/lib/Scrt1.o\" \"a.o\"\n",
            Some(Linked::Executable),
        );
        check(
            " \"/usr/bin/ld\" \"-m\" \"elf_x86_64\" \"-shared\" \"/usr/lib/crti.o\" \"a.o\"\n",
            Some(Linked::Library),
        );
        check(
            " \"/usr/bin/ld\" \"-m\" \"elf_x86_64\" \"-shared\" \"a.o\"\n",
            None,
        );
        check(" \"/usr/bin/ld\" \"-m\" \"elf_x86_64\" \"-r\" \"a.o\"\n", None);
        check(
            " \"/usr/bin/ld\" \"-m\" \"elf_i386\" \"/usr/lib32/crt1.o\" \"a.o\"\n",
            None,
        );
        check(" \"clang\" \"-cc1\" \"/x/crt1.o\"\n", None);
        check("", None);
    }

    #[test]
    fn what_only_the_command_line_tells_goes_to_the_plugin() {
        assert_eq!(file_reasons(traits(&words("-flto -ffreestanding"))), "66,96");
        assert_eq!(file_reasons(traits(&words("-O2"))), "");
        assert_eq!(file_reasons(traits(&words("-fveclib=libmvec"))), "72");
        assert_eq!(file_reasons(traits(&words("-fveclib=SVML -fveclib=none"))), "");
    }
}

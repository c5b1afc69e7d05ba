//! Words that may not stand, or not without company: `unsafe`, `ignore`, one machine's paths, a mirror's name.

use super::Finding;
use super::source::Source;
use std::path::Path;

/// Rooms that may hold `unsafe`, with the reason; all others forbid it.
const UNSAFE_ROOMS: &[(&str, &str)] = &[
    (
        "crates/recompiler/runtime",
        "linked into foreign programs, without libc",
    ),
    ("crates/recompiler/partition", "LLVM's C interface"),
    ("crates/recompiler/worker", "LLVM's C interface"),
    ("crates/profiler/telemetry", "the perf and BPF readers"),
    (
        "crates/recompiler/variants",
        "the perf reader of the heat profile, and the worker's process calls",
    ),
    ("crates/allocator/act", "process calls"),
];

/// Paths of somebody's machine: what is committed runs elsewhere.
const MACHINE_PATHS: &[&str] = &["/root/", "/home/", "/work/", "/Users/"];

/// Where the two lock files may point.
const LOCK_SOURCES: &[(&str, &str)] = &[
    (
        "Cargo.lock",
        "registry+https://github.com/rust-lang/crates.io-index",
    ),
    ("package-lock.json", "https://registry.npmjs.org/"),
];

/// How many lines above an `unsafe` its reason may begin.
const SAFETY_REACH_LINES: usize = 8;

/// Checks that hold for every text file.
pub(super) fn check_any(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let here = path == Path::new("xtask/src/tidy/words.rs");
    let generated = path.iter().any(|part| part == "dist");
    for (index, line) in text.lines().enumerate() {
        if let Some(source) = lock_source(path, line) {
            findings.push(Finding::line(
                path,
                index + 1,
                format!("points to {source}: lock files name the public registry only"),
            ));
        }
        let machine = MACHINE_PATHS
            .iter()
            .find(|machine| names_machine_path(line, machine));
        if let Some(machine) = machine.filter(|_| !here && !generated) {
            findings.push(Finding::line(
                path,
                index + 1,
                format!("`{machine}` is a path of one machine: derive it, or use a made-up one such as /srv"),
            ));
        }
    }
    findings
}

/// `machine` at the beginning of a path, not in the midst of one or of a link.
fn names_machine_path(line: &str, machine: &str) -> bool {
    line.match_indices(machine).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || "._-/$}{*)".contains(character))
    })
}

/// The foreign source that a line of a lock file names.
fn lock_source(path: &Path, line: &str) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (_, allowed) = LOCK_SOURCES.iter().find(|(file, _)| *file == name)?;
    let line = line.trim();
    let value = line
        .strip_prefix("source = ")
        .or_else(|| line.strip_prefix("\"resolved\": "))?;
    let value = value.trim_matches(['"', ',']);
    (!value.starts_with(allowed)).then(|| value.to_owned())
}

/// Checks of Rust sources.
pub(super) fn check_rust(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines: Vec<&str> = source.text.lines().collect();
    for (index, line) in source.code.lines().enumerate() {
        let squeezed: String = line.split_whitespace().collect();
        if squeezed.contains("#[ignore]") || squeezed.contains("#[ignore=") {
            findings.push(Finding::line(
                &source.path,
                index + 1,
                "an ignored test is forgotten: let it probe for what it needs and print `SKIP name: reason`",
            ));
        }
        if needs_reason(line) && !has_reason(&lines, index) {
            findings.push(Finding::line(
                &source.path,
                index + 1,
                "`unsafe` without a `SAFETY:` comment right above: say why it is sound",
            ));
        }
    }
    findings.extend(forbids_unsafe(source));
    findings
}

/// A line of code that opens an unsafe block, function or implementation.
fn needs_reason(line: &str) -> bool {
    line.match_indices("unsafe").any(|(at, word)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].trim_start();
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
            && ["{", "fn ", "impl"].iter().any(|next| after.starts_with(next))
    })
}

/// A `SAFETY:` comment, or a `# Safety` section, on the line or in the few lines above it.
fn has_reason(lines: &[&str], index: usize) -> bool {
    let from = index.saturating_sub(SAFETY_REACH_LINES);
    lines[from..=index]
        .iter()
        .any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
}

/// The root of a package outside the unsafe rooms forbids it.
fn forbids_unsafe(source: &Source) -> Option<Finding> {
    let is_root = ["src/lib.rs", "src/main.rs"]
        .iter()
        .any(|root| source.path.ends_with(root));
    let excused = UNSAFE_ROOMS.iter().any(|(room, _)| source.path.starts_with(room));
    let forbids = source.code.contains("#![forbid(unsafe_code)]");
    // A binary beside a library inherits nothing, so both roots say it.
    (is_root && !excused && !forbids).then(|| {
        let rooms: Vec<&str> = UNSAFE_ROOMS.iter().map(|(room, _)| *room).collect();
        Finding::file(
            &source.path,
            format!(
                "has no `#![forbid(unsafe_code)]`; only {} may do without",
                rooms.join(", ")
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: usize) {
        let mut findings = check_rust(&Source::new(Path::new(path), text));
        findings.extend(check_any(Path::new(path), text));
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    #[test]
    fn unsafe_needs_its_reason() {
        check("a.rs", "// SAFETY: it is ours.\nunsafe { f() }", 0);
        check("a.rs", "unsafe { f() }", 1);
        check("a.rs", "unsafe impl Send for A {}", 1);
        check("a.rs", "#[unsafe(no_mangle)]\nlet unsafe_thing = 1;", 0);
        check("a.rs", "// unsafe { f() }", 0);
    }

    #[test]
    fn roots_forbid_unsafe() {
        check("crates/types/src/lib.rs", "mod a;", 1);
        check("crates/types/src/lib.rs", "#![forbid(unsafe_code)]", 0);
        check("crates/recompiler/runtime/src/lib.rs", "mod a;", 0);
        check("crates/types/src/a.rs", "mod a;", 0);
    }

    #[test]
    fn ignored_tests_are_found() {
        check("a.rs", &format!("#[{}]\nfn a() {{}}", "ignore"), 1);
        check("a.rs", "// #[ignore]", 0);
    }

    #[test]
    fn machine_paths_are_found() {
        check("a.md", "see /root/x", 1);
        check("a.md", "see `/home/me`", 1);
        check("a.md", "https://example.org/home/x and target/work/x", 0);
    }

    #[test]
    fn lock_files_name_the_public_registry() {
        check(
            "Cargo.lock",
            r#"source = "registry+https://mirror.example/index""#,
            1,
        );
        check(
            "Cargo.lock",
            r#"source = "registry+https://github.com/rust-lang/crates.io-index""#,
            0,
        );
        check(
            "web/package-lock.json",
            r#"  "resolved": "https://mirror.example/a.tgz","#,
            1,
        );
    }
}

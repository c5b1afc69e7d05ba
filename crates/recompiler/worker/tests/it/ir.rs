//! IR in, IR out: a file per behaviour of a pipeline, in `tests/ir`.
//!
//! The first lines of a file are its test: `pass: SCENARIO[/CANDIDATE] FUNCTION` (several run one after another),
//! `expect: A|B` (some line of the outcome holds all parts), `refuse: A|B` (none does), `count: N A|B` (so many do).

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The IR of `text` after one scenario's passes.
fn pass(text: &str, what: &str) -> String {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_tidegate-worker"));
    let mut worker = worker
        .arg("--passes")
        .args(what.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    worker.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = worker.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lines of IR (without the comments) that hold all parts of `pattern`.
fn matches(ir: &str, pattern: &str) -> usize {
    let parts: Vec<&str> = pattern.split('|').collect();
    let lines = ir
        .lines()
        .filter(|line| !line.starts_with([';', '!']) && !line.starts_with("declare"));
    lines
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .count()
}

fn check(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = |key: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("; ")?.strip_prefix(key));
        lines.map(str::to_owned).collect()
    };
    let mut ir = text.clone();
    for what in lines("pass: ") {
        ir = pass(&ir, &what);
        assert!(ir.contains("define"), "{}: {ir}", path.display());
    }
    let fail = |what: &str| panic!("{}: {what}:\n{ir}", path.display());
    for pattern in lines("expect: ") {
        if matches(&ir, &pattern) == 0 {
            fail(&format!("expected {pattern}"));
        }
    }
    for pattern in lines("refuse: ") {
        if matches(&ir, &pattern) > 0 {
            fail(&format!("refused {pattern}"));
        }
    }
    for line in lines("count: ") {
        let (count, pattern) = line.split_once(' ').unwrap();
        if matches(&ir, pattern) != count.parse::<usize>().unwrap() {
            fail(&format!("found {} times {pattern}", matches(&ir, pattern)));
        }
    }
}

#[test]
fn every_file_s_passes_do_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ir");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 6);
    for path in &paths {
        check(path);
    }
}

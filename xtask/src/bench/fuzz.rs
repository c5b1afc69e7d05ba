//! `cargo xtask bench fuzz`: the readers of bytes from outside, guided by coverage.
//!
//! The targets are `tidegate-fuzz`'s. A stable rustc instruments them by LLVM's own pass, and clang's libFuzzer mutates;
//! debug assertions and overflow checks are on. The corpus is kept in `target/fuzz`, so that a later run goes on from
//! there. Everything runs at idle priority.

use super::report::{Bound, Report};
use crate::workspace::{Workspace, cargo, llvm_prefix};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What rustc does to the code: counters, and comparisons to learn from.
const INSTRUMENTATION: &str = "--cfg coverage_guided -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Copt-level=1 -Cdebug-assertions=on -Coverflow-checks=on";
/// Where clang has its libFuzzer without a `main`.
const LIBFUZZER: &str = "lib/clang/22/lib/linux/libclang_rt.fuzzer_no_main-x86_64.a";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const PROGRAM: &str = "tidegate-coverage-fuzz";

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct FuzzArguments {
    /// Minutes in total, shared by the targets
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// Only this target
    #[arg(long)]
    target: Option<String>,
    /// A program that was built before
    #[arg(long)]
    program: Option<PathBuf>,
}

/// Runs every target for its share of the time; none may end by itself.
pub(crate) fn run(workspace: &Workspace, arguments: &FuzzArguments) -> Result<Report> {
    let folder = workspace.target.join("fuzz");
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => build(workspace, &folder)?,
    };
    let targets = match &arguments.target {
        Some(target) => vec![target.clone()],
        None => targets(&program)?,
    };
    let seconds = (arguments.minutes * 60 / targets.len().max(1) as u64).max(1);
    let mut report = Report::default();
    for target in &targets {
        let found = fuzz(&program, &folder, target, seconds)?;
        println!("{target}: {} inputs, coverage {}", found.inputs, found.coverage);
        report.value(&format!("{target}: inputs"), found.inputs as f64, "", None);
        report.value(
            &format!("{target}: edges covered"),
            found.coverage as f64,
            "",
            None,
        );
        report.value(
            &format!("{target}: findings"),
            f64::from(u8::from(!found.clean)),
            "",
            Some(Bound::AtMost(0.0)),
        );
    }
    report.notes.push(format!(
        "{} s for each of {} targets, by the clock.",
        seconds,
        targets.len()
    ));
    Ok(report)
}

fn build(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let Some(prefix) = llvm_prefix() else {
        bail!("LLVM 22 is not installed: libFuzzer comes with it");
    };
    let library = Path::new(&prefix).join(LIBFUZZER);
    let flags = format!(
        "{INSTRUMENTATION} -Clink-arg={} -Clink-arg=-lstdc++",
        library.display()
    );
    let status = Command::new(cargo())
        .args([
            "build",
            "--package",
            "tidegate-fuzz",
            "--bin",
            PROGRAM,
            "--target",
            TRIPLE,
        ])
        .current_dir(&workspace.root)
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", folder)
        .status()
        .context("cannot run `cargo build`")?;
    if !status.success() {
        bail!("the targets do not build");
    }
    Ok(folder.join(TRIPLE).join("debug").join(PROGRAM))
}

fn targets(program: &Path) -> Result<Vec<String>> {
    let output = Command::new(program).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.lines().map(str::to_owned).collect())
}

/// What a run found.
struct Found {
    inputs: u64,
    coverage: u64,
    clean: bool,
}

fn fuzz(program: &Path, folder: &Path, target: &str, seconds: u64) -> Result<Found> {
    let corpus = folder.join("corpus").join(target);
    let artifacts = folder.join("artifacts");
    for place in [&corpus, &artifacts] {
        std::fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
    }
    let output = Command::new("nice")
        .args(["-n", "19"])
        .arg(program)
        .arg(target)
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{target}-", artifacts.display()))
        .args([
            "-max_len=4096",
            "-timeout=60",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            "-verbosity=1",
        ])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let lines: Vec<&str> = said.lines().collect();
        println!("{}", lines[lines.len().saturating_sub(30)..].join("\n"));
    }
    Ok(Found {
        inputs: last_number(&said, "stat::number_of_executed_units:"),
        coverage: last_number(&said, "cov:"),
        clean: output.status.success(),
    })
}

/// The number behind the last `word`, 0 where there is none.
fn last_number(text: &str, word: &str) -> u64 {
    let rest = text.rsplit_once(word).map_or("", |(_, rest)| rest);
    let digits = rest.split_whitespace().next().unwrap_or("");
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_what_libfuzzer_says() {
        let said =
            "#2 INITED cov: 10 ft: 11\n#900\tDONE   cov: 64 ft: 70\nstat::number_of_executed_units: 900\n";
        assert_eq!(last_number(said, "cov:"), 64);
        assert_eq!(last_number(said, "stat::number_of_executed_units:"), 900);
        assert_eq!(last_number(said, "crashes:"), 0);
    }
}

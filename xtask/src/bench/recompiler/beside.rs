//! What a program pays for tidegate's mere presence: streams and shared pointers of single-threaded programs, and
//! exceptions while variants are loaded.

use super::{Bench, succeed};
use crate::bench::report::{Bound, Report};
use crate::bench::resident::Resident;
use crate::bench::stats::{estimate, paired_ratio};
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_format::scenario::Scenario;

/// Functions that exceptions pass through, as many as a real program has hot ones.
const FUNCTIONS: usize = 34;
/// Unchanged, within what a run of some milliseconds can tell.
const UNCHANGED_MOST: f64 = 1.02;
/// The most that an exception may cost with the variants loaded.
const THROW_MOST: f64 = 1.2;

/// Measures with the daemon absent and attached, and before and after loading.
pub(super) fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let program = build(bench)?;
    for (order, what) in [
        ("putc", "a character to a stream"),
        ("copy", "a copy of a shared pointer"),
    ] {
        let mut absent = Resident::start(&program, &[order], &bench.absent())?;
        let mut attached = bench.attached(&program, &[order])?;
        compare(
            bench,
            (&mut absent, &mut attached),
            (what, "attached / absent"),
            UNCHANGED_MOST,
            report,
        )?;
    }
    let mut without = bench.attached(&program, &["throw"])?;
    let mut with = bench.attached(&program, &["throw"])?;
    let prepared = bench
        .server
        .board()
        .prepare(with.id(), Scenario::Placebo, |_| true)?;
    let loaded = prepared
        .iter()
        .filter(|prepared| prepared.outcome.is_ok())
        .count();
    if loaded < FUNCTIONS {
        bail!("only {loaded} of {FUNCTIONS} functions have a variant: {prepared:?}");
    }
    bench.server.board().switch(with.id(), None, Scenario::Placebo)?;
    compare(
        bench,
        (&mut without, &mut with),
        (
            "an exception on two threads",
            &format!("{FUNCTIONS} variants in use / none"),
        ),
        THROW_MOST,
        report,
    )
}

fn compare(
    bench: &Bench<'_>,
    (before, after): (&mut Resident, &mut Resident),
    (what, ratio): (&str, &str),
    bound: f64,
    report: &mut Report,
) -> Result<()> {
    let (mut before_ns, mut after_ns) = (Vec::new(), Vec::new());
    for round in 0..bench.arguments.rounds {
        if round % 2 == 0 {
            before_ns.push(before.measure("")?);
            after_ns.push(after.measure("")?);
        } else {
            after_ns.push(after.measure("")?);
            before_ns.push(before.measure("")?);
        }
    }
    report.estimate(what, estimate(&before_ns), "ns", None);
    report.estimate(
        &format!("{what}: {ratio}"),
        paired_ratio(&after_ns, &before_ns),
        "ratio",
        Some(Bound::AtMost(bound)),
    );
    Ok(())
}

fn build(bench: &Bench<'_>) -> Result<PathBuf> {
    let mut names = String::new();
    for number in 0..FUNCTIONS {
        writeln!(names, "pass{number}")?;
    }
    let list = bench.folder.join("beside.list");
    std::fs::write(&list, names).with_context(|| format!("cannot write {}", list.display()))?;
    let program = bench.folder.join("beside");
    // The driver knows by its name which language it compiles.
    let compiler = bench.folder.join("tidegate-c++");
    let _ = std::fs::remove_file(&compiler);
    link_compiler(&bench.tools.compiler(), &compiler)?;
    let mut command = Command::new(&compiler);
    command
        .args(["-O2", "-pthread"])
        .arg(bench.workspace.root.join("xtask/bench/beside.cpp"))
        .env("TIDEGATE_FUNCTIONS", list)
        .arg("-o")
        .arg(&program);
    succeed(&mut command)?;
    Ok(program)
}

fn link_compiler(compiler: &Path, link: &Path) -> Result<()> {
    std::os::unix::fs::symlink(compiler, link).with_context(|| format!("cannot make {}", link.display()))
}

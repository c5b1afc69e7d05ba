//! `cargo xtask bench counted`: what the pipelines do to the code of programs that nobody of this project wrote, and of
//! the kernels of `bench scenarios`.
//!
//! Nothing is timed: LLVM's own record of each compile and the instructions of its image are counted, the same pipeline
//! as the base's beside each candidate ([`effects`]). Whether fewer of them is faster is for trials to decide.

mod effects;

use super::recompiler::programs::Program;
use super::recompiler::{Tools, succeed};
use super::report::{Bound, Report};
use super::scenarios::kernels::Kernel;
use super::stats::median;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use effects::{Counter, Effects};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tidegate_drivers::inspect;
use tidegate_format::scenario::Scenario;

/// A compile's spill cost counts as lower from this share of the base's down.
const SPILLS_SHARE: f64 = 0.75;
/// Of the functions that spill at all, so many have to get there.
const SPILLING_SHARE_LEAST: f64 = 0.5;
/// The most that the median of SQLite's functions keeps of its bytes as simple code.
const BYTES_MOST: f64 = 0.85;
/// Loops that the base unrolls or interleaves: fewer say nothing.
const LOOPS_LEAST: f64 = 10.0;

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CountedArguments {
    /// Folder of `tidegate-cc` and its rooms; the release build by default
    #[arg(long)]
    tools: Option<PathBuf>,
    /// How long each program is watched for its hot functions
    #[arg(long, default_value_t = 10)]
    watched_s: u64,
    /// Lists every function
    #[arg(long)]
    all: bool,
}

/// A function, as the base's pipeline compiles it and as the candidates do that are counted.
struct Counted {
    subject: &'static str,
    function: String,
    base: Effects,
    /// `memory`, which moves blocks.
    blocks: Effects,
    /// `memory` without streams.
    registers: Effects,
    /// `cpu`, simple and small.
    simple: Effects,
}

/// Counts all of it.
pub(crate) fn run(workspace: &Workspace, arguments: &CountedArguments) -> Result<Report> {
    let tools = Tools::find(workspace, arguments.tools.as_deref())?;
    let folder = workspace.target.join("bench-counted");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let counter = Counter::new(&tools.worker(), &folder)?;
    let mut all = Vec::new();
    let mut refused = 0;
    for kernel in Kernel::all(workspace)? {
        let binary = build(
            &kernel,
            &tools,
            &folder.join(kernel.name),
            Duration::from_secs(arguments.watched_s),
        )?;
        let inspection = inspect::binary(&binary).context("cannot inspect a program")?;
        for function in inspection.functions {
            let effects = |scenario, candidate| counter.effects(&function.blob, scenario, candidate);
            let (Some(base), Some(blocks), Some(registers), Some(simple)) = (
                effects(Scenario::Placebo, 0)?,
                effects(Scenario::Memory, 0)?,
                effects(Scenario::Memory, 1)?,
                effects(Scenario::Cpu, 1)?,
            ) else {
                refused += 1;
                continue;
            };
            all.push(Counted {
                subject: kernel.name,
                function: function.name,
                base,
                blocks,
                registers,
                simple,
            });
        }
    }
    if arguments.all {
        for one in &all {
            println!(
                "{} {}: {:?}\n  {:?}\n  {:?}\n  {:?}",
                one.subject, one.function, one.base, one.blocks, one.registers, one.simple
            );
        }
    }
    let mut report = Report::default();
    report.value("functions", all.len() as f64, "functions", None);
    report.value(
        "functions without an image",
        f64::from(refused),
        "functions",
        None,
    );
    allocations(&all, &mut report);
    spills(&all, &mut report);
    bytes(&all, &mut report);
    loops(&all, &mut report);
    report.notes.push(
        "Hot functions of SQLite, lz4 and zstd, and the kernels of `bench scenarios`, all built with -O2 and frame \
         pointers; the base is its own pipeline run anew."
            .to_owned(),
    );
    Ok(report)
}

fn build(kernel: &Kernel, tools: &Tools, folder: &Path, watched: Duration) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let list = folder.join("functions");
    let compile = |compiler: &Path, out: &Path| {
        let mut command = Command::new(compiler);
        command
            .env("TIDEGATE_FUNCTIONS", &list)
            .args(["-O2", "-fno-omit-frame-pointer", "-w"])
            .args(&kernel.sources)
            .args(&kernel.flags)
            .arg("-o")
            .arg(out);
        succeed(&mut command)
    };
    if let Some(function) = kernel.functions {
        std::fs::write(&list, function).context("the list of functions")?;
    } else {
        let plain = folder.join("plain");
        compile(Path::new("clang-22"), &plain)?;
        Program::hot_functions(&plain, watched)?.write(&list)?;
    }
    let out = folder.join("switchable");
    compile(&tools.compiler(), &out)?;
    Ok(out)
}

/// What could be moved from the heap, program by program: none is an answer, too.
fn allocations(all: &[Counted], report: &mut Report) {
    for program in ["SQLite", "lz4", "zstd"] {
        let moved = all.iter().filter(|one| one.subject == program);
        report.value(
            &format!("{program}: heap blocks moved to the stack (memory)"),
            f64::from(moved.map(|one| one.blocks.moved).sum::<u32>()),
            "blocks",
            None,
        );
    }
}

fn spills(all: &[Counted], report: &mut Report) {
    let spilling: Vec<&Counted> = all.iter().filter(|one| one.base.spill_cost > 0.0).collect();
    let lower = spilling
        .iter()
        .filter(|one| one.registers.spill_cost <= SPILLS_SHARE * one.base.spill_cost);
    let higher = all
        .iter()
        .filter(|one| one.registers.spill_cost > one.base.spill_cost);
    report.value(
        "functions that spill",
        spilling.len() as f64,
        "functions",
        Some(Bound::AtLeast(1.0)),
    );
    report.value(
        "of them, spill cost lower by a quarter or more (memory/1)",
        lower.count() as f64 / spilling.len() as f64,
        "share",
        Some(Bound::AtLeast(SPILLING_SHARE_LEAST)),
    );
    report.value(
        "functions with a higher spill cost (memory/1)",
        higher.count() as f64,
        "functions",
        Some(Bound::AtMost(0.0)),
    );
    let sum = |of: fn(&Counted) -> f64| all.iter().map(of).sum::<f64>();
    report.value(
        "spill cost of all, of the base's (memory/1)",
        sum(|one| one.registers.spill_cost) / sum(|one| one.base.spill_cost),
        "ratio",
        None,
    );
    report.value(
        "stack bytes of all, of the base's (memory/1)",
        sum(|one| one.registers.stack_bytes) / sum(|one| one.base.stack_bytes),
        "ratio",
        None,
    );
}

fn bytes(all: &[Counted], report: &mut Report) {
    for program in ["SQLite", "lz4", "zstd"] {
        let shares: Vec<f64> = all
            .iter()
            .filter(|one| one.subject == program)
            .map(|one| f64::from(one.simple.text_bytes) / f64::from(one.base.text_bytes))
            .collect();
        report.value(
            &format!("{program}: code bytes, of the base's, median of its functions (cpu/1)"),
            median(&shares),
            "ratio",
            (program == "SQLite").then_some(Bound::AtMost(BYTES_MOST)),
        );
    }
    let sum = |of: fn(&Counted) -> u32| f64::from(all.iter().map(of).sum::<u32>());
    report.value(
        "vector arithmetic, gathers and wide registers in the base",
        sum(|one| one.base.refused),
        "instructions",
        None,
    );
    report.value(
        "the same in cpu/1",
        sum(|one| one.simple.refused),
        "instructions",
        Some(Bound::AtMost(0.0)),
    );
}

fn loops(all: &[Counted], report: &mut Report) {
    let sum = |of: fn(&Counted) -> u32| f64::from(all.iter().map(of).sum::<u32>());
    report.value(
        "loops that the base unrolls in part or interleaves",
        sum(|one| one.base.unrolled + one.base.interleaved),
        "loops",
        Some(Bound::AtLeast(LOOPS_LEAST)),
    );
    report.value(
        "loops that the base unrolls in full",
        sum(|one| one.base.unrolled_fully),
        "loops",
        None,
    );
    for (name, of) in [
        ("cpu/1", (|one| one.simple) as fn(&Counted) -> Effects),
        ("memory/1", |one| one.registers),
    ] {
        let left = all.iter().map(of).map(|one| one.unrolled + one.interleaved);
        report.value(
            &format!("unrolled in part or interleaved in {name}"),
            f64::from(left.sum::<u32>()),
            "loops",
            Some(Bound::AtMost(0.0)),
        );
    }
}

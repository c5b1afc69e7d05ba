//! `cargo xtask bench recompiler`: what being switchable costs, and what a variant costs.
//!
//! The program is zlib in a round trip, which nobody of this project wrote. The same compiler builds it twice, with
//! and without the partition; both are run in pairs whose order alternates, and judged by their own CPU time. Then
//! every function that was found switchable is compiled by the worker for the scenario `cpu`, and its file as a whole
//! by the compiler: all CPU of the worker's process counts, from fork to exit.

use super::report::{Bound, Report};
use super::stats::{estimate, median, paired_ratio};
use crate::workspace::{self, Workspace};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_drivers::inspect::{self, SwitchableFunction};
use tidegate_format::scenario::Scenario;
use tidegate_variants::compile::{Job, Worker};
use tidegate_variants::processor::Processor;
use tidegate_variants::recipe::Recipe;

/// The most that unswitched slots may cost.
const OVERHEAD_MOST: f64 = 1.02;
/// How many times cheaper than its file the median variant is at least.
const VARIANT_TIMES_LEAST: f64 = 5.0;
/// Tries per compile; the median counts.
const COMPILES: usize = 3;
/// Sources of zlib that a round trip in memory needs.
const ZLIB: [&str; 10] = [
    "adler32", "compress", "crc32", "deflate", "infback", "inffast", "inflate", "inftrees", "trees",
    "uncompr",
];

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RecompilerArguments {
    /// Folder of `tidegate-cc` and its rooms; the release build by default
    #[arg(long)]
    tools: Option<PathBuf>,
    /// Pairs of runs
    #[arg(long, default_value_t = 21)]
    pairs: usize,
    /// Round trips of 1 MiB per run
    #[arg(long, default_value_t = 12)]
    rounds: usize,
}

/// Where things lie.
struct Bench {
    folder: PathBuf,
    sources: Vec<PathBuf>,
    zlib: PathBuf,
}

/// Measures both costs.
pub(crate) fn run(workspace: &Workspace, arguments: &RecompilerArguments) -> Result<Report> {
    let tools = arguments
        .tools
        .clone()
        .unwrap_or_else(|| workspace.target.join("release"));
    let zlib = workspace::foreign_sources("libz-sys")?.join("src/zlib");
    let mut sources: Vec<PathBuf> = ZLIB.iter().map(|name| zlib.join(format!("{name}.c"))).collect();
    sources.push(zlib.join("zutil.c"));
    sources.push(workspace.root.join("xtask/bench/zlib_round_trip.c"));
    let folder = workspace.target.join("bench-recompiler");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let bench = Bench {
        folder,
        sources,
        zlib,
    };
    let plain = bench.link(Path::new("clang-22"), "plain")?;
    let switchable = bench.link(&tools.join("tidegate-cc"), "switchable")?;
    let mut report = Report::default();
    overhead(&plain, &switchable, arguments, &mut report)?;
    bench.variants(&switchable, &tools, &mut report)?;
    Ok(report)
}

/// CPU seconds of paired runs whose order alternates.
fn overhead(
    plain: &Path,
    switchable: &Path,
    arguments: &RecompilerArguments,
    report: &mut Report,
) -> Result<()> {
    let (mut without_s, mut with_s) = (Vec::new(), Vec::new());
    for pair in 0..arguments.pairs {
        if pair % 2 == 0 {
            without_s.push(cpu_s(plain, arguments.rounds)?);
            with_s.push(cpu_s(switchable, arguments.rounds)?);
        } else {
            with_s.push(cpu_s(switchable, arguments.rounds)?);
            without_s.push(cpu_s(plain, arguments.rounds)?);
        }
    }
    let ratio = paired_ratio(&with_s, &without_s);
    report.estimate(
        "zlib, unswitched slots / none",
        ratio,
        "ratio",
        Some(Bound::AtMost(OVERHEAD_MOST)),
    );
    report.estimate(
        "zlib round trip without slots",
        estimate(&without_s),
        "CPU s",
        None,
    );
    Ok(())
}

/// The program prints its own CPU seconds.
fn cpu_s(program: &Path, rounds: usize) -> Result<f64> {
    let output = Command::new(program)
        .arg(rounds.to_string())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!(
            "{} failed: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .with_context(|| format!("{} printed `{}`", program.display(), text.trim()))
}

impl Bench {
    fn compile(&self, compiler: &Path) -> Command {
        let mut command = Command::new(compiler);
        command
            .args(["-O2", "-w", "-DHAVE_UNISTD_H", "-I"])
            .arg(&self.zlib);
        command
    }

    fn link(&self, compiler: &Path, name: &str) -> Result<PathBuf> {
        let out = self.folder.join(name);
        succeed(self.compile(compiler).args(&self.sources).arg("-o").arg(&out))?;
        Ok(out)
    }

    /// Every switchable function against the file that it came from.
    fn variants(&self, program: &Path, tools: &Path, report: &mut Report) -> Result<()> {
        let inspection = inspect::binary(program).context("cannot inspect the program")?;
        let costs = self.files()?;
        let worker = Worker::new(&tools.join("tidegate-worker"))?;
        let host = Processor::of_this_host()?;
        let (mut ratios, mut refused) = (Vec::new(), 0);
        let mut variant_ms = Vec::new();
        for function in &inspection.functions {
            let Some(file_s) = costs.get(&function.name) else {
                continue;
            };
            let Some(own_s) = variant_s(&worker, &host, function)? else {
                refused += 1;
                continue;
            };
            variant_ms.push(own_s * 1e3);
            ratios.push(file_s / own_s);
        }
        let count = inspection.functions.len();
        report.estimate(
            "file's compile / its variant's, CPU",
            estimate(&ratios),
            "ratio",
            Some(Bound::AtLeast(VARIANT_TIMES_LEAST)),
        );
        report.estimate("one variant", estimate(&variant_ms), "CPU ms", None);
        report.value("switchable functions", count as f64, "functions", None);
        report.value("of them without a variant", f64::from(refused), "functions", None);
        report.value(
            "functions refused at build time",
            inspection.refused.len() as f64,
            "functions",
            None,
        );
        Ok(())
    }

    /// CPU seconds of compiling the file that defines each function.
    fn files(&self) -> Result<BTreeMap<String, f64>> {
        let mut functions = BTreeMap::new();
        for source in &self.sources {
            let object = self.folder.join("object.o");
            let tries: Vec<f64> = (0..COMPILES)
                .map(|_| {
                    timed(
                        self.compile(Path::new("clang-22"))
                            .arg("-c")
                            .arg(source)
                            .arg("-o")
                            .arg(&object),
                    )
                })
                .collect::<Result<_>>()?;
            let symbols = Command::new("nm")
                .arg("--defined-only")
                .arg(&object)
                .output()
                .context("cannot run nm")?;
            for line in String::from_utf8_lossy(&symbols.stdout).lines() {
                if let [_, "t" | "T", name] = line.split_whitespace().collect::<Vec<_>>()[..] {
                    functions.insert(name.to_owned(), median(&tries));
                }
            }
        }
        Ok(functions)
    }
}

/// CPU seconds of one variant; none where the worker declines.
fn variant_s(worker: &Worker, processor: &Processor, function: &SwitchableFunction) -> Result<Option<f64>> {
    let job = Job {
        function: &function.name,
        executable: "zlib_round_trip",
        blob: &function.blob,
        recipe: &Recipe::plain(Scenario::Cpu),
        tunables: &[],
        run_as: None,
    };
    let mut tries = Vec::new();
    for _ in 0..COMPILES {
        let (response, cpu) = worker.run(&job, processor)?;
        if response.0.is_err() {
            return Ok(None);
        }
        tries.push(cpu.as_secs_f64());
    }
    Ok(Some(median(&tries)))
}

/// CPU seconds of a command and all its children, by the shell's own account, to the millisecond.
fn timed(command: &Command) -> Result<f64> {
    let mut shell = Command::new("bash");
    shell.args(["-c", "TIMEFORMAT='%3U %3S'; time \"$@\" 2>/dev/null", "bash"]);
    let output = shell
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .context("cannot run bash")?;
    if !output.status.success() {
        bail!("{command:?} failed");
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let seconds: Option<Vec<f64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    Ok(seconds
        .with_context(|| format!("bash said `{}`", text.trim()))?
        .iter()
        .sum())
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

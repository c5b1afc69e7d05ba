//! What a variant costs to compile, against the compile of the file that its function came from.
//!
//! All CPU of the worker counts, from fork to exit, and the share of its parent's start. Files that compile in no time
//! say nothing and are left out.

use super::Bench;
use super::overhead::Watched;
use super::programs::Program;
use crate::bench::report::{Bound, Report};
use crate::bench::stats::{estimate, median, percentile};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use tidegate_drivers::inspect::{self, SwitchableFunction};
use tidegate_format::scenario::Scenario;
use tidegate_variants::compile::{Job, Worker};
use tidegate_variants::processor::Processor;
use tidegate_variants::recipe::Recipe;

/// Tries per compile; the median counts.
const COMPILES: usize = 3;
/// Files that the compiler takes less CPU for do not count.
const FILE_MS_LEAST: f64 = 150.0;
/// How many times cheaper than its file a variant is: the worse quarter of all, and half of SQLite's.
const QUARTER_LEAST: f64 = 5.0;
const SQLITE_LEAST: f64 = 20.0;

impl Bench<'_> {
    /// Every selected function of every program.
    pub(super) fn compiles(&self, programs: &[(&Program, Watched)], report: &mut Report) -> Result<()> {
        let worker = Worker::new(&self.tools.worker())?;
        let host = Processor::of_this_host()?;
        let mut costs = Vec::new();
        for (program, watched) in programs {
            let files = self.files(program)?;
            let inspection = inspect::binary(&watched.switchable).context("cannot inspect the program")?;
            let refused = watched
                .hot
                .functions
                .len()
                .saturating_sub(inspection.functions.len());
            report.value(
                &format!("{}: hot functions without a slot", program.name),
                refused as f64,
                "functions",
                None,
            );
            for function in &inspection.functions {
                let file = file_of(&files, &function.name);
                let Some(whole_s) = file.filter(|spent_s| spent_s * 1e3 >= FILE_MS_LEAST) else {
                    continue;
                };
                let own_s = variant_s(&worker, &host, function)?;
                costs.push((program.name, whole_s, own_s));
            }
        }
        publish(&costs, &worker, report);
        Ok(())
    }

    /// CPU seconds of compiling the file that defines each function.
    fn files(&self, program: &Program) -> Result<BTreeMap<String, f64>> {
        let mut functions = BTreeMap::new();
        let object = self.folder.join("object.o");
        for source in &program.sources {
            let compile = || {
                let mut command = program.compiler(Path::new("clang-22"));
                command.arg("-c").arg(source).arg("-o").arg(&object);
                timed(&command)
            };
            let mut tries = vec![compile()?];
            if tries[0] * 1e3 > FILE_MS_LEAST / 2.0 {
                for _ in 1..COMPILES {
                    tries.push(compile()?);
                }
            }
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

/// A loop that became a function of its own comes from its function's file.
fn file_of(files: &BTreeMap<String, f64>, function: &str) -> Option<f64> {
    let name = function.split(".loop").next().unwrap_or(function);
    files.get(function).or_else(|| files.get(name)).copied()
}

fn publish(costs: &[(&str, f64, Option<f64>)], worker: &Worker, report: &mut Report) {
    let start_s = worker.warm_cost().per_compile().as_secs_f64();
    let ratios = |wanted: Option<&str>| {
        let mut ratios: Vec<f64> = costs
            .iter()
            .filter(|(program, _, _)| wanted.is_none_or(|wanted| wanted == *program))
            .filter_map(|(_, file_s, own_s)| Some(file_s / ((*own_s)? + start_s)))
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    };
    let all = ratios(None);
    report.value(
        "file's compile / its variant's, 25th percentile",
        percentile(&all, 0.25),
        "ratio",
        Some(Bound::AtLeast(QUARTER_LEAST)),
    );
    report.estimate("the same, median", estimate(&all), "ratio", None);
    report.estimate(
        "the same, SQLite's",
        estimate(&ratios(Some("SQLite"))),
        "ratio",
        Some(Bound::AtLeast(SQLITE_LEAST)),
    );
    let own_ms: Vec<f64> = costs
        .iter()
        .filter_map(|(_, _, own_s)| Some((*own_s)? * 1e3))
        .collect();
    report.estimate("one variant", estimate(&own_ms), "CPU ms", None);
    report.value(
        "its share of the warm parent's start",
        start_s * 1e3,
        "CPU ms",
        None,
    );
    report.value("variants compiled", own_ms.len() as f64, "functions", None);
    let refused = costs.len() - own_ms.len();
    report.value("functions without a variant", refused as f64, "functions", None);
}

/// CPU seconds of one variant; none where the worker declines.
fn variant_s(worker: &Worker, processor: &Processor, function: &SwitchableFunction) -> Result<Option<f64>> {
    let job = Job {
        function: &function.name,
        executable: "bench",
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
        anyhow::bail!("{command:?} failed");
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let seconds: Option<Vec<f64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    Ok(seconds
        .with_context(|| format!("bash said `{}`", text.trim()))?
        .iter()
        .sum())
}

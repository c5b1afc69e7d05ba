//! Trains models and runs the shipped binary on the traces.

use super::ForecastingArguments;
use super::traces::Traces;
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages of the harness's scorer and of its anchors.
const PACKAGES: [&str; 8] = [
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "lightgbm",
    "statsforecast",
    "prophet",
    "torch",
];

/// Builds, and where things lie.
pub(super) struct Runner {
    pub(super) folder: PathBuf,
    binary: PathBuf,
    trainer: PathBuf,
    traces: PathBuf,
    input: PathBuf,
    tasks: PathBuf,
    minutes: f64,
    harness: Option<PathBuf>,
    python: Option<PathBuf>,
}

/// A run of the stream.
pub(super) struct Streamed {
    pub(super) forecasts: PathBuf,
    /// CPU of the process for each series and minute, in microseconds.
    pub(super) cpu_us: f64,
    /// Who sent it.
    pub(super) sender: &'static str,
}

#[derive(Deserialize)]
struct HarnessSays {
    child_cpu_s: f64,
}

impl Runner {
    pub(super) fn build(
        workspace: &Workspace,
        traces: &Traces,
        folder: PathBuf,
        arguments: &ForecastingArguments,
    ) -> Result<Self> {
        let release = workspace.target.join("release");
        for what in [
            &["--package", "tidegate"][..],
            &["--package", "tidegate-forecast", "--example", "forecast_train"][..],
        ] {
            let status = Command::new(cargo())
                .args(["build", "--quiet", "--release"])
                .args(what)
                .current_dir(&workspace.root)
                .status()
                .context("cannot run cargo")?;
            ensure!(status.success(), "cargo build {} failed", what.join(" "));
        }
        Ok(Self {
            binary: release.join("tidegate"),
            trainer: release.join("examples/forecast_train"),
            traces: traces.source.clone(),
            input: traces.input.clone(),
            tasks: traces.tasks.clone(),
            minutes: traces.minutes(),
            harness: arguments.harness.clone(),
            python: arguments.python.clone(),
            folder,
        })
    }

    /// Trains models on the traces and gives their file; one that is newer than the trainer is used again.
    pub(super) fn train(&self, name: &str, options: &[&str]) -> Result<PathBuf> {
        let file = self.folder.join(format!("{name}.tgfm"));
        let modified = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified());
        if let (Ok(made), Ok(built)) = (modified(&file), modified(&self.trainer))
            && made > built
        {
            return Ok(file);
        }
        self.training_cpu_s(name, options)?;
        Ok(file)
    }

    /// CPU seconds of training models anew.
    pub(super) fn training_cpu_s(&self, name: &str, options: &[&str]) -> Result<f64> {
        let file = self.folder.join(format!("{name}.tgfm"));
        let before_s = children_cpu_s();
        let mut command = Command::new(&self.trainer);
        command.arg(&self.traces).arg(&file).args(options);
        done(&mut command)?;
        Ok(children_cpu_s() - before_s)
    }

    /// Forecasts of the model `name` at all origins, and the CPU seconds that they took, from the first value of each
    /// series on.
    pub(super) fn timed_bulk(&self, name: &str, trained: &Path) -> Result<(PathBuf, f64)> {
        let before_s = children_cpu_s();
        let forecasts = self.bulk(name, trained)?;
        Ok((forecasts, children_cpu_s() - before_s))
    }

    /// Forecasts of the model `name` at all origins.
    pub(super) fn bulk(&self, name: &str, trained: &Path) -> Result<PathBuf> {
        self.bulk_at(name, trained, &self.tasks, name)
    }

    /// Forecasts of the model `name` at the origins of a table.
    pub(super) fn bulk_at(
        &self,
        name: &str,
        trained: &Path,
        origins: &Path,
        output: &str,
    ) -> Result<PathBuf> {
        self.bulk_with(name, trained, origins, &[], output)
    }

    /// Forecasts of the model `name` at all origins, and how sure they are.
    pub(super) fn sure(&self, name: &str, trained: &Path) -> Result<(PathBuf, PathBuf)> {
        let output = format!("sure-{name}");
        let confidences = self.folder.join(format!("{output}-confidence.csv"));
        let options = [("--confidence", confidences.as_path())];
        let forecasts = self.bulk_with(name, trained, &self.tasks, &options, &output)?;
        Ok((forecasts, confidences))
    }

    /// Forecasts at the origins of a table, with further options of the command and their files.
    pub(super) fn bulk_with(
        &self,
        name: &str,
        trained: &Path,
        origins: &Path,
        options: &[(&str, &Path)],
        output: &str,
    ) -> Result<PathBuf> {
        let file = self.folder.join(format!("{output}.csv"));
        let mut command = Command::new(&self.binary);
        command
            .args(["backtest", "--model", name, "--input"])
            .arg(&self.input);
        command
            .arg("--origins")
            .arg(origins)
            .arg("--trained")
            .arg(trained);
        command.arg("--output").arg(&file);
        for (option, path) in options {
            command.arg(option).arg(path);
        }
        done(&mut command)?;
        Ok(file)
    }

    /// The default model in the stream, sent by the harness where there is one, else over whole tables.
    pub(super) fn stream(&self, trained: &Path) -> Result<Streamed> {
        let Some(harness) = &self.harness else {
            let before_s = children_cpu_s();
            let forecasts = self.bulk("auto", trained)?;
            return Ok(Streamed {
                forecasts,
                cpu_us: (children_cpu_s() - before_s) * 1e6 / self.minutes,
                sender: "nobody: the same forecasts were made over whole tables",
            });
        };
        let child = format!(
            "{} backtest --stream --trained {}",
            self.binary.display(),
            trained.display()
        );
        let mut command = Command::new(self.python()?);
        command.current_dir(harness).arg("stream_runner.py");
        command.args(["--name", "tidegate", "--cmd", &child]);
        done(self.harness_environment(&mut command))?;
        let said = std::fs::read_to_string(self.folder.join("tidegate.json"))?;
        let said: HarnessSays = serde_json::from_str(&said)?;
        Ok(Streamed {
            forecasts: self.folder.join("tidegate.csv.gz"),
            cpu_us: said.child_cpu_s * 1e6 / self.minutes,
            sender: "the harness",
        })
    }

    /// Runs a script of the harness; its forecasts go to our folder.
    pub(super) fn script(&self, arguments: &[&str]) -> Result<()> {
        let harness = self
            .harness
            .as_ref()
            .context("anchors need the harness: set TIDEGATE_HARNESS")?;
        let mut command = Command::new(self.python()?);
        command
            .current_dir(harness)
            .args(arguments)
            .env("PYTHONPATH", harness);
        done(self.harness_environment(&mut command))
    }

    fn harness_environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("FH_DATA", &self.traces)
            .env("FH_OUT", &self.folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("OMP_NUM_THREADS", "1")
    }

    /// The Python that was named, else a virtual environment of the bench's own.
    fn python(&self) -> Result<PathBuf> {
        if let Some(python) = &self.python {
            return Ok(python.clone());
        }
        let environment = self.folder.join("venv");
        let python = environment.join("bin/python");
        if !python.is_file() {
            done(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            done(
                Command::new(&python)
                    .args(["-m", "pip", "install", "--quiet"])
                    .args(PACKAGES),
            )?;
        }
        Ok(python)
    }
}

fn done(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{} failed:\n{}",
            command.get_program().display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// CPU seconds of all processes that were started and have ended.
fn children_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|word| word.parse::<f64>().ok())
        .sum();
    // Linux counts them in hundredths on every architecture.
    ticks / 100.0
}

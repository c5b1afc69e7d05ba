//! The development traces, unpacked and hashed.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_forecast::backtest::bulk::Plan;
use tidegate_forecast::backtest::score::{Sums, score};
use tidegate_forecast::backtest::table::{Origin, read_forecasts, read_origins};
use tidegate_forecast::backtest::traces::{Meta, read_meta, read_series};
use tidegate_forecast::models::training::Trace;

/// What the hash is over, in this order.
const FILES: [&str; 3] = ["series.csv.gz", "tasks.csv.gz", "meta.csv"];

/// The traces.
pub(super) struct Traces {
    /// Where they came from.
    pub(super) source: PathBuf,
    /// Unpacked tables.
    pub(super) input: PathBuf,
    pub(super) tasks: PathBuf,
    /// The series, each with the end of its training part.
    pub(super) series: Vec<Trace>,
    pub(super) metas: BTreeMap<String, Meta>,
    pub(super) asked: Vec<Origin>,
    pub(super) plan: Plan,
    /// Number of origins.
    pub(super) origins: usize,
    /// SHA-256 over the files.
    pub(super) hash: String,
}

impl Traces {
    /// Unpacks the traces of `source` into `folder` and reads them.
    pub(super) fn load(source: &Path, folder: &Path) -> Result<Self> {
        let (input, tasks) = (folder.join("series.csv"), folder.join("tasks.csv"));
        unpack(&source.join(FILES[0]), &input)?;
        unpack(&source.join(FILES[1]), &tasks)?;
        let metas = read_meta(&text(&source.join(FILES[2]))?)?;
        let mut series = read_series(&text(&input)?)?;
        series.retain(|trace| metas.contains_key(&trace.id));
        for trace in &mut series {
            trace.end = metas[&trace.id].train_steps;
        }
        let asked = read_origins(&text(&tasks)?)?;
        let plan = Plan::new(&series, &asked)?;
        Ok(Self {
            source: source.to_owned(),
            origins: asked.len(),
            hash: hash(source)?,
            input,
            tasks,
            series,
            metas,
            asked,
            plan,
        })
    }

    /// What a table of forecasts is worth.
    pub(super) fn judge(&self, forecasts: &Path) -> Result<Sums> {
        self.judge_by(&self.plan, forecasts)
    }

    /// The same at the origins and thresholds of another plan.
    pub(super) fn judge_by(&self, plan: &Plan, forecasts: &Path) -> Result<Sums> {
        let text = text(forecasts)?;
        let read = read_forecasts(&text).with_context(|| format!("{} is no table", forecasts.display()))?;
        Ok(score(&self.series, plan, &read))
    }

    /// Minutes that all series together last.
    pub(super) fn minutes(&self) -> f64 {
        let minutes = |trace: &Trace| trace.values.len() as f64 * f64::from(trace.step_s) / 60.0;
        self.series.iter().map(minutes).sum()
    }
}

/// Reads a table, packed or not.
pub(super) fn text(path: &Path) -> Result<String> {
    if path.extension().is_some_and(|extension| extension == "gz") {
        return Ok(String::from_utf8(unpacked(path)?)?);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn unpack(from: &Path, to: &Path) -> Result<()> {
    std::fs::write(to, unpacked(from)?).with_context(|| format!("cannot write {}", to.display()))
}

fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let output = Command::new("gzip")
        .arg("-dc")
        .arg(path)
        .output()
        .context("cannot run gzip")?;
    if !output.status.success() {
        bail!(
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

/// SHA-256 of the files one after the other.
fn hash(source: &Path) -> Result<String> {
    let files = FILES.map(|name| source.join(name));
    let output = Command::new("sh")
        .args(["-c", "cat \"$@\" | sha256sum", "sh"])
        .args(files)
        .output()
        .context("cannot run sha256sum")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = text.split_whitespace().next().unwrap_or_default();
    if hash.len() != 64 {
        bail!("sha256sum said {text:?}");
    }
    Ok(hash.to_owned())
}

//! CPU of a forecast, fitting and asking summed, beside three Python libraries at the same origins.
//!
//! Theirs is what the harness's programs count themselves, without loading libraries and writing tables. Ours is all of
//! two processes: the one that trains the forests and the one that follows every series and answers. Bound is `boosted`
//! on forests of the quick kind, which must also be at least as good as each library on CRPS and on Brier skill; `auto` on
//! the forests that the other rows are about is shown beside.

use super::run::Runner;
use super::single::{mean_crps, mean_skill};
use super::traces::Traces;
use super::{Anchors, REFERENCE, round};
use crate::bench::report::{Bound, Report};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::Path;

/// A program of the harness, the forecasts that it leaves, and our model of the same kind.
struct Library {
    name: &'static str,
    script: &'static [&'static str],
    forecasts: &'static str,
    kin: &'static str,
}

const LIBRARIES: [Library; 3] = [
    Library {
        name: "AutoETS",
        script: &["anchors_sf.py", "ets"],
        forecasts: "autoets",
        kin: "ets",
    },
    Library {
        name: "LightGBM",
        script: &["anchors_ml.py", "lgbm", "12"],
        forecasts: "lgbm_q",
        kin: "boosted",
    },
    Library {
        name: "Prophet",
        script: &["anchors_sf.py", "prophet", "0/1"],
        forecasts: "prophet",
        kin: "prophet",
    },
];

/// What a program of the harness says of itself.
#[derive(Deserialize)]
struct Said {
    fit_s: f64,
    pred_s: f64,
    n_pred: f64,
}

/// What all rows are made from.
pub(super) struct Costs<'a> {
    pub(super) runner: &'a Runner,
    pub(super) traces: &'a Traces,
    pub(super) anchors: &'a Anchors,
    /// The forests of the other rows.
    pub(super) model: &'a Path,
    /// CPU of the stream.
    pub(super) stream_s: f64,
}

/// Runs the libraries, and our models of their kinds.
pub(super) fn run(costs: &Costs<'_>, report: &mut Report) -> Result<()> {
    let Costs { runner, traces, .. } = costs;
    let forecasts = traces.origins as f64;
    let training_s = runner.training_cpu_s("cost", &["--before-split"])?;
    let auto_ms = (training_s + costs.stream_s) * 1e3 / forecasts;
    report.value("CPU of a forecast: auto", auto_ms, "ms", None);
    report.value(
        "CPU of a forecast: auto, of it training",
        training_s * 1e3 / forecasts,
        "ms",
        None,
    );
    let quick_s = runner.training_cpu_s("quick", &["--before-split", "--quick"])?;
    let quick = runner.folder.join("quick.tgfm");
    let (forecast, asked_s) = runner.timed_bulk("boosted", &quick)?;
    let ours_ms = (quick_s + asked_s) * 1e3 / forecasts;
    let ours = traces.judge(&forecast)?;
    report.value("CPU of a forecast: quick boosted", ours_ms, "ms", None);
    report.value(
        "CPU of a forecast: quick boosted, of it training",
        quick_s * 1e3 / forecasts,
        "ms",
        None,
    );
    let reference = costs.anchors.sums(REFERENCE)?;
    for library in LIBRARIES {
        let name = library.name;
        let theirs = costs.anchors.sums(library.forecasts)?;
        report.value(
            &format!("relative CRPS, mean of targets: quick boosted (anchor {name})"),
            mean_crps(&ours, &reference),
            "",
            Some(Bound::AtMost(round(mean_crps(&theirs, &reference)))),
        );
        report.value(
            &format!("Brier skill, mean of windows: quick boosted (anchor {name})"),
            mean_skill(&ours),
            "",
            Some(Bound::AtLeast(round(mean_skill(&theirs)))),
        );
        let theirs_ms = library_ms(runner, &library)?;
        report.value(
            &format!("CPU of a forecast: {name} in Python"),
            theirs_ms,
            "ms",
            None,
        );
        report.value(
            &format!("CPU of a forecast: quick boosted / {name}"),
            ours_ms / theirs_ms,
            "ratio",
            Some(Bound::AtMost(1.0)),
        );
        report.value(
            &format!("CPU of a forecast: auto / {name}"),
            auto_ms / theirs_ms,
            "ratio",
            None,
        );
        let trains_s = if library.kin == "boosted" { training_s } else { 0.0 };
        let kin_s = trains_s + runner.timed_bulk(library.kin, costs.model)?.1;
        report.value(
            &format!("CPU of a forecast: our {} / {name}", library.kin),
            kin_s * 1e3 / forecasts / theirs_ms,
            "ratio",
            None,
        );
    }
    Ok(())
}

/// Runs a library, and gives what it says of itself.
fn library_ms(runner: &Runner, library: &Library) -> Result<f64> {
    runner.script(library.script)?;
    let file = runner.folder.join(format!("{}.json", library.forecasts));
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let said: Said =
        serde_json::from_str(&text).with_context(|| format!("{} is not as expected", file.display()))?;
    Ok((said.fit_s + said.pred_s) * 1e3 / said.n_pred)
}

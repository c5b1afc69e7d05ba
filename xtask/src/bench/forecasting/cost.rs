//! CPU of a forecast, fitting and asking summed, beside three Python libraries at the same origins.
//!
//! Theirs is what the harness's programs count themselves, without loading libraries and writing tables. Ours is all of
//! two processes: the one that trains the forests and the one that follows every series and answers. That `auto` is at
//! least as good as each of them is bound by the other rows.

use super::Runner;
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

/// Runs the libraries, and our models of their kinds. `stream_s` is the CPU of the stream, `forecasts` their number.
pub(super) fn run(
    runner: &Runner,
    model: &Path,
    stream_s: f64,
    forecasts: usize,
    report: &mut Report,
) -> Result<()> {
    let forecasts = forecasts as f64;
    let training_s = runner.training_cpu_s("cost", &["--before-split"])?;
    let auto_ms = (training_s + stream_s) * 1e3 / forecasts;
    report.value("CPU of a forecast: auto", auto_ms, "ms", None);
    report.value(
        "CPU of a forecast: auto, of it training",
        training_s * 1e3 / forecasts,
        "ms",
        None,
    );
    for library in LIBRARIES {
        runner.script(library.script)?;
        let file = runner.folder.join(format!("{}.json", library.forecasts));
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let said: Said =
            serde_json::from_str(&text).with_context(|| format!("{} is not as expected", file.display()))?;
        let theirs_ms = (said.fit_s + said.pred_s) * 1e3 / said.n_pred;
        let name = library.name;
        report.value(
            &format!("CPU of a forecast: {name} in Python"),
            theirs_ms,
            "ms",
            None,
        );
        report.value(
            &format!("CPU of a forecast: auto / {name}"),
            auto_ms / theirs_ms,
            "ratio",
            Some(Bound::AtMost(1.0)),
        );
        let trains_s = if library.kin == "boosted" { training_s } else { 0.0 };
        let kin_s = trains_s + runner.bulk_cpu_s(library.kin, model)?;
        report.value(
            &format!("CPU of a forecast: our {} / {name}", library.kin),
            kin_s * 1e3 / forecasts / theirs_ms,
            "ratio",
            None,
        );
    }
    Ok(())
}

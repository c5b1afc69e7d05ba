//! The anchors: forecasts of the harness's Python programs, as sums per series.
//!
//! Kept in `docs/bench/forecasting-anchors.json`, bound to the traces by their hash: with other traces they are
//! refused rather than compared.

use super::run::Runner;
use super::traces::Traces;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tidegate_forecast::backtest::report::{Metrics, metrics};
use tidegate_forecast::backtest::score::{EventSums, SeriesSums, Sums, TargetSums};
use tidegate_forecast::models::{TARGET_COUNT, THRESHOLDS, WINDOW_COUNT};

/// Scripts of the harness, in the order in which they need each other, and the forecasts that they leave.
const SCRIPTS: [(&[&str], &[&str]); 12] = [
    (&["anchors_simple.py"], &["snaive", "naive_vol_emp", "vpa_hist"]),
    (&["anchors_ml.py", "ridge"], &["ridge_volemp"]),
    (&["anchors_ml.py", "lgbm", "12"], &["lgbm_q"]),
    (&["anchors_cls.py", "big"], &["cls_big"]),
    (&["anchors_cls.py", "logit"], &["logit_global"]),
    (&["anchors_cls.py", "fold"], &["cls_coldstart"]),
    (&["-c", LOGIT_FOLD], &["logit_coldstart"]),
    (&["anchors_ml.py", "lstm", "12", "5"], &["lstm_q"]),
    (&["anchors_lstmcls.py", "10", "6"], &["lstm_cls"]),
    (&["anchors_sf.py", "ets"], &["autoets"]),
    (&["anchors_sf.py", "mstl", "0/1"], &["mstl_ets"]),
    (&["anchors_sf.py", "prophet", "0/1"], &["prophet"]),
];
/// The harness has no logistic regression that leaves sources out; this is its `fold` with its `logit`.
const LOGIT_FOLD: &str = include_str!("logit_fold.py");

/// Sums of all anchors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Anchors {
    /// SHA-256 of the traces.
    traces: String,
    anchors: BTreeMap<String, Anchor>,
}

/// One anchor: its calibration errors, and sums of each series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Anchor {
    /// By window and threshold.
    calibration_errors: [[f64; THRESHOLDS]; WINDOW_COUNT],
    series: BTreeMap<String, Kept>,
}

/// The sums without their bins, as short as they can be.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Count, CRPS, pinball loss at .99, covered at .95.
    targets: [[f64; 4]; TARGET_COUNT],
    /// Count, Brier, climatology, onsets, their events, their Brier.
    events: [[[f64; 6]; THRESHOLDS]; WINDOW_COUNT],
}

impl Anchors {
    /// The sums of one anchor; without the bins of its calibration error.
    pub(super) fn sums(&self, name: &str) -> Result<Sums> {
        let anchor = self
            .anchors
            .get(name)
            .with_context(|| format!("there is no anchor {name}"))?;
        Ok(anchor
            .series
            .iter()
            .map(|(id, kept)| (id.clone(), kept.sums()))
            .collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.anchors.keys().map(String::as_str)
    }

    /// Puts in the calibration errors that were found when there were bins.
    pub(super) fn set_calibration(&self, name: &str, found: &mut Metrics) {
        let Some(anchor) = self.anchors.get(name) else {
            return;
        };
        for (window, errors) in found.events.iter_mut().zip(anchor.calibration_errors) {
            for (event, error) in window.iter_mut().zip(errors) {
                event.calibration_error = error;
            }
        }
    }
}

impl Kept {
    fn new(sums: &SeriesSums) -> Self {
        Self {
            targets: sums
                .targets
                .map(|target| [target.count, target.crps, target.pinball99, target.covered95].map(short)),
            events: sums.events.map(|window| {
                window.map(|event| {
                    [
                        event.count,
                        event.brier,
                        event.climatology,
                        event.onset_count,
                        event.onset_events,
                        event.onset_brier,
                    ]
                    .map(short)
                })
            }),
        }
    }

    fn sums(&self) -> SeriesSums {
        SeriesSums {
            targets: self
                .targets
                .map(|[count, crps, pinball99, covered95]| TargetSums {
                    count,
                    crps,
                    pinball99,
                    covered95,
                }),
            events: self.events.map(|window| {
                window.map(
                    |[count, brier, climatology, onset_count, onset_events, onset_brier]| EventSums {
                        count,
                        brier,
                        climatology,
                        bins: Default::default(),
                        onset_count,
                        onset_events,
                        onset_brier,
                    },
                )
            }),
        }
    }
}

/// Seven significant digits: more than any comparison needs.
fn short(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

fn file(workspace: &Workspace) -> PathBuf {
    workspace.root.join("docs/bench/forecasting-anchors.json")
}

/// Reads the kept anchors; refused where they belong to other traces.
pub(super) fn kept(workspace: &Workspace, traces: &Traces) -> Result<Anchors> {
    let file = file(workspace);
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("no anchors at {}: make them with --anchors", file.display()))?;
    let anchors: Anchors = serde_json::from_str(&text)?;
    ensure!(
        anchors.traces == traces.hash,
        "the kept anchors belong to traces {}, these are {}: make them anew with --anchors",
        anchors.traces,
        traces.hash
    );
    Ok(anchors)
}

/// Runs the harness's programs whose forecasts are neither kept nor there yet, judges them, and keeps the sums.
pub(super) fn make(workspace: &Workspace, runner: &Runner, traces: &Traces) -> Result<Anchors> {
    let mut made = kept(workspace, traces).unwrap_or_else(|_| Anchors {
        traces: traces.hash.clone(),
        anchors: BTreeMap::new(),
    });
    for (script, names) in SCRIPTS {
        if names.iter().all(|name| made.anchors.contains_key(*name)) {
            continue;
        }
        let path = |name: &str| runner.folder.join(format!("{name}.csv.gz"));
        if names.iter().any(|name| !path(name).is_file()) {
            println!("{}", script.first().unwrap_or(&""));
            runner.script(script)?;
        }
        for name in names {
            let sums = traces.judge(&path(name))?;
            let found = metrics(&sums, &sums);
            let anchor = Anchor {
                calibration_errors: found
                    .events
                    .map(|window| window.map(|event| short(event.calibration_error))),
                series: sums
                    .iter()
                    .map(|(id, sums)| (id.clone(), Kept::new(sums)))
                    .collect(),
            };
            made.anchors.insert((*name).to_owned(), anchor);
        }
    }
    let file = file(workspace);
    std::fs::write(&file, one_line_per_series(&made)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(made)
}

/// JSON that a reviewer can look at: a line per series.
fn one_line_per_series(anchors: &Anchors) -> Result<String> {
    let text = serde_json::to_string(anchors)?;
    Ok(text.replace("},\"", "},\n\"").replace(":{\"", ":{\n\"") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_sums_come_back() {
        let event = EventSums {
            count: 3.0,
            brier: 0.123_456_78,
            climatology: 1.0,
            onset_count: 2.0,
            onset_events: 1.0,
            onset_brier: 0.5,
            ..EventSums::default()
        };
        let sums = SeriesSums {
            targets: Default::default(),
            events: [[event; THRESHOLDS]; WINDOW_COUNT],
        };
        let back = Kept::new(&sums).sums().events[1][1];
        assert!((back.brier - event.brier).abs() < 1e-7);
        assert_eq!((back.count, back.onset_events), (3.0, 1.0));
    }

    #[test]
    fn the_file_has_a_line_per_series_and_is_read_back() {
        let mut anchors = Anchors::default();
        let series = ["a", "b"].map(|id| (id.to_owned(), Kept::default()));
        anchors.anchors.insert(
            "x".to_owned(),
            Anchor {
                series: series.into(),
                ..Anchor::default()
            },
        );
        let text = one_line_per_series(&anchors).expect("JSON");
        assert!(text.lines().count() >= 4, "{text}");
        let back: Anchors = serde_json::from_str(&text).expect("our own file");
        assert_eq!(back.sums("x").expect("there").len(), 2);
        assert!(back.sums("y").is_err());
    }
}

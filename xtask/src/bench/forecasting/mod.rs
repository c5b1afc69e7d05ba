//! `cargo xtask bench forecasting`: our forecasts of real traces beside the anchors'.
//!
//! The traces lie outside of the repository (`TIDEGATE_TRACES`). Models are trained on the part of each series before
//! its split, the shipped binary forecasts from the origins after it, and everybody's forecasts are judged by the same
//! code. The anchors need Python, hours and other people's libraries, so their sums are kept beside the result, bound
//! to the traces' hash; `--anchors` makes them anew with the harness (`TIDEGATE_HARNESS`). Where the harness is at
//! hand, it also sends the stream to us, so that nothing can be seen before its time.

mod anchors;
mod cost;
mod folds;
mod growth;
mod kin;
mod minutes;
mod run;
mod single;
mod sureness;
mod thresholds;
mod traces;

use super::report::{Bound, Report, markdown, number};
use crate::workspace::Workspace;
use anchors::Anchors;
use anyhow::{Context, Result};
use run::Runner;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tidegate_forecast::backtest::report::{Metrics, difference, metrics};
use tidegate_forecast::backtest::score::Sums;
use tidegate_forecast::models::{TARGET_COUNT, TARGETS, WINDOW_COUNT};
use traces::Traces;

/// How far below the best event anchor a skill may be.
const SKILL_SLACK: f64 = 0.01;
/// CPU in the stream for each series and minute, in microseconds.
const STREAM_MOST_US: f64 = 20.0;
/// The window's name, and its event's target.
const WINDOWS: [(&str, usize); WINDOW_COUNT] = [("5 min", 0), ("15 min", 3), ("60 min", 4)];
/// Targets whose tail is bound: the maxima over 15 and 60 minutes.
const TAILS: [usize; 2] = [3, 4];
/// What binds on other traces, with the shipped model: Brier skill, onset skill, CRPS, tail; printed beside ours.
const MUST_SKILL: [f64; WINDOW_COUNT] = [0.50, 0.50, 0.47];
const MUST_ONSET: [f64; WINDOW_COUNT] = [0.21, 0.31, 0.42];
const MUST_CRPS: [f64; TARGET_COUNT] = [0.380, 0.480, 0.591, 0.436, 0.484];
const MUST_TAIL: [f64; 2] = [0.66, 0.74];
/// The anchor that events are measured against, and the one that is left out of nothing.
const EVENT_ANCHOR: &str = "cls_big";
/// The threshold that is judged: the second level of each series.
const THRESHOLD: usize = 1;
/// What all losses are relative to.
const REFERENCE: &str = "snaive";

/// The models that are judged one by one.
const SINGLE: [&str; 8] = [
    "boosted",
    "lstm",
    "ridge",
    "ets",
    "mstl",
    "prophet",
    "persistence",
    "seasonal-naive",
];

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ForecastingArguments {
    /// Make those anchors with the harness whose sums are not kept for these traces yet, and keep them
    #[arg(long)]
    anchors: bool,
    /// Folder of the traces
    #[arg(long, env = "TIDEGATE_TRACES", value_name = "DIR")]
    traces: PathBuf,
    /// Folder of the harness that sends streams and makes anchors
    #[arg(long, env = "TIDEGATE_HARNESS", value_name = "DIR")]
    harness: Option<PathBuf>,
    /// Also run AutoETS, LightGBM and Prophet in Python and compare the CPU of a forecast; some ten minutes
    #[arg(long, requires = "harness")]
    libraries: bool,
    /// A Python with the harness's packages; by default one is set up beside the result
    #[arg(long, env = "TIDEGATE_PYTHON", value_name = "FILE")]
    python: Option<PathBuf>,
}

/// Trains, forecasts and judges.
pub(crate) fn run(workspace: &Workspace, arguments: &ForecastingArguments) -> Result<Report> {
    let folder = workspace.bench_folder().join("forecasting");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let traces = Traces::load(&arguments.traces, &folder)?;
    let runner = Runner::build(workspace, &traces, folder, arguments)?;
    let anchors = if arguments.anchors {
        anchors::make(workspace, &runner, &traces)?
    } else {
        anchors::kept(workspace, &traces)?
    };
    let model = runner.train("before-split", &["--before-split", "--network"])?;
    let mut ours = BTreeMap::new();
    let stream = runner.stream(&model)?;
    ours.insert("tidegate".to_owned(), traces.judge(&stream.forecasts)?);
    for name in SINGLE {
        ours.insert(
            format!("tidegate {name}"),
            traces.judge(&runner.bulk(name, &model)?)?,
        );
    }
    let mut report = Report::default();
    let bench = Judged { ours, anchors };
    bench.events(&mut report)?;
    bench.quantiles(&mut report)?;
    kin::run(&bench, &mut report)?;
    single::run(&bench, &mut report)?;
    sureness::run(&runner, &traces, &model, &mut report)?;
    thresholds::run(&runner, &traces, &model, &mut report)?;
    minutes::run(&runner, &traces, &model, &mut report)?;
    folds::run(&runner, &traces, &bench.anchors, &mut report)?;
    report.value(
        "CPU per series and minute of the stream",
        stream.cpu_us,
        "us",
        Some(Bound::AtMost(STREAM_MOST_US)),
    );
    growth::run(workspace, &runner, &mut report)?;
    if arguments.libraries {
        let costs = cost::Costs {
            runner: &runner,
            traces: &traces,
            anchors: &bench.anchors,
            model: &model,
            stream_s: stream.cpu_us * traces.minutes() / 1e6,
        };
        cost::run(&costs, &mut report)?;
    } else {
        let note = "What a forecast costs in Python is measured with --libraries.";
        report.notes.push(note.to_owned());
    }
    report.notes.push(bench.tables());
    report.notes.push(format!(
        "{} series, {} origins; traces {}. Bounds come from the best anchor on the same origins; intervals are paired \
         bootstraps over series. The stream was sent by {}. Where a source was left out, training never saw it, but our \
         model goes on learning in the stream from what has happened there; the anchors of that fold do not.",
        traces.series.len(),
        traces.origins,
        &traces.hash[..16],
        stream.sender
    ));
    Ok(report)
}

/// Everybody's sums.
struct Judged {
    ours: BTreeMap<String, Sums>,
    anchors: Anchors,
}

impl Judged {
    fn main(&self) -> &Sums {
        &self.ours["tidegate"]
    }

    /// Skill and onset skill against the event anchor.
    fn events(&self, report: &mut Report) -> Result<()> {
        let reference = self.anchors.sums(REFERENCE)?;
        let anchor = self.anchors.sums(EVENT_ANCHOR)?;
        let (mine, theirs) = (metrics(self.main(), &reference), metrics(&anchor, &reference));
        for (window, (name, _)) in WINDOWS.iter().enumerate() {
            for onset in [false, true] {
                let pick = |metrics: &Metrics| {
                    let event = &metrics.events[window][1];
                    if onset { event.onset_skill } else { event.skill }
                };
                let kind = if onset { "onset skill" } else { "Brier skill" };
                let bound = Bound::AtLeast(round(pick(&theirs) - SKILL_SLACK));
                report.value(&format!("{kind}, {name}"), pick(&mine), "", Some(bound));
                let of = |sums: &Sums| pick(&metrics(sums, sums));
                report.value(
                    &format!("{kind}, {name}, less {EVENT_ANCHOR}'s"),
                    pick(&mine) - pick(&theirs),
                    "",
                    None,
                );
                report.last_interval(difference(self.main(), &anchor, of));
            }
        }
        Ok(())
    }

    /// CRPS of every target and the tails of the maxima, against the best anchor of each.
    fn quantiles(&self, report: &mut Report) -> Result<()> {
        let reference = self.anchors.sums(REFERENCE)?;
        let mine = metrics(self.main(), &reference);
        for (target, name) in TARGETS.iter().enumerate() {
            let best = self.best(&reference, |metrics| metrics.targets[target].crps)?;
            report.value(
                &format!("relative CRPS, {name} (best anchor {})", best.0),
                mine.targets[target].crps,
                "",
                Some(Bound::AtMost(round(best.1))),
            );
        }
        for target in TAILS {
            let best = self.best(&reference, |metrics| metrics.targets[target].pinball99)?;
            report.value(
                &format!(
                    "relative pinball .99, {} (best anchor {})",
                    TARGETS[target], best.0
                ),
                mine.targets[target].pinball99,
                "",
                Some(Bound::AtMost(round(best.1))),
            );
        }
        Ok(())
    }

    /// The anchor with the least of something in its quantiles.
    fn best(&self, reference: &Sums, of: impl Fn(&Metrics) -> f64) -> Result<(String, f64)> {
        let values = self
            .anchors
            .names()
            .filter(|name| forecasts_quantiles(name))
            .map(|name| {
                Ok((
                    name.to_owned(),
                    of(&metrics(&self.anchors.sums(name)?, reference)),
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        let known = values.into_iter().filter(|(_, value)| value.is_finite());
        known
            .min_by(|left, right| left.1.total_cmp(&right.1))
            .context("there is no anchor to measure against")
    }

    /// All methods, for a reader.
    fn tables(&self) -> String {
        let reference = self.anchors.sums(REFERENCE).unwrap_or_default();
        let mut events = vec![
            [
                "method", "BSS 5", "BSS 15", "BSS 60", "onset 5", "onset 15", "onset 60", "ECE 15",
            ]
            .map(str::to_owned),
        ];
        let mut quantiles = vec![
            [
                "method",
                "s1",
                "s3",
                "s12",
                "m3",
                "m12",
                "q99 m3",
                "q99 m12",
                "cover95 m12",
            ]
            .map(str::to_owned),
        ];
        let ours = self.ours.iter().map(|(name, sums)| (name.clone(), sums.clone()));
        let theirs = self
            .anchors
            .names()
            .filter_map(|name| Some((name.to_owned(), self.anchors.sums(name).ok()?)));
        for (name, sums) in ours.chain(theirs) {
            let mut found = metrics(&sums, &reference);
            self.anchors.set_calibration(&name, &mut found);
            events.push(event_row(&name, &found));
            if forecasts_quantiles(&name) {
                quantiles.push(quantile_row(&name, &found));
            }
        }
        events.push(must(&[&MUST_SKILL[..], &MUST_ONSET[..], &[0.015]].concat()));
        quantiles.push(must(&[&MUST_CRPS[..], &MUST_TAIL[..], &[0.95]].concat()));
        format!(
            "Events, thresholds at the second level of each series:\n\n{}\nQuantiles, relative to `{REFERENCE}`:\n\n{}",
            markdown(&events),
            markdown(&quantiles)
        )
    }
}

/// The harness's event classifiers repeat the quantiles of `lgbm_q`.
fn forecasts_quantiles(anchor: &str) -> bool {
    !anchor.starts_with("cls_") && !anchor.starts_with("logit_") && anchor != "lstm_cls"
}

/// The row of what binds elsewhere.
fn must<const COLUMNS: usize>(values: &[f64]) -> [String; COLUMNS] {
    std::array::from_fn(|column| match column {
        0 => "must, on other traces".to_owned(),
        _ => number(values[column - 1]),
    })
}

fn event_row(name: &str, found: &Metrics) -> [String; 8] {
    let events = found.events.map(|thresholds| thresholds[1]);
    [
        name.to_owned(),
        number(events[0].skill),
        number(events[1].skill),
        number(events[2].skill),
        number(events[0].onset_skill),
        number(events[1].onset_skill),
        number(events[2].onset_skill),
        number(events[1].calibration_error),
    ]
}

fn quantile_row(name: &str, found: &Metrics) -> [String; 9] {
    let targets = &found.targets;
    [
        name.to_owned(),
        number(targets[0].crps),
        number(targets[1].crps),
        number(targets[2].crps),
        number(targets[3].crps),
        number(targets[4].crps),
        number(targets[3].pinball99),
        number(targets[4].pinball99),
        number(targets[4].coverage95),
    ]
}

/// Bounds are read by people too.
fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

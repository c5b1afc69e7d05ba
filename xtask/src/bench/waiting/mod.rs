//! `cargo xtask bench waiting`: does the head for waiting foresee real contention of a kind that it was not trained on?
//!
//! Records of real contention on a host (CPU limits, a shared core, a disk), untreated, one second each, are committed;
//! `cargo xtask record` makes such records. One kind after the other is held out: everything is trained on the others.
//! Rivals see the same moments: the rule that usage above a threshold means contention, with its best threshold and
//! with what it has meant on the others; and the same forest without what it knows of waiting.

mod record;
mod score;
mod table;

use super::report::{Bound, Report};
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use record::Kind;
use score::{Judged, UsageRule, judge};
use std::path::PathBuf;
use tidegate_forecast::models::waiting::{
    USAGE_COLUMNS, WAITING_ROW, WAITING_WINDOWS_S, WaitingHead, WaitingRow, rows,
};

/// Where the records stand in the repository.
const RECORDS: &str = "docs/bench/waiting-records.csv";
/// Seconds between two judged moments; trained on are all of this many.
const STRIDE: usize = 5;

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct WaitingArguments {
    /// Judge these records in place of the committed ones
    #[arg(long)]
    records: Option<PathBuf>,
}

/// Options of `cargo xtask record`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RecordArguments {
    /// The daemon that observes; the release build by default
    #[arg(long)]
    tidegate: Option<PathBuf>,
    /// Which resources are contended; all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Length of the record
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Seed of the loads
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the records go
    #[arg(long, default_value = RECORDS)]
    out: PathBuf,
    /// Keep the records that are there
    #[arg(long)]
    append: bool,
}

/// Makes records.
pub(crate) fn record(arguments: &RecordArguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let program = (arguments.tidegate.clone()).unwrap_or_else(|| workspace.target.join("release/tidegate"));
    let kinds = if arguments.kinds.is_empty() {
        Kind::ALL.to_vec()
    } else {
        arguments.kinds.clone()
    };
    let mut records = if arguments.append && arguments.out.exists() {
        table::read(&arguments.out)?
    } else {
        Vec::new()
    };
    let folder = workspace.bench_folder().join("waiting");
    records.extend(record::record(
        &program,
        &folder,
        &kinds,
        arguments.minutes,
        arguments.seed,
    )?);
    for record in &records {
        let contended = record
            .series
            .seconds
            .iter()
            .filter(|second| second.contended)
            .count();
        println!(
            "{} {}: {} s, {contended} contended",
            record.kind.name(),
            record.name,
            record.series.seconds.len()
        );
    }
    table::write(&arguments.out, &records)?;
    println!("written: {}", arguments.out.display());
    Ok(())
}

/// Rows of one unit of a record, thinned out.
struct Unit {
    kind: Kind,
    rows: Vec<WaitingRow>,
}

/// Judges the head on each kind, trained on the others.
pub(crate) fn run(workspace: &Workspace, arguments: &WaitingArguments) -> Result<Report> {
    let path = (arguments.records.clone()).unwrap_or_else(|| workspace.root.join(RECORDS));
    let units: Vec<Unit> = table::read(&path)?
        .iter()
        .map(|record| Unit {
            kind: record.kind,
            rows: rows(&record.series).into_iter().step_by(STRIDE).collect(),
        })
        .collect();
    let mut report = Report::default();
    let mut pooled: [Judged; 3] = Default::default();
    let mut missing = Vec::new();
    for kind in Kind::ALL {
        if !units.iter().any(|unit| unit.kind == kind) {
            missing.push(kind.name());
            continue;
        }
        let judged = judged(&units, |unit| unit.kind == kind)?;
        for (pooled, judged) in pooled.iter_mut().zip(&judged) {
            pooled.add(judged);
        }
        rows_of(&mut report, &format!("{} held out", kind.name()), &judged, false);
    }
    rows_of(&mut report, "kinds held out", &pooled, true);
    if !missing.is_empty() {
        report
            .notes
            .push(format!("There is no record of: {}.", missing.join(", ")));
    }
    report.notes.push(format!(
        "{} units of {} kinds; moments every {STRIDE} s. Skill is against the held-out unit's own rate; onset skill \
         counts moments without contention. The intervals draw units and pieces of five minutes of them.",
        units.len(),
        Kind::ALL.len()
    ));
    Ok(report)
}

/// The waiting head, the usage head and the usage rule, trained without the units that are held out.
fn judged(units: &[Unit], is_held_out: impl Fn(&Unit) -> bool) -> Result<[Judged; 3]> {
    let (held_out, known): (Vec<&Unit>, Vec<&Unit>) = units.iter().partition(|unit| is_held_out(unit));
    let known: Vec<WaitingRow> = known.iter().flat_map(|unit| unit.rows.iter().cloned()).collect();
    let held_out: Vec<&[WaitingRow]> = held_out.iter().map(|unit| &unit.rows[..]).collect();
    let heads = [0..WAITING_ROW, USAGE_COLUMNS].map(|columns| WaitingHead::train(&known, columns));
    let [Some(head), Some(usage)] = heads else {
        bail!("too few rows to train on beside those that are held out");
    };
    let rule = UsageRule::fit(&known);
    Ok([
        judge(&held_out, |row| head.probabilities(row)),
        judge(&held_out, |row| usage.probabilities(row)),
        judge(&held_out, |row| rule.probabilities(row)),
    ])
}

fn rows_of(report: &mut Report, what: &str, judged: &[Judged; 3], bound: bool) {
    let [head, usage, rule] = judged;
    for (window, window_s) in WAITING_WINDOWS_S.into_iter().enumerate() {
        let minutes = window_s / 60;
        for (name, onset) in [("BSS", false), ("onset BSS", true)] {
            let skill = |judged: &Judged| judged.skill(window, onset);
            report.value(
                &format!("{what}, {minutes} min: {name}, waiting head"),
                skill(head),
                "",
                bound.then_some(Bound::AtLeast(skill(rule))),
            );
            report.last_interval(head.interval(window, onset));
            report.value(
                &format!("{what}, {minutes} min: {name}, usage head"),
                skill(usage),
                "",
                None,
            );
            report.value(
                &format!("{what}, {minutes} min: {name}, usage rule"),
                skill(rule),
                "",
                None,
            );
            if bound {
                report.value(
                    &format!("{what}, {minutes} min: {name}, waiting head above the usage rule"),
                    skill(head) - skill(rule),
                    "",
                    None,
                );
                report.last_interval(head.interval_above(rule, window, onset));
            }
        }
        for (name, judged) in [
            ("waiting head", head),
            ("usage head", usage),
            ("usage rule", rule),
        ] {
            report.value(
                &format!("{what}, {minutes} min: ECE, {name}"),
                judged.calibration_error(window),
                "",
                None,
            );
        }
    }
}

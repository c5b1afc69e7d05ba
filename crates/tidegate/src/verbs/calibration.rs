//! `tidegate calibration`: how far predictions deserve belief.

use super::print_json;
use crate::cli::CalibrationArguments;
use crate::failure::{Failure, Outcome};
use crate::out::{note, say};
use crate::place::Folders;
use crate::source::Source;
use crate::table::{number, percent, print};
use crate::when;
use tidegate_dashboard::calibration::svg;
use tidegate_dashboard::{CalibrationQuery, CalibrationRow};

/// The columns.
const HEAD: [&str; 16] = [
    "unit",
    "model",
    ">window",
    ">scored",
    ">aside",
    ">events",
    ">Brier",
    ">skill",
    ">error",
    ">coverage",
    ">peaks in",
    ">above",
    ">alarm from",
    ">alarmed",
    ">lead",
    "standing",
];

/// `tidegate calibration`.
pub(crate) fn calibration(arguments: &CalibrationArguments) -> Outcome {
    if !(0.0..=1.0).contains(&arguments.false_alarms) {
        return Err(Failure::usage("--false-alarms is a share, 0 to 1"));
    }
    let query = CalibrationQuery {
        since_utc_ms: Some(when::moment_utc_ms(&arguments.since, when::now_utc_ms())?),
        false_alarms: arguments.false_alarms,
    };
    let mut view = Source::open(&Folders::of(&arguments.places))?.calibration(&query)?;
    if let Some(file) = &arguments.svg {
        std::fs::write(file, svg(&view))
            .map_err(|error| Failure::environment(format!("{}: {error}", file.display())))?;
        note!("written: {}", file.display());
    }
    if let Some(unit) = &arguments.unit {
        view.rows.retain(|row| row.unit.as_ref() == Some(unit));
        if view.rows.is_empty() {
            return Err(Failure::finding(format!("no prediction of {unit} was scored")));
        }
    }
    if arguments.format.json {
        return print_json(&view);
    }
    let folders = Folders::of(&arguments.places);
    if let Some(result) = crate::train::folder::last_result(&folders.data) {
        say!("last training: {}", result.words());
    }
    if view.rows.is_empty() {
        say!("no prediction was scored yet: a window has to close first");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = view.rows.iter().map(cells).collect();
    print(&HEAD, &rows);
    say!(
        "lead: how long an alarm stood before an onset, where {} of the quiet windows may be alarmed",
        percent(Some(view.false_alarm_share))
    );
    Ok(())
}

fn cells(row: &CalibrationRow) -> Vec<String> {
    let all = || "all".to_owned();
    vec![
        row.unit.clone().unwrap_or_else(all),
        row.model.clone().unwrap_or_else(all),
        format!("{} s", row.window_s),
        row.scored.to_string(),
        row.set_aside.to_string(),
        percent(row.base_rate),
        number(row.brier, 3),
        number(row.skill, 2),
        number(row.calibration_error, 3),
        percent(row.onset_coverage),
        percent(row.peak_coverage),
        percent(row.peak_above),
        number(row.alarm_from, 2),
        format!("{}/{}", row.onsets_alarmed, row.onsets),
        row.lead_s
            .map_or_else(|| "-".to_owned(), |lead_s| format!("{lead_s:.0} s")),
        if row.demoted { "reactive" } else { "" }.to_owned(),
    ]
}

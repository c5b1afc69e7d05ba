//! Verbs that read: apps, map, plan, leases, actions, explain, report, doctor.

use super::print_json;
use crate::cli::{ExplainArguments, PlanArguments, ReadArguments, SinceArguments};
use crate::failure::{Failure, Outcome};
use crate::out::{put, say};
use crate::place::Folders;
use crate::source::{Source, client_failure};
use crate::table::{bytes, number, percent, print};
use crate::when;
use tidegate_dashboard::client::Client;
use tidegate_dashboard::{
    AdviceRow, AppRow, LeaseRow, MapRow, PlanRequest, PlanView, ReportQuery, ReportRow, View,
};

fn view_of(arguments: &ReadArguments) -> Result<View, Failure> {
    Source::open(&Folders::of(&arguments.places))?.view()
}

/// `tidegate apps`.
pub(crate) fn apps(arguments: &ReadArguments) -> Outcome {
    let apps = Source::open(&Folders::of(&arguments.places))?.apps()?;
    if arguments.format.json {
        return print_json(&apps);
    }
    print_apps(&apps, apps.len());
    Ok(())
}

/// The table of so many apps in all, of which these are told; `top` shows it too.
pub(crate) fn print_apps(apps: &[AppRow], total: usize) {
    let rows: Vec<Vec<String>> = apps
        .iter()
        .map(|app| {
            vec![
                app.name.clone(),
                format!("{:?}", app.class).to_lowercase(),
                app.owner.clone(),
                number(app.processes, 0),
                number(app.cpu_cores, 2),
                number(app.cpu_limit_cores, 2),
                demand_words(app),
                percent(app.waiting_ratio()),
                bytes(app.memory_bytes),
            ]
        })
        .collect();
    print(
        &[
            "app",
            "class",
            "owner",
            ">processes",
            ">cpu",
            ">limit",
            ">demand",
            ">waiting",
            ">memory",
        ],
        &rows,
    );
    let cut = total.saturating_sub(apps.len());
    if cut > 0 {
        say!("({cut} more)");
    }
}

/// The median and the upper part of the demand; `>=` before a lower bound.
fn demand_words(app: &AppRow) -> String {
    let Some(cores) = &app.cpu_demand_cores else {
        return number(app.cpu_cores, 2);
    };
    match (app.elastic, app.cpu_demand_censored) {
        (true, _) => "elastic".to_owned(),
        (_, true) => format!(">={:.2}", cores.q50),
        (_, false) => format!("{:.2}", cores.q50),
    }
}

/// `tidegate map`.
pub(crate) fn map(arguments: &ReadArguments) -> Outcome {
    let view = view_of(arguments)?;
    if arguments.format.json {
        return print_json(&view.map);
    }
    print_map(&view.map.rows);
    Ok(())
}

/// The table of the map; `top` shows it too.
pub(crate) fn print_map(rows: &[MapRow]) {
    let windows: Vec<u32> = rows
        .first()
        .map(|row| row.windows.iter().map(|window| window.window_s).collect())
        .unwrap_or_default();
    let titles: Vec<String> = windows
        .iter()
        .map(|seconds| format!(">{}m", seconds / 60))
        .collect();
    let mut head = vec!["unit"];
    head.extend(titles.iter().map(String::as_str));
    head.extend([">confidence", "onset", "because"]);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let mut cells = vec![row.unit.clone()];
            cells.extend(row.windows.iter().map(|window| percent(Some(window.probability))));
            cells.push(percent(Some(row.confidence)));
            cells.push(
                row.onset_utc_ms
                    .map_or_else(|| "-".to_owned(), |onset| when::clock(onset.q50 as i64)),
            );
            cells.push(row.reason.clone());
            cells
        })
        .collect();
    print(&head, &cells);
}

/// `tidegate plan`.
pub(crate) fn plan(arguments: &PlanArguments) -> Outcome {
    let folders = Folders::of(&arguments.places);
    let plan = match &arguments.policy {
        None => Source::open(&folders)?.view()?.plan,
        Some(file) => {
            let policy = std::fs::read_to_string(file)
                .map_err(|error| Failure::environment(format!("{}: {error}", file.display())))?;
            let request = PlanRequest {
                policy,
                file_name: file.display().to_string(),
            };
            let client = Client::new(&folders.socket());
            client
                .post("/api/v1/plan", &request)
                .map_err(|error| client_failure(&error))?
        }
    };
    if arguments.format.json {
        return print_json(&plan);
    }
    print_plan(&plan);
    Ok(())
}

fn print_plan(plan: &PlanView) {
    if plan.leases.is_empty()
        && plan.advice.is_empty()
        && plan.shifts.is_empty()
        && plan.recompiles.is_empty()
    {
        say!("nothing to do");
        return;
    }
    print_leases(&plan.leases);
    let said: [(&str, &[AdviceRow]); 3] = [
        ("shift", &plan.shifts),
        ("compile", &plan.recompiles),
        ("advice", &plan.advice),
    ];
    for (kind, rows) in said {
        for row in rows {
            say!("{kind}: {}: {}", row.app, row.text);
        }
    }
}

fn print_leases(leases: &[LeaseRow]) {
    let rows: Vec<Vec<String>> = leases
        .iter()
        .map(|lease| {
            vec![
                lease.id.to_string(),
                lease.app.clone(),
                lease
                    .found
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |found| found.text.clone()),
                lease.asked.text.clone(),
                when::clock(lease.start_utc_ms),
                when::clock(lease.end_utc_ms),
                format!("{:?}", lease.state).to_lowercase(),
                format!("{:?}", lease.trigger).to_lowercase(),
                outcome_word(lease).to_owned(),
                lease.unit.clone(),
            ]
        })
        .collect();
    print(
        &[
            ">id", "app", "found", "asked", "from", "to", "state", "trigger", "came", "for",
        ],
        &rows,
    );
}

fn outcome_word(lease: &LeaseRow) -> &'static str {
    match (lease.outcome.failure.is_some(), lease.outcome.happened) {
        (true, _) => "refused",
        (false, Some(true)) => "yes",
        (false, Some(false)) => "no",
        (false, None) => "-",
    }
}

/// `tidegate leases`.
pub(crate) fn leases(arguments: &ReadArguments) -> Outcome {
    let view = view_of(arguments)?;
    if arguments.format.json {
        return print_json(&view.plan.leases);
    }
    print_leases(&view.plan.leases);
    Ok(())
}

/// `tidegate actions`.
pub(crate) fn actions(arguments: &SinceArguments) -> Outcome {
    let since = when::moment_utc_ms(&arguments.since, when::now_utc_ms())?;
    let view = Source::open(&Folders::of(&arguments.places))?.view()?;
    let actions: Vec<LeaseRow> = view
        .actions
        .into_iter()
        .filter(|lease| lease.end_utc_ms >= since)
        .collect();
    if arguments.format.json {
        return print_json(&actions);
    }
    print_leases(&actions);
    Ok(())
}

/// `tidegate explain`.
pub(crate) fn explain(arguments: &ExplainArguments) -> Outcome {
    let explanation = Source::open(&Folders::of(&arguments.places))?.explain(&arguments.id)?;
    if arguments.format.json {
        return print_json(&explanation);
    }
    say!("{}: {}", explanation.id, explanation.title);
    for step in &explanation.steps {
        say!("  {:<11} {}", step.title, step.text);
    }
    Ok(())
}

/// `tidegate report`.
pub(crate) fn report(arguments: &SinceArguments) -> Outcome {
    let now = when::now_utc_ms();
    let query = ReportQuery {
        since_utc_ms: when::moment_utc_ms(&arguments.since, now)?,
        until_utc_ms: Some(now),
    };
    let report = Source::open(&Folders::of(&arguments.places))?.report(&query)?;
    if arguments.format.json {
        return print_json(&report);
    }
    say!(
        "{} to {}",
        when::local(report.since_utc_ms),
        when::local(report.until_utc_ms)
    );
    let row = |row: &ReportRow, name: &str| {
        let counts = [
            row.events,
            row.acted,
            row.advised,
            row.hits,
            row.misses,
            row.false_alarms,
            row.unknown,
        ];
        let mut cells = vec![name.to_owned()];
        cells.extend(counts.iter().map(u64::to_string));
        cells
    };
    let mut rows: Vec<Vec<String>> = report.units.iter().map(|unit| row(unit, &unit.unit)).collect();
    rows.push(row(&report.total, "all"));
    print(
        &[
            "unit",
            ">events",
            ">acted",
            ">advised",
            ">hits",
            ">misses",
            ">false alarms",
            ">unknown",
        ],
        &rows,
    );
    say!(
        "variants kept {}, base kept {}",
        report.variants_kept,
        report.bases_kept
    );
    for remark in &report.remarks {
        say!("note: {remark}");
    }
    Ok(())
}

/// `tidegate doctor`.
pub(crate) fn doctor(arguments: &ReadArguments) -> Outcome {
    let report = crate::doctor::report(&Folders::of(&arguments.places))?;
    if arguments.format.json {
        return print_json(&report);
    }
    put!("{}", crate::doctor::text(&report));
    Ok(())
}

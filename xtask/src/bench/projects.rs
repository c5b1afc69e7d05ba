//! `cargo xtask bench projects`: real programs' own tests in a storm of switches, and on the plain build.
//!
//! The list is `tidegate-projects`'. The short form of the same runs in every `cargo xtask test`.

use super::report::{Bound, Report};
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::path::PathBuf;
use tidegate_projects::list::PROJECTS;
use tidegate_projects::run::{Form, Tested, Tools, test};

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ProjectsArguments {
    /// Folder of `tidegate-cc` and its rooms; the release build by default
    #[arg(long)]
    tools: Option<PathBuf>,
    /// Only this project
    #[arg(long)]
    project: Option<String>,
    /// The short form of the tests, on the plain build as well
    #[arg(long)]
    short: bool,
}

/// Tests every project.
pub(crate) fn run(workspace: &Workspace, arguments: &ProjectsArguments) -> Result<Report> {
    let tools = Tools {
        folder: arguments
            .tools
            .clone()
            .unwrap_or_else(|| workspace.target.join("release")),
        kept: workspace.target.join("tmp"),
    };
    let form = if arguments.short { Form::Short } else { Form::Long };
    let wanted = |name: &str| arguments.project.as_deref().is_none_or(|only| only == name);
    let mut report = Report::default();
    for project in PROJECTS.iter().filter(|project| wanted(project.name)) {
        if form == Form::Short && project.short.is_empty() {
            continue;
        }
        println!("== {}", project.name);
        match test(project, &tools, form, true) {
            Ok(tested) => add(&mut report, project.name, &tested),
            Err(error) => {
                println!("{}: {error}", project.name);
                report.value(
                    &format!("{}: tested", project.name),
                    f64::NAN,
                    "",
                    Some(Bound::AtLeast(1.0)),
                );
            }
        }
    }
    if report.rows.is_empty() {
        bail!("no project of that name");
    }
    Ok(report)
}

fn add(report: &mut Report, name: &str, tested: &Tested) {
    let plain = tested.plain.as_ref().is_none_or(|plain| plain.passed);
    let worse = plain && !tested.stormed.passed;
    if !tested.stormed.passed {
        println!("{}", tested.stormed.said);
    }
    let storm = &tested.storm;
    let mut count = |what: &str, value: f64, unit: &str, bound| {
        report.value(&format!("{name}: {what}"), value, unit, bound);
    };
    count(
        "failures that the plain build does not have",
        f64::from(u8::from(worse)),
        "",
        Some(Bound::AtMost(0.0)),
    );
    count("plain build passes", f64::from(u8::from(plain)), "", None);
    count(
        "processes switched",
        storm.processes as f64,
        "",
        Some(Bound::AtLeast(1.0)),
    );
    count("functions switched", f64::from(storm.functions), "", None);
    count("stores into slots", storm.switches as f64, "", None);
    count(
        "stores that failed",
        storm.failures as f64,
        "",
        Some(Bound::AtMost(0.0)),
    );
    count(
        "tests in the storm",
        tested.stormed.elapsed.as_secs_f64(),
        "s",
        None,
    );
}

//! `cargo xtask bench NAME`: the promised numbers of `SPECIFICATION.md`, measured.
//!
//! Each bench is a function from its options to a report; this module publishes it and turns broken bounds into the
//! exit status. Comparisons are paired and their order rotates, so that a noisy host spoils both sides alike. Fixed
//! times bind benches, never tests.

mod counted;
mod demo;
mod forecasting;
mod fuzz;
pub(crate) mod host;
mod live;
mod napping;
mod observed;
mod projects;
mod recompiler;
mod recurring;
pub(crate) mod report;
pub(crate) mod resident;
mod scenarios;
pub(crate) mod stats;
mod telemetry;
mod waiting;

pub(crate) use waiting::{RecordArguments, record};

use crate::workspace::Workspace;
use anyhow::Result;
use clap::Subcommand;

/// Every bench there is.
pub(crate) const NAMES: [&str; 13] = [
    "telemetry",
    "recompiler",
    "counted",
    "scenarios",
    "demo",
    "forecasting",
    "forecast-cost",
    "live",
    "napping",
    "recurring",
    "waiting",
    "fuzz",
    "projects",
];

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// The long form; its result is written to `docs/bench/NAME.md`
    #[arg(long, global = true)]
    long: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// What one tick of the collector costs, and whether it allocates
    Telemetry,
    /// What slots cost while nothing is switched, and what a variant costs to compile
    Recompiler(recompiler::RecompilerArguments),
    /// What the pipelines do to the code of real programs, counted
    Counted(counted::CountedArguments),
    /// What is chosen under contention against the best static build
    Scenarios(scenarios::ScenariosArguments),
    /// Acting ahead against rivals at their best
    Demo(demo::DemoArguments),
    /// What the forecast costs by number of units: CPU share and memory
    ForecastCost,
    /// Whether the daemon foresees what real processes do here
    Live(live::LiveArguments),
    /// Whether resting in a loop spares a neighbour more than a limit does
    Napping(napping::NappingArguments),
    /// Whether code is ready for a neighbour that keeps coming back
    Recurring(recurring::RecurringArguments),
    /// Whether real contention of an unknown kind is foreseen from its waiting
    Waiting(waiting::WaitingArguments),
    /// Readers of bytes from outside, fuzzed by coverage
    Fuzz(fuzz::FuzzArguments),
    /// Real programs' own tests while everything is switched
    Projects(projects::ProjectsArguments),
    /// Forecasts of real traces beside other people's
    Forecasting(forecasting::ForecastingArguments),
}

/// Runs one bench; true where every bound holds.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::load()?;
    let (name, title, report) = match &arguments.bench {
        Bench::Telemetry => ("telemetry", "Cost of one tick", telemetry::run(&workspace)?),
        Bench::Recompiler(options) => (
            "recompiler",
            "Slots and variants",
            recompiler::run(&workspace, options)?,
        ),
        Bench::Counted(options) => (
            "counted",
            "Effects of the pipelines, counted",
            counted::run(&workspace, options)?,
        ),
        Bench::Scenarios(options) => (
            "scenarios",
            "Chosen code against the best static build",
            scenarios::run(&workspace, options, arguments.long)?,
        ),
        Bench::Demo(options) => (options.name(), "Acting ahead", demo::run(&workspace, options)?),
        Bench::ForecastCost => (
            "forecast-cost",
            "Cost of the forecast",
            telemetry::example(&workspace, "tidegate-forecast", "forecast_cost", &[])?,
        ),
        Bench::Live(options) => ("live", "Foreseeing real bursts", live::run(&workspace, options)?),
        Bench::Napping(options) => (
            "napping",
            "Napping beside limits",
            napping::run(&workspace, options)?,
        ),
        Bench::Recurring(options) => (
            "recurring",
            "Code that is ready for a recurring neighbour",
            recurring::run(&workspace, options)?,
        ),
        Bench::Waiting(options) => (
            "waiting",
            "Foreseeing waiting",
            waiting::run(&workspace, options)?,
        ),
        Bench::Fuzz(options) => ("fuzz", "Readers, fuzzed", fuzz::run(&workspace, options)?),
        Bench::Projects(options) => (
            "projects",
            "Real programs in a storm",
            projects::run(&workspace, options)?,
        ),
        Bench::Forecasting(options) => (
            "forecasting",
            "Forecasts of real traces",
            forecasting::run(&workspace, options)?,
        ),
    };
    let path = report.publish(&workspace, name)?;
    println!("written: {}", path.display());
    if arguments.long {
        println!("written: {}", report.keep(&workspace, name, title)?.display());
    }
    Ok(report.holds())
}

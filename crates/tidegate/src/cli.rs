//! Every verb and flag, once: help, completions and man pages come from this definition.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use tidegate_forecast::models::Kind;
use tidegate_types::Mode;

/// tidegate predicts contention on a shared Linux host and acts before it.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    after_help = "Exit status: 0 ok, 1 a finding, 2 usage, 3 the environment, 4 already running."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Where a daemon lives; the same for every verb.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Places {
    /// Folder of history, models and checkpoints.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// Folder of the socket and the journal; it must be on tmpfs for acting.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) run_dir: Option<PathBuf>,
}

/// How a read verb prints.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Format {
    /// Print JSON to standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Watch this host, forecast, and act as far as the policy grants.
    Run(RunArguments),
    /// Name what is used, what is absent and what that costs.
    Doctor(ReadArguments),
    /// Check a policy file: syntax, meaning, and this host.
    Check(CheckArguments),
    /// Live overview in the terminal.
    Top(TopArguments),
    /// List the apps on this host.
    Apps(ReadArguments),
    /// Print the contention probability map.
    Map(ReadArguments),
    /// Print which app calls which, and how contention follows.
    Graph(GraphArguments),
    /// Print what is planned, or what a policy would plan.
    Plan(PlanArguments),
    /// List the leases that hold or lie ahead.
    Leases(ReadArguments),
    /// List what was done, with predictions and outcomes.
    Actions(SinceArguments),
    /// Explain one action or prediction.
    Explain(ExplainArguments),
    /// Sum up: what it did or would have done, hits, misses, false alarms.
    Report(SinceArguments),
    /// How far predictions deserve belief: reliability, skill, coverage, lead time.
    Calibration(CalibrationArguments),
    /// Give everything back and hold still until `resume`.
    Pause(PlacesOnly),
    /// Go on after `pause`.
    Resume(PlacesOnly),
    /// Put every journalled knob back to its found value; needs no daemon.
    Restore(RestoreArguments),
    /// Feed a recorded span through the loop and compare its plans with the recorded ones.
    Replay(ReplayArguments),
    /// Print history as CSV.
    Dump(DumpArguments),
    /// Add history from CSV: `app,time,cpu,memory,disk_read,disk_write,net_rx,net_tx`.
    Import(ImportArguments),
    /// Forecast recorded series as it would have been done at the time, and judge forecasts.
    Backtest(BacktestArguments),
    /// Train the forecast on this host's own history, as the daemon does at night; a better model is taken up.
    Train(TrainArguments),
    /// Announce events ahead of time, list what is expected, take back.
    Event(EventArguments),
    /// C compiler driver: clang plus functions that can be switched while the program runs.
    #[command(disable_help_flag = true)]
    Cc(CompilerArguments),
    /// C++ compiler driver: as `cc`, with clang++.
    #[command(name = "c++", disable_help_flag = true)]
    Cxx(CompilerArguments),
    /// Cargo for Rust programs: as `cargo`, with functions that can be switched while the program runs.
    #[command(disable_help_flag = true)]
    Cargo(CompilerArguments),
    /// Say what of a binary or a running process can be switched, and what not and why.
    Inspect(InspectArguments),
    /// Switch functions of a running process to a variant or back to the base.
    Switch(SwitchArguments),
    /// The variants on disk.
    Cache(CacheArguments),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write the man pages to a folder.
    #[command(hide = true)]
    Man {
        /// Folder to write to.
        folder: PathBuf,
    },
    /// Undo process of the daemon; started by `run`.
    #[command(hide = true)]
    Guardian(GuardianArguments),
}

/// `tidegate run`.
#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    /// Policy file; without one, everything is observed and nothing is done.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// File that declares which app calls which: .toml, .json (service graph) or .dot; may be given more than once.
    #[arg(long, value_name = "FILE")]
    pub(crate) graph: Vec<PathBuf>,
    /// Holidays, which are lived as Sundays: lines of a day and a name, as in `2026-12-25 Christmas`.
    #[arg(long, value_name = "FILE")]
    pub(crate) holidays: Option<PathBuf>,
    /// Lower every mode of the policy to this.
    #[arg(long, value_enum)]
    pub(crate) mode: Option<ModeArgument>,
    /// Port of the status page on 127.0.0.1; 0 for none.
    #[arg(long, default_value_t = 7979)]
    pub(crate) port: u16,
    /// Seconds between samples: 0.1 to 60.
    #[arg(long, default_value_t = 1.0, value_parser = interval_s, value_name = "SECONDS")]
    pub(crate) interval: f64,
}

/// A mode on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ModeArgument {
    /// Watch only.
    Observe,
    /// Say what would be done.
    Advise,
    /// Do it.
    Enforce,
}

impl From<ModeArgument> for Mode {
    fn from(argument: ModeArgument) -> Self {
        match argument {
            ModeArgument::Observe => Self::Observe,
            ModeArgument::Advise => Self::Advise,
            ModeArgument::Enforce => Self::Enforce,
        }
    }
}

/// A verb that takes places only.
#[derive(Args, Debug)]
pub(crate) struct PlacesOnly {
    #[command(flatten)]
    pub(crate) places: Places,
}

/// A verb that reads.
#[derive(Args, Debug)]
pub(crate) struct ReadArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// A verb that reads back to a moment.
#[derive(Args, Debug)]
pub(crate) struct SinceArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// How far back: `10m`, `24h`, `7d`, or a moment such as 2026-11-24T08:00:00Z.
    #[arg(long, default_value = "24h")]
    pub(crate) since: String,
}

/// `tidegate calibration`.
#[derive(Args, Debug)]
pub(crate) struct CalibrationArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// How far back: `24h`, `7d`, or a moment.
    #[arg(long, default_value = "7d")]
    pub(crate) since: String,
    /// Share of the quiet windows that may be alarmed, 0 to 1; lead times are told at this rate.
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    pub(crate) false_alarms: f64,
    /// Only this unit.
    #[arg(long)]
    pub(crate) unit: Option<String>,
    /// Write the reliability of all units as a picture to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// `tidegate check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArguments {
    /// The policy file.
    pub(crate) policy: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// `tidegate top`.
#[derive(Args, Debug)]
pub(crate) struct TopArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Print once and leave.
    #[arg(long)]
    pub(crate) once: bool,
}

/// `tidegate plan`.
#[derive(Args, Debug)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Plan as this policy would, without acting.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

/// `tidegate graph`.
#[derive(Args, Debug)]
pub(crate) struct GraphArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Print Graphviz's DOT to standard output.
    #[arg(long, conflicts_with = "json")]
    pub(crate) dot: bool,
    /// Only check these files and print what they declare; needs no daemon.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
}

/// `tidegate explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Number of a lease, `p` and the number of a prediction, or `code:` and the number of a process whose code was
    /// switched.
    pub(crate) id: String,
}

/// `tidegate restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Say what would be put back, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only this app's group path.
    #[arg(long)]
    pub(crate) app: Option<String>,
}

/// `tidegate replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Start: `1h`, or a moment. Replay begins at the last checkpoint before it.
    #[arg(long, default_value = "24h")]
    pub(crate) since: String,
    /// Also run the peers' rules over the same record.
    #[arg(long)]
    pub(crate) peers: bool,
}

/// `tidegate dump`.
#[derive(Args, Debug)]
pub(crate) struct DumpArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// From: `10m`, `24h`, or a moment.
    #[arg(long, default_value = "24h")]
    pub(crate) since: String,
    /// Only this app.
    #[arg(long)]
    pub(crate) app: Option<String>,
}

/// `tidegate import`.
#[derive(Args, Debug)]
pub(crate) struct ImportArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    /// The CSV file; `-` for standard input.
    pub(crate) file: PathBuf,
}

/// `tidegate backtest`.
#[derive(Args, Debug)]
#[group(skip)]
pub(crate) struct BacktestArguments {
    /// Speak the stream protocol on standard input and output: nothing after an origin is known when it is asked for.
    #[arg(long, conflicts_with_all = ["input", "origins", "output", "report", "forecasts"])]
    pub(crate) stream: bool,
    /// Series: `series_id,timestamp,value`, means over five minutes, in order of time; an empty value is missing.
    #[arg(
        long,
        value_name = "CSV",
        required_unless_present = "stream",
        requires = "origins"
    )]
    pub(crate) input: Option<PathBuf>,
    /// One-minute means of the same series: `series_id,timestamp,value`; models that know what to do with them use them.
    #[arg(long, value_name = "CSV", conflicts_with = "stream")]
    pub(crate) minutes: Option<PathBuf>,
    /// Where forecasts are wanted: `series_id,origin,threshold,threshold`.
    #[arg(long, value_name = "CSV")]
    pub(crate) origins: Option<PathBuf>,
    /// Where the forecasts go: one line per origin and target.
    #[arg(long, value_name = "CSV")]
    pub(crate) output: Option<PathBuf>,
    /// Where it goes how sure the chances are: one line per origin and event; only `auto` says it.
    #[arg(long, value_name = "CSV", conflicts_with_all = ["stream", "forecasts"])]
    pub(crate) confidence: Option<PathBuf>,
    /// Which model.
    #[arg(long, default_value = "auto", value_parser = model_named, value_name = "NAME", help = model_help())]
    pub(crate) model: Kind,
    /// Trained forests to use instead of the shipped ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) trained: Option<PathBuf>,
    /// Local time of the series, as in Europe/Vienna: days and weeks go by it through summer and winter.
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// Holidays: lines of a day and a name, as in `2026-12-25 Christmas`.
    #[arg(long, value_name = "FILE")]
    pub(crate) holidays: Option<PathBuf>,
    /// Judge the forecasts by what came.
    #[arg(long)]
    pub(crate) report: bool,
    /// Judge this table of forecasts instead of making one.
    #[arg(long, value_name = "CSV", requires = "report", conflicts_with = "output")]
    pub(crate) forecasts: Option<PathBuf>,
    /// Table of forecasts that numbers are relative to; without it, our seasonal naive.
    #[arg(long, value_name = "CSV", requires = "report")]
    pub(crate) reference: Option<PathBuf>,
    /// What is known of the series: `series_id`, `dataset` and `train_n`, the length of the part that gives the
    /// climatology; without it, everything before the first origin.
    #[arg(long, value_name = "CSV", requires = "report")]
    pub(crate) meta: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// `tidegate train`.
#[derive(Args, Debug)]
pub(crate) struct TrainArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Seconds of CPU after which it stops and keeps what it has; the next one goes on from there.
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    pub(crate) cpu_seconds: u64,
    /// Forget what an interrupted training kept, and begin anew.
    #[arg(long)]
    pub(crate) anew: bool,
}

fn interval_s(text: &str) -> Result<f64, String> {
    number_within(text, 0.1..=60.0)
}

fn storm_s(text: &str) -> Result<f64, String> {
    number_within(text, 0.0..=3600.0)
}

/// A number of a range, which no infinity and nothing that is not a number lies in.
fn number_within(text: &str, range: RangeInclusive<f64>) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
}

fn model_named(name: &str) -> Result<Kind, String> {
    Kind::named(name).ok_or_else(|| format!("there is no such model; there are {}", model_names()))
}

fn model_names() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

fn model_help() -> String {
    format!("Which model: {}", model_names())
}

/// `tidegate event`.
#[derive(Args, Debug)]
pub(crate) struct EventArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(subcommand)]
    pub(crate) action: EventAction,
}

/// What to do with events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventAction {
    /// Announce one.
    Add {
        /// What it is called.
        name: String,
        /// When it begins: 2026-11-24T08:00:00Z, or without `Z` on the clock of the time zone.
        #[arg(long, required_unless_present = "cron")]
        at: Option<String>,
        /// Whose demand rises.
        #[arg(long)]
        app: String,
        /// How long it lasts: `90s`, `10m`.
        #[arg(long, default_value = "5m")]
        lasting: String,
        /// Time between repetitions; `1d` and `1w` keep the wall-clock time through changes of daylight saving.
        #[arg(long)]
        every: Option<String>,
        /// When it repeats, as cron's five fields, such as `0 8 * * 1-5`.
        #[arg(long, conflicts_with_all = ["every", "at"])]
        cron: Option<String>,
        /// Time zone, such as Europe/Berlin; the system's where it is not given.
        #[arg(long)]
        zone: Option<String>,
        /// Expected demand in cores.
        #[arg(long)]
        cores: Option<f64>,
    },
    /// List what is expected: announced, or scheduled by cron tables and timers.
    Ls {
        #[command(flatten)]
        format: Format,
    },
    /// Take an announced event back.
    Rm {
        /// What it is called.
        name: String,
    },
}

/// `tidegate cc`.
#[derive(Args, Debug)]
pub(crate) struct CompilerArguments {
    /// Everything that clang takes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// `tidegate inspect`.
#[derive(Args, Debug)]
pub(crate) struct InspectArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Names of the variants' code, as perf reads them: `tidegate inspect PID --perf-map >/tmp/perf-PID.map`.
    #[arg(long, conflicts_with = "json")]
    pub(crate) perf_map: bool,
    /// A file, or the number of a process.
    pub(crate) target: String,
}

/// `tidegate switch`.
#[derive(Args, Debug)]
pub(crate) struct SwitchArguments {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) format: Format,
    /// The process.
    pub(crate) pid: u32,
    /// Only this function.
    pub(crate) function: Option<String>,
    /// `base`, or a scenario: cpu, memory, disk, network, neighbour; `memory/1` is its second pipeline.
    #[arg(long, required_unless_present = "storm")]
    pub(crate) to: Option<String>,
    /// Try it live against the base, and keep it only where it helps.
    #[arg(long, requires = "to")]
    pub(crate) trial: bool,
    /// Length of a trial's slices; shorter ones end sooner and find only larger gains.
    #[arg(long, value_name = "MILLISECONDS", requires = "trial")]
    pub(crate) slice_ms: Option<u32>,
    /// Fault injection: switch every function back and forth for so many seconds, 3600 at most.
    #[arg(long, value_parser = storm_s, value_name = "SECONDS", conflicts_with_all = ["to", "trial"])]
    pub(crate) storm: Option<f64>,
}

/// `tidegate cache`.
#[derive(Args, Debug)]
pub(crate) struct CacheArguments {
    #[command(subcommand)]
    pub(crate) action: CacheAction,
    #[command(flatten)]
    pub(crate) format: Format,
    /// Folder of the cache.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) cache: Option<PathBuf>,
}

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheAction {
    /// List the variants.
    Ls,
    /// Look into a variant.
    Show {
        /// The beginning of its key.
        key: String,
    },
    /// Remove the variants that were not used for longest.
    Gc {
        /// Down to so many MiB; else to the cache's own bound.
        #[arg(long, value_name = "MIB")]
        limit: Option<u64>,
    },
    /// Check every variant's checksum, and remove what does not hold.
    Verify,
}

/// `tidegate guardian`.
#[derive(Args, Debug)]
pub(crate) struct GuardianArguments {
    /// The journal to watch.
    #[arg(long)]
    pub(crate) journal: PathBuf,
    /// The daemon's process.
    #[arg(long)]
    pub(crate) daemon: u32,
}

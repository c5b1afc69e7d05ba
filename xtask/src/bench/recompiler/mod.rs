//! `cargo xtask bench recompiler`: what being switchable costs, and what a variant costs.
//!
//! Everything is measured side by side in one run: programs that nobody of this project wrote, with and without slots,
//! in several layouts, with and without a daemon ([`overhead`]); one call, one load, one switch ([`calls`]); what has
//! nothing to do with tidegate but its presence ([`beside`]); the compile of a variant against that of its file
//! ([`compiles`]). Order alternates within every comparison.

mod beside;
mod calls;
mod compiles;
mod overhead;
pub(crate) mod programs;

use super::report::Report;
use super::resident::Resident;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use programs::Program;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tidegate_variants::compile::Worker;
use tidegate_variants::processor::Processor;
use tidegate_variants::switchboard::{Options, Server};

/// Options of the bench.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RecompilerArguments {
    /// Folder of `tidegate-cc` and its rooms; the release build by default
    #[arg(long)]
    tools: Option<PathBuf>,
    /// Layouts of each foreign program
    #[arg(long, default_value_t = 8)]
    orders: u32,
    /// Rounds in each layout, and of each small measurement
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Two layouts, few rounds: the way, not the numbers
    #[arg(long)]
    quick: bool,
}

/// Where the parts of the recompiler are.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// In this folder, else the release build.
    pub(crate) fn find(workspace: &Workspace, folder: Option<&Path>) -> Result<Self> {
        let folder = folder.map_or_else(|| workspace.target.join("release"), Path::to_path_buf);
        let tools = Self { folder };
        for path in [
            tools.compiler(),
            tools.worker(),
            tools.folder.join("libtidegate_partition.so"),
        ] {
            if !path.is_file() {
                bail!(
                    "{} is not there; build it: cargo build --release -p tidegate-drivers -p tidegate-partition \
                     -p tidegate-worker -p tidegate-runtime -p tidegate-variants",
                    path.display()
                );
            }
        }
        Ok(tools)
    }

    /// The C compiler with the partition.
    pub(crate) fn compiler(&self) -> PathBuf {
        self.folder.join("tidegate-cc")
    }

    /// The worker.
    pub(crate) fn worker(&self) -> PathBuf {
        self.folder.join("tidegate-worker")
    }

    /// A daemon's socket in a folder, with a code cache there.
    pub(crate) fn serve(&self, folder: &Path) -> Result<Server> {
        let options = Options {
            socket_path: folder.join("runtime.sock"),
            cache_folder: folder.join("cache"),
            cache_limit_bytes: 256 << 20,
            worker: Some(Worker::new(&self.worker())?),
            processor: Processor::of_this_host()?,
        };
        Server::start(options).context("cannot serve the runtimes")
    }
}

/// Measures all of it.
pub(crate) fn run(workspace: &Workspace, arguments: &RecompilerArguments) -> Result<Report> {
    let mut arguments = arguments.clone();
    if arguments.quick {
        arguments.orders = arguments.orders.min(2);
        arguments.rounds = arguments.rounds.min(5);
    }
    let tools = Tools::find(workspace, arguments.tools.as_deref())?;
    let folder = workspace.target.join("bench-recompiler");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let server = tools.serve(&folder)?;
    let bench = Bench {
        workspace,
        arguments,
        tools,
        folder,
        server,
    };
    let mut report = Report::default();
    calls::measure(&bench, &mut report)?;
    beside::measure(&bench, &mut report)?;
    let programs = Program::all(workspace)?;
    let mut built = Vec::new();
    for program in &programs {
        let watched = bench.overhead(program, &mut report)?;
        built.push((program, watched));
    }
    bench.compiles(&built, &mut report)?;
    report.notes.push(
        "Ratios are medians over layouts; in each layout the median over rounds whose order alternates. CPU time \
         throughout."
            .to_owned(),
    );
    Ok(report)
}

/// What all parts work with.
struct Bench<'a> {
    workspace: &'a Workspace,
    arguments: RecompilerArguments,
    tools: Tools,
    folder: PathBuf,
    server: Server,
}

impl Bench<'_> {
    /// A socket that nobody serves.
    fn absent(&self) -> PathBuf {
        self.folder.join("nobody.sock")
    }

    /// Starts a program beside the daemon, once it is connected.
    fn attached(&self, program: &Path, arguments: &[&str]) -> Result<Resident> {
        let board = self.server.board();
        let resident = Resident::start(program, arguments, &board.options().socket_path)?;
        let end = Instant::now() + Duration::from_secs(20);
        while !board.is_connected(resident.id()) {
            if Instant::now() > end {
                bail!("{} does not connect to the daemon", program.display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(resident)
    }
}

/// Compiles a file of `xtask/bench` with -O2 and further flags, by clang alone; gives `out`.
pub(crate) fn compile_plain(
    workspace: &Workspace,
    source: &str,
    flags: &[&str],
    out: PathBuf,
) -> Result<PathBuf> {
    let mut command = Command::new("clang-22");
    command
        .arg("-O2")
        .args(flags)
        .arg(workspace.root.join("xtask/bench").join(source));
    succeed(command.arg("-o").arg(&out)).map(|()| out)
}

/// Runs a command; its complaints are the error.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

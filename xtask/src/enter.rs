//! Becomes a command that stands in given groups and does not outlive its parent.
//!
//! Between fork and exec only unsafe code can run in the child; a small program in between needs none.

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Options of `cargo xtask enter`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// `cgroup.procs` file to enter; give it once per tree
    #[arg(long = "door")]
    doors: Vec<PathBuf>,
    /// What to become
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Enters and becomes; comes back only with an error.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for door in &arguments.doors {
        std::fs::write(door, "0").with_context(|| format!("cannot enter {}", door.display()))?;
    }
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot tie this process to its parent")?;
    let (program, rest) = arguments.command.split_first().context("no command")?;
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("cannot become {}", program.display()))
}

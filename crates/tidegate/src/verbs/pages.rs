//! Completions and man pages, from the one definition of the command line.

use crate::cli::Cli;
use crate::failure::{Failure, Outcome};
use crate::out::write_bytes;
use clap::CommandFactory as _;
use std::path::Path;

/// `tidegate completions`.
pub(crate) fn completions(shell: clap_complete::Shell) {
    // The generator panics where it cannot write, and memory always can be written.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut script);
    write_bytes(&script);
}

/// Writes `tidegate.1` and one page per verb into `folder`.
pub(crate) fn man(folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| Failure::environment(format!("{}: {error}", folder.display())))
}

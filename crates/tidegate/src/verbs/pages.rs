//! Completions and man pages, from the one definition of the command line.

use crate::cli::Cli;
use crate::failure::{Failure, Outcome};
use clap::CommandFactory as _;
use std::path::Path;

/// `tidegate completions`.
pub(crate) fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut std::io::stdout());
}

/// Writes `tidegate.1` and one page per verb into `folder`.
pub(crate) fn man(folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| Failure::environment(format!("{}: {error}", folder.display())))
}

//! Real programs with their own tests, in a storm of switches.
//!
//! [`list`] says which, [`fetch`] gets their sources, [`run`] builds them and runs their tests, [`storm`] serves their
//! processes meanwhile and switches everything.

#![forbid(unsafe_code)]

pub mod fetch;
pub mod list;
pub mod run;
pub mod storm;

use std::path::PathBuf;

/// What kept a project from being tested.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A file or folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program that is not there.
    #[error("{0} is not there")]
    Tool(String),
    /// The sources are not to be had.
    #[error("the sources of {package} are not to be had: {why}")]
    Sources {
        /// Of what.
        package: String,
        /// What the fetching program said.
        why: String,
    },
    /// It does not build.
    #[error("{name} does not build ({kind}): {output}")]
    Build {
        /// The project.
        name: &'static str,
        /// Plain or switchable.
        kind: &'static str,
        /// What was said.
        output: String,
    },
    /// The socket for the runtimes.
    #[error(transparent)]
    Variants(#[from] tidegate_variants::VariantsError),
}

/// Puts the path to an error.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> ProjectError {
    let path = path.into();
    |source| ProjectError::File { path, source }
}

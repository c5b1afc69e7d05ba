//! The compiler drivers, and the reader of what it left in a binary.
//!
//! [`cc`] is clang with the partition plugin; which arguments that means is decided purely in
//! [`command_line`], where the files are is found out in [`tools`]. [`inspect`] reads a linked program's
//! sections. For Rust, [`cargo`] starts cargo with [`rustc`] in front of rustc and [`link`] in place of the linker.
//! This crate links no LLVM, knows no IR, and prints nothing.

#![forbid(unsafe_code)]

pub mod cargo;
pub mod cc;
pub mod command_line;
pub mod inspect;
pub mod link;
pub mod rustc;
pub mod tools;

pub use cc::{cc, cxx};

use std::path::PathBuf;

/// How a driver ends where the environment is not as needed; the tools behind it never end with it.
pub const EXIT_ENVIRONMENT: u8 = 3;

/// What the driver and the reader can fail at.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A file that the driver needs is in none of the places where it is looked for.
    #[error("{what} was not found (looked in {places})")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Where it was looked for, for people.
        places: String,
    },
    /// The compiler could not be started.
    #[error("cannot run {}", program.display())]
    Start {
        /// The compiler.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A binary could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The binary.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Bitcode of rustc's could not be made machine code.
    #[error("cannot convert {}: {text}", path.display())]
    Convert {
        /// The file.
        path: PathBuf,
        /// What the tool said.
        text: String,
    },
    /// A file is not an ELF file that can be inspected.
    #[error("{} is not a 64-bit ELF file", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: object::read::Error,
    },
    /// The file is an object that still has to be linked: its sections lead nowhere yet.
    #[error("{} is not linked yet", path.display())]
    NotLinked {
        /// The file.
        path: PathBuf,
    },
    /// A section of tidegate's is damaged, or of a version that this build does not know.
    #[error("section {section} of {} is not readable at byte {offset}", path.display())]
    Section {
        /// The binary.
        path: PathBuf,
        /// The section.
        section: &'static str,
        /// Offset of the record in the section, in bytes.
        offset: usize,
        /// Why.
        source: tidegate_format::FormatError,
    },
}

impl DriverError {
    /// The error with its causes and what to do, for the driver called `program` to print.
    pub fn report(&self, program: &str) -> String {
        let first: &dyn std::error::Error = self;
        let chain = std::iter::successors(Some(first), |error| error.source());
        let causes: Vec<_> = chain.map(ToString::to_string).collect();
        format!("{program}: {}\nhint: {}", causes.join(": "), self.hint())
    }

    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => {
                "install clang-22, build tidegate-partition, or set TIDEGATE_CLANG and TIDEGATE_LIB_DIR"
            }
            Self::Start { .. } => "install clang-22, or set TIDEGATE_CLANG to it",
            Self::Write { .. } => "check the folder's permissions and the space on its disk",
            Self::Convert { .. } => {
                "build with a Rust whose LLVM is not newer than clang's, or with plain cargo"
            }
            Self::Read { .. } => "check the path and its permissions",
            Self::NotLinked { .. } | Self::NotElf { .. } => "name a program that was linked for x86-64 Linux",
            Self::Section { .. } => "rebuild the program with this version of `tidegate cc`",
        }
    }
}

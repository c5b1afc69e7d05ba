//! The scenarios that a variant can be compiled for, and the arm *placebo* of the trial.
//!
//! Only names and numbers: which passes a scenario runs is the worker's table, when it is wanted is the
//! daemon's decision.

use core::fmt;

/// What a compiled body is for. The number is the one in images, requests and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Scenario {
    /// The body that the program was built with; no image exists for it.
    Base = 0,
    /// The processors are contended.
    Cpu = 1,
    /// Memory bandwidth or memory size is contended.
    Memory = 2,
    /// A disk is contended.
    Disk = 3,
    /// A network interface is contended.
    Network = 4,
    /// Somebody else is to be protected from this program.
    Neighbour = 5,
    /// The base pipeline compiled and loaded like a variant: the arm of a trial that shows what loading alone does.
    Placebo = 6,
}

impl Scenario {
    /// All scenarios, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Base,
        Self::Cpu,
        Self::Memory,
        Self::Disk,
        Self::Network,
        Self::Neighbour,
        Self::Placebo,
    ];

    /// The scenarios for which a tunable may have a value, in the order of the tunable's record.
    pub const TUNABLE: [Self; 5] = [
        Self::Cpu,
        Self::Memory,
        Self::Disk,
        Self::Network,
        Self::Neighbour,
    ];

    /// The number in images, requests and messages.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The scenario of a number, `None` where there is none.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The name that people type and read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Neighbour => "neighbour",
            Self::Placebo => "placebo",
        }
    }

    /// The scenario of a name, `None` where there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

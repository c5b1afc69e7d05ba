//! What runs on the host and what it uses, read from the kernel.
//!
//! [`Collector`] finds the apps and fills a sample of them each second; [`FastPoll`] looks at the
//! limits of a few apps between samples; [`Collector::doctor`] says what is measured, what is absent
//! and what that costs; [`Budget`] decides what tidegate sheds when it costs too much itself. This room
//! only reads: it writes nothing, moves no process, and asks no other manager.
#![cfg_attr(not(feature = "bpf"), forbid(unsafe_code))]
#![cfg_attr(feature = "bpf", deny(unsafe_code))]

#[cfg_attr(not(feature = "bpf"), path = "without_bpf.rs")]
mod bpf;
mod budget;
mod clock;
mod collector;
mod connector;
mod containers;
mod dependencies;
mod disks;
mod doctor;
mod error;
mod fast;
mod files;
mod group_reader;
mod groups;
mod host;
mod layout;
mod naming;
mod netlink;
mod own;
pub mod parse;
mod placement;
mod process_reader;
mod processes;
mod ranges;
mod rate;
mod roster;
mod schedule;
mod slots;
mod sockets;

#[cfg(feature = "bpf")]
pub use bpf::{CoresByBpf, GroupRecord, GroupsByBpf, RangesByBpf};
pub use budget::{Budget, BudgetLimits, MOST_SHED};
pub use clock::{Clock, ClockReading, host_clock};
pub use collector::{Collector, CollectorConfig, raise_descriptor_limit};
pub use dependencies::{DependencyReader, Members};
pub use disks::Stacked;
pub use doctor::{DoctorReport, Manager, Privileges, Signal};
pub use error::TelemetryError;
pub use fast::{FAST_INTERVAL, FastPoll, MOST_FAST_APPS};
pub use layout::{Layout, LayoutKind, Mount};
pub use naming::{AppMatch, AppRule, glob_matches};
pub use ranges::{Asked, Part, divided};
pub use roster::SHORT_LIVED;
pub use schedule::{Job, Jobs, next_by_cron, read_jobs};

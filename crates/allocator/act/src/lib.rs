//! Carries a plan out on this host, and brings every found value back.
//!
//! [`Layout`] says where the knobs are; [`Actuator`] executes plans against it, with [`Journal`] as the
//! memory that outlives it: undo is written before do. [`guardian`] is the other process that reads the
//! journal and restores when the daemon cannot, and [`restore`](fn@restore) is the same by hand. [`Runner`] is the
//! thread that keeps deadlines to the millisecond.
//!
//! It decides nothing: what, when and how much come from the plan. It refuses what the apps of the plan
//! do not grant. It never touches a group that nobody handed over, and never creates or removes groups.
#![forbid(unsafe_code)]

mod actuator;
mod clock;
mod config;
mod error;
mod group;
pub mod guardian;
mod hold;
mod journal;
mod knob;
mod layout;
mod lock;
pub mod measure;
mod membership;
mod permit;
mod restore;
mod runner;
mod stat;
mod watch;

pub use actuator::Actuator;
pub use clock::{boot_id, boot_now};
pub use config::ActConfig;
pub use error::ActError;
pub use journal::Journal;
pub use layout::Layout;
pub use membership::groups_of;
pub use restore::{RestoreFilter, RestoreOutcome, Restored, restore};
pub use runner::Runner;

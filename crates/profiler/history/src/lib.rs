//! History: what was seen, decided and done, kept on disk.
//!
//! [`Store`] is the one writer, [`Reader`] looks beside it. Samples go to a growing head file, are sealed in
//! columns after five minutes, summed up to minutes and five minutes, and forgotten oldest and finest first.
//! Inputs, plans, maps and decisions go to logs of their own. `FORMAT.md` says what every byte means.
//!
//! The room knows the shared types only. It has no clock (times come with what is appended) and prints
//! nothing; what it has to say comes out of [`Store::take_notices`].
#![forbid(unsafe_code)]

mod buckets;
mod bytes;
mod checkpoint;
mod column;
mod config;
mod decision;
mod dump;
mod error;
mod frame;
mod head;
mod import;
mod inputs;
mod keeper;
mod layout;
mod log;
mod maintain;
mod models;
mod names;
mod outcomes;
mod reader;
mod recording;
mod seconds;
mod segment;
pub mod storage;
mod store;
mod when;

pub use checkpoint::Checkpoint;
pub use config::StoreConfig;
pub use decision::{Action, Decision, Recorded, RecordedOutcomes};
pub use dump::{DumpFormat, DumpQuery, dump};
pub use error::{HistoryError, Result};
pub use import::{ImportReport, import_csv};
pub use inputs::RecordedTick;
pub use maintain::Damage;
pub use reader::{Known, Point, Reader, Samples};
pub use recording::Recording;
pub use segment::Tier;
pub use store::{Counters, OpenReport, Store};
pub use when::parse_time;

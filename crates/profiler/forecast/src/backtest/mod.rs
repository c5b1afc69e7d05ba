//! Backtests: forecasts of recorded series as they would have been made at the time.
//!
//! [`Stream`] speaks a line protocol in which nothing after the origin has been sent when a forecast is asked for;
//! `bulk` runs over whole tables, and `score` and `report` judge forecasts, ours or another program's; `trust` judges
//! how sure they were. `traces` and `table` read and write the tables. Nothing here opens a file: callers bring text and
//! take text away.

pub mod bulk;
pub mod report;
pub mod score;
mod stream;
pub mod table;
pub mod traces;
pub mod trust;

pub use stream::{SERIES_MAX, Stream, StreamError};

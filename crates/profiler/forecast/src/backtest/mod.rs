//! Backtests: forecasts of recorded series as they would have been made at the time.
//!
//! [`Stream`] speaks a line protocol in which nothing after the origin has been sent when a forecast is asked for.
//! `traces` reads recorded series for training. Nothing here opens a file: callers bring text and take text away.

mod stream;
pub mod traces;

pub use stream::{SERIES_MAX, Stream, StreamError};

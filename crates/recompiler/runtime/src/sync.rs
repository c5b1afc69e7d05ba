//! The atomics that app and helper share.
//!
//! Why so: the model test compiles [`crate::functions`] and [`crate::stub`] once more, with atomics whose every
//! interleaving it goes through in place of these.

pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

//! Fuzz targets of the recompiler's readers, one list for the seeded smoke run and for the run guided by coverage.
//!
//! An input is a byte of choice and a record. Where the byte is odd, length and checksum of the record are made good
//! before it is read: behind them the readers would see next to nothing.
//!
//! Not here: who mutates. No target may panic or read out of bounds, whatever it is given.

#![forbid(unsafe_code)]

mod records;
pub mod targets;

pub use targets::{TARGETS, Target};

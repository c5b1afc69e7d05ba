//! The binary as a person or a script meets it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod daemon;
mod inert;
mod words;
mod world;

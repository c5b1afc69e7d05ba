//! The loop as a whole: samples in, plans out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod crowd;
mod loops;

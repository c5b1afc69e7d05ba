//! One binary for all integration tests of this room.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers fail the test as the test itself does"
)]

mod allocations;
mod cache;
mod constants;
mod daemon;
mod debugger;
mod heat;
mod languages;
mod libraries;
mod orchestrator;
mod real;
mod runtime;
mod storm;
mod support;
mod trial;

//! The plugin as clang runs it: fixtures in C, compiled by the driver, linked by every linker, read back.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod damage;
mod dispatch;
mod driver;
mod fixture;
mod linking;
mod projects;
mod refusals;

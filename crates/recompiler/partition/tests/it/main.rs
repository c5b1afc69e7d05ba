//! The plugin as clang runs it: fixtures in C, compiled by the driver, linked by every linker, read back.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod cplusplus;
mod damage;
mod debian;
mod dispatch;
mod driver;
mod fixture;
mod linking;
mod loops;
mod matrix;
mod modes;
mod projects;
mod refusals;
mod rust;

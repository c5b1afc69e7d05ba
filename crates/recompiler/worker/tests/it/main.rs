//! From C source to a variant that runs: compile with the driver, recompile with the worker, load with a small
//! loader in C that does exactly what the image's page says, and compare results.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod effects;
mod exactness;
mod harness;
mod ir;
mod privileges;
mod refusals;
mod round_trip;
mod served;
mod specialised;
mod symbols;

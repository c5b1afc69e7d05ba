//! Round trips, refusals of damaged bytes, and readers that survive any bytes at all.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test as the test itself does"
)]

mod fuzz;
mod records;
mod sections;

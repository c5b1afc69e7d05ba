//! Round trips, refusals of damaged bytes, and readers that survive any bytes at all.

mod records;
mod sections;

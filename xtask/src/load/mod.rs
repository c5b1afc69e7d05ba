//! The load: requests that arrive whether or not the service keeps up.
//!
//! Arrivals are drawn in advance from a seed, and a latency counts from the *intended* arrival, so a stalled service
//! is charged for all that piled up meanwhile (no coordinated omission). A request costs a number of spins of a loop
//! that was timed once, on a quiet moment; time spent waiting for the CPU is therefore latency, not cheaper work.
//! The load runs in a process of its own, so that it can stand in a group of its own.
//!
//! Two other programs are for benches that watch: one follows a shape of demand, and two call each other.

mod arrivals;
mod calls;
mod service;
pub(crate) mod shape;

pub(crate) use arrivals::{Burst, Segment};
pub(crate) use calls::{CallsArguments, run as call};
pub(crate) use service::{Arguments, Latency, calibrate, read_latencies, run};

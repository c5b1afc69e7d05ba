//! The room as a whole: on fake trees of every layout with a clock of our own, and on this host.

#[cfg(feature = "bpf")]
mod bpf;
#[path = "../support/counting.rs"]
mod counting;
mod discovery;
mod doctor;
mod fake;
mod gaps;
mod layouts;
mod live;
mod places;
mod steady;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Says that a test could not run here, and why; the list of those that may is checked.
fn skip(name: &str, reason: &str) {
    eprintln!("SKIP {name}: {reason}");
}

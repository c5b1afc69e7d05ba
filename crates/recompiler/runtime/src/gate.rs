//! The moment between the helper and a fork: whoever passes the gate may change the state.
//!
//! Why so: the child of a fork gets a copy of the state without the thread that owns it. If the helper were in
//! the middle of a change, the copy would be half of it. So the helper changes state only inside the gate, and
//! the fork handler closes the gate before the kernel copies. A change takes well under a millisecond; the
//! handler never waits longer than [`PATIENCE_NS`], for an app must not be held up by us.

use crate::connection::Connection;
use crate::sys;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The longest that a fork waits for the helper.
const PATIENCE_NS: u64 = 5_000_000;

static TAKEN: AtomicBool = AtomicBool::new(false);
/// The open connection's (descriptor, device, inode), for the fork child to close its copy of it.
static CONNECTION: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// Runs `change` inside the gate.
pub fn closed<Out>(change: impl FnOnce() -> Out) -> Out {
    while !take() {
        sys::yield_now();
    }
    let out = change();
    open();
    out
}

/// Takes the gate before a fork; goes on without it after [`PATIENCE_NS`].
pub fn close_for_fork() {
    let begin_ns = sys::clock_ns(sys::Clock::Monotonic);
    while !take() {
        if sys::clock_ns(sys::Clock::Monotonic).saturating_sub(begin_ns) > PATIENCE_NS {
            return;
        }
        sys::yield_now();
    }
}

fn take() -> bool {
    TAKEN
        .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// Opens the gate.
pub fn open() {
    TAKEN.store(false, Ordering::Release);
}

/// Remembers the open connection.
pub fn set_connection(connection: Option<&Connection>) {
    let values = connection.map_or([0; 3], Connection::to_words);
    for (place, value) in CONNECTION.iter().zip(values) {
        place.store(value, Ordering::Relaxed);
    }
}

/// In a fork child: closes the copy of the parent's connection.
pub fn close_copied_connection() {
    let values = [0, 1, 2].map(|index: usize| CONNECTION[index].load(Ordering::Relaxed));
    if let Some(connection) = Connection::from_words(values) {
        connection.close();
    }
    set_connection(None);
}

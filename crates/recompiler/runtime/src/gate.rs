//! The gate between the helper, a fork, and libraries that come and go: whoever is inside may change the state.
//!
//! Why so: the child of a fork gets a copy of the state without the thread that owns it. If the helper were in
//! the middle of a change, the copy would be half of it. So the helper changes state only inside the gate, and
//! the fork handler closes the gate before the kernel copies. A change takes well under a millisecond; the
//! handler never waits longer than [`PATIENCE_NS`], for an app must not be held up by us. A library that is closed is
//! unmapped right afterwards, so there the wait ends only when the helper is out.

use crate::connection::Connection;
use crate::sys;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The longest that a fork waits for the helper.
const PATIENCE_NS: u64 = 5_000_000;

/// Counted in turns and not by the clock, so that a process that is frozen or throttled as a whole gives nothing up.
const TURNS_LIMIT: u32 = 100_000;
const TURN_US: u64 = 20;

static TAKEN: AtomicBool = AtomicBool::new(false);
/// Threads of the app that wait for the gate.
static WAITING: AtomicU32 = AtomicU32::new(0);
/// The thread pointer of the thread that holds the gate for a fork, 0 for none. It is the same in the child, and is read
/// without a system call.
static FORKING: AtomicUsize = AtomicUsize::new(0);
/// The open connection's (descriptor, device, inode), for the fork child to close its copy of it.
static CONNECTION: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// A value that only who is inside the gate may look at.
#[derive(Debug)]
pub struct Gated<T>(UnsafeCell<T>);

// SAFETY: the value is reached inside the gate only, by one thread at a time.
unsafe impl<T> Sync for Gated<T> {}

impl<T> Gated<T> {
    /// Puts a value behind the gate.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Runs `change` inside the gate, from the helper.
    pub fn with<Out>(&self, change: impl FnOnce(&mut T) -> Out) -> Out {
        while WAITING.load(Ordering::Acquire) != 0 || !take() {
            sys::yield_now();
        }
        // SAFETY: inside the gate.
        let out = change(unsafe { &mut *self.0.get() });
        open();
        out
    }

    /// Runs `change` inside the gate, from one of the app's threads: the helper, which may be in a storm of changes,
    /// lets it pass first. No signal comes in between, whose handler could want the gate too. `None` where the helper
    /// did not come out for [`TURNS_LIMIT`] turns.
    pub fn with_from_app<Out>(&self, change: impl FnOnce(&mut T) -> Out) -> Option<Out> {
        let mask = sys::set_signal_mask(u64::MAX);
        WAITING.fetch_add(1, Ordering::AcqRel);
        let taken = (0..TURNS_LIMIT).any(|_| {
            let taken = take();
            if !taken {
                sys::sleep_us(TURN_US);
            }
            taken
        });
        WAITING.fetch_sub(1, Ordering::AcqRel);
        // SAFETY: inside the gate.
        let out = taken.then(|| change(unsafe { &mut *self.0.get() }));
        if taken {
            open();
        }
        sys::set_signal_mask(mask);
        out
    }

    /// The value, without the gate.
    ///
    /// # Safety
    /// No other thread may be in the process: before the helper is started, or in the child of a fork.
    #[expect(clippy::mut_from_ref, reason = "what the gate is for; see the safety note")]
    pub unsafe fn alone(&self) -> &mut T {
        // SAFETY: as the caller says.
        unsafe { &mut *self.0.get() }
    }
}

/// Takes the gate before a fork; goes on without it after [`PATIENCE_NS`].
pub fn close_for_fork() {
    let mut begin_ns = None;
    while !take() {
        let now_ns = sys::clock_ns(sys::Clock::Monotonic);
        if now_ns.saturating_sub(*begin_ns.get_or_insert(now_ns)) > PATIENCE_NS {
            return;
        }
        sys::yield_now();
    }
    FORKING.store(sys::thread_pointer(), Ordering::Relaxed);
}

/// In the parent: opens the gate if this thread closed it.
pub fn open_after_fork() {
    if is_forking() {
        FORKING.store(0, Ordering::Relaxed);
        open();
    }
}

/// In the child, whose only thread this is: nobody is inside any more, and nobody waits. Gives whether the copy of what
/// is behind the gate is whole: it may be half of a change where the fork went on without the gate.
pub fn open_in_child() -> bool {
    let is_whole = is_forking();
    FORKING.store(0, Ordering::Relaxed);
    WAITING.store(0, Ordering::Relaxed);
    open();
    is_whole
}

fn is_forking() -> bool {
    FORKING.load(Ordering::Relaxed) == sys::thread_pointer()
}

fn take() -> bool {
    TAKEN
        .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// Opens the gate, whoever holds it: for the holder, or where nobody changes anything any more.
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::thread;

    /// One test, for there is one gate.
    #[test]
    fn a_fork_opens_what_it_closed_and_its_child_anything() {
        close_for_fork();
        assert!(!take());
        thread::spawn(|| {
            // Goes on without the gate, and leaves it to its holder.
            close_for_fork();
            open_after_fork();
            assert!(!take());
        })
        .join()
        .unwrap();
        open_after_fork();
        assert!(take());

        // Taken by somebody else, while a thread of the app waits.
        WAITING.store(1, Ordering::Relaxed);
        close_for_fork();
        assert!(!open_in_child());
        assert_eq!(Gated::new(7).with(|value| *value), 7);
        close_for_fork();
        assert!(open_in_child());
        assert_eq!(Gated::new(7).with_from_app(|value| *value), Some(7));
    }
}

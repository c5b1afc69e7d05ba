//! CPU time that the process has spent, less the helper's.
//!
//! Why so: the process's clock leaves out what its running threads used since their last tick, so a program of one thread
//! is measured by that thread's own clock. The two differ by more than a slice's cost, hence what is told is a sum of
//! steps, each of them by one clock at both of its ends: whoever subtracts two readings never mixes them.
//!
//! Not here: what was done in that time.

use crate::sys;

/// The longest distance between two ticks (100 Hz): so far the process's clock may stay behind by itself.
const TICK_NS: u64 = 10_000_000;

/// The clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    /// Whether the main thread is the only one beside the helper.
    is_alone: bool,
    main_ns: u64,
    /// All threads but the helper, those that have ended included.
    all_ns: u64,
}

impl Clocks {
    fn now() -> Self {
        let process_ns = sys::clock_ns(sys::Clock::Process);
        Self {
            is_alone: sys::thread_count() == Some(2),
            main_ns: sys::thread_clock_ns(sys::process_id()),
            all_ns: process_ns.saturating_sub(sys::clock_ns(sys::Clock::Thread)),
        }
    }
}

/// What was spent up to the last reading.
#[derive(Debug, Default)]
pub struct Spent {
    total_ns: u64,
    before: Option<Clocks>,
}

impl Spent {
    /// Reads the clocks, on the helper.
    pub fn read_ns(&mut self) -> u64 {
        self.add(Clocks::now())
    }

    fn add(&mut self, now: Clocks) -> u64 {
        let before = self.before.replace(now);
        let was_alone = before.is_none_or(|before| before.is_alone);
        let (main_before, all_before) = before.map_or((0, 0), |before| (before.main_ns, before.all_ns));
        let main_ns = now.main_ns.saturating_sub(main_before);
        let all_ns = now.all_ns.saturating_sub(all_before);
        // A thread may have come and gone in between.
        let is_alone = was_alone && now.is_alone && all_ns <= main_ns + TICK_NS;
        self.total_ns += if is_alone { main_ns } else { all_ns };
        self.total_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(is_alone: bool, main_ms: u64, all_ms: u64) -> Clocks {
        Clocks {
            is_alone,
            main_ns: main_ms * 1_000_000,
            all_ns: all_ms * 1_000_000,
        }
    }

    #[test]
    fn a_step_is_measured_by_one_clock() {
        let mut spent = Spent::default();
        let mut step_ms = |is_alone, main_ms, all_ms| {
            let before_ns = spent.total_ns;
            (spent.add(clocks(is_alone, main_ms, all_ms)) - before_ns) / 1_000_000
        };
        // Alone, the main thread's; the process's is a tick behind.
        assert_eq!(step_ms(true, 100, 96), 100);
        assert_eq!(step_ms(true, 110, 108), 10);
        // Another thread is there, and goes.
        assert_eq!(step_ms(false, 120, 130), 22);
        assert_eq!(step_ms(true, 130, 150), 20);
        assert_eq!(step_ms(true, 140, 157), 10);
        // One came and went in between.
        assert_eq!(step_ms(true, 150, 187), 30);
        // A fork's child begins anew.
        assert_eq!(step_ms(true, 1, 1), 0);
        assert_eq!(step_ms(true, 5, 4), 4);
    }

    #[test]
    fn what_is_told_never_falls() {
        let mut spent = Spent::default();
        let first = spent.read_ns();
        assert!(first > 0 && spent.read_ns() >= first);
    }
}

//! A trial on a living process: the slices of [`crate::trial`] carried out through the switchboard.
//!
//! Why so: the same process, the same data, the same neighbours; only one slot changes. Work is what the program
//! counts by `TIDEGATE_WORK`, else the calls of the function on trial, counted by the same stub in all arms.
//! A slice counts as disturbed when the hypervisor took time from this host, or when the caller says so (it
//! changed a knob of the app); both are known before the cost is looked at.
//!
//! Placebo and variant are given another place together, between blocks, as the plan says.
//!
//! A trial may be interrupted and taken up again: the block in progress is dropped, whole blocks stay.
//!
//! Not here: which function, and what follows from the verdict.

use crate::VariantsError;
use crate::placement::LINE_BYTES;
use crate::session::WorkReading;
use crate::switchboard::Switchboard;
use crate::trial::{Arm, Config, Observation, Slice, Step, Trial, Verdict};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use tidegate_format::scenario::Scenario;

/// How long the program is watched to see whether it counts its work.
const WATCH: Duration = Duration::from_millis(200);
/// A slice in which the hypervisor took more than this share of all cores is disturbed.
const STEAL_SHARE: f64 = 0.03;
/// On a contended core a slice goes on until the process had this share of its planned length as CPU time ...
const LEAST_CPU_SHARE: f64 = 0.25;
/// ... but not longer than so many planned lengths. Both look at the time given, never at the cost.
const LONGEST_SLICE: u32 = 5;

/// Cache lines of a page.
const LINES_PER_PAGE: u32 = 4096 / LINE_BYTES;

/// What is on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The process.
    pub process: u32,
    /// Index of the function.
    pub function: u32,
    /// The scenario of the variant; it and the placebo must be loaded.
    pub scenario: Scenario,
}

/// Which count is the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Work,
    Calls,
}

/// A trial on a process, interruptible.
#[derive(Debug)]
pub struct LiveTrial {
    subject: Subject,
    trial: Trial,
    slice: Slice,
    seed: u64,
    placement: u32,
}

impl LiveTrial {
    /// A trial that has not begun.
    pub fn new(subject: Subject, config: Config, seed: u64) -> Self {
        let trial = Trial::new(config, seed);
        let slice = trial.first();
        Self {
            subject,
            trial,
            slice,
            seed,
            placement: 0,
        }
    }

    /// Runs until the verdict, or until `goes_on` says no: then `None`, and it may be called again. Asked before
    /// every slice. `disturbed` is asked after every slice. The base is in place afterwards, in any case.
    ///
    /// # Errors
    /// Those of the switchboard; the process may have ended.
    pub fn run(
        &mut self,
        board: &Switchboard,
        goes_on: impl Fn() -> bool,
        disturbed: impl Fn() -> bool,
    ) -> Result<Option<Verdict>, VariantsError> {
        let Subject {
            process, function, ..
        } = self.subject;
        let unit = find_unit(board, self.subject)?;
        let done = self.run_slices(board, unit, &goes_on, &disturbed);
        if unit == Unit::Calls {
            let _ = board.count(process, function, false);
        }
        // After an error the process is gone or disconnected, and its runtime puts the base back by itself.
        let _ = board.switch_index(process, function, Scenario::Base);
        done
    }

    fn run_slices(
        &mut self,
        board: &Switchboard,
        unit: Unit,
        goes_on: &impl Fn() -> bool,
        disturbed: &impl Fn() -> bool,
    ) -> Result<Option<Verdict>, VariantsError> {
        loop {
            if !goes_on() {
                self.slice = self.trial.interrupt();
                return Ok(None);
            }
            self.follow_placement(board)?;
            let mut observation = run_slice(board, self.subject, self.slice, unit)?;
            observation.disturbed |= disturbed();
            match self.trial.next(observation) {
                Step::Run(slice) => self.slice = slice,
                Step::Done(verdict) => return Ok(Some(verdict)),
            }
        }
    }

    /// Gives placebo and variant their place for the slice to come. Where there is no room for another copy, the trial
    /// goes on at the present place.
    fn follow_placement(&mut self, board: &Switchboard) -> Result<(), VariantsError> {
        let wanted = self.trial.placement();
        if wanted == self.placement {
            return Ok(());
        }
        self.placement = wanted;
        let Subject {
            process,
            function,
            scenario,
        } = self.subject;
        for moving in [Scenario::Placebo, scenario] {
            let lines = lines_of(self.seed, wanted, moving);
            match board.move_to(process, function, moving, lines) {
                Err(VariantsError::Refused { .. }) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// How far into its page the code lies at one place of a trial.
fn lines_of(seed: u64, placement: u32, scenario: Scenario) -> u32 {
    let mixed = (seed ^ u64::from(placement) << 8 ^ u64::from(scenario.number()))
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 32) as u32 % LINES_PER_PAGE
}

/// Watches whether the program counts its work; starts to count calls where it does not.
fn find_unit(board: &Switchboard, subject: Subject) -> Result<Unit, VariantsError> {
    let before = board.work(subject.process)?;
    thread::sleep(WATCH);
    let after = board.work(subject.process)?;
    if after.work.is_some() && after.work != before.work {
        return Ok(Unit::Work);
    }
    board.count(subject.process, subject.function, true)?;
    Ok(Unit::Calls)
}

fn run_slice(
    board: &Switchboard,
    subject: Subject,
    slice: Slice,
    unit: Unit,
) -> Result<Observation, VariantsError> {
    let scenario = match slice.arm {
        Arm::Base => Scenario::Base,
        Arm::Placebo => Scenario::Placebo,
        Arm::Variant => subject.scenario,
    };
    board.switch_index(subject.process, subject.function, scenario)?;
    thread::sleep(Duration::from_millis(slice.settle_ms.into()));
    let (steal, begin) = (Steal::read(), Instant::now());
    let before = board.work(subject.process)?;
    let planned = Duration::from_millis(slice.measure_ms.into());
    let enough_ns = planned.mul_f64(LEAST_CPU_SHARE).as_nanos() as u64;
    let mut after = before;
    while after.cpu_ns.saturating_sub(before.cpu_ns) < enough_ns && begin.elapsed() < planned * LONGEST_SLICE
    {
        thread::sleep(planned);
        after = board.work(subject.process)?;
    }
    Ok(Observation {
        cpu_ns: after.cpu_ns.saturating_sub(before.cpu_ns),
        work: count(&after, unit).saturating_sub(count(&before, unit)),
        disturbed: Steal::read().share_since(&steal) > STEAL_SHARE,
    })
}

fn count(reading: &WorkReading, unit: Unit) -> u64 {
    match unit {
        Unit::Work => reading.work.unwrap_or(0),
        Unit::Calls => reading.calls,
    }
}

/// Time of all cores, in the kernel's ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Steal {
    stolen: u64,
    total: u64,
}

impl Steal {
    fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal (guest time is in user).
    fn parse(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let fields: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        Self {
            stolen: fields.get(7).copied().unwrap_or(0),
            total: fields.iter().sum(),
        }
    }

    fn share_since(&self, before: &Self) -> f64 {
        let total = self.total.saturating_sub(before.total);
        if total == 0 {
            0.0
        } else {
            self.stolen.saturating_sub(before.stolen) as f64 / total as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_a_share_of_all_time() {
        let before = Steal::parse("cpu  10 0 10 70 0 0 0 10 5 5\ncpu0 1 1 1");
        let after = Steal::parse("cpu  20 0 20 140 0 0 0 20 9 9\n");
        assert_eq!(
            before,
            Steal {
                stolen: 10,
                total: 100
            }
        );
        assert_eq!(after.share_since(&before), 0.1);
        assert_eq!(Steal::parse("").share_since(&before), 0.0);
    }
}

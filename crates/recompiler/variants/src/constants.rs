//! Which arguments of a function nearly always have one value: a pure tally over captured calls.
//!
//! Why so: without hardware counters, values are looked at in short bursts of calls. A value is *stable* where the lower
//! end of Wilson's 95 % interval of its share is at least 0.99 over enough calls in enough bursts, for the calls of one
//! burst resemble each other. What is in use is looked at in the same way: where more than one call in a hundred misses
//! the assumption, the guard costs more than it brings.
//!
//! Values that look like addresses are never taken: they differ by process, and images are shared.
//!
//! Not here: capturing, compiling, the trial that decides whether a constant helps.

use crate::session::Arguments;
use tidegate_format::arguments::{ArgumentLayout, INTEGER_REGISTERS};
use tidegate_format::message::CAPTURE_WORDS;
use tidegate_format::request::Constant;

/// Calls that a value must have been seen in.
const CALLS_LEAST: u32 = 512;
/// Bursts that they must come from.
const BURSTS_LEAST: u32 = 8;
/// Least share of a stable value, as the lower end of its interval.
const SHARE_LEAST: f64 = 0.99;
/// Calls after which a value that is not the usual one is given up for another.
const CALLS_UNDECIDED: u32 = 64;
/// Calls of a variant in use after which its misses count.
const WATCHED_LEAST: u32 = 128;
/// Above this share of misses, an assumption is given up.
const MISSES_MOST: f64 = 0.01;
/// Older calls of a variant in use count half from here on.
const WATCHED_MOST: u32 = 1024;

/// What was seen of one register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    value: u64,
    calls: u32,
    matches: u32,
    bursts: u32,
}

impl Tally {
    fn add(&mut self, value: u64) {
        let usual = f64::from(self.matches) * 2.0 >= f64::from(self.calls);
        if self.calls == 0 || (self.calls >= CALLS_UNDECIDED && !usual) {
            *self = Self {
                value,
                ..Self::default()
            };
        }
        self.calls += 1;
        self.matches += u32::from(value == self.value);
    }

    fn is_stable(&self) -> bool {
        self.calls >= CALLS_LEAST
            && self.bursts >= BURSTS_LEAST
            && wilson_lower(self.matches, self.calls) >= SHARE_LEAST
    }
}

/// What was seen of one function's arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    layout: ArgumentLayout,
    registers: [Tally; CAPTURE_WORDS],
    watched: u32,
    missed: u32,
    missed_by: [u32; CAPTURE_WORDS],
}

impl Observed {
    /// Adds a burst of a function whose arguments travel so. `in_use` are the constants that its present code assumes.
    pub fn add(&mut self, burst: &[Arguments], layout: ArgumentLayout, in_use: &[Constant]) {
        if burst.is_empty() {
            return;
        }
        self.layout = layout;
        let burst: Vec<Arguments> = burst.iter().map(|call| masked(call, layout)).collect();
        for (register, tally) in self.registers.iter_mut().enumerate() {
            for call in &burst {
                tally.add(call[register]);
            }
            tally.bursts += 1;
        }
        if in_use.is_empty() {
            return;
        }
        let misses = burst.iter().filter(|call| !hold(call, in_use)).count();
        self.watched += burst.len() as u32;
        self.missed += misses as u32;
        for constant in in_use {
            let misses = burst
                .iter()
                .filter(|call| !hold(call, std::slice::from_ref(constant)));
            if let Some(missed) = self.missed_by.get_mut(usize::from(constant.register)) {
                *missed += misses.count() as u32;
            }
        }
        if self.watched > WATCHED_MOST {
            self.watched /= 2;
            self.missed /= 2;
            self.missed_by = self.missed_by.map(|missed| missed / 2);
        }
    }

    /// Those of the constants in use that still hold.
    pub fn holding(&self, in_use: &[Constant]) -> Vec<Constant> {
        let most = MISSES_MOST * f64::from(self.watched);
        let holds = |constant: &&Constant| {
            let missed = self.missed_by.get(usize::from(constant.register));
            missed.is_some_and(|missed| f64::from(*missed) <= most)
        };
        in_use.iter().filter(holds).copied().collect()
    }

    /// The constants that may be assumed.
    pub fn stable(&self) -> Vec<Constant> {
        let registers = (0..).zip(&self.registers);
        registers
            .filter(|(register, tally)| {
                self.layout.mask(*register) != 0 && tally.is_stable() && is_shareable(*register, tally.value)
            })
            .map(|(register, tally)| Constant {
                register,
                value: tally.value,
            })
            .collect()
    }

    /// Whether what is assumed in use stopped to hold.
    pub fn is_missed(&self) -> bool {
        self.watched >= WATCHED_LEAST && f64::from(self.missed) > MISSES_MOST * f64::from(self.watched)
    }
}

/// A call without what stands in registers, or parts of them, that carry no argument.
fn masked(call: &Arguments, layout: ArgumentLayout) -> Arguments {
    let mut masked = *call;
    for (register, word) in (0..).zip(&mut masked) {
        *word &= layout.mask(register);
    }
    masked
}

/// Whether one call has all the values.
fn hold(call: &Arguments, constants: &[Constant]) -> bool {
    constants.iter().all(|constant| {
        let found = call.get(usize::from(constant.register)).copied();
        found == Some(constant.value)
    })
}

/// Numbers that 32 bits hold, of either sign, mean the same in every process.
fn is_shareable(register: u8, value: u64) -> bool {
    register >= INTEGER_REGISTERS
        || u32::try_from(value).is_ok()
        || i32::try_from(value.cast_signed()).is_ok()
}

/// The lower end of Wilson's 95 % interval of a share (Wilson 1927).
fn wilson_lower(matches: u32, calls: u32) -> f64 {
    const Z: f64 = 1.959_963_985;
    let (count, share) = (f64::from(calls), f64::from(matches) / f64::from(calls));
    let spread = Z * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
    (share + Z * Z / (2.0 * count) - spread) / (1.0 + Z * Z / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every register carries 64 bits of an argument.
    const ALL: ArgumentLayout = ArgumentLayout(0x0aaa_aaaa);

    #[test]
    fn only_what_carries_an_argument_is_assumed() {
        let mut observed = Observed::default();
        let layout = ArgumentLayout::default().with(1, 32);
        for burst in 0..20_u64 {
            // The upper half of the argument's register, and all others, hold what the caller left there.
            let call = [burst << 32 | 7; CAPTURE_WORDS];
            observed.add(&[call; 64], layout, &[]);
        }
        assert_eq!(
            observed.stable(),
            [Constant {
                register: 1,
                value: 7
            }]
        );
    }

    /// Bursts of 64 calls whose second argument is 5 but for every `miss_every`th call.
    fn observed(bursts: u32, miss_every: u64) -> Observed {
        let mut observed = Observed::default();
        let mut call = 0;
        for _ in 0..bursts {
            let burst: Vec<Arguments> = (0..64)
                .map(|_| {
                    call += 1;
                    let mut words = [call; CAPTURE_WORDS];
                    words[1] = if call % miss_every == 0 { 6 } else { 5 };
                    words[2] = 0x7fff_1234_5678;
                    words
                })
                .collect();
            observed.add(&burst, ALL, &[]);
        }
        observed
    }

    fn check(bursts: u32, miss_every: u64, expect: bool) {
        let stable = observed(bursts, miss_every).stable();
        let constant = Constant {
            register: 1,
            value: 5,
        };
        assert_eq!(stable, if expect { vec![constant] } else { Vec::new() });
    }

    #[test]
    fn only_what_was_seen_often_and_long_enough_is_stable() {
        check(8, u64::MAX, true);
        check(7, u64::MAX, false);
        check(8, 100, false);
        check(40, 400, true);
        check(40, 50, false);
    }

    #[test]
    fn one_long_burst_is_not_enough() {
        let mut observed = Observed::default();
        observed.add(&vec![[7; CAPTURE_WORDS]; 5000], ALL, &[]);
        assert_eq!(observed.stable(), []);
    }

    #[test]
    fn a_value_that_changes_for_good_is_found_again() {
        let mut observed = observed(20, u64::MAX);
        for _ in 0..60 {
            observed.add(&vec![[3; CAPTURE_WORDS]; 64], ALL, &[]);
        }
        assert_eq!(observed.stable().len(), CAPTURE_WORDS);
    }

    #[test]
    fn an_assumption_that_is_missed_is_given_up() {
        let constants = [Constant {
            register: 0,
            value: 9,
        }];
        let check = |misses: usize, expect: bool| {
            let mut observed = Observed::default();
            for _ in 0..10 {
                let mut burst = vec![[9; CAPTURE_WORDS]; 64];
                burst.iter_mut().take(misses).for_each(|call| call[0] = 1);
                observed.add(&burst, ALL, &constants);
            }
            assert_eq!(observed.is_missed(), expect, "{misses}");
        };
        check(0, false);
        check(1, true);
    }

    #[test]
    fn the_interval_is_wilson_s() {
        for (matches, calls, expect) in [(512, 512, 0.9926), (50, 100, 0.4038)] {
            assert!((wilson_lower(matches, calls) - expect).abs() < 1e-3);
        }
    }
}

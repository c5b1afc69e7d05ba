//! What was seen of arguments in all processes, and whose turn it is to be looked at.
//!
//! Why so: bursts come at random distances (exponential, one a second on average, per process), so that they do not
//! beat with the program's own periods. One burst at a time per process; the functions take turns.
//!
//! Not here: the socket. The tally of one function is [`crate::constants`].

use crate::constants::Observed;
use crate::recipe::Recipe;
use crate::session::Arguments;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_format::arguments::ArgumentLayout;
use tidegate_format::request::Constant;

/// Looks per burst, on average: five looks a second, one burst a second.
const LOOKS_PER_BURST: u64 = 5;

/// The observations of all processes.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    random: u64,
    observed: BTreeMap<(u32, u32), Observed>,
    /// Assumptions that were missed too often, for good in that process.
    given_up: BTreeSet<(u32, u32, Vec<Constant>)>,
    /// What is assumed, from the first time that something was stable: a set that grew with every burst would be
    /// compiled and tried again and again.
    chosen: BTreeMap<(u32, u32), Vec<Constant>>,
    armed: BTreeMap<u32, u32>,
    turn: u64,
}

impl Values {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: seed | 1,
            observed: BTreeMap::new(),
            given_up: BTreeSet::new(),
            chosen: BTreeMap::new(),
            armed: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Forgets processes that are gone.
    pub(crate) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        self.observed.retain(|(process, _), _| stays(*process));
        self.given_up.retain(|(process, _, _)| stays(*process));
        self.chosen.retain(|(process, _), _| stays(*process));
        self.armed.retain(|process, _| stays(*process));
    }

    /// The function whose burst is under way; it ends now.
    pub(crate) fn take_armed(&mut self, process: u32) -> Option<u32> {
        self.armed.remove(&process)
    }

    /// The function to begin a burst on now, if it is time for one.
    pub(crate) fn next_to_arm(&mut self, process: u32, hot: &[u32]) -> Option<u32> {
        // xorshift64: the distances must not be regular, nothing more.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if !self.random.is_multiple_of(LOOKS_PER_BURST) || hot.is_empty() {
            return None;
        }
        self.turn += 1;
        let function = *hot.get((self.turn % hot.len() as u64) as usize)?;
        self.armed.insert(process, function);
        Some(function)
    }

    /// Adds a burst of a function whose arguments travel so; `in_use` is what the function runs now.
    pub(crate) fn add(
        &mut self,
        (process, function): (u32, u32),
        layout: ArgumentLayout,
        calls: &[Arguments],
        in_use: Option<&Recipe>,
    ) {
        let assumed = in_use.map_or(&[][..], |recipe| &recipe.constants);
        let observed = self.observed.entry((process, function)).or_default();
        observed.add(calls, layout, assumed);
        if !assumed.is_empty() && observed.is_missed() {
            self.given_up.insert((process, function, assumed.to_vec()));
            self.chosen.remove(&(process, function));
            let holding = observed.holding(assumed);
            *observed = Observed::default();
            if !holding.is_empty() && holding != assumed {
                self.chosen.insert((process, function), holding);
                return;
            }
        }
        let stable = observed.stable();
        let given_up = self.given_up.contains(&(process, function, stable.clone()));
        if !stable.is_empty() && !given_up {
            self.chosen.entry((process, function)).or_insert(stable);
        }
    }

    /// What may be assumed of a function's arguments.
    pub(crate) fn stable(&self, process: u32, function: u32) -> Vec<Constant> {
        self.chosen.get(&(process, function)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ArgumentLayout = ArgumentLayout(0x0aaa_aaaa);
    use tidegate_format::message::CAPTURE_WORDS;
    use tidegate_format::scenario::Scenario;

    #[test]
    fn functions_take_turns_at_irregular_distances() {
        let mut values = Values::new(7);
        let looks: Vec<_> = (0..1000)
            .map(|_| {
                values.take_armed(1);
                values.next_to_arm(1, &[4, 5])
            })
            .collect();
        let bursts = looks.iter().flatten().count();
        assert!((120..=280).contains(&bursts), "{bursts}");
        assert!(looks.contains(&Some(4)) && looks.contains(&Some(5)));
        assert_eq!(values.next_to_arm(1, &[]), None);
    }

    #[test]
    fn what_still_holds_is_assumed_without_what_does_not() {
        let mut values = Values::new(1);
        (0..8).for_each(|_| values.add((1, 2), ALL, &[[3; CAPTURE_WORDS]; 64], None));
        let recipe = Recipe {
            constants: values.stable(1, 2),
            ..Recipe::plain(Scenario::Cpu)
        };
        let mut other = [3; CAPTURE_WORDS];
        other[CAPTURE_WORDS - 1] = 9;
        (0..2).for_each(|_| values.add((1, 2), ALL, &[other; 64], Some(&recipe)));
        let kept = values.stable(1, 2);
        assert_eq!(kept, recipe.constants[..CAPTURE_WORDS - 1]);
        let recipe = Recipe {
            constants: kept.clone(),
            ..recipe
        };
        (0..20).for_each(|_| values.add((1, 2), ALL, &[other; 64], Some(&recipe)));
        assert_eq!(values.stable(1, 2), kept, "and goes on to be");
    }

    #[test]
    fn what_was_missed_is_not_assumed_again() {
        let mut values = Values::new(1);
        let usual = [[3; CAPTURE_WORDS]; 64];
        (0..8).for_each(|_| values.add((1, 2), ALL, &usual, None));
        let constants = values.stable(1, 2);
        assert_eq!(constants.len(), CAPTURE_WORDS);
        let recipe = Recipe {
            constants,
            ..Recipe::plain(Scenario::Cpu)
        };
        let other = [[4; CAPTURE_WORDS]; 64];
        (0..2).for_each(|_| values.add((1, 2), ALL, &other, Some(&recipe)));
        (0..20).for_each(|_| values.add((1, 2), ALL, &usual, None));
        assert_eq!(values.stable(1, 2), []);
        (0..40).for_each(|_| values.add((1, 2), ALL, &other, None));
        assert_eq!(values.stable(1, 2).len(), CAPTURE_WORDS);
        values.retain(|process| process != 1);
        assert_eq!(values.stable(1, 2), []);
    }
}

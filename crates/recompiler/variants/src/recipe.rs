//! What a variant is made by: the scenario, which of its pipelines, and which arguments are assumed.
//!
//! Why so: a function's slot has one place per scenario, but a scenario has several pipelines to try and a program has
//! values that nearly never change. Everything that is remembered about a variant (its image, its verdict) is
//! remembered by its recipe.
//!
//! Not here: what a pipeline does (the worker's table) and how values are found ([`crate::constants`]).

use std::fmt;
use tidegate_format::request::{Constant, INTEGER_REGISTERS};
use tidegate_format::scenario::Scenario;

/// One way to make a variant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipe {
    /// What for.
    pub scenario: Scenario,
    /// Which of the scenario's pipelines, from 0.
    pub candidate: u8,
    /// Arguments that are assumed, by register.
    pub constants: Vec<Constant>,
}

impl Recipe {
    /// The scenario's first pipeline, nothing assumed.
    pub fn plain(scenario: Scenario) -> Self {
        Self {
            scenario,
            candidate: 0,
            constants: Vec::new(),
        }
    }
}

/// The names of the argument registers, in the order of their numbers.
const INTEGER_NAMES: [&str; INTEGER_REGISTERS as usize] = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"];

/// `memory`, `memory/1`, `memory/1,rcx=5`.
impl fmt::Display for Recipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.scenario.name())?;
        if self.candidate > 0 {
            write!(formatter, "/{}", self.candidate)?;
        }
        for constant in &self.constants {
            let register = usize::from(constant.register);
            match INTEGER_NAMES.get(register) {
                Some(name) => write!(formatter, ",{name}={}", constant.value)?,
                None => write!(
                    formatter,
                    ",xmm{}={:#x}",
                    register - INTEGER_NAMES.len(),
                    constant.value
                )?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_in_words() {
        let check = |candidate, constants: &[(u8, u64)], expect: &str| {
            let recipe = Recipe {
                scenario: Scenario::Memory,
                candidate,
                constants: constants
                    .iter()
                    .map(|(register, value)| Constant {
                        register: *register,
                        value: *value,
                    })
                    .collect(),
            };
            assert_eq!(recipe.to_string(), expect);
        };
        check(0, &[], "memory");
        check(1, &[(3, 5)], "memory/1,rcx=5");
        check(0, &[(6, 16)], "memory,xmm0=0x10");
    }
}

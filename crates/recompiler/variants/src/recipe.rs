//! What a variant is made by: the scenario, which of its pipelines, and which arguments are assumed.
//!
//! Why so: a function's slot has one place per scenario, but a scenario has several pipelines to try and a program has
//! values that nearly never change. Everything that is remembered about a variant (its image, its verdict) is
//! remembered by its recipe.
//!
//! Not here: what a pipeline does (the worker's table) and how values are found ([`crate::constants`]).

use std::fmt;
use std::str::FromStr;
use tidegate_format::arguments::{ARGUMENT_REGISTERS, INTEGER_REGISTERS};
use tidegate_format::request::Constant;
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

/// A text that is no recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not base or a recipe: a scenario, then perhaps which of its pipelines, and assumed arguments (memory/1,rcx=5)"
)]
pub struct NotARecipe(String);

impl FromStr for Recipe {
    type Err = NotARecipe;

    fn from_str(text: &str) -> Result<Self, NotARecipe> {
        let read = || {
            let mut words = text.split(',');
            let first = words.next()?;
            let (scenario, candidate) = first.split_once('/').unwrap_or((first, "0"));
            Some(Self {
                scenario: Scenario::from_name(scenario)?,
                candidate: candidate.parse().ok()?,
                constants: words.map(constant).collect::<Option<_>>()?,
            })
        };
        read().ok_or_else(|| NotARecipe(text.to_owned()))
    }
}

/// `rcx=5`, `xmm0=0x10`.
fn constant(text: &str) -> Option<Constant> {
    let (name, value) = text.split_once('=')?;
    let integer = INTEGER_NAMES.iter().position(|known| *known == name);
    let register = match integer {
        Some(index) => u8::try_from(index).ok()?,
        None => INTEGER_REGISTERS.checked_add(name.strip_prefix("xmm")?.parse().ok()?)?,
    };
    let value = match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => value.parse().ok()?,
    };
    (register < ARGUMENT_REGISTERS).then_some(Constant { register, value })
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
            assert_eq!(expect.parse(), Ok(recipe));
        };
        check(0, &[], "memory");
        check(1, &[(3, 5)], "memory/1,rcx=5");
        check(0, &[(6, 16)], "memory,xmm0=0x10");
        for wrong in [
            "",
            "sideways",
            "memory/",
            "memory/300",
            "memory,rcx",
            "memory,rax=1",
            "memory,xmm8=1",
            "memory,rcx=-1",
        ] {
            assert!(wrong.parse::<Recipe>().is_err(), "{wrong}");
        }
    }
}

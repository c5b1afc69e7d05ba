//! The lines that a test prints when it cannot run here, and the list of those that are allowed.

use anyhow::{Context, Result, bail};
use std::fmt;
use std::path::Path;

/// One test that did not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    name: String,
    reason: String,
}

impl Skip {
    /// The test `name` did not run because of `reason`.
    pub(crate) fn new(name: &str, reason: &str) -> Self {
        Self {
            name: name.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// Reads `SKIP name: reason`; anything else is no skip.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (name, reason) = line.trim().strip_prefix("SKIP ")?.split_once(": ")?;
        Some(Self::new(name.trim(), reason.trim()))
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.reason)
    }
}

/// What may be skipped.
#[derive(Debug, Default)]
pub(crate) struct SkipList(Vec<Skip>);

impl SkipList {
    /// Reads the checked-in list.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut list = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, reason)) = line.split_once(": ") else {
                bail!("line {}: expected `name: reason`, found `{line}`", index + 1);
            };
            list.push(Skip::new(name.trim(), reason.trim()));
        }
        Ok(Self(list))
    }

    /// Whether `skip` is on the list: the same name, and a reason that begins with the listed one.
    pub(crate) fn allows(&self, skip: &Skip) -> bool {
        self.0
            .iter()
            .any(|listed| listed.name == skip.name && skip.reason.starts_with(&listed.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_line_has_a_name_and_a_reason() {
        assert_eq!(
            Skip::parse("SKIP pmu: no PMU here"),
            Some(Skip::new("pmu", "no PMU here"))
        );
        assert_eq!(Skip::parse("  SKIP a::b: c: d"), Some(Skip::new("a::b", "c: d")));
        assert_eq!(Skip::parse("test a ... ok"), None);
        assert_eq!(Skip::parse("SKIP nothing"), None);
    }

    #[test]
    fn the_list_allows_by_name_and_beginning_of_the_reason() {
        let list = SkipList::parse("# why\n\npmu: no PMU\n").expect("list");
        assert!(list.allows(&Skip::new("pmu", "no PMU (ENOENT)")));
        assert!(!list.allows(&Skip::new("pmu", "not root")));
        assert!(!list.allows(&Skip::new("resctrl", "no PMU")));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let error = SkipList::parse("\npmu no PMU\n").expect_err("no colon");
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}

//! What the driver tells the plugin, through the environment of the compiler's process: a plugin has no
//! arguments of its own.

use crate::select::Selection;
use std::env;
use tidegate_format::section::RefusalReason;

/// Path of a file with the functions to select, one name a line; set from telemetry. Absent = by size.
pub const LIST_VARIABLE: &str = "TIDEGATE_FUNCTIONS";
/// Numbers of [`RefusalReason`]s that hold for the whole file, separated by commas: what only the command line tells.
pub const FILE_REASONS_VARIABLE: &str = "TIDEGATE_FILE_REASONS";

/// The driver's word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What to select.
    pub selection: Selection,
    /// Reasons for the whole file: refusals (below 96) and notes.
    pub file_reasons: Vec<RefusalReason>,
}

impl Options {
    /// Reads the environment. A list that cannot be read selects nothing: the object is then plain.
    pub fn from_environment() -> Self {
        let listed = env::var_os(LIST_VARIABLE).map(|path| std::fs::read_to_string(path).unwrap_or_default());
        let reasons = env::var(FILE_REASONS_VARIABLE).unwrap_or_default();
        Self {
            selection: Selection {
                listed: listed.map(|text| parse_list(&text).collect()),
            },
            file_reasons: parse_reasons(&reasons).collect(),
        }
    }
}

/// The names of a list file: one a line; empty lines and lines that start with `#` do not count.
fn parse_list(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
}

fn parse_reasons(text: &str) -> impl Iterator<Item = RefusalReason> {
    text.split(',')
        .filter_map(|number| RefusalReason::from_number(number.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_names_and_comments() {
        let names: Vec<_> = parse_list("# hot\n one \n\ntwo\n").collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn reasons_are_numbers_and_others_are_ignored() {
        let reasons: Vec<_> = parse_reasons("66, 96,x,9999").collect();
        assert_eq!(
            reasons,
            [
                RefusalReason::FileFreestanding,
                RefusalReason::LinkTimeOptimisationDropped
            ]
        );
    }
}

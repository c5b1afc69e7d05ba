//! `tidegate check`: is a policy right, in its text, in its meaning, and on this host?

use super::print_json;
use crate::cli::CheckArguments;
use crate::failure::{Failure, Outcome};
use crate::out::{note, say};
use crate::watch;
use tidegate_plan::policy;

/// Prints what is wrong; any finding makes the exit status 1.
pub(crate) fn check(arguments: &CheckArguments) -> Outcome {
    let file = arguments.policy.display().to_string();
    let text = std::fs::read_to_string(&arguments.policy)
        .map_err(|error| Failure::environment(format!("{file}: {error}")))?;
    let parsed = policy::parse(&text, &file).map_err(Failure::finding)?;
    let apps = watch::apps_now(&parsed)?;
    let findings = policy::check(&parsed, &apps, None);
    if arguments.format.json {
        print_json(&findings)?;
    } else {
        for finding in &findings {
            match finding.line {
                Some(line) => say!("{file}:{line}: {}", finding.text),
                None => say!("{file}: {}", finding.text),
            }
        }
    }
    if findings.is_empty() {
        note!("{file}: nothing to object to, {} apps on this host", apps.len());
        return Ok(());
    }
    Err(Failure::finding(format!("{file}: {} findings", findings.len())))
}

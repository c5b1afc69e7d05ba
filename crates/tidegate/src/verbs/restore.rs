//! `tidegate restore`: put back what a journal holds, without a daemon.

use super::print_json;
use crate::cli::RestoreArguments;
use crate::failure::{Failure, Outcome, Status};
use crate::out::note;
use crate::place::Folders;
use crate::table::print;
use tidegate_act::{ActConfig, ActError, Layout, RestoreFilter, RestoreOutcome, restore as restore_journal};
use tidegate_types::AppName;

/// Restores, and reports what could not be put back as a finding.
pub(crate) fn restore(arguments: &RestoreArguments) -> Outcome {
    let folders = Folders::of(&arguments.places);
    let layout = Layout::detect().map_err(Failure::environment)?;
    let config = ActConfig {
        journal: folders.journal(),
        disable: folders.disable(),
        ..ActConfig::of_host(layout)
    };
    let filter = RestoreFilter {
        app: arguments.app.as_deref().map(AppName::new),
        dry_run: arguments.dry_run,
    };
    let restored = restore_journal(&config, &filter).map_err(|error| match error {
        ActError::AnotherEnforcer { .. } => Failure::new(Status::AlreadyRunning, error)
            .hint("a daemon that runs gives everything back with `tidegate pause`"),
        error => Failure::chain(Status::Environment, &error),
    })?;
    if arguments.format.json {
        print_json(&restored)?;
    } else if restored.is_empty() {
        note!("the journal holds nothing to put back");
    } else {
        let rows: Vec<Vec<String>> = restored
            .iter()
            .map(|entry| {
                vec![
                    entry.app.to_string(),
                    format!("{:?}", entry.knob),
                    entry.path.clone(),
                    outcome_text(&entry.outcome),
                ]
            })
            .collect();
        print(&["app", "knob", "group", "outcome"], &rows);
    }
    let failed = restored
        .iter()
        .filter(|entry| matches!(entry.outcome, RestoreOutcome::Failed(_)))
        .count();
    match failed {
        0 => Ok(()),
        _ => Err(Failure::finding(format!(
            "{failed} of {} could not be put back",
            restored.len()
        ))),
    }
}

fn outcome_text(outcome: &RestoreOutcome) -> String {
    match outcome {
        RestoreOutcome::Restored => "put back".to_owned(),
        RestoreOutcome::AlreadyBack => "was back already".to_owned(),
        RestoreOutcome::WouldRestore => "would be put back".to_owned(),
        RestoreOutcome::Foreign => "left: someone else wrote it".to_owned(),
        RestoreOutcome::Void(why) => format!("left: {why}"),
        RestoreOutcome::Failed(why) => format!("failed: {why}"),
    }
}

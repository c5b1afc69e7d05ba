//! Gives back what a journal says, whoever wrote it: one way for daemon, guardian and `restore`.

use crate::group::{Group, GroupFault};
use crate::journal::{Entry, NEVER};
use crate::knob::{self, Set};
use crate::lock::Lock;
use crate::{ActConfig, ActError, Journal, Layout};
use serde::Serialize;
use std::cmp::Ordering;
use tidegate_types::{AppName, Knob};

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct RestoreFilter {
    /// Only this app's.
    pub app: Option<AppName>,
    /// Say what would be done, write nothing.
    pub dry_run: bool,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreOutcome {
    /// The found values are back.
    Restored,
    /// They were back already.
    AlreadyBack,
    /// They would be written (dry run).
    WouldRestore,
    /// Someone else wrote the knob: it stays.
    Foreign,
    /// The group is gone, or another one stands under its path, or the kernel was booted since: it stays.
    Void(String),
    /// The kernel refused, in its words; the entry is kept.
    Failed(String),
}

/// One entry of the journal and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Whose knob.
    pub app: AppName,
    /// Which knob.
    pub knob: Knob,
    /// Path of the group below the mount point.
    pub path: String,
    /// What became of it.
    pub outcome: RestoreOutcome,
}

/// Restores what the journal of `config` holds; a missing journal holds nothing. Refused while an enforcer runs:
/// its knobs are given back by pausing it.
pub fn restore(config: &ActConfig, filter: &RestoreFilter) -> Result<Vec<Restored>, ActError> {
    if !config.journal.exists() {
        return Ok(Vec::new());
    }
    let _lock = if filter.dry_run {
        None
    } else {
        Some(Lock::take(&config.layout)?)
    };
    let mut journal = Journal::attach(&config.journal)?;
    restore_journal(&config.layout, &mut journal, filter)
}

/// Restores the entries of `journal`: limits that fall first and deepest first, then those that rise.
pub(crate) fn restore_journal(
    layout: &Layout,
    journal: &mut Journal,
    filter: &RestoreFilter,
) -> Result<Vec<Restored>, ActError> {
    let mut entries = journal.entries()?;
    entries.retain(|(_, entry)| filter.app.as_ref().is_none_or(|app| *app == entry.app));
    entries.sort_by(|(_, left), (_, right)| by_direction(direction(layout, left), direction(layout, right)));
    let mut results = Vec::new();
    for (slot, entry) in entries {
        let outcome = match (journal.of_this_boot(&entry), filter.dry_run) {
            (false, _) => RestoreOutcome::Void("the host was booted since".into()),
            (true, true) => would_give_back(layout, &entry),
            (true, false) => give_back(layout, &entry),
        };
        if !filter.dry_run && !matches!(outcome, RestoreOutcome::Failed(_)) {
            journal.clear(slot)?;
        }
        results.push(Restored {
            app: entry.app,
            knob: entry.knob,
            path: entry.path,
            outcome,
        });
    }
    Ok(results)
}

/// Takes the end away from every entry that is still there: what a daemon that is gone left, and nobody could give
/// back, is no reason to give up the daemon that came after it.
pub(crate) fn set_aside(journal: &mut Journal) -> Result<(), ActError> {
    for (slot, mut entry) in journal.entries()? {
        entry.end = NEVER;
        journal.update(slot, &entry)?;
    }
    Ok(())
}

/// Whether a value rises, and how deep its group is.
pub(crate) type Direction = (bool, usize);

/// Falling before rising; falling ones deepest first, rising ones shallowest first (a v1 child may not be above
/// its parent at any moment).
pub(crate) fn by_direction(left: Direction, right: Direction) -> Ordering {
    let order = left.0.cmp(&right.0);
    order.then(if left.0 {
        left.1.cmp(&right.1)
    } else {
        right.1.cmp(&left.1)
    })
}

/// Number of folders between the root and the group.
pub(crate) fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

fn direction(layout: &Layout, entry: &Entry) -> Direction {
    let found = knob::magnitude(&knob::decode(entry.knob, &found_set(entry)));
    let now = open(layout, entry).and_then(|group| knob::read(&group, entry.hierarchy, entry.knob));
    let now = now.map_or(found, |set| knob::magnitude(&knob::decode(entry.knob, &set)));
    (found > now, depth(&entry.path))
}

fn open(layout: &Layout, entry: &Entry) -> Result<Group, GroupFault> {
    Group::open(layout, &entry.path, entry.group_id)
}

/// What was found, as a set.
pub(crate) fn found_set(entry: &Entry) -> Set {
    let names = knob::files(entry.hierarchy, entry.knob).iter();
    names
        .filter_map(|name| {
            let record = entry.files.iter().find(|record| record.name == *name)?;
            Some((*name, record.found.clone()))
        })
        .collect()
}

/// Whether the present values are ours, back, or somebody else's.
fn judge(entry: &Entry, now: &Set) -> RestoreOutcome {
    let idled = entry
        .files
        .iter()
        .any(|record| record.name == "cpu.idle" && record.is_ours("1"));
    let mut outcome = RestoreOutcome::AlreadyBack;
    for record in &entry.files {
        let Some((_, value)) = now.iter().find(|(name, _)| *name == record.name) else {
            continue;
        };
        let passing = idled && knob::passing_values(&record.name).contains(&value.as_str());
        if *value == record.found {
            continue;
        }
        if !record.is_ours(value) && !passing {
            return RestoreOutcome::Foreign;
        }
        outcome = RestoreOutcome::WouldRestore;
    }
    outcome
}

fn would_give_back(layout: &Layout, entry: &Entry) -> RestoreOutcome {
    let now = open(layout, entry).and_then(|group| knob::read(&group, entry.hierarchy, entry.knob));
    now.map_or_else(fault_outcome, |set| judge(entry, &set))
}

/// Writes the found values of one entry, unless its group is another one or someone else wrote it since.
pub(crate) fn give_back(layout: &Layout, entry: &Entry) -> RestoreOutcome {
    open(layout, entry).map_or_else(fault_outcome, |group| give_back_in(&group, entry))
}

/// The same in a group that is already open.
pub(crate) fn give_back_in(group: &Group, entry: &Entry) -> RestoreOutcome {
    write_back(group, entry).unwrap_or_else(fault_outcome)
}

fn write_back(group: &Group, entry: &Entry) -> Result<RestoreOutcome, GroupFault> {
    let now = knob::read(group, entry.hierarchy, entry.knob)?;
    match judge(entry, &now) {
        RestoreOutcome::WouldRestore => {}
        settled => return Ok(settled),
    }
    for (file, value) in knob::steps(entry.knob, &now, &found_set(entry)) {
        group.write(file, &value)?;
    }
    Ok(RestoreOutcome::Restored)
}

fn fault_outcome(fault: GroupFault) -> RestoreOutcome {
    match fault {
        GroupFault::Gone => {
            RestoreOutcome::Void("the group is gone, or another one stands under its path".into())
        }
        GroupFault::NoSuchFile => RestoreOutcome::Failed("the kernel has no such file".into()),
        GroupFault::Refused(words) => RestoreOutcome::Failed(words),
    }
}

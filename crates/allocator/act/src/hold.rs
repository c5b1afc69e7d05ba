//! One knob that is ours: taking it, moving it, giving it back. Undo is written before do, each time.

use crate::group::{Group, GroupFault};
use crate::journal::{Entry, FileRecord, NEVER};
use crate::knob::{self, Set};
use crate::permit;
use crate::restore::{self, RestoreOutcome};
use crate::watch::{Key, Watch};
use crate::{ActError, Journal, Layout};
use std::collections::BTreeSet;
use tidegate_types::{BootTime, GroupPath, Hierarchy, Knob, KnobValue, Lease, Managed, WriteFailure};

/// A knob that is ours.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) lease: Lease,
    pub(crate) found: KnobValue,
    pub(crate) current: KnobValue,
    entry: Entry,
    slot: usize,
    group: Group,
    set: Set,
}

/// What every step needs.
pub(crate) struct Tools<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) journal: &'a mut Journal,
    pub(crate) watch: &'a mut Watch,
    /// Knobs that someone else was seen to write.
    pub(crate) foreign: &'a mut BTreeSet<Key>,
}

/// A step's end: done, refused (an event), or the journal itself failed (an error).
pub(crate) type Step<T> = Result<Result<T, WriteFailure>, ActError>;

fn failure(fault: GroupFault) -> WriteFailure {
    match fault {
        GroupFault::Gone => WriteFailure::GroupGone,
        GroupFault::NoSuchFile => WriteFailure::Refused("the kernel has no such file".into()),
        GroupFault::Refused(words) => WriteFailure::Refused(words),
    }
}

/// What a knob of an app is now, whoever set it.
pub(crate) fn present(layout: &Layout, managed: &Managed, knob: Knob) -> Option<KnobValue> {
    let path = managed.app.group.as_ref()?.in_hierarchy(layout.hierarchy())?;
    let group = Group::open(layout, &path.path, path.id).ok()?;
    let set = knob::read(&group, layout.hierarchy(), knob).ok()?;
    Some(knob::decode(knob, &set))
}

/// What the journal says of a knob that was found so.
fn entry_of(lease: &Lease, hierarchy: Hierarchy, path: &GroupPath, set: &Set) -> Entry {
    Entry {
        boot_id: String::new(),
        app: lease.app.clone(),
        lease: lease.id,
        hierarchy,
        path: path.path.to_string(),
        group_id: path.id,
        knob: lease.asked.knob(),
        files: set
            .iter()
            .map(|(name, value)| FileRecord::found(name, value))
            .collect(),
        end: lease.end,
    }
}

/// Takes a knob for `lease`.
pub(crate) fn take(tools: &mut Tools<'_>, lease: &Lease, managed: &Managed) -> Step<Hold> {
    let hierarchy = tools.layout.hierarchy();
    let path = managed
        .app
        .group
        .as_ref()
        .and_then(|group| group.in_hierarchy(hierarchy));
    let Some(path) = path else {
        let words = format!("{} has no group in the tree of the cpu controller", lease.app);
        return Ok(Err(WriteFailure::NotAllowed(words)));
    };
    let knob = lease.asked.knob();
    let opened = Group::open(tools.layout, &path.path, path.id);
    let read = opened.and_then(|group| Ok((knob::read(&group, hierarchy, knob)?, group)));
    let (set, group) = match read {
        Ok(read) => read,
        Err(fault) => return Ok(Err(failure(fault))),
    };
    let found = knob::decode(knob, &set);
    if let Some(words) = permit::refusal(managed, &found, &lease.asked) {
        return Ok(Err(WriteFailure::NotAllowed(words)));
    }
    let entry = entry_of(lease, hierarchy, path, &set);
    let Some(slot) = tools.journal.insert(&entry)? else {
        return Ok(Err(WriteFailure::JournalFull));
    };
    let key = (lease.app.clone(), knob);
    let files: Vec<&str> = set.iter().map(|(name, _)| *name).collect();
    if let Err(errno) = tools.watch.add(&key, &group, &files) {
        tools.watch.remove(&key);
        tools.journal.clear(slot)?;
        return Ok(Err(failure(errno.into())));
    }
    // Who wrote before the watch was there was not seen by it, and what they wrote is not what was found.
    if knob::read(&group, hierarchy, knob).is_ok_and(|again| again != set) {
        tools.watch.remove(&key);
        tools.journal.clear(slot)?;
        return Ok(Err(WriteFailure::Foreign));
    }
    let mut hold = Hold {
        lease: lease.clone(),
        found,
        current: found,
        entry,
        slot,
        group,
        set,
    };
    match hold.write(tools, lease)? {
        Ok(()) => Ok(Ok(hold)),
        Err(failed) => {
            if let Err(WriteFailure::Refused(_)) = hold.give_back(tools)? {
                // Half of a set was taken and the rest refused both ways: the entry stays for `restore`.
                hold.postpone(tools, NEVER)?;
            }
            Ok(Err(failed))
        }
    }
}

impl Hold {
    /// The key of this knob.
    pub(crate) fn key(&self) -> Key {
        (self.lease.app.clone(), self.entry.knob)
    }

    /// Inode of its group's folder.
    pub(crate) fn group_id(&self) -> u64 {
        self.entry.group_id
    }

    /// Folders between the root and its group.
    pub(crate) fn depth(&self) -> usize {
        restore::depth(&self.entry.path)
    }

    /// Moves the knob to what `lease` asks, or only its end, when the value stays.
    pub(crate) fn move_to(&mut self, tools: &mut Tools<'_>, lease: &Lease, managed: &Managed) -> Step<()> {
        if let Some(words) = permit::refusal(managed, &self.found, &lease.asked) {
            return Ok(Err(WriteFailure::NotAllowed(words)));
        }
        if lease.asked != self.lease.asked {
            return self.write(tools, lease);
        }
        self.lease = lease.clone();
        self.entry.lease = lease.id;
        self.entry.end = lease.end;
        tools.journal.update(self.slot, &self.entry)?;
        Ok(Ok(()))
    }

    fn write(&mut self, tools: &mut Tools<'_>, lease: &Lease) -> Step<()> {
        let key = self.key();
        let target = knob::encode(&lease.asked, &self.set);
        let first = self.entry.files.iter().all(|record| record.asked.is_none());
        for record in &mut self.entry.files {
            let of = |set: &Set| {
                set.iter()
                    .find(|(name, _)| *name == record.name)
                    .map(|(_, value)| value.clone())
            };
            let (asked, before) = (of(&target), of(&self.set));
            record.before = if first { None } else { before };
            record.asked = asked;
        }
        self.entry.lease = lease.id;
        self.entry.end = lease.end;
        if !tools.journal.update(self.slot, &self.entry)? {
            return Ok(Err(WriteFailure::JournalFull));
        }
        tools.foreign.extend(tools.watch.written());
        if tools.foreign.contains(&key) {
            return Ok(Err(WriteFailure::Foreign));
        }
        let written = self.write_steps(&target);
        let ours = tools.watch.written();
        tools
            .foreign
            .extend(ours.into_iter().filter(|other| *other != key));
        match written {
            Ok(true) => {}
            Ok(false) => {
                tools.foreign.insert(key);
                return Ok(Err(WriteFailure::Foreign));
            }
            Err(fault) => return Ok(Err(failure(fault))),
        }
        self.lease = lease.clone();
        tools.journal.update(self.slot, &self.entry)?;
        Ok(Ok(()))
    }

    /// False where something else stands there afterwards than was written: someone else wrote in between, and what is
    /// theirs must not pass for ours.
    fn write_steps(&mut self, target: &Set) -> Result<bool, GroupFault> {
        for (file, value) in knob::steps(self.entry.knob, &self.set, target) {
            self.group.write(file, &value)?;
        }
        self.set = knob::read(&self.group, self.entry.hierarchy, self.entry.knob)?;
        self.current = knob::decode(self.entry.knob, &self.set);
        if !target.iter().all(|file| self.set.contains(file)) {
            return Ok(false);
        }
        for record in &mut self.entry.files {
            let read = self.set.iter().find(|(name, _)| *name == record.name);
            record.read_back = read.map(|(_, value)| value.clone());
        }
        Ok(true)
    }

    /// Gives the knob back; when the kernel refuses, the entry stays in the journal and this can be tried again.
    pub(crate) fn give_back(&mut self, tools: &mut Tools<'_>) -> Step<()> {
        let key = self.key();
        tools.foreign.extend(tools.watch.written());
        if tools.foreign.contains(&key) {
            self.let_go(tools)?;
            return Ok(Err(WriteFailure::Foreign));
        }
        let outcome = restore::give_back_in(&self.group, &self.entry);
        let ours = tools.watch.written();
        tools
            .foreign
            .extend(ours.into_iter().filter(|other| *other != key));
        if let RestoreOutcome::Failed(words) = outcome {
            return Ok(Err(WriteFailure::Refused(words)));
        }
        self.let_go(tools)?;
        Ok(match outcome {
            RestoreOutcome::Foreign => Err(WriteFailure::Foreign),
            RestoreOutcome::Void(_) => Err(WriteFailure::GroupGone),
            _ => {
                self.current = self.found;
                Ok(())
            }
        })
    }

    /// Forgets the knob as it is: it is someone else's now.
    pub(crate) fn let_go(&mut self, tools: &mut Tools<'_>) -> Result<(), ActError> {
        tools.watch.remove(&self.key());
        tools.journal.clear(self.slot)
    }

    /// Moves the entry's end, so that the guardian does not take a refused giving back for a dead daemon.
    pub(crate) fn postpone(&mut self, tools: &mut Tools<'_>, end: BootTime) -> Result<(), ActError> {
        self.entry.end = end;
        tools.journal.update(self.slot, &self.entry).map(drop)
    }

    /// What the knob reads now.
    pub(crate) fn read(&self) -> Option<KnobValue> {
        let set = knob::read(&self.group, self.entry.hierarchy, self.entry.knob).ok()?;
        Some(knob::decode(self.entry.knob, &set))
    }
}

//! Whether a knob may be moved, and if not, why: in the words that `explain` and the advice show.

use crate::found::Key;
use std::collections::BTreeMap;
use tidegate_types::{BootTime, Managed, Mode, Owner, Resource};

/// How far a decision may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Only what may be written.
    Enforce,
    /// Also what may only be said.
    Advise,
}

/// What stands against moving `key`, where something does.
pub(crate) fn obstacle(
    managed: &Managed,
    key: &Key,
    blocked: &BTreeMap<Key, BootTime>,
    reach: Reach,
) -> Option<String> {
    if let Some(reason) = &managed.grant.untouchable {
        return Some(format!("it is untouchable: {reason}"));
    }
    let mode = managed.grant.mode(Resource::Cpu);
    if mode == Mode::Observe {
        return Some("its cpu mode is observe".into());
    }
    if managed.app.group.is_none() {
        return Some("it has no group of its own".into());
    }
    if reach == Reach::Advise {
        return None;
    }
    if mode == Mode::Advise {
        return Some("its cpu mode is advise".into());
    }
    match &managed.app.owner {
        Owner::Tidegate | Owner::Delegated => {}
        Owner::Systemd(unit) => return Some(format!("systemd manages it ({unit})")),
        Owner::Other(who) => return Some(format!("{who} manages it")),
        Owner::Nobody => return Some("nobody handed its group over".into()),
    }
    blocked
        .contains_key(key)
        .then(|| "someone else wrote this knob within the hour".into())
}

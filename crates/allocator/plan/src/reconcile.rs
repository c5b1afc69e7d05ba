//! Names: a lease keeps its own for as long as it asks the same; what changes gets a new one.

use tidegate_types::{BootTime, Lease, LeaseId};

/// Gives every lease of `wanted` the name of the lease of `before` that it continues, or a new one.
pub(crate) fn name(wanted: Vec<Lease>, before: &[Lease], now: BootTime, next: &mut u64) -> Vec<Lease> {
    let mut taken: Vec<LeaseId> = Vec::new();
    let mut named: Vec<Lease> = Vec::new();
    for mut lease in wanted {
        let continued = before
            .iter()
            .find(|old| continues(old, &lease, now) && !taken.contains(&old.id));
        if let Some(old) = continued {
            lease.id = old.id;
            if old.start <= now {
                // It holds already: it began when it began, for the reason that it had.
                lease.start = old.start;
                lease.found = old.found;
                lease.cause = old.cause.clone();
            }
        } else {
            *next += 1;
            lease.id = LeaseId(*next);
        }
        taken.push(lease.id);
        named.push(lease);
    }
    named.sort_by_key(|lease| lease.id);
    named
}

fn continues(old: &Lease, new: &Lease, now: BootTime) -> bool {
    let same_knob = old.app == new.app && old.asked.knob() == new.asked.knob();
    let holds = old.start <= now;
    let same_turn = if holds {
        // A lease that reacts is not the one that was foreseen, but it may go on as it.
        old.asked == new.asked && new.start <= now && old.end >= now
    } else {
        old.cause.unit == new.cause.unit && (new.start > now || old.asked == new.asked)
    };
    same_knob && same_turn
}

//! Criticality flows down: what a critical app calls is as critical as the app itself.
//!
//! Only apps that nobody put lower are raised: an app that the policy calls `batch` stays batch, since somebody said
//! that it may wait. A cycle ends where every app in it has been seen.

use std::collections::BTreeSet;
use tidegate_types::{AppName, Apps, Class};

/// Raises every standard app that a critical one calls, itself or through others. `calls` are pairs of caller and
/// called. What was raised before must have been put back to what the policy says.
pub fn flow(apps: &mut Apps, calls: &[(AppName, AppName)]) {
    if calls.is_empty() {
        return;
    }
    let critical = |apps: &Apps, name: &AppName| {
        apps.get(name)
            .is_some_and(|managed| managed.grant.class == Class::Critical)
    };
    let mut next: Vec<&AppName> = calls.iter().map(|(caller, _)| caller).collect();
    next.retain(|caller| critical(apps, caller));
    let mut seen: BTreeSet<&AppName> = BTreeSet::new();
    while let Some(caller) = next.pop() {
        if !seen.insert(caller) {
            continue;
        }
        for (_, called) in calls.iter().filter(|(other, _)| other == caller) {
            let Some(managed) = apps.get_mut(called) else {
                continue;
            };
            if managed.grant.class == Class::Standard {
                managed.grant.class = Class::Critical;
            }
            if managed.grant.class == Class::Critical {
                next.push(called);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::{App, Grant, Managed, Owner};

    #[test]
    fn what_a_critical_app_needs_is_critical_and_batch_stays_batch() {
        let classes = [
            ("web", Class::Critical),
            ("auth", Class::Standard),
            ("db", Class::Standard),
            ("report", Class::Batch),
            ("behind-report", Class::Standard),
            ("other", Class::Standard),
        ];
        let managed = |(name, class): (&str, Class)| {
            let app = App {
                name: AppName::new(name),
                group: None,
                owner: Owner::Nobody,
                parent: None,
                executable: None,
                user: None,
            };
            let grant = Grant {
                class,
                ..Grant::default()
            };
            (AppName::new(name), Managed { app, grant })
        };
        let mut apps: Apps = classes.into_iter().map(managed).collect();
        let call = |caller: &str, called: &str| (AppName::new(caller), AppName::new(called));
        let calls = [
            call("auth", "db"),
            call("db", "web"),
            call("other", "auth"),
            call("report", "behind-report"),
            call("web", "auth"),
            call("web", "gone"),
            call("web", "report"),
        ];
        flow(&mut apps, &calls);
        let class = |name: &str| apps[&AppName::new(name)].grant.class;
        assert_eq!(class("auth"), Class::Critical);
        assert_eq!(class("db"), Class::Critical, "through auth");
        assert_eq!(class("report"), Class::Batch);
        assert_eq!(class("behind-report"), Class::Standard, "batch passes nothing on");
        assert_eq!(class("other"), Class::Standard, "it calls, and is not called");
    }
}

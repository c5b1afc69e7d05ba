//! Whose value it is: foreign writes, groups that were made again, and journals of the dead.

use crate::bed::{Bed, Kind, lease, limit, on_every_tree, plan};
use tidegate_act::{Journal, RestoreFilter, RestoreOutcome, Restored, boot_now, restore};
use tidegate_types::{AppName, BootTime, Event, Knob};

/// Other writers are other processes: a shell is one.
fn write_as_another(bed: &Bed, group: &str, file: &str, value: &str) {
    let script = format!(
        "printf '%s' '{value}' > {}",
        bed.folder_of(group).join(file).display()
    );
    let status = std::process::Command::new("sh")
        .args(["-c", &script])
        .status()
        .expect("sh");
    assert!(status.success());
}

fn check_foreign(bed: &Bed, written: f64) {
    let mut actuator = bed.actuator();
    let now = boot_now();
    let wanted = plan(vec![lease(1, "web", limit(1.5), now, 9.0)]);
    actuator.apply(now, &wanted, &bed.apps()).expect("apply");
    write_as_another(bed, "/web", bed.limit_file(), &bed.limit_text(written));
    let events = actuator.run_due(now).expect("notice");
    let foreign = matches!(&events[..], [Event::ForeignWrite { app, knob: Knob::CpuMax, value: Some(value) }]
        if app.as_str() == "web" && value.limit_cores() == Some(written));
    assert!(foreign, "{events:?}");
    let later = plan(vec![lease(2, "web", limit(1.2), now, 9.0)]);
    actuator.apply(now, &later, &bed.apps()).expect("apply");
    assert_eq!(bed.limit("/web"), written, "blocked");
    actuator.close(now).expect("close");
    assert_eq!(bed.limit("/web"), written, "not restored");
}

#[test]
fn a_foreign_write_ends_the_lease_without_restoring() {
    on_every_tree("a_foreign_write_ends_the_lease_without_restoring", |bed| {
        check_foreign(bed, 0.7);
    });
}

#[test]
fn so_does_one_of_the_very_same_value() {
    on_every_tree("so_does_one_of_the_very_same_value", |bed| {
        check_foreign(bed, 1.5);
    });
}

#[test]
fn own_writes_are_not_foreign() {
    on_every_tree("own_writes_are_not_foreign", |bed| {
        let mut actuator = bed.actuator();
        let now = boot_now();
        for round in 0..20_u32 {
            let cores = 0.5 + 0.05 * f64::from(round);
            let wanted = plan(vec![lease(round.into(), "web", limit(cores), now, 9.0)]);
            let events = actuator.apply(now, &wanted, &bed.apps()).expect("apply");
            assert!(
                !events
                    .iter()
                    .any(|event| matches!(event, Event::ForeignWrite { .. })),
                "{events:?}"
            );
        }
        assert_eq!(actuator.run_due(now).expect("quiet"), vec![]);
    });
}

#[test]
fn a_group_that_was_made_again_is_not_touched() {
    on_every_tree("a_group_that_was_made_again_is_not_touched", |bed| {
        let mut actuator = bed.actuator();
        let now = boot_now();
        let wanted = plan(vec![lease(1, "web", limit(1.5), now, 9.0)]);
        let old_apps = bed.apps();
        actuator.apply(now, &wanted, &old_apps).expect("apply");
        bed.make_again("/web", 33);
        let others = bed.values();
        actuator.release_all(now).expect("release");
        assert_eq!(bed.values(), others, "the end of the lease");
        let again = plan(vec![lease(2, "web", limit(1.4), now, 9.0)]);
        let events = actuator.apply(now, &again, &old_apps).expect("apply");
        assert!(format!("{events:?}").contains("GroupGone"), "{events:?}");
        assert_eq!(bed.values(), others, "a lease on the old group");
    });
}

#[test]
fn restore_says_what_it_would_do_and_does_it_for_one_app() {
    on_every_tree("restore_says_what_it_would_do_and_does_it_for_one_app", |bed| {
        let found = bed.values();
        let mut actuator = bed.actuator();
        let now = boot_now();
        let wanted = plan(vec![
            lease(1, "web", limit(1.5), now, 9.0),
            lease(2, "db", limit(1.6), now, 9.0),
        ]);
        actuator.apply(now, &wanted, &bed.apps()).expect("apply");
        drop(actuator);
        let dry = RestoreFilter {
            dry_run: true,
            app: None,
        };
        let said = restore(&bed.config(), &dry).expect("dry run");
        assert_eq!(said.len(), 2);
        assert!(
            said.iter()
                .all(|entry| entry.outcome == RestoreOutcome::WouldRestore),
            "{said:?}"
        );
        assert_eq!(bed.limit("/web"), 1.5);
        let only_db = RestoreFilter {
            dry_run: false,
            app: Some(AppName::new("db")),
        };
        let done = restore(&bed.config(), &only_db).expect("restore");
        assert_eq!(done.len(), 1);
        assert_eq!((bed.limit("/web"), bed.limit("/db")), (1.5, 0.5));
        write_as_another(bed, "/web", bed.limit_file(), &bed.limit_text(0.3));
        let rest = restore(&bed.config(), &RestoreFilter::default()).expect("restore");
        assert_eq!(rest[0].outcome, RestoreOutcome::Foreign);
        assert_eq!(bed.limit("/web"), 0.3, "someone else's value stays");
        assert_eq!(
            restore(&bed.config(), &RestoreFilter::default()).expect("restore"),
            vec![]
        );
        assert_eq!(found.len(), bed.values().len());
    });
}

#[test]
fn the_next_daemon_restores_what_the_last_one_left() {
    let bed = Bed::new(Kind::FakeV2).expect("bed");
    let found = bed.values();
    let mut actuator = bed.actuator();
    let now = boot_now();
    actuator
        .apply(
            now,
            &plan(vec![lease(1, "web", limit(1.5), now, 9.0)]),
            &bed.apps(),
        )
        .expect("apply");
    drop(actuator);
    let mut next = bed.actuator();
    assert_eq!(next.take_recovered().len(), 1);
    assert_eq!(bed.values(), found);
}

#[test]
fn what_cannot_be_given_back_is_no_reason_to_give_up_the_next_daemon() {
    let bed = Bed::new(Kind::FakeV2).expect("bed");
    let mut actuator = bed.actuator();
    let now = boot_now();
    let wanted = plan(vec![lease(1, "web", limit(1.5), now, 9.0)]);
    actuator.apply(now, &wanted, &bed.apps()).expect("apply");
    drop(actuator);
    let limit_file = bed.folder_of("/web").join("cpu.max");
    let kept = std::fs::read(&limit_file).expect("the limit");
    std::fs::remove_file(&limit_file).expect("a file that refuses");
    let mut next = bed.actuator();
    let failed = |entry: &Restored| matches!(entry.outcome, RestoreOutcome::Failed(_));
    assert!(next.take_recovered().iter().all(failed));
    let entries = Journal::attach(&bed.config().journal)
        .and_then(|mut journal| journal.entries())
        .expect("the journal");
    let ends: Vec<BootTime> = entries.iter().map(|(_, entry)| entry.end).collect();
    assert_eq!(ends, [BootTime(u64::MAX)]);
    drop(next);
    std::fs::write(&limit_file, kept).expect("the limit");
    let restored = restore(&bed.config(), &RestoreFilter::default()).expect("restore");
    assert_eq!(restored[0].outcome, RestoreOutcome::Restored);
}

#[test]
fn an_app_with_another_group_is_held_in_the_new_one() {
    on_every_tree("an_app_with_another_group_is_held_in_the_new_one", |bed| {
        let mut actuator = bed.actuator();
        let now = boot_now();
        let wanted = plan(vec![lease(1, "web", limit(1.5), now, 9.0)]);
        actuator.apply(now, &wanted, &bed.apps()).expect("apply");
        bed.make_again("/web", 33);
        let others = bed.values();
        let events = actuator.apply(now, &wanted, &bed.apps()).expect("apply");
        assert!(format!("{events:?}").contains("GroupGone"), "{events:?}");
        assert_eq!(bed.values(), others, "the old one is let go");
        actuator.run_due(now).expect("take");
        assert_eq!(bed.limit("/web"), 1.5);
        actuator.close(now).expect("close");
        assert_eq!(bed.values(), others);
    });
}

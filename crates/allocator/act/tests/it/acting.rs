//! A plan holds while it is listed, and what was found is back afterwards.

use crate::bed::{Bed, GROUPS, Kind, failures, lease, lease_for, limit, on_every_tree, plan};
use std::os::unix::fs::MetadataExt;
use tidegate_act::guardian::Guard;
use tidegate_act::{ActError, Actuator, Runner, boot_now};
use tidegate_types::{AppName, Event, Hierarchy, KnobValue, Mode, Plan};

#[test]
fn a_lease_holds_from_its_start_to_its_end() {
    on_every_tree("a_lease_holds_from_its_start_to_its_end", |bed| {
        let found = bed.values();
        let mut actuator = bed.actuator();
        let now = boot_now();
        let ahead = plan(vec![lease(1, "web", limit(1.5), now.plus_seconds(10.0), 5.0)]);
        assert_eq!(actuator.apply(now, &ahead, &bed.apps()).expect("apply"), vec![]);
        assert_eq!(bed.values(), found, "not before its start");
        assert_eq!(actuator.next_deadline(now), Some(now.plus_seconds(10.0)));
        let events = actuator.run_due(now.plus_seconds(10.0)).expect("start");
        assert_eq!(failures(&events), Vec::<String>::new());
        assert_eq!(bed.limit("/web"), 1.5);
        assert_eq!(
            actuator.next_deadline(now.plus_seconds(11.0)),
            Some(now.plus_seconds(15.0))
        );
        actuator.run_due(now.plus_seconds(14.9)).expect("between");
        assert_eq!(bed.limit("/web"), 1.5);
        actuator.run_due(now.plus_seconds(15.0)).expect("end");
        assert_eq!(bed.values(), found);
    });
}

#[test]
fn a_lease_that_is_no_longer_listed_is_given_back() {
    on_every_tree("a_lease_that_is_no_longer_listed_is_given_back", |bed| {
        let found = bed.values();
        let mut actuator = bed.actuator();
        let now = boot_now();
        let idle = KnobValue::CpuWeight {
            weight: 100,
            idle: true,
        };
        let both = plan(vec![
            lease_for(1, "batch", "web", idle, now, 9.0),
            lease_for(2, "batch", "web", limit(0.2), now, 9.0),
        ]);
        let events = actuator.apply(now, &both, &bed.apps()).expect("apply");
        assert_eq!(failures(&events), Vec::<String>::new());
        assert_eq!(bed.value("/batch", "cpu.idle"), "1");
        assert_eq!(bed.limit("/batch"), 0.2);
        actuator
            .apply(now, &plan(both.leases[1..].to_vec()), &bed.apps())
            .expect("apply");
        assert_eq!(bed.value("/batch", "cpu.idle"), "0");
        assert_eq!(bed.limit("/batch"), 0.2);
        actuator.apply(now, &Plan::default(), &bed.apps()).expect("apply");
        assert_eq!(
            bed.values(),
            found,
            "the weight that the kernel forgot is back too"
        );
    });
}

#[test]
fn one_knob_passes_from_lease_to_lease_and_keeps_what_was_found() {
    on_every_tree(
        "one_knob_passes_from_lease_to_lease_and_keeps_what_was_found",
        |bed| {
            let found = bed.values();
            let mut actuator = bed.actuator();
            let now = boot_now();
            let chain = plan(vec![
                lease(1, "web", limit(1.5), now, 2.0),
                lease(2, "web", limit(0.8), now.plus_seconds(2.0), 2.0),
            ]);
            actuator.apply(now, &chain, &bed.apps()).expect("apply");
            let events = actuator.run_due(now.plus_seconds(2.0)).expect("pass");
            assert_eq!(bed.limit("/web"), 0.8);
            let restored = events
                .iter()
                .filter(|event| matches!(event, Event::Written(result) if result.restored));
            assert_eq!(restored.count(), 0, "nothing is given back between the two");
            actuator.run_due(now.plus_seconds(4.0)).expect("end");
            assert_eq!(bed.values(), found);
        },
    );
}

#[test]
fn falls_come_before_rises_and_a_rise_does_not_stand_without_its_fall() {
    on_every_tree(
        "falls_come_before_rises_and_a_rise_does_not_stand_without_its_fall",
        |bed| {
            let found = bed.values();
            let mut actuator = bed.actuator();
            let now = boot_now();
            let raise = lease(1, "web", limit(0.9), now, 9.0);
            let lower = lease_for(2, "batch", "web", limit(0.1), now, 9.0);
            let events = actuator
                .apply(now, &plan(vec![raise, lower]), &bed.apps())
                .expect("apply");
            let order: Vec<&str> = events
                .iter()
                .filter_map(|event| match event {
                    Event::Written(result) => Some(result.app.as_str()),
                    _ => None,
                })
                .collect();
            assert_eq!(order, ["batch", "web"]);
            let events = actuator.release_all(now).expect("release");
            let first = events.iter().find_map(|event| match event {
                Event::Written(result) => Some(result.app.as_str()),
                _ => None,
            });
            assert_eq!(first, Some("web"), "giving back: the raised one falls first");
            assert_eq!(bed.values(), found);

            let below_floor = lease_for(3, "batch", "web", limit(0.05), now, 9.0);
            let raise = lease(4, "web", limit(0.9), now, 9.0);
            let events = actuator
                .apply(now, &plan(vec![raise, below_floor]), &bed.apps())
                .expect("apply");
            let failed = failures(&events);
            assert_eq!(failed.len(), 2, "{failed:?}");
            assert!(
                failed[0].contains("floor") && failed[1].contains("had to fall first"),
                "{failed:?}"
            );
            assert_eq!(bed.values(), found);
        },
    );
}

#[test]
fn without_a_grant_nothing_is_written() {
    on_every_tree("without_a_grant_nothing_is_written", |bed| {
        let found = bed.values();
        let mut actuator = bed.actuator();
        for mode in [Mode::Observe, Mode::Advise] {
            let now = boot_now();
            let wanted = plan(vec![lease(1, "web", limit(1.5), now, 9.0)]);
            let events = actuator.apply(now, &wanted, &bed.apps_in(mode)).expect("apply");
            assert!(failures(&events)[0].contains("not granted"), "{events:?}");
            let again = actuator.run_due(now).expect("again");
            assert_eq!(again, vec![], "a refused lease is said once");
            assert_eq!(bed.values(), found);
            actuator.release_all(now).expect("release");
        }
    });
}

#[test]
fn the_disabling_file_gives_everything_back_until_it_is_gone() {
    on_every_tree(
        "the_disabling_file_gives_everything_back_until_it_is_gone",
        |bed| {
            let found = bed.values();
            let mut actuator = bed.actuator();
            let now = boot_now();
            let wanted = plan(vec![lease(1, "web", limit(1.5), now, 9.0)]);
            actuator.apply(now, &wanted, &bed.apps()).expect("apply");
            assert_eq!(bed.limit("/web"), 1.5);
            let disable = bed.config().disable;
            std::fs::write(&disable, "").expect("disable");
            let events = actuator.run_due(now).expect("notice");
            assert_eq!(events.first(), Some(&Event::Paused));
            assert_eq!(bed.values(), found);
            std::fs::remove_file(&disable).expect("enable");
            let events = actuator.run_due(now).expect("notice");
            assert_eq!(events.first(), Some(&Event::Resumed));
            assert_eq!(bed.limit("/web"), 1.5);
            actuator.close(now).expect("close");
            assert_eq!(bed.values(), found);
        },
    );
}

#[test]
fn there_is_one_enforcer_per_tree() {
    let bed = Bed::new(Kind::FakeV2).expect("bed");
    let first = bed.actuator();
    let second = Actuator::open(bed.config());
    assert!(
        matches!(second, Err(ActError::AnotherEnforcer { .. })),
        "{second:?}"
    );
    drop(first);
    bed.actuator();
}

#[test]
fn a_full_journal_means_no_act() {
    let bed = Bed::new(Kind::FakeV1).expect("bed");
    let found = bed.values();
    let mut actuator = bed.actuator();
    let now = boot_now();
    let mut apps = bed.apps();
    let long = format!("/{}", "x".repeat(250)).repeat(8);
    std::fs::create_dir_all(bed.folder_of(&long)).expect("group");
    bed.make(&long, 0);
    let managed = apps
        .values_mut()
        .find(|managed| managed.app.name.as_str() == "web")
        .expect("web");
    let path = &mut managed.app.group.as_mut().expect("group").paths[0];
    path.id = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(bed.folder_of(&long)).expect("folder"));
    path.path = long.into();
    let events = actuator
        .apply(now, &plan(vec![lease(1, "web", limit(1.5), now, 9.0)]), &apps)
        .expect("apply");
    assert_eq!(failures(&events), ["web: JournalFull"]);
    assert_eq!(bed.values(), found);
    assert_eq!(GROUPS.len(), 3);
}

#[test]
fn the_runner_keeps_deadlines_and_gives_back_when_it_stops() {
    on_every_tree("the_runner_keeps_deadlines_and_gives_back_when_it_stops", |bed| {
        let found = bed.values();
        let (sender, events) = std::sync::mpsc::channel();
        let runner = Runner::start(bed.actuator(), move |batch| {
            for event in batch {
                sender.send(event).expect("the test listens");
            }
        });
        let runner = runner.expect("start");
        let next = || match events
            .recv_timeout(std::time::Duration::from_mins(1))
            .expect("an event")
        {
            Event::Written(result) => result,
            other => panic!("{other:?}"),
        };
        let start = boot_now().plus_seconds(0.1);
        assert!(runner.submit(plan(vec![lease(1, "web", limit(1.5), start, 600.0)]), bed.apps()));
        let written = next();
        assert!(written.at >= start && !written.restored, "{written:?}");
        assert_eq!(bed.limit("/web"), 1.5);
        runner.submit(Plan::default(), bed.apps());
        assert!(next().restored);
        assert_eq!(bed.values(), found);
        runner.submit(
            plan(vec![lease(2, "web", limit(1.2), boot_now(), 600.0)]),
            bed.apps(),
        );
        assert!(!next().restored);
        assert_eq!(bed.limit("/web"), 1.2);
        drop(runner);
        assert_eq!(bed.values(), found, "dropped is stopped");
    });
}

#[test]
fn a_parent_and_its_child_move_together_in_the_order_that_the_kernel_takes() {
    on_every_tree(
        "a_parent_and_its_child_move_together_in_the_order_that_the_kernel_takes",
        |bed| {
            let mut apps = bed.apps();
            if bed.dialect == Hierarchy::V2 && bed.kind == Kind::Live {
                bed.put("/web", "cgroup.subtree_control", "+cpu");
            }
            bed.make("/web/child", 0);
            let mut child = apps[&AppName::new("web")].clone();
            child.app.name = AppName::new("child");
            let path = &mut child.app.group.as_mut().expect("group").paths[0];
            path.path = "/web/child".into();
            path.id = std::fs::metadata(bed.folder_of("/web/child"))
                .expect("folder")
                .ino();
            apps.insert(AppName::new("child"), child);
            let mut actuator = bed.actuator();
            let now = boot_now();
            for (parent, child) in [(1.5, 1.5), (0.3, 0.3), (1.0, 0.9)] {
                let both = plan(vec![
                    lease(1, "child", limit(child), now, 9.0),
                    lease(2, "web", limit(parent), now, 9.0),
                ]);
                let events = actuator.apply(now, &both, &apps).expect("apply");
                assert_eq!(failures(&events), Vec::<String>::new());
                assert_eq!((bed.limit("/web"), bed.limit("/web/child")), (parent, child));
            }
            let events = actuator.release_all(now).expect("release");
            assert_eq!(failures(&events), Vec::<String>::new());
            assert_eq!((bed.limit("/web"), bed.limit("/web/child")), (0.4, 0.4));
            if bed.kind == Kind::Live {
                std::fs::remove_dir(bed.folder_of("/web/child")).expect("remove");
            }
        },
    );
}

#[test]
fn without_a_guardian_nothing_is_held() {
    on_every_tree("without_a_guardian_nothing_is_held", |bed| {
        let found = bed.values();
        let mut actuator = bed.actuator();
        actuator.guarded_by(Guard::new("/bin/false", Vec::new()));
        let now = boot_now();
        let wanted = plan(vec![lease(1, "web", limit(1.5), now, 9.0)]);
        let events = actuator.apply(now, &wanted, &bed.apps()).expect("apply");
        assert!(failures(&events)[0].contains("guardian"), "{events:?}");
        assert_eq!(bed.values(), found);
    });
    let bed = Bed::new(Kind::FakeV2).expect("bed");
    let found = bed.values();
    let mut actuator = bed.actuator();
    let now = boot_now();
    let wanted = plan(vec![lease(1, "web", limit(1.5), now, 9.0)]);
    actuator.apply(now, &wanted, &bed.apps()).expect("apply");
    actuator.guarded_by(Guard::new("/bin/false", Vec::new()));
    actuator.run_due(now).expect("notice");
    assert_eq!(bed.values(), found, "what was held is given back");
}

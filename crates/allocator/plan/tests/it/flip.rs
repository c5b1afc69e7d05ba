//! A prediction changes decisions: flip the forecast, and the plan flips.

use crate::world::{SHARED, World, at, limit_of, onset, shown};
use proptest::prelude::*;
use tidegate_types::{Knob, Mode, Scenario, Source, Trigger, Unit};

fn plan_with(change: impl Fn(&mut tidegate_types::MapEntry)) -> Vec<String> {
    let mut world = World::new(SHARED);
    world.sample(99.0, &[], &[]);
    let mut entry = onset(limit_of("web"), 0.9, 102.0, 0.8);
    change(&mut entry);
    world.foresee(99.0, vec![entry]);
    shown(&world.plan(99.0))
}

#[test]
fn flipping_the_forecast_flips_the_plan() {
    let acts = ["web 1.275 from 101.5 to 108.5", "work 0.125 from 101.5 to 108.5"];
    assert_eq!(plan_with(|_| {}), acts);
    for entry in [
        plan_with(|entry| {
            entry
                .windows
                .iter_mut()
                .for_each(|window| window.probability = 0.1);
        }),
        plan_with(|entry| entry.onset = None),
        plan_with(|entry| entry.confidence = 0.0),
        plan_with(|entry| entry.trained = false),
        plan_with(|entry| entry.demoted = true),
        plan_with(|entry| entry.source = Source::Reactive),
    ] {
        assert_eq!(entry, Vec::<String>::new());
    }
}

proptest! {
    #[test]
    fn whoever_is_foreseen_is_who_is_helped(onset_s in 101.0..102.4_f64, first in any::<bool>()) {
        let app = if first { "web" } else { "db" };
        let mut world = World::new(SHARED);
        world.sample(99.0, &[], &[]);
        world.foresee(99.0, vec![onset(limit_of(app), 0.9, onset_s, 0.8)]);
        let plan = world.plan(99.0);
        let raised = plan.leases.iter().find(|lease| lease.app.as_str() == app).expect("a lease");
        prop_assert!((raised.start.seconds() - (onset_s - 0.4 - Knob::CpuMax.time_to_effect_s())).abs() < 1e-6);
        prop_assert_eq!(raised.cause.trigger, Trigger::Predicted);
        prop_assert!(plan.leases.iter().all(|lease| lease.app.as_str() == app || lease.app.as_str() == "work"));
    }
}

#[test]
fn what_lies_ahead_follows_the_map_and_keeps_its_name() {
    let mut world = World::new(SHARED);
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 102.0, 0.8)]);
    let first = world.plan(99.0);
    let again = world.plan(99.5);
    assert_eq!(first.leases, again.leases, "nothing changed");
    world.foresee(100.0, vec![onset(limit_of("web"), 0.9, 102.5, 0.8)]);
    let moved = world.plan(100.0);
    assert_eq!(moved.leases[0].id, first.leases[0].id);
    assert_eq!(
        moved.leases[0].start,
        at(102.1 - Knob::CpuMax.time_to_effect_s()).boot
    );
    world.foresee(100.5, vec![onset(limit_of("web"), 0.1, 102.5, 0.8)]);
    assert_eq!(
        shown(&world.plan(100.5)),
        Vec::<String>::new(),
        "the forecast took it back"
    );
}

#[test]
fn nothing_is_handed_over_long_before_its_time() {
    let mut world = World::new(SHARED);
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 140.0, 0.8)]);
    let plan = world.plan(99.0);
    assert_eq!(shown(&plan), Vec::<String>::new());
    assert_eq!(plan.recompiles.len(), 1, "but a compile takes its time");
    assert_eq!(plan.recompiles[0].scenario, Scenario::Cpu);
    assert_eq!(plan.recompiles[0].app.as_str(), "work");
    assert_eq!(
        (plan.recompiles[0].by, plan.recompiles[0].until),
        (at(139.6).boot, at(154.6).boot)
    );
    assert_eq!(plan.recompiles[0].mode, Mode::Enforce);
}

#[test]
fn code_is_wished_while_contention_makes_wait_and_no_longer() {
    let mut world = World::new(SHARED);
    let wish = |world: &mut World, ebbing| {
        let mut entry = onset(limit_of("web"), 0.9, 140.0, 0.8);
        entry.ongoing_since = Some(at(98.0).boot);
        entry.ebbing = ebbing;
        world.sample(99.0, &[], &[]);
        world.foresee(99.0, vec![entry]);
        world.plan(99.0).recompiles.remove(0)
    };
    let there = wish(&mut world, false);
    assert_eq!((there.prediction, there.by), (None, at(98.0).boot));
    let ebbing = wish(&mut world, true);
    assert!(
        ebbing.prediction.is_some(),
        "made ready, not switched to: {ebbing:?}"
    );
}

#[test]
fn without_an_onset_the_lease_ends_and_with_one_it_ends_after_the_crowd() {
    let mut world = World::new(SHARED);
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 102.0, 0.8)]);
    let plan = world.plan(99.0);
    world.sample(102.0, &[], &plan.leases);
    assert_eq!(world.plan(102.0).leases.len(), 2);
    world.sample(103.0, &[], &plan.leases);
    assert_eq!(
        world.plan(103.0).leases.len(),
        2,
        "one sample after the late quantile"
    );
    world.sample(104.0, &[], &plan.leases);
    assert_eq!(shown(&world.plan(104.0)), Vec::<String>::new(), "no crowd came");
    assert_eq!(
        shown(&world.plan(104.5)),
        Vec::<String>::new(),
        "and the old map does not bring it back"
    );

    let mut world = World::new(SHARED);
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 102.0, 0.8)]);
    let plan = world.plan(99.0);
    for (second, usage, leases) in [
        (103.0, 0.6, 2),
        (104.0, 0.8, 2),
        (105.0, 0.8, 2),
        (106.0, 0.2, 0),
        (107.0, 0.2, 0),
    ] {
        world.sample(second, &[("web", usage)], &plan.leases);
        assert_eq!(world.plan(second).leases.len(), leases, "at {second}");
    }
}

#[test]
fn a_reaction_is_at_once_with_the_same_knobs() {
    let mut world = World::new(&SHARED.replace("[strategy]", "[strategy]\nkind = \"reactive\""));
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 102.0, 0.8)]);
    assert_eq!(
        shown(&world.plan(99.0)),
        Vec::<String>::new(),
        "reactive: no acting ahead"
    );
    world.wait(102.1, "web", 0.4);
    let plan = world.plan(102.1);
    assert_eq!(
        shown(&plan),
        ["web 1.275 from 102.1 to 117.1", "work 0.125 from 102.1 to 117.1"]
    );
    assert_eq!(plan.leases[0].cause.trigger, Trigger::Observed);
    world.wait(102.1, "work", 0.9);
    let episodes = world.plan(102.2);
    assert_eq!(
        episodes.leases, plan.leases,
        "batch work that waits is no contention"
    );
    world.sample(104.0, &[("web", 0.1)], &plan.leases);
    assert_eq!(shown(&world.plan(104.0)), Vec::<String>::new());
}

#[test]
fn an_extra_crowd_does_not_use_up_the_one_that_is_foreseen() {
    let mut world = World::new(SHARED);
    world.sample(80.0, &[], &[]);
    world.foresee(80.0, vec![onset(limit_of("web"), 0.9, 102.0, 0.8)]);
    world.wait(80.5, "web", 0.4);
    let plan = world.plan(80.5);
    assert_eq!(plan.leases.len(), 2);
    world.sample(82.0, &[("web", 0.1)], &plan.leases);
    assert_eq!(world.plan(82.0).leases.len(), 0);
    world.sample(99.5, &[], &[]);
    assert_eq!(world.plan(99.5).leases.len(), 2);
}

#[test]
fn batch_work_steps_back_from_cpus_by_weight() {
    let without_floor = SHARED.replace("cpu = { floor = 0.1 }\n", "");
    let mut world = World::new(&without_floor);
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(Unit::Cpu, 0.9, 102.0, 2.0)]);
    assert_eq!(shown(&world.plan(99.0)), ["work idle from 101.6 to 108.5"]);
    assert!(
        world
            .plan(99.0)
            .advice
            .iter()
            .any(|advice| advice.text.contains("static weights are right here"))
    );
}

#[test]
fn who_waits_under_what_it_was_given_gets_its_ceiling() {
    let mut world = World::new(SHARED);
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 102.0, 0.5)]);
    assert_eq!(world.plan(99.0).leases[0].asked.limit_cores(), Some(0.825));
    world.wait(101.6, "web", 0.4);
    assert_eq!(
        world.plan(101.6).leases[0].asked.limit_cores(),
        Some(0.825),
        "this may be from before"
    );
    world.wait(102.5, "web", 0.4);
    let plan = world.plan(102.5);
    assert_eq!(
        shown(&plan),
        ["web 1.300 from 102.5 to 108.5", "work 0.100 from 102.5 to 108.5"]
    );
}

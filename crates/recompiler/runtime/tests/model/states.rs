//! What may happen to a function while it is called.

use crate::binary::BODY;
use crate::functions::Function;
use crate::world::{COUNTING, IMAGES, World};
use loom::sync::Arc;
use loom::thread;
use tidegate_format::message::Reason;
use tidegate_format::scenario::Scenario;

const CALLS: usize = 2;

/// Runs `helper` against an app that calls `CALLS` times, in every interleaving; `after` sees the function once both
/// are done, and what was reached.
fn check(
    helper: impl Fn(&World, &mut Function) + Sync + Send + Copy + 'static,
    after: impl Fn(&World, &mut Function, [u64; CALLS]) + Sync + Send + Copy + 'static,
) {
    loom::model(move || {
        let (world, mut function) = World::new();
        let own = Arc::clone(&world);
        let app = thread::spawn(move || [0; CALLS].map(|_| own.call(7)));
        helper(&world, &mut function);
        let reached = app.join().unwrap();
        after(&world, &mut function, reached);
    });
}

fn publish_and_switch(world: &World, function: &mut Function, scenario: Scenario, image: usize) {
    let entry = world.load(image);
    function.publish(scenario, entry);
    function.switch(scenario).unwrap();
}

#[test]
fn a_call_reaches_the_base_or_a_complete_image_while_images_come_and_go() {
    check(
        |world, function| {
            assert_eq!(function.switch(Scenario::Cpu), Err(Reason::NotLoaded));
            publish_and_switch(world, function, Scenario::Cpu, 0);
            publish_and_switch(world, function, Scenario::Memory, 1);
            function.switch(Scenario::Base).unwrap();
        },
        |world, function, _| {
            assert!(!function.is_touched());
            assert_eq!(world.call(7), BODY);
        },
    );
}

#[test]
fn an_image_that_supersedes_the_one_in_use_is_reached_at_once_and_whole() {
    check(
        |world, function| {
            publish_and_switch(world, function, Scenario::Cpu, 0);
            let entry = world.load(1);
            function.publish(Scenario::Cpu, entry);
        },
        |world, function, reached| {
            // Never back to an older one.
            let order = |entry: u64| {
                [BODY, IMAGES[0], IMAGES[1]]
                    .iter()
                    .position(|known| *known == entry)
            };
            assert!(reached.map(order).is_sorted(), "{reached:x?}");
            assert_eq!((world.call(7), function.current()), (IMAGES[1], Scenario::Cpu));
        },
    );
}

#[test]
fn counting_changes_nothing_that_is_called_and_counts_each_call_once() {
    check(
        |world, function| {
            world.make_stubs(function);
            function.count(true).unwrap();
            publish_and_switch(world, function, Scenario::Cpu, 0);
        },
        |world, function, _| {
            let before = function.calls();
            assert!(before <= CALLS as u64, "{before}");
            assert_eq!(world.call(7), IMAGES[0]);
            assert_eq!(function.calls(), before + 1);
            function.count(false).unwrap();
            assert_eq!((world.call(7), function.calls()), (IMAGES[0], 0));
        },
    );
}

#[test]
fn counting_that_begins_and_ends_under_calls_leads_nobody_astray() {
    check(
        |world, function| {
            world.make_stubs(function);
            publish_and_switch(world, function, Scenario::Cpu, 0);
            function.count(true).unwrap();
            function.count(false).unwrap();
        },
        |world, _, reached| {
            assert!(!reached.contains(&COUNTING));
            assert_eq!(world.call(7), IMAGES[0]);
        },
    );
}

#[test]
fn arguments_are_noted_whole_or_not_at_all() {
    check(
        |world, function| {
            world.make_stubs(function);
            function.arm().unwrap();
            let mut place = [0; 256];
            let length = function.disarm(&mut place);
            // A noted call is whole although the app goes on: both of its registers hold the argument.
            if length > 0 {
                assert_eq!(place[..16], [7, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
            }
        },
        |world, function, reached| {
            assert_eq!(reached, [BODY; CALLS]);
            assert!(!function.is_touched());
            assert_eq!(world.call(7), BODY);
        },
    );
}

/// The daemon is gone in the middle of anything.
#[test]
fn a_release_leaves_the_base_whatever_went_on() {
    check(
        |world, function| {
            world.make_stubs(function);
            publish_and_switch(world, function, Scenario::Cpu, 0);
            function.count(true).unwrap();
            function.release();
        },
        |world, function, _| {
            assert!(!function.is_touched());
            assert_eq!(world.call(7), BODY);
            // What was loaded is there still.
            function.switch(Scenario::Cpu).unwrap();
            assert_eq!(world.call(7), IMAGES[0]);
        },
    );
}

#[test]
fn two_threads_each_see_the_images_in_the_order_of_the_switches() {
    loom::model(|| {
        let (world, mut function) = World::new();
        let apps = [2, 1].map(|calls| {
            let own = Arc::clone(&world);
            thread::spawn(move || (0..calls).map(|_| own.call(7)).collect::<Vec<_>>())
        });
        publish_and_switch(&world, &mut function, Scenario::Cpu, 0);
        for app in apps {
            let reached = app.join().unwrap();
            assert_ne!(reached, [IMAGES[0], BODY], "back to what was before the switch");
        }
    });
}

/// What the model is for: a loader that published before the code is there would be found.
#[test]
#[should_panic(expected = "Causality violation")]
fn a_loader_that_publishes_before_it_writes_is_found() {
    check(
        |world, function| {
            function.publish(Scenario::Cpu, IMAGES[0]);
            function.switch(Scenario::Cpu).unwrap();
            world.load(0);
        },
        |_, _, _| {},
    );
}

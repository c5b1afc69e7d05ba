//! The sum of a pool is never exceeded, floors and ceilings are never crossed, whatever happens.

use crate::world::{SHARED, World, at, limit_of, name, onset};
use proptest::prelude::*;
use tidegate_types::{Event, Knob, KnobValue, Lease, Plan};

#[derive(Clone, Debug)]
enum Step {
    Foresee {
        app: usize,
        in_s: f64,
        cores: f64,
        probability: f64,
    },
    Wait {
        app: usize,
    },
    Use {
        app: usize,
        cores: f64,
    },
    Foreign {
        app: usize,
        cores: f64,
    },
    Pass {
        s: f64,
    },
}

const APPS: [&str; 3] = ["web", "db", "work"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2_usize, 0.0..8.0_f64, 0.1..3.0_f64, 0.3..1.0_f64).prop_map(|(app, in_s, cores, probability)| {
            Step::Foresee {
                app,
                in_s,
                cores,
                probability,
            }
        }),
        (0..3_usize).prop_map(|app| Step::Wait { app }),
        (0..3_usize, 0.0..2.0_f64).prop_map(|(app, cores)| Step::Use { app, cores }),
        (0..3_usize, 0.1..0.4_f64).prop_map(|(app, cores)| Step::Foreign { app, cores }),
        (0.05..4.0_f64).prop_map(|s| Step::Pass { s }),
    ]
}

/// At every moment at which a lease begins or ends.
fn check_sum(world: &World, plan: &Plan, now_s: f64) {
    let edges = plan
        .leases
        .iter()
        .flat_map(|lease: &Lease| [lease.start, lease.end]);
    for edge in edges
        .chain([at(now_s).boot])
        .filter(|edge| *edge >= at(now_s).boot)
    {
        let limits = world.limits(edge, &plan.leases);
        let sum: f64 = limits.values().sum();
        assert!(
            sum <= 1.8 + 1e-9,
            "{sum} cores at {edge}: {limits:?} by {:?}",
            plan.leases
        );
    }
    for lease in &plan.leases {
        let KnobValue::CpuMax { .. } = lease.asked else {
            continue;
        };
        let cores = lease.asked.limit_cores().expect("a limit");
        let range = world.apps[&lease.app].grant.cpu_cores;
        assert_eq!(range.clamp(cores), cores, "{lease:?}");
        let twice = plan.leases.iter().filter(|other| {
            other.app == lease.app
                && other.asked.knob() == lease.asked.knob()
                && other.start < lease.end
                && lease.start < other.end
        });
        assert_eq!(twice.count(), 1, "one lease per knob at a time");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]
    #[test]
    fn the_sum_holds_at_every_moment(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new(SHARED);
        let mut now_s = 100.0;
        let mut usage = [0.1; 3];
        let mut plan = Plan::default();
        let mut blocked = [false; 3];
        world.sample(now_s, &[], &[]);
        for step in steps {
            match step {
                Step::Foresee { app, in_s, cores, probability } => {
                    let entry = onset(limit_of(APPS[app]), probability, now_s + in_s, cores);
                    let mut entries = world.map.entries.clone();
                    entries.retain(|other| other.unit != entry.unit);
                    entries.push(entry);
                    world.foresee(now_s, entries);
                }
                Step::Wait { app } => world.wait(now_s, APPS[app], 0.5),
                Step::Use { app, cores } => usage[app] = cores,
                Step::Foreign { app, cores } => {
                    let key = name(APPS[app]);
                    let leased = plan.leases.iter().any(|lease| lease.app == key && lease.active_at(at(now_s).boot));
                    if leased {
                        // Theirs from now on, at a value that leaves the sum whole.
                        let cores = cores.min(world.found[&key]);
                        let value = KnobValue::CpuMax { quota_us: Some((cores * 1e5) as u64), period_us: 100_000, burst_us: 0 };
                        world.found.insert(key.clone(), value.limit_cores().expect("a limit"));
                        world.event(now_s, &Event::ForeignWrite { app: key, knob: Knob::CpuMax, value: Some(value) });
                        blocked[app] = true;
                    }
                }
                Step::Pass { s } => now_s += s,
            }
            let used: Vec<(&str, f64)> = APPS.iter().copied().zip(usage).collect();
            world.sample(now_s, &used, &plan.leases);
            plan = world.plan(now_s);
            check_sum(&world, &plan, now_s);
            for (app, _) in APPS.iter().zip(blocked).filter(|(_, blocked)| *blocked) {
                prop_assert!(plan.leases.iter().all(|lease| lease.app.as_str() != *app), "a foreign knob is left alone");
            }
        }
    }
}

#[test]
fn two_crowds_at_once_share_what_there_is() {
    let mut world = World::new(SHARED);
    world.sample(99.0, &[], &[]);
    world.foresee(
        99.0,
        vec![
            onset(limit_of("web"), 0.9, 101.0, 0.8),
            onset(limit_of("db"), 0.9, 101.5, 0.8),
        ],
    );
    let plan = world.plan(99.0);
    let limits = world.limits(at(103.0).boot, &plan.leases);
    assert_eq!(limits[&name("web")], 1.275, "the first to come gets what it asks");
    assert_eq!(
        limits[&name("db")],
        0.425,
        "the second what the floor of the batch work leaves"
    );
    assert_eq!(limits[&name("work")], 0.1);
}

#[test]
fn who_waits_goes_before_who_is_expected_to() {
    let mut world = World::new(SHARED);
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 101.0, 0.8)]);
    let foreseen = world.plan(99.0);
    let limits = world.limits(at(100.9).boot, &foreseen.leases);
    assert_eq!(
        limits[&name("web")],
        1.275,
        "nobody waits, so the foreseen crowd is prepared for"
    );
    world.wait(100.9, "db", 0.5);
    let plan = world.plan(100.9);
    let limits = world.limits(at(100.9).boot, &plan.leases);
    assert_eq!(
        limits[&name("db")],
        1.3,
        "whoever waits gets what the floors leave"
    );
    assert_eq!(limits[&name("web")], 0.4, "the other keeps what was found");
    world.wait(101.2, "web", 0.5);
    let plan = world.plan(101.2);
    let limits = world.limits(at(101.2).boot, &plan.leases);
    assert_eq!(
        limits[&name("db")],
        1.3,
        "the second to wait takes nothing from the first"
    );
}

#[test]
fn where_nothing_would_be_gained_nobody_is_lowered() {
    let mut world = World::new(&SHARED.replace("cpu = { floor = 0.1 }", "cpu = { floor = 1.0 }"));
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 101.0, 0.8)]);
    assert_eq!(world.plan(99.0).leases, vec![]);
}

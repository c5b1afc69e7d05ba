//! Pausing, foreign writes, failures, what is untouchable, what is only advised, and the onsets that are left alone.

use crate::world::{SHARED, World, at, limit_of, name, onset, shown};
use tidegate_types::{Event, Knob, LeaseId, Owner, Plan, WriteFailure, WriteResult};

fn foreseen(policy: &str) -> World {
    let mut world = World::new(policy);
    world.sample(99.0, &[], &[]);
    world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 102.0, 0.8)]);
    world
}

#[test]
fn paused_means_an_empty_plan() {
    let mut world = foreseen(SHARED);
    assert_eq!(world.plan(99.0).leases.len(), 2);
    world.event(99.5, &Event::Paused);
    let plan = world.plan(99.5);
    assert!(plan.is_empty(), "{plan:?}");
    world.event(100.0, &Event::Resumed);
    assert_eq!(world.plan(100.0).leases.len(), 2);
}

#[test]
fn a_foreign_knob_is_left_for_an_hour_and_what_rests_on_it_ends() {
    let mut world = foreseen(SHARED);
    let held = world.plan(101.5);
    assert_eq!(held.leases.len(), 2);
    let value = Some(tidegate_types::KnobValue::CpuMax {
        quota_us: Some(100_000),
        period_us: 100_000,
        burst_us: 0,
    });
    world.event(
        101.7,
        &Event::ForeignWrite {
            app: name("work"),
            knob: Knob::CpuMax,
            value,
        },
    );
    assert_eq!(
        shown(&world.plan(101.7)),
        Vec::<String>::new(),
        "the pool has no room without it"
    );
    world.foresee(3000.0, vec![onset(limit_of("web"), 0.9, 3002.0, 0.8)]);
    assert_eq!(world.plan(3000.0).leases.len(), 0);
    world.sample(3801.0, &[], &[]);
    world.foresee(3801.0, vec![onset(limit_of("web"), 0.9, 3803.0, 0.8)]);
    assert_eq!(world.plan(3801.0).leases.len(), 2, "after the hour");
}

#[test]
fn a_failed_write_is_not_tried_again_at_once_and_then_under_another_name() {
    let mut world = foreseen(SHARED);
    let held = world.plan(101.5);
    let work = held
        .leases
        .iter()
        .find(|lease| lease.app == name("work"))
        .expect("work");
    let result = WriteResult {
        lease: work.id,
        app: name("work"),
        knob: Knob::CpuMax,
        found: None,
        outcome: Err(WriteFailure::Refused("Invalid argument".into())),
        at: at(101.6).boot,
        restored: false,
    };
    world.event(101.6, &Event::Written(result));
    assert_eq!(world.plan(101.6).leases, vec![]);
    world.wait(112.0, "web", 0.5);
    let later = world.plan(112.0);
    assert_eq!(later.leases.len(), 2);
    assert!(later.leases.iter().all(|lease| lease.id > LeaseId(2)));
}

#[test]
fn what_is_not_granted_is_only_said() {
    for (policy, owner, words) in [
        (
            SHARED.replace("\"enforce\"", "\"advise\""),
            Owner::Tidegate,
            "its cpu mode is advise",
        ),
        (
            SHARED.into(),
            Owner::Systemd("web.service".into()),
            "systemd manages it (web.service)",
        ),
        (SHARED.into(), Owner::Other("docker".into()), "docker manages it"),
    ] {
        let mut world = World::new(&policy);
        for app in ["web", "db", "work"] {
            world.apps.get_mut(&name(app)).expect("app").app.owner = owner.clone();
        }
        world.sample(99.0, &[], &[]);
        world.foresee(99.0, vec![onset(limit_of("web"), 0.9, 102.0, 0.8)]);
        let plan = world.plan(99.0);
        assert_eq!(plan.leases, vec![]);
        let texts: Vec<&str> = plan.advice.iter().map(|advice| advice.text.as_str()).collect();
        assert!(
            texts
                .iter()
                .any(|text| text.starts_with("would set a cpu limit of 1.27") && text.contains(words)),
            "{texts:?}"
        );
    }
    let mut world = foreseen(&SHARED.replace("\"enforce\"", "\"observe\""));
    let plan = world.plan(99.0);
    assert!(plan.is_empty(), "observe says nothing either: {plan:?}");
}

#[test]
fn untouchables_stay_untouched_whatever_the_policy_says() {
    for (path, executable) in [
        ("/", "/usr/bin/x"),
        ("/init.scope", "/usr/bin/x"),
        ("/bed/web", "/usr/sbin/sshd"),
    ] {
        let mut world = foreseen(SHARED);
        let mut app = world.apps[&name("web")].app.clone();
        app.executable = Some(executable.into());
        app.group.as_mut().expect("group").paths[0].path = path.into();
        world.apps.get_mut(&name("web")).expect("web").grant = world.policy.resolve(&app);
        assert_eq!(world.plan(99.0).leases, vec![], "{path} {executable}");
    }
    let mut world = foreseen(SHARED);
    world
        .policy
        .protect("/bed/web/shell", "the shell of whoever called");
    let grant = world.policy.resolve(&world.apps[&name("web")].app);
    assert_eq!(grant.untouchable.as_deref(), Some("the shell of whoever called"));
}

#[test]
fn some_onsets_are_left_alone_by_the_seed() {
    let share = |policy: &str| {
        let mut world = World::new(policy);
        let mut acted = 0;
        for round in 0..400 {
            let begin = 100.0 + 45.0 * f64::from(round);
            world.sample(begin, &[], &[]);
            world.foresee(begin, vec![onset(limit_of("web"), 0.9, begin + 2.0, 0.8)]);
            acted += usize::from(!world.plan(begin).leases.is_empty());
            for later in [5.0, 9.0, 30.0] {
                world.sample(begin + later, &[], &[]);
                world.plan(begin + later);
            }
        }
        f64::from(400 - i32::try_from(acted).expect("small")) / 400.0
    };
    assert_eq!(share(SHARED), 0.0);
    let quarter = share(&SHARED.replace("left_alone_share = 0.0", "left_alone_share = 0.25"));
    assert!((0.17..0.33).contains(&quarter), "{quarter}");
}

#[test]
fn the_memory_survives_a_checkpoint_and_the_same_inputs_give_the_same_bytes() {
    let run = |checkpoint: bool| -> Vec<u8> {
        let mut world = foreseen(SHARED);
        let mut bytes = Vec::new();
        let mut plan = Plan::default();
        for tenth in 0..100 {
            let now_s = 99.0 + 0.1 * f64::from(tenth);
            if tenth == 35 && checkpoint {
                let stored = postcard::to_stdvec(&world.planner).expect("store");
                world.planner = postcard::from_bytes(&stored).expect("load");
            }
            if tenth % 10 == 0 {
                world.sample(now_s, &[("web", 0.5)], &plan.leases);
            }
            plan = world.plan(now_s);
            bytes.extend(postcard::to_stdvec(&plan).expect("bytes"));
        }
        bytes
    };
    let whole = run(false);
    assert_eq!(whole, run(false));
    assert_eq!(whole, run(true));
}

#[test]
fn an_app_that_came_again_is_looked_at_anew() {
    let mut world = foreseen(SHARED);
    let first = world.plan(101.5);
    assert_eq!(first.leases.len(), 2);
    let mut app = world.apps[&name("web")].app.clone();
    world.event(101.6, &Event::AppCame(app.clone()));
    world.event(101.6, &Event::AppCame(app.clone()));
    assert_eq!(world.plan(101.6).leases, first.leases, "it is the same one");
    app.group.as_mut().expect("group").paths[0].id = 2;
    world.event(101.6, &Event::AppCame(app));
    assert_eq!(world.plan(101.6).leases, vec![], "nothing is known of its limit");
    world.found.insert(name("web"), 0.5);
    world.sample(102.0, &[], &[]);
    let again = world.plan(102.0);
    let web = again
        .leases
        .iter()
        .find(|lease| lease.app == name("web"))
        .expect("web");
    assert_eq!(web.found.and_then(|found| found.limit_cores()), Some(0.5));
    assert!(first.leases.iter().all(|lease| lease.id != web.id));
}

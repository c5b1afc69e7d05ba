//! Which units there are, whose waiting belongs where, and what is not measured.

use crate::sim::{START_UTC_MS, managed};
use std::sync::Arc;
use tidegate_forecast::{ForecastConfig, Forecaster};
use tidegate_types::{
    AppName, Apps, BootTime, Class, ContentionEvent, DeclaredEvent, Entity, Field, Moment, Row, Sample,
    Scenario, Source, Switched, Treatment, Unit,
};

fn moment(second: u64) -> Moment {
    Moment {
        boot: BootTime::from_seconds(500.0 + second as f64),
        utc_ms: START_UTC_MS + second.cast_signed() * 1000,
    }
}

fn app_row(name: &str, values: &[(Field, f64)]) -> Row {
    row(Entity::App(AppName::new(name)), values)
}

fn row(entity: Entity, values: &[(Field, f64)]) -> Row {
    let mut row = Row::empty(entity);
    for (field, value) in values {
        row.set(*field, *value);
    }
    row
}

/// Shows `rows` for ten seconds; returns the events and the forecaster.
fn show(apps: &Apps, rows: &[Row]) -> (Vec<ContentionEvent>, Forecaster) {
    let mut forecaster = Forecaster::new(ForecastConfig::default());
    let mut events = Vec::new();
    for second in 1..=10 {
        let mut sample = Sample {
            now: moment(second),
            interval_s: 1.0,
            rows: rows.to_vec(),
        };
        sample.sort();
        events.extend(forecaster.observe(&sample, apps, &[]));
    }
    (events, forecaster)
}

fn apps(list: &[(&str, Class, Option<&str>)]) -> Apps {
    list.iter()
        .map(|(name, class, parent)| {
            let mut one = managed(name, *class);
            one.app.parent = parent.map(AppName::new);
            (AppName::new(name), one)
        })
        .collect()
}

fn check(apps: &Apps, rows: &[Row], expect: &[&str]) {
    let (events, _) = show(apps, rows);
    let units: Vec<String> = events.iter().map(|event| event.unit.to_string()).collect();
    assert_eq!(units, expect);
}

#[test]
fn waiting_under_a_limit_belongs_to_the_limit_and_the_rest_to_the_cpus() {
    let limited = [
        (Field::CpuUsage, 0.5),
        (Field::CpuLimit, 0.5),
        (Field::CpuThrottled, 0.6),
        (Field::CpuWaiting, 0.62),
    ];
    check(
        &apps(&[("web", Class::Standard, None)]),
        &[app_row("web", &limited), row(Entity::Host, &[])],
        &["limit:web/cpu"],
    );
    let free = [
        (Field::CpuUsage, 0.5),
        (Field::CpuThrottled, 0.0),
        (Field::CpuWaiting, 0.5),
    ];
    check(
        &apps(&[("web", Class::Standard, None)]),
        &[app_row("web", &free), row(Entity::Host, &[])],
        &["cpu"],
    );
}

#[test]
fn waiting_under_an_ancestors_limit_belongs_to_the_ancestor() {
    let both = apps(&[
        ("slice", Class::Standard, None),
        ("slice/web", Class::Standard, Some("slice")),
    ]);
    let rows = [
        app_row(
            "slice",
            &[
                (Field::CpuUsage, 0.0),
                (Field::CpuLimit, 0.5),
                (Field::CpuThrottled, 0.7),
            ],
        ),
        app_row(
            "slice/web",
            &[
                (Field::CpuUsage, 0.5),
                (Field::CpuLimit, f64::INFINITY),
                (Field::CpuThrottled, 0.0),
                (Field::CpuWaiting, 0.7),
            ],
        ),
        row(Entity::Host, &[]),
    ];
    check(&both, &rows, &["limit:slice/cpu"]);
    let (_, mut forecaster) = show(&both, &rows);
    let map = forecaster.map(moment(10), &both);
    let entry = map
        .entry(&"limit:slice/cpu".parse().expect("a unit"))
        .expect("an entry");
    assert_eq!(entry.drivers[0].app, AppName::new("slice/web"));
    assert_eq!(entry.source, Source::Persistence);
}

#[test]
fn batch_waiting_alone_is_no_contention() {
    let waiting = [
        (Field::CpuUsage, 1.5),
        (Field::CpuLimit, 1.5),
        (Field::CpuThrottled, 0.9),
        (Field::CpuWaiting, 0.9),
    ];
    check(
        &apps(&[("crunch", Class::Batch, None)]),
        &[
            app_row("crunch", &waiting),
            row(Entity::Host, &[(Field::HostCpuWaiting, 0.9)]),
        ],
        &[],
    );
}

#[test]
fn the_host_memory_disks_and_links_have_units_where_they_are_measured() {
    let rows = [
        row(
            Entity::Host,
            &[
                (Field::HostCpuWaiting, 0.5),
                (Field::HostMemoryWaiting, 0.2),
                (Field::HostIoWaiting, 0.8),
            ],
        ),
        row(
            Entity::Disk(Arc::from("vda")),
            &[
                (Field::DiskRead, 1e6),
                (Field::DiskWrite, 0.0),
                (Field::DiskQueue, 3.0),
            ],
        ),
        row(
            Entity::Nic(Arc::from("eth0")),
            &[
                (Field::NicReceive, 1e6),
                (Field::NicTransmit, 1e6),
                (Field::NicSpeed, 1e6),
            ],
        ),
        row(Entity::Core(0), &[(Field::CoreBusy, 1.0)]),
        row(
            Entity::Core(1),
            &[(Field::CoreBusy, 1.0), (Field::CoreWaiting, 1.5)],
        ),
    ];
    check(
        &Apps::new(),
        &rows,
        &["cpu", "mem", "cpu:1", "disk:vda", "net:eth0/rx", "net:eth0/tx"],
    );
    let (_, mut forecaster) = show(&Apps::new(), &rows);
    let units: Vec<String> = forecaster
        .map(moment(10), &Apps::new())
        .entries
        .iter()
        .map(|entry| entry.unit.to_string())
        .collect();
    assert_eq!(
        units.len(),
        6,
        "nothing is said of what is not measured: {units:?}"
    );
}

#[test]
fn an_announced_event_is_on_the_map_with_its_name() {
    let one = apps(&[("web", Class::Standard, None)]);
    let rows = [app_row(
        "web",
        &[
            (Field::CpuUsage, 0.1),
            (Field::CpuLimit, 0.5),
            (Field::CpuThrottled, 0.0),
        ],
    )];
    let (_, mut forecaster) = show(&one, &rows);
    forecaster.declare(DeclaredEvent {
        name: "release".into(),
        app: AppName::new("web"),
        at_utc_ms: moment(200).utc_ms,
        duration_s: 30.0,
        every_s: None,
        cores: Some(1.0),
    });
    let map = forecaster.map(moment(10), &one);
    let entry = map
        .entry(&"limit:web/cpu".parse().expect("a unit"))
        .expect("an entry");
    assert!(entry.reason.contains("release"), "{}", entry.reason);
    assert_eq!(entry.onset.map(|onset| onset.q50), Some(700.0));
    assert_eq!(entry.end.map(|end| end.q50), Some(730.0));
    assert!(entry.probability(60) < Some(0.1) && entry.probability(300) > Some(0.9));
    assert_eq!(map.entry(&Unit::Cpu), None, "no signal, no entry");
}

#[test]
fn a_limit_without_a_throttling_counter_is_not_listed() {
    let one = apps(&[("web", Class::Standard, None)]);
    let rows = [app_row("web", &[(Field::CpuUsage, 0.5), (Field::CpuLimit, 0.5)])];
    let (events, mut forecaster) = show(&one, &rows);
    assert!(events.is_empty());
    assert!(
        forecaster.map(moment(10), &one).entries.is_empty(),
        "what cannot be seen is not foretold"
    );
}

/// Apps whose waiting counts hide behind a batch app where only the host's waiting is known: then nothing is said.
#[test]
fn waiting_that_may_be_the_batchs_alone_is_unknown() {
    let both = apps(&[("web", Class::Standard, None), ("crunch", Class::Batch, None)]);
    let rows = [
        app_row("web", &[(Field::CpuUsage, 0.2)]),
        app_row("crunch", &[(Field::CpuUsage, 1.5)]),
        row(Entity::Host, &[(Field::HostCpuWaiting, 0.9)]),
    ];
    check(&both, &rows, &[]);
    let (_, mut forecaster) = show(&both, &rows);
    let map = forecaster.map(moment(10), &both);
    assert!(
        map.entry(&Unit::Cpu)
            .is_some_and(|entry| entry.ongoing_since.is_none())
    );
}

/// An app that is starved of CPUs uses less than its limit, for another reason than that it wants less.
#[test]
fn a_limit_out_of_reach_is_unknown() {
    let one = apps(&[("web", Class::Standard, None)]);
    let starved = [
        (Field::CpuUsage, 0.4),
        (Field::CpuLimit, 0.5),
        (Field::CpuThrottled, 0.02),
        (Field::CpuWaiting, 0.5),
    ];
    let rows = [app_row("web", &starved), row(Entity::Host, &[])];
    check(&one, &rows, &["cpu"]);
    let (_, mut forecaster) = show(&one, &rows);
    let unit: Unit = "limit:web/cpu".parse().expect("a unit");
    assert!(forecaster.map(moment(10), &one).entry(&unit).is_some());
    for second in 11..90 {
        let mut sample = Sample {
            now: moment(second),
            interval_s: 1.0,
            rows: rows.to_vec(),
        };
        sample.sort();
        forecaster.observe(&sample, &one, &[]);
    }
    let outcomes = forecaster.take_outcomes();
    let of_limit = outcomes
        .iter()
        .find(|outcome| outcome.unit == unit && outcome.window_s == 60);
    assert_eq!(of_limit.map(|outcome| outcome.happened), Some(None));
}

fn core(number: u16, busy: f64) -> Row {
    row(Entity::Core(number), &[(Field::CoreBusy, busy)])
}

fn on_core(name: &str, number: u16, cores: f64) -> Row {
    row(
        Entity::AppCore(AppName::new(name), number),
        &[(Field::AppCoreUsage, cores)],
    )
}

/// Two apps that may use CPU 2 alone: it is contended, driven by these two, and neither the other CPUs nor all.
#[test]
fn apps_that_are_pinned_contend_for_their_cpu_and_drive_it() {
    let three = apps(&[
        ("left", Class::Standard, None),
        ("right", Class::Standard, None),
        ("free", Class::Standard, None),
    ]);
    let pinned = [(Field::CpuUsage, 0.45), (Field::CpuWaiting, 0.6)];
    let rows = [
        row(
            Entity::Host,
            &[
                (Field::HostCpuBusy, 1.6),
                (Field::HostCpuCapacity, 4.0),
                (Field::HostCpuSteal, 0.0),
            ],
        ),
        core(0, 0.35),
        core(1, 0.3),
        core(2, 0.95),
        app_row("left", &pinned),
        app_row("right", &pinned),
        app_row("free", &[(Field::CpuUsage, 0.7), (Field::CpuWaiting, 0.0)]),
        on_core("left", 2, 0.45),
        on_core("right", 2, 0.45),
    ];
    check(&three, &rows, &["cpu:2"]);
    let mut forecaster = Forecaster::new(ForecastConfig::default());
    for second in 1..=400 {
        let mut sample = Sample {
            now: moment(second),
            interval_s: 1.0,
            rows: rows.to_vec(),
        };
        sample.sort();
        forecaster.observe(&sample, &three, &[]);
    }
    let map = forecaster.map(moment(400), &three);
    let entry = |unit: &str| map.entry(&unit.parse().expect("a unit"));
    let driven = entry("cpu:2").expect("an entry");
    let names: Vec<&str> = driven.drivers.iter().map(|driver| driver.app.as_str()).collect();
    assert_eq!(names, ["left", "right"]);
    let peak = driven.windows[0].peak.expect("told");
    assert!(peak.q50 >= 0.9, "both together, and they wait: {peak:?}");
    assert!(entry("cpu:0").is_none(), "nobody who waits may run there only");
    let all = entry("cpu").expect("an entry");
    assert!(all.ongoing_since.is_none() && all.probability(60) < Some(0.2));
}

/// An app whose variants need so much less that it no longer waits: its CPU is contended for as long as the neighbour is
/// there, for with its base it would wait.
#[test]
fn what_switched_code_prevents_is_still_contention() {
    let two = apps(&[("paced", Class::Standard, None), ("busy", Class::Batch, None)]);
    let rows = |own: f64, waits: f64, neighbour: f64| {
        vec![
            row(
                Entity::Host,
                &[
                    (Field::HostCpuBusy, own + neighbour),
                    (Field::HostCpuCapacity, 2.0),
                ],
            ),
            core(0, 0.0),
            core(1, own + neighbour),
            app_row("paced", &[(Field::CpuUsage, own), (Field::CpuWaiting, waits)]),
            app_row("busy", &[(Field::CpuUsage, neighbour), (Field::CpuWaiting, 0.3)]),
            on_core("paced", 1, own),
            on_core("busy", 1, neighbour),
        ]
    };
    let mut forecaster = Forecaster::new(ForecastConfig::default());
    let mut second = 0;
    let mut show = |forecaster: &mut Forecaster, rows: Vec<Row>, seconds| -> Vec<ContentionEvent> {
        let mut events = Vec::new();
        for _ in 0..seconds {
            second += 1;
            let mut sample = Sample {
                now: moment(second),
                interval_s: 1.0,
                rows: rows.clone(),
            };
            sample.sort();
            let seen = forecaster.observe(&sample, &two, &[]);
            events.extend(seen.into_iter().filter(|event| event.unit == Unit::Core(1)));
        }
        events
    };
    let switched = |to| Switched {
        app: AppName::new("paced"),
        pid: 7,
        functions: vec!["inner".to_owned()],
        to,
        prediction: None,
        gain: 2.5,
        reason: String::new(),
    };
    show(&mut forecaster, rows(0.6, 0.0, 0.0), 20);
    let began = show(&mut forecaster, rows(0.33, 0.67, 0.67), 5);
    assert!(began.iter().any(|event| event.end.is_none()));
    forecaster.switched(&switched(Some(Scenario::Cpu)));
    let held = show(&mut forecaster, rows(0.24, 0.05, 0.76), 30);
    assert!(held.is_empty(), "it would wait with its base: {held:?}");
    assert!(!forecaster.is_ebbing(&Unit::Core(1)));
    show(&mut forecaster, rows(0.24, 0.0, 0.0), 1);
    assert!(forecaster.is_ebbing(&Unit::Core(1)), "the neighbour has left");
    let ended = show(&mut forecaster, rows(0.24, 0.0, 0.0), 3);
    let event = ended.first().expect("an end");
    assert_eq!(
        (&event.unit, event.treatment),
        (&Unit::Core(1), Treatment::Treated)
    );
    forecaster.switched(&switched(None));
}

/// Memory that runs out on one node only.
#[test]
fn a_full_node_is_contended_by_those_whose_memory_is_there() {
    let two = apps(&[("near", Class::Standard, None), ("far", Class::Standard, None)]);
    let node = |number, free: f64| {
        let values = [
            (Field::NodeMemoryTotal, 8e9),
            (Field::NodeMemoryFree, free),
            (Field::NodeMemoryFile, 0.0),
        ];
        row(Entity::Node(number), &values)
    };
    let held = |name: &str, number, bytes: f64| {
        row(
            Entity::AppNode(AppName::new(name), number),
            &[(Field::AppNodeMemory, bytes)],
        )
    };
    let waits = |share: f64| [(Field::Memory, 6e9), (Field::MemoryWaiting, share)];
    let rows = [
        node(0, 1e8),
        node(1, 5e9),
        app_row("near", &waits(0.04)),
        app_row("far", &waits(0.0)),
        held("near", 0, 6e9),
        held("near", 1, 0.0),
        held("far", 0, 1e9),
        held("far", 1, 2e9),
    ];
    check(&two, &rows, &[]);
    let mut rows = rows.to_vec();
    rows[2] = app_row("near", &waits(0.3));
    let (events, mut forecaster) = show(&two, &rows);
    let units: Vec<String> = events.iter().map(|event| event.unit.to_string()).collect();
    assert_eq!(units, ["mem:0"]);
    let map = forecaster.map(moment(10), &two);
    assert!(
        map.entry(&"mem:1".parse().expect("a unit"))
            .is_some_and(|entry| entry.ongoing_since.is_none())
    );
}

/// Waiting for a disk, of an app that works in one part of it.
#[test]
fn a_range_of_a_disk_is_contended_by_those_who_work_there() {
    let one = apps(&[("db", Class::Standard, None)]);
    let range = |from: u64, read: f64| {
        let values = [(Field::RangeRead, read), (Field::RangeWrite, 0.0)];
        row(
            Entity::DiskRange(Arc::from("vda"), from << 30, (from + 64) << 30),
            &values,
        )
    };
    let own = |from: u64, read: f64| {
        let entity = Entity::AppRange(
            AppName::new("db"),
            Arc::from("vda"),
            from << 30,
            (from + 64) << 30,
        );
        row(
            entity,
            &[(Field::AppRangeRead, read), (Field::AppRangeWrite, 0.0)],
        )
    };
    let rows = [
        app_row("db", &[(Field::IoWaiting, 0.8)]),
        range(0, 5e7),
        range(64, 1e6),
        own(0, 5e7),
        own(64, 0.0),
    ];
    check(&one, &rows, &["disk:vda@0-64G"]);
}

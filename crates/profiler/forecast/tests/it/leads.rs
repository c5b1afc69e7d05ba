//! A chain of apps: what rises upstream tells when the downstream will be contended, and without the graph nothing
//! does. Timers: what they bring is learned, and named ahead.

use crate::sim::{Burst, START_UTC_MS, Seeded, Sim, limit_unit, managed};
use tidegate_forecast::{ForecastConfig, Forecaster};
use tidegate_types::{
    AppName, Apps, BootTime, Class, Dependency, DependencyOrigin, Entity, ExpectedEvent, Field, Moment, Row,
    Sample, Source, Unit,
};

fn edge(upstream: &str, downstream: &str) -> Dependency {
    Dependency {
        upstream: AppName::new(upstream),
        downstream: AppName::new(downstream),
        place: "tcp:5432".into(),
    }
}

/// Bursts of the front at random, and of the back `lag_s` later.
fn chain(seed: u64, lag_s: f64) -> (Sim, Vec<Burst>) {
    let mut random = Seeded(seed);
    let (mut at_s, mut front, mut back) = (60.0, Vec::new(), Vec::new());
    for _ in 0..30 {
        at_s += 40.0 + random.exponential(120.0);
        let burst = |at_s: f64, cores: f64| Burst {
            at_s,
            lasts_s: 6.0,
            cores,
        };
        front.push(burst(at_s, 0.4));
        back.push(burst(at_s + lag_s + random.between(-0.4, 0.4), 0.9));
    }
    let mut sim = Sim::new(seed);
    sim.add("front", 2.0, 0.05, front);
    sim.add("back", 0.5, 0.05, back.clone());
    (sim, back)
}

/// Share of the back's bursts, from the eighth on, that stand on the map with an onset two seconds before they come.
fn foreseen(seed: u64, lag_s: f64, edges: &[Dependency]) -> f64 {
    let (mut sim, bursts) = chain(seed, lag_s);
    let now = sim.now();
    sim.forecaster.depend(DependencyOrigin::Observed, edges, now);
    let (mut named, mut all) = (0.0, 0.0);
    for burst in &bursts[..] {
        while (sim.second as f64) < burst.at_s - 2.0 {
            sim.tick();
            if sim.forecaster.take_news() {
                let now = sim.now();
                sim.map = sim.forecaster.map(now, &sim.managed);
            }
        }
        if burst.at_s < bursts[8].at_s {
            continue;
        }
        all += 1.0;
        let Some(entry) = sim.entry("back") else { continue };
        let near = |onset_s: f64| (Sim::of_boot(onset_s) - burst.at_s).abs() < 2.5;
        let timed = entry.onset.is_some_and(|onset| near(onset.q50));
        if timed && entry.probability(60).is_some_and(|said| said > 0.6) {
            named += 1.0;
            let told = entry.source != Source::Upstream || entry.reason.contains("front upstream rose");
            assert!(told, "{}", entry.reason);
        }
    }
    named / all
}

#[test]
fn a_rise_upstream_puts_the_downstream_on_the_map_before_it_comes() {
    for (seed, lag_s) in [(1, 5.0), (2, 8.0), (3, 20.0)] {
        let with = foreseen(seed, lag_s, &[edge("front", "back")]);
        let without = foreseen(seed, lag_s, &[]);
        println!("lag {lag_s} s: foreseen {with:.2} with the graph, {without:.2} without");
        assert!(with >= 0.85, "{with}");
        assert!(without <= 0.1, "{without}");
    }
}

#[test]
fn a_lead_through_another_app_is_learned_too_and_reported() {
    let (mut sim, bursts) = chain(7, 6.0);
    sim.add("middle", 1.0, 0.02, Vec::new());
    let now = sim.now();
    let edges = [edge("front", "middle"), edge("middle", "back")];
    sim.forecaster.depend(DependencyOrigin::Observed, &edges, now);
    while (sim.second as f64) < bursts[12].at_s + 20.0 {
        sim.tick();
    }
    let bytes = postcard::to_stdvec(&sim.forecaster).expect("bytes");
    let again: tidegate_forecast::Forecaster = postcard::from_bytes(&bytes).expect("a forecaster");
    assert!(postcard::to_stdvec(&again).expect("bytes") == bytes);
    let direct = sim.forecaster.dependencies(&sim.managed);
    assert_eq!(direct.edges.len(), 2);
    assert_eq!(direct.edges[0].lag_s, None, "the middle is never contended");
    let now = sim.now();
    sim.forecaster.depend(
        DependencyOrigin::Declared,
        &[edge("front", "back"), edge("front", "gone")],
        now,
    );
    let report = sim.forecaster.dependencies(&sim.managed);
    let learned = report
        .edges
        .iter()
        .find(|edge| edge.downstream.as_str() == "back");
    let lag_s = learned.and_then(|edge| edge.lag_s).expect("a lag");
    assert!((lag_s - 6.0).abs() < 1.0, "{lag_s}");
    assert!(
        report.remarks[0].contains("`gone` is no app"),
        "{:?}",
        report.remarks
    );
}

#[test]
fn what_a_timer_brings_is_learned_and_stands_on_the_map_with_its_name() {
    let mut sim = Sim::new(3);
    let fires: Vec<f64> = (0..12).map(|number| 300.0 + f64::from(number) * 600.0).collect();
    // The hours are uneven, so that no period explains them.
    let fires: Vec<f64> = fires
        .iter()
        .enumerate()
        .map(|(n, at_s)| at_s + (n * n % 7) as f64 * 31.0)
        .collect();
    let bursts = fires.iter().map(|at_s| Burst {
        at_s: at_s + 1.5,
        lasts_s: 15.0,
        cores: 1.0,
    });
    sim.add("backup", 0.5, 0.02, bursts.collect());
    sim.add("idle", 0.5, 0.02, Vec::new());
    let firing = |name: &str, app: &str, at_s: f64| ExpectedEvent {
        name: name.into(),
        app: Some(AppName::new(app)),
        at_utc_ms: START_UTC_MS + (at_s * 1e3) as i64,
        place: "/etc/crontab:3".into(),
    };
    let mut firings: Vec<ExpectedEvent> = fires
        .iter()
        .map(|at_s| firing("nightly", "backup", *at_s))
        .collect();
    firings.extend(fires.iter().map(|at_s| firing("idle-job", "idle", *at_s)));
    let last = *fires.last().expect("a firing");
    while (sim.second as f64) < last - 40.0 {
        if sim.second.is_multiple_of(300) {
            let now = sim.now();
            sim.forecaster.expect(&firings, now);
        }
        sim.tick();
    }
    let entry = sim.map.entry(&limit_unit("backup")).expect("an entry");
    assert_eq!(entry.source, Source::Scheduled, "{}", entry.reason);
    assert!(entry.reason.contains("scheduled: nightly"), "{}", entry.reason);
    assert!(entry.probability(60).expect("a window") > 0.7, "{entry:?}");
    let onset = entry.onset.expect("an onset");
    assert!((Sim::of_boot(onset.q50) - last - 1.5).abs() < 2.0, "{onset:?}");
    assert!(
        sim.probability("idle", 60) < 0.1,
        "what brings nothing is believed less each time"
    );
}

/// A relay that takes hardly any CPU time: what it receives is the sign, and what follows is waiting for a disk.
#[test]
fn what_an_upstream_receives_leads_to_a_disk_downstream() {
    let apps: Apps = ["relay", "store", "other"]
        .map(|name| (AppName::new(name), managed(name, Class::Standard)))
        .into();
    let mut random = Seeded(11);
    let (mut onsets, mut at) = (Vec::new(), 120);
    for _ in 0..20 {
        at += 60 + random.exponential(150.0) as u64;
        onsets.push(at);
    }
    let mut forecaster = Forecaster::new(ForecastConfig::default());
    let moment = |second: u64| Moment {
        boot: BootTime::from_seconds(500.0 + second as f64),
        utc_ms: START_UTC_MS + second.cast_signed() * 1000,
    };
    forecaster.depend(DependencyOrigin::Observed, &[edge("relay", "store")], moment(0));
    let disk: Unit = "disk:vda".parse().expect("a unit");
    let mut foreseen = 0;
    for second in 1..=onsets[19] {
        let after = |lag: u64| {
            onsets
                .iter()
                .any(|onset| (onset + lag..onset + lag + 6).contains(&second))
        };
        let app = |name: &str, received: f64, waiting: f64| {
            let mut row = Row::empty(Entity::App(AppName::new(name)));
            row.set(Field::CpuUsage, 0.02);
            row.set(Field::AppReceive, received);
            row.set(Field::IoWaiting, waiting);
            row
        };
        let bytes = |name: &str, bytes: f64| {
            let mut row = Row::empty(Entity::AppDisk(AppName::new(name), "vda".into()));
            row.set(Field::AppDiskRead, bytes);
            row.set(Field::AppDiskWrite, 0.0);
            row
        };
        let rows = vec![
            Row::empty(Entity::Host),
            Row::empty(Entity::Disk("vda".into())),
            app("relay", if after(0) { 4e6 } else { 2e3 }, 0.0),
            app("store", 0.0, if after(8) { 0.7 } else { 0.0 }),
            app("other", 0.0, 0.0),
            bytes("store", if after(8) { 9e7 } else { 1e4 }),
        ];
        let mut sample = Sample {
            now: moment(second),
            interval_s: 1.0,
            rows,
        };
        sample.sort();
        forecaster.observe(&sample, &apps, &[]);
        // Four seconds after each rise, and before what follows, from the ninth on.
        if onsets[8..19].contains(&second.saturating_sub(4)) {
            let map = forecaster.map(sample.now, &apps);
            let entry = map.entry(&disk).expect("an entry");
            let near = entry
                .onset
                .is_some_and(|onset| (onset.q50 - 504.0 - second as f64).abs() < 2.0);
            foreseen += u32::from(near && entry.source == Source::Upstream);
        }
    }
    assert!(foreseen >= 9, "{foreseen} of 11");
}

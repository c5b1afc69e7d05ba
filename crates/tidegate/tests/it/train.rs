//! Training on recorded history: interrupted and gone on, taken up by a daemon, replayed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use crate::world::World;
use std::path::Path;
use tidegate_history::{Store, StoreConfig};
use tidegate_types::{
    AppName, BootTime, ContentionEvent, Entity, Field, Input, Moment, Output, Resource, Row, Sample,
    Treatment, Unit,
};

const DAYS: i64 = 3;
const APPS: i64 = 8;
const MINUTE_MS: i64 = 60_000;

/// Three days of eight apps up to an hour ago, a sample a minute. Each waits for a minute in every tenth step of five
/// minutes, and its load rises in the step before.
fn record(data: &Path) {
    let config = StoreConfig {
        boot_id: "before".into(),
        background: false,
        ..StoreConfig::default()
    };
    let (mut store, _) = Store::open(&data.join("history"), config).unwrap();
    let end_ms = now_ms() - 60 * MINUTE_MS;
    let begin_ms = (end_ms - DAYS * 86_400_000).div_euclid(50 * MINUTE_MS) * 50 * MINUTE_MS;
    for minute in 0..(end_ms - begin_ms) / MINUTE_MS {
        let now = Moment {
            boot: BootTime::from_seconds(1e4 + minute as f64 * 60.0),
            utc_ms: begin_ms + minute * MINUTE_MS,
        };
        let (mut rows, mut contention) = (Vec::new(), Vec::new());
        for app in 0..APPS {
            let name = AppName::new(&format!("group:/bed/app-{app}"));
            let step = minute.div_euclid(5) + app;
            let noise = (minute * 7919 + app * 104_729).rem_euclid(101) as f64 / 1000.0;
            let mut row = Row::empty(Entity::App(name.clone()));
            row.set(Field::CpuUsage, noise + if step % 10 == 9 { 0.6 } else { 0.3 });
            row.set(Field::CpuLimit, 1.0);
            rows.push(row);
            if step % 10 == 0 && minute % 5 == 2 {
                contention.push(ContentionEvent {
                    unit: Unit::Limit(name.clone(), Resource::Cpu),
                    begin: now.boot.plus_seconds(-30.0),
                    end: Some(now.boot),
                    treatment: Treatment::Untreated,
                    peak_waiting: 0.5,
                    apps: vec![name],
                });
            }
        }
        let mut sample = Sample {
            now,
            interval_s: 60.0,
            rows,
        };
        sample.sort();
        let input = Input {
            now,
            events: Vec::new(),
            sample: Some(sample),
        };
        let output = Output {
            contention,
            ..Output::default()
        };
        store.append_input(&input).unwrap();
        store.append_output(now, &output, b"{}").unwrap();
    }
    store.flush().unwrap();
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap()
}

fn candidate(world: &World) -> Option<Vec<u8>> {
    std::fs::read(world.path().join("data/training/candidate.tgpm")).ok()
}

fn train(world: &World, arguments: &[&str]) -> String {
    let output = world.verb("train", arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn training_may_be_interrupted_and_its_model_is_promoted_and_replayed() {
    let (whole, parts) = (World::new(), World::new());
    std::fs::create_dir_all(whole.path().join("data")).unwrap();
    record(&whole.path().join("data"));
    // A copy: recorded a moment later, it would hold other minutes.
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(whole.path().join("data"))
        .arg(parts.path())
        .status();
    assert!(copied.unwrap().success());
    let said = train(&whole, &[]);
    assert!(said.contains("it is better"), "{said}");
    let mut rounds = 0;
    while train(&parts, &["--cpu-seconds", "0"]).contains("the next training goes on") {
        rounds += 1;
        assert!(rounds < 100 && candidate(&parts).is_none());
    }
    assert!(rounds > 3, "{rounds}");
    assert!(
        candidate(&whole).is_some() && candidate(&whole) == candidate(&parts),
        "another model"
    );
    let daemon = parts.run(&[]);
    parts.wait_for_apps();
    let taken = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        candidate(&parts).is_none()
    });
    assert!(taken, "the daemon did not take it up");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(daemon.stop(), Some(0));
    let report = parts.json("replay", &["--since", "10m"]);
    assert!(report["plans_compared"].as_u64() > Some(3), "{report}");
    assert_eq!(report["plans_compared"], report["plans_equal"], "{report}");
    let shown = parts.verb("calibration", &[]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("last training: trained on"));
    // What is in force now is as good as what the same rows give again.
    assert!(train(&parts, &[]).contains("not better"));
}

#[test]
fn a_host_without_history_says_what_is_missing() {
    let world = World::new();
    std::fs::create_dir_all(world.path().join("data")).unwrap();
    assert!(train(&world, &[]).contains("too little to learn from: 0 untreated rows"));
}

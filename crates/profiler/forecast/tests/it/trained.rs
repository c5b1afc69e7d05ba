//! The trained model on the map, starts from similar apps, and apps under other names.

use crate::sim::{Beat, Burst, Seeded, Sim, limit_unit};
use std::sync::Arc;
use tidegate_forecast::models::peaks::PeakModel;
use tidegate_types::{AppName, MapEntry, Source};

fn with_model(seed: u64) -> Sim {
    let mut sim = Sim::new(seed);
    let name = Arc::from("shipped");
    let model = PeakModel::shipped().expect("it was trained for these features");
    sim.forecaster.supply(&name, Arc::new(model));
    sim.forecaster.promote(&name);
    sim
}

/// Demand that rises by steps of a minute, to `cores` at the end.
fn rising(minutes: u32, cores: f64) -> Vec<Burst> {
    let step = |minute: u32| Burst {
        at_s: f64::from(minute) * 60.0,
        lasts_s: 60.0,
        cores: cores * f64::from(minute) / f64::from(minutes),
    };
    (1..minutes).map(step).collect()
}

fn entry<'a>(sim: &'a Sim, name: &str) -> &'a MapEntry {
    sim.map.entry(&limit_unit(name)).expect("an entry")
}

#[test]
fn the_first_hour_is_not_blind_and_says_whose_word_it_is() {
    let mut sim = with_model(3);
    sim.add("rising", 1.0, 0.02, rising(60, 1.0));
    sim.add("calm", 1.0, 0.05, Vec::new());
    let mut blind = Sim::new(3);
    blind.add("rising", 1.0, 0.02, rising(60, 1.0));
    blind.add("calm", 1.0, 0.05, Vec::new());
    for _ in 0..2700 {
        sim.tick();
        blind.tick();
    }
    let (rising, calm) = (entry(&sim, "rising"), entry(&sim, "calm"));
    assert_eq!(rising.source, Source::Trained);
    assert!(
        rising.reason.starts_with("shipped model, not yet trained here"),
        "{}",
        rising.reason
    );
    assert!(!rising.trained && rising.onset.is_none());
    let of = |entry: &MapEntry| entry.windows[3].probability;
    let without = of(entry(&blind, "rising"));
    assert!(
        of(rising) > 0.2 && of(rising) > 2.0 * without,
        "{} {without}",
        of(rising)
    );
    assert!(of(calm) < 0.1 && of(calm) < 0.3 * of(rising), "{}", of(calm));
    let probabilities = rising.windows.iter().map(|window| window.probability);
    assert!(probabilities.is_sorted());
    let peak = rising.peak.expect("a peak");
    assert!(
        peak.q10 <= peak.q50 && peak.q50 <= peak.q90 && peak.q10 < 1.0,
        "{peak:?}"
    );
    assert!(peak.q90 > calm_peak(&sim), "{peak:?}");
}

fn calm_peak(sim: &Sim) -> f64 {
    entry(sim, "calm").peak.expect("a peak").q90
}

#[test]
fn what_repeats_stays_the_pattern_s_business() {
    let mut sim = with_model(5);
    let beat = Beat {
        first_s: 40.0,
        period_s: 120.0,
        jitter_s: 2.0,
        skip: 0.0,
        lasts_s: 8.0,
        cores: 0.9,
    };
    sim.add("beat", 0.6, 0.1, beat.bursts(30, &mut Seeded(5)));
    sim.add("other", 0.6, 0.1, Vec::new());
    let (mut early, mut late, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for second in 0..3600_u64 {
        sim.tick();
        let since = (second + 120 - 40) % 120;
        if second < 40 + 120 * 6 || second % 10 != 5 || sim.busy("beat") {
            continue;
        }
        let said = entry(&sim, "beat").windows[0].probability;
        match 120 - since {
            80..=100 => early.push(said),
            10..=45 => late.push(said),
            _ => {}
        }
        other.push(entry(&sim, "other").windows[0].probability);
    }
    let mean = |said: &[f64]| said.iter().sum::<f64>() / said.len() as f64;
    assert!(mean(&early) < 0.2 && mean(&late) > 0.8, "{early:?} {late:?}");
    assert!(other.iter().all(|said| *said < 0.1), "{other:?}");
}

#[test]
fn a_checkpoint_with_the_model_gives_the_same_maps() {
    let mut sim = with_model(7);
    sim.add("rising", 1.0, 0.02, rising(30, 1.0));
    for _ in 0..900 {
        sim.tick();
    }
    let bytes = postcard::to_stdvec(&sim.forecaster).expect("bytes");
    let mut again: tidegate_forecast::Forecaster = postcard::from_bytes(&bytes).expect("a state");
    let needed = again.needed();
    assert_eq!(needed.len(), 1);
    let model = PeakModel::shipped().expect("it is read");
    again.supply(&needed[0], Arc::new(model));
    for _ in 0..200 {
        sim.tick();
        again.observe(&sim.seen, &sim.managed, &[]);
        if sim.map.made == sim.now() {
            assert_eq!(again.map(sim.now(), &sim.managed), sim.map);
        }
    }
}

fn named(sim: &mut Sim, name: &str, executable: &str) {
    let managed = sim.managed.get_mut(&AppName::new(name)).expect("an app");
    managed.app.executable = Some(executable.into());
    managed.app.user = Some("web".into());
    managed.app.parent = Some(AppName::new("pool"));
}

#[test]
fn a_new_app_starts_from_those_like_it_and_says_so() {
    let mut sim = with_model(11);
    let mut random = Seeded(11);
    let mut bursts = Vec::new();
    let mut at_s = 100.0;
    while at_s < 4200.0 {
        bursts.push(Burst {
            at_s,
            lasts_s: 6.0,
            cores: 0.9,
        });
        at_s += 60.0 + random.exponential(240.0);
    }
    sim.add("web-1", 0.6, 0.1, bursts);
    sim.add("other-1", 0.6, 0.1, Vec::new());
    named(&mut sim, "web-1", "/usr/bin/web");
    named(&mut sim, "other-1", "/usr/bin/other");
    for _ in 0..4200 {
        sim.tick();
    }
    for (name, executable) in [("web-2", "/usr/bin/web"), ("other-2", "/usr/bin/other")] {
        sim.add(name, 0.8, 0.1, Vec::new());
        named(&mut sim, name, executable);
    }
    for _ in 0..20 {
        sim.tick();
    }
    let (like, unlike) = (entry(&sim, "web-2"), entry(&sim, "other-2"));
    assert!(
        like.reason
            .contains("taken to be like web-1 (the same executable)"),
        "{}",
        like.reason
    );
    assert!(unlike.reason.contains("like other-1"), "{}", unlike.reason);
    let of = |entry: &MapEntry| entry.windows[3].probability;
    assert!(of(like) > 3.0 * of(unlike), "{} {}", of(like), of(unlike));
    assert!(!like.trained && like.confidence < entry(&sim, "other-1").confidence);
}

#[test]
fn an_app_under_another_name_keeps_its_past() {
    let beat = Beat {
        first_s: 40.0,
        period_s: 60.0,
        jitter_s: 0.5,
        skip: 0.0,
        lasts_s: 6.0,
        cores: 0.9,
    };
    let mut sim = with_model(13);
    sim.add("old", 0.6, 0.1, beat.bursts(40, &mut Seeded(13)));
    named(&mut sim, "old", "/usr/bin/web");
    for _ in 0..900 {
        sim.tick();
    }
    let known = entry(&sim, "old").clone();
    assert_eq!(known.source, Source::Periodic);
    sim.rename("old", "new");
    for _ in 0..20 {
        sim.tick();
    }
    let renamed = entry(&sim, "new");
    assert_eq!(renamed.source, Source::Periodic, "{}", renamed.reason);
    assert!(sim.map.entry(&limit_unit("old")).is_none());
    let notices = sim.forecaster.take_notices();
    assert!(
        notices
            .iter()
            .any(|notice| notice.text.contains("new is taken to be old")),
        "{notices:?}"
    );
}

#[test]
fn another_app_that_comes_later_does_not_inherit() {
    let mut sim = with_model(17);
    sim.add("old", 0.6, 0.1, Vec::new());
    named(&mut sim, "old", "/usr/bin/web");
    for _ in 0..30 {
        sim.tick();
    }
    let managed = sim.managed.remove(&AppName::new("old")).expect("an app");
    sim.apps.clear();
    sim.forecaster.app_went(managed.app.clone(), sim.now());
    for _ in 0..90 {
        sim.tick();
    }
    let mut app = managed.app;
    app.name = AppName::new("new");
    sim.forecaster.app_came(&app, sim.now());
    let notices = sim.forecaster.take_notices();
    assert!(
        !notices.iter().any(|notice| notice.text.contains("another name")),
        "{notices:?}"
    );
}

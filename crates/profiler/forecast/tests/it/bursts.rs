//! Untreated bursts: foreseen while they repeat, forgotten when they stop, not invented on noise.

use crate::sim::{Beat, Burst, Seeded, Sim, limit_unit};
use tidegate_types::{Source, Treatment};

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Bursts that are judged, after those that are learned from: the fourth one is the first.
const LEARNED: usize = 3;

/// Counts of the maps that were as they must be.
#[derive(Default)]
struct Verdict {
    high: u32,
    high_all: u32,
    low: u32,
    low_all: u32,
    errors_s: Vec<f64>,
    /// Squared errors of P and of the share of maps with an onset within the minute.
    loss: f64,
    came: f64,
    scored: f64,
}

impl Verdict {
    /// Judges the map that was just made, where one was.
    fn look(&mut self, sim: &Sim, bursts: &[Burst]) {
        let now_s = sim.second as f64;
        let next = bursts.partition_point(|burst| burst.at_s < now_s);
        let fresh = (sim.map.made.boot.seconds() - sim.now().boot.seconds()).abs() < 0.5;
        if next < LEARNED || next == bursts.len() || !fresh || sim.busy("web") {
            return;
        }
        let ahead_s = bursts[next].at_s - now_s;
        let probability = sim.probability("web", 60);
        let came = f64::from(u8::from(ahead_s <= 60.0));
        self.loss += (probability - came).powi(2);
        self.came += came;
        self.scored += 1.0;
        if (5.0..=50.0).contains(&ahead_s) {
            self.high_all += 1;
            self.high += u32::from(probability > 0.8);
            if probability <= 0.8 {
                println!(
                    "burst {}: P = {probability:.3} at {ahead_s:.1} s before it",
                    next + 1
                );
            }
            let onset = sim.entry("web").and_then(|entry| entry.onset);
            let error_s = onset.map_or(f64::INFINITY, |onset| {
                (Sim::of_boot(onset.q50) - bursts[next].at_s).abs()
            });
            self.errors_s.push(error_s);
        } else if ahead_s >= 75.0 {
            self.low_all += 1;
            self.low += u32::from(probability < 0.2);
        }
    }

    fn brier_skill(&self) -> f64 {
        let rate = self.came / self.scored;
        1.0 - self.loss / self.scored / (rate * (1.0 - rate))
    }
}

/// Bursts of 8 s, the period drawn from 90 to 150 s, ±2 s, fifty times: the one-minute window is high from 50 s to 5 s
/// before each, low far from the next, and low within three periods once they stop; another app's limit is left in
/// peace.
#[test]
fn repeating_bursts_are_on_the_map_before_they_come() {
    let mut random = Seeded(42);
    let mut verdict = Verdict::default();
    for seed in 0..50 {
        let period_s = random.between(90.0, 150.0);
        let beat = Beat {
            first_s: 40.0,
            period_s,
            jitter_s: 2.0,
            skip: 0.0,
            lasts_s: 8.0,
            cores: 0.9,
        };
        let bursts = beat.bursts(8, &mut random);
        let mut sim = Sim::new(seed);
        sim.add("web", 0.6, 0.1, bursts.clone());
        sim.add("other", 0.6, 0.2, Vec::new());
        let last_s = bursts.last().expect("bursts").at_s;
        while (sim.second as f64) < last_s + 3.0 * period_s {
            sim.tick();
            assert!(
                sim.probability("other", 3600) < 0.1,
                "another app is left in peace"
            );
            verdict.look(&sim, &bursts);
        }
        let forgotten = sim.probability("web", 60);
        assert!(forgotten < 0.2, "seed {seed}: not forgotten: {forgotten}");
    }
    let (typical_s, skill) = (median(&mut verdict.errors_s.clone()), verdict.brier_skill());
    let Verdict {
        high,
        high_all,
        low,
        low_all,
        ..
    } = verdict;
    println!(
        "before bursts P>0.8 in {high} of {high_all}; far from them P<0.2 in {low} of {low_all}; \
         onset error {typical_s:.2} s; Brier skill {skill:.3}"
    );
    assert_eq!((high, low), (high_all, low_all));
    assert!(typical_s <= 2.0 && skill > 0.8);
}

/// Period 45 s, crowds of 6 s, ±0.5 s, one in six missing.
#[test]
fn crowds_with_some_missing_are_foreseen_to_the_second() {
    let (mut foreseen, mut all, mut early, mut late, mut errors_s) = (0_u32, 0_u32, 0_u32, 0_u32, Vec::new());
    for seed in 0..8 {
        let mut random = Seeded(100 + seed);
        let beat = Beat {
            first_s: 30.0,
            period_s: 45.0,
            jitter_s: 0.5,
            skip: 1.0 / 6.0,
            lasts_s: 6.0,
            cores: 0.7,
        };
        let bursts = beat.bursts(60, &mut random);
        let mut sim = Sim::new(seed);
        sim.add("web", 0.6, 0.1, bursts.clone());
        let mut before = None;
        for burst in &bursts {
            while (sim.second as f64) < burst.at_s - 3.0 {
                sim.tick();
                before = sim
                    .entry("web")
                    .filter(|entry| entry.ongoing_since.is_none())
                    .cloned();
            }
            if burst.at_s < 500.0 {
                continue;
            }
            all += 1;
            let onset = before.as_ref().and_then(|entry| entry.onset);
            let probability = before
                .as_ref()
                .and_then(|entry| entry.probability(60))
                .unwrap_or(0.0);
            if let Some(onset) = onset.filter(|onset| (Sim::of_boot(onset.q50) - burst.at_s).abs() < 5.0) {
                foreseen += u32::from(probability > 0.5);
                early += u32::from(burst.at_s < Sim::of_boot(onset.q10));
                late += u32::from(burst.at_s > Sim::of_boot(onset.q90));
                errors_s.push((Sim::of_boot(onset.q50) - burst.at_s).abs());
            }
        }
    }
    let typical_s = median(&mut errors_s);
    println!(
        "{foreseen} of {all} crowds foreseen, {early} before q10, {late} after q90, error {typical_s:.2} s"
    );
    assert!(f64::from(foreseen) > 0.93 * f64::from(all));
    assert!(f64::from(early) < 0.2 * f64::from(all) && f64::from(late) < 0.2 * f64::from(all));
    assert!(typical_s < 0.5);
}

/// Bursts at random: hardly an onset is named, and no skill is claimed for long.
#[test]
fn on_noise_there_are_few_false_alarms() {
    let (mut alarms, mut looks, mut ours, mut theirs, mut rows) = (0_u32, 0_u32, 0.0, 0.0, 0.0);
    for seed in 0..4 {
        let mut random = Seeded(1000 + seed);
        let mut at_s = 50.0;
        let mut bursts = Vec::new();
        while at_s < 7000.0 {
            bursts.push(Burst {
                at_s,
                lasts_s: 6.0,
                cores: 0.9,
            });
            at_s += 15.0 + random.exponential(100.0);
        }
        let mut sim = Sim::new(seed);
        sim.add("web", 0.6, 0.1, bursts.clone());
        while sim.second < 7000 {
            sim.tick();
            let (now_s, probability) = (sim.second as f64, sim.probability("web", 60));
            let entry = sim.entry("web");
            let acts = entry.is_some_and(|entry| {
                entry.onset.is_some() && entry.ongoing_since.is_none() && !entry.demoted && probability > 0.5
            });
            if now_s > 600.0 && sim.second.is_multiple_of(10) {
                looks += 1;
                alarms += u32::from(acts);
            }
        }
        let unit = limit_unit("web");
        let score = sim
            .forecaster
            .scores()
            .into_iter()
            .find(|score| score.unit == unit)
            .expect("a score");
        ours += score.windows[0].brier * score.windows[0].worth;
        theirs += score.windows[0].climatology_brier * score.windows[0].worth;
        rows += score.windows[0].worth;
    }
    println!(
        "noise: an onset named with P>0.5 in {alarms} of {looks} looks; Brier {:.3} against climatology's {:.3}",
        ours / rows,
        theirs / rows
    );
    assert!(f64::from(alarms) < 0.08 * f64::from(looks));
    assert!(ours < 1.1 * theirs, "no worse than climatology");
}

#[test]
fn windows_are_nested_and_outcomes_are_scored_as_untreated() {
    let mut random = Seeded(5);
    let beat = Beat {
        first_s: 40.0,
        period_s: 70.0,
        jitter_s: 1.0,
        skip: 0.1,
        lasts_s: 6.0,
        cores: 0.9,
    };
    let mut sim = Sim::new(5);
    sim.add("web", 0.6, 0.1, beat.bursts(20, &mut random));
    while sim.second < 1500 {
        sim.tick();
        for entry in &sim.map.entries {
            let mut before = 0.0;
            for window in &entry.windows {
                assert!((0.0..=1.0).contains(&window.probability) && window.probability >= before);
                before = window.probability;
            }
            assert!((0.0..=1.0).contains(&entry.confidence));
        }
    }
    let entry = sim.entry("web").expect("an entry");
    assert!(entry.trained && entry.drivers[0].share == 1.0);
    let peak = entry.peak.expect("a peak");
    assert!(
        peak.q10 >= 0.59 && peak.q90 >= 1.0,
        "a limit hides how much: {peak:?}"
    );
    assert!(
        sim.outcomes
            .iter()
            .any(|outcome| outcome.source == Source::Periodic)
    );
    assert!(
        sim.outcomes
            .iter()
            .all(|outcome| outcome.treatment == Treatment::Untreated)
    );
    assert!(sim.outcomes.iter().any(|outcome| outcome.onset_error_s.is_some()));
}

/// Bursts that look like a beat for a while and then break off: the unit is demoted, says so, names no onset, and is
/// promoted again once the beat stays.
#[test]
fn a_unit_without_skill_is_demoted_and_earns_its_way_back() {
    let mut random = Seeded(31);
    let mut bursts = Vec::new();
    let mut at_s = 50.0;
    while at_s < 12_000.0 {
        for _ in 0..3 {
            bursts.push(Burst {
                at_s,
                lasts_s: 5.0,
                cores: 0.9,
            });
            at_s += 80.0;
        }
        at_s += random.between(30.0, 500.0);
    }
    let steady_from_s = at_s;
    while at_s < steady_from_s + 6000.0 {
        bursts.push(Burst {
            at_s,
            lasts_s: 5.0,
            cores: 0.9,
        });
        at_s += 80.0;
    }
    let mut sim = Sim::new(31);
    sim.add("web", 0.6, 0.1, bursts);
    let (mut demoted_s, mut promoted_s) = (None, None);
    while (sim.second as f64) < at_s {
        sim.tick();
        let Some(entry) = sim.entry("web").cloned() else {
            continue;
        };
        let now_s = sim.second as f64;
        if entry.demoted {
            demoted_s.get_or_insert(now_s);
            assert_eq!(entry.source, Source::Reactive);
            assert!(
                entry.onset.is_none() || entry.ongoing_since.is_some(),
                "{entry:?}"
            );
        } else if demoted_s.is_some() && now_s > steady_from_s {
            promoted_s.get_or_insert(now_s);
        }
    }
    let notices = sim.forecaster.take_notices();
    println!(
        "demoted at {demoted_s:?} s, steady from {steady_from_s:.0} s, promoted at {promoted_s:?} s: {notices:?}"
    );
    assert!(demoted_s.is_some_and(|at_s| at_s < steady_from_s));
    assert!(promoted_s.is_some_and(|at_s| at_s < steady_from_s + 3000.0));
    assert!(notices.len() >= 2 && notices[0].text.contains("limit:web/cpu"));
}

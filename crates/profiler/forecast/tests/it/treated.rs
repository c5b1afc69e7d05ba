//! Bursts that a lease prevents: still events, still foreseen, and no reason to be demoted.

use crate::sim::{Beat, Burst, Seeded, Sim};
use tidegate_types::Treatment;

/// Raises the limit before each onset that is foreseen; returns how many true bursts were covered in time.
fn run(sim: &mut Sim, bursts: &[Burst], until_s: f64, act_from_s: f64) -> (u32, u32, u32) {
    let (mut covered, mut bursts_seen, mut leases) = (0, 0, 0);
    let mut next_burst = 0;
    while (sim.second as f64) < until_s {
        sim.tick();
        let now_s = 1000.0 + sim.second as f64;
        if let Some(burst) = bursts
            .get(next_burst)
            .filter(|burst| burst.at_s + 2.0 <= sim.second as f64)
        {
            let onset_s = 1000.0 + burst.at_s;
            let in_time = sim
                .leases
                .iter()
                .any(|lease| lease.start.seconds() <= onset_s && onset_s < lease.end.seconds());
            if burst.at_s > act_from_s {
                bursts_seen += 1;
                covered += u32::from(in_time);
            }
            next_burst += 1;
        }
        let Some(entry) = sim.entry("web").cloned() else {
            continue;
        };
        let ongoing = entry.ongoing_since.is_some();
        if sim.second as f64 <= act_from_s || entry.demoted {
            continue;
        }
        if let Some(ended) = sim.events.last().and_then(|event| event.end).filter(|_| !ongoing) {
            let ended_s = ended.seconds();
            sim.leases
                .retain(|lease| lease.start.seconds() > ended_s || lease.start.seconds() < ended_s - 200.0);
        }
        let (Some(onset), Some(end)) = (entry.onset, entry.end) else {
            continue;
        };
        let held = sim.leases.iter().any(|lease| lease.end.seconds() > onset.q10);
        let within_s = (onset.q90 - now_s).max(0.0).ceil() as u32;
        if !ongoing && !held && entry.probability(within_s) >= Some(0.5) && onset.q10 - now_s < 60.0 {
            let lease = sim.lease("web", 2.0, onset.q10 - 0.2, end.q90, entry.id);
            sim.leases.push(lease);
            leases += 1;
        }
    }
    (covered, bursts_seen, leases)
}

#[test]
fn five_hundred_prevented_bursts_stay_foreseen() {
    let mut random = Seeded(9);
    let beat = Beat {
        first_s: 30.0,
        period_s: 45.0,
        jitter_s: 0.5,
        skip: 0.0,
        lasts_s: 6.0,
        cores: 1.0,
    };
    let bursts = beat.bursts(512, &mut random);
    let mut sim = Sim::new(9);
    sim.add("web", 0.6, 0.1, bursts.clone());
    let until_s = bursts.last().expect("bursts").at_s - 20.0;
    let (covered, seen, leases) = run(&mut sim, &bursts, until_s, 400.0);
    println!("{covered} of {seen} bursts covered by {leases} leases");
    assert!(
        seen > 490 && f64::from(covered) > 0.85 * f64::from(seen),
        "{covered} of {seen}"
    );
    let entry = sim.entry("web").expect("an entry");
    let peak = entry.peak.expect("a peak");
    assert!(
        (peak.q50 / 1.1 - 1.0).abs() < 0.2,
        "demand was seen whole under the leases: {peak:?}"
    );
    assert!(!entry.demoted && entry.probability(60) > Some(0.8), "{entry:?}");
    assert!(sim.forecaster.take_notices().is_empty());
    let treated = sim
        .events
        .iter()
        .filter(|event| event.treatment == Treatment::Treated)
        .count();
    assert!(treated > 700, "both begin and end of each are said: {treated}");
}

#[test]
fn treated_bursts_that_stop_are_forgotten_too() {
    let mut random = Seeded(19);
    let beat = Beat {
        first_s: 30.0,
        period_s: 45.0,
        jitter_s: 0.5,
        skip: 1.0 / 6.0,
        lasts_s: 6.0,
        cores: 1.0,
    };
    let bursts = beat.bursts(60, &mut random);
    let mut sim = Sim::new(19);
    sim.add("web", 0.6, 0.1, bursts.clone());
    let last_s = bursts.last().expect("bursts").at_s;
    let (covered, seen, leases) = run(&mut sim, &bursts, last_s + 10.0, 400.0);
    println!("{covered} of {seen} crowds covered by {leases} leases, one in six missing");
    assert!(f64::from(covered) > 0.8 * f64::from(seen));
    run(&mut sim, &bursts, last_s + 4.3 * 45.0, 400.0);
    assert!(sim.probability("web", 60) < 0.2, "{}", sim.probability("web", 60));
}

/// While a lease is on and no crowd comes, the outcome is treated and does not count as untreated quiet.
#[test]
fn a_lease_without_a_crowd_is_a_treated_outcome() {
    let mut sim = Sim::new(3);
    sim.add("web", 0.6, 0.1, Vec::new());
    while sim.second < 200 {
        sim.tick();
        if sim.second == 100 {
            let lease = sim.lease("web", 2.0, 1110.0, 1120.0, tidegate_types::PredictionId(1));
            sim.leases.push(lease);
        }
    }
    let closed = || sim.outcomes.iter().filter(|outcome| outcome.window_s == 60);
    assert!(closed().count() >= 2);
    for outcome in closed() {
        let made_s = outcome.made.seconds();
        let leased = made_s < 1120.0 && made_s + 60.0 > 1110.0;
        let expect = if leased {
            Treatment::Treated
        } else {
            Treatment::Untreated
        };
        assert_eq!(
            (outcome.happened, outcome.treatment),
            (Some(false), expect),
            "made at {made_s}"
        );
    }
    assert!(closed().any(|outcome| outcome.treatment == Treatment::Treated));
    assert!(sim.events.is_empty());
}

/// The crowds of the demo, over many seeds: how many are covered in time, how late the others, how many leases in vain.
#[test]
fn crowds_with_some_missing_are_covered_over_many_seeds() {
    for (jitter_s, least) in [(0.0, 0.9), (0.5, 0.85), (2.0, 0.8)] {
        let (mut covered, mut seen, mut leases) = (0, 0, 0);
        for seed in 0..8 {
            let mut random = Seeded(3000 + seed);
            let beat = Beat {
                first_s: random.between(10.0, 40.0),
                period_s: 45.0,
                jitter_s,
                skip: 1.0 / 6.0,
                lasts_s: 6.0,
                cores: 1.0,
            };
            let bursts = beat.bursts(50, &mut random);
            let mut sim = Sim::new(seed);
            sim.add("web", 0.6, 0.1, bursts.clone());
            let last_s = bursts.last().expect("bursts").at_s;
            let (in_time, all, asked) = run(&mut sim, &bursts, last_s + 10.0, 400.0);
            covered += in_time;
            seen += all;
            leases += asked;
        }
        println!("±{jitter_s} s: {covered} of {seen} crowds covered by {leases} leases");
        assert!(f64::from(covered) > least * f64::from(seen));
    }
}

/// Crowds with as many stray bursts between them as are missing: the beat is still followed.
#[test]
fn stray_bursts_do_not_hide_the_beat() {
    let (mut covered, mut seen, mut leases) = (0, 0, 0);
    for seed in 0..6 {
        let mut random = Seeded(4000 + seed);
        let beat = Beat {
            first_s: 30.0,
            period_s: 60.0,
            jitter_s: 0.5,
            skip: 1.0 / 6.0,
            lasts_s: 6.0,
            cores: 1.0,
        };
        let crowds = beat.bursts(50, &mut random);
        let mut bursts = crowds.clone();
        let mut at_s = 100.0;
        while at_s < 3000.0 {
            let apart = crowds
                .iter()
                .all(|crowd: &Burst| (crowd.at_s - at_s).abs() > 12.0);
            if apart {
                bursts.push(Burst {
                    at_s,
                    lasts_s: 5.0,
                    cores: 1.0,
                });
            }
            at_s += 30.0 + random.exponential(180.0);
        }
        bursts.sort_by(|left, right| left.at_s.total_cmp(&right.at_s));
        let mut sim = Sim::new(seed);
        sim.add("web", 0.6, 0.1, bursts);
        let last_s = crowds.last().expect("crowds").at_s;
        let (in_time, all, asked) = run(&mut sim, &crowds, last_s + 10.0, 600.0);
        covered += in_time;
        seen += all;
        leases += asked;
    }
    println!("with strays: {covered} of {seen} crowds covered by {leases} leases");
    assert!(f64::from(covered) > 0.8 * f64::from(seen));
}

/// On bursts at random, acting on the forecast costs few leases in vain: less than one for four bursts.
#[test]
fn on_noise_hardly_anything_is_done_in_vain() {
    let (mut covered, mut seen, mut leases) = (0, 0, 0);
    for seed in 0..6 {
        let mut random = Seeded(5000 + seed);
        let mut bursts = Vec::new();
        let mut at_s = 50.0;
        while at_s < 6000.0 {
            bursts.push(Burst {
                at_s,
                lasts_s: 6.0,
                cores: 1.0,
            });
            at_s += 15.0 + random.exponential(100.0);
        }
        let mut sim = Sim::new(seed);
        sim.add("web", 0.6, 0.1, bursts.clone());
        let (in_time, all, asked) = run(&mut sim, &bursts, 6000.0, 300.0);
        covered += in_time;
        seen += all;
        leases += asked;
    }
    println!("noise: {leases} leases for {seen} bursts, {covered} of them in time");
    assert!(leases < seen / 4, "{leases} for {seen}");
}

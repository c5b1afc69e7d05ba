//! Patterns on simulated onsets: hits, calibration of the quantiles, stopping, noise.

use super::*;
use crate::models::gbdt::Random;

struct Tally {
    early: u32,
    late: u32,
    predicted: u32,
    unpredicted: u32,
    probability_sum: f64,
    errors_s: Vec<f64>,
}

/// Runs `slots` slots of a beat; asks for the next slot 10 s before each one.
fn run(period_s: f64, jitter_s: f64, skip: f64, slots: u32, seed: u64) -> Tally {
    let mut random = Random(seed);
    let mut periodic = Periodic::default();
    let mut tally = Tally {
        early: 0,
        late: 0,
        predicted: 0,
        unpredicted: 0,
        probability_sum: 0.0,
        errors_s: vec![],
    };
    for slot in 0..slots {
        let beat_s = 100.0 + f64::from(slot) * period_s;
        let at_s = beat_s + (random.unit() * 2.0 - 1.0) * jitter_s;
        let missing = random.unit() < skip;
        periodic.advance(beat_s - 10.0);
        let expected = periodic.next(beat_s - 10.0).map(|expected| expected.slot);
        if slot >= 8 {
            tally.probability_sum += periodic.probability(beat_s - 10.0, beat_s + 10.0);
        }
        if missing {
            continue;
        }
        periodic.onset(at_s);
        if slot < 8 {
            continue;
        }
        match expected {
            Some(expected) if (expected.onset.q50 - at_s).abs() < 0.3 * period_s => {
                tally.predicted += 1;
                tally.early += u32::from(at_s < expected.onset.q10);
                tally.late += u32::from(at_s > expected.onset.q90);
                tally.errors_s.push(at_s - expected.onset.q50);
            }
            _ => tally.unpredicted += 1,
        }
    }
    tally
}

fn median(values: Vec<f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().map(f64::abs).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn quantiles_and_probability_are_calibrated_with_jitter_and_skips() {
    for (period_s, jitter_s, skip) in [
        (45.0, 0.5, 1.0 / 6.0),
        (45.0, 2.0, 1.0 / 6.0),
        (120.0, 2.0, 0.0),
        (300.0, 5.0, 0.1),
    ] {
        let (mut early, mut late, mut predicted, mut unpredicted, mut probability) = (0, 0, 0, 0, 0.0);
        let mut errors_s = Vec::new();
        for seed in 0..20 {
            let tally = run(period_s, jitter_s, skip, 208, seed);
            early += tally.early;
            late += tally.late;
            predicted += tally.predicted;
            unpredicted += tally.unpredicted;
            probability += tally.probability_sum;
            errors_s.extend(tally.errors_s);
        }
        let share = |count: u32| f64::from(count) / f64::from(predicted);
        let mean = probability / (20.0 * 200.0);
        println!(
            "{period_s} ±{jitter_s} skip {skip:.2}: early {:.3} late {:.3} hit {:.3} mean P {mean:.3} median error {:.2}",
            share(early),
            share(late),
            f64::from(predicted) / f64::from(predicted + unpredicted),
            median(errors_s)
        );
        assert!((0.06..0.14).contains(&share(early)), "early {}", share(early));
        assert!((0.06..0.14).contains(&share(late)), "late {}", share(late));
        let least = if skip > 0.0 { 0.94 } else { 0.99 };
        assert!(f64::from(predicted) > least * f64::from(predicted + unpredicted));
        // A little low on purpose: after a skipped slot a stop is possible.
        assert!(
            (-0.10..0.03).contains(&(mean - (1.0 - skip))),
            "mean probability {mean}"
        );
    }
}

#[test]
fn a_pattern_that_stops_is_forgotten_within_three_periods() {
    for (period_s, jitter_s, skip, repetitions) in [
        (45.0, 0.5, 1.0 / 6.0, 60),
        (120.0, 2.0, 0.0, 6),
        (120.0, 2.0, 0.0, 200),
    ] {
        let mut random = Random(7);
        let mut periodic = Periodic::default();
        let mut last_s = 0.0;
        for slot in 0..repetitions {
            let at_s = 50.0 + f64::from(slot) * period_s + (random.unit() * 2.0 - 1.0) * jitter_s;
            if random.unit() >= skip {
                periodic.advance(at_s);
                periodic.onset(at_s);
                last_s = at_s;
            }
        }
        assert!(periodic.probability(last_s + 5.0, last_s + 1.2 * period_s) > 0.7);
        let now_s = last_s + 3.0 * period_s + 0.2 * period_s;
        periodic.advance(now_s);
        let after = periodic.probability(now_s, now_s + period_s);
        println!("{period_s} after {repetitions}: P {after:.3}");
        assert!(after < 0.2, "{after}");
    }
}

#[test]
fn onsets_at_random_are_seldom_taken_for_a_pattern() {
    let (mut sure, mut asked, mut wrong) = (0_u32, 0_u32, 0.0);
    for seed in 100..120 {
        let mut random = Random(seed);
        let mut periodic = Periodic::default();
        let mut next_s = 100.0;
        for second in 0..20_000_u32 {
            let now_s = f64::from(second);
            if now_s >= next_s {
                periodic.onset(next_s);
                next_s += 20.0 - random.unit().max(1e-9).ln() * 100.0;
            }
            periodic.advance(now_s);
            if second % 10 == 0 {
                asked += 1;
                let probability = periodic.probability(now_s, now_s + 60.0);
                sure += u32::from(probability > 0.5);
                wrong += f64::from(u8::from(probability > 0.5 && next_s > now_s + 60.0));
            }
        }
    }
    let share = f64::from(sure) / f64::from(asked);
    println!(
        "random onsets: P > 0.5 in {share:.3} of the looks, {:.3} falsely",
        wrong / f64::from(asked)
    );
    assert!(share < 0.12, "{share}");
}

#[test]
fn a_timer_that_is_set_anew_is_followed() {
    let mut random = Random(3);
    let mut periodic = Periodic::default();
    let mut at_s = 100.0;
    let mut errors_s = Vec::new();
    for repetition in 0..100 {
        periodic.advance(at_s - 20.0);
        if repetition >= 20 {
            let expected = periodic.next(at_s - 20.0).expect("a pattern");
            errors_s.push(expected.slot.onset.q50 - at_s);
        }
        periodic.onset(at_s);
        at_s += 90.0 + (random.unit() * 2.0 - 1.0) * 4.0;
    }
    let typical_s = median(errors_s);
    assert!(typical_s < 2.5, "{typical_s}");
}

#[test]
fn two_patterns_live_side_by_side() {
    let mut onsets_s: Vec<f64> = (0..40).map(|step| 100.0 + f64::from(step) * 70.0).collect();
    onsets_s.extend((0..12).map(|step| 119.0 + f64::from(step) * 250.0));
    onsets_s.sort_by(f64::total_cmp);
    let mut periodic = Periodic::default();
    for at_s in onsets_s {
        periodic.advance(at_s);
        periodic.onset(at_s);
    }
    let mut periods: Vec<i64> = periodic
        .patterns
        .iter()
        .map(|pattern| pattern.period_s().round() as i64)
        .collect();
    periods.sort_unstable();
    assert_eq!(periods, [70, 250]);
}

#[test]
fn a_gap_is_neither_a_hit_nor_a_miss() {
    let mut periodic = Periodic::default();
    for step in 0..10 {
        periodic.onset(100.0 + f64::from(step) * 60.0);
    }
    let before = periodic.probability(650.0, 710.0);
    periodic.skip_to(3655.0);
    periodic.advance(3655.0);
    let after = periodic.probability(3655.0, 3715.0);
    assert!((before - after).abs() < 0.05, "{before} became {after}");
}

#[test]
fn a_daily_rhythm_follows_the_clock_on_the_wall_and_an_hourly_one_does_not_move() {
    const DAY_S: f64 = 86_400.0;
    for (period_s, moves_s) in [(DAY_S, -3600.0), (600.0, 0.0)] {
        let mut periodic = Periodic::default();
        for slot in 0..12 {
            let at_s = 1000.0 + f64::from(slot) * period_s + f64::from(slot % 3);
            periodic.advance(at_s);
            periodic.onset(at_s);
        }
        let now_s = 1000.0 + 11.2 * period_s;
        periodic.advance(now_s);
        let onset_s = |periodic: &Periodic| periodic.next(now_s).unwrap().slot.onset.q50;
        let before_s = onset_s(&periodic);
        periodic.follow_the_wall(3600.0);
        assert!(
            (onset_s(&periodic) - before_s - moves_s).abs() < 1.0,
            "{period_s}"
        );
    }
}

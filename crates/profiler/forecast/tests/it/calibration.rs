//! Whether probabilities mean what they say and confidence adds to them, over hosts of all kinds; and slow rhythms.

use crate::sim::{Beat, Burst, START_UTC_MS, Seeded, Sim, managed};
use tidegate_forecast::{ForecastConfig, Forecaster};
use tidegate_types::{
    AppName, Apps, BootTime, Class, Entity, Field, Moment, Outcome, Row, Sample, Treatment,
};

/// A host with a steady beat, a beat with holes and wide jitter, bursts at random, rare bursts, and none.
fn mixed_outcomes(seed: u64, seconds: u64) -> Vec<Outcome> {
    let mut random = Seeded(seed);
    let mut sim = Sim::new(seed);
    let count = |period_s: f64| (seconds as f64 / period_s) as u32;
    for (name, period_s, jitter_s, skip) in [("steady", 70.0, 1.0, 0.0), ("holes", 110.0, 4.0, 0.3)] {
        let beat = Beat {
            first_s: random.between(10.0, 100.0),
            period_s,
            jitter_s,
            skip,
            lasts_s: 6.0,
            cores: 0.9,
        };
        let bursts = beat.bursts(count(period_s), &mut random);
        sim.add(name, 0.6, 0.1, bursts);
    }
    for (name, mean_s) in [("random", 150.0), ("rare", 900.0)] {
        let mut bursts = Vec::new();
        let mut at_s = random.exponential(mean_s);
        while at_s < seconds as f64 {
            bursts.push(Burst {
                at_s,
                lasts_s: 6.0,
                cores: 0.9,
            });
            at_s += 10.0 + random.exponential(mean_s);
        }
        sim.add(name, 0.6, 0.1, bursts);
    }
    sim.add("calm", 0.6, 0.1, Vec::new());
    while sim.second < seconds {
        sim.tick();
    }
    sim.outcomes
}

fn log_loss(outcome: &Outcome) -> f64 {
    let probability = outcome.probability.clamp(1e-3, 1.0 - 1e-3);
    let happened = outcome.happened == Some(true);
    -(if happened { probability } else { 1.0 - probability }).ln()
}

/// Mean distance between what was said and what came, over tenths, weighted by count.
fn calibration_error(outcomes: &[&Outcome]) -> f64 {
    let mut bins = [(0.0, 0.0, 0.0); 10];
    for outcome in outcomes {
        let bin = &mut bins[((outcome.probability * 10.0) as usize).min(9)];
        bin.0 += 1.0;
        bin.1 += outcome.probability;
        bin.2 += f64::from(u8::from(outcome.happened == Some(true)));
    }
    let off: f64 = bins.iter().map(|(_, said, came)| (said - came).abs()).sum();
    off / outcomes.len() as f64
}

/// Within fifths of probability, the surer half against the less sure one.
fn surer_half_loss(outcomes: &[&Outcome]) -> (f64, f64) {
    let (mut surer, mut less, mut count) = (0.0, 0.0, 0.0);
    for fifth in 0..5 {
        let of_fifth = |outcome: &&&Outcome| ((outcome.probability * 5.0) as usize).min(4) == fifth;
        let mut matched: Vec<&&Outcome> = outcomes.iter().filter(of_fifth).collect();
        matched.sort_by(|left, right| left.confidence.total_cmp(&right.confidence));
        let half = matched.len() / 2;
        less += matched[..half]
            .iter()
            .map(|outcome| log_loss(outcome))
            .sum::<f64>();
        surer += matched[matched.len() - half..]
            .iter()
            .map(|outcome| log_loss(outcome))
            .sum::<f64>();
        count += half as f64;
    }
    (surer / count, less / count)
}

#[test]
fn probabilities_mean_what_they_say_and_confidence_adds_to_them() {
    let outcomes: Vec<Outcome> = (0..3).flat_map(|seed| mixed_outcomes(500 + seed, 5400)).collect();
    for (window_s, error_max) in [(60, 0.05), (300, 0.10)] {
        let scored: Vec<&Outcome> = outcomes
            .iter()
            .filter(|outcome| outcome.window_s == window_s && outcome.treatment == Treatment::Untreated)
            .filter(|outcome| outcome.made.seconds() > 1900.0)
            .collect();
        let error = calibration_error(&scored);
        let (surer, less) = surer_half_loss(&scored);
        let brier: f64 = scored
            .iter()
            .map(|outcome| {
                (outcome.probability - f64::from(u8::from(outcome.happened == Some(true)))).powi(2)
            })
            .sum::<f64>()
            / scored.len() as f64;
        println!(
            "{window_s} s: {} outcomes, calibration error {error:.3}, Brier {brier:.3}, log loss {surer:.3} surer, {less:.3} less sure",
            scored.len()
        );
        assert!(error < error_max, "{error}");
        assert!(surer < less, "{surer} {less}");
    }
}

/// A job of 40 s at 17 past every hour, give or take 3 s, is expected to the second by the fourth hour.
#[test]
fn an_hourly_job_is_expected() {
    let mut random = Seeded(77);
    let jobs: Vec<f64> = (0..9)
        .map(|hour| 1020.0 + 3600.0 * f64::from(hour) + random.between(-3.0, 3.0))
        .collect();
    let apps: Apps = [(AppName::new("report"), managed("report", Class::Standard))].into();
    let unit = "limit:report/cpu".parse().expect("a unit");
    let mut forecaster = Forecaster::new(ForecastConfig::default());
    let (mut expected, mut falsely) = (0, 0);
    for second in 1..32_000_u32 {
        let at_s = f64::from(second);
        let busy = jobs.iter().any(|job_s| (*job_s..job_s + 40.0).contains(&at_s));
        let mut row = Row::empty(Entity::App(AppName::new("report")));
        row.set(Field::CpuUsage, if busy { 0.5 } else { 0.05 });
        row.set(Field::CpuThrottled, if busy { 0.5 } else { 0.0 });
        row.set(Field::CpuLimit, 0.5);
        let now = Moment {
            boot: BootTime::from_seconds(at_s),
            utc_ms: START_UTC_MS + i64::from(second) * 1000,
        };
        let sample = Sample {
            now,
            interval_s: 1.0,
            rows: vec![row],
        };
        forecaster.observe(&sample, &apps, &[]);
        forecaster.take_outcomes();
        if second % 60 != 0 {
            continue;
        }
        let map = forecaster.map(now, &apps);
        let entry = map.entry(&unit).expect("an entry");
        let Some(next_s) = jobs[4..].iter().copied().find(|job_s| *job_s > at_s) else {
            continue;
        };
        let probability = entry.probability(300).unwrap_or(0.0);
        if at_s > jobs[3] + 200.0 && next_s - at_s > 400.0 {
            falsely += u32::from(probability > 0.2);
        }
        if (60.0..120.0).contains(&(next_s - at_s)) {
            let onset = entry.onset.expect("an onset");
            assert!(
                probability > 0.8,
                "{probability} before {next_s}: {}",
                entry.reason
            );
            assert!((onset.q50 - next_s).abs() < 8.0, "{onset:?} for {next_s}");
            expected += 1;
        }
    }
    println!("hourly: {expected} jobs expected, {falsely} looks falsely high");
    assert!(expected >= 4);
    assert!(falsely < 5, "{falsely}");
}

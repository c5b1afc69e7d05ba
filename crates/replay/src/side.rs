//! The peers' rules over one record, scored alike.
//!
//! The scores are those of Bashir et al., "Take it to the limit" (`EuroSys` 2021): the oracle is the highest use
//! that the apps present at a moment come to together within the horizon; a prediction below it is a violation;
//! its severity is the missing share; savings are what is not held, of what the apps may use. A rule that gives
//! each app its own predicts their sum; where it says nothing of an app, the app's limit counts. Beside these,
//! rules that give an app its own are scored each second: how often the app used more in the next one. What an
//! app used is no more than the limit it really had, so this is the least that would have been missing.

use crate::ReplayError;
use crate::policies::{self, Decision, Rule, Seen};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;
use tidegate_history::Reader;
use tidegate_types::{AppName, Sample};

/// How often a prediction is scored, as in the paper's five-minute samples.
const SCORE_EVERY_S: f64 = 300.0;

/// Seconds of a record that are held in memory at most: a week.
const MAX_SECONDS: usize = 7 * 86_400;

/// One rule's score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleScore {
    /// The rule's name.
    pub rule: String,
    /// Moments at which it was scored.
    pub scored: u64,
    /// Share of them at which it predicted less than came.
    pub violation_rate: f64,
    /// Mean share that was missing, where something was.
    pub severity: f64,
    /// Mean share of the limits that it would not have held.
    pub savings: f64,
    /// Share of app-seconds with a CPU allotment in which the app used more than it, the second after.
    pub cpu_short_rate: Option<f64>,
    /// The same of memory.
    pub memory_short_rate: Option<f64>,
}

/// All rules on one record.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SideBySide {
    /// Seconds of the record.
    pub seconds: usize,
    /// How far the oracle looks ahead, in seconds.
    pub horizon_s: f64,
    /// By rule, in the order of [`policies::all`].
    pub scores: Vec<RuleScore>,
}

/// Runs every rule over what the store has in `utc_ms`, recorded and imported. `batch` names the apps that may
/// be held back; `capacity_cores` stands in where a record does not say how many CPUs there were.
pub fn side_by_side(
    reader: &Reader,
    utc_ms: Range<i64>,
    horizon_s: f64,
    batch: &BTreeSet<AppName>,
    capacity_cores: f64,
) -> Result<SideBySide, ReplayError> {
    let mut record = Vec::new();
    for sample in reader.samples(utc_ms.clone())?.take(MAX_SECONDS) {
        record.push(Seen::of(&sample?, capacity_cores));
    }
    if record.is_empty() {
        for sample in reader.imported(utc_ms)?.take(MAX_SECONDS) {
            let sample: Sample = sample?;
            record.push(Seen::of(&sample, capacity_cores));
        }
    }
    let moments = moments(&record, horizon_s);
    let mut rules = policies::all(batch);
    Ok(SideBySide {
        seconds: record.len(),
        horizon_s,
        scores: rules
            .iter_mut()
            .map(|rule| score(rule.as_mut(), &record, &moments))
            .collect(),
    })
}

/// A moment at which predictions are scored: its position in the record, the oracle, and the limits.
struct Scored {
    position: usize,
    oracle_cores: f64,
    limit_cores: f64,
}

/// Moments with a whole horizon of record after them.
fn moments(record: &[Seen], horizon_s: f64) -> Vec<Scored> {
    let mut moments = Vec::new();
    let mut next_s = f64::NEG_INFINITY;
    let Some(end) = record.last() else { return moments };
    for (position, seen) in record.iter().enumerate() {
        let at_s = seen.at.boot.seconds();
        if at_s < next_s || end.at.boot.seconds_since(seen.at.boot) < horizon_s {
            continue;
        }
        next_s = at_s + SCORE_EVERY_S;
        moments.push(Scored {
            position,
            oracle_cores: oracle(&record[position..], horizon_s),
            limit_cores: policies::limit_sum(seen),
        });
    }
    moments
}

/// The highest sum within the horizon of what the apps present at its begin use.
fn oracle(ahead: &[Seen], horizon_s: f64) -> f64 {
    let begin = &ahead[0];
    let present: BTreeSet<&AppName> = begin.apps.iter().map(|app| &app.name).collect();
    ahead
        .iter()
        .skip(1)
        .take_while(|seen| seen.at.boot.seconds_since(begin.at.boot) <= horizon_s)
        .map(|seen| {
            let apps = seen.apps.iter().filter(|app| present.contains(&app.name));
            apps.map(|app| app.cpu_cores)
                .filter(|cores| !cores.is_nan())
                .sum()
        })
        .fold(0.0, f64::max)
}

/// What a decision expects the apps together to need; `None` where it says nothing of CPU.
fn predicted(decision: &Decision, seen: &Seen) -> Option<f64> {
    if decision.host_cpu_cores.is_some() {
        return decision.host_cpu_cores;
    }
    if decision.cpu_cores.is_empty() {
        return None;
    }
    let given = |app: &policies::AppSeen| {
        let cores = decision.cpu_cores.get(&app.name).copied();
        cores.unwrap_or_else(|| seen.limit_cores(app))
    };
    Some(seen.apps.iter().map(given).sum::<f64>().min(seen.capacity_cores))
}

/// How often what was allotted was less than what came.
#[derive(Default)]
struct Short {
    given: u64,
    short: u64,
}

impl Short {
    fn count(&mut self, given: Option<&f64>, used: f64) {
        if let Some(given) = given.filter(|_| !used.is_nan()) {
            self.given += 1;
            self.short += u64::from(used > *given);
        }
    }

    fn rate(&self) -> Option<f64> {
        (self.given > 0).then(|| self.short as f64 / self.given as f64)
    }
}

fn score(rule: &mut dyn Rule, record: &[Seen], moments: &[Scored]) -> RuleScore {
    let mut moments = moments.iter().peekable();
    let (mut scored, mut violations) = (0_u64, 0_u64);
    let (mut severity, mut savings) = (0.0, 0.0);
    let (mut cpu, mut memory) = (Short::default(), Short::default());
    let mut before = Decision::default();
    for (position, seen) in record.iter().enumerate() {
        for app in &seen.apps {
            cpu.count(before.cpu_cores.get(&app.name), app.cpu_cores);
            memory.count(before.memory_bytes.get(&app.name), app.memory_bytes);
        }
        let decision = rule.step(seen);
        before.clone_from(&decision);
        let Some(moment) = moments.next_if(|moment| moment.position == position) else {
            continue;
        };
        let Some(predicted) = predicted(&decision, seen) else {
            continue;
        };
        scored += 1;
        savings += (moment.limit_cores - predicted) / moment.limit_cores;
        if predicted < moment.oracle_cores {
            violations += 1;
            severity += (moment.oracle_cores - predicted) / moment.oracle_cores;
        }
    }
    let mean = |sum: f64, count: u64| if count == 0 { 0.0 } else { sum / count as f64 };
    RuleScore {
        rule: rule.name().to_owned(),
        scored,
        violation_rate: mean(violations as f64, scored),
        severity: mean(severity, violations),
        savings: mean(savings, scored),
        cpu_short_rate: cpu.rate(),
        memory_short_rate: memory.rate(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::tests::{app, close, seen};

    /// One core for an hour, two in its last second.
    fn record() -> Vec<Seen> {
        let cores = |second| if second == 3600 { 2.0 } else { 1.0 };
        (0..=3600)
            .map(|second| seen(second, vec![app("web", cores(second), 4.0)]))
            .collect()
    }

    struct Fixed(f64);

    impl Rule for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }
        fn step(&mut self, _: &Seen) -> Decision {
            Decision {
                host_cpu_cores: Some(self.0),
                ..Decision::default()
            }
        }
    }

    #[test]
    fn violations_severity_and_savings_are_counted_as_in_the_paper() {
        let record = record();
        let moments = moments(&record, 600.0);
        // 0, 300, …, 3000 have ten minutes ahead; only 3000 sees the last second.
        assert_eq!(moments.len(), 11);
        let score = score(&mut Fixed(1.5), &record, &moments);
        assert_eq!(score.scored, 11);
        close(score.violation_rate, 1.0 / 11.0);
        close(score.severity, 0.25);
        close(score.savings, 2.5 / 4.0);
    }

    #[test]
    fn an_allotment_is_held_against_the_second_after() {
        struct Given(f64);
        impl Rule for Given {
            fn name(&self) -> &'static str {
                "given"
            }
            fn step(&mut self, seen: &Seen) -> Decision {
                let cores = seen.apps.iter().map(|app| (app.name.clone(), self.0));
                Decision {
                    cpu_cores: cores.collect(),
                    ..Decision::default()
                }
            }
        }
        // 3,600 seconds have one before; only the last uses two cores.
        let score = score(&mut Given(1.5), &record(), &[]);
        close(score.cpu_short_rate.expect("allotted"), 1.0 / 3600.0);
        assert_eq!((score.memory_short_rate, score.scored), (None, 0));
    }

    #[test]
    fn apps_that_come_later_do_not_count() {
        let mut record = record();
        record[100].apps.push(app("late", 9.0, 4.0));
        close(oracle(&record[..200], 600.0), 1.0);
        close(oracle(&record[100..200], 600.0), 1.0);
        record[101].apps.push(app("late", 9.0, 4.0));
        close(oracle(&record[100..200], 600.0), 10.0);
    }

    #[test]
    fn rules_per_app_predict_their_sum_and_silence_is_the_limit() {
        let host = seen(0, vec![app("a", 1.0, 2.0), app("b", 1.0, 1.5)]);
        let mut decision = Decision::default();
        assert_eq!(predicted(&decision, &host), None);
        decision.cpu_cores.insert(AppName::new("a"), 0.5);
        close(predicted(&decision, &host).expect("it speaks of CPU"), 2.0);
    }
}

//! Counts of outcomes, per unit and window.

use crate::view::{MapView, SkillRow};
use std::collections::BTreeMap;
use tidegate_types::{Outcome, Treatment};

/// A probability of this much or more counts as an alarm.
const ALARM: f64 = 0.5;

#[derive(Debug, Default)]
struct Sums {
    scored: u64,
    set_aside: u64,
    happened: u64,
    hits: u64,
    misses: u64,
    false_alarms: u64,
    squared_error: f64,
    onset_errors: u64,
    onset_error_s: f64,
}

impl Sums {
    fn add(&mut self, outcome: &Outcome) {
        let (Some(happened), Treatment::Untreated) = (outcome.happened, outcome.treatment) else {
            self.set_aside += 1;
            return;
        };
        self.scored += 1;
        self.happened += u64::from(happened);
        let alarm = outcome.probability >= ALARM;
        self.hits += u64::from(happened && alarm);
        self.misses += u64::from(happened && !alarm);
        self.false_alarms += u64::from(!happened && alarm);
        let answer = f64::from(u8::from(happened));
        self.squared_error += (outcome.probability - answer).powi(2);
        if let Some(error) = outcome.onset_error_s.filter(|error| error.is_finite()) {
            self.onset_errors += 1;
            self.onset_error_s += error.abs();
        }
    }

    fn row(&self, unit: &str, window_s: u32, demoted: bool) -> SkillRow {
        let mean = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
        let brier = mean(self.squared_error, self.scored);
        let base_rate = mean(self.happened as f64, self.scored);
        let reference = base_rate
            .map(|rate| rate * (1.0 - rate))
            .filter(|error| *error > 0.0);
        SkillRow {
            unit: unit.to_owned(),
            window_s,
            scored: self.scored,
            set_aside: self.set_aside,
            hits: self.hits,
            misses: self.misses,
            false_alarms: self.false_alarms,
            brier,
            skill: brier
                .zip(reference)
                .map(|(brier, reference)| 1.0 - brier / reference),
            onset_errors: self.onset_errors,
            onset_error_s: mean(self.onset_error_s, self.onset_errors),
            demoted,
        }
    }
}

/// The fold of outcomes. Its size is bounded by the units that ever had a forecast.
#[derive(Debug, Default)]
pub(super) struct Scores(BTreeMap<(String, u32), Sums>);

impl Scores {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let key = (outcome.unit.to_string(), outcome.window_s);
        self.0.entry(key).or_default().add(outcome);
    }

    /// Takes over the counts that a daemon before this one kept.
    pub(super) fn resume(&mut self, past: &[SkillRow]) {
        let sums = past.iter().map(|row| {
            let sums = Sums {
                scored: row.scored,
                set_aside: row.set_aside,
                happened: row.hits + row.misses,
                hits: row.hits,
                misses: row.misses,
                false_alarms: row.false_alarms,
                squared_error: row.brier.unwrap_or(0.0) * row.scored as f64,
                onset_errors: row.onset_errors,
                onset_error_s: row.onset_error_s.unwrap_or(0.0) * row.onset_errors as f64,
            };
            ((row.unit.clone(), row.window_s), sums)
        });
        self.0 = sums.collect();
    }

    pub(super) fn rows(&self, map: &MapView) -> Vec<SkillRow> {
        let demoted = |unit: &str| map.rows.iter().any(|row| row.unit == unit && row.demoted);
        self.0
            .iter()
            .map(|((unit, window_s), sums)| sums.row(unit, *window_s, demoted(unit)))
            .collect()
    }
}

//! Leases from their first mention to their outcome.

use super::push_bounded;
use crate::view::{LeaseRow, LeaseState, MapView, PredictionRow, View};
use std::collections::{BTreeMap, VecDeque};
use tidegate_types::{ContentionEvent, Moment, Outcome, Plan, Trigger, WriteResult};

/// Ended leases that the view keeps.
const MAX_ENDED: usize = 200;
/// Predictions that are remembered for the leases made from them: an hour of maps of a few units.
const MAX_PREDICTIONS: usize = 4_096;

/// An event this long before a lease's start or after its end still belongs to it: samples are a second apart.
const SLACK_MS: i64 = 1_000;

/// The fold of plans, writes and outcomes into rows.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    live: BTreeMap<u64, LeaseRow>,
    ended: VecDeque<LeaseRow>,
    predictions: BTreeMap<u64, PredictionRow>,
}

impl Ledger {
    /// Remembers the map's predictions.
    pub(super) fn foresee(&mut self, map: &MapView) {
        for row in &map.rows {
            self.predictions.insert(row.id, PredictionRow::from(row));
        }
        while self.predictions.len() > MAX_PREDICTIONS {
            self.predictions.pop_first();
        }
    }

    /// Takes over what a daemon before this one kept; what it held has ended with it.
    pub(super) fn resume(&mut self, past: &View) {
        let held = past.plan.leases.iter().map(|row| LeaseRow {
            end_utc_ms: row.end_utc_ms.min(past.made_utc_ms.max(row.start_utc_ms)),
            state: LeaseState::Ended,
            ..row.clone()
        });
        let rows = held.chain(past.actions.iter().cloned());
        self.ended = rows.take(MAX_ENDED).collect();
    }

    /// Takes an ended lease back, where a plan lists it again.
    fn revive(&mut self, id: u64) -> Option<LeaseRow> {
        let place = self.ended.iter().position(|row| row.id == id)?;
        self.ended.remove(place)
    }

    /// Takes over what should hold; what is no longer listed has ended.
    pub(super) fn plan(&mut self, plan: &Plan, now: Moment) {
        let mut rest = std::mem::take(&mut self.live);
        for lease in &plan.leases {
            let mut row = LeaseRow::new(lease, now);
            if let Some(known) = rest.remove(&row.id).or_else(|| self.revive(row.id)) {
                row.found = row.found.or(known.found);
                row.prediction = known.prediction.or(row.prediction);
                row.outcome = known.outcome;
                // The wall clock may jump; a lease keeps the times that it was first shown with.
                row.start_utc_ms = known.start_utc_ms;
            } else if let Some(prediction) = &mut row.prediction
                && let Some(known) = self.predictions.get(&prediction.id)
            {
                *prediction = known.clone();
            }
            if row.outcome.failure.is_some() {
                row.state = LeaseState::Refused;
            }
            self.live.insert(row.id, row);
        }
        for mut row in rest.into_values() {
            row.end_utc_ms = row.end_utc_ms.min(now.utc_ms);
            row.state = match row.outcome.failure {
                Some(_) => LeaseState::Refused,
                None => LeaseState::Ended,
            };
            push_bounded(&mut self.ended, row, MAX_ENDED);
        }
    }

    fn find(&mut self, id: u64) -> Option<&mut LeaseRow> {
        match self.live.get_mut(&id) {
            Some(row) => Some(row),
            None => self.ended.iter_mut().find(|row| row.id == id),
        }
    }

    /// Takes over the result of a write.
    pub(super) fn written(&mut self, result: &WriteResult, now: Moment) {
        if let Some(row) = self.find(result.lease.0) {
            row.written(result, now);
        }
    }

    /// Takes over the score of the prediction behind a lease.
    pub(super) fn score(&mut self, outcome: &Outcome) {
        let rows = self.live.values_mut().chain(&mut self.ended);
        for row in rows.filter(|row| row.unit == outcome.unit.to_string()) {
            let behind = row.prediction.as_ref().map(|prediction| prediction.id);
            if behind == Some(outcome.prediction.0) {
                row.outcome.score(outcome);
            }
        }
    }

    /// Takes over contention that was seen (or prevented) where a lease acts: what was foreseen came. The score
    /// of the prediction may close a minute later; the event itself is known at once.
    pub(super) fn saw(&mut self, event: &ContentionEvent, now: Moment) {
        let (unit, begin_utc_ms) = (event.unit.to_string(), now.utc_ms_of(event.begin));
        let rows = self.live.values_mut().chain(&mut self.ended);
        let meant = |row: &&mut LeaseRow| {
            let span = row.start_utc_ms - SLACK_MS..row.end_utc_ms + SLACK_MS;
            row.unit == unit && row.trigger == Trigger::Predicted && span.contains(&begin_utc_ms)
        };
        for row in rows.filter(meant) {
            row.outcome.happened = Some(true);
            row.outcome.treatment = Some(event.treatment);
            let onset = row
                .prediction
                .as_ref()
                .and_then(|prediction| prediction.onset_utc_ms);
            let error_s = onset.map(|onset| (begin_utc_ms as f64 - onset.q50) / 1e3);
            row.outcome.onset_error_s = row.outcome.onset_error_s.or(error_s);
        }
    }

    /// Leases that hold now or later, by start.
    pub(super) fn live(&self) -> Vec<LeaseRow> {
        let mut rows: Vec<LeaseRow> = self.live.values().cloned().collect();
        rows.sort_by_key(|row| (row.start_utc_ms, row.id));
        rows
    }

    /// Leases that ended, newest first.
    pub(super) fn ended(&self) -> Vec<LeaseRow> {
        self.ended.iter().cloned().collect()
    }
}

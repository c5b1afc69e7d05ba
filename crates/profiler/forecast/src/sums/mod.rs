//! Demand on a unit that apps share is the sum of what they ask for, moment by moment.
//!
//! Apps that rise together (a front end and its database, two jobs on the same hour) make a peak that no sum of
//! independent distributions holds. So each app's demand on each shared unit is kept in rows of common time, and what
//! the sum may do is told from those rows added up over the apps that are there now: an app that came counts in all
//! of them, one that went in none. The sum against what there is (online CPUs that may be used, less what the
//! hypervisor takes at the same moments; memory; link speed) gives a probability, its highest value the peak, and the
//! parts in the rows of the peaks the apps that drive it.
//!
//! `parts` takes demands out of a sample, `track` keeps them in rows, `scenarios` goes on from the past, `survival`
//! makes quantiles of what may be lower bounds, `unit_sum` joins these for one unit, and `peaks` checks and corrects
//! the quantiles. It does not know what contention is: waiting is `events`' business.

mod parts;
mod peaks;
mod scenarios;
mod survival;
mod track;
mod unit_sum;

#[cfg(test)]
mod tests;

use crate::demand::AppDemand;
use crate::model::WINDOWS;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_types::{
    AppName, Apps, Driver, Entity, Outcome, PeakPlace, PredictionId, Quantiles, Sample, Treatment, Unit,
};
use track::{FINE, ROW_S};
use unit_sum::{Said, UnitSum};

/// Demand on all units that apps share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    units: BTreeMap<Unit, UnitSum>,
    /// For how many rows each app that is there has been.
    present: BTreeMap<AppName, usize>,
    /// Apps of the row that is being filled.
    in_row: BTreeSet<AppName>,
    row: Option<i64>,
}

impl Sums {
    /// Takes in a sample.
    pub(crate) fn observe(
        &mut self,
        sample: &Sample,
        apps: &Apps,
        demands: &BTreeMap<AppName, AppDemand>,
        interval_s: f64,
    ) {
        let middle_s = sample.now.boot.seconds() - interval_s / 2.0;
        self.advance((middle_s / ROW_S).floor() as i64);
        for row in &sample.rows {
            if let Entity::App(app) = &row.entity
                && !self.in_row.contains(app)
            {
                self.in_row.insert(app.clone());
            }
        }
        let parts = parts::parts(sample, apps, demands);
        let mut used: BTreeMap<&Unit, f64> = BTreeMap::new();
        for part in &parts {
            *used.entry(&part.unit).or_default() += part.used;
        }
        for whole in parts::wholes(sample, &parts) {
            let used = used.get(&whole.unit).copied().unwrap_or(0.0);
            let unit = self.units.entry(whole.unit.clone()).or_default();
            unit.take_whole(&whole, used, interval_s);
        }
        for part in &parts {
            let Some(unit) = self.units.get_mut(&part.unit) else {
                continue;
            };
            let rows = self.present.get(part.app).copied().unwrap_or(0);
            unit.take_part(part.app, part.asked, interval_s, rows);
        }
    }

    /// Closes the rows before `row`; those of which there is no sample are unknown.
    fn advance(&mut self, row: i64) {
        let before = self.row.replace(row).unwrap_or(row);
        let over = usize::try_from(row - before).unwrap_or(FINE).min(FINE);
        for _ in 0..over {
            self.units.values_mut().for_each(UnitSum::close_row);
            let in_row = std::mem::take(&mut self.in_row);
            self.present.retain(|app, _| in_row.contains(app));
            for app in in_row {
                let rows = self.present.entry(app).or_default();
                *rows = rows.saturating_add(1).min(track::COARSE * track::ROWS_PER_COARSE);
            }
        }
        if over > 0 {
            self.units.retain(|_, unit| !unit.is_gone());
        }
    }

    /// Remembers the peaks that are said of `unit` as `id`.
    pub(crate) fn remember(&mut self, unit: &Unit, id: PredictionId, asked: &Asked) {
        if let Some(sum) = self.units.get_mut(unit) {
            sum.peaks.remember(id, &asked.raw.peaks);
        }
    }

    /// Where the peak lay of a window that closed, against what was said. Only what nobody acted on is learned from.
    pub(crate) fn judge(&mut self, outcome: &Outcome, window: usize) -> Option<PeakPlace> {
        let sum = self.units.get_mut(&outcome.unit)?;
        let learn = outcome.treatment == Treatment::Untreated;
        sum.peaks
            .judge(outcome.prediction, window, outcome.window_s, learn)
    }
}

/// What the demands on one unit come to; nothing where it is not shared or too little is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// As the past tells it.
    pub(crate) raw: Said,
    /// The peaks, corrected by how peaks of this unit have come.
    pub(crate) peaks: [Option<Quantiles>; WINDOWS],
}

impl Asked {
    pub(crate) fn of(sums: &Sums, unit: &Unit, windows_s: [u32; WINDOWS], apps: &Apps) -> Self {
        let Some(sum) = sums.units.get(unit) else {
            return Self::default();
        };
        let raw = sum.say(windows_s, |app| apps.contains_key(app));
        let peaks = std::array::from_fn(|window| Some(sum.peaks.calibrated(window, &raw.peaks[window]?)));
        Self { raw, peaks }
    }

    /// Who drives the unit: the apps that make its peaks, or else those that `now` names.
    pub(crate) fn drivers(&self, now: impl FnOnce() -> Vec<Driver>) -> Vec<Driver> {
        if self.raw.drivers.is_empty() {
            return now();
        }
        self.raw.drivers.clone()
    }

    /// The peak within the window of at least `within_s`, or of the longest that is told.
    pub(crate) fn peak_within(&self, windows_s: [u32; WINDOWS], within_s: f64) -> Option<Quantiles> {
        let mut told = self
            .peaks
            .iter()
            .zip(windows_s)
            .filter_map(|(peak, window_s)| Some(((*peak)?, window_s)));
        let mut longest = None;
        let fitting = told.find(|(peak, window_s)| {
            longest = Some(*peak);
            f64::from(*window_s) >= within_s
        });
        fitting.map(|(peak, _)| peak).or(longest)
    }
}

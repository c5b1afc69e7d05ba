//! The map's recent past: units × time.

use crate::view::{HeatColumn, HeatView, MapView};
use std::collections::{BTreeMap, VecDeque};

/// Columns: an hour of maps at one every ten seconds.
const MAX_COLUMNS: usize = 360;
/// Rows: what one can still tell apart on a screen. The units that were ever the most likely win.
const MAX_UNITS: usize = 40;

/// The fold of maps into columns.
#[derive(Debug, Default)]
pub(super) struct Heat {
    window_s: u32,
    columns: VecDeque<(i64, BTreeMap<String, f32>)>,
    view: HeatView,
}

impl Heat {
    pub(super) fn push(&mut self, map: &MapView) {
        let shortest = map.rows.iter().filter_map(|row| row.windows.first());
        let Some(window_s) = shortest.map(|window| window.window_s).min() else {
            return;
        };
        if window_s != self.window_s {
            self.columns.clear();
            self.window_s = window_s;
        }
        let cells = map.rows.iter().filter_map(|row| {
            let window = row.windows.first()?;
            let rounded = (window.probability * 1e3).round() / 1e3;
            (window.window_s == window_s).then(|| (row.unit.clone(), rounded as f32))
        });
        // A map that was made at once on an event replaces nothing: columns are as irregular as maps.
        self.columns.push_back((map.made_utc_ms, cells.collect()));
        if self.columns.len() > MAX_COLUMNS {
            self.columns.pop_front();
        }
        self.view = self.build();
    }

    /// Takes over the columns that a daemon before this one kept.
    pub(super) fn resume(&mut self, past: &HeatView) {
        self.window_s = past.window_s;
        let columns = past.columns.iter().rev().take(MAX_COLUMNS).rev();
        self.columns = columns
            .map(|column| {
                let cells = past.units.iter().zip(&column.probability);
                let known = cells.filter_map(|(unit, cell)| Some((unit.clone(), (*cell)?)));
                (column.at_utc_ms, known.collect())
            })
            .collect();
        self.view = self.build();
    }

    pub(super) fn view(&self) -> HeatView {
        self.view.clone()
    }

    fn build(&self) -> HeatView {
        let mut worst: BTreeMap<&str, f32> = BTreeMap::new();
        for (unit, probability) in self.columns.iter().flat_map(|(_, cells)| cells) {
            let known = worst.entry(unit).or_default();
            *known = known.max(*probability);
        }
        let mut ranked: Vec<(&str, f32)> = worst.into_iter().collect();
        // The sort is stable, so equal units stay in the order of their names.
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        ranked.truncate(MAX_UNITS);
        let mut units: Vec<String> = ranked.into_iter().map(|(unit, _)| unit.to_owned()).collect();
        units.sort();
        let columns = self
            .columns
            .iter()
            .map(|(at_utc_ms, cells)| HeatColumn {
                at_utc_ms: *at_utc_ms,
                probability: units.iter().map(|unit| cells.get(unit).copied()).collect(),
            })
            .collect();
        HeatView {
            window_s: self.window_s,
            units,
            columns,
        }
    }
}

//! The head for waiting: P(an event of contention begins or goes on within a window), from what a unit showed second by
//! second.
//!
//! Usage says when a resource is nearly full; whether anybody waits for it is another question. This head sees the
//! waiting itself (throttling or stall time, over the threshold that makes an event), the usage relative to what the
//! unit can give, and the spells of waiting so far. It is trained on records of real contention; rows are cut from them
//! by the same readings and labels that the daemon uses.

use super::gbdt::{Forest, Loss, Matrix, Parameters, train};
use crate::demand::AppDemand;
use crate::events::{Change, Labeller};
use crate::readings::{Reader, held_from_above};
use std::collections::BTreeMap;
use tidegate_types::{AppName, Apps, Entity, Sample, Unit};

/// Windows of the head, in seconds.
pub const WAITING_WINDOWS_S: [u32; 2] = [60, 300];
/// Length of a row.
pub const WAITING_ROW: usize = 29;
/// Spells of waiting that a row looks back on.
const SPELLS: usize = 8;
/// Columns of a row that know usage only: what a head without waiting may see.
pub const USAGE_COLUMNS: std::ops::Range<usize> = 0..10;

/// What a unit showed in one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WaitingSecond {
    /// End of the second on the boot clock.
    pub at_s: f64,
    /// Waiting over the threshold that makes an event; NaN where it was not measured.
    pub level: f32,
    /// Usage over what the unit can give (over the most seen so far, where that is not known); NaN: not measured.
    pub ratio: f32,
    /// Whether contention was on, as labelled afterwards.
    pub contended: bool,
}

/// One unit of a record, in order of time, seconds evenly apart.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingSeries {
    /// Which unit.
    pub unit: Unit,
    /// Its seconds.
    pub seconds: Vec<WaitingSecond>,
}

/// Follows untreated samples as the daemon would, and gives what each unit of `apps` showed.
pub fn follow(samples: &[Sample], apps: &Apps) -> Vec<WaitingSeries> {
    let mut demands: BTreeMap<AppName, AppDemand> = BTreeMap::new();
    let mut units: BTreeMap<Unit, Followed> = BTreeMap::new();
    for sample in samples {
        for row in &sample.rows {
            let Entity::App(name) = &row.entity else { continue };
            if apps.contains_key(name) {
                let held = held_from_above(sample, apps, name);
                let demand = demands.entry(name.clone()).or_default();
                demand.observe(row, sample.interval_s, held, false);
            }
        }
        let now_s = sample.now.boot.seconds();
        for reading in Reader::new(sample, apps, &demands, &[]).read() {
            let followed = units.entry(reading.unit.clone()).or_default();
            let load = reading.load.unwrap_or(f64::NAN);
            followed.highest = followed.highest.max(load);
            let ratio = load / reading.capacity.unwrap_or(followed.highest);
            match followed.labeller.step(&reading, now_s, sample.interval_s) {
                Some(Change::Began(open)) => followed.began_s = open.begin_s,
                Some(Change::Ended(_, end_s)) => followed.spells_s.push((followed.began_s, end_s)),
                None => {}
            }
            followed.seconds.push(WaitingSecond {
                at_s: now_s,
                level: reading.level.map_or(f32::NAN, |level| level as f32),
                ratio: ratio as f32,
                contended: false,
            });
        }
    }
    units
        .into_iter()
        .map(|(unit, followed)| WaitingSeries {
            unit,
            seconds: followed.labelled(),
        })
        .collect()
}

#[derive(Default)]
struct Followed {
    labeller: Labeller,
    seconds: Vec<WaitingSecond>,
    spells_s: Vec<(f64, f64)>,
    began_s: f64,
    highest: f64,
}

impl Followed {
    fn labelled(mut self) -> Vec<WaitingSecond> {
        if let Some(Change::Ended(_, end_s)) = self.labeller.interrupt() {
            self.spells_s.push((self.began_s, end_s));
        }
        for (begin_s, end_s) in self.spells_s {
            for second in &mut self.seconds {
                second.contended |= second.at_s > begin_s && second.at_s - 1.0 < end_s;
            }
        }
        self.seconds
    }
}

/// A moment of a series: what was known, and what came.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingRow {
    /// What was known; NaN: not known.
    pub values: [f32; WAITING_ROW],
    /// Whether contention was on within each window.
    pub happened: [bool; WAITING_WINDOWS_S.len()],
    /// Whether it was on at the moment.
    pub ongoing: bool,
    /// Usage over what the unit can give, at the moment.
    pub ratio: f32,
}

/// Seconds of the past before the first row.
const PAST_S: usize = 60;

/// Rows of every moment of `series` that has a past of a minute and a whole longest window after it.
pub fn rows(series: &WaitingSeries) -> Vec<WaitingRow> {
    let seconds = &series.seconds;
    let longest = WAITING_WINDOWS_S[WAITING_WINDOWS_S.len() - 1] as usize;
    let end = seconds.len().saturating_sub(longest);
    let mut spells = Spells::default();
    let mut rows = Vec::new();
    for place in 0..end {
        // What was known at the moment: a label is confirmed two seconds later.
        if let Some(known) = place.checked_sub(2) {
            spells.step(seconds[known].contended);
        }
        if place < PAST_S {
            continue;
        }
        let after = &seconds[place + 1..];
        rows.push(WaitingRow {
            values: row(&seconds[..=place], &spells),
            happened: WAITING_WINDOWS_S
                .map(|window_s| after[..window_s as usize].iter().any(|second| second.contended)),
            ongoing: seconds[place].contended,
            ratio: seconds[place].ratio,
        });
    }
    rows
}

fn row(past: &[WaitingSecond], spells: &Spells) -> [f32; WAITING_ROW] {
    let tail = |count: usize| &past[past.len().saturating_sub(count)..];
    let mean = |count: usize, of: fn(&WaitingSecond) -> f32| {
        let values = || tail(count).iter().map(of).filter(|value| !value.is_nan());
        values().sum::<f32>() / values().count() as f32
    };
    let highest =
        |count: usize, of: fn(&WaitingSecond) -> f32| tail(count).iter().map(of).fold(f32::NAN, f32::max);
    let ratio: fn(&WaitingSecond) -> f32 = |second| second.ratio;
    let level: fn(&WaitingSecond) -> f32 = |second| second.level;
    // Labels are confirmed two seconds later.
    let known = &past[..past.len().saturating_sub(2)];
    let contended = |count: usize| {
        let tail = &known[known.len().saturating_sub(count)..];
        tail.iter().filter(|second| second.contended).count() as f32 / count as f32
    };
    let mut values = [f32::NAN; WAITING_ROW];
    let usage = [1, 3, 10, 30, 60, 300].map(|count| mean(count, ratio));
    let peaks = [10, 60, 300].map(|count| highest(count, ratio));
    let waits = [1, 3, 10, 60, 300].map(|count| mean(count, level));
    let worst = [10, 60, 300].map(|count| highest(count, level));
    let all = usage
        .into_iter()
        .chain(peaks)
        .chain([mean(5, ratio) - mean(60, ratio)])
        .chain(waits)
        .chain(worst)
        .chain([mean(5, level) - mean(60, level)])
        .chain([60, 300].map(contended))
        .chain(spells.row());
    for (value, known) in values.iter_mut().zip(all) {
        *value = known;
    }
    values
}

/// The spells of contention so far.
#[derive(Clone, Debug, Default)]
struct Spells {
    on: bool,
    /// Seconds in the present state, and the lengths of the last spells and of the times between them.
    lasted: f32,
    lengths: Vec<f32>,
    gaps: Vec<f32>,
}

impl Spells {
    fn step(&mut self, on: bool) {
        if on != self.on {
            let list = if self.on {
                &mut self.lengths
            } else {
                &mut self.gaps
            };
            if list.len() >= SPELLS {
                list.remove(0);
            }
            list.push(self.lasted);
            (self.on, self.lasted) = (on, 0.0);
        }
        self.lasted += 1.0;
    }

    /// 8 values.
    fn row(&self) -> [f32; 8] {
        let mean = |list: &[f32]| list.iter().sum::<f32>() / list.len() as f32;
        let deviation = |list: &[f32]| {
            let mean = mean(list);
            (list.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / list.len() as f32).sqrt()
        };
        let (length, gap) = (mean(&self.lengths), mean(&self.gaps));
        [
            f32::from(u8::from(self.on)),
            self.lasted.ln_1p(),
            length.ln_1p(),
            gap.ln_1p(),
            deviation(&self.gaps) / gap,
            // How much of the usual time has passed.
            self.lasted / if self.on { length } else { gap },
            if self.on { f32::NAN } else { gap - self.lasted },
            self.lengths.len() as f32,
        ]
    }
}

/// One forest per window.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingHead {
    forests: Vec<Forest>,
    columns: Vec<usize>,
}

impl WaitingHead {
    /// Trains on `rows`, which may see only `columns`. `None` where there are too few.
    pub fn train(rows: &[WaitingRow], columns: impl Iterator<Item = usize>) -> Option<Self> {
        let parameters = Parameters {
            trees: 80,
            max_leaves: 8,
            learning_rate: 0.06,
            min_rows: 200,
            ridge: 10.0,
            ..Parameters::default()
        };
        if rows.len() < 2 * parameters.min_rows {
            return None;
        }
        let columns: Vec<usize> = columns.filter(|column| *column < WAITING_ROW).collect();
        let values: Vec<f32> = rows
            .iter()
            .flat_map(|row| columns.iter().map(|column| row.values[*column]))
            .collect();
        let matrix = Matrix::new(&values, columns.len(), 64);
        let forest = |window: usize| {
            let happened: Vec<f32> = rows
                .iter()
                .map(|row| f32::from(u8::from(row.happened[window])))
                .collect();
            train(&matrix, &happened, Loss::Logistic, &parameters, |_| true)
        };
        Some(Self {
            forests: (0..WAITING_WINDOWS_S.len()).map(forest).collect(),
            columns,
        })
    }

    /// P of each window, shortest first; it never falls.
    pub fn probabilities(&self, row: &WaitingRow) -> [f64; WAITING_WINDOWS_S.len()] {
        let seen: Vec<f32> = self.columns.iter().map(|column| row.values[*column]).collect();
        let mut said = [0.0; WAITING_WINDOWS_S.len()];
        let mut before: f64 = 0.0;
        for (said, forest) in said.iter_mut().zip(&self.forests) {
            before = before.max(forest.probability(&seen));
            *said = before;
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Usage rises for ten seconds before each spell of ten seconds.
    fn series(seconds: usize) -> WaitingSeries {
        let second = |place: usize| {
            let phase = place % 100;
            WaitingSecond {
                at_s: place as f64,
                level: if phase >= 90 { 3.0 } else { 0.0 },
                ratio: if phase >= 80 { 1.0 } else { 0.2 },
                contended: phase >= 90,
            }
        };
        WaitingSeries {
            unit: Unit::Cpu,
            seconds: (0..seconds).map(second).collect(),
        }
    }

    #[test]
    fn rows_know_the_past_only_and_the_head_learns_what_comes_before() {
        let rows = rows(&series(2000));
        assert_eq!(rows.len(), 2000 - 360);
        assert!(
            rows.iter().all(|row| row.happened[1]),
            "a spell in every five minutes"
        );
        let head = WaitingHead::train(&rows, 0..WAITING_ROW).expect("trained");
        let loss: f64 = rows
            .iter()
            .map(|row| (head.probabilities(row)[0] - f64::from(u8::from(row.happened[0]))).powi(2))
            .sum();
        assert!(loss / (rows.len() as f64) < 0.05, "{loss}");
        assert_eq!(WaitingHead::train(&rows[..10], 0..WAITING_ROW), None);
    }
}

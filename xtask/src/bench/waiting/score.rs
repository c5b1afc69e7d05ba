//! Scores of predicted events on held-out units, and the rule that usage alone gives.

use crate::bench::stats::percentile;
use crate::random::Random;
use tidegate_forecast::models::waiting::{WAITING_WINDOWS_S, WaitingRow};

const WINDOWS: usize = WAITING_WINDOWS_S.len();
const BINS: usize = 10;
const DRAWS: usize = 2000;
/// Moments that stay together when intervals are drawn: five minutes of them.
const TOGETHER: usize = 60;

/// Usage above a threshold means contention: how often, is learned where the threshold is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UsageRule {
    threshold: f32,
    /// Per window: how often contention came from below the threshold, and from above.
    rates: [[f64; 2]; WINDOWS],
}

impl UsageRule {
    /// The threshold with the lowest Brier score on `rows`.
    pub(super) fn fit(rows: &[WaitingRow]) -> Self {
        let candidates = (8..=20).map(|step| Self::at(step as f32 * 0.05, rows));
        let loss = |rule: &Self| {
            let of_row = |row: &WaitingRow| {
                let said = rule.probabilities(row);
                (0..WINDOWS)
                    .map(|window| squared(said[window], row.happened[window]))
                    .sum::<f64>()
            };
            rows.iter().map(of_row).sum::<f64>()
        };
        let best = candidates.min_by(|left, right| loss(left).total_cmp(&loss(right)));
        best.unwrap_or(Self {
            threshold: 1.0,
            rates: [[0.0, 1.0]; WINDOWS],
        })
    }

    fn at(threshold: f32, rows: &[WaitingRow]) -> Self {
        let rates = std::array::from_fn(|window| {
            [false, true].map(|above| {
                let side = || rows.iter().filter(move |row| (row.ratio >= threshold) == above);
                let came = side().filter(|row| row.happened[window]).count();
                (came as f64 + 0.5) / (side().count() as f64 + 1.0)
            })
        });
        Self { threshold, rates }
    }

    pub(super) fn probabilities(&self, row: &WaitingRow) -> [f64; WINDOWS] {
        let above = usize::from(row.ratio >= self.threshold);
        self.rates.map(|rates| rates[above])
    }
}

fn squared(said: f64, happened: bool) -> f64 {
    (said - f64::from(u8::from(happened))).powi(2)
}

/// One judged moment of one window.
#[derive(Clone, Copy, Debug)]
struct Moment {
    said: f64,
    happened: bool,
    ongoing: bool,
}

/// Judged moments: pieces of units, each with the unit that it is of.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    pieces: Vec<(usize, Vec<[Moment; WINDOWS]>)>,
    units: usize,
}

/// Asks `say` about every row of every unit.
pub(super) fn judge(units: &[&[WaitingRow]], say: impl Fn(&WaitingRow) -> [f64; WINDOWS]) -> Judged {
    let mut judged = Judged {
        pieces: Vec::new(),
        units: units.len(),
    };
    for (unit, rows) in units.iter().enumerate() {
        let moments: Vec<[Moment; WINDOWS]> = rows
            .iter()
            .map(|row| {
                let said = say(row);
                std::array::from_fn(|window| Moment {
                    said: said[window],
                    happened: row.happened[window],
                    ongoing: row.ongoing,
                })
            })
            .collect();
        judged
            .pieces
            .extend(moments.chunks(TOGETHER).map(|piece| (unit, piece.to_vec())));
    }
    judged
}

impl Judged {
    /// Takes in another kind's units.
    pub(super) fn add(&mut self, other: &Self) {
        let before = self.units;
        self.pieces.extend(
            other
                .pieces
                .iter()
                .map(|(unit, piece)| (before + unit, piece.clone())),
        );
        self.units += other.units;
    }

    /// Brier skill against each unit's own rate; of onsets, over the moments without contention.
    pub(super) fn skill(&self, window: usize, onset: bool) -> f64 {
        let all: Vec<usize> = (0..self.pieces.len()).collect();
        self.skill_of(&all, &self.rates(window, onset), window, onset)
    }

    fn rates(&self, window: usize, onset: bool) -> Vec<f64> {
        (0..self.units)
            .map(|unit| {
                let moments = || {
                    let pieces = self.pieces.iter().filter(move |(of, _)| *of == unit);
                    let moments = pieces.flat_map(|(_, piece)| piece.iter().map(|moment| moment[window]));
                    moments.filter(move |moment| !(onset && moment.ongoing))
                };
                moments().filter(|moment| moment.happened).count() as f64 / moments().count() as f64
            })
            .collect()
    }

    fn skill_of(&self, pieces: &[usize], rates: &[f64], window: usize, onset: bool) -> f64 {
        let (mut ours, mut theirs) = (0.0, 0.0);
        for place in pieces {
            let (unit, piece) = &self.pieces[*place];
            for moment in piece.iter().map(|moment| moment[window]) {
                if onset && moment.ongoing {
                    continue;
                }
                ours += squared(moment.said, moment.happened);
                theirs += squared(rates[*unit], moment.happened);
            }
        }
        1.0 - ours / theirs
    }

    fn draws(&self) -> impl Iterator<Item = Vec<usize>> {
        let count = self.pieces.len();
        let mut random = Random::new(300, count as u64);
        (0..DRAWS).map(move |_| (0..count).map(|_| random.below(count)).collect())
    }

    /// Ends of the 95 % interval of the skill.
    pub(super) fn interval(&self, window: usize, onset: bool) -> (f64, f64) {
        let rates = self.rates(window, onset);
        ends(
            self.draws()
                .map(|drawn| self.skill_of(&drawn, &rates, window, onset))
                .collect(),
        )
    }

    /// The same of the skill above another's on the same moments.
    pub(super) fn interval_above(&self, other: &Self, window: usize, onset: bool) -> (f64, f64) {
        let rates = self.rates(window, onset);
        let above = |drawn: Vec<usize>| {
            self.skill_of(&drawn, &rates, window, onset) - other.skill_of(&drawn, &rates, window, onset)
        };
        ends(self.draws().map(above).collect())
    }

    /// Mean distance of what was said from what came, over tenths of probability.
    pub(super) fn calibration_error(&self, window: usize) -> f64 {
        let mut bins = [(0.0, 0.0); BINS];
        let mut count = 0.0;
        for (_, piece) in &self.pieces {
            for moment in piece.iter().map(|moment| moment[window]) {
                let bin = &mut bins[((moment.said * BINS as f64) as usize).min(BINS - 1)];
                bin.0 += moment.said;
                bin.1 += f64::from(u8::from(moment.happened));
                count += 1.0;
            }
        }
        bins.iter().map(|(said, came)| (said - came).abs()).sum::<f64>() / count
    }
}

fn ends(mut values: Vec<f64>) -> (f64, f64) {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    (percentile(&values, 0.025), percentile(&values, 0.975))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_forecast::models::waiting::WAITING_ROW;

    fn units() -> Vec<WaitingRow> {
        (0..600)
            .map(|step| {
                let high = step % 20 < 5;
                WaitingRow {
                    values: [0.0; WAITING_ROW],
                    happened: [high; WINDOWS],
                    ongoing: step % 20 < 3,
                    ratio: if high { 0.9 } else { 0.3 },
                }
            })
            .collect()
    }

    #[test]
    fn the_usage_rule_finds_its_threshold_and_perfection_has_skill_one() {
        let rows = units();
        let rule = UsageRule::fit(&rows);
        assert!(rule.probabilities(&rows[0])[0] > 0.9 && rule.probabilities(&rows[10])[0] < 0.1);
        let perfect = judge(&[&rows], |row| row.happened.map(|came| f64::from(u8::from(came))));
        let ignorant = judge(&[&rows], |_| [0.25; WINDOWS]);
        assert_eq!((perfect.skill(0, false), perfect.skill(0, true)), (1.0, 1.0));
        assert!(ignorant.skill(0, false).abs() < 1e-9);
        assert_eq!(perfect.calibration_error(0), 0.0);
        let (low, high) = perfect.interval_above(&ignorant, 0, false);
        assert!(low > 0.9 && high < 1.1);
    }
}

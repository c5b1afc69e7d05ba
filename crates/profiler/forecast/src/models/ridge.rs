//! A linear forecaster per series, and the blocks of its errors.
//!
//! Ridge regression (Hoerl and Kennard, Technometrics 1970) from the series' row to its next twelve values, refitted
//! four times a day from running sums that halve every week. Its errors are kept as blocks: the twelve errors of one
//! origin stay together, in units of the volatility of that moment. A forecast lays the blocks of the last days over
//! the present one, so that maxima over a window, joint tails and rare jumps come out as they were seen. Blocks of
//! different series with the same index belong to the same time: sums of series keep their correlation.

use super::cholesky::{factorise, start};
use super::features::{LINEAR, SERIES, SLOW, SLOW_HOURS};
use super::past::{DAY, HORIZON, Past};
use super::sorting::sort;
use super::{LEVELS, Quantiles, TARGET_COUNT, WINDOW_COUNT, WINDOW_TARGETS, quantile, targets_of};
use std::collections::VecDeque;

/// Harmonics of the day that the row of the series does not hold.
const HARMONICS: [f64; 5] = [3.0, 4.0, 6.0, 8.0, 12.0];
/// Inputs of the regression: one, the row, harmonics, the step of the hour.
const WIDTH: usize = 1 + LINEAR + 2 * HARMONICS.len() + 12;
/// Penalty, in units of each input's variance.
const PENALTY: f64 = 60.0;
/// Least variance that the penalty assumes.
const VARIANCE_MIN: f64 = 0.02;
/// Rows between two fits.
const REFIT: u32 = 72;
/// Rows before the first fit.
const FIRST_FIT: u32 = 144;
/// Outcomes before this many observations teach nothing: the inputs of a day are not there yet, and what starts is not
/// what runs.
const FIRST_SEEN: u64 = (DAY + HORIZON) as u64;
/// What a row is worth after one refit interval: half after a week.
const FADE: f64 = 0.975_54;
/// Inputs and targets are cut off here, in scales.
const INPUT_MAX: f32 = 30.0;
const TARGET_MAX: f64 = 60.0;
/// Blocks that are kept: every second origin of the last five days.
pub const BLOCKS: usize = 720;
/// The steps that are targets by themselves: those of s1, s3 and s12.
const ALONE: [usize; 3] = [0, 2, 11];
/// How many blocks are laid over the point path at once.
const TOGETHER: usize = 16;
/// Volatility below which errors are not divided any further, in scales.
const VOLATILITY_MIN: f64 = 0.02;
/// Steps over which the fast and the slow volatility average.
const FAST: f64 = 2.0 / 19.0;
const SLOWLY: f64 = 2.0 / 289.0;

/// What was forecast at one origin, until its outcome is known.
#[derive(Clone, Debug)]
struct Pending {
    inputs: [f32; WIDTH],
    base: f64,
    scale: f64,
    ahead: [f64; HORIZON],
    volatility: f64,
}

/// The linear forecaster of one series.
#[derive(Clone, Debug)]
pub struct Ridge {
    /// Lower triangle, row by row, of the weighted sums of products of inputs.
    gram: Vec<f64>,
    /// Weighted sums of products of inputs and targets, input by input.
    cross: Vec<f64>,
    weights: Vec<f32>,
    rows: u32,
    since_fit: u32,
    pending: VecDeque<Pending>,
    /// Errors by step ahead, in volatilities; a ring.
    blocks: Vec<[f32; BLOCKS]>,
    /// The errors of the steps that are targets by themselves, sorted.
    sorted: [Vec<f32>; ALONE.len()],
    next_block: usize,
    block_count: usize,
    keep_block: bool,
    fast: f64,
    slow: f64,
}

/// A forecast: the point path and the five targets under every block, relative to the last value, in scales; those of
/// single steps in rising order.
#[derive(Clone, Debug)]
pub struct Blocks {
    targets: [Vec<f32>; TARGET_COUNT],
    base: f64,
    scale: f64,
    /// The targets of the point path, absolute.
    pub point: [f64; TARGET_COUNT],
    /// The present volatility, absolute.
    pub volatility: f64,
}

impl Default for Ridge {
    fn default() -> Self {
        Self::new()
    }
}

fn inputs_of(past: &Past, row: &[f32; SERIES]) -> [f32; WIDTH] {
    let mut inputs = [0.0; WIDTH];
    inputs[0] = 1.0;
    for (place, (input, value)) in inputs[1..].iter_mut().zip(&row[..LINEAR]).enumerate() {
        // What hardly changes within days would explain drifts that do not come again.
        let left_out = SLOW.contains(&place) || place == SLOW_HOURS || value.is_nan();
        *input = if left_out {
            0.0
        } else {
            value.clamp(-INPUT_MAX, INPUT_MAX)
        };
    }
    let day_s = past.calendar().of_day_s(past.last_s());
    let angle = std::f64::consts::TAU * day_s as f64 / 86_400.0;
    for (pair, harmonic) in inputs[1 + LINEAR..].chunks_exact_mut(2).zip(HARMONICS) {
        let (sine, cosine) = (harmonic * angle).sin_cos();
        pair.copy_from_slice(&[sine as f32, cosine as f32]);
    }
    inputs[WIDTH - 12 + (day_s % 3600 / 300) as usize] = 1.0;
    inputs
}

impl Ridge {
    /// Before any observation: it forecasts the last value.
    pub fn new() -> Self {
        Self {
            gram: vec![0.0; WIDTH * (WIDTH + 1) / 2],
            cross: vec![0.0; WIDTH * HORIZON],
            weights: Vec::new(),
            rows: 0,
            since_fit: 0,
            pending: VecDeque::with_capacity(HORIZON + 1),
            blocks: vec![[0.0; BLOCKS]; HORIZON],
            sorted: Default::default(),
            next_block: 0,
            block_count: 0,
            keep_block: false,
            fast: 0.1,
            slow: 0.1,
        }
    }

    /// Takes in the last value of `past`, whose row is `row`; `steps` have passed since the one before.
    pub fn observe(&mut self, past: &Past, row: &[f32; SERIES], steps: usize) {
        if steps > 1 || past.back(0).is_nan() {
            self.pending.clear();
        }
        if past.back(0).is_nan() {
            return;
        }
        if let Some(last) = self.pending.back() {
            let error = ((past.back(0) - last.base) / last.scale - last.ahead[0]).abs();
            self.fast += (error.min(TARGET_MAX) - self.fast) * FAST;
            self.slow += (self.fast - self.slow) * SLOWLY;
        }
        if self.pending.len() == HORIZON
            && let Some(due) = self.pending.pop_front()
        {
            self.learn(past, &due);
        }
        let inputs = inputs_of(past, row);
        let (low, high) = past.range();
        let relative = |value: f64| (value - past.last()) / past.scale();
        let (low, high) = (relative(low).min(0.0), relative(high).max(0.0));
        // Means do not leave the range of what was seen; a young regression would.
        let ahead = self.ahead(&inputs).map(|point| point.clamp(low, high));
        self.pending.push_back(Pending {
            inputs,
            base: past.last(),
            scale: past.scale(),
            ahead,
            volatility: 0.5 * self.fast + 0.5 * self.slow + VOLATILITY_MIN,
        });
    }

    fn ahead(&self, inputs: &[f32; WIDTH]) -> [f64; HORIZON] {
        let mut sums = [0.0_f32; HORIZON];
        for (input, weights) in inputs.iter().zip(self.weights.chunks_exact(HORIZON)) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += input * weight;
            }
        }
        sums.map(f64::from)
    }

    fn learn(&mut self, past: &Past, due: &Pending) {
        if past.seen() <= FIRST_SEEN {
            return;
        }
        let relative = |value: f64| ((value - due.base) / due.scale).clamp(-TARGET_MAX, TARGET_MAX);
        let targets = past.path().map(relative);
        self.keep_block = !self.keep_block;
        if self.keep_block {
            let errors =
                std::array::from_fn(|step| ((targets[step] - due.ahead[step]) / due.volatility) as f32);
            self.keep(&errors);
        }
        self.add_row(&due.inputs, &targets);
        self.rows = self.rows.saturating_add(1);
        self.since_fit += 1;
        if self.rows >= FIRST_FIT && self.since_fit >= REFIT {
            self.fit();
        }
    }

    /// Keeps a block in the place of the oldest.
    fn keep(&mut self, errors: &[f32; HORIZON]) {
        let full = self.block_count == BLOCKS;
        for (sorted, step) in self.sorted.iter_mut().zip(ALONE) {
            let place =
                |sorted: &[f32], error: f32| sorted.partition_point(|other| other.total_cmp(&error).is_lt());
            if full {
                sorted.remove(place(sorted, self.blocks[step][self.next_block]));
            }
            sorted.insert(place(sorted, errors[step]), errors[step]);
        }
        for (block, error) in self.blocks.iter_mut().zip(errors) {
            block[self.next_block] = *error;
        }
        self.next_block = (self.next_block + 1) % BLOCKS;
        self.block_count = (self.block_count + 1).min(BLOCKS);
    }

    fn add_row(&mut self, inputs: &[f32; WIDTH], targets: &[f64; HORIZON]) {
        let mut start = 0;
        for (place, input) in inputs.iter().enumerate() {
            let end = start + place + 1;
            let input = f64::from(*input);
            if input != 0.0 {
                for (sum, other) in self.gram[start..end].iter_mut().zip(inputs) {
                    *sum += input * f64::from(*other);
                }
                for (sum, target) in self.cross[place * HORIZON..].iter_mut().zip(targets) {
                    *sum += input * target;
                }
            }
            start = end;
        }
    }

    fn fit(&mut self) {
        self.since_fit = 0;
        let count = self.gram[0].max(1.0);
        let mut factor = self.gram.clone();
        factor[0] += 1e-3;
        for place in 1..WIDTH {
            let start = place * (place + 1) / 2;
            let mean = self.gram[start] / count;
            let variance = self.gram[start + place] / count - mean * mean;
            // An input that has hardly moved yet says nothing about what it will do.
            factor[start + place] += PENALTY * variance.max(VARIANCE_MIN);
        }
        let mut solved = self.cross.clone();
        if solve(&mut factor, &mut solved) {
            self.weights = solved.iter().map(|weight| *weight as f32).collect();
        }
        for sum in self.gram.iter_mut().chain(&mut self.cross) {
            *sum *= FADE;
        }
    }

    /// The forecast from the last observation; `None` before the first one, and while the last one is missing.
    pub fn forecast(&self) -> Option<Blocks> {
        let now = self.pending.back()?;
        let mut targets: [Vec<f32>; TARGET_COUNT] = std::array::from_fn(|_| Vec::new());
        let volatility = now.volatility as f32;
        for (target, (sorted, step)) in self.sorted.iter().zip(ALONE).enumerate() {
            let point = now.ahead[step] as f32;
            targets[target] = sorted.iter().map(|error| point + volatility * error).collect();
        }
        [targets[3], targets[4]] = self.highest(&now.ahead.map(|point| point as f32), volatility);
        Some(Blocks {
            targets,
            base: now.base,
            scale: now.scale,
            point: targets_of(&now.ahead).map(|target| now.base + now.scale * target),
            volatility: now.volatility * now.scale,
        })
    }

    /// The highest of the next 3 and 12 values under every block.
    fn highest(&self, ahead: &[f32; HORIZON], volatility: f32) -> [Vec<f32>; 2] {
        let mut highest = [vec![0.0; BLOCKS], vec![0.0; BLOCKS]];
        let [short, long] = &mut highest;
        let (short, long) = (
            short.as_chunks_mut::<TOGETHER>().0,
            long.as_chunks_mut::<TOGETHER>().0,
        );
        for (place, (short, long)) in short.iter_mut().zip(long).enumerate() {
            let mut tops = [f32::NEG_INFINITY; TOGETHER];
            for (step, (errors, point)) in self.blocks.iter().zip(ahead).enumerate() {
                for (top, error) in tops.iter_mut().zip(&errors.as_chunks::<TOGETHER>().0[place]) {
                    let value = point + volatility * error;
                    *top = if value > *top { value } else { *top };
                }
                if step == ALONE[1] {
                    *short = tops;
                }
            }
            *long = tops;
        }
        for highest in &mut highest {
            highest.truncate(self.block_count);
        }
        highest
    }
}

impl Blocks {
    /// P(above `threshold`) in each window; half a count on either side keeps it from certainty.
    pub fn chances(&self, threshold: f64) -> [f64; WINDOW_COUNT] {
        let relative = ((threshold - self.base) / self.scale) as f32;
        WINDOW_TARGETS.map(|target| {
            let values = &self.targets[target];
            if values.is_empty() {
                return if relative < 0.0 { 0.75 } else { 0.25 };
            }
            let above = if target < ALONE.len() {
                (values.len() - values.partition_point(|value| *value <= relative)) as u32
            } else {
                values.iter().map(|value| u32::from(*value > relative)).sum()
            };
            (f64::from(above) + 0.5) / (values.len() as f64 + 1.0)
        })
    }

    /// The quantiles of each target, absolute.
    pub fn quantiles(&self) -> Quantiles {
        std::array::from_fn(|target| {
            let values = &self.targets[target];
            if values.is_empty() {
                return [self.point[target]; LEVELS.len()];
            }
            let mut sorted = Vec::new();
            let values = if target < ALONE.len() {
                values
            } else {
                sorted.clone_from(values);
                sort(&mut sorted);
                &sorted
            };
            LEVELS.map(|level| self.base + self.scale * quantile(values, level))
        })
    }
}

/// Solves `factor · x = sides` for all sides at once, by Cholesky's method; `factor` is a packed lower triangle.
/// False when it is not positive definite.
fn solve(factor: &mut [f64], sides: &mut [f64]) -> bool {
    if !factorise(factor, WIDTH) {
        return false;
    }
    for row in 0..WIDTH {
        let (done, open) = sides.split_at_mut(row * HORIZON);
        for column in 0..row {
            subtract(
                &mut open[..HORIZON],
                &done[column * HORIZON..],
                factor[start(row) + column],
            );
        }
        open[..HORIZON]
            .iter_mut()
            .for_each(|side| *side /= factor[start(row) + row]);
    }
    for row in (0..WIDTH).rev() {
        let (open, done) = sides.split_at_mut((row + 1) * HORIZON);
        let open = &mut open[row * HORIZON..];
        for below in row + 1..WIDTH {
            subtract(
                open,
                &done[(below - row - 1) * HORIZON..],
                factor[start(below) + row],
            );
        }
        for side in open.iter_mut() {
            *side /= factor[start(row) + row];
        }
    }
    true
}

fn subtract(from: &mut [f64], what: &[f64], weight: f64) {
    for (side, value) in from.iter_mut().zip(what) {
        *side -= weight * value;
    }
}

#[cfg(test)]
mod tests {
    use super::super::features::series_row;
    use super::*;

    fn wave(step: i64) -> f64 {
        let noise = (step * 7919 % 101) as f64 / 101.0;
        50.0 + 20.0 * (step as f64 * std::f64::consts::TAU / 48.0).sin() + noise
    }

    #[test]
    fn it_foresees_a_wave_and_its_blocks_cover_the_noise() {
        let (mut past, mut ridge) = (Past::new(300), Ridge::new());
        let (mut inside, mut asked, mut errors) = (0.0, 0.0, 0.0);
        for step in 0..2000 {
            let steps = past.push(step * 300, wave(step)).expect("time goes forward");
            ridge.observe(&past, &series_row(&past), steps);
            if step > 1500 {
                let blocks = ridge.forecast().expect("observed");
                let (next, quantiles) = (wave(step + 3), blocks.quantiles()[1]);
                inside += f64::from(u8::from(next > quantiles[0] && next <= quantiles[10]));
                errors += (blocks.point[1] - next).abs();
                asked += 1.0;
                let chances = blocks.chances(60.0);
                assert!(chances[0] <= chances[1] && chances[1] <= chances[2]);
            }
        }
        assert!(
            (inside / asked - 0.9).abs() < 0.07,
            "90 % interval covers {}",
            inside / asked
        );
        assert!(errors / asked < 1.0, "mean error {}", errors / asked);
    }

    #[test]
    fn a_constant_series_is_foreseen() {
        let (mut past, mut ridge) = (Past::new(300), Ridge::new());
        for step in 0..600 {
            let steps = past.push(step * 300, 7.0).expect("time goes forward");
            ridge.observe(&past, &series_row(&past), steps);
        }
        let blocks = ridge.forecast().expect("observed");
        assert!((blocks.quantiles()[4][11] - 7.0).abs() < 1e-3);
        assert!(blocks.chances(7.5)[2] < 0.01 && blocks.chances(6.5)[2] > 0.99);
    }
}

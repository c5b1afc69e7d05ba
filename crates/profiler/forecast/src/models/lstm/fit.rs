//! Training the network: examples from traces, Adam (Kingma and Ba, ICLR 2015), one rise and fall of the rate.

use super::network::{Example, WEIGHTS, learn, start};
use super::{Lstm, sequence_of};
use crate::models::gbdt::Random;
use crate::models::past::HORIZON;
use crate::models::series::{EVENT_ROW, Series};
use crate::models::training::{TARGET_MAX, Trace, sorted_part, threshold_of};
use crate::models::{WINDOW_TARGETS, targets_of};

/// Settings of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// One of this many steps becomes an example.
    pub stride: f64,
    /// Rounds over all examples.
    pub epochs: usize,
    /// Examples between two steps.
    pub batch: usize,
    /// The highest rate.
    pub rate: f32,
    /// Seed of everything drawn.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stride: 10.0,
            epochs: 6,
            batch: 128,
            rate: 3e-3,
            seed: 23,
        }
    }
}

/// Gradients longer than this are cut to it.
const NORM_MAX: f32 = 1.0;
/// Share of the steps in which the rate rises.
const RISING: f32 = 0.3;

/// Trains a network on the training parts of `traces`.
pub fn fit(traces: &[Trace], options: &Options) -> Lstm {
    let mut random = Random(options.seed);
    let mut examples = Vec::new();
    for trace in traces {
        follow(trace, options, &mut random, &mut examples);
    }
    let mut lstm = standards(&examples);
    for example in &mut examples {
        example.event = lstm.event(&example.event);
    }
    lstm.weights = descend(&examples, options, &mut random);
    lstm
}

fn follow(trace: &Trace, options: &Options, random: &mut Random, examples: &mut Vec<Example>) {
    let end = trace.end.min(trace.values.len()).min(trace.times_s.len());
    let sorted = sorted_part(&trace.values[..end]);
    let mut series = Series::new(trace.step_s);
    for step in 0..end.saturating_sub(HORIZON) {
        if series.observe(trace.times_s[step], trace.values[step]).is_err() || step < 2 * HORIZON {
            continue;
        }
        let targets = targets_of(&trace.path_after(step));
        let known = targets.iter().all(|target| target.is_finite());
        if random.unit() * options.stride >= 1.0 || !known {
            continue;
        }
        let Some(moment) = series.moment() else { continue };
        let threshold = threshold_of(&sorted, random);
        let relative = |target: f64| ((target - moment.base) / moment.scale).clamp(-TARGET_MAX, TARGET_MAX);
        examples.push(Example {
            sequence: sequence_of(series.past()),
            event: series.event_row(&moment, &series.exceedances(threshold)).0,
            targets: targets.map(|target| relative(target) as f32),
            happened: WINDOW_TARGETS.map(|target| f32::from(u8::from(targets[target] > threshold))),
        });
    }
}

/// Mean and deviation of each number of the event rows.
fn standards(examples: &[Example]) -> Lstm {
    let mut lstm = Lstm::default();
    for place in 0..EVENT_ROW {
        let known = || {
            examples
                .iter()
                .map(|example| f64::from(example.event[place]))
                .filter(|value| !value.is_nan())
        };
        let count = known().count().max(1) as f64;
        let mean = known().sum::<f64>() / count;
        let spread = (known().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        lstm.middle.push(mean as f32);
        lstm.spread.push((spread + 1e-4) as f32);
    }
    lstm
}

fn descend(examples: &[Example], options: &Options, random: &mut Random) -> Vec<f32> {
    let mut weights = start(|| random.unit());
    let (mut first, mut second) = (vec![0.0; WEIGHTS], vec![0.0; WEIGHTS]);
    let batches = examples.len() / options.batch.max(1);
    let total = (batches * options.epochs).max(1);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    let mut step = 0;
    for _ in 0..options.epochs {
        for place in (1..order.len()).rev() {
            order.swap(place, random.below(place + 1));
        }
        for batch in order.chunks_exact(options.batch.max(1)) {
            let mut gradients = vec![0.0; WEIGHTS];
            for example in batch {
                learn(&weights, &examples[*example], &mut gradients);
            }
            step += 1;
            let rate = options.rate * shape(step as f32 / total as f32);
            cut(&mut gradients, options.batch);
            adam(&mut weights, &gradients, (&mut first, &mut second), step, rate);
        }
    }
    weights
}

/// The rate's course: a straight rise, then half a cosine down.
fn shape(done: f32) -> f32 {
    if done < RISING {
        0.1 + 0.9 * done / RISING
    } else {
        0.5 + 0.5 * ((done - RISING) / (1.0 - RISING) * std::f32::consts::PI).cos()
    }
}

/// Means of the batch, no longer than the bound.
fn cut(gradients: &mut [f32], batch: usize) {
    let mut norm = 0.0;
    for gradient in gradients.iter_mut() {
        *gradient /= batch as f32;
        norm += *gradient * *gradient;
    }
    let factor = NORM_MAX / norm.sqrt().max(NORM_MAX);
    for gradient in gradients {
        *gradient *= factor;
    }
}

fn adam(
    weights: &mut [f32],
    gradients: &[f32],
    (first, second): (&mut [f32], &mut [f32]),
    step: i32,
    rate: f32,
) {
    let corrections = (1.0 - 0.9_f32.powi(step), 1.0 - 0.999_f32.powi(step));
    let moments = first.iter_mut().zip(second);
    for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradients).zip(moments) {
        *first = 0.9 * *first + 0.1 * gradient;
        *second = 0.999 * *second + 0.001 * gradient * gradient;
        *weight -= rate * (*first / corrections.0) / ((*second / corrections.1).sqrt() + 1e-8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_is_learned_and_the_same_seed_gives_the_same_network() {
        let values = (0..400_i32).map(|step| 50.0 + 20.0 * (f64::from(step) / 6.0).sin());
        let traces = [Trace {
            id: "wave".to_owned(),
            step_s: 300,
            times_s: (0..400).map(|step| step * 300).collect(),
            values: values.collect(),
            minutes: Vec::new(),
            end: 400,
        }];
        let options = Options {
            stride: 8.0,
            epochs: 3,
            batch: 4,
            ..Options::default()
        };
        let lstm = fit(&traces, &options);
        assert!(lstm.is_trained());
        let mut random = Random(99);
        let mut examples = Vec::new();
        let rare = Options {
            stride: 30.0,
            ..options.clone()
        };
        follow(&traces[0], &rare, &mut random, &mut examples);
        let start = start(|| random.unit());
        let (mut before, mut after) = (0.0, 0.0);
        for mut example in examples {
            example.event = lstm.event(&example.event);
            before += learn(&start, &example, &mut vec![0.0; WEIGHTS]);
            after += learn(&lstm.weights, &example, &mut vec![0.0; WEIGHTS]);
        }
        assert!(after < 0.75 * before, "loss {after} of {before}");
        let short = Options {
            epochs: 1,
            stride: 40.0,
            ..options
        };
        assert_eq!(fit(&traces, &short), fit(&traces, &short));
    }
}

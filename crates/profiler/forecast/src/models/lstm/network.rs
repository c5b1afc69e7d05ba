//! The network: an encoder of the last four hours, a head for quantiles, and a head that is told the threshold.
//!
//! Long short-term memory (Hochreiter and Schmidhuber, Neural Computation 1997) of 64 cells. The threshold head reads
//! what the boosted forests read, which is what made it good; without it a recurrent network hardly beats smoothing.
//! One vector of weights, one thread, one order of additions: the same rows and seed give the same bytes.

use super::dense::Dense;
use crate::models::series::EVENT_ROW;
use crate::models::{LEVELS, QUANTILES, TARGET_COUNT, WINDOW_COUNT};

/// Steps that the encoder reads.
pub const STEPS: usize = 48;
/// Numbers of a step.
pub const WIDTH: usize = 9;
/// What the encoder reads.
pub type Sequence = [[f32; WIDTH]; STEPS];
const CELLS: usize = 64;
const QUANTILE_HIDDEN: usize = 96;
const EVENT_HIDDEN: usize = 64;
const VALUES: usize = TARGET_COUNT * QUANTILES;

const GATES: Dense = Dense {
    inputs: WIDTH + CELLS,
    outputs: 4 * CELLS,
    at: 0,
};
const BODY: Dense = Dense {
    inputs: CELLS + WIDTH,
    outputs: QUANTILE_HIDDEN,
    at: GATES.end(),
};
const BODY_OUT: Dense = Dense {
    inputs: QUANTILE_HIDDEN,
    outputs: VALUES,
    at: BODY.end(),
};
const EVENT: Dense = Dense {
    inputs: CELLS + EVENT_ROW,
    outputs: EVENT_HIDDEN,
    at: BODY_OUT.end(),
};
const EVENT_OUT: Dense = Dense {
    inputs: EVENT_HIDDEN,
    outputs: WINDOW_COUNT,
    at: EVENT.end(),
};
/// All layers.
const LAYERS: [Dense; 5] = [GATES, BODY, BODY_OUT, EVENT, EVENT_OUT];
/// Number of weights.
pub const WEIGHTS: usize = EVENT_OUT.end();

/// One row to learn from; numbers are in scales from the last value.
#[derive(Clone, Debug)]
pub struct Example {
    /// The last steps, the oldest first.
    pub sequence: Sequence,
    /// The event row, standardised.
    pub event: [f32; EVENT_ROW],
    /// What came.
    pub targets: [f32; TARGET_COUNT],
    /// Whether the event happened, by window.
    pub happened: [f32; WINDOW_COUNT],
}

/// What the encoder did, for the way back.
struct Encoded {
    inputs: Vec<[f32; WIDTH + CELLS]>,
    gates: Vec<[f32; 4 * CELLS]>,
    cells: Vec<[f32; CELLS]>,
    hidden: [f32; CELLS],
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

fn softplus(value: f32) -> f32 {
    value.max(0.0) + (-value.abs()).exp().ln_1p()
}

/// Weights to begin with: uniform by the number of inputs, the forget gates open.
pub fn start(mut unit: impl FnMut() -> f64) -> Vec<f32> {
    let mut weights = vec![0.0; WEIGHTS];
    for layer in LAYERS {
        let reach = 1.0 / (layer.inputs as f64).sqrt();
        for weight in &mut weights[layer.at..layer.end() - layer.outputs] {
            *weight = ((2.0 * unit() - 1.0) * reach) as f32;
        }
    }
    let constants = GATES.end() - GATES.outputs;
    weights[constants + CELLS..constants + 2 * CELLS].fill(1.0);
    weights
}

fn encode(weights: &[f32], sequence: &Sequence) -> Encoded {
    let mut encoded = Encoded {
        inputs: Vec::with_capacity(STEPS),
        gates: Vec::with_capacity(STEPS),
        cells: Vec::with_capacity(STEPS),
        hidden: [0.0; CELLS],
    };
    let mut cell = [0.0; CELLS];
    for step in sequence {
        let mut inputs = [0.0; WIDTH + CELLS];
        inputs[..WIDTH].copy_from_slice(step);
        inputs[WIDTH..].copy_from_slice(&encoded.hidden);
        let mut gates = [0.0; 4 * CELLS];
        GATES.forward(weights, &inputs, &mut gates);
        for place in 0..CELLS {
            let (input, forget) = (sigmoid(gates[place]), sigmoid(gates[CELLS + place]));
            let (output, change) = (sigmoid(gates[2 * CELLS + place]), gates[3 * CELLS + place].tanh());
            cell[place] = forget * cell[place] + input * change;
            encoded.hidden[place] = output * cell[place].tanh();
            gates[place] = input;
            gates[CELLS + place] = forget;
            gates[2 * CELLS + place] = output;
            gates[3 * CELLS + place] = change;
        }
        encoded.inputs.push(inputs);
        encoded.gates.push(gates);
        encoded.cells.push(cell);
    }
    encoded
}

/// The way back through the encoder, from the gradient of its last hidden state.
fn decode(weights: &[f32], encoded: &Encoded, mut hidden: [f32; CELLS], gradients: &mut [f32]) {
    let mut cell = [0.0_f32; CELLS];
    for step in (0..STEPS).rev() {
        let gates = &encoded.gates[step];
        let mut back = [0.0; 4 * CELLS];
        for place in 0..CELLS {
            let (input, forget) = (gates[place], gates[CELLS + place]);
            let (output, change) = (gates[2 * CELLS + place], gates[3 * CELLS + place]);
            let bent = encoded.cells[step][place].tanh();
            let before = if step == 0 {
                0.0
            } else {
                encoded.cells[step - 1][place]
            };
            cell[place] += hidden[place] * output * (1.0 - bent * bent);
            back[place] = cell[place] * change * input * (1.0 - input);
            back[CELLS + place] = cell[place] * before * forget * (1.0 - forget);
            back[2 * CELLS + place] = hidden[place] * bent * output * (1.0 - output);
            back[3 * CELLS + place] = cell[place] * input * (1.0 - change * change);
            cell[place] *= forget;
        }
        let mut inputs = [0.0; WIDTH + CELLS];
        GATES.backward(weights, &encoded.inputs[step], &back, gradients, &mut inputs);
        hidden.copy_from_slice(&inputs[WIDTH..]);
    }
}

/// The hidden layer and the outputs of a head.
fn head<const HIDDEN: usize, const OUT: usize>(
    weights: &[f32],
    (first, second): (Dense, Dense),
    inputs: &[f32],
) -> ([f32; HIDDEN], [f32; OUT]) {
    let (mut hidden, mut outputs) = ([0.0; HIDDEN], [0.0; OUT]);
    first.forward(weights, inputs, &mut hidden);
    for value in &mut hidden {
        *value = value.max(0.0);
    }
    second.forward(weights, &hidden, &mut outputs);
    (hidden, outputs)
}

/// Quantiles from the outputs of the head: the lowest, then steps upwards.
fn quantiles(outputs: &[f32; VALUES]) -> [[f32; QUANTILES]; TARGET_COUNT] {
    std::array::from_fn(|target| {
        let mut value = 0.0;
        std::array::from_fn(|level| {
            let output = outputs[target * QUANTILES + level];
            value += if level == 0 { output } else { softplus(output) };
            value
        })
    })
}

fn join<const LENGTH: usize>(hidden: &[f32; CELLS], rest: &[f32]) -> [f32; LENGTH] {
    let mut inputs = [0.0; LENGTH];
    inputs[..CELLS].copy_from_slice(hidden);
    inputs[CELLS..].copy_from_slice(rest);
    inputs
}

/// What the encoder makes of a sequence, and the quantiles of each target.
pub fn body(weights: &[f32], sequence: &Sequence) -> ([f32; CELLS], [[f32; QUANTILES]; TARGET_COUNT]) {
    let encoded = encode(weights, sequence);
    let inputs: [f32; CELLS + WIDTH] = join(&encoded.hidden, &sequence[STEPS - 1]);
    let (_, outputs) = head::<QUANTILE_HIDDEN, VALUES>(weights, (BODY, BODY_OUT), &inputs);
    (encoded.hidden, quantiles(&outputs))
}

/// The chance of the event in each window.
pub fn chances(weights: &[f32], hidden: &[f32; CELLS], event: &[f32; EVENT_ROW]) -> [f32; WINDOW_COUNT] {
    let inputs: [f32; CELLS + EVENT_ROW] = join(hidden, event);
    head::<EVENT_HIDDEN, WINDOW_COUNT>(weights, (EVENT, EVENT_OUT), &inputs)
        .1
        .map(sigmoid)
}

/// Adds the gradients of one example, and gives its loss: pinball and log-loss.
pub fn learn(weights: &[f32], example: &Example, gradients: &mut [f32]) -> f32 {
    let encoded = encode(weights, &example.sequence);
    let mut hidden = [0.0; CELLS];
    let body = learn_body(weights, &encoded, example, gradients, &mut hidden);
    let event = learn_event(weights, &encoded, example, gradients, &mut hidden);
    decode(weights, &encoded, hidden, gradients);
    body + event
}

fn learn_body(
    weights: &[f32],
    encoded: &Encoded,
    example: &Example,
    gradients: &mut [f32],
    hidden: &mut [f32; CELLS],
) -> f32 {
    let inputs: [f32; CELLS + WIDTH] = join(&encoded.hidden, &example.sequence[STEPS - 1]);
    let (middle, outputs) = head::<QUANTILE_HIDDEN, VALUES>(weights, (BODY, BODY_OUT), &inputs);
    let (mut loss, mut slopes) = (0.0, [0.0; VALUES]);
    for (target, quantiles) in quantiles(&outputs).iter().enumerate() {
        // A step moves its own quantile and all above it.
        let mut above = 0.0;
        for (level, quantile) in quantiles.iter().enumerate().rev() {
            let missed = example.targets[target] - quantile;
            let share = LEVELS[level] as f32;
            loss += (share * missed).max((share - 1.0) * missed) / VALUES as f32;
            let slope = if missed > 0.0 { -share } else { 1.0 - share };
            above += slope / VALUES as f32;
            let place = target * QUANTILES + level;
            slopes[place] = if level == 0 {
                above
            } else {
                above * sigmoid(outputs[place])
            };
        }
    }
    back(
        weights,
        (BODY, BODY_OUT),
        (&inputs, &middle, &slopes),
        gradients,
        hidden,
    );
    loss
}

fn learn_event(
    weights: &[f32],
    encoded: &Encoded,
    example: &Example,
    gradients: &mut [f32],
    hidden: &mut [f32; CELLS],
) -> f32 {
    let inputs: [f32; CELLS + EVENT_ROW] = join(&encoded.hidden, &example.event);
    let (middle, outputs) = head::<EVENT_HIDDEN, WINDOW_COUNT>(weights, (EVENT, EVENT_OUT), &inputs);
    let (mut loss, mut slopes) = (0.0, [0.0; WINDOW_COUNT]);
    for ((output, happened), slope) in outputs.iter().zip(example.happened).zip(&mut slopes) {
        loss += (softplus(*output) - happened * output) / WINDOW_COUNT as f32;
        *slope = (sigmoid(*output) - happened) / WINDOW_COUNT as f32;
    }
    back(
        weights,
        (EVENT, EVENT_OUT),
        (&inputs, &middle, &slopes),
        gradients,
        hidden,
    );
    loss
}

/// The way back through a head; adds to the gradient of the encoder's hidden state.
fn back<const INPUTS: usize, const HIDDEN: usize>(
    weights: &[f32],
    (first, second): (Dense, Dense),
    (inputs, middle, slopes): (&[f32; INPUTS], &[f32; HIDDEN], &[f32]),
    gradients: &mut [f32],
    hidden: &mut [f32; CELLS],
) {
    let mut of_middle = [0.0; HIDDEN];
    second.backward(weights, middle, slopes, gradients, &mut of_middle);
    for (slope, value) in of_middle.iter_mut().zip(middle) {
        if *value <= 0.0 {
            *slope = 0.0;
        }
    }
    let mut of_inputs = [0.0; INPUTS];
    first.backward(weights, inputs, &of_middle, gradients, &mut of_inputs);
    for (sum, slope) in hidden.iter_mut().zip(of_inputs) {
        *sum += slope;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gbdt::Random;

    fn example(random: &mut Random) -> Example {
        let mut unit = || random.unit() as f32 - 0.5;
        Example {
            sequence: std::array::from_fn(|_| std::array::from_fn(|_| unit())),
            event: std::array::from_fn(|_| unit()),
            targets: std::array::from_fn(|_| unit()),
            happened: [1.0, 0.0, 1.0],
        }
    }

    #[test]
    fn gradients_are_those_of_the_loss() {
        let mut random = Random(4);
        let mut weights = start(|| random.unit());
        let example = example(&mut random);
        let mut gradients = vec![0.0; WEIGHTS];
        learn(&weights, &example, &mut gradients);
        for layer in LAYERS {
            for place in [layer.at + 3, layer.at + layer.len() / 2, layer.end() - 1] {
                let kept = weights[place];
                let mut loss = |change: f32| {
                    weights[place] = kept + change;
                    learn(&weights, &example, &mut vec![0.0; WEIGHTS])
                };
                let slope = (loss(2e-3) - loss(-2e-3)) / 4e-3;
                weights[place] = kept;
                assert!(
                    (slope - gradients[place]).abs() < 2e-3,
                    "{place}: {slope} {}",
                    gradients[place]
                );
            }
        }
    }

    #[test]
    fn quantiles_rise() {
        let mut random = Random(9);
        let weights = start(|| random.unit());
        let (_, found) = body(&weights, &example(&mut random).sequence);
        assert!(found.iter().all(|target| target.is_sorted()));
    }
}

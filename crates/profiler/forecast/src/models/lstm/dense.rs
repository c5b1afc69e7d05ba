//! A layer of weights in a common vector, forward and backward.

/// Where a layer's weights stand: input by input, then the constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dense {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) at: usize,
}

impl Dense {
    /// Number of its weights.
    pub(super) const fn len(self) -> usize {
        (self.inputs + 1) * self.outputs
    }

    /// Where the next layer begins.
    pub(super) const fn end(self) -> usize {
        self.at + self.len()
    }

    fn row(self, input: usize) -> std::ops::Range<usize> {
        let start = self.at + input * self.outputs;
        start..start + self.outputs
    }

    pub(super) fn forward(self, weights: &[f32], inputs: &[f32], outputs: &mut [f32]) {
        outputs.copy_from_slice(&weights[self.row(self.inputs)]);
        for (place, input) in inputs.iter().enumerate() {
            for (output, weight) in outputs.iter_mut().zip(&weights[self.row(place)]) {
                *output += input * weight;
            }
        }
    }

    /// Adds to the gradients of the weights and gives those of the inputs.
    pub(super) fn backward(
        self,
        weights: &[f32],
        inputs: &[f32],
        outputs: &[f32],
        gradients: &mut [f32],
        back: &mut [f32],
    ) {
        for (gradient, output) in gradients[self.row(self.inputs)].iter_mut().zip(outputs) {
            *gradient += output;
        }
        for (place, (input, back)) in inputs.iter().zip(back).enumerate() {
            let row = self.row(place);
            let mut sums = [0.0_f32; 8];
            for (chunk, (gradients, weights)) in outputs
                .chunks(8)
                .zip(gradients[row.clone()].chunks_mut(8).zip(weights[row].chunks(8)))
            {
                let lanes = sums.iter_mut().zip(chunk).zip(gradients.iter_mut().zip(weights));
                for ((sum, output), (gradient, weight)) in lanes {
                    *gradient += input * output;
                    *sum += weight * output;
                }
            }
            *back = sums.iter().sum();
        }
    }
}

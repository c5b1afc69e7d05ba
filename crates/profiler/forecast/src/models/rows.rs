//! Rows of the event forests with what came after them, in the order in which they were kept: what every training of
//! them learns from, of traces, of a host's series and of its units.

use super::gbdt::Matrix;
use super::series::FOREST_ROW;
use super::{TARGET_COUNT, WINDOW_COUNT, WINDOW_TARGETS};
use serde::{Deserialize, Serialize};

/// The rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventRows {
    rows: Vec<f32>,
    /// 0 or 1 per window and row.
    happened: [Vec<f32>; WINDOW_COUNT],
}

/// Whether each window's target exceeds a threshold.
pub(crate) fn exceeded(targets: &[f64; TARGET_COUNT], threshold: f64) -> [bool; WINDOW_COUNT] {
    WINDOW_TARGETS.map(|target| targets[target] > threshold)
}

impl EventRows {
    /// Keeps a row with what came after it.
    pub fn keep(&mut self, row: &[f32; FOREST_ROW], happened: [bool; WINDOW_COUNT]) {
        self.rows.extend(row);
        for (kept, happened) in self.happened.iter_mut().zip(happened) {
            kept.push(f32::from(u8::from(happened)));
        }
    }

    /// Keeps the rows of another one after its own.
    pub fn extend(&mut self, other: &Self) {
        self.rows.extend(&other.rows);
        for (kept, happened) in self.happened.iter_mut().zip(&other.happened) {
            kept.extend(happened);
        }
    }

    /// Forgets the first `count` rows (at most all).
    pub fn forget(&mut self, count: usize) {
        self.rows.drain(..count * FOREST_ROW);
        for happened in &mut self.happened {
            happened.drain(..count);
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.happened[0].len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows.
    pub fn rows(&self) -> &[[f32; FOREST_ROW]] {
        self.rows.as_chunks().0
    }

    /// 0 or 1 per row of one window.
    pub fn happened(&self, window: usize) -> &[f32] {
        &self.happened[window]
    }

    /// The first `count` rows (at most all), binned.
    pub fn matrix(&self, count: usize, bins: usize) -> Matrix {
        Matrix::new(&self.rows[..count * FOREST_ROW], FOREST_ROW, bins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_outcomes_stay_together() {
        let mut rows = EventRows::default();
        for number in 0..5_u8 {
            rows.keep(&[f32::from(number); FOREST_ROW], [number % 2 == 0, false, true]);
        }
        rows.forget(2);
        let mut twice = rows.clone();
        twice.extend(&rows);
        assert_eq!((rows.len(), twice.len(), rows.is_empty()), (3, 6, false));
        assert!(
            twice
                .rows()
                .iter()
                .map(|row| row[7])
                .eq([2.0, 3.0, 4.0, 2.0, 3.0, 4.0])
        );
        assert_eq!(twice.happened(0), [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
        assert_eq!(twice.matrix(4, 8).rows(), 4);
        let targets = [3.0, 0.0, 0.0, 2.0, 5.0];
        assert_eq!(exceeded(&targets, 2.0), [true, false, true]);
    }
}

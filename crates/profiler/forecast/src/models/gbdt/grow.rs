//! One tree: best-first growth over histograms.

use super::bins::{MISSING, Matrix};
use super::train::Parameters;
use super::tree::{Node, Tree};

/// Sums over the rows of one bin.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    gradient: f64,
    hessian: f64,
    count: u32,
}

impl Cell {
    fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
            count: self.count + other.count,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
            count: self.count.saturating_sub(other.count),
        }
    }
}

/// A split that a leaf could make.
#[derive(Clone, Copy, Debug)]
struct Split {
    gain: f64,
    feature: usize,
    /// Rows with bins 1..=bin go left.
    bin: u8,
    missing_left: bool,
    left: Cell,
    right: Cell,
}

/// A leaf that may still be split.
struct Open {
    rows: std::ops::Range<usize>,
    total: Cell,
    /// Bounds on its value that monotone ancestors impose.
    bounds: (f64, f64),
    histogram: Vec<Cell>,
    best: Option<Split>,
    /// Where its reference stands: node and side, or the root.
    parent: Option<(usize, bool)>,
}

/// Gradients of one round, one per row.
pub(crate) struct Gradients {
    pub(crate) gradient: Vec<f32>,
    pub(crate) hessian: Vec<f32>,
}

/// Grows one tree over `rows` (reordered in place so that each leaf's rows stand together). Returns the
/// tree and the range of `rows` of each leaf.
pub(crate) fn grow(
    matrix: &Matrix,
    gradients: &Gradients,
    rows: &mut [u32],
    features: &[usize],
    parameters: &Parameters,
) -> (Tree, Vec<std::ops::Range<usize>>) {
    let mut grower = Grower {
        matrix,
        gradients,
        features,
        starts: starts_of(matrix, features),
        parameters,
        tree: Tree::default(),
    };
    let root = grower.open_root(rows);
    let mut open = vec![root];
    while open.len() < parameters.max_leaves {
        let Some(chosen) = best_leaf(&open) else { break };
        let leaf = open.swap_remove(chosen);
        let (left, right) = grower.split(&leaf, rows);
        open.push(left);
        open.push(right);
    }
    grower.finish(open)
}

/// Each feature has a cell for missing values and one per bin.
fn starts_of(matrix: &Matrix, features: &[usize]) -> Vec<u32> {
    let mut starts = vec![0];
    let mut end = 0;
    for feature in features {
        end += matrix.edges[*feature].len() as u32 + 1;
        starts.push(end);
    }
    starts
}

fn best_leaf(open: &[Open]) -> Option<usize> {
    let gains = open
        .iter()
        .enumerate()
        .filter_map(|(index, leaf)| Some((index, leaf.best?.gain)));
    gains
        .max_by(|left, right| left.1.total_cmp(&right.1))
        .map(|(index, _)| index)
}

struct Grower<'a> {
    matrix: &'a Matrix,
    gradients: &'a Gradients,
    features: &'a [usize],
    /// Where the cells of each of `features` begin in a histogram, and the length of a histogram.
    starts: Vec<u32>,
    parameters: &'a Parameters,
    tree: Tree,
}

impl Grower<'_> {
    fn open_root(&mut self, rows: &[u32]) -> Open {
        let histogram = self.histogram(rows);
        let total = self
            .cells(&histogram, 0)
            .iter()
            .fold(Cell::default(), |sum, cell| sum.plus(*cell));
        self.open(
            0..rows.len(),
            total,
            (f64::NEG_INFINITY, f64::INFINITY),
            histogram,
            None,
        )
    }

    fn open(
        &self,
        rows: std::ops::Range<usize>,
        total: Cell,
        bounds: (f64, f64),
        histogram: Vec<Cell>,
        parent: Option<(usize, bool)>,
    ) -> Open {
        let splittable = rows.len() >= 2 * self.parameters.min_rows.max(1);
        let best = splittable
            .then(|| self.best_split(&histogram, total, bounds))
            .flatten();
        Open {
            rows,
            total,
            bounds,
            histogram,
            best,
            parent,
        }
    }

    /// The cells of the feature at `position` of `features`.
    fn cells<'h>(&self, histogram: &'h [Cell], position: usize) -> &'h [Cell] {
        &histogram[self.starts[position] as usize..self.starts[position + 1] as usize]
    }

    fn histogram(&self, rows: &[u32]) -> Vec<Cell> {
        let length = self.starts.last().copied().unwrap_or(0);
        let mut cells = vec![Cell::default(); length as usize];
        for row in rows {
            let row = *row as usize;
            let bins = self.matrix.row(row);
            let gradient = f64::from(self.gradients.gradient[row]);
            let hessian = f64::from(self.gradients.hessian[row]);
            for (feature, start) in self.features.iter().zip(&self.starts) {
                let cell = &mut cells[*start as usize + bins[*feature] as usize];
                cell.gradient += gradient;
                cell.hessian += hessian;
                cell.count += 1;
            }
        }
        cells
    }

    fn best_split(&self, histogram: &[Cell], total: Cell, bounds: (f64, f64)) -> Option<Split> {
        let mut best: Option<Split> = None;
        for (position, feature) in self.features.iter().enumerate() {
            let cells = self.cells(histogram, position);
            let bins = self.matrix.edges[*feature].len();
            for missing_left in [false, true] {
                if missing_left && cells[MISSING as usize].count == 0 {
                    continue;
                }
                let found = self.scan(cells, bins, total, bounds, *feature, missing_left);
                if let Some(split) = found
                    && best.is_none_or(|best| split.gain > best.gain)
                {
                    best = Some(split);
                }
            }
        }
        best
    }

    /// The best threshold of one feature, with the missing values on one side.
    fn scan(
        &self,
        cells: &[Cell],
        bins: usize,
        total: Cell,
        bounds: (f64, f64),
        feature: usize,
        missing_left: bool,
    ) -> Option<Split> {
        let mut best: Option<Split> = None;
        let mut left = if missing_left {
            cells[MISSING as usize]
        } else {
            Cell::default()
        };
        for (bin, cell) in cells.iter().enumerate().take(bins).skip(1) {
            left = left.plus(*cell);
            let right = total.minus(left);
            let Some(gain) = self.gain(left, right, total, bounds, feature) else {
                continue;
            };
            if best.is_none_or(|best| gain > best.gain) {
                best = Some(Split {
                    gain,
                    feature,
                    bin: bin as u8,
                    missing_left,
                    left,
                    right,
                });
            }
        }
        best
    }

    /// Gain of a split, or `None` where a side is too small or a monotone constraint is broken.
    fn gain(&self, left: Cell, right: Cell, total: Cell, bounds: (f64, f64), feature: usize) -> Option<f64> {
        let least = self.parameters.min_rows as u32;
        if left.count < least || right.count < least {
            return None;
        }
        let (low, high) = (self.value(left, bounds), self.value(right, bounds));
        let direction = f64::from(self.parameters.monotone.get(feature).copied().unwrap_or(0));
        if direction * (high - low) < 0.0 {
            return None;
        }
        let score = |cell: Cell, value: f64| {
            -(cell.gradient * value + 0.5 * (cell.hessian + self.parameters.ridge) * value * value)
        };
        let gain = score(left, low) + score(right, high) - score(total, self.value(total, bounds));
        (gain > self.parameters.min_gain).then_some(gain)
    }

    fn value(&self, cell: Cell, bounds: (f64, f64)) -> f64 {
        (-cell.gradient / (cell.hessian + self.parameters.ridge)).clamp(bounds.0, bounds.1)
    }

    fn split(&mut self, leaf: &Open, rows: &mut [u32]) -> (Open, Open) {
        let split = leaf.best.expect("a leaf is split only where it has a split");
        let node = self.tree.nodes.len();
        self.tree.nodes.push(Node {
            feature: split.feature as u16,
            missing_left: split.missing_left,
            threshold: self.matrix.edges[split.feature][split.bin as usize - 1],
            left: 0,
            right: 0,
        });
        self.attach(leaf.parent, node as u32);
        let goes_left = |row: u32| match self.matrix.row(row as usize)[split.feature] {
            MISSING => split.missing_left,
            bin => bin <= split.bin,
        };
        let middle = leaf.rows.start + partition(&mut rows[leaf.rows.clone()], goes_left);
        let (left_rows, right_rows) = (leaf.rows.start..middle, middle..leaf.rows.end);
        let (left_bounds, right_bounds) = self.child_bounds(leaf, &split);
        let left_is_small = left_rows.len() <= right_rows.len();
        let small = self.histogram(
            &rows[if left_is_small {
                left_rows.clone()
            } else {
                right_rows.clone()
            }],
        );
        let large: Vec<Cell> = leaf
            .histogram
            .iter()
            .zip(&small)
            .map(|(all, part)| all.minus(*part))
            .collect();
        let (left_cells, right_cells) = if left_is_small {
            (small, large)
        } else {
            (large, small)
        };
        (
            self.open(left_rows, split.left, left_bounds, left_cells, Some((node, true))),
            self.open(
                right_rows,
                split.right,
                right_bounds,
                right_cells,
                Some((node, false)),
            ),
        )
    }

    /// A monotone split fences its two sides off from each other at the middle of their values.
    fn child_bounds(&self, leaf: &Open, split: &Split) -> ((f64, f64), (f64, f64)) {
        let (low, high) = leaf.bounds;
        let middle = f64::midpoint(
            self.value(split.left, leaf.bounds),
            self.value(split.right, leaf.bounds),
        );
        match self.parameters.monotone.get(split.feature).copied().unwrap_or(0) {
            0 => (leaf.bounds, leaf.bounds),
            1.. => ((low, middle), (middle, high)),
            _ => ((middle, high), (low, middle)),
        }
    }

    fn attach(&mut self, parent: Option<(usize, bool)>, reference: u32) {
        match parent {
            Some((node, true)) => self.tree.nodes[node].left = reference,
            Some((node, false)) => self.tree.nodes[node].right = reference,
            None => {}
        }
    }

    fn finish(mut self, open: Vec<Open>) -> (Tree, Vec<std::ops::Range<usize>>) {
        let mut ranges = Vec::with_capacity(open.len());
        for (index, leaf) in open.into_iter().enumerate() {
            self.tree.leaves.push(self.value(leaf.total, leaf.bounds) as f32);
            self.attach(leaf.parent, Tree::leaf_reference(index));
            ranges.push(leaf.rows);
        }
        (self.tree, ranges)
    }
}

/// Stable partition: the rows for which `goes_left` holds first, both sides in their old order. Returns
/// how many went left.
fn partition(rows: &mut [u32], goes_left: impl Fn(u32) -> bool) -> usize {
    let (left, right): (Vec<u32>, Vec<u32>) = rows.iter().partition(|row| goes_left(**row));
    rows[..left.len()].copy_from_slice(&left);
    rows[left.len()..].copy_from_slice(&right);
    left.len()
}

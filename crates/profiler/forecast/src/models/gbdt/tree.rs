//! Trees as they are stored and asked.

use super::super::QUANTILES;
use super::walk::{Prepared, Walks};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Marks a node reference as a leaf: the index of its value is the rest of the bits.
pub(super) const LEAF: u32 = 1 << 31;

/// One inner node. A row goes left when its value is at most `threshold`, or missing and `missing_left`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) feature: u16,
    pub(crate) missing_left: bool,
    pub(crate) threshold: f32,
    pub(crate) left: u32,
    pub(crate) right: u32,
}

/// One regression tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) leaves: Vec<f32>,
}

impl Tree {
    pub(crate) fn leaf_reference(leaf: usize) -> u32 {
        LEAF | leaf as u32
    }

    /// The index of the leaf that `row` falls into. A tree without nodes is one leaf.
    pub(crate) fn leaf_of(&self, row: &[f32]) -> usize {
        self.descend(|_, node| {
            let value = row[node.feature as usize];
            value <= node.threshold || (node.missing_left && value.is_nan())
        })
    }

    /// The index of the leaf that is reached when `left` says where each node (number and node) leads.
    pub(crate) fn descend(&self, left: impl Fn(usize, &Node) -> bool) -> usize {
        if self.nodes.is_empty() {
            return 0;
        }
        let mut at = 0_u32;
        while at & LEAF == 0 {
            let node = &self.nodes[at as usize];
            at = if left(at as usize, node) {
                node.left
            } else {
                node.right
            };
        }
        (at & !LEAF) as usize
    }

    /// The value of `row`'s leaf.
    pub fn predict(&self, row: &[f32]) -> f32 {
        self.leaf(self.leaf_of(row))
    }

    /// The value of a leaf.
    fn leaf(&self, leaf: usize) -> f32 {
        self.leaves.get(leaf).copied().unwrap_or(0.0)
    }

    /// True when every reference points at a node or leaf that exists and every feature is below `width`;
    /// what was read from a file must pass before it is asked.
    pub fn is_sound(&self, width: usize) -> bool {
        self.is_sound_with(width, 1)
    }

    fn is_sound_with(&self, width: usize, outputs: usize) -> bool {
        let leaves = self.leaves.len().checked_div(outputs).unwrap_or(0);
        let sound = |parent: usize, reference: u32| match reference & LEAF {
            0 => (reference as usize) > parent && (reference as usize) < self.nodes.len(),
            _ => ((reference & !LEAF) as usize) < leaves,
        };
        let nodes = self.nodes.iter().enumerate();
        leaves > 0
            && self.leaves.iter().all(|value| value.is_finite())
            && nodes.fold(true, |all, (index, node)| {
                all && (node.feature as usize) < width && sound(index, node.left) && sound(index, node.right)
            })
    }
}

/// A forest's trees laid out for being asked, which is done when it is first asked; `None` where they do not fit.
///
/// It follows from the trees: a copy begins without it, and it is no part of what is equal or written.
#[derive(Debug, Default)]
struct LaidOut(OnceLock<Option<Walks>>);

impl Clone for LaidOut {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for LaidOut {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A boosted sum of trees over rows of `width` features.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forest {
    /// Features of a row.
    pub width: usize,
    /// The prediction before the first tree.
    pub base: f32,
    /// The trees; their values are already scaled by the learning rate.
    trees: Vec<Tree>,
    #[serde(skip)]
    laid_out: LaidOut,
}

impl Forest {
    /// See the fields.
    pub(crate) fn new(width: usize, base: f32, trees: Vec<Tree>) -> Self {
        Self {
            width,
            base,
            trees,
            laid_out: LaidOut::default(),
        }
    }

    /// The trees.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The trees, to be changed.
    pub(crate) fn trees_mut(&mut self) -> &mut Vec<Tree> {
        self.laid_out = LaidOut::default();
        &mut self.trees
    }

    fn walks(&self) -> Option<&Walks> {
        let lay_out = || Walks::new(&self.trees, |tree, leaf| self.trees[tree].leaf(leaf));
        self.laid_out.0.get_or_init(lay_out).as_ref()
    }

    /// The raw sum for one row of `width` features (log-odds for events, the value for quantiles).
    pub fn predict(&self, row: &[f32]) -> f32 {
        let mut sum = self.base;
        match (self.walks(), Prepared::new(row)) {
            (Some(walks), Some(row)) => walks.of_row(&row, |said| sum += said),
            _ => self.trees.iter().for_each(|tree| sum += tree.predict(row)),
        }
        sum
    }

    /// The probability for one row, for a forest that was trained with the logistic loss.
    pub fn probability(&self, row: &[f32]) -> f64 {
        logistic(self.predict(row))
    }

    /// The probabilities for several rows of one width, which take little more than one.
    pub(crate) fn probabilities<const ROWS: usize>(&self, rows: &PreparedRows<ROWS>) -> [f64; ROWS] {
        let (Some(walks), Some(prepared)) = (self.walks(), &rows.prepared) else {
            return rows.rows.map(|row| self.probability(row));
        };
        let mut sums = [self.base; ROWS];
        walks.of_rows(prepared, |said| {
            for (sum, said) in sums.iter_mut().zip(said) {
                *sum += said;
            }
        });
        sums.map(logistic)
    }

    /// See [`Tree::is_sound`].
    pub fn is_sound(&self) -> bool {
        self.trees.iter().all(|tree| tree.is_sound(self.width))
    }
}

fn logistic(log_odds: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(log_odds)).exp())
}

/// Rows that several forests are to be asked about.
#[derive(Debug)]
pub(crate) struct PreparedRows<'a, const ROWS: usize> {
    rows: [&'a [f32]; ROWS],
    prepared: Option<[Prepared; ROWS]>,
}

impl<'a, const ROWS: usize> PreparedRows<'a, ROWS> {
    pub(crate) fn new(rows: [&'a [f32]; ROWS]) -> Self {
        let mut fit = true;
        let prepared = rows.map(|row| {
            Prepared::new(row).unwrap_or_else(|| {
                fit = false;
                Prepared::EMPTY
            })
        });
        Self {
            rows,
            prepared: fit.then_some(prepared),
        }
    }
}

/// A boosted sum of trees whose leaves hold what is to be added to each of several quantiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuantileForest {
    /// Features of a row.
    pub width: usize,
    /// Values of a leaf: one per quantile level.
    pub levels: usize,
    /// The trees; the values of a leaf stand together.
    trees: Vec<Tree>,
    #[serde(skip)]
    laid_out: LaidOut,
}

impl QuantileForest {
    /// See the fields.
    pub(crate) fn new(width: usize, levels: usize, trees: Vec<Tree>) -> Self {
        Self {
            width,
            levels,
            trees,
            laid_out: LaidOut::default(),
        }
    }

    /// The trees.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The trees, to be changed.
    pub(crate) fn trees_mut(&mut self) -> &mut Vec<Tree> {
        self.laid_out = LaidOut::default();
        &mut self.trees
    }

    /// The walks end in numbers of leaves, which are those of a tree's own.
    fn walks(&self) -> Option<&Walks> {
        let lay_out = || Walks::new(&self.trees, |_, leaf| leaf as f32);
        self.laid_out.0.get_or_init(lay_out).as_ref()
    }

    /// Adds what the trees say about one row of `width` features to `quantiles`, and puts these in rising order.
    pub fn add_to(&self, row: &[f32], quantiles: &mut [f32]) {
        let mut trees = self.trees.iter();
        match (self.walks(), Prepared::new(row)) {
            (Some(walks), Some(row)) => walks.of_row(&row, |leaf| {
                if let Some(tree) = trees.next() {
                    self.add_leaf(tree, leaf as usize, quantiles);
                }
            }),
            _ => trees.for_each(|tree| self.add_leaf(tree, tree.leaf_of(row), quantiles)),
        }
        quantiles.sort_unstable_by(f32::total_cmp);
    }

    fn add_leaf(&self, tree: &Tree, leaf: usize, quantiles: &mut [f32]) {
        let leaf = &tree.leaves[leaf * self.levels..];
        // So many have a length that the compiler knows.
        let known = (
            <&mut [f32; QUANTILES]>::try_from(&mut *quantiles),
            leaf.first_chunk::<QUANTILES>(),
        );
        if let (Ok(quantiles), Some(leaf)) = known {
            for (quantile, value) in quantiles.iter_mut().zip(leaf) {
                *quantile += value;
            }
            return;
        }
        for (quantile, value) in quantiles.iter_mut().zip(leaf) {
            *quantile += value;
        }
    }

    /// Leaves one level as it is: nothing is added to it any more.
    pub(crate) fn keep_level(&mut self, level: usize) {
        let levels = self.levels.max(1);
        for tree in self.trees_mut() {
            for value in tree.leaves.iter_mut().skip(level).step_by(levels) {
                *value = 0.0;
            }
        }
    }

    /// See [`Tree::is_sound`].
    pub fn is_sound(&self) -> bool {
        let trees = &mut self.trees.iter();
        trees.all(|tree| tree.is_sound_with(self.width, self.levels))
    }
}

//! Trees as they are stored and asked.

use serde::{Deserialize, Serialize};

/// Marks a node reference as a leaf: the index of its value is the rest of the bits.
const LEAF: u32 = 1 << 31;

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
        self.leaves.get(self.leaf_of(row)).copied().unwrap_or(0.0)
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

/// A boosted sum of trees over rows of `width` features.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forest {
    /// Features of a row.
    pub width: usize,
    /// The prediction before the first tree.
    pub base: f32,
    /// The trees; their values are already scaled by the learning rate.
    pub trees: Vec<Tree>,
}

impl Forest {
    /// The raw sum for one row of `width` features (log-odds for events, the value for quantiles).
    pub fn predict(&self, row: &[f32]) -> f32 {
        self.trees
            .iter()
            .fold(self.base, |sum, tree| sum + tree.predict(row))
    }

    /// The probability for one row, for a forest that was trained with the logistic loss.
    pub fn probability(&self, row: &[f32]) -> f64 {
        1.0 / (1.0 + (-f64::from(self.predict(row))).exp())
    }

    /// See [`Tree::is_sound`].
    pub fn is_sound(&self) -> bool {
        self.trees.iter().all(|tree| tree.is_sound(self.width))
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
    pub trees: Vec<Tree>,
}

impl QuantileForest {
    /// Adds what the trees say about one row of `width` features to `quantiles`, and puts these in rising order.
    pub fn add_to(&self, row: &[f32], quantiles: &mut [f32]) {
        for tree in &self.trees {
            let leaf = tree.leaf_of(row) * self.levels;
            for (quantile, value) in quantiles.iter_mut().zip(&tree.leaves[leaf..]) {
                *quantile += value;
            }
        }
        quantiles.sort_unstable_by(f32::total_cmp);
    }

    /// See [`Tree::is_sound`].
    pub fn is_sound(&self) -> bool {
        let trees = &mut self.trees.iter();
        trees.all(|tree| tree.is_sound_with(self.width, self.levels))
    }
}

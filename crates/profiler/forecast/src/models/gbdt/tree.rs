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
        if self.nodes.is_empty() {
            return 0;
        }
        let mut at = 0_u32;
        while at & LEAF == 0 {
            let node = &self.nodes[at as usize];
            let value = row[node.feature as usize];
            let left = if value.is_nan() {
                node.missing_left
            } else {
                value <= node.threshold
            };
            at = if left { node.left } else { node.right };
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
        let sound = |parent: usize, reference: u32| match reference & LEAF {
            0 => (reference as usize) > parent && (reference as usize) < self.nodes.len(),
            _ => ((reference & !LEAF) as usize) < self.leaves.len(),
        };
        let nodes = self.nodes.iter().enumerate();
        !self.leaves.is_empty()
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

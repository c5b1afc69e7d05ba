//! Trees laid out for being asked: all nodes of a forest in one array of eight bytes each, and a row prepared so that a
//! step down needs one comparison and no branch.
//!
//! Children stand side by side, so that the way down is a distance and the comparison's outcome. A leaf is a node that
//! leads to itself, so that several walks go on in one loop until the last has arrived: their loads overlap, and the
//! loop's end is guessed wrong once for all of them. What a missing value means to a node is said by which of two copies
//! of the row it looks into: in one of them missing values lie below everything, in the other above. Numbers are compared
//! as integers in the same order.

use super::tree::{LEAF, Node, Tree};

/// Features that a prepared row has room for.
const ROOM: usize = 255;
/// Place of the second copy of the row, in which missing values lie above everything.
const ABOVE: u16 = 256;
/// A place that always lies below everything.
const BELOW: u16 = 511;

/// A node; the walk goes to `ahead` nodes further, or one more when the value at `place` is above `threshold`. Of a leaf
/// `ahead` is nought, and `threshold` is what the leaf says, bit by bit.
#[derive(Clone, Copy, Debug)]
struct Step {
    threshold: u32,
    place: u16,
    ahead: u16,
}

impl Step {
    /// `None` where the node reads further than a prepared row reaches.
    fn of_node(node: &Node, ahead: u16) -> Option<Self> {
        // Nothing that is known is at most NaN.
        let threshold = if node.threshold.is_nan() {
            0
        } else {
            ordered(node.threshold)
        };
        (usize::from(node.feature) < ROOM).then_some(Self {
            threshold,
            place: node.feature | if node.missing_left { 0 } else { ABOVE },
            ahead,
        })
    }
}

/// A row, prepared for walks.
#[derive(Clone, Debug)]
pub(crate) struct Prepared([u32; 512]);

impl Prepared {
    /// A row of nothing.
    pub(crate) const EMPTY: Self = Self([0; 512]);

    /// `None` where the row is wider than there is room for.
    pub(crate) fn new(row: &[f32]) -> Option<Self> {
        if row.len() > ROOM {
            return None;
        }
        let mut prepared = Self::EMPTY;
        let (below, above) = prepared.0.split_at_mut(ABOVE.into());
        for ((below, above), value) in below.iter_mut().zip(above).zip(row) {
            let known = ordered(*value);
            *below = if value.is_nan() { 0 } else { known };
            *above = if value.is_nan() { u32::MAX } else { known };
        }
        Some(prepared)
    }
}

/// The trees of a forest, laid out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walks {
    steps: Vec<Step>,
    /// The place of each tree's first node.
    roots: Vec<u32>,
}

impl Walks {
    /// Lays out `trees`; a leaf says what `leaf` makes of the numbers of tree and leaf. `None` where a tree is too large
    /// or reads further than a prepared row reaches.
    pub(crate) fn new(trees: &[Tree], mut leaf: impl FnMut(usize, usize) -> f32) -> Option<Self> {
        let mut walks = Self::default();
        for (number, tree) in trees.iter().enumerate() {
            walks.roots.push(u32::try_from(walks.steps.len()).ok()?);
            walks.add(tree, |place| leaf(number, place))?;
        }
        Some(walks)
    }

    fn add(&mut self, tree: &Tree, mut leaf: impl FnMut(usize) -> f32) -> Option<()> {
        let first = if tree.nodes.is_empty() { LEAF } else { 0 };
        // What stands at each place; places are given out in the order of their parents.
        let mut references = vec![first];
        let mut place = 0;
        while let Some(reference) = references.get(place).copied() {
            self.steps.push(if reference & LEAF == 0 {
                let node = tree.nodes.get(reference as usize)?;
                let ahead = u16::try_from(references.len() - place).ok()?;
                references.extend([node.left, node.right]);
                Step::of_node(node, ahead)?
            } else {
                Step {
                    threshold: leaf((reference & !LEAF) as usize).to_bits(),
                    place: BELOW,
                    ahead: 0,
                }
            });
            place += 1;
        }
        Some(())
    }

    /// Walks down from several places at once; what the leaves there say.
    #[inline]
    fn arrive<const COUNT: usize>(&self, mut at: [usize; COUNT], rows: [&Prepared; COUNT]) -> [f32; COUNT] {
        let mut said = [0.0; COUNT];
        loop {
            let mut on_the_way = 0;
            for ((at, row), said) in at.iter_mut().zip(rows).zip(&mut said) {
                let step = self.steps[*at];
                let above = row.0[usize::from(step.place) & 511] > step.threshold;
                *at += usize::from(step.ahead) + usize::from(above);
                *said = f32::from_bits(step.threshold);
                on_the_way |= step.ahead;
            }
            if on_the_way == 0 {
                return said;
            }
        }
    }

    /// What each tree says of each of several rows.
    pub(crate) fn of_rows<const ROWS: usize>(
        &self,
        rows: &[Prepared; ROWS],
        mut take: impl FnMut([f32; ROWS]),
    ) {
        let rows = rows.each_ref();
        for root in &self.roots {
            take(self.arrive([*root as usize; ROWS], rows));
        }
    }

    /// What each tree says of one row, four trees at a time.
    pub(crate) fn of_row(&self, row: &Prepared, mut take: impl FnMut(f32)) {
        let (fours, rest) = self.roots.as_chunks::<4>();
        for roots in fours {
            let said = self.arrive(roots.map(|root| root as usize), [row; 4]);
            said.into_iter().for_each(&mut take);
        }
        for root in rest {
            let [said] = self.arrive([*root as usize], [row]);
            take(said);
        }
    }
}

/// A known number as an integer, neither the least nor the greatest, that compares with others as the number does.
fn ordered(number: f32) -> u32 {
    // Both noughts are one number.
    let bits = (number + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | (1 << 31) }
}

#[cfg(test)]
mod tests {
    use super::super::Random;
    use super::*;

    const WIDTH: usize = 5;

    /// A tree with as many leaves, grown anywhere.
    fn tree(leaves: u32, random: &mut Random) -> Tree {
        let mut nodes: Vec<Node> = Vec::new();
        for leaf in 1..leaves {
            let drawn = (random.unit() * f64::from(leaf)) as u32;
            let here = nodes.len() as u32;
            let split = |reference: &mut u32| {
                if *reference == LEAF | drawn {
                    *reference = here;
                }
            };
            for node in &mut nodes {
                split(&mut node.left);
                split(&mut node.right);
            }
            let edges = [-0.5, 0.0, 0.5, f32::INFINITY, f32::NAN];
            nodes.push(Node {
                feature: (random.unit() * WIDTH as f64) as u16,
                missing_left: random.unit() < 0.5,
                threshold: edges[(random.unit() * 5.0) as usize],
                left: LEAF | drawn,
                right: LEAF | leaf,
            });
        }
        Tree {
            nodes,
            leaves: (0..leaves).map(|leaf| leaf as f32 - 7.0).collect(),
        }
    }

    #[test]
    fn walks_arrive_where_the_trees_lead() {
        let mut random = Random(3);
        let trees: Vec<Tree> = (0..23).map(|number| tree(1 + number % 12, &mut random)).collect();
        let walks = Walks::new(&trees, |tree, leaf| trees[tree].leaves[leaf]).expect("small");
        let values = [
            -1.0,
            -0.5,
            0.0,
            0.2,
            0.5,
            2.0,
            f32::MAX,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ];
        for _ in 0..500 {
            let rows: [[f32; WIDTH]; 2] =
                std::array::from_fn(|_| std::array::from_fn(|_| values[(random.unit() * 10.0) as usize]));
            let prepared = rows.map(|row| Prepared::new(&row).expect("short"));
            let expected = |row: usize| trees.iter().map(move |tree| tree.predict(&rows[row]));
            let mut pairs = Vec::new();
            walks.of_rows(&prepared, |said| pairs.push(said));
            let mut singles = Vec::new();
            walks.of_row(&prepared[1], |said| singles.push(said));
            assert!(expected(0).eq(pairs.iter().map(|said| said[0])), "{rows:?}");
            assert!(expected(1).eq(pairs.iter().map(|said| said[1])), "{rows:?}");
            assert!(expected(1).eq(singles), "{rows:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Prepared::new(&[0.0; ROOM + 1]).is_none());
        let mut wide = tree(3, &mut Random(1));
        wide.nodes[1].feature = ROOM as u16;
        assert!(Walks::new(&[wide], |_, _| 0.0).is_none());
    }
}

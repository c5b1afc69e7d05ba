//! Boosting: rounds of trees against a loss.

use super::bins::Matrix;
use super::grow::{Gradients, grow};
use super::tree::{Forest, QuantileForest, Tree};
use serde::{Deserialize, Serialize};

/// What a forest is trained for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Loss {
    /// Log-loss of a 0/1 target; the forest predicts log-odds.
    Logistic,
    /// Squared error; the forest predicts the mean.
    Squared,
    /// Pinball loss at a level between 0 and 1; the forest predicts that quantile.
    Quantile(f32),
}

/// Settings of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Rounds of boosting.
    pub trees: usize,
    /// Leaves of a tree.
    pub max_leaves: usize,
    /// Step of each tree.
    pub learning_rate: f32,
    /// Rows that a leaf must keep.
    pub min_rows: usize,
    /// L2 penalty on leaf values.
    pub ridge: f64,
    /// A split must gain more than this.
    pub min_gain: f64,
    /// Share of features that a tree may use.
    pub feature_share: f64,
    /// Share of rows that a tree sees.
    pub row_share: f64,
    /// Per feature: 1 rising, -1 falling, 0 free; missing entries are free.
    pub monotone: Vec<i8>,
    /// Seed of the sampling.
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            trees: 120,
            max_leaves: 24,
            learning_rate: 0.12,
            min_rows: 50,
            ridge: 1e-3,
            min_gain: 1e-9,
            feature_share: 0.6,
            row_share: 0.7,
            monotone: Vec::new(),
            seed: 1,
        }
    }
}

/// `SplitMix64`: a small generator whose stream is the same everywhere (Steele et al., OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of the numbers below `count`, which is not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count - 1)
    }
}

/// Trains a forest on `matrix` and one target per row. `keep_going` is asked before each round, so that a
/// caller can stop early and keep what there is. An empty matrix gives a forest without trees.
pub fn train(
    matrix: &Matrix,
    targets: &[f32],
    loss: Loss,
    parameters: &Parameters,
    keep_going: impl FnMut(usize) -> bool,
) -> Forest {
    let rows = matrix.rows().min(targets.len());
    let base = base_of(&targets[..rows], loss);
    boost(
        matrix,
        targets,
        (base, vec![base; rows]),
        loss,
        parameters,
        keep_going,
    )
}

/// Trains a forest that adds to what another one says: `starts`, one per row. Its own base is nought.
pub fn train_from(
    matrix: &Matrix,
    targets: &[f32],
    starts: &[f32],
    loss: Loss,
    parameters: &Parameters,
) -> Forest {
    let rows = matrix.rows().min(targets.len()).min(starts.len());
    boost(
        matrix,
        &targets[..rows],
        (0.0, starts[..rows].to_vec()),
        loss,
        parameters,
        |_| true,
    )
}

fn boost(
    matrix: &Matrix,
    targets: &[f32],
    (base, scores): (f32, Vec<f32>),
    loss: Loss,
    parameters: &Parameters,
    mut keep_going: impl FnMut(usize) -> bool,
) -> Forest {
    let mut grower = Grower::new(matrix, targets, base, scores, loss, parameters);
    for round in 0..parameters.trees {
        if grower.scores.is_empty() || !keep_going(round) {
            break;
        }
        grower.grow();
    }
    grower.forest
}

/// Boosting tree by tree, so that a caller may stop anywhere, keep what there is, and go on later as if it had not.
pub struct Grower<'a> {
    matrix: &'a Matrix,
    targets: &'a [f32],
    scores: Vec<f32>,
    loss: Loss,
    parameters: &'a Parameters,
    random: Random,
    forest: Forest,
}

impl<'a> Grower<'a> {
    /// Nothing grown yet. `scores` is what is said of each row before the first tree, `base` what the forest says by
    /// itself; there are as many targets as scores.
    pub fn new(
        matrix: &'a Matrix,
        targets: &'a [f32],
        base: f32,
        scores: Vec<f32>,
        loss: Loss,
        parameters: &'a Parameters,
    ) -> Self {
        Self {
            matrix,
            targets,
            scores,
            loss,
            parameters,
            random: Random(parameters.seed),
            forest: Forest::new(matrix.width(), base, Vec::new()),
        }
    }

    /// Goes on after `trees`, with the generator as it was after them: see [`Grower::kept`].
    pub fn resume(&mut self, trees: Vec<Tree>, random: u64) {
        for tree in trees {
            self.add(tree);
        }
        self.random = Random(random);
    }

    /// Grows one tree.
    pub fn grow(&mut self) {
        let gradients = gradients_of(&self.scores, self.targets, self.loss);
        let mut sampled = sample(self.scores.len(), self.parameters.row_share, &mut self.random);
        let features = features_of(self.matrix, self.parameters, &mut self.random);
        let (mut tree, ranges) = grow(self.matrix, &gradients, &mut sampled, &features, self.parameters);
        if let Loss::Quantile(level) = self.loss {
            renew_leaves(&mut tree, &ranges, &sampled, self.targets, &self.scores, level);
        }
        for leaf in &mut tree.leaves {
            *leaf *= self.parameters.learning_rate;
        }
        self.add(tree);
    }

    fn add(&mut self, tree: Tree) {
        let binned = BinnedTree::new(&tree, self.matrix);
        for (row, score) in self.scores.iter_mut().enumerate() {
            *score += tree.leaves[binned.leaf_of(self.matrix.row(row))];
        }
        self.forest.trees_mut().push(tree);
    }

    /// What was grown, and the generator's state: what [`Grower::resume`] goes on from.
    pub fn kept(&self) -> (&Forest, u64) {
        (&self.forest, self.random.0)
    }
}

/// Trains all `levels` (each between 0 and 1) at once: each round's tree is shaped by the pinball loss of one level
/// in turn, and its leaves hold the quantiles of the errors at every level. One tree where others grow one per level.
///
/// `starts` are quantiles that another forecaster gave (row by row, `levels` each); the trees learn what to add.
pub fn train_quantiles(
    matrix: &Matrix,
    targets: &[f32],
    starts: &[f32],
    levels: &[f32],
    parameters: &Parameters,
) -> QuantileForest {
    let rows = matrix.rows().min(targets.len());
    let mut forest = QuantileForest::new(matrix.width(), levels.len(), Vec::new());
    let column = |level| starts.iter().skip(level).step_by(levels.len()).copied();
    let mut scores: Vec<Vec<f32>> = (0..levels.len()).map(|level| column(level).collect()).collect();
    let mut random = Random(parameters.seed);
    for round in 0..parameters.trees {
        if rows == 0 || levels.is_empty() {
            break;
        }
        // Seven is prime to the twelve levels of a forecast, so that neighbours do not follow each other.
        let shaping = (round * 7 + 5) % levels.len();
        let gradients = gradients_of(&scores[shaping], targets, Loss::Quantile(levels[shaping]));
        let mut sampled = sample(rows, parameters.row_share, &mut random);
        let features = features_of(matrix, parameters, &mut random);
        let (shape, ranges) = grow(matrix, &gradients, &mut sampled, &features, parameters);
        let mut tree = Tree {
            nodes: shape.nodes,
            leaves: Vec::with_capacity(ranges.len() * levels.len()),
        };
        for range in &ranges {
            for (level, scores) in levels.iter().zip(&scores) {
                let residual = |row: &u32| targets[*row as usize] - scores[*row as usize];
                let mut residuals: Vec<f32> = sampled[range.clone()].iter().map(residual).collect();
                tree.leaves
                    .push(parameters.learning_rate * quantile(&mut residuals, *level));
            }
        }
        let binned = BinnedTree::new(&tree, matrix);
        for row in 0..rows {
            let leaf = binned.leaf_of(matrix.row(row)) * levels.len();
            for (scores, value) in scores.iter_mut().zip(&tree.leaves[leaf..]) {
                scores[row] += value;
            }
        }
        forest.trees_mut().push(tree);
    }
    forest
}

fn features_of(matrix: &Matrix, parameters: &Parameters, random: &mut Random) -> Vec<usize> {
    let sampled = sample(matrix.width(), parameters.feature_share, random);
    if sampled.is_empty() {
        return (0..matrix.width()).collect();
    }
    sampled.into_iter().map(|feature| feature as usize).collect()
}

/// A tree whose thresholds are bins: what rows of the matrix are asked with.
struct BinnedTree<'a> {
    tree: &'a Tree,
    bins: Vec<u8>,
}

impl<'a> BinnedTree<'a> {
    fn new(tree: &'a Tree, matrix: &Matrix) -> Self {
        let bin = |node: &super::tree::Node| {
            let edges = &matrix.edges[node.feature as usize];
            edges.partition_point(|edge| *edge < node.threshold) as u8 + 1
        };
        Self {
            tree,
            bins: tree.nodes.iter().map(bin).collect(),
        }
    }

    fn leaf_of(&self, row: &[u8]) -> usize {
        self.tree.descend(|place, node| match row[node.feature as usize] {
            super::bins::MISSING => node.missing_left,
            bin => bin <= self.bins[place],
        })
    }
}

fn base_of(targets: &[f32], loss: Loss) -> f32 {
    let count = targets.len().max(1) as f64;
    let mean = targets.iter().map(|target| f64::from(*target)).sum::<f64>() / count;
    match loss {
        Loss::Logistic => {
            let share = mean.clamp(1e-6, 1.0 - 1e-6);
            (share / (1.0 - share)).ln() as f32
        }
        Loss::Squared => mean as f32,
        Loss::Quantile(level) => quantile(&mut targets.to_vec(), level),
    }
}

fn quantile(values: &mut [f32], level: f32) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let position = ((values.len() - 1) as f32 * level).round() as usize;
    *values.select_nth_unstable_by(position, f32::total_cmp).1
}

fn gradients_of(scores: &[f32], targets: &[f32], loss: Loss) -> Gradients {
    let pairs = scores.iter().zip(targets);
    let of = |score: f32, target: f32| match loss {
        Loss::Logistic => {
            let probability = 1.0 / (1.0 + (-score).exp());
            (
                probability - target,
                (probability * (1.0 - probability)).max(1e-6),
            )
        }
        Loss::Squared => (score - target, 1.0),
        Loss::Quantile(level) => (if target > score { -level } else { 1.0 - level }, 1.0),
    };
    let (gradient, hessian) = pairs.map(|(score, target)| of(*score, *target)).unzip();
    Gradients { gradient, hessian }
}

/// A seeded sample without replacement, in ascending order.
fn sample(count: usize, share: f64, random: &mut Random) -> Vec<u32> {
    (0..count as u32)
        .filter(|_| share >= 1.0 || random.unit() < share)
        .collect()
}

/// The pinball loss has no curvature, so a leaf takes the quantile of its residuals, as LightGBM does.
fn renew_leaves(
    tree: &mut Tree,
    ranges: &[std::ops::Range<usize>],
    rows: &[u32],
    targets: &[f32],
    scores: &[f32],
    level: f32,
) {
    for (leaf, range) in tree.leaves.iter_mut().zip(ranges) {
        let residual = |row: &u32| targets[*row as usize] - scores[*row as usize];
        let mut residuals: Vec<f32> = rows[range.clone()].iter().map(residual).collect();
        *leaf = quantile(&mut residuals, level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix_of(columns: &[Vec<f32>]) -> Matrix {
        let rows = columns.first().map_or(0, Vec::len);
        let values: Vec<f32> = (0..rows)
            .flat_map(|row| columns.iter().map(move |column| column[row]))
            .collect();
        Matrix::new(&values, columns.len(), 64)
    }

    /// Rows of (x, noise, sometimes missing) with P(event) rising in x.
    fn made(rows: usize) -> (Vec<Vec<f32>>, Vec<f32>) {
        let mut random = Random(7);
        let mut columns = vec![Vec::new(), Vec::new()];
        let mut targets = Vec::new();
        for _ in 0..rows {
            let x = random.unit() as f32 * 4.0 - 2.0;
            let chance = 1.0 / (1.0 + (-3.0 * f64::from(x)).exp());
            columns[0].push(if random.unit() < 0.05 { f32::NAN } else { x });
            columns[1].push(random.unit() as f32);
            targets.push(f32::from(u8::from(random.unit() < chance)));
        }
        (columns, targets)
    }

    fn brier(forest: &Forest, columns: &[Vec<f32>], targets: &[f32]) -> f64 {
        let rows = targets.iter().enumerate();
        let errors = rows.map(|(row, target)| {
            let values: Vec<f32> = columns.iter().map(|column| column[row]).collect();
            (forest.probability(&values) - f64::from(*target)).powi(2)
        });
        errors.sum::<f64>() / targets.len() as f64
    }

    #[test]
    fn events_are_learned_and_the_same_seed_gives_the_same_forest() {
        let (columns, targets) = made(6000);
        let matrix = matrix_of(&columns);
        let parameters = Parameters {
            trees: 40,
            monotone: vec![1],
            ..Parameters::default()
        };
        let forest = train(&matrix, &targets, Loss::Logistic, &parameters, |_| true);
        assert!(forest.is_sound());
        assert_eq!(
            forest,
            train(&matrix, &targets, Loss::Logistic, &parameters, |_| true)
        );
        let constant = Forest::new(forest.width, forest.base, Vec::new());
        let (fitted, climate) = (
            brier(&forest, &columns, &targets),
            brier(&constant, &columns, &targets),
        );
        assert!(fitted < 0.5 * climate, "Brier {fitted} against {climate}");
        let rising: Vec<f64> = (-20..=20)
            .map(|x| forest.probability(&[x as f32 / 10.0, 0.5]))
            .collect();
        assert!(
            rising.windows(2).all(|pair| pair[0] <= pair[1]),
            "monotone in the first feature"
        );
    }

    #[test]
    fn quantiles_cover_what_they_promise() {
        let mut random = Random(3);
        let x: Vec<f32> = (0..8000).map(|_| random.unit() as f32).collect();
        let y: Vec<f32> = x
            .iter()
            .map(|x| x * 10.0 + random.unit() as f32 * (1.0 + x))
            .collect();
        let matrix = matrix_of(std::slice::from_ref(&x));
        for level in [0.1, 0.5, 0.95] {
            let parameters = Parameters {
                feature_share: 1.0,
                ..Parameters::default()
            };
            let forest = train(&matrix, &y, Loss::Quantile(level), &parameters, |_| true);
            let below = x
                .iter()
                .zip(&y)
                .filter(|(x, y)| **y <= forest.predict(&[**x]))
                .count();
            let share = below as f32 / y.len() as f32;
            assert!((share - level).abs() < 0.02, "level {level} covers {share}");
        }
    }

    #[test]
    fn nothing_to_learn_from_is_no_panic() {
        let forest = train(
            &matrix_of(&[]),
            &[],
            Loss::Logistic,
            &Parameters::default(),
            |_| true,
        );
        assert_eq!(forest.trees().len(), 0);
        let constant = matrix_of(&[vec![1.0; 200]]);
        let forest = train(
            &constant,
            &[0.0; 200],
            Loss::Logistic,
            &Parameters::default(),
            |_| true,
        );
        assert!(forest.probability(&[1.0]) < 0.01);
    }

    #[test]
    fn one_forest_gives_all_quantiles() {
        let mut random = Random(3);
        let x: Vec<f32> = (0..8000).map(|_| random.unit() as f32).collect();
        let y: Vec<f32> = x
            .iter()
            .map(|x| x * 10.0 + random.unit() as f32 * (1.0 + x))
            .collect();
        let levels = [0.1, 0.5, 0.95];
        let parameters = Parameters {
            feature_share: 1.0,
            ..Parameters::default()
        };
        let forest = train_quantiles(
            &matrix_of(std::slice::from_ref(&x)),
            &y,
            &vec![5.0; 3 * y.len()],
            &levels,
            &parameters,
        );
        assert!(forest.is_sound());
        let mut below = [0_usize; 3];
        for (x, y) in x.iter().zip(&y) {
            let mut quantiles = [5.0; 3];
            forest.add_to(&[*x], &mut quantiles);
            for (count, quantile) in below.iter_mut().zip(quantiles) {
                *count += usize::from(*y <= quantile);
            }
        }
        for (level, count) in levels.iter().zip(below) {
            let share = count as f32 / y.len() as f32;
            assert!((share - level).abs() < 0.02, "level {level} covers {share}");
        }
    }
}

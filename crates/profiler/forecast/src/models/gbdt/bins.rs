//! Values to bins: training sees one byte per value.

/// Bin of a missing value; real values have bins 1 and up.
pub(crate) const MISSING: u8 = 0;

/// Rows of features as bins, row by row.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    rows: usize,
    bins: Vec<u8>,
    /// Upper edges per feature: a value belongs to the first bin whose edge is not below it.
    pub(crate) edges: Vec<Vec<f32>>,
}

impl Matrix {
    /// Bins `values` (rows of `width` features, one after the other) into at most `max_bins` (2 to 254) bins per
    /// feature, by the quantiles of at most 20,000 evenly spaced rows. NaN is missing.
    pub fn new(values: &[f32], width: usize, max_bins: usize) -> Self {
        let edges = (0..width).map(|feature| edges_of(values, width, feature, max_bins.clamp(2, 254)));
        let mut matrix = Self {
            rows: 0,
            bins: Vec::with_capacity(values.len()),
            edges: edges.collect(),
        };
        if width > 0 {
            values.chunks_exact(width).for_each(|row| matrix.push(row));
        }
        matrix
    }

    /// Adds one row, with the edges that there are.
    fn push(&mut self, row: &[f32]) {
        let binned = row
            .iter()
            .zip(&self.edges)
            .map(|(value, edges)| bin_of(*value, edges));
        self.bins.extend(binned);
        self.rows += 1;
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.edges.len()
    }

    /// The bins of one row.
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        &self.bins[row * self.width()..(row + 1) * self.width()]
    }
}

fn bin_of(value: f32, edges: &[f32]) -> u8 {
    if value.is_nan() {
        return MISSING;
    }
    let position = edges
        .partition_point(|edge| *edge < value)
        .min(edges.len().saturating_sub(1));
    1 + position as u8
}

fn edges_of(values: &[f32], width: usize, feature: usize, max_bins: usize) -> Vec<f32> {
    const SAMPLED_ROWS: usize = 20_000;
    let step = (values.len() / width).div_ceil(SAMPLED_ROWS).max(1);
    let column = values.iter().skip(feature).step_by(step * width);
    let mut values: Vec<f32> = column.copied().filter(|value| !value.is_nan()).collect();
    values.sort_by(f32::total_cmp);
    let mut distinct = values.clone();
    distinct.dedup();
    if distinct.len() <= max_bins {
        return between(&distinct);
    }
    let mut edges: Vec<f32> = (1..max_bins)
        .map(|bin| values[bin * values.len() / max_bins])
        .collect();
    edges.push(f32::INFINITY);
    edges.dedup();
    edges
}

/// Edges half way between neighbouring values, and an open last one.
fn between(distinct: &[f32]) -> Vec<f32> {
    let mut edges: Vec<f32> = distinct
        .windows(2)
        .map(|pair| pair[0] + (pair[1] - pair[0]) / 2.0)
        .collect();
    edges.push(f32::INFINITY);
    edges
}

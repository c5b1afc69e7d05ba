//! Values to bins: training sees one byte per value.

/// Bin of a missing value; real values have bins 1 and up.
pub(crate) const MISSING: u8 = 0;

/// Rows of features, column by column, with their bins.
#[derive(Clone, Debug)]
pub struct Matrix {
    rows: usize,
    pub(crate) bins: Vec<Vec<u8>>,
    /// Upper edges per feature: a value belongs to the first bin whose edge is not below it.
    pub(crate) edges: Vec<Vec<f32>>,
}

impl Matrix {
    /// Bins `columns` (one per feature, all of the same length) into at most `max_bins` (2 to 254) each, by
    /// the quantiles of at most 20,000 evenly spaced rows. NaN is missing.
    pub fn new(columns: &[Vec<f32>], max_bins: usize) -> Self {
        let rows = columns.first().map_or(0, Vec::len);
        let edges: Vec<Vec<f32>> = columns
            .iter()
            .map(|column| edges_of(column, max_bins.clamp(2, 254)))
            .collect();
        let binned = columns
            .iter()
            .zip(&edges)
            .map(|(column, edges)| column.iter().map(|value| bin_of(*value, edges)).collect());
        let bins = binned.collect();
        Self { rows, bins, edges }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.edges.len()
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

fn edges_of(column: &[f32], max_bins: usize) -> Vec<f32> {
    const SAMPLED_ROWS: usize = 20_000;
    let step = column.len().div_ceil(SAMPLED_ROWS).max(1);
    let mut values: Vec<f32> = column
        .iter()
        .step_by(step)
        .copied()
        .filter(|value| !value.is_nan())
        .collect();
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

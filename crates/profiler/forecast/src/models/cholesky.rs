//! Cholesky's factor of a symmetric matrix, which is stored as a packed lower triangle, row after row.

/// Where a row begins.
pub(super) const fn start(row: usize) -> usize {
    row * (row + 1) / 2
}

/// Puts the factor of the first `rows` rows in their place. False when the matrix is not positive definite.
pub(super) fn factorise(triangle: &mut [f64], rows: usize) -> bool {
    for row in 0..rows {
        for column in 0..=row {
            let (left, right) = (start(row), start(column));
            let products = triangle[left..left + column]
                .iter()
                .zip(&triangle[right..right + column]);
            let rest = triangle[left + column] - products.map(|(one, other)| one * other).sum::<f64>();
            if row == column && (rest <= 0.0 || !rest.is_finite()) {
                return false;
            }
            triangle[left + column] = if row == column {
                rest.sqrt()
            } else {
                rest / triangle[right + column]
            };
        }
    }
    true
}

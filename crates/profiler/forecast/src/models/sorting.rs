//! Sorting some hundreds of outcomes, which is most of what a forecast by blocks of errors would cost.
//!
//! Values are dealt to buckets of equal width between the outer values of a small sample; then each is nearly in its
//! place, and an insertion sort ends it. Where many fall into one bucket, it is sorted by itself: long tails cost more,
//! but are sorted all the same.

/// Fewer values are not worth dealing.
const VALUES_MIN: usize = 128;
const BUCKETS: usize = 256;
/// More values in one bucket are not left to the insertion sort.
const BUCKET_MOST: usize = 16;
const SAMPLE: usize = 32;
/// Added to a number below this one's half, it leaves the number rounded in the lowest bits.
const ROUNDING: f32 = 8_388_608.0;

/// What is sorted.
pub(crate) trait Outcome: Copy + Default + PartialOrd {
    /// The nearest single; nothing but the choice of a bucket goes by it.
    fn single(self) -> f32;
}

impl Outcome for f32 {
    fn single(self) -> f32 {
        self
    }
}

impl Outcome for f64 {
    fn single(self) -> f32 {
        self as f32
    }
}

/// Puts known values in rising order.
pub(crate) fn sort<T: Outcome>(values: &mut [T]) {
    let ordered = |left: &T, right: &T| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal);
    let Some((low, per_unit)) = spread(values) else {
        values.sort_unstable_by(ordered);
        return;
    };
    let last = (BUCKETS - 1) as f32;
    let bucket =
        |value: &T| (((value.single() - low) * per_unit).max(0.0).min(last) + ROUNDING).to_bits() as u8;
    let buckets: Vec<u8> = values.iter().map(bucket).collect();
    let mut begins = [0_u16; BUCKETS + 1];
    for bucket in &buckets {
        begins[usize::from(*bucket) + 1] += 1;
    }
    let mut full = Vec::new();
    let mut begin = 0;
    for (bucket, next) in begins[1..].iter_mut().enumerate() {
        let count = *next;
        if usize::from(count) > BUCKET_MOST {
            full.push(usize::from(begin)..usize::from(begin + count));
        }
        debug_assert!(bucket < BUCKETS);
        begin += count;
        *next = begin;
    }
    let mut dealt = vec![T::default(); values.len()];
    for (value, bucket) in values.iter().zip(&buckets) {
        let place = &mut begins[usize::from(*bucket)];
        dealt[usize::from(*place)] = *value;
        *place += 1;
    }
    for range in full {
        dealt[range].sort_unstable_by(ordered);
    }
    insert(&mut dealt);
    values.copy_from_slice(&dealt);
}

/// Where the buckets begin, and how many there are per unit; `None` where dealing makes no sense.
fn spread<T: Outcome>(values: &[T]) -> Option<(f32, f32)> {
    if values.len() < VALUES_MIN || values.len() > u16::MAX.into() {
        return None;
    }
    let mut sample: [f32; SAMPLE] =
        std::array::from_fn(|place| values[place * values.len() / SAMPLE].single());
    sample.sort_unstable_by(f32::total_cmp);
    let (low, high) = (sample[1], sample[SAMPLE - 2]);
    let per_unit = BUCKETS as f32 / (high - low);
    (high > low && per_unit.is_finite()).then_some((low, per_unit))
}

fn insert<T: Outcome>(values: &mut [T]) {
    for place in 1..values.len() {
        let value = values[place];
        let mut to = place;
        while to > 0 && values[to - 1] > value {
            values[to] = values[to - 1];
            to -= 1;
        }
        values[to] = value;
    }
}

#[cfg(test)]
mod tests {
    use super::super::gbdt::Random;
    use super::*;

    fn check(mut values: Vec<f64>) {
        let mut expected = values.clone();
        expected.sort_by(f64::total_cmp);
        let mut singles: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        sort(&mut values);
        assert_eq!(values, expected);
        sort(&mut singles);
        assert!(singles.is_sorted());
    }

    #[test]
    fn values_of_every_kind_are_sorted() {
        let mut random = Random(9);
        for count in [0, 1, 2, 127, 128, 720, 5000] {
            let mut drawn = |of: &dyn Fn(f64) -> f64| check((0..count).map(|_| of(random.unit())).collect());
            drawn(&|unit| unit);
            drawn(&|unit| -unit);
            drawn(&|_| 4.0);
            drawn(&|unit| (unit * 5.0).floor());
            // Long tails, far away, and nearly all the same.
            drawn(&|unit| 1.0 / (unit + 1e-9));
            drawn(&|unit| 1e12 + unit);
            drawn(&|unit| if unit < 0.05 { unit * 1e30 } else { 0.0 });
            drawn(&|unit| (unit - 0.5).tan() * 1e-30);
        }
        check((0..1000).map(f64::from).collect());
        check((0..1000).rev().map(f64::from).collect());
    }
}

//! One series' values as bytes: constant, whole numbers, counts over measured time, or floats.
//!
//! Rates are counts divided by the measured interval, which fills all 52 bits of the mantissa with noise
//! that carries nothing. Where dividing a whole number by the same interval gives back *exactly* the same
//! bits for every value, the whole numbers are stored. Everything else goes to `pco` as floats. Whatever is
//! chosen, decoding gives the bits that went in.

use crate::bytes::{Cursor, Malformed, Parsed, put_varint};
use pco::ChunkConfig;
use pco::data_types::Number;

const CONSTANT: u8 = 0;
const FLOATS: u8 = 1;
const WHOLE: u8 = 2;
/// The first of the [`SCALES`].
const RATES: u8 = 16;

/// Above this not every whole number is a float.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Speed over the last percent of size: sealing shares the host with what it watches.
const COMPRESSION_LEVEL: usize = 6;

/// How a count became the stored rate, after division by the interval: times or over a power of ten, as
/// readers convert micro- and nanoseconds to seconds.
#[derive(Clone, Copy, Debug)]
enum Scale {
    Times(f64),
    Over(f64),
}

/// Their number is on disk: append only.
const SCALES: [Scale; 6] = [
    Scale::Times(1.0),
    Scale::Times(1e-6),
    Scale::Times(1e-9),
    Scale::Over(1e6),
    Scale::Over(1e9),
    Scale::Over(100.0),
];

impl Scale {
    fn rate(self, count: f64, interval_s: f64) -> f64 {
        match self {
            Self::Times(1.0) => count / interval_s,
            Self::Times(factor) => count / interval_s * factor,
            Self::Over(divisor) => count / interval_s / divisor,
        }
    }

    fn count(self, rate: f64, interval_s: f64) -> Option<i64> {
        let count = match self {
            Self::Times(factor) => rate / factor * interval_s,
            Self::Over(divisor) => rate * divisor * interval_s,
        }
        .round();
        let exact = count.abs() < LARGEST_WHOLE && self.rate(count, interval_s).to_bits() == rate.to_bits();
        exact.then_some(count as i64)
    }
}

fn whole(value: f64) -> Option<i64> {
    let exact = value.abs() < LARGEST_WHOLE && (value as i64 as f64).to_bits() == value.to_bits();
    exact.then_some(value as i64)
}

fn compress<T: Number>(values: &[T]) -> Option<Vec<u8>> {
    let config = ChunkConfig::default().with_compression_level(COMPRESSION_LEVEL);
    pco::standalone::simple_compress(values, &config).ok()
}

fn decompress<T: Number + Default>(bytes: &[u8], count: usize) -> Parsed<Vec<T>> {
    let mut values = vec![T::default(); count];
    let progress = pco::standalone::simple_decompress_into(bytes, &mut values)
        .map_err(|_| Malformed("compressed values do not decompress"))?;
    if progress.n_processed != count || !progress.finished {
        return Err(Malformed("compressed values are not as many as stated"));
    }
    Ok(values)
}

fn tagged(tag: u8, compressed: Vec<u8>) -> Vec<u8> {
    let mut out = compressed;
    out.insert(0, tag);
    out
}

/// Uncompressed whole numbers, for what `pco` would refuse.
fn plain(values: &[f64]) -> Vec<u8> {
    let bytes = values.iter().flat_map(|value| value.to_bits().to_le_bytes());
    bytes.collect()
}

/// The bytes of `values`; `intervals_s` are those of the same ticks, or empty where there are none.
pub(crate) fn encode(values: &[f64], intervals_s: &[f64]) -> Vec<u8> {
    let Some(first) = values.first() else {
        return Vec::new();
    };
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        return tagged(CONSTANT, first.to_bits().to_le_bytes().to_vec());
    }
    if let Some(counts) = values
        .iter()
        .map(|value| whole(*value))
        .collect::<Option<Vec<_>>>()
        && let Some(compressed) = compress(&counts)
    {
        return tagged(WHOLE, compressed);
    }
    if intervals_s.len() == values.len() {
        for (number, scale) in SCALES.into_iter().enumerate() {
            let counts: Option<Vec<_>> = values
                .iter()
                .zip(intervals_s)
                .map(|(value, interval_s)| scale.count(*value, *interval_s))
                .collect();
            if let Some(compressed) = counts.and_then(|counts| compress(&counts)) {
                return tagged(RATES + number as u8, compressed);
            }
        }
    }
    compress(values).map_or_else(
        || tagged(u8::MAX, plain(values)),
        |compressed| tagged(FLOATS, compressed),
    )
}

/// The `count` values that [`encode`] was given with the same `intervals_s`.
pub(crate) fn decode(bytes: &[u8], count: usize, intervals_s: &[f64]) -> Parsed<Vec<f64>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut cursor = Cursor::new(bytes);
    let tag = cursor.u8()?;
    let rest = &bytes[1..];
    match tag {
        CONSTANT => Ok(vec![cursor.f64()?; count]),
        FLOATS => decompress(rest, count),
        WHOLE => Ok(decompress::<i64>(rest, count)?
            .into_iter()
            .map(|value| value as f64)
            .collect()),
        u8::MAX => (0..count).map(|_| cursor.f64()).collect(),
        _ => {
            let scale = SCALES
                .get(usize::from(tag.wrapping_sub(RATES)))
                .ok_or(Malformed("values are coded in an unknown way"))?;
            if intervals_s.len() != count {
                return Err(Malformed("a rate without its intervals"));
            }
            let counts = decompress::<i64>(rest, count)?;
            Ok(counts
                .into_iter()
                .zip(intervals_s)
                .map(|(value, interval_s)| scale.rate(value as f64, *interval_s))
                .collect())
        }
    }
}

/// Whole numbers, such as times.
pub(crate) fn encode_whole(values: &[i64]) -> Vec<u8> {
    let plain = || values.iter().flat_map(|value| value.to_le_bytes()).collect();
    compress(values).map_or_else(
        || tagged(u8::MAX, plain()),
        |compressed| tagged(WHOLE, compressed),
    )
}

/// What [`encode_whole`] was given.
pub(crate) fn decode_whole(bytes: &[u8], count: usize) -> Parsed<Vec<i64>> {
    let mut cursor = Cursor::new(bytes);
    match cursor.u8()? {
        WHOLE => decompress(&bytes[1..], count),
        u8::MAX => (0..count).map(|_| cursor.i64()).collect(),
        _ => Err(Malformed("whole numbers are coded in an unknown way")),
    }
}

/// Which ticks of a segment a value stands for: `(first tick, ticks)` runs, ascending, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs(pub(crate) Vec<(u32, u32)>);

impl Runs {
    /// Adds the next tick; ticks come in ascending order.
    pub(crate) fn push(&mut self, tick: u32) {
        match self.0.last_mut() {
            Some((start, length)) if *start + *length == tick => *length += 1,
            _ => self.0.push((tick, 1)),
        }
    }

    /// Adds ticks in ascending order.
    pub(crate) fn extend(&mut self, ticks: impl IntoIterator<Item = u32>) {
        for tick in ticks {
            self.push(tick);
        }
    }

    /// All ticks, ascending.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = usize> {
        self.0
            .iter()
            .flat_map(|(start, length)| *start as usize..(*start + *length) as usize)
    }

    /// Number of ticks.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|(_, length)| *length as usize).sum()
    }

    /// Appends the number of runs and, for each, the gap before it and its length.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        let mut end = 0;
        for (start, length) in &self.0 {
            put_varint(out, u64::from(start - end));
            put_varint(out, u64::from(*length));
            end = start + length;
        }
    }

    /// Reads what [`Runs::put`] wrote; no run goes beyond `ticks`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>, ticks: u32) -> Parsed<Self> {
        let mut runs = Vec::new();
        let mut end = 0_u64;
        for _ in 0..cursor.count()? {
            let start = end.saturating_add(cursor.varint()?);
            let length = cursor.varint()?;
            end = start.saturating_add(length);
            if end > u64::from(ticks) || length == 0 {
                return Err(Malformed("a run goes beyond the ticks"));
            }
            runs.push((start as u32, length as u32));
        }
        Ok(Self(runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(values: &[f64], intervals_s: &[f64], tag: Option<u8>) {
        let bytes = encode(values, intervals_s);
        if let Some(tag) = tag {
            assert_eq!(bytes[0], tag, "{values:?}");
        }
        let back = decode(&bytes, values.len(), intervals_s).expect("decodes");
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(values));
    }

    #[test]
    fn each_kind_of_column_is_recognised_and_exact() {
        check(&[-0.0; 5], &[], Some(CONSTANT));
        check(&[1.0, 2.0, 300.0], &[], Some(WHOLE));
        check(&[0.5, f64::NAN, f64::INFINITY, -0.0], &[], Some(FLOATS));
        let intervals_s = [1.000_123_456, 0.999_871_2, 1.013_3];
        let counts = [12_345.0, 0.0, 987_654.0];
        for (number, scale) in SCALES.into_iter().enumerate() {
            let rates: Vec<f64> = counts
                .iter()
                .zip(intervals_s)
                .map(|(count, interval_s)| scale.rate(*count, interval_s))
                .collect();
            let bytes = encode(&rates, &intervals_s);
            assert!(bytes[0] >= RATES, "scale {number} is seen");
            check(&rates, &intervals_s, None);
        }
    }

    proptest! {
        #[test]
        fn any_bits_read_back(bits in prop::collection::vec(any::<u64>(), 0..400),
                              intervals_s in prop::collection::vec(any::<f64>(), 400)) {
            let values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
            check(&values, &intervals_s[..values.len()], None);
        }

        #[test]
        fn runs_read_back(ticks in prop::collection::btree_set(0_u32..500, 0..100)) {
            let mut runs = Runs::default();
            runs.extend(ticks.iter().copied());
            let mut bytes = Vec::new();
            runs.put(&mut bytes);
            prop_assert_eq!(Runs::parse(&mut Cursor::new(&bytes), 500), Ok(runs.clone()));
            prop_assert!(runs.ticks().eq(ticks.iter().map(|tick| *tick as usize)));
            prop_assert_eq!(runs.count(), ticks.len());
        }
    }
}

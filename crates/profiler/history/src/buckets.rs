//! The summed-up tiers: mean, minimum, maximum and count per bucket, so that peaks survive.
//!
//! Buckets can be merged: the same minute seen in two pieces, or five minutes out of minutes. Times here are
//! the wall clock's, because these tiers answer "what is usual at this hour"; boots are not told apart.

use crate::bytes::{Cursor, Malformed, Parsed, put_bytes};
use crate::column::{self, Runs};
use crate::error::Result;
use crate::seconds::put_last;
use crate::segment::{Blocks, Segment, SegmentWriter, SeriesIndex, Tier};
use crate::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_types::{BootTime, Entity, Field, Moment, Row, Sample};

/// The measured values of one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) mean: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) count: f64,
}

impl Bucket {
    /// A bucket of one value.
    pub(crate) fn of(value: f64) -> Self {
        Self {
            mean: value,
            min: value,
            max: value,
            count: 1.0,
        }
    }

    /// This bucket and `other` in one.
    pub(crate) fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        let mean = self.mean + (other.mean - self.mean) * (other.count / count);
        // Infinite limits have no finite difference, but a sum.
        self.mean = if mean.is_nan() {
            self.mean + other.mean
        } else {
            mean
        };
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count = count;
    }
}

/// Buckets of one series by start in UTC milliseconds.
pub(crate) type Buckets = BTreeMap<i64, Bucket>;

/// Adds a bucket at `utc_ms` to those of `width_ms`.
pub(crate) fn add(buckets: &mut Buckets, utc_ms: i64, width_ms: i64, bucket: Bucket) {
    let start = utc_ms.div_euclid(width_ms) * width_ms;
    buckets
        .entry(start)
        .and_modify(|present| present.merge(&bucket))
        .or_insert(bucket);
}

fn encode(buckets: &[Bucket]) -> Vec<u8> {
    let column = |value: fn(&Bucket) -> f64| {
        let values: Vec<f64> = buckets.iter().map(value).collect();
        column::encode(&values, &[])
    };
    let mut out = Vec::new();
    put_bytes(&mut out, &column(|bucket| bucket.count));
    put_bytes(&mut out, &column(|bucket| bucket.mean));
    let flat = buckets.iter().all(|bucket| {
        let mean = bucket.mean.to_bits();
        bucket.min.to_bits() == mean && bucket.max.to_bits() == mean
    });
    if !flat {
        put_bytes(&mut out, &column(|bucket| bucket.min));
        put_bytes(&mut out, &column(|bucket| bucket.max));
    }
    out
}

fn decode(bytes: &[u8], length: usize) -> Parsed<Vec<Bucket>> {
    let mut cursor = Cursor::new(bytes);
    let mut column = || -> Parsed<Option<Vec<f64>>> {
        if cursor.is_empty() {
            return Ok(None);
        }
        column::decode(cursor.bytes()?, length, &[]).map(Some)
    };
    let missing = Malformed("a bucket column is missing");
    let counts = column()?.ok_or(missing)?;
    let means = column()?.ok_or(missing)?;
    let mins = column()?.unwrap_or_else(|| means.clone());
    let maxs = column()?.unwrap_or_else(|| means.clone());
    Ok((0..length)
        .map(|position| Bucket {
            mean: means[position],
            min: mins[position],
            max: maxs[position],
            count: counts[position],
        })
        .collect())
}

/// Makes the segment of `tier` that covers `[from_ms, to_ms)`; `gather` gives the buckets of one series.
pub(crate) fn build(
    tier: Tier,
    (from_ms, to_ms): (i64, i64),
    series: &BTreeMap<Entity, BTreeSet<Field>>,
    mut gather: impl FnMut(&Entity, Field) -> Result<Buckets>,
) -> Result<Vec<u8>> {
    let width_ms = tier.bucket_ms();
    let starts: Vec<i64> = (from_ms..to_ms).step_by(width_ms as usize).collect();
    let mut writer = SegmentWriter::new("", starts.len(), &[column::encode_whole(&starts)]);
    for (entity, fields) in series {
        let mut present = BTreeSet::new();
        let mut columns = Vec::new();
        for field in fields {
            let buckets = gather(entity, *field)?;
            let mut runs = Runs::default();
            for start in buckets.keys() {
                let tick = ((start - from_ms) / width_ms) as u32;
                runs.push(tick);
                present.insert(tick);
            }
            if !buckets.is_empty() {
                let buckets: Vec<Bucket> = buckets.into_values().collect();
                columns.push((*field, runs, encode(&buckets)));
            }
        }
        let mut runs = Runs::default();
        runs.extend(present);
        if !columns.is_empty() {
            writer.entity(entity, &runs, &columns);
        }
    }
    Ok(writer.finish(tier, from_ms, to_ms - 1))
}

/// Starts of all buckets of a segment, in UTC milliseconds.
pub(crate) fn starts(segment: &Segment, blocks: Blocks<'_>) -> Result<Vec<i64>> {
    let &[block] = segment.times.as_slice() else {
        return Err(crate::HistoryError::corrupt(&segment.path, "times are missing"));
    };
    column::decode_whole(&segment.block(blocks, block)?, segment.ticks)
        .map_err(|malformed| segment.malformed(malformed))
}

/// The buckets of one series, one for each tick of its runs.
pub(crate) fn values(segment: &Segment, blocks: Blocks<'_>, series: &SeriesIndex) -> Result<Vec<Bucket>> {
    decode(&segment.block(blocks, series.block)?, series.runs.count())
        .map_err(|malformed| segment.malformed(malformed))
}

/// The means of a segment as samples whose times are the buckets' starts.
pub(crate) fn samples(segment: &Segment, storage: &dyn Storage) -> Result<Vec<Sample>> {
    let bytes = segment.load(storage)?;
    let blocks = Blocks::Loaded(&bytes);
    let sample = |utc_ms| Sample {
        now: Moment {
            boot: BootTime::default(),
            utc_ms,
        },
        interval_s: segment.tier.bucket_ms() as f64 / 1e3,
        rows: Vec::new(),
    };
    let mut samples: Vec<Sample> = starts(segment, blocks)?.into_iter().map(sample).collect();
    for entry in &segment.entities {
        for tick in entry.present.ticks() {
            samples[tick].rows.push(Row::empty(entry.entity.clone()));
        }
        for series in &entry.series {
            let values = values(segment, blocks, series)?;
            let Some(field) = series.field else { continue };
            for (tick, bucket) in series.runs.ticks().zip(values) {
                put_last(&mut samples[tick], &entry.entity, field, bucket.mean);
            }
        }
    }
    samples.retain(|sample| !sample.rows.is_empty());
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], expect: Bucket) {
        let mut buckets = Buckets::new();
        for value in values {
            add(&mut buckets, 61_000, 60_000, Bucket::of(*value));
        }
        let bucket = buckets[&60_000];
        assert!((bucket.mean - expect.mean).abs() < 1e-12 || bucket.mean == expect.mean);
        assert_eq!(
            (bucket.min, bucket.max, bucket.count),
            (expect.min, expect.max, expect.count)
        );
        let bytes = encode(&[bucket, bucket]);
        assert_eq!(decode(&bytes, 2), Ok(vec![bucket, bucket]));
    }

    #[test]
    fn peaks_survive_and_infinite_limits_stay_infinite() {
        let bucket = |mean, min, max, count| Bucket {
            mean,
            min,
            max,
            count,
        };
        check(&[1.0, 5.0, 3.0], bucket(3.0, 1.0, 5.0, 3.0));
        check(&[2.0], bucket(2.0, 2.0, 2.0, 1.0));
        check(
            &[f64::INFINITY; 3],
            bucket(f64::INFINITY, f64::INFINITY, f64::INFINITY, 3.0),
        );
    }
}

//! Samples to a segment of the 1 s tier and back, bit for bit.

use crate::column::{self, Runs};
use crate::error::Result;
use crate::head::ABSENT;
use crate::segment::{Blocks, Segment, SegmentWriter, SeriesIndex, Tier};
use crate::storage::Storage;
use std::collections::BTreeMap;
use tidegate_types::{BootTime, Entity, Field, Moment, ROW_WIDTH, Row, Sample};

/// The ticks with a value, and the values.
type Column = (Runs, Vec<f64>);

#[derive(Debug, Default)]
struct EntityColumns {
    present: Runs,
    /// By slot; boxed, because most slots of most entities are empty.
    columns: [Option<Box<Column>>; ROW_WIDTH],
}

/// Gathers samples of one boot into columns.
#[derive(Debug, Default)]
pub(crate) struct SecondsBuilder {
    boot_ns: Vec<i64>,
    utc_ms: Vec<i64>,
    interval_s: Vec<f64>,
    columns: Vec<EntityColumns>,
    places: BTreeMap<Entity, usize>,
    /// Row position to column place in the sample before; mostly the same again.
    last: Vec<(Entity, usize)>,
}

impl SecondsBuilder {
    pub(crate) fn is_empty(&self) -> bool {
        self.utc_ms.is_empty()
    }

    /// First and last UTC milliseconds, whatever their order.
    fn range(&self) -> (i64, i64) {
        let first = self.utc_ms.iter().min().copied().unwrap_or_default();
        (first, self.utc_ms.iter().max().copied().unwrap_or_default())
    }

    fn place(&mut self, position: usize, entity: &Entity) -> usize {
        if let Some((before, place)) = self.last.get(position)
            && before == entity
        {
            return *place;
        }
        let place = *self.places.entry(entity.clone()).or_insert_with(|| {
            self.columns.push(EntityColumns::default());
            self.columns.len() - 1
        });
        self.last.truncate(position);
        self.last.push((entity.clone(), place));
        place
    }

    /// Adds the next sample.
    pub(crate) fn push(&mut self, sample: &Sample) {
        let tick = self.utc_ms.len() as u32;
        self.boot_ns.push(sample.now.boot.0.cast_signed());
        self.utc_ms.push(sample.now.utc_ms);
        self.interval_s.push(sample.interval_s);
        for (position, row) in sample.rows.iter().enumerate() {
            let place = self.place(position, &row.entity);
            let columns = &mut self.columns[place];
            columns.present.push(tick);
            for (slot, value) in row.values.iter().enumerate() {
                if value.to_bits() != ABSENT {
                    let column = columns.columns[slot].get_or_insert_with(Box::default);
                    column.0.push(tick);
                    column.1.push(*value);
                }
            }
        }
    }

    /// The finished file.
    pub(crate) fn finish(self, boot_id: &str) -> Vec<u8> {
        let (first, last) = self.range();
        let times = [
            column::encode_whole(&self.boot_ns),
            column::encode_whole(&self.utc_ms),
            column::encode(&self.interval_s, &[]),
        ];
        let mut writer = SegmentWriter::new(boot_id, self.utc_ms.len(), &times);
        let mut intervals_s = Vec::new();
        for (entity, place) in &self.places {
            let columns = &self.columns[*place];
            let fields = Field::of_kind(entity.kind()).map(|spec| spec.field);
            let series: Vec<_> = fields
                .zip(&columns.columns)
                .filter_map(|(field, column)| {
                    let (runs, values) = column.as_deref()?;
                    intervals_s.clear();
                    intervals_s.extend(runs.ticks().map(|tick| self.interval_s[tick]));
                    Some((field, runs.clone(), column::encode(values, &intervals_s)))
                })
                .collect();
            writer.entity(entity, &columns.present, &series);
        }
        writer.finish(Tier::Second, first, last)
    }
}

/// The times of a segment of the 1 s tier.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) moments: Vec<Moment>,
    pub(crate) interval_s: Vec<f64>,
}

/// Reads the times.
pub(crate) fn times(segment: &Segment, blocks: Blocks<'_>) -> Result<Times> {
    let &[boot, utc, interval] = segment.times.as_slice() else {
        return Err(crate::HistoryError::corrupt(&segment.path, "times are missing"));
    };
    let count = segment.ticks;
    let whole = |block| -> Result<Vec<i64>> {
        column::decode_whole(&segment.block(blocks, block)?, count)
            .map_err(|malformed| segment.malformed(malformed))
    };
    let (boot_ns, utc_ms) = (whole(boot)?, whole(utc)?);
    let interval_s = column::decode(&segment.block(blocks, interval)?, count, &[])
        .map_err(|malformed| segment.malformed(malformed))?;
    let moments = boot_ns
        .into_iter()
        .zip(utc_ms)
        .map(|(boot_ns, utc_ms)| Moment {
            boot: BootTime(boot_ns.cast_unsigned()),
            utc_ms,
        })
        .collect();
    Ok(Times { moments, interval_s })
}

/// The values of one series, one for each tick of its runs.
pub(crate) fn values(
    segment: &Segment,
    blocks: Blocks<'_>,
    series: &SeriesIndex,
    times: &Times,
) -> Result<Vec<f64>> {
    let intervals_s: Vec<f64> = series.runs.ticks().map(|tick| times.interval_s[tick]).collect();
    column::decode(
        &segment.block(blocks, series.block)?,
        intervals_s.len(),
        &intervals_s,
    )
    .map_err(|malformed| segment.malformed(malformed))
}

/// All samples of a segment, exactly as they were appended.
pub(crate) fn samples(segment: &Segment, storage: &dyn Storage) -> Result<Vec<Sample>> {
    let bytes = segment.load(storage)?;
    let blocks = Blocks::Loaded(&bytes);
    let times = times(segment, blocks)?;
    let mut samples: Vec<Sample> = times
        .moments
        .iter()
        .zip(&times.interval_s)
        .map(|(now, interval_s)| Sample {
            now: *now,
            interval_s: *interval_s,
            rows: Vec::new(),
        })
        .collect();
    for entry in &segment.entities {
        // Entities ascend, so the new row is the last one of each of its ticks.
        for tick in entry.present.ticks() {
            samples[tick].rows.push(Row::empty(entry.entity.clone()));
        }
        for series in &entry.series {
            let values = values(segment, blocks, series, &times)?;
            let Some(field) = series.field else { continue };
            for (tick, value) in series.runs.ticks().zip(values) {
                put_last(&mut samples[tick], &entry.entity, field, value);
            }
        }
    }
    Ok(samples)
}

/// Sets a field of the row that was added last; rows are added in the order of their entities, so a value of
/// another entity belongs to no row of this sample.
pub(crate) fn put_last(sample: &mut Sample, entity: &Entity, field: Field, value: f64) {
    let last = sample.rows.last_mut();
    if let Some(row) = last.filter(|row| row.entity == *entity) {
        row.values[field.slot()] = value;
    }
}

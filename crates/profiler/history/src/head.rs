//! The head: the samples of the last minutes, one frame a second, until they are sealed.
//!
//! Most values of a quiet host do not change from one second to the next, so a frame holds only the rows and
//! values whose bits differ from the frame before; every [`KEY_EVERY`]th holds everything. A changed frame
//! names the checksum of its predecessor and is not used without it. Values are kept as bits: what comes out
//! is what went in, absent values included.

use crate::bytes::{Cursor, Malformed, Parsed, put_varint};
use crate::frame::{self, Scan};
use crate::log;
use crate::names::{self, FieldTable};
use std::sync::Arc;
use tidegate_types::{BootTime, Moment, Row, Sample};

/// A whole frame at least this often: what corruption can cost beyond the frame that it hits.
pub(crate) const KEY_EVERY: u32 = 60;

pub(crate) const FIELDS: u8 = 1;
pub(crate) const BOOT: u8 = 2;
const KEY: u8 = 3;
const CHANGES: u8 = 4;

/// The bits of a value that was not measured.
pub(crate) const ABSENT: u64 = f64::NAN.to_bits();

/// Turns samples into frames.
#[derive(Debug, Default)]
pub(crate) struct HeadEncoder {
    previous: Option<(u32, Sample)>,
    since_key: u32,
    payload: Vec<u8>,
}

impl HeadEncoder {
    /// Appends the frame of `sample` to `out`. Call [`HeadEncoder::written`] once it is on disk.
    pub(crate) fn encode(&mut self, out: &mut Vec<u8>, sample: &Sample) -> u32 {
        self.payload.clear();
        put_moment(&mut self.payload, sample);
        let previous = self
            .previous
            .as_ref()
            .filter(|(_, before)| self.since_key < KEY_EVERY && same_rows(before, sample));
        let kind = if let Some((checksum, before)) = previous {
            self.payload.extend_from_slice(&checksum.to_le_bytes());
            put_changes(&mut self.payload, before, sample);
            CHANGES
        } else {
            put_all(&mut self.payload, sample);
            self.since_key = 0;
            KEY
        };
        frame::put(out, kind, &self.payload)
    }

    /// The frame of `sample` with this checksum is written: the next one builds on it.
    pub(crate) fn written(&mut self, checksum: u32, sample: &Sample) {
        self.since_key += 1;
        match &mut self.previous {
            Some((before_checksum, before)) if same_rows(before, sample) => {
                *before_checksum = checksum;
                for (old, new) in before.rows.iter_mut().zip(&sample.rows) {
                    old.values = new.values;
                }
            }
            previous => *previous = Some((checksum, sample.clone())),
        }
    }

    /// The next frame stands alone: a new file begins, or the last write failed.
    pub(crate) fn restart(&mut self) {
        self.previous = None;
        self.since_key = 0;
    }
}

fn same_rows(before: &Sample, sample: &Sample) -> bool {
    before.rows.len() == sample.rows.len()
        && before
            .rows
            .iter()
            .zip(&sample.rows)
            .all(|(old, new)| old.entity == new.entity)
}

fn put_moment(out: &mut Vec<u8>, sample: &Sample) {
    out.extend_from_slice(&sample.now.boot.0.to_le_bytes());
    out.extend_from_slice(&sample.now.utc_ms.to_le_bytes());
    out.extend_from_slice(&sample.interval_s.to_bits().to_le_bytes());
}

/// Bits of the slots whose value differs from what `before` has there.
fn mask_and_values(out: &mut Vec<u8>, row: &Row, mask: u32) {
    out.extend_from_slice(&mask.to_le_bytes());
    for (slot, value) in row.values.iter().enumerate() {
        if mask >> slot & 1 == 1 {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

fn difference(row: &Row, before: impl Fn(usize) -> u64) -> u32 {
    row.values
        .iter()
        .enumerate()
        .filter(|(slot, value)| value.to_bits() != before(*slot))
        .fold(0, |mask, (slot, _)| mask | 1 << slot)
}

fn put_all(out: &mut Vec<u8>, sample: &Sample) {
    put_varint(out, sample.rows.len() as u64);
    for row in &sample.rows {
        names::put_entity(out, &row.entity);
        mask_and_values(out, row, difference(row, |_| ABSENT));
    }
}

fn put_changes(out: &mut Vec<u8>, before: &Sample, sample: &Sample) {
    let mut unchanged = 0_u64;
    for (old, new) in before.rows.iter().zip(&sample.rows) {
        let mask = difference(new, |slot| old.values[slot].to_bits());
        if mask == 0 {
            unchanged += 1;
            continue;
        }
        put_varint(out, unchanged);
        mask_and_values(out, new, mask);
        unchanged = 0;
    }
}

/// What a head file held besides its samples.
#[derive(Debug, Default)]
pub(crate) struct HeadSummary {
    /// The kernel's boot id under which it was written.
    pub(crate) boot_id: Arc<str>,
    /// Frames whose meaning was not understood or whose predecessor is missing.
    pub(crate) unusable_frames: usize,
}

/// Calls `each` with every sample of the file, in order, in one reused buffer.
pub(crate) fn decode(scan: &Scan<'_>, mut each: impl FnMut(&Arc<str>, &Sample)) -> HeadSummary {
    let mut summary = HeadSummary::default();
    let mut table = None;
    let mut boot = None;
    let current = FieldTable::current();
    let mut sample = Sample::default();
    let mut last_checksum = None;
    for frame in &scan.frames {
        let known = match frame.kind {
            log::OPENED => Ok(()),
            FIELDS => FieldTable::parse(frame.payload).map(|parsed| table = Some(parsed)),
            BOOT => std::str::from_utf8(frame.payload)
                .map(|text| boot = Some(Arc::from(text)))
                .map_err(|_| Malformed("a boot id is not UTF-8")),
            KEY | CHANGES => {
                let parsed = if frame.kind == KEY {
                    parse_all(frame.payload, &mut sample)
                } else {
                    parse_changes(frame.payload, last_checksum, &mut sample)
                };
                last_checksum = parsed.is_ok().then_some(frame.checksum);
                parsed.and_then(|()| hand_out(&sample, table.as_ref(), &current, boot.as_ref(), &mut each))
            }
            _ => Err(Malformed("a frame is of an unknown kind")),
        };
        summary.unusable_frames += usize::from(known.is_err());
    }
    summary.boot_id = boot.unwrap_or_default();
    summary
}

/// Without the names of its fields or its boot a sample would be a guess.
fn hand_out(
    sample: &Sample,
    table: Option<&FieldTable>,
    current: &FieldTable,
    boot: Option<&Arc<str>>,
    each: &mut impl FnMut(&Arc<str>, &Sample),
) -> Parsed<()> {
    let (Some(table), Some(boot)) = (table, boot) else {
        return Err(Malformed("the frames that name fields and boot are missing"));
    };
    if table == current {
        each(boot, sample);
    } else {
        each(boot, &translated(sample, table));
    }
    Ok(())
}

/// The sample of another build, its values moved to this build's slots.
fn translated(sample: &Sample, table: &FieldTable) -> Sample {
    let rows = sample.rows.iter().map(|old| {
        let mut row = Row::empty(old.entity.clone());
        for (slot, field) in table.of(old.entity.kind()).iter().enumerate() {
            if let Some(field) = field {
                row.values[field.slot()] = old.values[slot];
            }
        }
        row
    });
    Sample {
        rows: rows.collect(),
        ..*sample
    }
}

fn parse_moment(cursor: &mut Cursor<'_>) -> Parsed<(Moment, f64)> {
    let boot = BootTime(cursor.u64()?);
    let utc_ms = cursor.i64()?;
    Ok((Moment { boot, utc_ms }, cursor.f64()?))
}

fn parse_values(cursor: &mut Cursor<'_>, row: &mut Row) -> Parsed<()> {
    let mask = cursor.u32()?;
    for (slot, value) in row.values.iter_mut().enumerate() {
        if mask >> slot & 1 == 1 {
            *value = cursor.f64()?;
        }
    }
    Ok(())
}

fn parse_all(payload: &[u8], sample: &mut Sample) -> Parsed<()> {
    let mut cursor = Cursor::new(payload);
    (sample.now, sample.interval_s) = parse_moment(&mut cursor)?;
    sample.rows.clear();
    for _ in 0..cursor.count()? {
        let mut row = Row::empty(names::entity(&mut cursor)?);
        parse_values(&mut cursor, &mut row)?;
        sample.rows.push(row);
    }
    Ok(())
}

fn parse_changes(payload: &[u8], last_checksum: Option<u32>, sample: &mut Sample) -> Parsed<()> {
    let mut cursor = Cursor::new(payload);
    let (now, interval_s) = parse_moment(&mut cursor)?;
    if last_checksum != Some(cursor.u32()?) {
        return Err(Malformed("the frame before is missing"));
    }
    (sample.now, sample.interval_s) = (now, interval_s);
    let mut position = 0;
    while !cursor.is_empty() {
        position = cursor.size()?.saturating_add(position);
        let row = sample
            .rows
            .get_mut(position)
            .ok_or(Malformed("a change lies beyond the rows"))?;
        parse_values(&mut cursor, row)?;
        position += 1;
    }
    Ok(())
}

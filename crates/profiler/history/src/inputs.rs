//! The input log: what each tick was given besides its sample, and the plan that came out of it.
//!
//! With the samples of the head and the sealed files it gives back every `Input` exactly, so that `replay`
//! can feed a record through the engine and compare plans byte for byte. A plan differs from the one before
//! by little more than its time, so only what differs between their common beginning and end is written.

use crate::bytes::{Cursor, Malformed, Parsed, put_bytes, put_varint};
use crate::error::Result;
use crate::{decision, frame};
use std::sync::Arc;
use tidegate_types::{BootTime, Event, Input, Moment, Sample};

pub(crate) const BOOT: u8 = 2;
pub(crate) const TICK: u8 = 3;
pub(crate) const PLAN: u8 = 4;

/// A whole plan at least this often within a file.
const WHOLE_PLAN_EVERY: u32 = 256;

/// One tick as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedTick {
    /// Counted without gaps by the store; a missing number is a tick that could not be written.
    pub number: u64,
    /// The kernel's boot id under which it ran.
    pub boot_id: Arc<str>,
    /// What went in.
    pub input: Input,
    /// The plan that came out, as the bytes that the caller gave.
    pub plan: Option<Vec<u8>>,
    /// True when the tick had a sample that is no longer there or not readable.
    pub sample_missing: bool,
}

/// A tick before its sample is found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TickRecord {
    pub(crate) number: u64,
    pub(crate) now: Moment,
    pub(crate) sample: Option<Moment>,
    pub(crate) events: Vec<Event>,
    pub(crate) plan: Option<Vec<u8>>,
}

fn put_moment(out: &mut Vec<u8>, moment: Moment) {
    out.extend_from_slice(&moment.boot.0.to_le_bytes());
    out.extend_from_slice(&moment.utc_ms.to_le_bytes());
}

fn moment(cursor: &mut Cursor<'_>) -> Parsed<Moment> {
    Ok(Moment {
        boot: BootTime(cursor.u64()?),
        utc_ms: cursor.i64()?,
    })
}

/// Appends the frame of one tick.
pub(crate) fn put_tick(out: &mut Vec<u8>, number: u64, input: &Input) -> Result<()> {
    let mut payload = Vec::new();
    put_varint(&mut payload, number);
    put_moment(&mut payload, input.now);
    let sample: Option<&Sample> = input.sample.as_ref();
    payload.push(u8::from(sample.is_some()));
    if let Some(sample) = sample {
        put_moment(&mut payload, sample.now);
    }
    if !input.events.is_empty() {
        payload.extend_from_slice(&decision::encode("events", &input.events)?);
    }
    frame::put(out, TICK, &payload);
    Ok(())
}

/// What [`put_tick`] wrote.
pub(crate) fn parse_tick(payload: &[u8]) -> Parsed<TickRecord> {
    let mut cursor = Cursor::new(payload);
    let number = cursor.varint()?;
    let now = moment(&mut cursor)?;
    let sample = match cursor.u8()? {
        0 => None,
        _ => Some(moment(&mut cursor)?),
    };
    let rest = cursor.take(cursor.left())?;
    let events = if rest.is_empty() {
        Vec::new()
    } else {
        decision::decode(rest).ok_or(Malformed("the events are of another version"))?
    };
    Ok(TickRecord {
        number,
        now,
        sample,
        events,
        plan: None,
    })
}

/// Writes and reads plans against the one before.
#[derive(Debug, Default)]
pub(crate) struct PlanCoder {
    previous: Vec<u8>,
    since_whole: u32,
}

impl PlanCoder {
    /// The next plan stands alone.
    pub(crate) fn restart(&mut self) {
        self.since_whole = 0;
    }

    /// Appends the frame of the plan of tick `number`; call [`PlanCoder::written`] once it is on disk.
    pub(crate) fn put(&self, out: &mut Vec<u8>, number: u64, plan: &[u8]) {
        let whole = self.since_whole == 0;
        let (prefix, suffix) = if whole {
            (0, 0)
        } else {
            common(&self.previous, plan)
        };
        let base = if whole { 0 } else { crc32fast::hash(&self.previous) };
        let mut payload = Vec::new();
        put_varint(&mut payload, number);
        payload.push(u8::from(!whole));
        payload.extend_from_slice(&base.to_le_bytes());
        put_varint(&mut payload, prefix as u64);
        put_varint(&mut payload, suffix as u64);
        put_bytes(&mut payload, &plan[prefix..plan.len() - suffix]);
        frame::put(out, PLAN, &payload);
    }

    /// The plan is written: the next one builds on it.
    pub(crate) fn written(&mut self, plan: &[u8]) {
        self.since_whole = (self.since_whole + 1) % WHOLE_PLAN_EVERY;
        self.previous.clear();
        self.previous.extend_from_slice(plan);
    }

    /// The tick's number and its plan.
    pub(crate) fn parse(&mut self, payload: &[u8]) -> Parsed<(u64, Vec<u8>)> {
        let mut cursor = Cursor::new(payload);
        let number = cursor.varint()?;
        let builds_on_previous = cursor.u8()? != 0;
        let base = cursor.u32()?;
        let (prefix, suffix) = (cursor.size()?, cursor.size()?);
        let middle = cursor.bytes()?;
        if !builds_on_previous {
            self.previous.clear();
        } else if crc32fast::hash(&self.previous) != base {
            return Err(Malformed("the plan before is missing"));
        }
        let from = self.previous.len().checked_sub(suffix);
        let (Some(begin), Some(end)) = (
            self.previous.get(..prefix),
            from.and_then(|from| self.previous.get(from..)),
        ) else {
            return Err(Malformed("a plan builds on more than there was"));
        };
        let plan = [begin, middle, end].concat();
        self.previous.clone_from(&plan);
        Ok((number, plan))
    }
}

/// Lengths of the common beginning and of the common end of what follows it.
fn common(before: &[u8], now: &[u8]) -> (usize, usize) {
    let same = |(left, right): &(&u8, &u8)| left == right;
    let prefix = before.iter().zip(now).take_while(same).count();
    let rest = before[prefix..].iter().rev().zip(now[prefix..].iter().rev());
    (prefix, rest.take_while(same).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_cost_what_differs_and_read_back() {
        let mut writer = PlanCoder::default();
        let mut reader = PlanCoder::default();
        let mut frames = vec![0; frame::HEADER_BYTES];
        for number in 0..600_u64 {
            let plan = format!("{{\"made\":{number},\"leases\":[{}]}}", "x".repeat(500));
            writer.put(&mut frames, number, plan.as_bytes());
            writer.written(plan.as_bytes());
        }
        assert!(frames.len() < 600 * 40, "{} bytes", frames.len());
        for (number, frame) in frame::scan(&frames).frames.iter().enumerate() {
            let (tick, plan) = reader.parse(frame.payload).expect("readable");
            assert_eq!(tick, number as u64);
            assert!(plan.starts_with(format!("{{\"made\":{number},").as_bytes()));
        }
    }
}

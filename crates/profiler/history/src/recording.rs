//! Ticks with their samples and plans, joined again for `replay`.
//!
//! Ticks come from the input log, one file at a time, samples from wherever they lie by now; both were
//! appended in the same order, so one pass over each joins them by the sample's moment. A sample that is
//! gone is marked, never made up.

use crate::error::Result;
use crate::frame::Purpose;
use crate::inputs::{self, PlanCoder, RecordedTick, TickRecord};
use crate::layout;
use crate::log;
use crate::reader::{Reader, Samples};
use std::collections::VecDeque;
use std::sync::Arc;
use tidegate_types::{Input, Moment, Sample};

/// Recorded ticks in order.
pub struct Recording {
    reader: Reader,
    after_tick: u64,
    files: VecDeque<u64>,
    ticks: VecDeque<(Arc<str>, TickRecord)>,
    samples: Option<Samples>,
    pending: Option<(Arc<str>, Sample)>,
}

impl Reader {
    /// Number of the last tick in the input log, 0 where there is none.
    pub fn last_tick(&self) -> Result<u64> {
        for (number, _) in log::files(self.storage.as_ref(), &self.dir, layout::INPUTS)?
            .iter()
            .rev()
        {
            if let Some((_, tick)) = self.ticks_of_file(*number)?.last() {
                return Ok(tick.number);
            }
        }
        Ok(0)
    }

    /// All recorded ticks with a number above `after_tick`, with samples and plans: what a replay from the
    /// checkpoint of `after_tick` is fed.
    pub fn recording(&self, after_tick: u64) -> Result<Recording> {
        let files = log::files(self.storage.as_ref(), &self.dir, layout::INPUTS)?;
        Ok(Recording {
            reader: self.clone(),
            after_tick,
            files: files.into_iter().map(|(number, _)| number).collect(),
            ticks: VecDeque::new(),
            samples: None,
            pending: None,
        })
    }

    fn ticks_of_file(&self, number: u64) -> Result<Vec<(Arc<str>, TickRecord)>> {
        let mut ticks: Vec<(Arc<str>, TickRecord)> = Vec::new();
        let mut boot_id: Option<Arc<str>> = None;
        let mut plans = PlanCoder::default();
        self.each_frame_of(
            layout::INPUTS,
            Purpose::Inputs,
            number,
            |kind, payload| match kind {
                inputs::BOOT => std::str::from_utf8(payload)
                    .map(|text| boot_id = Some(Arc::from(text)))
                    .is_ok(),
                // Without its boot a tick's times would be a guess.
                inputs::TICK => match (&boot_id, inputs::parse_tick(payload)) {
                    (Some(boot_id), Ok(tick)) => {
                        ticks.push((boot_id.clone(), tick));
                        true
                    }
                    _ => false,
                },
                inputs::PLAN => plans
                    .parse(payload)
                    .map(|(number, plan)| {
                        let tick = ticks.last_mut().filter(|(_, tick)| tick.number == number);
                        if let Some((_, tick)) = tick {
                            tick.plan = Some(plan);
                        }
                    })
                    .is_ok(),
                _ => false,
            },
        )?;
        Ok(ticks)
    }
}

impl Recording {
    /// The sample of exactly that moment, or `None` when the next ones are later or of another boot.
    fn sample(&mut self, boot_id: &Arc<str>, moment: Moment) -> Result<Option<Sample>> {
        if self.samples.is_none() {
            self.samples = Some(self.reader.samples_from_file_of(moment.utc_ms)?);
        }
        loop {
            if self.pending.is_none() {
                let next = self.samples.as_mut().and_then(Samples::next_with_boot);
                self.pending = next.transpose()?;
            }
            let Some((boot, sample)) = &self.pending else {
                return Ok(None);
            };
            if boot == boot_id && sample.now.boot > moment.boot {
                return Ok(None);
            }
            let found = boot == boot_id && sample.now == moment;
            let taken = self.pending.take();
            if found {
                return Ok(taken.map(|(_, sample)| sample));
            }
        }
    }

    fn next_record(&mut self) -> Result<Option<(Arc<str>, TickRecord)>> {
        loop {
            while let Some(next) = self.ticks.pop_front() {
                if next.1.number > self.after_tick {
                    return Ok(Some(next));
                }
            }
            let Some(file) = self.files.pop_front() else {
                return Ok(None);
            };
            self.ticks = self.reader.ticks_of_file(file)?.into();
        }
    }

    fn next_tick(&mut self) -> Result<Option<RecordedTick>> {
        let Some((boot_id, tick)) = self.next_record()? else {
            return Ok(None);
        };
        let sample = match tick.sample {
            Some(moment) => self.sample(&boot_id, moment)?,
            None => None,
        };
        Ok(Some(RecordedTick {
            number: tick.number,
            sample_missing: tick.sample.is_some() && sample.is_none(),
            boot_id,
            input: Input {
                now: tick.now,
                events: tick.events,
                sample,
            },
            plan: tick.plan,
        }))
    }
}

impl Iterator for Recording {
    type Item = Result<RecordedTick>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_tick().transpose()
    }
}

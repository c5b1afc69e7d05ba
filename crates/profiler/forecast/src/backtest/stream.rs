//! The line protocol of a backtest: observations in, forecasts out, in one order of time.
//!
//! `S,id,resource,step_seconds,threshold,threshold` declares a series; `M,id,time,value` is the mean of a minute and
//! `O,id,time,value` that of a step, known at its end; `F,time` opens a request, `Q,id,time` asks for one forecast
//! from the last observation, `E` has the answers written, `X` ends. An answer is `R,id,time,target,` with twelve
//! quantiles and the chances of exceeding both thresholds (for the targets that are events), and `K` after the last.
//! A value that is empty or not finite is missing. An origin whose value is missing gets no answer.
//!
//! Lines that make no sense are refused by number and change nothing; the caller may go on.

use super::table::{value_of, write_forecast};
use super::traces::STEP_S;
use crate::models::calendar::Calendar;
use crate::models::host::Host;
use crate::models::trained::Trained;
use crate::models::{Kind, THRESHOLDS};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Series that a stream may declare.
pub const SERIES_MAX: usize = 100_000;

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// Number of the line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

impl std::fmt::Display for StreamError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for StreamError {}

/// The state of a stream.
#[derive(Debug)]
pub struct Stream {
    host: Host,
    places: BTreeMap<String, usize>,
    asked: Vec<(usize, i64, String)>,
    line: u64,
}

impl Stream {
    /// A stream that is answered by models of `kind`, with `trained` where they use it.
    pub fn new(kind: Kind, trained: Arc<Trained>) -> Self {
        Self {
            host: Host::new(kind, trained),
            places: BTreeMap::new(),
            asked: Vec::new(),
            line: 0,
        }
    }

    /// The same, by another local time than UTC.
    #[must_use]
    pub fn by(mut self, calendar: Arc<Calendar>) -> Self {
        self.host.set_calendar(calendar);
        self
    }

    /// Takes in one line (without its end) and appends what is to be answered to `out`. False after `X`.
    pub fn line(&mut self, line: &str, out: &mut String) -> Result<bool, StreamError> {
        self.line += 1;
        let taken = self.take(line.trim_end_matches(['\r', '\n']), out);
        taken.map_err(|problem| StreamError {
            line: self.line,
            problem,
        })
    }

    fn take(&mut self, line: &str, out: &mut String) -> Result<bool, String> {
        let (kind, rest) = line.split_once(',').unwrap_or((line, ""));
        let fields: Vec<&str> = if rest.is_empty() {
            Vec::new()
        } else {
            rest.split(',').collect()
        };
        match (kind, fields.as_slice()) {
            ("S", [id, _, step, first, second]) => self.declare(id, step, [first, second])?,
            ("O", [id, time, value]) => self.observe(id, time, value)?,
            ("M", [id, time, value]) => {
                let place = self.place(id)?;
                self.host.observe_fine(place, time_of(time)?, value_of(value)?);
            }
            ("F", [time]) => {
                time_of(time)?;
                self.asked.clear();
            }
            ("Q", [id, time]) => self.ask(id, time)?,
            ("E", []) => self.answer(out),
            ("X", []) => return Ok(false),
            ("S" | "O" | "M" | "F" | "Q" | "E" | "X", _) => {
                return Err(format!("wrong number of fields in a line of kind {kind}"));
            }
            _ => return Err(format!("unknown kind of line {kind:?}")),
        }
        Ok(true)
    }

    fn declare(&mut self, id: &str, step: &str, thresholds: [&str; THRESHOLDS]) -> Result<(), String> {
        let step_s: u32 = step
            .parse()
            .map_err(|_| format!("the step {step:?} is not a whole number of seconds"))?;
        if step_s != STEP_S {
            return Err(format!(
                "a step of {step_s} s: series must be means over {STEP_S} s"
            ));
        }
        let mut levels = [f64::NAN; THRESHOLDS];
        for (level, text) in levels.iter_mut().zip(thresholds) {
            *level = value_of(text)?;
            if level.is_nan() {
                return Err("a threshold must be a finite number".to_owned());
            }
        }
        if id.is_empty() {
            return Err("a series needs a name".to_owned());
        }
        if self.places.contains_key(id) {
            return Err(format!("series {id} was declared before"));
        }
        if self.places.len() >= SERIES_MAX {
            return Err(format!("more than {SERIES_MAX} series"));
        }
        self.places.insert(id.to_owned(), self.host.add(step_s, levels));
        Ok(())
    }

    fn place(&self, id: &str) -> Result<usize, String> {
        let place = self.places.get(id).copied();
        place.ok_or_else(|| format!("series {id:?} was not declared"))
    }

    fn observe(&mut self, id: &str, time: &str, value: &str) -> Result<(), String> {
        let place = self.place(id)?;
        let (time_s, value) = (time_of(time)?, value_of(value)?);
        self.host.observe(place, time_s, value).map_err(|late| {
            let after_s = late.after_s;
            format!("series {id} was already observed at {after_s}, and {time_s} is not later")
        })
    }

    fn ask(&mut self, id: &str, time: &str) -> Result<(), String> {
        let place = self.place(id)?;
        let time_s = time_of(time)?;
        if self.host.last_s(place) != Some(time_s) {
            return Err(format!(
                "the origin {time_s} is not the last observation of series {id}"
            ));
        }
        self.asked.push((place, time_s, id.to_owned()));
        Ok(())
    }

    fn answer(&mut self, out: &mut String) {
        for (place, time_s, id) in std::mem::take(&mut self.asked) {
            if let Some(forecast) = self.host.forecast(place) {
                write_forecast(out, "R,", &id, &time_s.to_string(), &forecast);
            }
        }
        out.push_str("K\n");
    }
}

fn time_of(text: &str) -> Result<i64, String> {
    /// Ten thousand years; beyond, sums of times would not be safe.
    const TIME_MAX_S: i64 = 400_000_000_000;
    let time_s = text
        .parse::<i64>()
        .ok()
        .filter(|time_s| time_s.abs() <= TIME_MAX_S);
    time_s.ok_or_else(|| format!("the time {text:?} is not a whole number of Unix seconds"))
}

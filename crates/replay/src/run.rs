//! A record through the engine: the same state, the same inputs, the same plans?
//!
//! A replay begins at a checkpoint and feeds every tick that was recorded after it. Each plan is compared
//! byte for byte with the one that the daemon made, and each later checkpoint with the state that the replay
//! has come to. Where the record has a hole (a start of the daemon, ticks or samples that were lost), what
//! follows cannot be compared until the next checkpoint; it is counted, not guessed. Reading the store is
//! the only thing here that touches the world.

use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use tidegate_engine::{CheckpointError, PeakModel, State, plan_bytes, tick};
use tidegate_history::{HistoryError, Reader, RecordedTick};
use tidegate_types::{Event, Moment, Output};

/// Why a record could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store said no.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// There is no checkpoint to begin from.
    #[error("no checkpoint was kept before {until_utc_ms} ms; a running daemon keeps one every few minutes")]
    NoCheckpoint {
        /// End of the asked range, Unix milliseconds.
        until_utc_ms: i64,
    },
    /// A model that a state rests on, or that was promoted, is not in the store or does not load.
    #[error("the trained model {name} is needed at tick {tick}: {problem}")]
    Model {
        /// Where it is needed.
        tick: u64,
        /// Hash of its bytes.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A checkpoint does not load.
    #[error("the checkpoint after tick {tick}: {source}")]
    Checkpoint {
        /// The last tick in it.
        tick: u64,
        /// Why not.
        source: CheckpointError,
    },
}

/// The first plan that came out differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Number of the tick.
    pub tick: u64,
    /// When it ran, Unix milliseconds.
    pub at_utc_ms: i64,
    /// Position of the first byte that differs.
    pub byte: usize,
    /// The plan as the daemon made it.
    pub recorded: String,
    /// The plan as the replay made it.
    pub replayed: String,
}

/// How a replay went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// The tick after which the replay began.
    pub from_tick: u64,
    /// Ticks that went through the engine.
    pub ticks: u64,
    /// Ticks between a hole in the record and the checkpoint after it.
    pub skipped_ticks: u64,
    /// Holes: starts of the daemon, and ticks or samples that are missing.
    pub holes: u64,
    /// Plans that were recorded and made again.
    pub plans_compared: u64,
    /// Those of them that are equal to the byte.
    pub plans_equal: u64,
    /// Compared plans that were not empty.
    pub plans_with_content: u64,
    /// Checkpoints met on the way.
    pub states_compared: u64,
    /// Those of them to which the replay's state is equal to the byte.
    pub states_equal: u64,
    /// The first plan that differs.
    pub first_difference: Option<Difference>,
}

impl ReplayReport {
    /// True when something was compared and nothing differed.
    pub fn holds(&self) -> bool {
        self.plans_compared > 0 && self.plans_equal == self.plans_compared
    }
}

/// Replays the ticks with a wall-clock time in `utc_ms`, from the last checkpoint before them.
pub fn run(reader: &Reader, utc_ms: Range<i64>) -> Result<ReplayReport, ReplayError> {
    run_with(reader, utc_ms, |_, _| {})
}

/// The same, with every replayed tick and its output handed to `each`.
pub fn run_with(
    reader: &Reader,
    utc_ms: Range<i64>,
    mut each: impl FnMut(&RecordedTick, &Output),
) -> Result<ReplayReport, ReplayError> {
    let mut replay = Replay::begin(reader, &utc_ms)?;
    for recorded in reader.recording(replay.report.from_tick)? {
        let recorded = recorded?;
        if recorded.input.now.utc_ms >= utc_ms.end {
            break;
        }
        replay.turn(&recorded, &mut each)?;
    }
    replay.meet_checkpoint()?;
    Ok(replay.report)
}

struct Replay<'reader> {
    reader: &'reader Reader,
    checkpoints: BTreeSet<u64>,
    /// `None` between a hole and the next checkpoint.
    state: Option<State>,
    last_tick: u64,
    report: ReplayReport,
}

impl<'reader> Replay<'reader> {
    /// At the newest readable checkpoint taken before the range; without one, at the first within it.
    fn begin(reader: &'reader Reader, utc_ms: &Range<i64>) -> Result<Self, ReplayError> {
        let checkpoints: BTreeSet<u64> = reader.checkpoints()?.into_iter().collect();
        let mut begin = None;
        for tick in &checkpoints {
            let Some(checkpoint) = reader.checkpoint(*tick)? else {
                continue;
            };
            let within = checkpoint.at.utc_ms < utc_ms.end;
            if within && (begin.is_none() || checkpoint.at.utc_ms <= utc_ms.start) {
                begin = Some(checkpoint);
            }
        }
        let checkpoint = begin.ok_or(ReplayError::NoCheckpoint {
            until_utc_ms: utc_ms.end,
        })?;
        Ok(Self {
            reader,
            checkpoints,
            state: Some(load(reader, checkpoint.tick, &checkpoint.state)?),
            last_tick: checkpoint.tick,
            report: ReplayReport {
                from_tick: checkpoint.tick,
                ..ReplayReport::default()
            },
        })
    }

    fn turn(
        &mut self,
        recorded: &RecordedTick,
        each: &mut impl FnMut(&RecordedTick, &Output),
    ) -> Result<(), ReplayError> {
        let lost = recorded.number != self.last_tick + 1 || recorded.sample_missing;
        if starts_anew(recorded) {
            self.state = self.start(recorded)?;
            self.report.holes += u64::from(self.state.is_none());
        } else if lost {
            self.state = None;
            self.report.holes += 1;
        } else {
            self.meet_checkpoint()?;
        }
        self.last_tick = recorded.number;
        if let Some(state) = &mut self.state {
            for event in &recorded.input.events {
                if let Event::ModelPromoted(name) = event {
                    supply(self.reader, state, recorded.number, name)?;
                }
            }
            let output = tick(state, &recorded.input);
            self.report.ticks += 1;
            compare(&mut self.report, recorded, &output);
            each(recorded, &output);
        } else {
            self.report.skipped_ticks += 1;
        }
        Ok(())
    }

    /// The state that a daemon began with: the one it kept before its first tick, or the last one of a daemon
    /// that ended by itself.
    fn start(&self, first: &RecordedTick) -> Result<Option<State>, ReplayError> {
        // It kept its state right after its first tick: that one is surely under its own settings.
        if self.checkpoints.contains(&first.number) {
            return Ok(None);
        }
        let Some(tick) = first
            .number
            .checked_sub(1)
            .filter(|tick| self.checkpoints.contains(tick))
        else {
            return Ok(None);
        };
        let checkpoint = self.reader.checkpoint(tick)?;
        // Under another boot the daemon forgot what was timed by the old one, in a way that only it knows.
        let checkpoint = checkpoint.filter(|checkpoint| checkpoint.boot_id == first.boot_id);
        checkpoint
            .map(|kept| load(self.reader, tick, &kept.state))
            .transpose()
    }

    /// After the last tick and before the next: compares with the checkpoint taken here, or goes on from it.
    fn meet_checkpoint(&mut self) -> Result<(), ReplayError> {
        let tick = self.last_tick;
        if tick == self.report.from_tick || !self.checkpoints.contains(&tick) {
            return Ok(());
        }
        let Some(checkpoint) = self.reader.checkpoint(tick)? else {
            return Ok(());
        };
        let Some(state) = &self.state else {
            self.state = Some(load(self.reader, tick, &checkpoint.state)?);
            return Ok(());
        };
        let bytes = state
            .checkpoint()
            .map_err(|source| ReplayError::Checkpoint { tick, source })?;
        self.report.states_compared += 1;
        self.report.states_equal += u64::from(bytes == checkpoint.state);
        Ok(())
    }
}

fn load(reader: &Reader, tick: u64, bytes: &[u8]) -> Result<State, ReplayError> {
    let mut state = State::restore(bytes).map_err(|source| ReplayError::Checkpoint { tick, source })?;
    for name in state.needed() {
        supply(reader, &mut state, tick, &name)?;
    }
    Ok(state)
}

/// Hands the state a model from the store.
fn supply(reader: &Reader, state: &mut State, tick: u64, name: &Arc<str>) -> Result<(), ReplayError> {
    let failed = |problem: String| ReplayError::Model {
        tick,
        name: name.to_string(),
        problem,
    };
    let bytes = reader
        .model(name)?
        .ok_or_else(|| failed("it is not in the store".to_owned()))?;
    let model = PeakModel::from_bytes(&bytes).map_err(|error| failed(error.to_string()))?;
    state.supply(name, Arc::new(model));
    Ok(())
}

/// A daemon that starts goes on from its last checkpoint, not from where the one before it was.
fn starts_anew(recorded: &RecordedTick) -> bool {
    let started = |event: &Event| matches!(event, Event::Started { .. });
    recorded.input.events.iter().any(started)
}

fn compare(report: &mut ReplayReport, recorded: &RecordedTick, output: &Output) {
    let Some(plan) = &recorded.plan else { return };
    let replayed = plan_bytes(&output.plan);
    report.plans_compared += 1;
    report.plans_with_content += u64::from(!output.plan.is_empty());
    if *plan == replayed {
        report.plans_equal += 1;
    } else if report.first_difference.is_none() {
        report.first_difference = Some(difference(recorded.number, recorded.input.now, plan, &replayed));
    }
}

fn difference(tick: u64, now: Moment, recorded: &[u8], replayed: &[u8]) -> Difference {
    let same = recorded
        .iter()
        .zip(replayed)
        .take_while(|(left, right)| left == right);
    Difference {
        tick,
        at_utc_ms: now.utc_ms,
        byte: same.count(),
        recorded: String::from_utf8_lossy(recorded).into_owned(),
        replayed: String::from_utf8_lossy(replayed).into_owned(),
    }
}

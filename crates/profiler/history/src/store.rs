//! The writing end: one per store, in the daemon.
//!
//! Each second it appends one sample and one tick, each as one write, and returns; nothing here waits for
//! the disk to sync. What the disk refuses is lost, said once, and counted; observing goes on. All that is
//! read goes through [`Reader`], here as in any other process.

use crate::config::StoreConfig;
use crate::decision::{Decision, Previous, Recorded, is_decision};
use crate::error::{HistoryError, Result};
use crate::frame::{self, Purpose};
use crate::head::{self, HeadEncoder};
use crate::inputs::{self, PlanCoder};
use crate::keeper::Keeper;
use crate::layout;
use crate::log::{self, Log};
use crate::maintain::{Damage, Disk};
use crate::names::FieldTable;
use crate::reader::Reader;
use crate::segment::Tier;
use crate::storage::{LogFile, RealStorage, TEMPORARY_SUFFIX};
use crate::{decision, maintain, outcomes};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_types::{BootTime, Input, Moment, Notice, Output, Sample, Severity};

/// A head file is sealed when it is this long, whatever the time: bounds the memory of sealing.
const HEAD_MAX_BYTES: u64 = 48 << 20;
/// The kind of a self-describing record.
pub(crate) const RECORD: u8 = 1;
/// The kind of a compressed one.
pub(crate) const COMPRESSED: u8 = 3;
/// A log begins a new file at this length, so that forgetting goes in small steps.
const LOG_MAX_BYTES: u64 = 8 << 20;
/// The input log begins a new file each hour.
const LOG_MAX_MS: i64 = 3_600_000;
/// Maintenance that failed is tried again after this long.
const RETRY_S: f64 = 60.0;

/// What was found when the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Damaged files, each under the name by which it is kept.
    pub damage: Vec<Damage>,
    /// Files of a newer version, with the remedy.
    pub refused: Vec<String>,
    /// Head files left by a run that did not end by itself; their samples are kept.
    pub recovered_heads: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// Number of the last recorded tick.
    pub last_tick: u64,
}

/// What has become of writes since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Samples written.
    pub samples: u64,
    /// Samples that the disk refused.
    pub samples_lost: u64,
    /// Other records that the disk refused.
    pub records_lost: u64,
    /// Bytes written to growing files.
    pub bytes_written: u64,
    /// Head files sealed.
    pub sealed: u64,
    /// Files removed by age or for room.
    pub removed: u64,
}

/// The one writer of a store.
pub struct Store {
    reader: Reader,
    config: StoreConfig,
    keeper: Keeper,
    /// Held as long as the store is open.
    lock: Option<File>,
    head: Log,
    encoder: HeadEncoder,
    inputs: Log,
    plans: PlanCoder,
    maps: Log,
    decisions: Log,
    outcomes: Log,
    previous: Previous,
    tick: u64,
    synced: Option<BootTime>,
    maintained: Option<BootTime>,
    maintenance_due: bool,
    unsynced: Vec<Arc<dyn LogFile>>,
    lost_since_notice: Option<u64>,
    keeper_failing: bool,
    notices: Vec<Notice>,
    counters: Counters,
    frames: Vec<u8>,
}

impl Store {
    /// Opens the store at `dir`, making it where there is none, and recovers what a killed run left.
    /// Refused with [`HistoryError::Busy`] while another process writes it.
    pub fn open(dir: &Path, config: StoreConfig) -> Result<(Self, OpenReport)> {
        std::fs::create_dir_all(dir).map_err(HistoryError::io("making", dir))?;
        let lock = lock(dir, "lock")?;
        let (mut store, report) = Self::with_storage(&(Arc::new(RealStorage) as Disk), dir, config)?;
        store.lock = Some(lock);
        Ok((store, report))
    }

    /// The same on another disk, without a lock.
    pub fn with_storage(storage: &Disk, dir: &Path, config: StoreConfig) -> Result<(Self, OpenReport)> {
        for folder in layout::FOLDERS {
            let path = dir.join(folder);
            storage
                .create_dir(&path)
                .map_err(HistoryError::io("making", &path))?;
            remove_temporary(storage, &path)?;
        }
        let reader = Reader::with_storage(storage.clone(), dir);
        let mut report = check_files(&reader)?;
        let newest = |folder, suffix| -> Result<u64> {
            let files = log::numbered(storage.as_ref(), dir, folder, suffix)?;
            Ok(files.last().map_or(0, |(number, _)| *number))
        };
        let sealed = newest(layout::folder(Tier::Second), layout::SEGMENT_SUFFIX)?;
        let checkpoint = newest(layout::CHECKPOINTS, layout::CHECKPOINT_SUFFIX)?;
        let tick = reader.last_tick()?.max(checkpoint);
        report.last_tick = tick;
        let open = |folder, purpose, after| Log::open(storage.clone(), dir, folder, purpose, after);
        let head = open(layout::HEAD, Purpose::Head, sealed)?;
        let keeper = Keeper::start(storage.clone(), dir.to_owned(), config.clone());
        let store = Self {
            head,
            inputs: open(layout::INPUTS, Purpose::Inputs, 0)?,
            maps: open(layout::MAPS, Purpose::Maps, 0)?,
            decisions: open(layout::DECISIONS, Purpose::Decisions, 0)?,
            outcomes: open(layout::OUTCOMES, Purpose::Outcomes, 0)?,
            reader,
            config,
            keeper,
            encoder: HeadEncoder::default(),
            plans: PlanCoder::default(),
            previous: Previous::default(),
            tick,
            synced: None,
            maintained: None,
            maintenance_due: true,
            unsynced: Vec::new(),
            lost_since_notice: None,
            keeper_failing: false,
            notices: Vec::new(),
            counters: Counters::default(),
            frames: Vec::new(),
            lock: None,
        };
        Ok((store, report))
    }

    /// For queries; it may be cloned and sent to other threads.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Where the store lies.
    pub fn dir(&self) -> &Path {
        &self.reader.dir
    }

    /// The settings.
    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// What has become of writes.
    pub fn counters(&self) -> Counters {
        let logs = [
            &self.head,
            &self.inputs,
            &self.maps,
            &self.decisions,
            &self.outcomes,
        ];
        Counters {
            bytes_written: logs.iter().map(|log| log.written()).sum(),
            ..self.counters
        }
    }

    /// Number of the last recorded tick.
    pub fn last_tick(&self) -> u64 {
        self.tick
    }

    /// What the store has to say since the last call: a full disk, damage, recovery.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Appends one sample; its rows are in order, no entity twice. `Ok(false)` where the disk refused it:
    /// said once in [`Store::take_notices`], and tried again with the next one.
    pub fn append(&mut self, sample: &Sample) -> Result<bool> {
        if !sample.rows.is_sorted_by(|left, right| left.entity < right.entity) {
            return Err(HistoryError::Encode {
                what: "a sample",
                reason: "its rows are not sorted by entity, or one is there twice".to_owned(),
            });
        }
        self.rotate_head(sample.now.utc_ms);
        if self.head.is_fresh() {
            self.encoder.restart();
        }
        self.frames.clear();
        let checksum = self.encoder.encode(&mut self.frames, sample);
        let boot_id = self.config.boot_id.clone();
        let written = self.head.append(sample.now.utc_ms, &self.frames, |out| {
            let mut names = Vec::new();
            FieldTable::put(&mut names);
            frame::put(out, head::FIELDS, &names);
            frame::put(out, head::BOOT, boot_id.as_bytes());
        });
        let kept = written.is_ok();
        if kept {
            self.encoder.written(checksum, sample);
            self.counters.samples += 1;
        } else {
            self.counters.samples_lost += 1;
        }
        self.note_write(written);
        self.house_keeping(sample.now.boot);
        Ok(kept)
    }

    /// Appends one tick's input: its sample, if it has one, and its events. Gives the tick's number.
    pub fn append_input(&mut self, input: &Input) -> Result<u64> {
        self.tick += 1;
        if let Some(sample) = &input.sample {
            self.append(sample)?;
        }
        let mut frames = Vec::new();
        inputs::put_tick(&mut frames, self.tick, input)?;
        let now = input.now;
        self.rotate_inputs(now.utc_ms);
        self.append_to_inputs(now, &frames);
        let events = input.events.iter().filter(|event| is_decision(event));
        let decisions: Vec<Decision> = events.cloned().map(Decision::Event).collect();
        self.append_decisions(now, decisions)?;
        self.house_keeping(now.boot);
        Ok(self.tick)
    }

    /// Counts ticks that ran but could not be handed over to be recorded, so that a replay sees the gap.
    pub fn skip_ticks(&mut self, lost: u64) {
        self.tick += lost;
    }

    /// Appends what came out of the tick that was appended last: the plan as `plan` (the bytes that a
    /// replay will compare), decisions, outcomes and the map.
    pub fn append_output(&mut self, now: Moment, output: &Output, plan: &[u8]) -> Result<()> {
        if self.inputs.is_fresh() {
            self.plans.restart();
        }
        let mut frames = Vec::new();
        self.plans.put(&mut frames, self.tick, plan);
        if self.append_to_inputs(now, &frames) {
            self.plans.written(plan);
        }
        let decisions = self.previous.advance(output);
        self.append_decisions(now, decisions)?;
        if !output.outcomes.is_empty() {
            let payload = outcomes::encode(now, &output.outcomes);
            let frames = [(outcomes::PACKED, payload)];
            let written = append_record(&mut self.outcomes, now, &frames, &mut self.unsynced);
            self.note_record(written);
        }
        if let Some(map) = &output.map {
            let payload = decision::encode_compressed("a map", map)?;
            let written = append_record(&mut self.maps, now, &[(COMPRESSED, payload)], &mut self.unsynced);
            self.note_record(written);
        }
        Ok(())
    }

    /// Keeps the engine's state after the tick that was appended last. `Ok(false)` where the disk refused it.
    pub fn append_checkpoint(&mut self, now: Moment, state: &[u8]) -> Result<bool> {
        let path = self.checkpoint_path(self.tick);
        let file = crate::checkpoint::encode(now, &self.config.boot_id, state);
        let written = self.reader.storage.replace(&path, &file);
        let written = written.map_err(HistoryError::io("writing", &path));
        let kept = written.is_ok();
        self.note_record(written);
        Ok(kept)
    }

    fn checkpoint_path(&self, tick: u64) -> PathBuf {
        let suffix = layout::CHECKPOINT_SUFFIX;
        layout::path(&self.reader.dir, layout::CHECKPOINTS, tick, suffix)
    }

    /// Makes everything written so far safe from power loss and seals what can be, waiting for the disk.
    pub fn flush(&mut self) -> Result<()> {
        self.collect_unsynced();
        for file in std::mem::take(&mut self.unsynced) {
            file.sync()
                .map_err(HistoryError::io("syncing", &self.reader.dir))?;
        }
        let sequence = self.head.sequence();
        let (storage, dir) = (self.reader.storage.clone(), self.reader.dir.clone());
        let done = maintain::maintain(storage.as_ref(), &dir, &self.config, sequence)?;
        self.note_damage(done.damage);
        Ok(())
    }

    /// Ends the head file, so that [`Store::flush`] seals it.
    pub fn seal_head(&mut self) {
        self.unsynced.extend(self.head.rotate());
        self.maintenance_due = true;
    }

    /// Between ticks only: a tick and its plan stand in one file.
    fn rotate_inputs(&mut self, utc_ms: i64) {
        let too_old = utc_ms.saturating_sub(self.inputs.opened_utc_ms()) >= LOG_MAX_MS;
        if !self.inputs.is_fresh() && (too_old || self.inputs.length() >= LOG_MAX_BYTES) {
            self.unsynced.extend(self.inputs.rotate());
        }
    }

    fn append_to_inputs(&mut self, now: Moment, frames: &[u8]) -> bool {
        let boot_id = self.config.boot_id.clone();
        let written = self.inputs.append(now.utc_ms, frames, |out| {
            frame::put(out, inputs::BOOT, boot_id.as_bytes());
        });
        let kept = written.is_ok();
        self.note_record(written);
        kept
    }

    fn append_decisions(&mut self, now: Moment, decisions: Vec<Decision>) -> Result<()> {
        if decisions.is_empty() {
            return Ok(());
        }
        let records = decisions
            .into_iter()
            .map(|decision| Recorded { at: now, decision });
        let payloads: Vec<(u8, Vec<u8>)> = records
            .map(|record| Ok((RECORD, decision::encode("a decision", &record)?)))
            .collect::<Result<_>>()?;
        let written = append_record(&mut self.decisions, now, &payloads, &mut self.unsynced);
        self.note_record(written);
        Ok(())
    }

    fn rotate_head(&mut self, utc_ms: i64) {
        let slice = |utc_ms: i64| utc_ms.div_euclid(layout::span_ms(Tier::Second));
        let ended = slice(utc_ms) != slice(self.head.opened_utc_ms());
        if !self.head.is_fresh() && (ended || self.head.length() >= HEAD_MAX_BYTES) {
            self.seal_head();
        }
    }

    fn collect_unsynced(&mut self) {
        for log in [
            &mut self.head,
            &mut self.inputs,
            &mut self.maps,
            &mut self.decisions,
            &mut self.outcomes,
        ] {
            self.unsynced.extend(log.take_unsynced());
        }
    }

    /// Hands to the keeper what is due.
    fn house_keeping(&mut self, now: BootTime) {
        let elapsed = |since: Option<BootTime>| since.map_or(f64::MAX, |since| now.seconds_since(since));
        if elapsed(self.synced) >= self.config.sync_every_s {
            self.collect_unsynced();
            if self.keeper.sync(self.unsynced.clone()) {
                self.unsynced.clear();
                self.synced = Some(now);
            }
        }
        let retry = self.keeper_failing && elapsed(self.maintained) >= RETRY_S;
        if (self.maintenance_due || retry) && self.keeper.maintain(self.head.sequence()) {
            self.maintenance_due = false;
            self.maintained = Some(now);
        }
        let findings = self.keeper.take_findings();
        self.counters.sealed += findings.sealed as u64;
        self.counters.removed += findings.removed as u64;
        self.note_damage(findings.damage);
        if let Some(failure) = &findings.failure {
            if !self.keeper_failing {
                self.say(Severity::Warning, format!("history: {failure}; trying again"));
            }
            self.keeper_failing = true;
        } else if findings.maintained && self.keeper_failing {
            self.keeper_failing = false;
            self.say(Severity::Info, "history: sealing works again".to_owned());
        }
    }

    fn note_damage(&mut self, damage: Vec<Damage>) {
        for Damage { path, what } in damage {
            let text = format!(
                "history: {}: {what}; the file is kept and skipped",
                path.display()
            );
            self.say(Severity::Warning, text);
        }
    }

    fn note_record(&mut self, written: Result<()>) {
        self.counters.records_lost += u64::from(written.is_err());
        self.note_write(written);
    }

    fn note_write(&mut self, written: Result<()>) {
        match (written, self.lost_since_notice) {
            (Ok(()), None) => {}
            (Ok(()), Some(lost)) => {
                self.lost_since_notice = None;
                let text = format!("history: recording again; {lost} records were lost meanwhile");
                self.say(Severity::Info, text);
            }
            (Err(error), None) => {
                self.lost_since_notice = Some(1);
                let why = if error.is_no_room() {
                    "the disk is full: "
                } else {
                    ""
                };
                let text =
                    format!("history: {why}{error}; observing goes on, nothing is recorded until it can be");
                self.say(Severity::Warning, text);
            }
            (Err(_), Some(lost)) => self.lost_since_notice = Some(lost + 1),
        }
    }

    fn say(&mut self, severity: Severity, text: String) {
        self.notices.push(Notice { severity, text });
    }
}

impl Drop for Store {
    /// Waits for the keeper and syncs; what fails here is found at the next opening.
    fn drop(&mut self) {
        self.keeper.stop();
        self.collect_unsynced();
        for file in std::mem::take(&mut self.unsynced) {
            let _ = file.sync();
        }
    }
}

fn append_record(
    log: &mut Log,
    now: Moment,
    payloads: &[(u8, Vec<u8>)],
    unsynced: &mut Vec<Arc<dyn LogFile>>,
) -> Result<()> {
    if log.length() >= LOG_MAX_BYTES {
        unsynced.extend(log.rotate());
    }
    let mut frames = Vec::new();
    for (kind, payload) in payloads {
        frame::put(&mut frames, *kind, payload);
    }
    log.append(now.utc_ms, &frames, |_| {})
}

/// The lock file `name` in `dir`, held until it is closed.
pub(crate) fn lock(dir: &Path, name: &str) -> Result<File> {
    let path = dir.join(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(HistoryError::io("opening", &path))?;
    let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    match rustix::fs::flock(&file, operation) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(HistoryError::Busy { path: dir.to_owned() }),
        Err(error) => Err(HistoryError::io("locking", &path)(error.into())),
    }
}

/// Whole files that a crash left before they were put in place.
fn remove_temporary(storage: &Disk, dir: &Path) -> Result<()> {
    for file in storage.list(dir).map_err(HistoryError::io("listing", dir))? {
        if file.name.ends_with(TEMPORARY_SUFFIX) {
            let path = dir.join(&file.name);
            storage
                .remove(&path)
                .map_err(HistoryError::io("removing", &path))?;
        }
    }
    Ok(())
}

/// Opens every sealed file and names what cannot be read; damaged ones get the name under which they are kept.
fn check_files(reader: &Reader) -> Result<OpenReport> {
    let mut report = OpenReport {
        bytes: maintain::total_bytes(reader.storage.as_ref(), &reader.dir)?,
        recovered_heads: log::files(reader.storage.as_ref(), &reader.dir, layout::HEAD)?.len(),
        ..OpenReport::default()
    };
    for path in reader.all_segments()? {
        match crate::segment::Segment::open(reader.storage.as_ref(), &path) {
            Ok(_) => {}
            Err(HistoryError::Corrupt { what, .. }) => {
                let kept = layout::corrupt(&path);
                reader
                    .storage
                    .rename(&path, &kept)
                    .map_err(HistoryError::io("setting aside", &path))?;
                report.damage.push(Damage { path: kept, what });
            }
            Err(error @ HistoryError::Version { .. }) => report.refused.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

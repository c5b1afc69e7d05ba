//! Reading a store, beside the daemon that writes it or without one.
//!
//! A reader holds no lock and keeps nothing open: it looks at what lies there now. A file that is damaged is
//! named in [`Reader::damage`] and skipped; it is left where it is, because only the writer moves files. The
//! order of samples is the order in which they were appended, across restarts and clock changes.

use crate::buckets::{self, Bucket, Buckets};
use crate::decision::{self, Action, Decision, Recorded, RecordedOutcomes};
use crate::error::{HistoryError, Result};
use crate::frame::{self, Purpose};
use crate::layout::{self, LOG_SUFFIX, SEGMENT_SUFFIX};
use crate::maintain::{Damage, Disk};
use crate::segment::{Blocks, Segment, Tier};
use crate::storage::RealStorage;
use crate::{head, log, outcomes, seconds, store};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_types::{
    BootTime, ContentionEvent, ContentionMap, Entity, Field, LeaseId, Moment, PredictionId, Sample,
};

/// One value of a series, or one bucket of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Time of the sample, or begin of the bucket, in UTC milliseconds.
    pub utc_ms: i64,
    /// Boot clock of the sample; `None` for buckets and imported values.
    pub boot: Option<BootTime>,
    /// The value, or the bucket's mean.
    pub mean: f64,
    /// Lowest value of the bucket.
    pub min: f64,
    /// Highest value of the bucket.
    pub max: f64,
    /// Measured values in the bucket.
    pub count: u32,
}

/// What the store knows of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which.
    pub entity: Entity,
    /// Fields with at least one value.
    pub fields: BTreeSet<Field>,
    /// Oldest time of a file that has it.
    pub first_utc_ms: i64,
    /// Newest time of a file that has it.
    pub last_utc_ms: i64,
}

/// Where samples as they were taken lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Sealed(PathBuf),
    Head(PathBuf),
    /// A segment of a summed-up tier, for times before those.
    Summed(PathBuf, i64),
}

/// Looks into a store.
#[derive(Clone)]
pub struct Reader {
    pub(crate) storage: Disk,
    pub(crate) dir: PathBuf,
    damage: Arc<Mutex<Vec<Damage>>>,
}

impl Reader {
    /// Looks into the store at `dir`, which another process may be writing.
    pub fn open(dir: &Path) -> Self {
        Self::with_storage(Arc::new(RealStorage), dir)
    }

    /// The same on another disk.
    pub fn with_storage(storage: Disk, dir: &Path) -> Self {
        Self {
            storage,
            dir: dir.to_owned(),
            damage: Arc::default(),
        }
    }

    /// What was found damaged while reading so far, each file once.
    pub fn damage(&self) -> Vec<Damage> {
        let damage = self.damage.lock();
        damage.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, path: &Path, what: String) {
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if damage.iter().all(|known| known.path != path) {
            damage.push(Damage {
                path: path.to_owned(),
                what,
            });
        }
    }

    /// The value, or `None` where the file is damaged (noted) or was removed meanwhile.
    pub(crate) fn usable<T>(&self, path: &Path, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ (HistoryError::Corrupt { .. } | HistoryError::Version { .. })) => {
                let what = match &error {
                    HistoryError::Corrupt { what, .. } => what.clone(),
                    other => other.to_string(),
                };
                self.note(path, what);
                Ok(None)
            }
            Err(HistoryError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sources of recorded samples in the order in which they were appended.
    pub(crate) fn sources(&self) -> Result<Vec<Source>> {
        // The head first: what is sealed between the two listings is then seen twice, not never.
        let storage = self.storage.as_ref();
        let heads = log::files(storage, &self.dir, layout::HEAD)?;
        let folder = layout::folder(Tier::Second);
        let mut sources = BTreeMap::new();
        for (number, _) in heads {
            let path = layout::path(&self.dir, layout::HEAD, number, LOG_SUFFIX);
            sources.insert(number, Source::Head(path));
        }
        for (number, _) in log::numbered(storage, &self.dir, folder, SEGMENT_SUFFIX)? {
            let path = layout::path(&self.dir, folder, number, SEGMENT_SUFFIX);
            sources.insert(number, Source::Sealed(path));
        }
        Ok(sources.into_values().collect())
    }

    pub(crate) fn imports(&self) -> Result<Vec<PathBuf>> {
        let files = log::numbered(self.storage.as_ref(), &self.dir, layout::IMPORTS, SEGMENT_SUFFIX)?;
        let path = |(number, _)| layout::path(&self.dir, layout::IMPORTS, number, SEGMENT_SUFFIX);
        Ok(files.into_iter().map(path).collect())
    }

    /// The segment, if some of its time lies in `range`.
    fn segment(&self, path: &Path, range: &Range<i64>) -> Result<Option<Segment>> {
        let peeked = self.usable(path, Segment::peek(self.storage.as_ref(), path))?;
        let overlaps = peeked.is_some_and(|(_, first, last)| first < range.end && last >= range.start);
        if !overlaps {
            return Ok(None);
        }
        self.usable(path, Segment::open(self.storage.as_ref(), path))
    }

    /// All samples of one source with their boot ids.
    pub(crate) fn source_samples(
        &self,
        source: &Source,
        range: &Range<i64>,
    ) -> Result<Vec<(Arc<str>, Sample)>> {
        let storage = self.storage.as_ref();
        let mut found = Vec::new();
        match source {
            Source::Sealed(path) => {
                let Some(segment) = self.segment(path, range)? else {
                    return Ok(found);
                };
                let samples = self.usable(path, seconds::samples(&segment, storage))?;
                let samples = samples.into_iter().flatten();
                found.extend(samples.map(|sample| (segment.boot_id.clone(), sample)));
            }
            Source::Summed(path, before) => {
                let range = range.start..range.end.min(*before);
                if let Some(segment) = self.segment(path, &range)? {
                    let samples = self.usable(path, buckets::samples(&segment, storage))?;
                    found.extend(
                        samples
                            .into_iter()
                            .flatten()
                            .map(|sample| (Arc::from(""), sample)),
                    );
                }
                found.retain(|(_, sample)| range.contains(&sample.now.utc_ms));
            }
            Source::Head(path) => {
                self.each_head_sample(path, |boot_id, sample| {
                    found.push((boot_id.clone(), sample.clone()));
                })?;
            }
        }
        found.retain(|(_, sample)| range.contains(&sample.now.utc_ms));
        Ok(found)
    }

    fn each_head_sample(&self, path: &Path, each: impl FnMut(&Arc<str>, &Sample)) -> Result<()> {
        let bytes = log::read(self.storage.as_ref(), path, Purpose::Head);
        let bytes = match bytes {
            // It was sealed since it was listed.
            Err(HistoryError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return self.each_sealed_sample(path, each);
            }
            bytes => self.usable(path, bytes)?.unwrap_or_default(),
        };
        let scan = frame::scan(&bytes);
        let summary = head::decode(&scan, each);
        // The end of a file that is being written may be incomplete without being damaged.
        if !scan.corrupt.is_empty() {
            self.note(path, scan.damage().unwrap_or_default());
        } else if summary.unusable_frames > 0 {
            self.note(path, format!("{} frames are not usable", summary.unusable_frames));
        }
        Ok(())
    }

    fn each_sealed_sample(&self, head: &Path, mut each: impl FnMut(&Arc<str>, &Sample)) -> Result<()> {
        let name = head
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(number) = layout::number(name, LOG_SUFFIX) else {
            return Ok(());
        };
        let path = layout::path(&self.dir, layout::folder(Tier::Second), number, SEGMENT_SUFFIX);
        let Some(segment) = self.segment(&path, &(i64::MIN..i64::MAX))? else {
            return Ok(());
        };
        let samples = self.usable(&path, seconds::samples(&segment, self.storage.as_ref()))?;
        for sample in samples.into_iter().flatten() {
            each(&segment.boot_id, &sample);
        }
        Ok(())
    }

    /// Recorded samples with a wall-clock time in `utc_ms`, exactly as they were appended and in that order.
    pub fn samples(&self, utc_ms: Range<i64>) -> Result<Samples> {
        Ok(Samples {
            reader: self.clone(),
            sources: self.sources()?.into(),
            ready: VecDeque::new(),
            range: utc_ms,
        })
    }

    /// Recorded samples from the first file on that has some as late as `utc_ms`, all of them from there.
    pub(crate) fn samples_from_file_of(&self, utc_ms: i64) -> Result<Samples> {
        let mut samples = self.samples(i64::MIN..i64::MAX)?;
        while let Some(Source::Sealed(path)) = samples.sources.front() {
            let peeked = self.usable(path, Segment::peek(self.storage.as_ref(), path))?;
            if peeked.is_some_and(|(_, _, last)| last >= utc_ms) {
                break;
            }
            samples.sources.pop_front();
        }
        Ok(samples)
    }

    /// Imported samples, import by import, each in the order of time.
    pub fn imported(&self, utc_ms: Range<i64>) -> Result<Samples> {
        Ok(Samples {
            reader: self.clone(),
            sources: self.imports()?.into_iter().map(Source::Sealed).collect(),
            ready: VecDeque::new(),
            range: utc_ms,
        })
    }

    /// Streams that together hold all rows in `utc_ms`, each stretch of time in the finest tier that has it.
    pub(crate) fn dump_streams(&self, utc_ms: &Range<i64>) -> Result<Vec<Samples>> {
        let mut recorded = VecDeque::new();
        for (tier, finer) in [(Tier::FiveMinutes, Tier::Minute), (Tier::Minute, Tier::Second)] {
            let before = self.first_utc_ms(finer)?.unwrap_or(i64::MAX);
            let folder = layout::folder(tier);
            for (span, _) in log::numbered(self.storage.as_ref(), &self.dir, folder, SEGMENT_SUFFIX)? {
                if layout::span_start_ms(tier, span) < before {
                    let path = layout::path(&self.dir, folder, span, SEGMENT_SUFFIX);
                    recorded.push_back(Source::Summed(path, before));
                }
            }
        }
        recorded.extend(self.sources()?);
        let imports = self
            .imports()?
            .into_iter()
            .map(|path| VecDeque::from([Source::Sealed(path)]));
        let stream = |sources| Samples {
            reader: self.clone(),
            sources,
            ready: VecDeque::new(),
            range: utc_ms.clone(),
        };
        Ok(std::iter::once(recorded).chain(imports).map(stream).collect())
    }

    /// One series with times in `utc_ms`. With `tier` none, each stretch of time in the finest tier that has
    /// it; with a tier, in buckets of that width made of everything finer too. Imported values count in all.
    pub fn series(
        &self,
        entity: &Entity,
        field: Field,
        utc_ms: Range<i64>,
        tier: Option<Tier>,
    ) -> Result<Vec<Point>> {
        let key = (entity, field);
        let mut points = match tier {
            Some(Tier::Second) => self.fine(key, &utc_ms)?,
            Some(tier) => bucket_points(self.buckets(key, &utc_ms, tier)?),
            None => {
                let mut points = self.fine(key, &utc_ms)?;
                for (tier, finer) in [(Tier::Minute, Tier::Second), (Tier::FiveMinutes, Tier::Minute)] {
                    let end = self.first_utc_ms(finer)?.unwrap_or(utc_ms.end).min(utc_ms.end);
                    let older = self.tier_buckets(key, &(utc_ms.start..end), tier)?.0;
                    points.extend(bucket_points(older));
                }
                points
            }
        };
        points.sort_by_key(|point| point.utc_ms);
        Ok(points)
    }

    /// Oldest time that a tier has.
    fn first_utc_ms(&self, tier: Tier) -> Result<Option<i64>> {
        let storage = self.storage.as_ref();
        let folder = layout::folder(tier);
        let mut first: Option<i64> = None;
        for (number, _) in log::numbered(storage, &self.dir, folder, SEGMENT_SUFFIX)? {
            let path = layout::path(&self.dir, folder, number, SEGMENT_SUFFIX);
            if let Some((_, begin, _)) = self.usable(&path, Segment::peek(storage, &path))? {
                first = Some(first.map_or(begin, |first| first.min(begin)));
            }
        }
        if first.is_none() && tier == Tier::Second {
            for (number, _) in log::files(storage, &self.dir, layout::HEAD)? {
                let path = layout::path(&self.dir, layout::HEAD, number, LOG_SUFFIX);
                first = first.or(log::opened_utc_ms(storage, &path));
            }
        }
        Ok(first)
    }

    fn segment_points(&self, path: &Path, key: (&Entity, Field), range: &Range<i64>) -> Result<Vec<Point>> {
        let Some(segment) = self.segment(path, range)? else {
            return Ok(Vec::new());
        };
        let Some(entry) = segment.entity(key.0) else {
            return Ok(Vec::new());
        };
        let blocks = Blocks::OnDisk(self.storage.as_ref());
        let mut points = Vec::new();
        for series in entry.series.iter().filter(|series| series.field == Some(key.1)) {
            let read = seconds::times(&segment, blocks)
                .and_then(|times| Ok((seconds::values(&segment, blocks, series, &times)?, times)));
            let Some((values, times)) = self.usable(path, read)? else {
                continue;
            };
            let moments = series.runs.ticks().map(|tick| times.moments[tick]);
            points.extend(
                moments
                    .zip(values)
                    .map(|(moment, value)| fine_point(moment, value)),
            );
        }
        points.retain(|point| range.contains(&point.utc_ms) && !point.mean.is_nan());
        Ok(points)
    }

    fn imported_points(&self, key: (&Entity, Field), range: &Range<i64>) -> Result<Vec<Point>> {
        let mut points = BTreeMap::new();
        for path in self.imports()? {
            for point in self.segment_points(&path, key, range)? {
                // A later import of the same moment replaces the earlier one.
                points.insert(point.utc_ms, Point { boot: None, ..point });
            }
        }
        Ok(points.into_values().collect())
    }

    fn recorded_points(&self, key: (&Entity, Field), range: &Range<i64>) -> Result<Vec<Point>> {
        let mut points = Vec::new();
        for source in self.sources()? {
            match source {
                Source::Sealed(path) => points.extend(self.segment_points(&path, key, range)?),
                Source::Head(path) => self.each_head_sample(&path, |_, sample| {
                    if let Some(value) = sample.get(key.0, key.1)
                        && range.contains(&sample.now.utc_ms)
                    {
                        points.push(fine_point(sample.now, value));
                    }
                })?,
                Source::Summed(..) => {}
            }
        }
        Ok(points)
    }

    fn fine(&self, key: (&Entity, Field), range: &Range<i64>) -> Result<Vec<Point>> {
        let mut points = self.imported_points(key, range)?;
        points.extend(self.recorded_points(key, range)?);
        Ok(points)
    }

    /// Buckets that lie on disk in `tier`, and the spans that its segments cover.
    fn tier_buckets(
        &self,
        key: (&Entity, Field),
        range: &Range<i64>,
        tier: Tier,
    ) -> Result<(Buckets, BTreeSet<u64>)> {
        let storage = self.storage.as_ref();
        let folder = layout::folder(tier);
        let (mut found, mut spans) = (Buckets::new(), BTreeSet::new());
        for (span, _) in log::numbered(storage, &self.dir, folder, SEGMENT_SUFFIX)? {
            let path = layout::path(&self.dir, folder, span, SEGMENT_SUFFIX);
            let Some(segment) = self.segment(&path, range)? else {
                continue;
            };
            spans.insert(span);
            let Some(entry) = segment.entity(key.0) else {
                continue;
            };
            let blocks = Blocks::OnDisk(storage);
            for series in entry.series.iter().filter(|series| series.field == Some(key.1)) {
                let read = buckets::starts(&segment, blocks)
                    .and_then(|starts| Ok((starts, buckets::values(&segment, blocks, series)?)));
                let Some((starts, values)) = self.usable(&path, read)? else {
                    continue;
                };
                let starts = series.runs.ticks().map(|tick| starts[tick]);
                found.extend(starts.zip(values).filter(|(start, _)| range.contains(start)));
            }
        }
        Ok((found, spans))
    }

    fn buckets(&self, key: (&Entity, Field), range: &Range<i64>, tier: Tier) -> Result<Buckets> {
        let width_ms = tier.bucket_ms();
        let (mut found, spans) = self.tier_buckets(key, range, tier)?;
        let mut add = |utc_ms: i64, bucket: Bucket| {
            if range.contains(&(utc_ms.div_euclid(width_ms) * width_ms)) {
                buckets::add(&mut found, utc_ms, width_ms, bucket);
            }
        };
        let uncovered = |utc_ms: i64| !spans.contains(&layout::span_number(tier, utc_ms));
        if tier == Tier::FiveMinutes {
            let wider = range.start..range.end.saturating_add(width_ms);
            for (start, bucket) in self.recorded_buckets(key, &wider, Tier::Minute)? {
                if uncovered(start) {
                    add(start, bucket);
                }
            }
        } else {
            let wider = range.start..range.end.saturating_add(width_ms);
            for point in self.recorded_points(key, &wider)? {
                if uncovered(point.utc_ms) {
                    add(point.utc_ms, Bucket::of(point.mean));
                }
            }
        }
        for point in self.imported_points(key, &(range.start..range.end.saturating_add(width_ms)))? {
            add(point.utc_ms, Bucket::of(point.mean));
        }
        Ok(found)
    }

    /// Minutes of recorded data: those on disk, and those still to be made of seconds.
    fn recorded_buckets(&self, key: (&Entity, Field), range: &Range<i64>, tier: Tier) -> Result<Buckets> {
        let (mut found, spans) = self.tier_buckets(key, range, tier)?;
        for point in self.recorded_points(key, range)? {
            if !spans.contains(&layout::span_number(tier, point.utc_ms)) {
                buckets::add(&mut found, point.utc_ms, tier.bucket_ms(), Bucket::of(point.mean));
            }
        }
        Ok(found)
    }

    /// Every entity that some file knows, in order.
    pub fn entities(&self) -> Result<Vec<Known>> {
        let mut known: BTreeMap<Entity, Known> = BTreeMap::new();
        let mut add = |entity: &Entity, fields: &mut dyn Iterator<Item = Field>, first: i64, last: i64| {
            let entry = known.entry(entity.clone()).or_insert_with(|| Known {
                entity: entity.clone(),
                fields: BTreeSet::new(),
                first_utc_ms: first,
                last_utc_ms: last,
            });
            entry.fields.extend(fields);
            entry.first_utc_ms = entry.first_utc_ms.min(first);
            entry.last_utc_ms = entry.last_utc_ms.max(last);
        };
        for path in self.all_segments()? {
            let Some(segment) = self.usable(&path, Segment::open(self.storage.as_ref(), &path))? else {
                continue;
            };
            for entry in &segment.entities {
                let mut fields = entry.series.iter().filter_map(|series| series.field);
                add(
                    &entry.entity,
                    &mut fields,
                    segment.first_utc_ms,
                    segment.last_utc_ms,
                );
            }
        }
        for source in self.sources()? {
            let Source::Head(path) = source else { continue };
            self.each_head_sample(&path, |_, sample| {
                for row in &sample.rows {
                    let measured = Field::of_kind(row.entity.kind()).map(|spec| spec.field);
                    let mut measured = measured.filter(|field| row.get(*field).is_some());
                    add(&row.entity, &mut measured, sample.now.utc_ms, sample.now.utc_ms);
                }
            })?;
        }
        Ok(known.into_values().collect())
    }

    /// Paths of all sealed files.
    pub(crate) fn all_segments(&self) -> Result<Vec<PathBuf>> {
        let tiers = [Tier::Second, Tier::Minute, Tier::FiveMinutes].map(layout::folder);
        let mut paths = Vec::new();
        for folder in tiers.into_iter().chain([layout::IMPORTS]) {
            let files = log::numbered(self.storage.as_ref(), &self.dir, folder, SEGMENT_SUFFIX)?;
            let path = |(number, _)| layout::path(&self.dir, folder, number, SEGMENT_SUFFIX);
            paths.extend(files.into_iter().map(path));
        }
        Ok(paths)
    }

    /// Reads and checks every byte of the store, and names what is damaged.
    pub fn verify(&self) -> Result<Vec<Damage>> {
        let storage = self.storage.as_ref();
        for path in self.all_segments()? {
            let Some(segment) = self.usable(&path, Segment::open(storage, &path))? else {
                continue;
            };
            let Some(bytes) = self.usable(&path, segment.load(storage))? else {
                continue;
            };
            let series = segment.entities.iter().flat_map(|entry| &entry.series);
            let blocks = series
                .map(|series| series.block)
                .chain(segment.times.iter().copied());
            for block in blocks {
                let checked = segment.block(Blocks::Loaded(&bytes), block).map(drop);
                self.usable(&path, checked)?;
            }
        }
        for source in self.sources()? {
            if let Source::Head(path) = source {
                self.each_head_sample(&path, |_, _| {})?;
            }
        }
        for (folder, purpose) in [
            (layout::INPUTS, Purpose::Inputs),
            (layout::MAPS, Purpose::Maps),
            (layout::DECISIONS, Purpose::Decisions),
            (layout::OUTCOMES, Purpose::Outcomes),
        ] {
            self.each_frame(folder, purpose, i64::MIN, |_, _| true)?;
        }
        Ok(self.damage())
    }

    /// Calls `each` with kind and payload of all frames in files that end after `since_utc_ms`; frames for
    /// which it gives false are noted as not understood.
    pub(crate) fn each_frame(
        &self,
        folder: &str,
        purpose: Purpose,
        since_utc_ms: i64,
        mut each: impl FnMut(u8, &[u8]) -> bool,
    ) -> Result<()> {
        let storage = self.storage.as_ref();
        let files = log::files(storage, &self.dir, folder)?;
        for (position, (number, _)) in files.iter().enumerate() {
            let ends_before = files.get(position + 1).is_some_and(|(next, _)| {
                let next = layout::path(&self.dir, folder, *next, LOG_SUFFIX);
                log::opened_utc_ms(storage, &next).is_some_and(|ended| ended < since_utc_ms)
            });
            if ends_before {
                continue;
            }
            self.each_frame_of(folder, purpose, *number, &mut each)?;
        }
        Ok(())
    }

    /// The same for one file.
    pub(crate) fn each_frame_of(
        &self,
        folder: &str,
        purpose: Purpose,
        number: u64,
        mut each: impl FnMut(u8, &[u8]) -> bool,
    ) -> Result<()> {
        let path = layout::path(&self.dir, folder, number, LOG_SUFFIX);
        let bytes = self.usable(&path, log::read(self.storage.as_ref(), &path, purpose))?;
        let bytes = bytes.unwrap_or_default();
        let scan = frame::scan(&bytes);
        if !scan.corrupt.is_empty() {
            self.note(&path, scan.damage().unwrap_or_default());
        }
        let frames = scan.frames.iter().filter(|frame| frame.kind != log::OPENED);
        let not_understood = frames.filter(|frame| !each(frame.kind, frame.payload)).count();
        if not_understood > 0 {
            self.note(&path, format!("{not_understood} records are of another version"));
        }
        Ok(())
    }

    fn records<T: DeserializeOwned>(
        &self,
        folder: &str,
        purpose: Purpose,
        since_utc_ms: i64,
    ) -> Result<Vec<T>> {
        let mut records = Vec::new();
        self.each_frame(folder, purpose, since_utc_ms, |kind, payload| {
            let record = match kind {
                store::RECORD => decision::decode(payload),
                store::COMPRESSED => decision::decode_compressed(payload),
                _ => None,
            };
            record.map(|record| records.push(record)).is_some()
        })?;
        Ok(records)
    }

    /// Everything that was decided, done or seen since then, in order.
    pub fn decisions(&self, since_utc_ms: i64) -> Result<Vec<Recorded>> {
        let mut found: Vec<Recorded> = self.records(layout::DECISIONS, Purpose::Decisions, since_utc_ms)?;
        found.retain(|record| record.at.utc_ms >= since_utc_ms);
        Ok(found)
    }

    /// Leases first planned since then, each with all that happened to it.
    pub fn actions(&self, since_utc_ms: i64) -> Result<Vec<Action>> {
        Ok(decision::actions(&self.decisions(since_utc_ms)?))
    }

    /// The actions that had this lease id: one, unless the daemon ever started from nothing.
    pub fn actions_of_lease(&self, lease: LeaseId) -> Result<Vec<Action>> {
        let mut actions = self.actions(i64::MIN)?;
        actions.retain(|action| action.lease.id == lease);
        Ok(actions)
    }

    /// The actions that rest on this prediction.
    pub fn actions_of_prediction(&self, prediction: PredictionId) -> Result<Vec<Action>> {
        let mut actions = self.actions(i64::MIN)?;
        actions.retain(|action| action.lease.cause.prediction == Some(prediction));
        Ok(actions)
    }

    /// Scored predictions since then, record by record: all of them together may be more than memory holds.
    pub fn each_outcomes(&self, since_utc_ms: i64, mut each: impl FnMut(RecordedOutcomes)) -> Result<()> {
        self.each_frame(
            layout::OUTCOMES,
            Purpose::Outcomes,
            since_utc_ms,
            |kind, payload| {
                let packed = kind == outcomes::PACKED;
                let record = packed.then(|| outcomes::decode(payload).ok()).flatten();
                let understood = record.is_some();
                if let Some(record) = record.filter(|record| record.at.utc_ms >= since_utc_ms) {
                    each(record);
                }
                understood
            },
        )
    }

    /// The same, all at once.
    pub fn outcomes(&self, since_utc_ms: i64) -> Result<Vec<RecordedOutcomes>> {
        let mut found = Vec::new();
        self.each_outcomes(since_utc_ms, |record| found.push(record))?;
        Ok(found)
    }

    /// Contention that began or ended since then, in order.
    pub fn contention(&self, since_utc_ms: i64) -> Result<Vec<(Moment, ContentionEvent)>> {
        let events = self.decisions(since_utc_ms)?.into_iter();
        Ok(events
            .filter_map(|record| match record.decision {
                Decision::Contention(event) => Some((record.at, event)),
                _ => None,
            })
            .collect())
    }

    /// Contention maps made since then, in order.
    pub fn maps(&self, since_utc_ms: i64) -> Result<Vec<ContentionMap>> {
        let mut found: Vec<ContentionMap> = self.records(layout::MAPS, Purpose::Maps, since_utc_ms)?;
        found.retain(|map| map.made.utc_ms >= since_utc_ms);
        Ok(found)
    }
}

fn fine_point(moment: Moment, value: f64) -> Point {
    Point {
        utc_ms: moment.utc_ms,
        boot: Some(moment.boot),
        mean: value,
        min: value,
        max: value,
        count: 1,
    }
}

fn bucket_points(buckets: Buckets) -> Vec<Point> {
    let point = |(utc_ms, bucket): (i64, Bucket)| Point {
        utc_ms,
        boot: None,
        mean: bucket.mean,
        min: bucket.min,
        max: bucket.max,
        count: bucket.count as u32,
    };
    buckets.into_iter().map(point).collect()
}

/// Samples in the order in which they were appended; holds one file's samples at a time.
pub struct Samples {
    pub(crate) reader: Reader,
    pub(crate) sources: VecDeque<Source>,
    pub(crate) ready: VecDeque<(Arc<str>, Sample)>,
    pub(crate) range: Range<i64>,
}

impl Samples {
    /// The next sample with the boot id under which it was taken.
    pub fn next_with_boot(&mut self) -> Option<Result<(Arc<str>, Sample)>> {
        while self.ready.is_empty() {
            let source = self.sources.pop_front()?;
            match self.reader.source_samples(&source, &self.range) {
                Ok(samples) => self.ready.extend(samples),
                Err(error) => return Some(Err(error)),
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

impl Iterator for Samples {
    type Item = Result<Sample>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_with_boot().map(|next| next.map(|(_, sample)| sample))
    }
}

//! What happens behind the tick: sealing the head, summing up, forgetting what is old.
//!
//! All of it is derived from what lies on the disk, so it can be cut off anywhere and run again: a head file
//! becomes the segment of the same number, and only then goes away; an hour of seconds becomes the segment of
//! minutes named after it. It does not decide when it runs; the store calls it, in the background or inline.

use crate::buckets::{self, Bucket, Buckets};
use crate::error::{HistoryError, Result};
use crate::frame::{self, Purpose};
use crate::layout::{self, LOG_SUFFIX, SEGMENT_SUFFIX};
use crate::seconds::{self, SecondsBuilder, Times};
use crate::segment::{Blocks, Segment, Tier};
use crate::storage::Storage;
use crate::{StoreConfig, head, log};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_types::{Entity, Field};

/// How many of the newest segments must be as late before a time is believed.
const AGREEING_SEGMENTS: usize = 3;

/// One file that is damaged, named and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Under which name it is kept.
    pub path: PathBuf,
    /// What is wrong, in words.
    pub what: String,
}

/// What one run did.
#[derive(Debug, Default)]
pub(crate) struct Maintained {
    pub(crate) damage: Vec<Damage>,
    pub(crate) sealed: usize,
    pub(crate) removed: usize,
}

/// Seals, sums up and forgets. Head files from number `head_sequence` on are still written.
pub(crate) fn maintain(
    storage: &dyn Storage,
    dir: &Path,
    config: &StoreConfig,
    head_sequence: u64,
) -> Result<Maintained> {
    let mut done = Maintained::default();
    for (number, _) in log::files(storage, dir, layout::HEAD)? {
        if number < head_sequence {
            seal(storage, dir, number, &mut done)?;
        }
    }
    if let Some(newest) = newest_utc_ms(&headers(storage, dir, Tier::Second, &mut done)?) {
        sum_up(storage, dir, (Tier::Minute, Tier::Second), newest, &mut done)?;
        sum_up(storage, dir, (Tier::FiveMinutes, Tier::Minute), newest, &mut done)?;
        retain_by_age(storage, dir, config, newest, &mut done)?;
    }
    retain_checkpoints(storage, dir, config, &mut done)?;
    retain_total(storage, dir, config, &mut done)?;
    Ok(done)
}

/// Gives a damaged file the name under which it is kept, and names it.
fn set_aside(storage: &dyn Storage, path: &Path, what: String, done: &mut Maintained) -> Result<()> {
    let kept = layout::corrupt(path);
    storage
        .rename(path, &kept)
        .map_err(HistoryError::io("setting aside", path))?;
    done.damage.push(Damage { path: kept, what });
    Ok(())
}

fn seal(storage: &dyn Storage, dir: &Path, number: u64, done: &mut Maintained) -> Result<()> {
    let head = layout::path(dir, layout::HEAD, number, LOG_SUFFIX);
    let sealed = layout::path(dir, layout::folder(Tier::Second), number, SEGMENT_SUFFIX);
    let bytes = match log::read(storage, &head, Purpose::Head) {
        Ok(bytes) => bytes,
        Err(HistoryError::Corrupt { what, .. }) => return set_aside(storage, &head, what, done),
        // It stays where it is for the tidegate that can read it; opening named it.
        Err(HistoryError::Version { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let scan = frame::scan(&bytes);
    let mut problem = (!scan.corrupt.is_empty()).then(|| scan.damage()).flatten();
    if Segment::open(storage, &sealed).is_err() {
        let mut builder = SecondsBuilder::default();
        let summary = head::decode(&scan, |_, sample| builder.push(sample));
        if summary.unusable_frames > 0 && problem.is_none() {
            problem = Some(format!("{} frames are not usable", summary.unusable_frames));
        }
        if !builder.is_empty() {
            let file = builder.finish(&summary.boot_id);
            storage
                .replace(&sealed, &file)
                .map_err(HistoryError::io("sealing", &sealed))?;
            done.sealed += 1;
        }
    }
    match problem {
        Some(what) => set_aside(storage, &head, what, done),
        None => storage.remove(&head).map_err(HistoryError::io("removing", &head)),
    }
}

/// A segment with all its blocks in memory.
struct Loaded {
    segment: Segment,
    blocks: Vec<u8>,
    seconds: Option<Times>,
    starts: Vec<i64>,
}

impl Loaded {
    fn open(storage: &dyn Storage, path: &Path) -> Result<Self> {
        let segment = Segment::open(storage, path)?;
        let blocks = segment.load(storage)?;
        let loaded = Blocks::Loaded(&blocks);
        let (seconds, starts) = if segment.tier == Tier::Second {
            let times = seconds::times(&segment, loaded)?;
            let starts = times.moments.iter().map(|moment| moment.utc_ms).collect();
            (Some(times), starts)
        } else {
            (None, buckets::starts(&segment, loaded)?)
        };
        let loaded = Self {
            segment,
            blocks,
            seconds,
            starts,
        };
        loaded.verify()?;
        Ok(loaded)
    }

    /// Every block's checksum, so that a damaged file is set aside as a whole before anything is summed up.
    fn verify(&self) -> Result<()> {
        let mut series = self.segment.entities.iter().flat_map(|entry| &entry.series);
        series.try_for_each(|series| {
            self.segment
                .block(Blocks::Loaded(&self.blocks), series.block)
                .map(drop)
        })
    }

    fn add_to(
        &self,
        into: &mut Buckets,
        width_ms: i64,
        range: (i64, i64),
        key: (&Entity, Field),
    ) -> Result<()> {
        let Some(entry) = self.segment.entity(key.0) else {
            return Ok(());
        };
        for series in entry.series.iter().filter(|series| series.field == Some(key.1)) {
            let blocks = Blocks::Loaded(&self.blocks);
            let values = match &self.seconds {
                Some(times) => seconds::values(&self.segment, blocks, series, times)?
                    .into_iter()
                    .map(Bucket::of)
                    .collect(),
                None => buckets::values(&self.segment, blocks, series)?,
            };
            for (tick, bucket) in series.runs.ticks().zip(values) {
                let utc_ms = self.starts[tick];
                if (range.0..range.1).contains(&utc_ms) && !bucket.mean.is_nan() {
                    buckets::add(into, utc_ms, width_ms, bucket);
                }
            }
        }
        Ok(())
    }
}

/// Headers of a tier's segments; damaged ones are set aside.
fn headers(
    storage: &dyn Storage,
    dir: &Path,
    tier: Tier,
    done: &mut Maintained,
) -> Result<Vec<(PathBuf, i64, i64)>> {
    let mut found = Vec::new();
    for (number, _) in log::numbered(storage, dir, layout::folder(tier), SEGMENT_SUFFIX)? {
        let path = layout::path(dir, layout::folder(tier), number, SEGMENT_SUFFIX);
        match Segment::peek(storage, &path) {
            Ok((_, first, last)) => found.push((path, first, last)),
            Err(HistoryError::Corrupt { what, .. }) => set_aside(storage, &path, what, done)?,
            Err(HistoryError::Version { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The time that ages are measured from: what the last few segments agree on, so that a clock that is far
/// ahead for some minutes after boot does not make everything old.
fn newest_utc_ms(segments: &[(PathBuf, i64, i64)]) -> Option<i64> {
    let agreeing = segments.len().saturating_sub(AGREEING_SEGMENTS);
    segments[agreeing..].iter().map(|(_, _, last)| *last).min()
}

/// Makes every segment of `tier` that is complete in `finer` and not there yet.
fn sum_up(
    storage: &dyn Storage,
    dir: &Path,
    (tier, finer): (Tier, Tier),
    newest_utc_ms: i64,
    done: &mut Maintained,
) -> Result<()> {
    let sources = headers(storage, dir, finer, done)?;
    let present: BTreeSet<u64> = log::numbered(storage, dir, layout::folder(tier), SEGMENT_SUFFIX)?
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    let spans: BTreeSet<u64> = sources
        .iter()
        .flat_map(|(_, first, last)| layout::span_number(tier, *first)..=layout::span_number(tier, *last))
        .collect();
    for span in spans {
        let from = layout::span_start_ms(tier, span);
        let range = (from, from.saturating_add(layout::span_ms(tier)));
        if !present.contains(&span) && range.1 <= newest_utc_ms + 1 {
            let overlapping = sources
                .iter()
                .filter(|(_, first, last)| *first < range.1 && *last >= range.0)
                .map(|(path, _, _)| path);
            sum_up_span(storage, dir, (tier, span), range, overlapping, done)?;
        }
    }
    Ok(())
}

fn sum_up_span<'path>(
    storage: &dyn Storage,
    dir: &Path,
    (tier, span): (Tier, u64),
    range: (i64, i64),
    sources: impl Iterator<Item = &'path PathBuf>,
    done: &mut Maintained,
) -> Result<()> {
    let mut loaded = Vec::new();
    for path in sources {
        match Loaded::open(storage, path) {
            Ok(source) => loaded.push(source),
            Err(HistoryError::Corrupt { what, .. }) => set_aside(storage, path, what, done)?,
            Err(HistoryError::Version { .. }) => {}
            Err(HistoryError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut series: BTreeMap<Entity, BTreeSet<Field>> = BTreeMap::new();
    for entry in loaded.iter().flat_map(|source| &source.segment.entities) {
        let fields = entry.series.iter().filter_map(|series| series.field);
        series.entry(entry.entity.clone()).or_default().extend(fields);
    }
    let file = buckets::build(tier, range, &series, |entity, field| {
        let mut into = Buckets::new();
        for source in &loaded {
            source.add_to(&mut into, tier.bucket_ms(), range, (entity, field))?;
        }
        Ok(into)
    })?;
    let path = layout::path(dir, layout::folder(tier), span, SEGMENT_SUFFIX);
    storage
        .replace(&path, &file)
        .map_err(HistoryError::io("writing", &path))
}

fn remove(storage: &dyn Storage, path: &Path, done: &mut Maintained) -> Result<()> {
    storage.remove(path).map_err(HistoryError::io("removing", path))?;
    done.removed += 1;
    Ok(())
}

/// Removes what is older than its tier or log keeps.
fn retain_by_age(
    storage: &dyn Storage,
    dir: &Path,
    config: &StoreConfig,
    newest_utc_ms: i64,
    done: &mut Maintained,
) -> Result<()> {
    for (tier, keep_ms) in config.keep_ms() {
        for (path, _, last) in headers(storage, dir, tier, done)? {
            if last < newest_utc_ms.saturating_sub(keep_ms) {
                remove(storage, &path, done)?;
            }
        }
    }
    for (folder, keep_ms, keep_bytes) in config.log_limits() {
        let oldest = newest_utc_ms.saturating_sub(keep_ms);
        retain_log(storage, dir, (folder, oldest, keep_bytes), done)?;
    }
    Ok(())
}

fn retain_log(
    storage: &dyn Storage,
    dir: &Path,
    (folder, oldest_utc_ms, keep_bytes): (&'static str, i64, u64),
    done: &mut Maintained,
) -> Result<()> {
    let files = log::files(storage, dir, folder)?;
    let mut total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    for pair in files.windows(2) {
        let [(number, bytes), (next, _)] = pair else { break };
        // A file ends where the next one begins.
        let next = layout::path(dir, folder, *next, LOG_SUFFIX);
        let ended = log::opened_utc_ms(storage, &next).unwrap_or(i64::MAX);
        if ended >= oldest_utc_ms && total <= keep_bytes {
            break;
        }
        remove(storage, &layout::path(dir, folder, *number, LOG_SUFFIX), done)?;
        total -= bytes;
    }
    Ok(())
}

fn retain_checkpoints(
    storage: &dyn Storage,
    dir: &Path,
    config: &StoreConfig,
    done: &mut Maintained,
) -> Result<()> {
    let suffix = layout::CHECKPOINT_SUFFIX;
    let files = log::numbered(storage, dir, layout::CHECKPOINTS, suffix)?;
    let mut total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    let spare = files.len().saturating_sub(1);
    for (number, bytes) in &files[..spare] {
        if total <= config.checkpoint_bytes {
            break;
        }
        remove(
            storage,
            &layout::path(dir, layout::CHECKPOINTS, *number, suffix),
            done,
        )?;
        total -= bytes;
    }
    Ok(())
}

/// Bytes of all files of the store.
pub(crate) fn total_bytes(storage: &dyn Storage, dir: &Path) -> Result<u64> {
    let folders = layout::FOLDERS.iter();
    folders
        .map(|folder| folder_bytes(storage, &dir.join(folder)))
        .sum()
}

/// Bytes of all files of a folder.
pub(crate) fn folder_bytes(storage: &dyn Storage, folder: &Path) -> Result<u64> {
    let files = storage
        .list(folder)
        .map_err(HistoryError::io("listing", folder))?;
    Ok(files.iter().map(|file| file.bytes).sum())
}

/// Removes the oldest of the finest tier while the whole is too large.
fn retain_total(
    storage: &dyn Storage,
    dir: &Path,
    config: &StoreConfig,
    done: &mut Maintained,
) -> Result<()> {
    let mut total = total_bytes(storage, dir)?;
    for tier in [Tier::Second, Tier::Minute, Tier::FiveMinutes] {
        let folder = layout::folder(tier);
        for (number, bytes) in log::numbered(storage, dir, folder, SEGMENT_SUFFIX)? {
            if total <= config.max_bytes {
                return Ok(());
            }
            remove(storage, &layout::path(dir, folder, number, SEGMENT_SUFFIX), done)?;
            total = total.saturating_sub(bytes);
        }
    }
    Ok(())
}

/// Shared handle of the disk.
pub(crate) type Disk = Arc<dyn Storage>;

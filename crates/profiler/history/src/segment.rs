//! A sealed file: every series of some minutes in columns, with its own dictionary, never changed again.
//!
//! A segment stands alone: entities and fields are named in it, so no other file can make it unreadable.
//! Header and index are checked when it is opened, each block when it is read; the lengths must add up to
//! the file's. Both the seconds and the summed-up tiers are kept this way; what a block means is theirs.

use crate::bytes::{Cursor, Malformed, Parsed, put_text, put_varint};
use crate::column::Runs;
use crate::error::{HistoryError, Result};
use crate::names;
use crate::storage::Storage;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_types::{Entity, Field};

/// Newest format of segments that is read and the one that is written.
pub(crate) const VERSION: u16 = 1;
const MAGIC: [u8; 4] = *b"TGSG";
pub(crate) const HEADER_BYTES: usize = 36;
/// Read at once with the header: the whole index of a small host.
const FIRST_READ_BYTES: usize = 32 << 10;

/// How fine a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Tier {
    /// Every sample as it was taken.
    Second = 1,
    /// Mean, minimum, maximum and count of every minute.
    Minute = 2,
    /// The same of every five minutes.
    FiveMinutes = 3,
}

impl Tier {
    /// Milliseconds per bucket; 1 for the tier that keeps samples as they are.
    pub fn bucket_ms(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60_000,
            Self::FiveMinutes => 300_000,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Second, Self::Minute, Self::FiveMinutes]
            .into_iter()
            .find(|tier| *tier as u8 == byte)
    }
}

/// Where a block lies, counted from the end of the index, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRef {
    offset: u64,
    length: usize,
    checksum: u32,
}

/// One series of an entity.
#[derive(Clone, Debug)]
pub(crate) struct SeriesIndex {
    /// `None` where this build does not know the field's name.
    pub(crate) field: Option<Field>,
    /// Ticks with a value.
    pub(crate) runs: Runs,
    pub(crate) block: BlockRef,
}

/// One entity of a segment.
#[derive(Clone, Debug)]
pub(crate) struct EntityIndex {
    pub(crate) entity: Entity,
    /// Ticks that have a row of it.
    pub(crate) present: Runs,
    pub(crate) series: Vec<SeriesIndex>,
}

/// The opened index of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) tier: Tier,
    pub(crate) first_utc_ms: i64,
    pub(crate) last_utc_ms: i64,
    pub(crate) boot_id: Arc<str>,
    pub(crate) ticks: usize,
    pub(crate) times: Vec<BlockRef>,
    pub(crate) entities: Vec<EntityIndex>,
    blocks_from: u64,
    blocks_bytes: u64,
}

/// Collects a segment's bytes. Blocks are written in the order in which they are added.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    index: Vec<u8>,
    blocks: Vec<u8>,
    names: Vec<Field>,
    entities: Vec<u8>,
    entity_count: u64,
}

impl SegmentWriter {
    /// A segment of `ticks` ticks whose times are the given blocks.
    pub(crate) fn new(boot_id: &str, ticks: usize, times: &[Vec<u8>]) -> Self {
        let mut writer = Self {
            index: Vec::new(),
            blocks: Vec::new(),
            names: Vec::new(),
            entities: Vec::new(),
            entity_count: 0,
        };
        put_text(&mut writer.index, boot_id);
        put_varint(&mut writer.index, ticks as u64);
        put_varint(&mut writer.index, times.len() as u64);
        for block in times {
            put_block(&mut writer.index, &mut writer.blocks, block);
        }
        writer
    }

    /// Adds an entity with all its series; entities come in ascending order.
    pub(crate) fn entity(&mut self, entity: &Entity, present: &Runs, series: &[(Field, Runs, Vec<u8>)]) {
        self.entity_count += 1;
        names::put_entity(&mut self.entities, entity);
        present.put(&mut self.entities);
        put_varint(&mut self.entities, series.len() as u64);
        for (field, runs, block) in series {
            let known = self.names.iter().position(|name| name == field);
            let number = known.unwrap_or_else(|| {
                self.names.push(*field);
                self.names.len() - 1
            });
            put_varint(&mut self.entities, number as u64);
            let own_runs = runs != present;
            self.entities.push(u8::from(own_runs));
            if own_runs {
                runs.put(&mut self.entities);
            }
            put_block(&mut self.entities, &mut self.blocks, block);
        }
    }

    /// The finished file.
    pub(crate) fn finish(mut self, tier: Tier, first_utc_ms: i64, last_utc_ms: i64) -> Vec<u8> {
        put_varint(&mut self.index, self.names.len() as u64);
        for field in &self.names {
            self.index.push(names::kind_byte(field.spec().kind));
            put_text(&mut self.index, field.spec().name);
        }
        put_varint(&mut self.index, self.entity_count);
        self.index.append(&mut self.entities);
        let mut file = Vec::with_capacity(HEADER_BYTES + self.index.len() + self.blocks.len());
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&[tier as u8, 0]);
        file.extend_from_slice(&first_utc_ms.to_le_bytes());
        file.extend_from_slice(&last_utc_ms.to_le_bytes());
        file.extend_from_slice(&(self.index.len() as u32).to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(&self.index).to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
        file.append(&mut self.index);
        file.append(&mut self.blocks);
        file
    }
}

fn put_block(index: &mut Vec<u8>, blocks: &mut Vec<u8>, block: &[u8]) {
    put_varint(index, block.len() as u64);
    index.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
    blocks.extend_from_slice(block);
}

struct Header {
    tier: Tier,
    first_utc_ms: i64,
    last_utc_ms: i64,
    index_length: usize,
    index_checksum: u32,
}

fn parse_header(bytes: &[u8], path: &Path) -> Result<Header> {
    let ends_early = || HistoryError::corrupt(path, "the header ends early");
    let head = bytes.get(..HEADER_BYTES).ok_or_else(ends_early)?;
    let (body, checksum) = head.split_at(HEADER_BYTES - 4);
    if crc32fast::hash(body).to_le_bytes() != *checksum || body[..4] != MAGIC {
        return Err(HistoryError::corrupt(path, "the header is damaged"));
    }
    let found = u16::from_le_bytes([body[4], body[5]]);
    if found != VERSION {
        return Err(HistoryError::Version {
            path: path.to_owned(),
            found,
            supported: VERSION,
        });
    }
    let tier = Tier::from_byte(body[6]).ok_or_else(|| HistoryError::corrupt(path, "the tier is unknown"))?;
    let mut cursor = Cursor::new(&body[8..]);
    let mut fields = || -> Parsed<Header> {
        Ok(Header {
            tier,
            first_utc_ms: cursor.i64()?,
            last_utc_ms: cursor.i64()?,
            index_length: cursor.u32()? as usize,
            index_checksum: cursor.u32()?,
        })
    };
    fields().map_err(|malformed| HistoryError::corrupt(path, malformed.0))
}

/// Hands out the places of blocks, which lie one behind the other.
struct BlockPlaces(u64);

impl BlockPlaces {
    fn next(&mut self, cursor: &mut Cursor<'_>) -> Parsed<BlockRef> {
        let length = cursor.size()?;
        let block = BlockRef {
            offset: self.0,
            length,
            checksum: cursor.u32()?,
        };
        self.0 = self
            .0
            .checked_add(length as u64)
            .ok_or(Malformed("a block is too long"))?;
        Ok(block)
    }
}

fn parse_entity(
    cursor: &mut Cursor<'_>,
    places: &mut BlockPlaces,
    fields: &[Option<Field>],
    ticks: u32,
) -> Parsed<EntityIndex> {
    let entity = names::entity(cursor)?;
    let present = Runs::parse(cursor, ticks)?;
    let count = cursor.count()?;
    let mut series = Vec::with_capacity(count);
    for _ in 0..count {
        let field = *fields
            .get(cursor.size()?)
            .ok_or(Malformed("a series names no field"))?;
        let runs = match cursor.u8()? {
            0 => present.clone(),
            _ => Runs::parse(cursor, ticks)?,
        };
        let block = places.next(cursor)?;
        series.push(SeriesIndex { field, runs, block });
    }
    Ok(EntityIndex {
        entity,
        present,
        series,
    })
}

fn parse_index(bytes: &[u8], header: &Header, path: &Path) -> Parsed<Segment> {
    let mut cursor = Cursor::new(bytes);
    let boot_id = Arc::from(cursor.text()?);
    let ticks = u32::try_from(cursor.varint()?).map_err(|_| Malformed("too many ticks"))?;
    let mut places = BlockPlaces(0);
    let times = (0..cursor.count()?)
        .map(|_| places.next(&mut cursor))
        .collect::<Parsed<Vec<_>>>()?;
    let mut fields = Vec::new();
    for _ in 0..cursor.count()? {
        let byte = cursor.u8()?;
        let kind = names::KINDS
            .into_iter()
            .find(|kind| names::kind_byte(*kind) == byte)
            .ok_or(Malformed("a field is of an unknown kind"))?;
        fields.push(Field::by_name(kind, cursor.text()?));
    }
    let entities = (0..cursor.count()?)
        .map(|_| parse_entity(&mut cursor, &mut places, &fields, ticks))
        .collect::<Parsed<Vec<_>>>()?;
    if !cursor.is_empty() {
        return Err(Malformed("the index is longer than its entities"));
    }
    Ok(Segment {
        path: path.to_owned(),
        tier: header.tier,
        first_utc_ms: header.first_utc_ms,
        last_utc_ms: header.last_utc_ms,
        boot_id,
        ticks: ticks as usize,
        times,
        entities,
        blocks_from: (HEADER_BYTES + bytes.len()) as u64,
        blocks_bytes: places.0,
    })
}

/// Where blocks are read from.
#[derive(Clone, Copy)]
pub(crate) enum Blocks<'source> {
    /// One at a time.
    OnDisk(&'source dyn Storage),
    /// From a copy of all of them.
    Loaded(&'source [u8]),
}

impl Segment {
    /// Reads and checks the header only: `(tier, first and last UTC milliseconds)`.
    pub(crate) fn peek(storage: &dyn Storage, path: &Path) -> Result<(Tier, i64, i64)> {
        let bytes = storage
            .read(path, 0, HEADER_BYTES)
            .map_err(HistoryError::io("reading", path))?;
        let header = parse_header(&bytes, path)?;
        Ok((header.tier, header.first_utc_ms, header.last_utc_ms))
    }

    /// Reads and checks header and index.
    pub(crate) fn open(storage: &dyn Storage, path: &Path) -> Result<Self> {
        let io = || HistoryError::io("reading", path);
        let length = storage.length(path).map_err(io())?;
        let mut bytes = storage.read(path, 0, FIRST_READ_BYTES).map_err(io())?;
        let header = parse_header(&bytes, path)?;
        let end = HEADER_BYTES + header.index_length;
        if end as u64 > length {
            return Err(HistoryError::corrupt(path, "the index ends early"));
        }
        if bytes.len() < end {
            bytes = storage.read(path, 0, end).map_err(io())?;
        }
        let index = bytes
            .get(HEADER_BYTES..end)
            .ok_or_else(|| HistoryError::corrupt(path, "the index ends early"))?;
        if crc32fast::hash(index) != header.index_checksum {
            return Err(HistoryError::corrupt(path, "the index is damaged"));
        }
        let segment = parse_index(index, &header, path)
            .map_err(|malformed| HistoryError::corrupt(path, malformed.0))?;
        if segment.blocks_from.checked_add(segment.blocks_bytes) != Some(length) {
            return Err(HistoryError::corrupt(
                path,
                "the file is not as long as its blocks",
            ));
        }
        Ok(segment)
    }

    /// All blocks, to be used as [`Blocks::Loaded`].
    pub(crate) fn load(&self, storage: &dyn Storage) -> Result<Vec<u8>> {
        storage
            .read(&self.path, self.blocks_from, self.blocks_bytes as usize)
            .map_err(HistoryError::io("reading", &self.path))
    }

    /// One block, checked.
    pub(crate) fn block<'source>(
        &self,
        blocks: Blocks<'source>,
        block: BlockRef,
    ) -> Result<Cow<'source, [u8]>> {
        let bytes = match blocks {
            Blocks::OnDisk(storage) => Cow::Owned(
                storage
                    .read(&self.path, self.blocks_from + block.offset, block.length)
                    .map_err(HistoryError::io("reading", &self.path))?,
            ),
            Blocks::Loaded(bytes) => {
                let start = block.offset as usize;
                let range = start..start.saturating_add(block.length);
                Cow::Borrowed(bytes.get(range).unwrap_or_default())
            }
        };
        if bytes.len() != block.length || crc32fast::hash(&bytes) != block.checksum {
            let at = self.blocks_from + block.offset;
            return Err(HistoryError::corrupt(
                &self.path,
                format!("the block at offset {at} is damaged"),
            ));
        }
        Ok(bytes)
    }

    /// The entry of `entity`.
    pub(crate) fn entity(&self, entity: &Entity) -> Option<&EntityIndex> {
        self.entities
            .binary_search_by(|entry| entry.entity.cmp(entity))
            .ok()
            .map(|position| &self.entities[position])
    }

    /// The error for a block whose content makes no sense.
    pub(crate) fn malformed(&self, malformed: Malformed) -> HistoryError {
        HistoryError::corrupt(&self.path, malformed.0)
    }
}

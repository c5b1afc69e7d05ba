//! The engine's state as opaque bytes, one file each, named by the tick that it was taken after.

use crate::bytes::{Cursor, Parsed, put_bytes, put_text};
use crate::error::{HistoryError, Result};
use crate::layout;
use crate::log;
use crate::reader::Reader;
use std::sync::Arc;
use tidegate_types::{BootTime, Moment};

const MAGIC: [u8; 4] = *b"TGCP";
const VERSION: u16 = 1;

/// A kept state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of the last tick that is in it.
    pub tick: u64,
    /// When it was taken.
    pub at: Moment,
    /// The kernel's boot id under which it was taken.
    pub boot_id: Arc<str>,
    /// The bytes that the caller gave.
    pub state: Vec<u8>,
}

pub(crate) fn encode(at: Moment, boot_id: &str, state: &[u8]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&at.boot.0.to_le_bytes());
    file.extend_from_slice(&at.utc_ms.to_le_bytes());
    put_text(&mut file, boot_id);
    put_bytes(&mut file, state);
    let checksum = crc32fast::hash(&file);
    file.extend_from_slice(&checksum.to_le_bytes());
    file
}

fn parse(bytes: &[u8], tick: u64) -> Parsed<Checkpoint> {
    let mut cursor = Cursor::new(bytes);
    let at = Moment {
        boot: BootTime(cursor.u64()?),
        utc_ms: cursor.i64()?,
    };
    let boot_id = Arc::from(cursor.text()?);
    let state = cursor.bytes()?.to_vec();
    Ok(Checkpoint {
        tick,
        at,
        boot_id,
        state,
    })
}

impl Reader {
    /// The ticks after which a state was kept, oldest first.
    pub fn checkpoints(&self) -> Result<Vec<u64>> {
        let suffix = layout::CHECKPOINT_SUFFIX;
        let files = log::numbered(self.storage.as_ref(), &self.dir, layout::CHECKPOINTS, suffix)?;
        Ok(files.into_iter().map(|(tick, _)| tick).collect())
    }

    /// The state after `tick`; `None` where there is none or it is damaged (noted).
    pub fn checkpoint(&self, tick: u64) -> Result<Option<Checkpoint>> {
        let path = layout::path(&self.dir, layout::CHECKPOINTS, tick, layout::CHECKPOINT_SUFFIX);
        let read = self
            .storage
            .read(&path, 0, usize::MAX)
            .map_err(HistoryError::io("reading", &path))
            .and_then(|bytes| {
                let damaged = || HistoryError::corrupt(&path, "the checkpoint is damaged");
                let (body, checksum) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
                if crc32fast::hash(body).to_le_bytes() != *checksum {
                    return Err(damaged());
                }
                let (magic, body) = body.split_first_chunk::<4>().ok_or_else(damaged)?;
                let (version, body) = body.split_first_chunk::<2>().ok_or_else(damaged)?;
                let found = u16::from_le_bytes(*version);
                if *magic == MAGIC && found != VERSION {
                    return Err(HistoryError::Version {
                        path: path.clone(),
                        found,
                        supported: VERSION,
                    });
                }
                parse(body, tick).map_err(|malformed| HistoryError::corrupt(&path, malformed.0))
            });
        self.usable(&path, read)
    }

    /// The newest readable state.
    pub fn latest_checkpoint(&self) -> Result<Option<Checkpoint>> {
        for tick in self.checkpoints()?.into_iter().rev() {
            if let Some(checkpoint) = self.checkpoint(tick)? {
                return Ok(Some(checkpoint));
            }
        }
        Ok(None)
    }
}

//! The state as bytes: version, then postcard, packed as it is written: plain, a large host's would take as much room as
//! the state itself. An unknown version is refused with the remedy.

use crate::{Config, State};
use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufWriter, Read as _};
use std::sync::Arc;
use tidegate_forecast::Forecaster;
use tidegate_plan::{Planner, policy};
use tidegate_types::{Apps, ContentionMap, KnobValue, LeaseId, Plan, Sample};

/// Raised when the layout of anything inside changes.
const VERSION: u32 = 6;

/// Why bytes are not a state.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Written by another version.
    #[error(
        "the checkpoint has version {found}, this program reads {VERSION}; start without it, the history stays"
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// Not a checkpoint, or damaged.
    #[error("the checkpoint cannot be read: {0}; start without it, the history stays")]
    Damaged(#[from] postcard::Error),
    /// Damaged where it is packed.
    #[error("the checkpoint cannot be unpacked: {0}; start without it, the history stays")]
    Packing(#[from] std::io::Error),
    /// The policy inside does not parse any more.
    #[error("the policy inside the checkpoint is not valid: {0}")]
    Policy(String),
}

/// What is written: the state with the policy as text. What is large is borrowed for writing.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved<'a> {
    pub(crate) config: Config,
    pub(crate) apps: Apps,
    pub(crate) policy_text: Arc<str>,
    pub(crate) forecaster: Cow<'a, Forecaster>,
    pub(crate) planner: Planner,
    pub(crate) map: ContentionMap,
    pub(crate) sample: Sample,
    pub(crate) plan: Plan,
    pub(crate) found: BTreeMap<LeaseId, KnobValue>,
}

impl State {
    /// The state as bytes.
    pub fn checkpoint(&self) -> Result<Vec<u8>, CheckpointError> {
        let saved = Saved {
            config: self.config.clone(),
            apps: self.apps.clone(),
            policy_text: self.policy_text.clone(),
            forecaster: Cow::Borrowed(&self.forecaster),
            planner: self.planner.clone(),
            map: self.map.clone(),
            sample: self.sample.clone(),
            plan: self.plan.clone(),
            found: self.found.clone(),
        };
        let mut packed = FrameEncoder::new(VERSION.to_le_bytes().to_vec());
        // It writes byte by byte, and ends with a flush.
        postcard::to_io(&saved, BufWriter::new(&mut packed))?;
        Ok(packed.finish().map_err(std::io::Error::from)?)
    }

    /// The state that [`State::checkpoint`] wrote.
    pub fn restore(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (version, packed) = bytes
            .split_first_chunk::<4>()
            .ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        let found = u32::from_le_bytes(*version);
        if found != VERSION {
            return Err(CheckpointError::Version { found });
        }
        let mut plain = Vec::new();
        FrameDecoder::new(packed).read_to_end(&mut plain)?;
        let saved: Saved = postcard::from_bytes(&plain)?;
        let policy = policy::parse(&saved.policy_text, "checkpoint")
            .map_err(|error| CheckpointError::Policy(error.to_string()))?;
        Ok(Self::from_saved(saved, policy))
    }
}

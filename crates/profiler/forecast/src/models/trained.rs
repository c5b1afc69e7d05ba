//! The models that were trained on many series, and the file that they are kept in.
//!
//! The file is little-endian: the magic `TGFM`, a version, the lengths of the two rows, the forests, the network if
//! there is one, the forests for one-minute values if there are any, and a 64-bit FNV-1a sum over everything before it.
//! A reader refuses another version, another length, a wrong sum, and trees whose references lead nowhere: what was read
//! is asked without further checks.

use super::gbdt::{Forest, Node, QuantileForest, Tree};
use super::lstm::Lstm;
use super::lstm::network::WEIGHTS;
use super::series::{BODY_ROW, EVENT_ROW, FOREST_ROW, knows_minutes};
use super::{QUANTILES, TARGET_COUNT, WINDOW_COUNT};

const MAGIC: &[u8; 4] = b"TGFM";
/// Version of the file; what the features mean is part of it.
pub const VERSION: u16 = 3;
/// Marks a missing value's way to the left in the feature's number.
const MISSING_LEFT: u16 = 1 << 15;

/// The trained models.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trained {
    /// Log-odds of an exceedance in each window; forests without trees know nothing.
    pub events: [Forest; WINDOW_COUNT],
    /// The same where one-minute values are known; without trees where none were learned from. Forests that answer for
    /// both cost those without minutes a little.
    pub with_minutes: [Forest; WINDOW_COUNT],
    /// What to add to the blocks' quantiles of each target, in scales.
    pub body: [QuantileForest; TARGET_COUNT],
    /// The recurrent network; empty where none was trained.
    pub network: Lstm,
}

/// Why a model file was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// It is not a model file.
    NotAModel,
    /// Its version is not the one that is read here.
    Version {
        /// The version that was found.
        found: u16,
    },
    /// Its rows have other lengths than the features of this program.
    Width {
        /// Length that was found.
        found: u16,
        /// Length that is needed.
        needed: u16,
    },
    /// It ends too early, goes on too long, or its sum is wrong.
    Damaged,
    /// A tree's references or values are unsound.
    Unsound,
}

impl std::fmt::Display for FileError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAModel => write!(formatter, "not a forecast model"),
            Self::Version { found } => write!(
                formatter,
                "forecast model of version {found}, this program reads version {VERSION}: train it anew"
            ),
            Self::Width { found, needed } => write!(
                formatter,
                "forecast model for rows of {found} features, this program makes {needed}: train it anew"
            ),
            Self::Damaged => write!(formatter, "forecast model is damaged: its length or sum is wrong"),
            Self::Unsound => write!(formatter, "forecast model holds a tree that leads nowhere"),
        }
    }
}

impl std::error::Error for FileError {}

impl Trained {
    /// The model that ships with this program; `trained/MODEL-CARD.md` says what it learned from.
    pub fn shipped() -> Result<Self, FileError> {
        Self::from_bytes(include_bytes!("../../trained/usage.tgfm"))
    }

    /// The forests that answer for a row.
    pub(crate) fn events_for(&self, row: &[f32; FOREST_ROW]) -> &[Forest; WINDOW_COUNT] {
        if self.knows_minutes() && knows_minutes(row) {
            &self.with_minutes
        } else {
            &self.events
        }
    }

    /// Whether it has learned from one-minute values.
    pub(crate) fn knows_minutes(&self) -> bool {
        self.with_minutes.iter().all(|forest| !forest.trees().is_empty())
    }

    /// The bytes of the model file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [VERSION, BODY_ROW as u16, FOREST_ROW as u16] {
            bytes.extend(number.to_le_bytes());
        }
        for forest in &self.events {
            write_forest(&mut bytes, &[forest.base], forest.trees());
        }
        for forest in &self.body {
            write_forest(&mut bytes, &[], forest.trees());
        }
        bytes.push(u8::from(self.network.is_trained()));
        if self.network.is_trained() {
            let network = &self.network;
            for value in network
                .middle
                .iter()
                .chain(&network.spread)
                .chain(&network.weights)
            {
                bytes.extend(value.to_le_bytes());
            }
        }
        if self.knows_minutes() {
            for forest in &self.with_minutes {
                write_forest(&mut bytes, &[forest.base], forest.trees());
            }
        }
        let sum = sum_of(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    /// Reads the bytes of a model file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(FileError::NotAModel)?;
        let (body, sum) = rest.split_last_chunk::<8>().ok_or(FileError::Damaged)?;
        let mut reader = Reader { bytes: body };
        let found = reader.number()?;
        if found != VERSION {
            return Err(FileError::Version { found });
        }
        if u64::from_le_bytes(*sum) != sum_of(&bytes[..bytes.len() - 8]) {
            return Err(FileError::Damaged);
        }
        for needed in [BODY_ROW as u16, FOREST_ROW as u16] {
            let found = reader.number()?;
            if found != needed {
                return Err(FileError::Width { found, needed });
            }
        }
        let trained = reader.trained()?;
        let events = trained
            .events
            .iter()
            .chain(&trained.with_minutes)
            .all(Forest::is_sound);
        let network = &trained.network;
        let sound = network
            .weights
            .iter()
            .chain(&network.middle)
            .all(|value| value.is_finite())
            && network.spread.iter().all(|value| *value > 0.0);
        if !(sound && events && trained.body.iter().all(QuantileForest::is_sound)) {
            return Err(FileError::Unsound);
        }
        Ok(trained)
    }
}

pub(crate) fn sum_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn write_forest(bytes: &mut Vec<u8>, base: &[f32], trees: &[Tree]) {
    for value in base {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend((trees.len() as u16).to_le_bytes());
    for tree in trees {
        bytes.extend((tree.nodes.len() as u16).to_le_bytes());
        bytes.extend((tree.leaves.len() as u16).to_le_bytes());
        for node in &tree.nodes {
            let feature = node.feature | if node.missing_left { MISSING_LEFT } else { 0 };
            bytes.extend(feature.to_le_bytes());
            bytes.extend(node.threshold.to_le_bytes());
            bytes.extend(short(node.left).to_le_bytes());
            bytes.extend(short(node.right).to_le_bytes());
        }
        tree.leaves
            .iter()
            .for_each(|value| bytes.extend(value.to_le_bytes()));
    }
}

/// A reference in 16 bits: the highest still marks a leaf.
fn short(reference: u32) -> u16 {
    ((reference >> 31) << 15) as u16 | (reference & 0x7FFF) as u16
}

fn long(reference: u16) -> u32 {
    (u32::from(reference >> 15) << 31) | u32::from(reference & 0x7FFF)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn number(&mut self) -> Result<u16, FileError> {
        let (number, rest) = self.bytes.split_first_chunk::<2>().ok_or(FileError::Damaged)?;
        self.bytes = rest;
        Ok(u16::from_le_bytes(*number))
    }

    fn value(&mut self) -> Result<f32, FileError> {
        let (value, rest) = self.bytes.split_first_chunk::<4>().ok_or(FileError::Damaged)?;
        self.bytes = rest;
        Ok(f32::from_le_bytes(*value))
    }

    fn values(&mut self, count: usize) -> Result<Vec<f32>, FileError> {
        (0..count).map(|_| self.value()).collect()
    }

    fn trained(&mut self) -> Result<Trained, FileError> {
        let mut trained = Trained::default();
        for forest in &mut trained.events {
            *forest = self.forest()?;
        }
        for forest in &mut trained.body {
            *forest = QuantileForest::new(BODY_ROW, QUANTILES, self.trees()?);
        }
        let (has_network, rest) = self.bytes.split_first().ok_or(FileError::Damaged)?;
        self.bytes = rest;
        if *has_network != 0 {
            trained.network = Lstm {
                middle: self.values(EVENT_ROW)?,
                spread: self.values(EVENT_ROW)?,
                weights: self.values(WEIGHTS)?,
            };
        }
        if !self.bytes.is_empty() {
            for forest in &mut trained.with_minutes {
                *forest = self.forest()?;
            }
        }
        if self.bytes.is_empty() {
            Ok(trained)
        } else {
            Err(FileError::Damaged)
        }
    }

    fn forest(&mut self) -> Result<Forest, FileError> {
        Ok(Forest::new(FOREST_ROW, self.value()?, self.trees()?))
    }

    fn trees(&mut self) -> Result<Vec<Tree>, FileError> {
        let count = self.number()?;
        (0..count).map(|_| self.tree()).collect()
    }

    fn tree(&mut self) -> Result<Tree, FileError> {
        let (nodes, leaves) = (self.number()?, self.number()?);
        Ok(Tree {
            nodes: (0..nodes).map(|_| self.node()).collect::<Result<_, _>>()?,
            leaves: self.values(usize::from(leaves))?,
        })
    }

    fn node(&mut self) -> Result<Node, FileError> {
        let feature = self.number()?;
        Ok(Node {
            feature: feature & !MISSING_LEFT,
            missing_left: feature & MISSING_LEFT != 0,
            threshold: self.value()?,
            left: long(self.number()?),
            right: long(self.number()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Trained {
        let node = Node {
            feature: 3,
            missing_left: true,
            threshold: 0.5,
            left: 1 << 31,
            right: (1 << 31) | 1,
        };
        let tree = |leaves: usize| Tree {
            nodes: vec![node],
            leaves: vec![0.25; leaves],
        };
        let event = Forest::new(FOREST_ROW, -2.0, vec![tree(2); 3]);
        let body = QuantileForest::new(BODY_ROW, QUANTILES, vec![tree(2 * QUANTILES)]);
        Trained {
            events: std::array::from_fn(|_| event.clone()),
            with_minutes: Default::default(),
            body: std::array::from_fn(|_| body.clone()),
            network: Lstm::default(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Trained::from_bytes(&small().to_bytes()), Ok(small()));
    }

    #[test]
    fn a_network_is_written_and_read() {
        let mut trained = small();
        trained.network = Lstm {
            weights: vec![0.5; WEIGHTS],
            middle: vec![1.0; EVENT_ROW],
            spread: vec![2.0; EVENT_ROW],
        };
        assert_eq!(Trained::from_bytes(&trained.to_bytes()), Ok(trained.clone()));
        trained.network.spread[3] = 0.0;
        assert_eq!(Trained::from_bytes(&trained.to_bytes()), Err(FileError::Unsound));
    }

    #[test]
    fn forests_for_minutes_are_written_read_and_asked_where_there_are_some() {
        let mut trained = small();
        let with = Forest::new(FOREST_ROW, 3.0, trained.events[0].trees().to_vec());
        trained.with_minutes = std::array::from_fn(|_| with.clone());
        assert_eq!(Trained::from_bytes(&trained.to_bytes()), Ok(trained.clone()));
        let mut row = [0.0; FOREST_ROW];
        assert_eq!(trained.events_for(&row), &trained.with_minutes);
        assert_eq!(small().events_for(&row), &small().events);
        row[EVENT_ROW..].fill(f32::NAN);
        assert_eq!(trained.events_for(&row), &trained.events);
        trained.with_minutes[2].trees_mut()[1].nodes[0].left = 7;
        assert_eq!(Trained::from_bytes(&trained.to_bytes()), Err(FileError::Unsound));
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_refused() {
        let bytes = small().to_bytes();
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x41;
            assert!(Trained::from_bytes(&damaged).is_err(), "byte {place}");
            assert!(Trained::from_bytes(&bytes[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn a_sound_sum_does_not_excuse_an_unsound_tree() {
        let mut trained = small();
        trained.events[1].trees_mut()[0].nodes[0].left = 7;
        assert_eq!(Trained::from_bytes(&trained.to_bytes()), Err(FileError::Unsound));
        let mut trained = small();
        trained.body[0].trees_mut()[0].nodes[0].feature = BODY_ROW as u16;
        assert_eq!(Trained::from_bytes(&trained.to_bytes()), Err(FileError::Unsound));
        let mut trained = small();
        trained.body[4].trees_mut()[0].leaves[1] = f32::NAN;
        assert_eq!(Trained::from_bytes(&trained.to_bytes()), Err(FileError::Unsound));
    }

    #[test]
    fn the_shipped_model_is_read() {
        let shipped = Trained::shipped().expect("it was trained for these features");
        assert!(shipped.events.iter().all(|forest| !forest.trees().is_empty()));
        assert!(shipped.network.is_trained());
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = small().to_bytes();
        bytes[4] = 9;
        let refused = Trained::from_bytes(&bytes).expect_err("another version");
        assert_eq!(refused, FileError::Version { found: 9 });
        assert!(refused.to_string().contains("train it anew"));
    }
}

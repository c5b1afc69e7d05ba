//! One connected process: its session, and what was loaded into it.

use crate::VariantsError;
use crate::placement;
use crate::recipe::Recipe;
use crate::session::{Loaded, Session};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_format::image::Image;
use tidegate_format::scenario::Scenario;

/// Where the code of an image lies in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadedCode {
    /// The function's index.
    pub function: u32,
    /// What it is for.
    pub scenario: Scenario,
    /// Address of its first byte.
    pub start: u64,
    /// Its length.
    pub bytes: u64,
}

/// One connected process.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) session: Session,
    /// Whether something may be switched or counted, so that heartbeats are needed.
    pub(super) touched: bool,
    /// Code that was loaded, the images of before among it: a thread may be inside.
    pub(super) loaded: Vec<LoadedCode>,
    /// By what the present images were made, where that is known.
    pub(super) recipes: BTreeMap<(u32, Scenario), Recipe>,
    /// The present images, to give them another place.
    images: BTreeMap<(u32, Scenario), Arc<[u8]>>,
}

impl Managed {
    /// A process that has just come.
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            touched: false,
            loaded: Vec::new(),
            recipes: BTreeMap::new(),
            images: BTreeMap::new(),
        }
    }

    pub(super) fn load(
        &mut self,
        function: u32,
        scenario: Scenario,
        image: &[u8],
    ) -> Result<Loaded, VariantsError> {
        let loaded = self.put(function, scenario, image)?;
        self.recipes.remove(&(function, scenario));
        self.images.insert((function, scenario), image.into());
        Ok(loaded)
    }

    /// Loads the present image of a function once more, so many lines into its page.
    pub(super) fn move_to(
        &mut self,
        function: u32,
        scenario: Scenario,
        lines: u32,
    ) -> Result<(), VariantsError> {
        let Some(image) = self.images.get(&(function, scenario)).cloned() else {
            return Ok(());
        };
        let moved = placement::moved(&image, lines)?;
        self.put(function, scenario, &moved).map(drop)
    }

    fn put(&mut self, function: u32, scenario: Scenario, image: &[u8]) -> Result<Loaded, VariantsError> {
        let loaded = self.session.load(function, scenario, image)?;
        // The runtime has just read it.
        if let Ok(image) = Image::read(image) {
            let start = loaded.address.saturating_sub(u64::from(image.entry));
            self.loaded.push(LoadedCode {
                function,
                scenario,
                start,
                bytes: u64::from(image.text_length),
            });
        }
        Ok(loaded)
    }
}

//! What an entry is made from besides the unit's own past.

use super::causes::CALIBRATIONS;
use crate::calibrate::Calibration;
use crate::declared::Announced;
use crate::model::{Model, WINDOWS};
use crate::models::calendar::Calendar as LocalTime;
use crate::sums::Asked;
use crate::usage::Usage;
use tidegate_types::Driver;

/// What is known of a unit besides its own past.
pub(crate) struct About<'a> {
    pub(crate) announced: Option<&'a Announced>,
    /// Largest share first.
    pub(crate) drivers: Vec<Driver>,
    /// What the apps ask for together.
    pub(crate) asked: &'a Asked,
}

/// What all units share.
pub(crate) struct Shared<'a> {
    pub(crate) windows_s: [u32; WINDOWS],
    pub(crate) model: &'a Model,
    pub(crate) usage: &'a Usage,
    pub(crate) local_time: &'a LocalTime,
    /// One for each kind of prediction: [`calibration_of`](super::causes::calibration_of).
    pub(crate) calibrations: &'a [Calibration; CALIBRATIONS],
}

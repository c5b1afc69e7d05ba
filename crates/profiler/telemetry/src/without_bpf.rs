//! What stands in for the BPF readers in a build without them: they cannot be opened.

use crate::ranges::{Asked, Part};
use std::path::Path;
use tidegate_types::BootTime;

/// Never there.
#[derive(Debug)]
pub(crate) enum CoreWaiting {}

impl CoreWaiting {
    pub(crate) fn open() -> Result<Self, String> {
        Err("built without the `bpf` feature".to_owned())
    }

    pub(crate) fn mean(&mut self, _core: u16, _at: BootTime) -> f64 {
        match *self {}
    }

    pub(crate) fn forget(&mut self) {
        match *self {}
    }
}

/// Never there.
#[derive(Debug)]
pub(crate) enum RangesByBpf {}

impl RangesByBpf {
    pub(crate) fn open() -> Result<Self, String> {
        Err("built without the `bpf` feature".to_owned())
    }

    pub(crate) fn divide(&self, _device: u32, _shift: u32) -> Result<(), String> {
        match *self {}
    }

    pub(crate) fn each(&self, _each: impl FnMut(Part, Asked)) {
        match *self {}
    }
}

/// Never there.
#[derive(Debug)]
pub(crate) enum QuietGroups {}

impl QuietGroups {
    pub(crate) fn open(_root: &Path) -> Result<Self, String> {
        Err("built without the `bpf` feature".to_owned())
    }

    pub(crate) fn look(&mut self, _at: BootTime) {
        match *self {}
    }

    pub(crate) fn is_quiet(&self, _id: u64) -> bool {
        match *self {}
    }
}

//! What stands in for the BPF readers in a build without them: they cannot be opened.

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

//! The functions of this process: their slots, and what was loaded for them.
//!
//! Why so: a switch is one aligned eight-byte store into a slot, so that is all that `switch` does; whatever
//! can fail was done before, when the image was loaded. While a function's calls are counted, its slot leads
//! to the counting stub and the stub's target is stored instead.
//!
//! Not here: mapping, sockets, threads. One thread at a time changes this state (whoever is inside the gate);
//! the app's threads only read slots and targets.

use crate::binary::Binary;
use crate::stub::{Capture, Counted};
use crate::sync::{AtomicU64, Ordering};
use tidegate_format::message::{CAPTURE_WORDS, Reason};
use tidegate_format::scenario::Scenario;
use tidegate_format::section::{AnchorEntry, DESCRIPTOR_LENGTH, Descriptor};

/// Scenarios, the base included.
const SCENARIOS: usize = Scenario::ALL.len();

/// One switchable function.
#[derive(Debug)]
pub struct Function {
    /// Address of its descriptor.
    pub record: u64,
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// Why it cannot be switched, or [`Reason::None`].
    pub reason: Reason,
    slot: Option<&'static AtomicU64>,
    /// Entry per scenario; 0 = not loaded. The base's is the body.
    entries: [u64; SCENARIOS],
    current: Scenario,
    counted: Option<&'static Counted>,
    stub: u64,
    counting: bool,
    capture: Option<&'static Capture>,
    capture_stub: u64,
    capturing: bool,
    anchors_sum: u64,
}

impl Function {
    /// Reads the descriptor at `record`; a damaged one is kept, with its reason, so that indices stay.
    pub fn read(binary: &Binary, record: u64) -> Option<Self> {
        let bytes = binary.bytes(record, DESCRIPTOR_LENGTH)?;
        let descriptor = Descriptor::read(bytes).ok()?;
        let body = descriptor.body.target(record).unwrap_or(0);
        let slot = descriptor
            .slot
            .target(record)
            .and_then(|address| binary.cell(address));
        let holds_body = slot.is_some_and(|slot| body != 0 && slot.load(Ordering::Relaxed) == body);
        let mut entries = [0; SCENARIOS];
        entries[Scenario::Base as usize] = body;
        Some(Self {
            record,
            descriptor,
            reason: if holds_body {
                Reason::None
            } else {
                Reason::ForeignSlot
            },
            slot,
            entries,
            current: Scenario::Base,
            counted: None,
            stub: 0,
            counting: false,
            capture: None,
            capture_stub: 0,
            capturing: false,
            anchors_sum: 0,
        })
    }

    /// Its linker name.
    pub fn name(&self, binary: &Binary) -> &'static str {
        let address = self.descriptor.name.target(self.record).unwrap_or(0);
        let bytes = binary.bytes(address, self.descriptor.name_length as usize);
        bytes
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or("?")
    }

    /// Its blob.
    pub fn blob(&self, binary: &Binary) -> &'static [u8] {
        let address = self.descriptor.blob.target(self.record).unwrap_or(0);
        binary
            .bytes(address, self.descriptor.blob_length as usize)
            .unwrap_or(&[])
    }

    /// The address that entry `index` of its anchor table stands for.
    ///
    /// # Errors
    /// [`Reason::BadAnchor`] for an entry outside of the table, of an unknown kind, or that nobody defined.
    pub fn anchor(&self, binary: &Binary, index: u32) -> Result<u64, Reason> {
        let table = self
            .descriptor
            .anchors
            .target(self.record)
            .ok_or(Reason::BadAnchor)?;
        let length = self.descriptor.anchor_count as usize * tidegate_format::section::ANCHOR_LENGTH;
        let bytes = binary.bytes(table, length).ok_or(Reason::BadAnchor)?;
        let entry = AnchorEntry::read(bytes, index as usize).map_err(|_| Reason::BadAnchor)?;
        let target = entry.reference.target(table).ok_or(Reason::BadAnchor)?;
        let address = if entry.is_indirect() {
            binary
                .cell(target)
                .ok_or(Reason::BadAnchor)?
                .load(Ordering::Relaxed)
        } else {
            target
        };
        if address == 0 {
            Err(Reason::BadAnchor)
        } else {
            Ok(address)
        }
    }

    /// A number that differs where an anchor stands for another address: images hold the addresses of anchors.
    fn anchors_sum(&self, binary: &Binary) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let addresses =
            (0..self.descriptor.anchor_count).map(|index| self.anchor(binary, index).unwrap_or(0));
        addresses.fold(self.body(), |sum, address| {
            (sum ^ address).rotate_left(23).wrapping_mul(ODD)
        })
    }

    /// Remembers what the addresses are that images may hold, before the first is loaded.
    pub fn note_anchors(&mut self, binary: &Binary) {
        self.anchors_sum = self.anchors_sum(binary);
    }

    /// Takes over what was loaded for the same function before its library was closed, where every address in it still
    /// holds: the library came back to the same place.
    pub fn inherit(&mut self, before: &Self, binary: &Binary) {
        let same =
            self.descriptor.hash == before.descriptor.hash && self.anchors_sum(binary) == before.anchors_sum;
        if same && self.reason == Reason::None {
            self.entries = before.entries;
            self.anchors_sum = before.anchors_sum;
            (self.counted, self.stub) = (before.counted, before.stub);
            (self.capture, self.capture_stub) = (before.capture, before.capture_stub);
        }
    }

    /// Says that the function is about to vanish with its library: the base first, then nothing is touched any more.
    pub fn leave(&mut self) {
        self.release();
        self.reason = Reason::Closed;
    }

    /// Where its base code is.
    pub fn body(&self) -> u64 {
        self.entries[Scenario::Base as usize]
    }

    /// What its slot leads to.
    pub fn current(&self) -> Scenario {
        self.current
    }

    /// Bit `1 << number` per loaded scenario.
    pub fn loaded(&self) -> u8 {
        let loaded = Scenario::ALL
            .into_iter()
            .filter(|scenario| *scenario != Scenario::Base && self.entries[*scenario as usize] != 0);
        loaded.fold(0, |bits, scenario| bits | 1 << scenario.number())
    }

    /// Whether `scenario` can be switched to.
    pub fn has(&self, scenario: Scenario) -> bool {
        self.reason == Reason::None && self.entries[scenario as usize] != 0
    }

    /// Remembers a sealed image's entry; where an older image of the scenario is in use, goes over to it.
    pub fn publish(&mut self, scenario: Scenario, entry: u64) {
        self.entries[scenario as usize] = entry;
        if self.current == scenario {
            let _ = self.switch(scenario);
        }
    }

    /// Leads calls to `scenario`: one store.
    ///
    /// # Errors
    /// The function's own reason, [`Reason::NotLoaded`], and [`Reason::ForeignSlot`] where the cell does not
    /// hold afterwards what was stored (another party writes it).
    pub fn switch(&mut self, scenario: Scenario) -> Result<(), Reason> {
        if self.reason != Reason::None {
            return Err(self.reason);
        }
        let entry = self.entries[scenario as usize];
        if entry == 0 {
            return Err(Reason::NotLoaded);
        }
        let cell = match (self.counted, self.capture) {
            (Some(counted), _) if self.counting => Some(&counted.target),
            (_, Some(capture)) if self.capturing => Some(&capture.target),
            _ => self.slot,
        };
        let cell = cell.ok_or(Reason::ForeignSlot)?;
        cell.store(entry, Ordering::Release);
        self.current = scenario;
        if cell.load(Ordering::Relaxed) == entry {
            Ok(())
        } else {
            Err(Reason::ForeignSlot)
        }
    }

    /// Puts the base back, counting or not; also where the function is otherwise not switchable by now.
    pub fn release(&mut self) {
        if self.reason != Reason::None {
            return;
        }
        let base = self.body();
        if let Some(counted) = self.counted {
            counted.target.store(base, Ordering::Release);
        }
        if let Some(capture) = self.capture {
            capture.target.store(base, Ordering::Release);
        }
        if let Some(slot) = self.slot {
            slot.store(base, Ordering::Release);
        }
        self.current = Scenario::Base;
        self.counting = false;
        self.capturing = false;
    }

    /// Whether it has a counting stub.
    pub fn has_stub(&self) -> bool {
        self.counted.is_some()
    }

    /// Gives the function its stub.
    pub fn set_stub(&mut self, stub: u64, counted: &'static Counted) {
        self.stub = stub;
        self.counted = Some(counted);
    }

    /// Starts or stops counting; what is called stays the same.
    ///
    /// # Errors
    /// As [`switch`](Self::switch); [`Reason::NotLoaded`] without a stub.
    pub fn count(&mut self, enabled: bool) -> Result<(), Reason> {
        let counted = self.counted.ok_or(Reason::NotLoaded)?;
        let slot = self
            .slot
            .filter(|_| self.reason == Reason::None)
            .ok_or(Reason::ForeignSlot)?;
        let entry = self.entries[self.current as usize];
        counted.target.store(entry, Ordering::Release);
        if enabled {
            counted.calls.store(0, Ordering::Relaxed);
        }
        slot.store(if enabled { self.stub } else { entry }, Ordering::Release);
        self.counting = enabled;
        self.capturing = false;
        Ok(())
    }

    /// Whether it has a capturing stub.
    pub fn has_capture(&self) -> bool {
        self.capture.is_some()
    }

    /// Gives the function its capturing stub.
    pub fn set_capture(&mut self, stub: u64, capture: &'static Capture) {
        self.capture_stub = stub;
        self.capture = Some(capture);
    }

    /// Notes the arguments of the next calls.
    ///
    /// # Errors
    /// As [`switch`](Self::switch); [`Reason::NotLoaded`] without a stub, [`Reason::BadRequest`] while counting.
    pub fn arm(&mut self) -> Result<(), Reason> {
        let capture = self.capture.ok_or(Reason::NotLoaded)?;
        let slot = self
            .slot
            .filter(|_| self.reason == Reason::None)
            .ok_or(Reason::ForeignSlot)?;
        if self.counting {
            return Err(Reason::BadRequest);
        }
        for call in &capture.calls {
            call[CAPTURE_WORDS].store(0, Ordering::Relaxed);
        }
        capture
            .target
            .store(self.entries[self.current as usize], Ordering::Release);
        capture.taken.store(0, Ordering::Release);
        slot.store(self.capture_stub, Ordering::Release);
        self.capturing = true;
        Ok(())
    }

    /// Ends noting; writes what was noted into `place` and gives its length in bytes.
    pub fn disarm(&mut self, place: &mut [u8]) -> usize {
        let armed = self.capturing && self.reason == Reason::None;
        let (Some(capture), Some(slot), true) = (self.capture, self.slot, armed) else {
            return 0;
        };
        slot.store(self.entries[self.current as usize], Ordering::Release);
        self.capturing = false;
        let whole = capture
            .calls
            .iter()
            .filter(|call| call[CAPTURE_WORDS].load(Ordering::Acquire) == 1);
        let mut length = 0;
        for (call, place) in whole.zip(place.chunks_exact_mut(8 * CAPTURE_WORDS)) {
            for (word, bytes) in call.iter().zip(place.chunks_exact_mut(8)) {
                bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
            length += place.len();
        }
        length
    }

    /// Calls since counting began.
    pub fn calls(&self) -> u64 {
        self.counted
            .filter(|_| self.counting)
            .map_or(0, |counted| counted.calls.load(Ordering::Relaxed))
    }

    /// Whether something of ours stands between a call and the base.
    pub fn is_touched(&self) -> bool {
        self.counting || self.capturing || self.current != Scenario::Base
    }
}

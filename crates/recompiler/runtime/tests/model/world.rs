//! One function, its code in memory, and what a call does.

use crate::binary::{BODY, Binary, RECORD};
use crate::functions::Function;
use crate::stub::{CAPTURE_RECORD_WORDS, Capture, Counted};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use std::mem::MaybeUninit;
use tidegate_format::message::{CAPTURE_CALLS, CAPTURE_WORDS};

/// Where images and stubs are said to be.
pub(crate) const IMAGES: [u64; 2] = [0x5000, 0x6000];
pub(crate) const COUNTING: u64 = 0x7000;
pub(crate) const CAPTURING: u64 = 0x8000;
/// What complete code says.
const COMPLETE: u64 = 42;

/// What the app's threads see.
pub(crate) struct World {
    slot: &'static AtomicU64,
    counted: &'static Counted,
    capture: &'static Capture,
    code: [UnsafeCell<u64>; 2],
}

// SAFETY: the cells of code are what the model watches: loom fails where an access could race.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    /// A fresh world, and the helper's view of its one function.
    pub(crate) fn new() -> (Arc<Self>, Function) {
        let slot: &AtomicU64 = Box::leak(Box::new(AtomicU64::new(BODY)));
        let function = Function::read(&Binary { slot }, RECORD).unwrap();
        let world = Self {
            slot,
            counted: Box::leak(Box::new(Counted {
                calls: AtomicU64::new(0),
                target: AtomicU64::new(0),
            })),
            capture: empty_capture(),
            code: [UnsafeCell::new(0), UnsafeCell::new(0)],
        };
        (Arc::new(world), function)
    }

    /// Writes an image's code; nobody may be able to reach it yet.
    pub(crate) fn load(&self, image: usize) -> u64 {
        // SAFETY: loom checks that nobody else looks.
        self.code[image].with_mut(|code| unsafe { *code = COMPLETE });
        IMAGES[image]
    }

    /// Gives the function its two stubs.
    pub(crate) fn make_stubs(&self, function: &mut Function) {
        function.set_stub(COUNTING, self.counted);
        function.set_capture(CAPTURING, self.capture);
    }

    /// What a call through the slot reaches: the base or an image, complete.
    pub(crate) fn call(&self, argument: u64) -> u64 {
        let mut address = self.slot.load(Ordering::Acquire);
        loop {
            address = match address {
                COUNTING => {
                    self.counted.calls.fetch_add(1, Ordering::AcqRel);
                    self.counted.target.load(Ordering::Acquire)
                }
                CAPTURING => {
                    self.note(argument);
                    self.capture.target.load(Ordering::Acquire)
                }
                BODY => return BODY,
                image => {
                    let index = IMAGES.iter().position(|known| *known == image);
                    let index = index.unwrap_or_else(|| panic!("a call led to {image:#x}"));
                    // SAFETY: loom checks that nobody else writes.
                    let code = self.code[index].with(|code| unsafe { *code });
                    assert_eq!(code, COMPLETE, "half-written code was reached");
                    return image;
                }
            };
        }
    }

    /// As the capturing stub does: a look, a place, the registers, and the word that says that they are there.
    fn note(&self, argument: u64) {
        let places = CAPTURE_CALLS as u32;
        if self.capture.taken.load(Ordering::Acquire) >= places {
            return;
        }
        let place = self.capture.taken.fetch_add(1, Ordering::AcqRel);
        if place < places {
            let call = &self.capture.calls[place as usize];
            // Two registers stand for all of them: every store is another point to interleave at.
            call[0].store(argument, Ordering::Release);
            call[1].store(argument, Ordering::Release);
            call[CAPTURE_WORDS].store(1, Ordering::Release);
        }
    }
}

/// Made in its place: a thread of the model has a small stack.
fn empty_capture() -> &'static Capture {
    let place: &mut MaybeUninit<Capture> = Box::leak(Box::new_zeroed());
    let capture = place.as_mut_ptr();
    // SAFETY: every field that is not a plain number is written before anybody refers to the whole.
    unsafe {
        (&raw mut (*capture).taken).write(AtomicU32::new(0));
        (&raw mut (*capture).target).write(AtomicU64::new(0));
        let words = (&raw mut (*capture).calls).cast::<AtomicU64>();
        for word in 0..CAPTURE_CALLS * CAPTURE_RECORD_WORDS {
            words.add(word).write(AtomicU64::new(0));
        }
        place.assume_init_ref()
    }
}

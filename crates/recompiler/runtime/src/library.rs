//! The door for libraries: they announce themselves when they are loaded, and before they are unmapped.
//!
//! Why so: only a library itself knows when its code comes and goes, and it must not need a symbol of the executable's:
//! every export could be met by the app. So the executable carries a note, `tidegate` of type 1, whose eight bytes are
//! the distance from themselves to [`enter`]; a library (`crate::library_entry` in an archive of its own) finds it by
//! the executable's program headers. Both calls come on the app's thread, before any constructor of the library's own
//! needs it and while the loader keeps the library mapped.
//!
//! Libraries that the executable is linked with are initialised before it. They wait in a list until it is.
//!
//! Not here: what is done with a library; see [`crate::process`].

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Libraries that may wait; further ones are not switchable.
const WAITING_LIMIT: usize = 64;

/// What a library says.
pub const COMES: u32 = 1;
/// What a library says when it is about to be unmapped.
pub const GOES: u32 = 2;

/// Libraries that came before the executable's constructor: ELF header and work counter; 0 = none or gone.
static WAITING: [[AtomicU64; 2]; WAITING_LIMIT] = [const { [const { AtomicU64::new(0) }; 2] }; WAITING_LIMIT];
static WAITING_COUNT: AtomicU32 = AtomicU32::new(0);

/// Notes a library that came early, or forgets it.
pub fn wait(what: u32, header: u64, work: u64) {
    if what == COMES {
        let index = WAITING_COUNT.fetch_add(1, Ordering::Relaxed) as usize;
        if let Some([place, counter]) = WAITING.get(index) {
            counter.store(work, Ordering::Relaxed);
            place.store(header, Ordering::Release);
        }
        return;
    }
    let same = |[place, _]: &&[AtomicU64; 2]| place.load(Ordering::Acquire) == header;
    if let Some([place, _]) = WAITING.iter().find(same) {
        place.store(0, Ordering::Release);
    }
}

/// The libraries that wait: ELF header and work counter.
pub fn waiting() -> impl Iterator<Item = (u64, u64)> {
    let pairs = WAITING
        .iter()
        .map(|[header, work]| (header.load(Ordering::Acquire), work.load(Ordering::Relaxed)));
    pairs.filter(|(header, _)| *header != 0)
}

/// The counter at an address that a library told.
pub fn counter(address: u64) -> Option<&'static AtomicU64> {
    let fits = address != 0 && address.is_multiple_of(8);
    // SAFETY: the library's own counter, mapped until the library says that it goes; eight aligned bytes.
    fits.then(|| unsafe { AtomicU64::from_ptr(address as *mut u64) })
}

#[cfg(tidegate_archive)]
core::arch::global_asm!(
    ".section .note.tidegate,\"a\",@note",
    ".balign 4",
    ".long 9, 8, 1",
    ".asciz \"tidegate\"",
    ".balign 4",
    ".quad tidegate_library_door - .",
    ".text",
);

#[cfg(tidegate_archive)]
#[unsafe(no_mangle)]
extern "C" fn tidegate_library_door(what: u32, header: u64, work: u64) {
    crate::start::library(what, header, work);
}

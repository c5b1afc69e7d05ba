//! Unwind information of loaded images, for whoever walks the stack inside the process.
//!
//! Why so: `__register_frame` allocates; `__register_frame_info` takes storage from its caller, which here is
//! memory that the runtime mapped. It is called only if the process has the unwinder loaded, and only once
//! libc says that there are threads: before that, libc's mutexes are not taken with atomic operations, and
//! the helper, which libc does not know, could meet a throw in the middle.
//!
//! Not here: images without unwind information, and unwinders other than libgcc's.

use crate::sys;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of libgcc's `struct object`, with room to spare (48 in libgcc 12, 56 later).
const OBJECT_BYTES: usize = 96;
/// At most so many sections are registered: more would slow every throw.
const OBJECT_LIMIT: usize = 1024;

static USED: AtomicUsize = AtomicUsize::new(0);
static STORAGE: AtomicUsize = AtomicUsize::new(0);

/// Registers the `.eh_frame` bytes at `address` (terminated by four zero bytes). Gives whether it did: without it
/// a backtrace ends at the variant, and an exception that passes through it ends the program.
pub fn register(address: u64, length: usize) -> bool {
    let Some(function) = imports::register_frame_info() else {
        return false;
    };
    if length < 8 || imports::single_threaded() {
        return false;
    }
    let Some(object) = next_object() else {
        return false;
    };
    // SAFETY: terminated frames in sealed memory, and zeroed storage of our own that is never given back.
    unsafe { function(address as *const u8, object as *mut u8) };
    true
}

fn next_object() -> Option<usize> {
    if STORAGE.load(Ordering::Relaxed) == 0 {
        STORAGE.store(
            sys::map_anywhere(OBJECT_BYTES * OBJECT_LIMIT).ok()?,
            Ordering::Relaxed,
        );
    }
    let index = USED.fetch_add(1, Ordering::Relaxed);
    (index < OBJECT_LIMIT).then(|| STORAGE.load(Ordering::Relaxed) + index * OBJECT_BYTES)
}

#[cfg(tidegate_archive)]
mod imports {
    use core::sync::atomic::{AtomicU8, Ordering};

    type RegisterFrameInfo = unsafe extern "C" fn(*const u8, *mut u8);

    // Weak references: 0 where the program has no unwinder, or its libc has no such flag.
    core::arch::global_asm!(
        ".weak __register_frame_info",
        ".weak __libc_single_threaded",
        ".section .data.rel.ro.tidegate_unwind,\"aw\"",
        ".balign 8",
        "tidegate_register_frame_info: .quad __register_frame_info",
        "tidegate_single_threaded: .quad __libc_single_threaded",
        ".hidden tidegate_register_frame_info",
        ".globl tidegate_register_frame_info",
        ".hidden tidegate_single_threaded",
        ".globl tidegate_single_threaded",
        ".text",
    );

    unsafe extern "C" {
        static tidegate_register_frame_info: Option<RegisterFrameInfo>;
        static tidegate_single_threaded: Option<&'static AtomicU8>;
    }

    pub(super) fn register_frame_info() -> Option<RegisterFrameInfo> {
        // SAFETY: eight bytes that hold a function's address or 0.
        unsafe { tidegate_register_frame_info }
    }

    pub(super) fn single_threaded() -> bool {
        // SAFETY: eight bytes that hold the flag's address or 0.
        unsafe { tidegate_single_threaded }.is_some_and(|flag| flag.load(Ordering::Relaxed) != 0)
    }
}

#[cfg(not(tidegate_archive))]
mod imports {
    pub(super) fn register_frame_info() -> Option<unsafe extern "C" fn(*const u8, *mut u8)> {
        None
    }

    pub(super) fn single_threaded() -> bool {
        true
    }
}

//! The few things that come from libc: the auxiliary vector, the environment, the registration for forks.
//!
//! Why so: all of them are used by the constructor only, on the main thread, where libc is at home.
//!
//! Not here: anything that the helper thread calls.

/// `AT_SECURE`: not 0 where the process has more rights than its caller.
pub const SECURE: u64 = 23;
/// `AT_PHDR`: where the executable's program headers are.
pub const PROGRAM_HEADERS: u64 = 3;
/// `AT_PHNUM`: how many.
pub const PROGRAM_HEADER_COUNT: u64 = 5;

type Handler = extern "C" fn();

unsafe extern "C" {
    fn getauxval(kind: core::ffi::c_ulong) -> core::ffi::c_ulong;
    static environ: *const *const core::ffi::c_char;
}

/// A value of the auxiliary vector, 0 if it is not there.
pub fn auxiliary(kind: u64) -> u64 {
    // SAFETY: takes and gives a number.
    unsafe { getauxval(kind) }
}

/// The entries of the environment, as the kernel handed them over.
pub fn environment() -> impl Iterator<Item = &'static [u8]> {
    // SAFETY: before `main` nobody changes the environment.
    let mut next = unsafe { environ };
    core::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: an array of pointers that ends in a null pointer.
        let entry = unsafe { *next };
        if entry.is_null() {
            return None;
        }
        // SAFETY: not the terminator, so there is another element.
        next = unsafe { next.add(1) };
        Some(crate::start::text_bytes(entry))
    })
}

/// Has the handlers called around every fork; without such a service in libc, children have no helper.
pub fn register_fork_handlers(before: Handler, in_parent: Handler, in_child: Handler) {
    if let Some(register) = weak::register_atfork() {
        // SAFETY: three functions without arguments, and no shared object to be unloaded with.
        unsafe { register(before, in_parent, in_child, core::ptr::null()) };
    }
}

type RegisterAtFork = unsafe extern "C" fn(Handler, Handler, Handler, *const u8) -> i32;

#[cfg(tidegate_archive)]
mod weak {
    use super::RegisterAtFork;

    // A weak reference: 0 where libc has no such function. `pthread_atfork` itself is in an archive of its own.
    core::arch::global_asm!(
        ".weak __register_atfork",
        ".section .data.rel.ro.tidegate_fork,\"aw\"",
        ".balign 8",
        "tidegate_register_atfork: .quad __register_atfork",
        ".hidden tidegate_register_atfork",
        ".globl tidegate_register_atfork",
        ".text",
    );

    unsafe extern "C" {
        static tidegate_register_atfork: Option<RegisterAtFork>;
    }

    pub(super) fn register_atfork() -> Option<RegisterAtFork> {
        // SAFETY: eight bytes that hold a function's address or 0.
        unsafe { tidegate_register_atfork }
    }
}

#[cfg(not(tidegate_archive))]
mod weak {
    pub(super) fn register_atfork() -> Option<super::RegisterAtFork> {
        None
    }
}

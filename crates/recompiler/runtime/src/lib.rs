//! The part of tidegate that is linked into apps: slots, loader, control socket.
//!
//! What: a constructor that does nothing without a daemon; with one, a helper thread without libc that loads
//! variants next to the executable, switches slots between them and the base, and puts the base back when the
//! daemon goes away.
//!
//! Why so: it lives in somebody else's process. So: no allocator, no libc on the helper thread, no signal, no
//! environment change, nothing on the app's heap, nothing that aborts or blocks the app, and no symbol that
//! the app could meet. `build.rs` makes `libtidegate_runtime.a` of it, one object with all symbols hidden,
//! compiled with `panic = abort` whatever the workspace uses.
//!
//! Not here: what is compiled, chosen or tried. As a Rust library it exists for its own tests only.

#![no_std]

pub mod area;
pub mod binary;
pub mod connection;
pub mod debugger;
pub mod functions;
pub mod gate;
pub mod helper;
pub mod imports;
pub mod library;
pub mod maps;
pub mod member;
pub mod place;
pub mod process;
pub mod processor;
pub mod relocate;
pub mod spent;
pub mod start;
pub mod stub;
pub mod sync;
pub mod sys;
pub mod unwind;

#[cfg(tidegate_archive)]
mod archive {
    //! What only the archive has: the entry, the work counter, the panic handler.

    #[used]
    #[unsafe(link_section = ".init_array")]
    static CONSTRUCTOR: extern "C" fn() = crate::start::construct;

    core::arch::global_asm!(include_str!("work_total.s"));

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        crate::start::give_up()
    }
}

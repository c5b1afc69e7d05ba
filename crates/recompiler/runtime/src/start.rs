//! The constructor, the fork handlers, and the one static that they share.
//!
//! Why so: with no daemon the whole runtime is this constructor's first few system calls. With one, the main
//! thread reads the executable's headers (tens of microseconds), starts the helper and goes on.
//!
//! It does nothing in a process that runs with more rights than its caller (`AT_SECURE`), is not dumpable, has a
//! seccomp filter (whose next surprise may be a kill: `inspect` says so from outside), or whose executable
//! imports `unshare` or `setns` (they fail in a process with a second thread).
//!
//! Not here: children made by a bare `clone` or `_Fork`, which run no fork handlers: they keep whatever was
//! switched, in code that stays mapped, and have no helper.

use crate::connection::Connection;
use crate::gate::Gated;
use crate::helper::{Helper, is_welcome};
use crate::process::Process;
use crate::sys;
use crate::{gate, imports, library};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};

const DEFAULT_SOCKET: &[u8] = b"/run/tidegate/runtime.sock";
const SOCKET_VARIABLE: &[u8] = b"TIDEGATE_RUNTIME_SOCKET=";
/// `sun_path` with its terminator.
const SOCKET_PATH_LIMIT_BYTES: usize = 107;

/// State that outlives the constructor.
struct Runtime {
    process: Gated<Process>,
    helper: Helper,
    socket_path: [u8; SOCKET_PATH_LIMIT_BYTES],
    socket_path_bytes: usize,
    first: Option<Connection>,
}

struct Holder(UnsafeCell<Option<Runtime>>);

// SAFETY: written once by the constructor before the helper exists; afterwards touched by the helper, or by a
// fork handler in a child that has no helper yet; libraries reach the process behind its gate only.
unsafe impl Sync for Holder {}

static RUNTIME: Holder = Holder(UnsafeCell::new(None));
/// Whether a helper serves this process (or, in a fork child, served its parent).
static ALIVE: AtomicBool = AtomicBool::new(false);
/// Whether the constructor has yet to run.
static EARLY: AtomicBool = AtomicBool::new(true);

/// Called by the loader before `main`.
pub extern "C" fn construct() {
    start();
    EARLY.store(false, Ordering::Release);
}

fn start() {
    if imports::auxiliary(imports::SECURE) != 0 {
        return;
    }
    let mut socket_path = [0; SOCKET_PATH_LIMIT_BYTES];
    let Some(socket_path_bytes) = choose_path(&mut socket_path) else {
        return;
    };
    let path = socket_path.get(..socket_path_bytes).filter(|_| is_welcome());
    let Some(connection) = path.and_then(Connection::open) else {
        return;
    };
    let headers = imports::auxiliary(imports::PROGRAM_HEADERS);
    let count = imports::auxiliary(imports::PROGRAM_HEADER_COUNT);
    let process = Process::find(headers, count as usize).filter(|process| !process.imports_namespaces());
    let (Some(process), Some(helper)) = (process, Helper::new()) else {
        connection.close();
        return;
    };
    let mut process = process;
    for (header, work) in library::waiting() {
        process.library(library::COMES, header, work);
    }
    let runtime = Runtime {
        process: Gated::new(process),
        helper,
        socket_path,
        socket_path_bytes,
        first: Some(connection),
    };
    // SAFETY: no other thread of ours exists yet.
    let place = unsafe { &mut *RUNTIME.0.get() };
    let runtime = place.insert(runtime);
    ALIVE.store(true, Ordering::Release);
    imports::register_fork_handlers(before_fork, after_fork_in_parent, after_fork_in_child);
    // SAFETY: the stack is new.
    if !unsafe { runtime.helper.start(serve) } {
        ALIVE.store(false, Ordering::Release);
    }
}

fn choose_path(place: &mut [u8; SOCKET_PATH_LIMIT_BYTES]) -> Option<usize> {
    let path = imports::environment().find_map(|entry| entry.strip_prefix(SOCKET_VARIABLE));
    let path = path.filter(|path| !path.is_empty()).unwrap_or(DEFAULT_SOCKET);
    place.get_mut(..path.len())?.copy_from_slice(path);
    Some(path.len())
}

/// The helper thread's first function.
extern "C" fn serve() -> ! {
    // SAFETY: set before the thread was started; nobody else touches it while the helper lives, but for the
    // fork handlers, which only pass the gate here and work on the child's copy.
    if let Some(runtime) = unsafe { &mut *RUNTIME.0.get() } {
        let first = runtime.first.take();
        let path = runtime
            .socket_path
            .get(..runtime.socket_path_bytes)
            .unwrap_or(&[]);
        runtime.helper.run(&runtime.process, path, first);
    }
    ALIVE.store(false, Ordering::Release);
    sys::exit_thread()
}

/// A library came, or is about to go: its word, on the app's thread.
pub fn library(what: u32, header: u64, work: u64) {
    if EARLY.load(Ordering::Acquire) {
        library::wait(what, header, work);
        return;
    }
    if !ALIVE.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: the static was written before `ALIVE` was; the process is reached behind its gate, and only there.
    let process = unsafe { (*RUNTIME.0.get()).as_ref() }.map(|runtime| &runtime.process);
    if let Some(process) = process {
        process.with_from_app(|process| process.library(what, header, work));
    }
}

extern "C" fn before_fork() {
    if ALIVE.load(Ordering::Acquire) {
        gate::close_for_fork();
    }
}

extern "C" fn after_fork_in_parent() {
    if ALIVE.load(Ordering::Acquire) {
        gate::open_after_fork();
    }
}

/// The child has the slots but no helper: base first, then a helper of its own on the copied stack. Under a seccomp
/// filter there is none. Where the copy may be half of a change, it is left as it is: whatever was switched stays.
extern "C" fn after_fork_in_child() {
    if !ALIVE.load(Ordering::Acquire) {
        return;
    }
    // Until there is a helper again.
    ALIVE.store(false, Ordering::Release);
    let is_whole = gate::open_in_child();
    // SAFETY: this thread is the only one in the child.
    let Some(runtime) = (unsafe { &mut *RUNTIME.0.get() }).as_mut().filter(|_| is_whole) else {
        return;
    };
    // SAFETY: as above.
    unsafe { runtime.process.alone() }.release();
    // Its copy of the connection stays open then: to close it takes more calls.
    if !is_welcome() {
        return;
    }
    gate::close_copied_connection();
    runtime.first = None;
    ALIVE.store(true, Ordering::Release);
    // SAFETY: the thread that used this stack exists in the parent only.
    if !unsafe { runtime.helper.start(serve) } {
        ALIVE.store(false, Ordering::Release);
    }
}

/// A bug in the runtime ends the helper, never the app; the slots hold valid code at any moment.
#[cfg(tidegate_archive)]
pub(crate) fn give_up() -> ! {
    ALIVE.store(false, Ordering::Release);
    gate::open();
    sys::exit_thread()
}

/// A C string of the environment as bytes.
pub(crate) fn text_bytes(pointer: *const core::ffi::c_char) -> &'static [u8] {
    // SAFETY: the kernel placed a zero-terminated string there; the app does not run yet.
    unsafe { CStr::from_ptr(pointer) }.to_bytes()
}

//! The system calls of the helper thread, without libc.
//!
//! Why so: the helper is not a thread that libc knows. A libc wrapper would write the main thread's `errno` and
//! may take cancellation points or locks; a raw call touches registers only.
//!
//! Not here: decisions. Every function is one call; its result is a value or a positive error number.

use core::arch::asm;

/// A positive `errno` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// Would block.
pub const EAGAIN: Errno = Errno(11);

const READ: usize = 0;
const PREAD: usize = 17;
const CLOSE: usize = 3;
const FSTAT: usize = 5;
const POLL: usize = 7;
const MMAP: usize = 9;
const MPROTECT: usize = 10;
const MUNMAP: usize = 11;
const BRK: usize = 12;
const RT_SIGPROCMASK: usize = 14;
const IOCTL: usize = 16;
const SCHED_YIELD: usize = 24;
const NANOSLEEP: usize = 35;
const GETPID: usize = 39;
const SOCKET: usize = 41;
const CONNECT: usize = 42;
const SENDTO: usize = 44;
const GETSOCKOPT: usize = 55;
const CLONE: usize = 56;
const EXIT: usize = 60;
const FCNTL: usize = 72;
const READLINK: usize = 89;
const GETEUID: usize = 107;
const PRCTL: usize = 157;
const GETTID: usize = 186;
const CLOCK_GETTIME: usize = 228;
const OPENAT: usize = 257;
const NEWFSTATAT: usize = 262;

/// One raw system call.
///
/// # Safety
/// The arguments must be what the call with this number expects; pointers must be valid for it.
unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: the kernel clobbers rcx and r11 only; the caller vouches for the arguments.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) {
        Err(Errno(-result as i32))
    } else {
        Ok(result as usize)
    }
}

/// An open descriptor's number; whoever holds it decides when it is closed.
pub type Descriptor = i32;

/// A descriptor that the kernel returned.
fn as_descriptor(value: usize) -> Descriptor {
    Descriptor::try_from(value).unwrap_or(-1)
}

/// `read(2)` into a slice.
pub fn read(descriptor: Descriptor, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes within `buffer`.
    unsafe {
        call(
            READ,
            [
                descriptor as usize,
                buffer.as_mut_ptr() as usize,
                buffer.len(),
                0,
                0,
                0,
            ],
        )
    }
}

/// `pread(2)`: as much of `buffer` as the file has from `offset` on.
pub fn read_at(descriptor: Descriptor, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    // SAFETY: the kernel writes within `buffer`.
    unsafe {
        call(
            PREAD,
            [
                descriptor as usize,
                buffer.as_mut_ptr() as usize,
                buffer.len(),
                offset as usize,
                0,
                0,
            ],
        )
    }
}

/// `send(2)` with `MSG_NOSIGNAL`.
pub fn send(descriptor: Descriptor, bytes: &[u8]) -> Result<usize, Errno> {
    const MSG_NOSIGNAL: usize = 0x4000;
    // SAFETY: the kernel reads within `bytes`.
    unsafe {
        call(
            SENDTO,
            [
                descriptor as usize,
                bytes.as_ptr() as usize,
                bytes.len(),
                MSG_NOSIGNAL,
                0,
                0,
            ],
        )
    }
}

/// `close(2)`.
pub fn close(descriptor: Descriptor) {
    // SAFETY: no memory is involved; an error means that it is closed already.
    let _ = unsafe { call(CLOSE, [descriptor as usize, 0, 0, 0, 0, 0]) };
}

/// Device and inode of an open descriptor.
pub fn identity(descriptor: Descriptor) -> Result<(u64, u64), Errno> {
    // `struct stat` of x86-64 is 144 bytes and begins with st_dev and st_ino.
    let mut stat = [0_u64; 18];
    // SAFETY: the buffer is as large as the kernel's structure.
    unsafe {
        call(
            FSTAT,
            [descriptor as usize, stat.as_mut_ptr() as usize, 0, 0, 0, 0],
        )?
    };
    Ok((stat[0], stat[1]))
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Bytes or the end can be read.
    Readable = 1,
    /// Bytes can be written.
    Writable = 4,
}

/// Waits until `descriptor` is ready or closed; `false` on a timeout.
pub fn wait(descriptor: Descriptor, readiness: Readiness, timeout_ms: u32) -> Result<bool, Errno> {
    let mut entry = u64::from(descriptor as u32) | ((readiness as u64) << 32);
    // SAFETY: one `struct pollfd` of eight bytes: fd, events, revents.
    let ready = unsafe { call(POLL, [(&raw mut entry) as usize, 1, timeout_ms as usize, 0, 0, 0])? };
    Ok(ready > 0)
}

/// Whether the other end is gone, or the descriptor is.
pub fn is_closed(descriptor: Descriptor) -> bool {
    const ERROR_HANGUP_INVALID: u64 = 0x8 | 0x10 | 0x20;
    let mut entry = u64::from(descriptor as u32);
    // SAFETY: one `struct pollfd` of eight bytes: fd, events, revents.
    let asked = unsafe { call(POLL, [(&raw mut entry) as usize, 1, 0, 0, 0, 0]) };
    asked.is_err() || (entry >> 48) & ERROR_HANGUP_INVALID != 0
}

/// Bytes that wait to be read.
pub fn pending_bytes(descriptor: Descriptor) -> Result<usize, Errno> {
    const FIONREAD: usize = 0x541b;
    let mut count = 0_i32;
    // SAFETY: the kernel writes one int.
    unsafe {
        call(
            IOCTL,
            [descriptor as usize, FIONREAD, (&raw mut count) as usize, 0, 0, 0],
        )?
    };
    Ok(count.max(0) as usize)
}

/// What a mapping may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Reserved only.
    None = 0,
    /// Constants of the executable.
    Read = 1,
    /// Being filled.
    ReadWrite = 3,
    /// Sealed code and constants.
    ReadExecute = 5,
}

/// Anonymous private memory at any address.
pub fn map_anywhere(bytes: usize) -> Result<usize, Errno> {
    map(0, bytes, Protection::ReadWrite, 0)
}

/// Anonymous private memory at exactly this address, or an error if something is there.
pub fn map_exactly(address: usize, bytes: usize, protection: Protection) -> Result<usize, Errno> {
    const MAP_FIXED_NOREPLACE: usize = 0x10_0000;
    const MAP_NORESERVE: usize = 0x4000;
    let found = map(address, bytes, protection, MAP_FIXED_NOREPLACE | MAP_NORESERVE)?;
    if found == address {
        return Ok(found);
    }
    // Kernels before 4.17 take the address as a hint.
    unmap(found, bytes);
    Err(EAGAIN)
}

/// Takes memory that the executable reserves for this runtime: inaccessible, and without a charge, until it is used.
pub fn map_over_reserved(address: usize, bytes: usize) -> Result<usize, Errno> {
    const MAP_FIXED: usize = 0x10;
    const MAP_NORESERVE: usize = 0x4000;
    map(address, bytes, Protection::None, MAP_FIXED | MAP_NORESERVE)
}

fn map(address: usize, bytes: usize, protection: Protection, flags: usize) -> Result<usize, Errno> {
    const MAP_PRIVATE: usize = 2;
    const MAP_ANONYMOUS: usize = 0x20;
    // SAFETY: a new mapping that replaces nothing, but in `map_over_reserved`, where it replaces what is ours.
    unsafe {
        call(
            MMAP,
            [
                address,
                bytes,
                protection as usize,
                MAP_PRIVATE | MAP_ANONYMOUS | flags,
                usize::MAX,
                0,
            ],
        )
    }
}

/// Changes the protection of whole pages that this runtime mapped or may write for a moment.
pub fn protect(address: usize, bytes: usize, protection: Protection) -> Result<(), Errno> {
    // SAFETY: callers pass only ranges of their own mappings, and constants that nobody executes.
    unsafe { call(MPROTECT, [address, bytes, protection as usize, 0, 0, 0])? };
    Ok(())
}

/// Gives back a buffer that this runtime mapped; never code.
pub fn unmap(address: usize, bytes: usize) {
    // SAFETY: callers pass only buffers that they own and no longer use.
    let _ = unsafe { call(MUNMAP, [address, bytes, 0, 0, 0, 0]) };
}

/// The present end of the heap.
pub fn program_break() -> usize {
    // SAFETY: brk(0) changes nothing.
    unsafe { call(BRK, [0; 6]) }.unwrap_or(0)
}

/// Sets the calling thread's signal mask and returns the one before.
pub fn set_signal_mask(mask: u64) -> u64 {
    const SIG_SETMASK: usize = 2;
    let mut before = 0_u64;
    // SAFETY: two masks of eight bytes, as the kernel's sigset.
    let _ = unsafe {
        call(
            RT_SIGPROCMASK,
            [
                SIG_SETMASK,
                (&raw const mask) as usize,
                (&raw mut before) as usize,
                size_of::<u64>(),
                0,
                0,
            ],
        )
    };
    before
}

/// Lets others run.
pub fn yield_now() {
    // SAFETY: no arguments.
    let _ = unsafe { call(SCHED_YIELD, [0; 6]) };
}

/// Sleeps; a signal cannot cut it short, for the helper blocks them all.
pub fn sleep_us(duration_us: u64) {
    let time = [duration_us / 1_000_000, duration_us % 1_000_000 * 1000];
    // SAFETY: one `struct timespec`.
    let _ = unsafe { call(NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0, 0]) };
}

/// The process id, asked of the kernel each time: a fork child has another one.
pub fn process_id() -> u32 {
    // SAFETY: no arguments.
    unsafe { call(GETPID, [0; 6]) }.unwrap_or(0) as u32
}

/// The calling thread's id.
pub fn thread_id() -> u32 {
    // SAFETY: no arguments.
    unsafe { call(GETTID, [0; 6]) }.unwrap_or(0) as u32
}

/// The calling thread's effective user.
pub fn effective_user() -> u32 {
    // SAFETY: no arguments.
    unsafe { call(GETEUID, [0; 6]) }.unwrap_or(usize::MAX) as u32
}

/// The calling thread's pointer, by which libc tells threads apart; the helper has the main thread's.
pub fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the first word there is its own address, as the ABI demands.
    unsafe { asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags)) };
    pointer
}

/// A connected unix stream socket, close-on-exec; never blocks.
pub fn connect_unix(path: &[u8]) -> Result<Descriptor, Errno> {
    const AF_UNIX: usize = 1;
    const STREAM_CLOEXEC_NONBLOCK: usize = 1 | 0x8_0000 | 0x800;
    const PATH_OFFSET: usize = 2;
    let mut address = [0_u8; 110];
    let end = PATH_OFFSET + path.len();
    let place = address.get_mut(PATH_OFFSET..end).ok_or(Errno(36))?;
    place.copy_from_slice(path);
    address[0] = AF_UNIX as u8;
    // SAFETY: no memory is involved.
    let socket = unsafe { call(SOCKET, [AF_UNIX, STREAM_CLOEXEC_NONBLOCK, 0, 0, 0, 0])? };
    let socket = as_descriptor(socket);
    // SAFETY: `address` is a `struct sockaddr_un` of `end + 1` bytes, zero-terminated.
    match unsafe {
        call(
            CONNECT,
            [socket as usize, address.as_ptr() as usize, end + 1, 0, 0, 0],
        )
    } {
        Ok(_) => Ok(socket),
        Err(error) => {
            close(socket);
            Err(error)
        }
    }
}

/// The effective user at the other end of a unix socket.
pub fn peer_user(socket: Descriptor) -> Result<u32, Errno> {
    const SOL_SOCKET: usize = 1;
    const SO_PEERCRED: usize = 17;
    let mut credentials = [0_u32; 3];
    let mut length = 12_u32;
    // SAFETY: `struct ucred` is three ints; `length` is its size.
    unsafe {
        call(
            GETSOCKOPT,
            [
                socket as usize,
                SOL_SOCKET,
                SO_PEERCRED,
                credentials.as_mut_ptr() as usize,
                (&raw mut length) as usize,
                0,
            ],
        )?;
    }
    Ok(credentials[1])
}

/// A copy of `descriptor` at or above `lowest`, close-on-exec.
pub fn duplicate_above(descriptor: Descriptor, lowest: usize) -> Result<Descriptor, Errno> {
    const F_DUPFD_CLOEXEC: usize = 1030;
    // SAFETY: no memory is involved.
    let copy = unsafe { call(FCNTL, [descriptor as usize, F_DUPFD_CLOEXEC, lowest, 0, 0, 0])? };
    Ok(as_descriptor(copy))
}

/// How many threads the process has: a folder's links are itself, its parent and its folders.
pub fn thread_count() -> Option<u64> {
    const LINKS: usize = 2;
    status_of(c"/proc/self/task").ok()?[LINKS].checked_sub(2)
}

/// The effective user of the process's main thread, asked of the kernel each time: whoever changes its user by libc
/// changes that of all threads that libc knows.
pub fn owner() -> Result<u32, Errno> {
    // st_mode is the lower half of this word, st_uid the upper one.
    const USER: usize = 3;
    Ok((status_of(c"/proc/self")?[USER] >> 32) as u32)
}

/// `struct stat` of x86-64, in words.
fn status_of(path: &core::ffi::CStr) -> Result<[u64; 18], Errno> {
    const AT_FDCWD: usize = -100_isize as usize;
    let mut stat = [0_u64; 18];
    // SAFETY: a zero-terminated path, and a buffer as large as the kernel's structure.
    unsafe {
        call(
            NEWFSTATAT,
            [
                AT_FDCWD,
                path.as_ptr() as usize,
                stat.as_mut_ptr() as usize,
                0,
                0,
                0,
            ],
        )?
    };
    Ok(stat)
}

/// CPU time of another thread of this process, up to now. The process's clock leaves out what its running threads
/// used since their last tick (up to 4 ms); a thread's own clock does not.
pub fn thread_clock_ns(thread: u32) -> u64 {
    const PER_THREAD_SCHEDULER: i32 = 4 | 2;
    let clock = !thread.cast_signed() << 3 | PER_THREAD_SCHEDULER;
    read_clock(clock as isize as usize)
}

/// Which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// CPU time of the process.
    Process = 2,
    /// CPU time of the calling thread.
    Thread = 3,
    /// Time since boot.
    Boot = 7,
    /// Time that does not jump; the cheapest for intervals.
    Monotonic = 1,
}

/// Reads a clock, in nanoseconds.
pub fn clock_ns(clock: Clock) -> u64 {
    read_clock(clock as usize)
}

fn read_clock(clock: usize) -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: one `struct timespec`.
    let _ = unsafe { call(CLOCK_GETTIME, [clock, time.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
}

/// `prctl(2)` questions that take no argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessQuestion {
    /// `PR_GET_DUMPABLE`: 1 if others of the same user may look into this process.
    Dumpable = 3,
    /// `PR_GET_MDWE`: not 0 if new executable memory is denied.
    DenyWriteExecute = 66,
}

/// Asks the kernel about this process.
pub fn ask(question: ProcessQuestion) -> Result<usize, Errno> {
    // SAFETY: none of these takes a pointer.
    unsafe { call(PRCTL, [question as usize, 0, 0, 0, 0, 0]) }
}

/// Opens a file of /proc for reading; `path` ends in a zero byte.
pub fn open_read(path: &core::ffi::CStr) -> Result<Descriptor, Errno> {
    const AT_FDCWD: usize = -100_isize as usize;
    const O_CLOEXEC: usize = 0x8_0000;
    // SAFETY: a zero-terminated path.
    Ok(as_descriptor(unsafe {
        call(OPENAT, [AT_FDCWD, path.as_ptr() as usize, O_CLOEXEC, 0, 0, 0])?
    }))
}

/// The beginning of a file of /proc, as much as one read gives.
pub fn read_file<'b>(path: &core::ffi::CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let descriptor = open_read(path)?;
    let done = read(descriptor, buffer);
    close(descriptor);
    Ok(buffer.get(..done?).unwrap_or(&[]))
}

/// Reads a symbolic link into `buffer`.
pub fn read_link<'b>(path: &core::ffi::CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    // SAFETY: a zero-terminated path and a buffer of the given length.
    let length = unsafe {
        call(
            READLINK,
            [
                path.as_ptr() as usize,
                buffer.as_mut_ptr() as usize,
                buffer.len(),
                0,
                0,
                0,
            ],
        )?
    };
    buffer.get(..length).ok_or(Errno(36))
}

/// Ends the calling thread; the process goes on.
pub fn exit_thread() -> ! {
    loop {
        // SAFETY: `exit` ends this thread and does not return.
        let _ = unsafe { call(EXIT, [0; 6]) };
    }
}

/// Starts a thread of this process on its own stack, in `entry`, which never returns. Returns its id.
///
/// # Safety
/// `stack_top` must be the 16-byte aligned end of writable memory that nothing else uses while it runs.
pub unsafe fn clone_thread(stack_top: usize, entry: extern "C" fn() -> !) -> Result<u32, Errno> {
    // VM, FS, FILES, SIGHAND, THREAD, SYSVSEM: a thread as pthread_create makes it, less what only libc needs
    // (a thread pointer of its own, and the clearing of a thread id).
    const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;
    let result: isize;
    // SAFETY: the child has its own stack and calls `entry`, which does not return; the parent falls through.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "call r9",
            "ud2",
            "2:",
            inlateout("rax") CLONE => result,
            in("rdi") FLAGS,
            in("rsi") stack_top,
            in("rdx") 0_usize,
            in("r10") 0_usize,
            in("r8") 0_usize,
            in("r9") entry,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    if result < 0 {
        Err(Errno(-result as i32))
    } else {
        Ok(result as u32)
    }
}

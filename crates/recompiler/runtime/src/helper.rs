//! The helper thread: it waits on the control socket, does what it is asked, and puts the base back when the
//! daemon goes away.
//!
//! Why so: a pthread would make every single-threaded program slower (libc then takes its locks for real), so
//! this is a bare `clone` with a stack of its own, all signals blocked, and raw system calls only. It shares
//! the main thread's thread pointer, hence never touches anything thread-local.
//!
//! It ends for good when the process stops being dumpable, which happens when it changes its user, and when its user is
//! another than the helper's: a thread that libc does not know keeps the user it had, whatever the process does afterwards.
//!
//! After a lost daemon it tries to connect again, first after 0.2 s, then at doubling distances up to 5 s: one
//! failed `connect` each.

use crate::connection::{Connection, Lost};
use crate::gate::{self, Gated};
use crate::process::Process;
use crate::sys::{self, Clock, ProcessQuestion};
use tidegate_format::message::{HEADER_BYTES, REPLY_LIMIT_BYTES, Reason, Reply, Request};

/// Bytes of the helper's stack; the deepest path uses a few kilobytes.
const STACK_BYTES: usize = 128 * 1024;
/// An unmapped page below the stack.
const GUARD_BYTES: usize = 4096;
/// Bodies up to this length are read into a fixed buffer, longer ones (images) into memory of their own.
const REQUEST_BUFFER_BYTES: usize = 16 * 1024;
const REPLY_BUFFER_BYTES: usize = REPLY_LIMIT_BYTES + HEADER_BYTES;
const PATH_BUFFER_BYTES: usize = 4096;
/// `/proc/self/status` with a few hundred groups.
const STATUS_BUFFER_BYTES: usize = 4096;
const FIRST_RETRY_US: u64 = 200_000;
const LAST_RETRY_US: u64 = 5_000_000;
/// A fork child that executes another program at once is spared the connection.
const FORK_SETTLE_US: u64 = 50_000;
/// How often a storm looks whether the daemon still lives.
const STORM_LOOK_NS: u64 = 100_000_000;

/// What the thread works with; all of it lies in memory that the runtime mapped.
#[derive(Debug)]
pub struct Helper {
    stack_top: usize,
    request: &'static mut [u8],
    reply: &'static mut [u8],
    text: &'static mut [u8],
    list: &'static mut [u8],
}

impl Helper {
    /// Maps stack and buffers.
    pub fn new() -> Option<Self> {
        let buffers = REQUEST_BUFFER_BYTES + 2 * REPLY_BUFFER_BYTES + PATH_BUFFER_BYTES;
        let start = sys::map_anywhere(GUARD_BYTES + STACK_BYTES + buffers).ok()?;
        sys::protect(start, GUARD_BYTES, sys::Protection::None).ok()?;
        let stack_top = start + GUARD_BYTES + STACK_BYTES;
        // SAFETY: the part of the fresh mapping above the stack, used by this value only.
        let memory = unsafe { core::slice::from_raw_parts_mut(stack_top as *mut u8, buffers) };
        let (request, memory) = memory.split_at_mut(REQUEST_BUFFER_BYTES);
        let (reply, memory) = memory.split_at_mut(REPLY_BUFFER_BYTES);
        let (list, text) = memory.split_at_mut(REPLY_BUFFER_BYTES);
        Some(Self {
            stack_top,
            request,
            reply,
            text,
            list,
        })
    }

    /// Starts the thread with every signal blocked.
    ///
    /// # Safety
    /// No other thread may run on this helper's stack.
    pub unsafe fn start(&self, entry: extern "C" fn() -> !) -> bool {
        let before = sys::set_signal_mask(u64::MAX);
        // SAFETY: the stack is ours and, as the caller says, free.
        let started = unsafe { sys::clone_thread(self.stack_top, entry) }.is_ok();
        sys::set_signal_mask(before);
        started
    }

    /// The life of the thread; returns when it must end for good.
    pub fn run(&mut self, process: &Gated<Process>, socket_path: &[u8], first: Option<Connection>) {
        process.with(|process| process.set_helper_thread(sys::thread_id()));
        let mut retry_us = FIRST_RETRY_US;
        let mut next = first;
        if next.is_none() {
            sys::sleep_us(FORK_SETTLE_US);
            next = Connection::open(socket_path);
        }
        while stays_welcome() {
            if let Some(connection) = next {
                retry_us = FIRST_RETRY_US;
                gate::set_connection(Some(&connection));
                let _ = self.serve(process, &connection);
                gate::set_connection(None);
                connection.close();
            }
            process.with(Process::release);
            sys::sleep_us(retry_us);
            retry_us = (retry_us * 2).min(LAST_RETRY_US);
            next = Connection::open(socket_path);
        }
        process.with(Process::release);
    }

    fn serve(&mut self, process: &Gated<Process>, connection: &Connection) -> Result<(), Lost> {
        let hello = process.with(|process| process.hello(self.text).encode(self.reply));
        let length = hello.map_err(|_| Lost)?;
        connection.send(self.reply.get(..length).ok_or(Lost)?)?;
        loop {
            let header = {
                let mut silent = |limit_passed: bool| look_around(process, limit_passed);
                connection.header(&mut silent)?
            };
            if !stays_welcome() {
                return Err(Lost);
            }
            if header.body_bytes <= self.request.len() {
                let (buffer, _) = self.request.split_at_mut(header.body_bytes);
                connection.fill(buffer, &mut |limit_passed| look_around(process, limit_passed))?;
                let buffers = (&mut *self.reply, &mut *self.list);
                answer(process, connection, header.kind, buffer, buffers)?;
            } else {
                self.serve_long(process, connection, header.kind, header.body_bytes)?;
            }
        }
    }

    /// A request with an image: its memory is given back once it is answered.
    fn serve_long(
        &mut self,
        process: &Gated<Process>,
        connection: &Connection,
        kind: u16,
        body_bytes: usize,
    ) -> Result<(), Lost> {
        let memory = sys::map_anywhere(body_bytes).map_err(|_| Lost)?;
        // SAFETY: a fresh mapping of this length, given back below after its last use.
        let buffer = unsafe { core::slice::from_raw_parts_mut(memory as *mut u8, body_bytes) };
        let filled = connection.fill(buffer, &mut |limit_passed| look_around(process, limit_passed));
        let buffers = (&mut *self.reply, &mut *self.list);
        let done = filled.and_then(|()| answer(process, connection, kind, buffer, buffers));
        sys::unmap(memory, body_bytes);
        done
    }
}

/// Whether a helper may be started: in a process that others may look into, by a thread without a seccomp filter. What a
/// filter does not allow may end the process, so the one question is asked by calls that nearly every filter allows.
pub fn is_welcome() -> bool {
    !has_seccomp_filter() && is_dumpable()
}

/// Whether the helper may go on. A process that stops being dumpable has changed its user, or does not want to be looked
/// into; one that became dumpable again has left the helper its old user.
fn stays_welcome() -> bool {
    is_dumpable() && sys::owner() == Ok(sys::effective_user())
}

fn is_dumpable() -> bool {
    sys::ask(ProcessQuestion::Dumpable) == Ok(1)
}

/// Of the main thread; also where it cannot be told.
fn has_seccomp_filter() -> bool {
    let mut buffer = [0; STATUS_BUFFER_BYTES];
    let status = sys::read_file(c"/proc/self/status", &mut buffer);
    status.ok().and_then(seccomp_mode) != Some(b'0')
}

fn seccomp_mode(status: &[u8]) -> Option<u8> {
    let mut lines = status.split(|byte| *byte == b'\n');
    lines.find_map(|line| line.strip_prefix(b"Seccomp:\t")?.first().copied())
}

/// While waiting: whether something is switched. When the limit passed in silence, nothing is afterwards.
fn look_around(process: &Gated<Process>, limit_passed: bool) -> Result<bool, Lost> {
    if !stays_welcome() {
        return Err(Lost);
    }
    Ok(process.with(|process| {
        if limit_passed && process.is_touched() {
            process.release();
        }
        process.is_touched()
    }))
}

/// Carries out one request and sends its reply. A heartbeat has none.
fn answer(
    process: &Gated<Process>,
    connection: &Connection,
    kind: u16,
    body: &[u8],
    (reply, list): (&mut [u8], &mut [u8]),
) -> Result<(), Lost> {
    let length = match Request::decode(kind, body) {
        Ok(Request::Heartbeat) => return Ok(()),
        Ok(Request::Storm {
            duration_ms,
            pause_us,
        }) => storm(process, connection, duration_ms, pause_us).encode(reply),
        // Encoded inside the gate: a blob lies in a library that may be closed right afterwards.
        Ok(request) => process.with(|process| carry_out(process, request, list).encode(reply)),
        Err(_) => Reply::Refused(Reason::BadRequest).encode(reply),
    };
    let length = length.map_err(|_| Lost)?;
    connection.send(reply.get(..length).ok_or(Lost)?)
}

fn carry_out<'b>(process: &mut Process, request: Request<'_>, list: &'b mut [u8]) -> Reply<'b> {
    let done = match request {
        Request::Functions { first } => Ok(process.list(first, list)),
        Request::Blob { function, offset } => Ok(process.blob(function, offset)),
        Request::Load {
            function,
            scenario,
            image,
        } => process.load(function, scenario, image),
        Request::Switch { function, scenario } => process.switch(function, scenario),
        Request::Work => Ok(process.work()),
        Request::Count { function, enabled } => process.count(function, enabled),
        Request::Calls { function } => Ok(process.calls(function)),
        Request::Capture { function, armed } => process.capture(function, armed, list),
        Request::Release => {
            process.release();
            Ok(Reply::Done)
        }
        Request::Storm { .. } | Request::Heartbeat => Err(Reason::BadRequest),
    };
    done.unwrap_or_else(Reply::Refused)
}

/// All functions with loaded images, round and round, until the time is over or the daemon is gone. The base
/// is in place afterwards.
fn storm(
    process: &Gated<Process>,
    connection: &Connection,
    duration_ms: u32,
    pause_us: u32,
) -> Reply<'static> {
    let begin_ns = sys::clock_ns(Clock::Monotonic);
    let end_ns = begin_ns + u64::from(duration_ms) * 1_000_000;
    let (mut functions, mut switches, mut failures, mut rounds) = (0, 0, 0, 0);
    let mut daemon = DaemonWatch {
        pending_bytes: 0,
        look_ns: begin_ns,
        heard_ns: begin_ns,
    };
    loop {
        functions = process
            .with(|process| process.storm_round(&mut switches, &mut failures))
            .max(functions);
        rounds += 1;
        let now_ns = sys::clock_ns(Clock::Monotonic);
        if now_ns >= end_ns || functions == 0 || !daemon.lives(connection, now_ns) {
            break;
        }
        if pause_us > 0 {
            sys::sleep_us(u64::from(pause_us));
        }
    }
    process.with(Process::release);
    let elapsed_ms = ((sys::clock_ns(Clock::Monotonic) - begin_ns) / 1_000_000) as u32;
    Reply::Storm {
        functions,
        switches,
        failures,
        rounds,
        elapsed_ms,
    }
}

/// During a storm heartbeats are not read; that more and more of them wait shows that the daemon lives.
struct DaemonWatch {
    pending_bytes: usize,
    look_ns: u64,
    heard_ns: u64,
}

impl DaemonWatch {
    fn lives(&mut self, connection: &Connection, now_ns: u64) -> bool {
        if now_ns < self.look_ns + STORM_LOOK_NS {
            return true;
        }
        self.look_ns = now_ns;
        let pending_bytes = connection.pending_bytes();
        if pending_bytes != self.pending_bytes {
            self.pending_bytes = pending_bytes;
            self.heard_ns = now_ns;
        }
        let silence_ns = now_ns - self.heard_ns;
        !connection.is_closed() && silence_ns < u64::from(crate::connection::SILENCE_LIMIT_MS) * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_s_line_is_found() {
        let check = |status: &[u8], expect| assert_eq!(seccomp_mode(status), expect);
        check(b"NoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n", Some(b'0'));
        check(b"Seccomp:\t2\n", Some(b'2'));
        check(b"Name:\tSeccomp:\nSeccomp_filters:\t0\n", None);
        check(b"Seccomp:\t", None);
    }

    #[test]
    fn this_process_s_owner_is_its_user() {
        assert_eq!(sys::owner(), Ok(sys::effective_user()));
        assert!(stays_welcome());
    }
}

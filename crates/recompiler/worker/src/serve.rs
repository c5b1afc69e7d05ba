//! A warm worker: one process that has LLVM ready, and a fork of it per compile.
//!
//! Why so: a fork costs a tenth of a start, and whatever a compile does (LLVM aborts, hangs, eats memory) ends with the
//! child. The parent has given up everything but the right to fork before its first order; it reads orders and writes
//! outcomes ([`tidegate_format::served`]), and looks into neither request nor answer.
//!
//! Not here: whose user it runs as, and when it is started again.

use crate::options::Fault;
use crate::sandbox;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};
use tidegate_format::served::{ANSWER_LENGTH_MAX, MESSAGE_LENGTH_MAX, Outcome};

/// Most bytes of an order: a blob of the largest size, and room for the rest.
pub(crate) const ORDER_LENGTH_MAX: u64 = 96 << 20;
/// At idle priority on a busy host a compile waits most of the time; it may take so many times its CPU limit.
const WAIT_FACTOR: u64 = 10;

/// Serves orders until the input ends.
pub(crate) fn serve(
    cpu_seconds: u64,
    answer: &dyn Fn(&[u8]) -> Vec<u8>,
    fault: Option<Fault>,
) -> io::Result<()> {
    crate::compile::initialize();
    let start_cpu_ns = cpu_ns(libc::RUSAGE_SELF);
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    loop {
        let mut length = [0; 4];
        match input.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let length = u64::from(u32::from_le_bytes(length));
        if length > ORDER_LENGTH_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut order = vec![0; length as usize];
        input.read_exact(&mut order)?;
        let child = Child::start(|| {
            if let Err((step, error)) = sandbox::seal(cpu_seconds) {
                return crate::environment_failure(&format!("{step}: {error}"));
            }
            if let Some(fault) = fault {
                fault.happen();
            }
            answer(&order)
        })?;
        let ended = child.wait(Duration::from_secs(cpu_seconds * WAIT_FACTOR))?;
        let outcome = Outcome {
            answer_length: ended.answer.len() as u32,
            message_length: ended.message.len() as u32,
            status: ended.status,
            cpu_ns: ended.cpu_ns,
            start_cpu_ns,
        };
        output.write_all(&outcome.to_bytes())?;
        output.write_all(&ended.answer)?;
        output.write_all(&ended.message)?;
        output.flush()?;
    }
}

/// A compile under way.
struct Child {
    process: libc::pid_t,
    answer: File,
    message: File,
}

/// A compile that ended.
struct Ended {
    answer: Vec<u8>,
    message: Vec<u8>,
    status: i32,
    cpu_ns: u64,
}

impl Child {
    /// Forks; the child writes what `work` gives and ends.
    fn start(work: impl FnOnce() -> Vec<u8>) -> io::Result<Self> {
        let (answer, answer_end) = pipe()?;
        let (message, message_end) = pipe()?;
        // SAFETY: this process has one thread, so the child's copy of its memory is whole.
        let process = unsafe { libc::fork() };
        match process {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // SAFETY: takes numbers only; the standard error becomes the pipe.
                unsafe { libc::dup2(message_end.as_raw_fd(), libc::STDERR_FILENO) };
                drop((answer, message, message_end));
                let done = File::from(answer_end).write_all(&work());
                // SAFETY: ends this process without the parent's exit handlers.
                unsafe { libc::_exit(i32::from(done.is_err())) }
            }
            _ => Ok(Self {
                process,
                answer: answer.into(),
                message: message.into(),
            }),
        }
    }

    /// Takes everything it writes and waits for its end; kills it where it takes longer or writes more than it may.
    fn wait(mut self, limit: Duration) -> io::Result<Ended> {
        let end = Instant::now() + limit;
        let (mut answer, mut message) = (Vec::new(), Vec::new());
        let mut open = [true; 2];
        while open.contains(&true) {
            let ready = poll([&self.answer, &self.message], open, end)?;
            if ready == [false; 2] {
                self.kill();
                break;
            }
            if ready[0] {
                open[0] = take(&mut self.answer, &mut answer)?;
            }
            if ready[1] {
                open[1] = take(&mut self.message, &mut message)?;
            }
            if answer.len() > ANSWER_LENGTH_MAX as usize {
                self.kill();
                answer.clear();
                break;
            }
            message.truncate(MESSAGE_LENGTH_MAX as usize);
        }
        let mut status = 0;
        // SAFETY: zeros are a valid value of this plain structure.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both outlive the call; nobody else waits for this child.
        let reaped = unsafe { libc::wait4(self.process, &raw mut status, 0, &raw mut usage) };
        if reaped != self.process {
            return Err(io::Error::last_os_error());
        }
        Ok(Ended {
            answer,
            message,
            status,
            cpu_ns: usage_ns(&usage),
        })
    }

    fn kill(&self) {
        // SAFETY: takes numbers only; the child is not reaped yet, so the number is its own.
        unsafe { libc::kill(self.process, libc::SIGKILL) };
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array outlives the call.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were just opened and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Reads what is there; `false` at the end.
fn take(from: &mut File, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut part = [0; 16 * 1024];
    let count = from.read(&mut part)?;
    into.extend_from_slice(&part[..count]);
    Ok(count > 0)
}

/// Which of the open ones can be read; none where the time is over.
fn poll(files: [&File; 2], open: [bool; 2], end: Instant) -> io::Result<[bool; 2]> {
    let mut entries = [0, 1].map(|index: usize| libc::pollfd {
        // A negative number is passed over.
        fd: if open[index] { files[index].as_raw_fd() } else { -1 },
        events: libc::POLLIN,
        revents: 0,
    });
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        let left = i32::try_from(left).unwrap_or(i32::MAX);
        // SAFETY: the entries outlive the call.
        let count = unsafe { libc::poll(entries.as_mut_ptr(), 2, left) };
        if count >= 0 {
            return Ok(entries.map(|entry| entry.revents != 0));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn cpu_ns(who: i32) -> u64 {
    // SAFETY: zeros are a valid value of this plain structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: it outlives the call.
    unsafe { libc::getrusage(who, &raw mut usage) };
    usage_ns(&usage)
}

fn usage_ns(usage: &libc::rusage) -> u64 {
    let nanoseconds = |time: libc::timeval| {
        time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_usec.cast_unsigned() * 1000
    };
    nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime)
}

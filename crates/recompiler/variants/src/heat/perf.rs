//! The kernel's software events as samplers: `perf_event_open(2)` and its ring buffers.
//!
//! Why so: a timer per core that records where the running program is costs some microseconds a second at this
//! rate, needs no counter of the CPU, and knows the core. Kernel and idle time are left out by the kernel. Page faults and
//! switches off the core are events of the same kind; a switch happens in the kernel, so for it the program's own
//! registers and the top of its stack are asked for.
//!
//! This is the room's only unsafe code: the rings are memory that the kernel writes meanwhile.

#![expect(
    unsafe_code,
    reason = "system call without a safe wrapper, and memory shared with the kernel"
)]

use super::{Drained, STACK_BYTES, Signal};
use crate::VariantsError;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

const PAGE_BYTES: usize = 4096;
/// Data pages per ring (a power of two): 32 KiB hold 800 samples, eight seconds of a busy core at 99 Hz.
const DATA_PAGES: usize = 8;
const HEAD_OFFSET: usize = 1024;
const TAIL_OFFSET: usize = 1032;
/// More threads than this are not sampled one by one.
const THREAD_LIMIT: usize = 256;

/// Whom to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody on every core; needs root (or `perf_event_paranoid` ≤ 0).
    Host,
    /// The present threads of one process of the caller's user.
    Process(u32),
}

/// `struct perf_event_attr`, version 5 of its layout.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    frequency: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    registers_user: u64,
    stack_user: u32,
    clock: i32,
    registers_interrupt: u64,
    aux_watermark: u32,
    max_stack: u16,
    reserved: u16,
}

impl Attributes {
    fn new(signal: Signal, frequency_hz: u32) -> Self {
        const SOFTWARE: u32 = 1;
        const CPU_CLOCK: u64 = 0;
        const PAGE_FAULTS: u64 = 2;
        const CONTEXT_SWITCHES: u64 = 3;
        const ADDRESS_THREAD_CORE: u64 = 1 | 1 << 1 | 1 << 7;
        const EXCLUDE_KERNEL: u64 = 1 << 5;
        const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
        const EXCLUDE_IDLE: u64 = 1 << 7;
        const BY_FREQUENCY: u64 = 1 << 10;
        const USER_REGISTERS_AND_STACK: u64 = 1 << 12 | 1 << 13;
        const INSTRUCTION_POINTER: u64 = 1 << 8;
        let common = Self {
            kind: SOFTWARE,
            size: size_of::<Self>() as u32,
            config: CPU_CLOCK,
            frequency: u64::from(frequency_hz),
            sample_type: ADDRESS_THREAD_CORE,
            flags: EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR | EXCLUDE_IDLE | BY_FREQUENCY,
            ..Self::default()
        };
        match signal {
            Signal::Clock => common,
            Signal::Fault => Self {
                config: PAGE_FAULTS,
                ..common
            },
            Signal::Wait => Self {
                config: CONTEXT_SWITCHES,
                sample_type: ADDRESS_THREAD_CORE | USER_REGISTERS_AND_STACK,
                registers_user: INSTRUCTION_POINTER,
                stack_user: STACK_BYTES,
                flags: EXCLUDE_HYPERVISOR | EXCLUDE_IDLE | BY_FREQUENCY,
                ..common
            },
        }
    }
}

/// Running samplers, one ring per core or thread.
#[derive(Debug)]
pub struct Sampler {
    rings: Vec<Ring>,
    signal: Signal,
}

impl Sampler {
    /// Starts sampling the clock at `frequency_hz`.
    ///
    /// # Errors
    /// [`VariantsError::Perf`] where the kernel refuses, with its reason.
    pub fn start(scope: Scope, frequency_hz: u32) -> Result<Self, VariantsError> {
        Self::start_for(Signal::Clock, scope, frequency_hz)
    }

    /// Starts sampling a signal, at most `frequency_hz` times a second and core.
    ///
    /// # Errors
    /// [`VariantsError::Perf`] where the kernel refuses, with its reason.
    pub fn start_for(signal: Signal, scope: Scope, frequency_hz: u32) -> Result<Self, VariantsError> {
        let targets: Vec<(i32, i32)> = match scope {
            Scope::Host => online_cores().into_iter().map(|core| (-1, core)).collect(),
            Scope::Process(process) => threads(process).into_iter().map(|thread| (thread, -1)).collect(),
        };
        let rings = targets
            .into_iter()
            .map(|(thread, core)| Ring::open((thread, core), &Attributes::new(signal, frequency_hz)));
        // A thread that ended between listing and opening is no reason to give up.
        let (opened, refused): (Vec<_>, Vec<_>) = rings.partition(Result::is_ok);
        let rings: Vec<Ring> = opened.into_iter().filter_map(Result::ok).collect();
        match refused.into_iter().find_map(Result::err) {
            Some(source) if rings.is_empty() => Err(VariantsError::Perf { source }),
            None if rings.is_empty() => Err(VariantsError::Perf {
                source: io::ErrorKind::NotFound.into(),
            }),
            _ => Ok(Self { rings, signal }),
        }
    }

    /// Takes what was recorded since the last time.
    pub fn drain(&mut self) -> Drained {
        let mut drained = Drained::default();
        for ring in &mut self.rings {
            let bytes = ring.take();
            drained.add_records(self.signal, &bytes);
        }
        drained
    }
}

fn online_cores() -> Vec<i32> {
    let text = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<i32>().ok()?..=last.parse::<i32>().ok()?)
    });
    ranges.flatten().collect()
}

fn threads(process: u32) -> Vec<i32> {
    let folder = format!("/proc/{process}/task");
    let entries = fs::read_dir(Path::new(&folder))
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .take(THREAD_LIMIT)
        .collect()
}

/// One ring buffer. The mapping ends with the value; the event ends with the descriptor.
#[derive(Debug)]
struct Ring {
    memory: *mut u8,
    _event: OwnedFd,
}

// SAFETY: the mapping belongs to this value alone and is reached through `&mut self` only.
unsafe impl Send for Ring {}

impl Ring {
    const BYTES: usize = (1 + DATA_PAGES) * PAGE_BYTES;

    fn open((thread, core): (i32, i32), attributes: &Attributes) -> io::Result<Self> {
        const CLOSE_ON_EXEC: libc::c_ulong = 8;
        // SAFETY: the structure has the size that it says; the other arguments are numbers.
        let descriptor = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                ptr::from_ref(attributes),
                thread,
                core,
                -1,
                CLOSE_ON_EXEC,
            )
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let event = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let memory = unsafe { mmap(ptr::null_mut(), Self::BYTES, access, MapFlags::SHARED, &event, 0)? };
        Ok(Self {
            memory: memory.cast(),
            _event: event,
        })
    }

    /// One of the two positions in the first page.
    fn position(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: inside the first page, aligned to eight bytes, and shared with the kernel as such.
        unsafe { AtomicU64::from_ptr(self.memory.add(offset).cast()) }
    }

    /// Copies what the kernel has written and frees its room.
    fn take(&mut self) -> Vec<u8> {
        const SIZE: usize = DATA_PAGES * PAGE_BYTES;
        let head = self.position(HEAD_OFFSET).load(Ordering::Acquire);
        let tail = self.position(TAIL_OFFSET).load(Ordering::Relaxed);
        let length = (head.wrapping_sub(tail) as usize).min(SIZE);
        let start = tail as usize % SIZE;
        let first = length.min(SIZE - start);
        let mut bytes = vec![0_u8; length];
        // SAFETY: the kernel does not write between tail and head; both parts lie within the data pages.
        unsafe {
            let data = self.memory.add(PAGE_BYTES);
            ptr::copy_nonoverlapping(data.add(start), bytes.as_mut_ptr(), first);
            ptr::copy_nonoverlapping(data, bytes.as_mut_ptr().add(first), length - first);
        }
        self.position(TAIL_OFFSET).store(head, Ordering::Release);
        bytes
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `open` with this length and is not used any more.
        let _ = unsafe { munmap(self.memory.cast(), Self::BYTES) };
    }
}

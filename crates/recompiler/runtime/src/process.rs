//! The whole state of the runtime in one process, and the requests that change it.
//!
//! Why so: one value owns the functions, the code area and the identity; the helper thread holds it, the fork
//! handler borrows it while the helper stands still. It lies in memory that the runtime mapped itself.
//!
//! Not here: the socket and its timeouts.

use crate::area::Area;
use crate::executable::{Executable, File};
use crate::functions::Function;
use crate::place::Surroundings;
use crate::relocate::relocate;
use crate::stub::{self, CAPTURE_STUB_BYTES, Capture, Counted, STUB_BYTES};
use crate::{processor, sys, unwind};
use core::sync::atomic::AtomicU64;
use tidegate_format::image::Image;
use tidegate_format::message::{
    ALL_FUNCTIONS, FunctionEntry, FunctionList, FunctionListWriter, Hello, REPLY_LIMIT_BYTES, Reason, Reply,
    cut_text,
};
use tidegate_format::scenario::Scenario;
use tidegate_format::section::MAY_UNWIND;
use tidegate_format::section::{DESCRIPTOR_LENGTH, FUNCTIONS_SECTION};

/// At most so many functions get slots in one executable.
const FUNCTION_LIMIT: usize = 16_384;
/// Part of a reply that is left to its fixed fields.
const REPLY_FIELDS_BYTES: usize = 64;

/// The runtime's state.
#[derive(Debug)]
pub struct Process {
    executable: Executable,
    functions: &'static mut [Function],
    area: Area,
    reason: Reason,
    helper_thread: u32,
}

impl Process {
    /// Reads the executable's sections. `None` where it has none, or they cannot be read.
    pub fn find(program_headers: u64, header_count: usize) -> Option<Self> {
        let file = File::open()?;
        let executable = Executable::find(program_headers, header_count, file.program_headers)?;
        let (address, length) = file.find_section(FUNCTIONS_SECTION)?;
        let start = address.wrapping_add(executable.load_bias);
        let count = (length as usize / DESCRIPTOR_LENGTH).min(FUNCTION_LIMIT);
        let functions = read_functions(&executable, start, count)?;
        let reason = match sys::ask(sys::ProcessQuestion::DenyWriteExecute) {
            Ok(bits) if bits != 0 => Reason::MemoryDenyWriteExecute,
            _ => Reason::None,
        };
        Some(Self {
            executable,
            functions,
            area: Area::default(),
            reason,
            helper_thread: 0,
        })
    }

    /// Whether the executable imports a call that a thread of its own would disturb.
    pub fn imports_namespaces(&self) -> bool {
        self.executable.imports_any(&[b"unshare", b"setns"])
    }

    /// Remembers which thread serves.
    pub fn set_helper_thread(&mut self, thread: u32) {
        self.helper_thread = thread;
    }

    /// Whether any slot does not hold the base.
    pub fn is_touched(&self) -> bool {
        self.functions.iter().any(Function::is_touched)
    }

    /// The introduction; `path` is a buffer for the executable's name.
    pub fn hello<'a>(&'a self, path: &'a mut [u8]) -> Reply<'a> {
        let path = sys::read_link(c"/proc/self/exe", path).unwrap_or(&[]);
        Reply::Hello(Hello {
            process: sys::process_id(),
            helper_thread: self.helper_thread,
            functions: self.functions.len() as u32,
            reason: self.reason,
            load_bias: self.executable.load_bias,
            build_id: self.executable.build_id(),
            executable: cut_text(core::str::from_utf8(path).unwrap_or("?")),
        })
    }

    /// As many functions from `first` on as fit the buffer.
    pub fn list<'b>(&self, first: u32, buffer: &'b mut [u8]) -> Reply<'b> {
        let room = REPLY_LIMIT_BYTES - REPLY_FIELDS_BYTES;
        let length = {
            let limit = room.min(buffer.len());
            let mut writer = FunctionListWriter::new(buffer.get_mut(..limit).unwrap_or(&mut []));
            let rest = self.functions.get(first as usize..).unwrap_or(&[]);
            let _ = rest.iter().all(|function| writer.push(&self.entry(function)));
            writer.written_bytes()
        };
        let list = FunctionList::from_bytes(buffer.get(..length).unwrap_or(&[]));
        Reply::Functions {
            total: self.functions.len() as u32,
            first,
            list,
        }
    }

    fn entry(&self, function: &Function) -> FunctionEntry<'static> {
        FunctionEntry {
            hash: function.descriptor.hash,
            address: function.body(),
            code_bytes: 0,
            blob_bytes: function.descriptor.blob_length,
            scenario: function.current(),
            loaded: function.loaded(),
            reason: if self.reason == Reason::None {
                function.reason
            } else {
                self.reason
            },
            name: function.name(&self.executable),
        }
    }

    /// A part of a function's blob.
    pub fn blob(&self, function: u32, offset: u32) -> Reply<'static> {
        let Some(function) = self.functions.get(function as usize) else {
            return Reply::Refused(Reason::UnknownFunction);
        };
        let blob = function.blob(&self.executable);
        let rest = blob.get(offset as usize..).unwrap_or(&[]);
        let length = rest.len().min(REPLY_LIMIT_BYTES - REPLY_FIELDS_BYTES);
        Reply::Blob {
            total_bytes: blob.len() as u32,
            bytes: rest.get(..length).unwrap_or(&[]),
        }
    }

    /// Maps an image and remembers its entry.
    ///
    /// # Errors
    /// Every [`Reason`] of the loader; nothing is changed then but the room taken.
    pub fn load(
        &mut self,
        function: u32,
        scenario: Scenario,
        bytes: &[u8],
    ) -> Result<Reply<'static>, Reason> {
        let begin_ns = sys::clock_ns(sys::Clock::Monotonic);
        if self.reason != Reason::None {
            return Err(self.reason);
        }
        let around = self.surroundings();
        let function = self
            .functions
            .get_mut(function as usize)
            .ok_or(Reason::UnknownFunction)?;
        let image = checked_image(function, scenario, bytes)?;
        let executable = &self.executable;
        let mut draft = self.area.draft(image.span.len(), around)?;
        let place = draft.address;
        let span = draft
            .bytes_mut()
            .get_mut(..image.span.len())
            .ok_or(Reason::BadImage)?;
        span.copy_from_slice(image.span);
        relocate(span, place, &image, function.body(), |index| {
            function.anchor(executable, index)
        })?;
        let place = draft.seal()?;
        let frames = place + u64::from(image.eh_frame.0);
        let registered = unwind::register(frames, image.eh_frame.1 as usize);
        if !registered && function.descriptor.flags & MAY_UNWIND != 0 {
            return Err(Reason::Unwinder);
        }
        let entry = place + u64::from(image.entry);
        function.publish(scenario, entry);
        let load_ns = sys::clock_ns(sys::Clock::Monotonic).saturating_sub(begin_ns);
        Ok(Reply::Loaded {
            address: entry,
            load_ns,
            used_bytes: self.area.used_bytes(),
        })
    }

    fn surroundings(&self) -> Surroundings {
        let (lowest, highest) = self.executable.extent();
        Surroundings {
            lowest,
            highest,
            program_break: sys::program_break() as u64,
        }
    }

    fn selected(&mut self, function: u32) -> Result<&mut [Function], Reason> {
        if function == ALL_FUNCTIONS {
            return Ok(self.functions);
        }
        let index = function as usize;
        self.functions
            .get_mut(index..=index)
            .ok_or(Reason::UnknownFunction)
    }

    /// Leads one function, or all that have it loaded, to `scenario`.
    ///
    /// # Errors
    /// For one function its own reason; for all of them only where one of the stores failed.
    pub fn switch(&mut self, function: u32, scenario: Scenario) -> Result<Reply<'static>, Reason> {
        let all = function == ALL_FUNCTIONS;
        let selected = self.selected(function)?;
        let begin_ns = sys::clock_ns(sys::Clock::Monotonic);
        let mut switched = 0;
        for function in selected
            .iter_mut()
            .filter(|function| !all || function.has(scenario))
        {
            function.switch(scenario)?;
            switched += 1;
        }
        let switch_ns = sys::clock_ns(sys::Clock::Monotonic).saturating_sub(begin_ns);
        Ok(Reply::Switched {
            functions: switched,
            switch_ns,
        })
    }

    /// One round of a storm: every loaded scenario of every function, the base last. Adds to the counts.
    pub fn storm_round(&mut self, switches: &mut u64, failures: &mut u64) -> u32 {
        let mut functions = 0;
        for function in self
            .functions
            .iter_mut()
            .filter(|function| function.loaded() != 0)
        {
            functions += 1;
            for scenario in Scenario::ALL.into_iter().rev() {
                if !function.has(scenario) {
                    continue;
                }
                *switches += 1;
                *failures += u64::from(function.switch(scenario).is_err());
            }
        }
        functions
    }

    /// Counters and clocks.
    pub fn work(&self) -> Reply<'static> {
        let work = work_total();
        Reply::Work {
            work,
            counted: work != 0,
            calls: self.functions.iter().map(Function::calls).sum(),
            cpu_ns: cpu_ns(),
            boot_ns: sys::clock_ns(sys::Clock::Boot),
        }
    }

    /// Starts or stops counting calls.
    ///
    /// # Errors
    /// [`Reason::UnknownFunction`], or why there are no stubs.
    pub fn count(&mut self, function: u32, enabled: bool) -> Result<Reply<'static>, Reason> {
        if enabled {
            self.make_stubs(function)?;
        }
        let all = function == ALL_FUNCTIONS;
        for function in self.selected(function)? {
            match function.count(enabled) {
                Err(reason) if !all && enabled => return Err(reason),
                _ => {}
            }
        }
        Ok(Reply::Done)
    }

    /// Makes the stubs that are missing, all in one go.
    fn make_stubs(&mut self, function: u32) -> Result<(), Reason> {
        if self.reason != Reason::None {
            return Err(self.reason);
        }
        let around = self.surroundings();
        let missing = self
            .selected(function)?
            .iter()
            .filter(|function| !function.has_stub())
            .count();
        if missing == 0 {
            return Ok(());
        }
        let mut draft = self.area.draft(missing * STUB_BYTES, around)?;
        let data = self.area.data(missing * size_of::<Counted>(), around)?;
        let (code, bytes) = (draft.address, draft.bytes_mut());
        for (index, place) in bytes.chunks_exact_mut(STUB_BYTES).take(missing).enumerate() {
            let counted = data + (index * size_of::<Counted>()) as u64;
            let stub = stub::encode(code + (index * STUB_BYTES) as u64, counted).ok_or(Reason::OutOfReach)?;
            place.copy_from_slice(&stub);
        }
        let code = draft.seal()?;
        let without = self
            .selected(function)?
            .iter_mut()
            .filter(|function| !function.has_stub());
        for (index, function) in without.enumerate() {
            let counted = data + (index * size_of::<Counted>()) as u64;
            // SAFETY: zeroed pages of the area that stay writable and mapped, one `Counted` per function.
            let counted = unsafe { &*(counted as *const Counted) };
            function.set_stub(code + (index * STUB_BYTES) as u64, counted);
        }
        Ok(())
    }

    /// Starts to note arguments of one function's calls, or stops and tells them.
    ///
    /// # Errors
    /// [`Reason::UnknownFunction`], or why there is no stub.
    pub fn capture<'b>(
        &mut self,
        function: u32,
        armed: bool,
        place: &'b mut [u8],
    ) -> Result<Reply<'b>, Reason> {
        if armed {
            self.make_capture(function)?;
        }
        let function = self
            .functions
            .get_mut(function as usize)
            .ok_or(Reason::UnknownFunction)?;
        if armed {
            return function.arm().map(|()| Reply::Done);
        }
        let length = function.disarm(place);
        Ok(Reply::Captured {
            calls: place.get(..length).unwrap_or(&[]),
        })
    }

    /// Makes one function's capturing stub where it has none.
    fn make_capture(&mut self, function: u32) -> Result<(), Reason> {
        if self.reason != Reason::None {
            return Err(self.reason);
        }
        let around = self.surroundings();
        let function = self
            .functions
            .get_mut(function as usize)
            .ok_or(Reason::UnknownFunction)?;
        if function.has_capture() {
            return Ok(());
        }
        let mut draft = self.area.draft(CAPTURE_STUB_BYTES, around)?;
        let data = self.area.data(size_of::<Capture>(), around)?;
        let code = stub::encode_capture(draft.address, data).ok_or(Reason::OutOfReach)?;
        let place = draft.bytes_mut().get_mut(..code.len()).ok_or(Reason::BadImage)?;
        place.copy_from_slice(&code);
        let code = draft.seal()?;
        // SAFETY: zeroed pages of the area that stay writable and mapped, made for this one `Capture`.
        let capture = unsafe { &*(data as *const Capture) };
        function.set_capture(code, capture);
        Ok(())
    }

    /// Calls of one function since counting began.
    pub fn calls(&self, function: u32) -> Reply<'static> {
        let function = self.functions.get(function as usize);
        function.map_or(Reply::Refused(Reason::UnknownFunction), |function| Reply::Calls {
            calls: function.calls(),
        })
    }

    /// Every slot back to the base.
    pub fn release(&mut self) {
        self.functions.iter_mut().for_each(Function::release);
    }
}

/// Everything that is checked before a byte is mapped.
fn checked_image<'a>(function: &Function, scenario: Scenario, bytes: &'a [u8]) -> Result<Image<'a>, Reason> {
    use tidegate_format::FormatError;
    if function.reason != Reason::None {
        return Err(function.reason);
    }
    let image = Image::read(bytes).map_err(|error| match error {
        FormatError::Checksum => Reason::Checksum,
        _ => Reason::BadImage,
    })?;
    if scenario == Scenario::Base || image.scenario != scenario {
        return Err(Reason::BadRequest);
    }
    if image.hash != function.descriptor.hash || image.anchor_count > function.descriptor.anchor_count {
        return Err(Reason::WrongFunction);
    }
    if !image.cpu_features.is_subset_of(processor::features()) {
        return Err(Reason::CpuFeature);
    }
    Ok(image)
}

/// Places the functions' state in memory of its own.
fn read_functions(executable: &Executable, start: u64, count: usize) -> Option<&'static mut [Function]> {
    if count == 0 {
        return None;
    }
    let memory = sys::map_anywhere(count * size_of::<Function>()).ok()? as *mut Function;
    for index in 0..count {
        let function = Function::read(executable, start + (index * DESCRIPTOR_LENGTH) as u64)?;
        // SAFETY: the mapping has room for `count` functions and is aligned to a page.
        unsafe { memory.add(index).write(function) };
    }
    // SAFETY: all `count` elements were just written; the mapping is never given back.
    Some(unsafe { core::slice::from_raw_parts_mut(memory, count) })
}

/// CPU time of the process less that of the helper. With one thread beside the helper, that thread's own clock.
fn cpu_ns() -> u64 {
    if sys::thread_count() == Some(2) {
        return sys::thread_clock_ns(sys::process_id());
    }
    sys::clock_ns(sys::Clock::Process).saturating_sub(sys::clock_ns(sys::Clock::Thread))
}

/// The sum of `TIDEGATE_WORK` in this image.
#[cfg(tidegate_archive)]
fn work_total() -> u64 {
    unsafe extern "C" {
        static tidegate_work_total: AtomicU64;
    }
    // SAFETY: defined weakly by this archive and by every object that counts; eight aligned bytes.
    unsafe { tidegate_work_total.load(core::sync::atomic::Ordering::Relaxed) }
}

#[cfg(not(tidegate_archive))]
fn work_total() -> u64 {
    static NONE: AtomicU64 = AtomicU64::new(0);
    NONE.load(core::sync::atomic::Ordering::Relaxed)
}

//! The whole state of the runtime in one process, and the requests that change it.
//!
//! Why so: one value owns the functions, the code areas and the identity; whoever is inside the gate may change it:
//! the helper, a thread that loads or closes a library, the fork handler while the helper stands still. Functions are
//! numbered through: those of the executable, then library by library as they came. Numbers are not used again.
//!
//! Not here: the socket and its timeouts.

use crate::debugger::Names;
use crate::functions::Function;
use crate::library;
use crate::member::Member;
use crate::relocate::relocate;
use crate::spent::Spent;
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

/// The executable and at most so many libraries, those included that were closed and did not come back.
const MEMBER_LIMIT: usize = 64;
/// At most so many functions in all of them.
const FUNCTION_LIMIT: u32 = 65_536;
/// Part of a reply that is left to its fixed fields.
const REPLY_FIELDS_BYTES: usize = 64;

/// The runtime's state.
#[derive(Debug)]
pub struct Process {
    /// The executable first.
    members: Members,
    reason: Reason,
    helper_thread: u32,
    names: Names,
    spent: Spent,
}

/// The members in memory of their own; only ever added to.
#[derive(Debug)]
struct Members {
    memory: *mut Member,
    count: usize,
}

impl Members {
    fn new() -> Option<Self> {
        let memory = sys::map_anywhere(MEMBER_LIMIT * size_of::<Member>()).ok()? as *mut Member;
        Some(Self { memory, count: 0 })
    }

    /// Adds a member at the end, where there is room.
    fn push(&mut self, member: Member) {
        if self.count >= MEMBER_LIMIT {
            return member.discard();
        }
        // SAFETY: the mapping has room for `MEMBER_LIMIT` members; this place was not used yet.
        unsafe { self.memory.add(self.count).write(member) };
        self.count += 1;
    }

    fn all(&self) -> &[Member] {
        // SAFETY: the first `count` places were written, and nobody else refers to them.
        unsafe { core::slice::from_raw_parts(self.memory, self.count) }
    }

    fn all_mut(&mut self) -> &mut [Member] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.memory, self.count) }
    }

    fn functions(&self) -> impl Iterator<Item = &Function> {
        self.all().iter().flat_map(|member| member.functions.iter())
    }

    fn functions_mut(&mut self) -> impl Iterator<Item = &mut Function> {
        self.all_mut()
            .iter_mut()
            .flat_map(|member| member.functions.iter_mut())
    }

    /// How many functions there are, those of closed libraries included.
    fn function_count(&self) -> u32 {
        let last = self.all().last();
        last.map_or(0, |member| member.first + member.functions.len() as u32)
    }

    /// The member that a function belongs to, and its place there.
    fn find(&mut self, function: u32) -> Result<(&mut Member, usize), Reason> {
        let has = |member: &&mut Member| {
            let place = function.checked_sub(member.first);
            place.is_some_and(|place| (place as usize) < member.functions.len())
        };
        let member = self
            .all_mut()
            .iter_mut()
            .find(has)
            .ok_or(Reason::UnknownFunction)?;
        let place = (function - member.first) as usize;
        if member.is_gone {
            return Err(Reason::Closed);
        }
        Ok((member, place))
    }
}

impl Process {
    /// Reads the executable's sections. `None` where they cannot be read.
    pub fn find(program_headers: u64, header_count: usize) -> Option<Self> {
        let reason = match sys::ask(sys::ProcessQuestion::DenyWriteExecute) {
            Ok(bits) if bits != 0 => Reason::MemoryDenyWriteExecute,
            _ => Reason::None,
        };
        let mut members = Members::new()?;
        members.push(Member::executable(program_headers, header_count)?);
        Some(Self {
            members,
            reason,
            helper_thread: 0,
            names: Names::default(),
            spent: Spent::default(),
        })
    }

    /// A library was loaded, or is about to be unmapped. What cannot be read stays at the base.
    pub fn library(&mut self, what: u32, header: u64, work: u64) {
        let lies_there = |member: &&mut Member| {
            let (lowest, highest) = member.binary.extent();
            !member.is_gone && (lowest..highest).contains(&header)
        };
        if what == library::GOES {
            let member = self.members.all_mut().iter_mut().find(lies_there);
            member.into_iter().for_each(Member::leave);
            return;
        }
        let Some(mut member) = Member::library(header, library::counter(work)) else {
            return;
        };
        let mut closed = self.members.all_mut().iter_mut().filter(|member| member.is_gone);
        if let Some(before) = closed.find(|before| before.is_same_place(&member)) {
            member.take_over(before);
            *before = member;
            return;
        }
        member.first = self.members.function_count();
        if member.first + member.functions.len() as u32 > FUNCTION_LIMIT {
            member.discard();
        } else {
            self.members.push(member);
        }
    }

    /// Whether the executable imports a call that a thread of its own would disturb.
    pub fn imports_namespaces(&self) -> bool {
        let executable = self.members.all().first();
        executable.is_some_and(|member| member.binary.imports_any(&[b"unshare", b"setns"]))
    }

    /// Remembers which thread serves.
    pub fn set_helper_thread(&mut self, thread: u32) {
        self.helper_thread = thread;
    }

    /// Whether any slot does not hold the base.
    pub fn is_touched(&self) -> bool {
        self.members.functions().any(Function::is_touched)
    }

    /// The introduction; `path` is a buffer for the executable's name.
    pub fn hello<'a>(&'a self, path: &'a mut [u8]) -> Reply<'a> {
        let path = sys::read_link(c"/proc/self/exe", path).unwrap_or(&[]);
        let executable = self.members.all().first();
        Reply::Hello(Hello {
            process: sys::process_id(),
            helper_thread: self.helper_thread,
            functions: self.members.function_count(),
            reason: self.reason,
            load_bias: executable.map_or(0, |member| member.binary.load_bias),
            build_id: executable.map_or(&[], |member| member.binary.build_id()),
            executable: cut_text(core::str::from_utf8(path).unwrap_or("?")),
        })
    }

    /// As many functions from `first` on as fit the buffer.
    pub fn list<'b>(&self, first: u32, buffer: &'b mut [u8]) -> Reply<'b> {
        let room = REPLY_LIMIT_BYTES - REPLY_FIELDS_BYTES;
        let length = {
            let limit = room.min(buffer.len());
            let mut writer = FunctionListWriter::new(buffer.get_mut(..limit).unwrap_or(&mut []));
            let entries = self.members.all().iter().flat_map(|member| {
                let functions = member.functions.iter();
                functions.map(|function| self.entry(member, function))
            });
            let _ = entries.skip(first as usize).all(|entry| writer.push(&entry));
            writer.written_bytes()
        };
        let list = FunctionList::from_bytes(buffer.get(..length).unwrap_or(&[]));
        Reply::Functions {
            total: self.members.function_count(),
            first,
            list,
        }
    }

    fn entry(&self, member: &Member, function: &Function) -> FunctionEntry<'static> {
        let (mut reason, mut name) = (function.reason, "?");
        if member.is_gone {
            reason = Reason::Closed;
        } else {
            name = function.name(&member.binary);
        }
        FunctionEntry {
            hash: function.descriptor.hash,
            address: function.body(),
            code_bytes: 0,
            blob_bytes: function.descriptor.blob_length,
            arguments: function.descriptor.arguments,
            scenario: function.current(),
            loaded: function.loaded(),
            reason: if self.reason == Reason::None {
                reason
            } else {
                self.reason
            },
            name,
        }
    }

    /// A part of a function's blob.
    pub fn blob(&mut self, function: u32, offset: u32) -> Reply<'static> {
        let (member, place) = match self.members.find(function) {
            Ok(found) => found,
            Err(reason) => return Reply::Refused(reason),
        };
        let blob = member.functions[place].blob(&member.binary);
        let rest = blob.get(offset as usize..).unwrap_or(&[]);
        let length = rest.len().min(REPLY_LIMIT_BYTES - REPLY_FIELDS_BYTES);
        Reply::Blob {
            total_bytes: blob.len() as u32,
            bytes: rest.get(..length).unwrap_or(&[]),
        }
    }

    /// Whether this process takes code at all.
    ///
    /// # Errors
    /// Why it does not.
    fn takes_code(&self) -> Result<(), Reason> {
        match self.reason {
            Reason::None => Ok(()),
            reason => Err(reason),
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
        self.takes_code()?;
        let (member, index) = self.members.find(function)?;
        let around = member.surroundings();
        let (binary, function) = (&member.binary, &mut member.functions[index]);
        let image = checked_image(function, scenario, bytes)?;
        if function.loaded() == 0 {
            function.note_anchors(binary);
        }
        let mut draft = member.area.draft(image.span.len(), around)?;
        let place = draft.address;
        let span = draft
            .bytes_mut()
            .get_mut(..image.span.len())
            .ok_or(Reason::BadImage)?;
        span.copy_from_slice(image.span);
        relocate(span, place, &image, function.body(), |index| {
            function.anchor(binary, index)
        })?;
        let place = draft.seal()?;
        let is_found = unwind::tell(member.table, place, &image);
        if !is_found && function.descriptor.flags & MAY_UNWIND != 0 {
            return Err(Reason::Unwinder);
        }
        self.names.tell(place, &image);
        let entry = place + u64::from(image.entry);
        function.publish(scenario, entry);
        let load_ns = sys::clock_ns(sys::Clock::Monotonic).saturating_sub(begin_ns);
        Ok(Reply::Loaded {
            address: entry,
            load_ns,
            used_bytes: self.used_bytes(),
        })
    }

    fn used_bytes(&self) -> u64 {
        let members = self.members.all().iter();
        members.map(|member| member.area.used_bytes()).sum()
    }

    /// Leads one function, or all that have it loaded, to `scenario`.
    ///
    /// # Errors
    /// For one function its own reason; for all of them only where one of the stores failed.
    pub fn switch(&mut self, function: u32, scenario: Scenario) -> Result<Reply<'static>, Reason> {
        let begin_ns = sys::clock_ns(sys::Clock::Monotonic);
        let mut switched = 0;
        if function == ALL_FUNCTIONS {
            let having = self.members.functions_mut();
            for function in having.filter(|function| function.has(scenario)) {
                function.switch(scenario)?;
                switched += 1;
            }
        } else {
            let (member, index) = self.members.find(function)?;
            member.functions[index].switch(scenario)?;
            switched = 1;
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
        let loaded = |function: &&mut Function| function.reason == Reason::None && function.loaded() != 0;
        for function in self.members.functions_mut().filter(loaded) {
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
    pub fn work(&mut self) -> Reply<'static> {
        let libraries = self.members.all().iter().map(Member::work);
        let work = libraries.fold(work_total(), u64::wrapping_add);
        Reply::Work {
            work,
            counted: work != 0,
            calls: self.members.functions().map(Function::calls).sum(),
            cpu_ns: self.spent.read_ns(),
            boot_ns: sys::clock_ns(sys::Clock::Boot),
        }
    }

    /// Starts or stops counting calls.
    ///
    /// # Errors
    /// [`Reason::UnknownFunction`], or why there are no stubs.
    pub fn count(&mut self, function: u32, enabled: bool) -> Result<Reply<'static>, Reason> {
        if enabled {
            self.takes_code()?;
        }
        if function == ALL_FUNCTIONS {
            let present = self.members.all_mut().iter_mut().filter(|member| !member.is_gone);
            for member in present {
                if enabled {
                    make_stubs(member, 0..member.functions.len())?;
                }
                for function in member.functions.iter_mut() {
                    // What cannot be counted does not count.
                    let _ = function.count(enabled);
                }
            }
            return Ok(Reply::Done);
        }
        let (member, index) = self.members.find(function)?;
        if enabled {
            make_stubs(member, index..index + 1)?;
        }
        match member.functions[index].count(enabled) {
            Err(reason) if enabled => Err(reason),
            _ => Ok(Reply::Done),
        }
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
        let (member, index) = self.members.find(function)?;
        let function = &mut member.functions[index];
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
        self.takes_code()?;
        let (member, index) = self.members.find(function)?;
        let around = member.surroundings();
        let function = &mut member.functions[index];
        if function.has_capture() {
            return Ok(());
        }
        let mut draft = member.area.draft(CAPTURE_STUB_BYTES, around)?;
        let data = member.area.data(size_of::<Capture>(), around)?;
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
    pub fn calls(&mut self, function: u32) -> Reply<'static> {
        let found = self.members.find(function);
        found.map_or_else(Reply::Refused, |(member, index)| Reply::Calls {
            calls: member.functions[index].calls(),
        })
    }

    /// Every slot back to the base.
    pub fn release(&mut self) {
        self.members.functions_mut().for_each(Function::release);
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

/// Makes the counting stubs that are missing among these functions, all in one go.
fn make_stubs(member: &mut Member, range: core::ops::Range<usize>) -> Result<(), Reason> {
    let around = member.surroundings();
    let functions = member.functions.get_mut(range).unwrap_or(&mut []);
    let missing = functions.iter().filter(|function| !function.has_stub()).count();
    if missing == 0 {
        return Ok(());
    }
    let mut draft = member.area.draft(missing * STUB_BYTES, around)?;
    let data = member.area.data(missing * size_of::<Counted>(), around)?;
    let (code, bytes) = (draft.address, draft.bytes_mut());
    for (index, place) in bytes.chunks_exact_mut(STUB_BYTES).take(missing).enumerate() {
        let counted = data + (index * size_of::<Counted>()) as u64;
        let stub = stub::encode(code + (index * STUB_BYTES) as u64, counted).ok_or(Reason::OutOfReach)?;
        place.copy_from_slice(&stub);
    }
    let code = draft.seal()?;
    let without = functions.iter_mut().filter(|function| !function.has_stub());
    for (index, function) in without.enumerate() {
        let counted = data + (index * size_of::<Counted>()) as u64;
        // SAFETY: zeroed pages of the area that stay writable and mapped, one `Counted` per function.
        let counted = unsafe { &*(counted as *const Counted) };
        function.set_stub(code + (index * STUB_BYTES) as u64, counted);
    }
    Ok(())
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

//! The control protocol between the daemon and the runtime inside an app.
//!
//! What: frames of eight header bytes (body length, protocol version, kind) and a bounded body, over a
//! stream socket that the *runtime* opens. After the runtime's `Hello` the daemon asks, the runtime answers
//! each request once, in order. Integers are little-endian; texts are UTF-8 with a 16-bit length.
//!
//! Why so: the runtime has no allocator and runs on a small stack, so both sides borrow from the buffer that
//! was read, every field has a bound, and a frame that does not parse is an error, never a panic.
//!
//! Not here: sockets, credentials, what a request does. A `Client` frame carries a command line's request on the
//! same socket; its body is opaque to this crate.

mod reason;
#[cfg(test)]
mod tests;
mod wire;

use crate::FunctionHash;
use crate::arguments::ArgumentLayout;
use crate::scenario::Scenario;
use core::fmt;
pub use reason::Reason;
use wire::{Fields, FrameWriter, Writer};

/// The version of this protocol; another one is refused with [`MessageError::Version`].
pub const VERSION: u16 = 1;
/// Bytes of a frame's header: length of the body (u32), version (u16), kind (u16).
pub const HEADER_BYTES: usize = 8;
/// The largest body: a variant image at the loader's cap of 4 MiB and its fixed fields.
pub const BODY_LIMIT_BYTES: usize = 4 * 1024 * 1024 + 4096;
/// The largest body of a runtime's reply; it fits the runtime's fixed buffer.
pub const REPLY_LIMIT_BYTES: usize = 64 * 1024;
/// The longest name or path; longer ones are cut by the sender at a character boundary.
pub const TEXT_LIMIT_BYTES: usize = 1024;
/// Calls whose arguments are noted at a time.
pub const CAPTURE_CALLS: usize = 64;
/// Words that are told per call: six integer registers, eight of floating point.
pub const CAPTURE_WORDS: usize = 14;
/// Instead of a function's index: all of them.
pub const ALL_FUNCTIONS: u32 = u32::MAX;

/// What can be wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// The other side speaks another version (given).
    Version(u16),
    /// The kind is not one that this side expects.
    Kind(u16),
    /// The body is longer than its bound (bytes given).
    TooLong(usize),
    /// The body ends inside a field.
    Short,
    /// Bytes are left after the last field.
    Trailing,
    /// A field holds a value outside its domain.
    Value,
    /// The writer's buffer is too small.
    BufferFull,
}

impl fmt::Display for MessageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(found) => write!(out, "protocol version {found}, this side speaks {VERSION}"),
            Self::Kind(kind) => write!(out, "unexpected message kind {kind:#x}"),
            Self::TooLong(bytes) => write!(out, "message of {bytes} bytes is over its bound"),
            Self::Short => out.write_str("message ends inside a field"),
            Self::Trailing => out.write_str("message has bytes after its last field"),
            Self::Value => out.write_str("message field out of range"),
            Self::BufferFull => out.write_str("message does not fit the buffer"),
        }
    }
}

impl core::error::Error for MessageError {}

/// The decoded header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body that follows.
    pub body_bytes: usize,
    /// Which message it is.
    pub kind: u16,
}

impl Header {
    /// Reads a header and checks version and bound.
    ///
    /// # Errors
    /// [`MessageError::Version`] and [`MessageError::TooLong`].
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self, MessageError> {
        let mut fields = Fields { bytes: &bytes };
        let body_bytes = fields.u32()? as usize;
        let version = fields.u16()?;
        let kind = fields.u16()?;
        if version != VERSION {
            return Err(MessageError::Version(version));
        }
        if body_bytes > BODY_LIMIT_BYTES {
            return Err(MessageError::TooLong(body_bytes));
        }
        Ok(Self { body_bytes, kind })
    }
}

/// What the daemon asks of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// The list of functions, from this index on; the reply holds as many as fit.
    Functions {
        /// Index of the first function wanted.
        first: u32,
    },
    /// The blob of one function, from this byte on; the reply holds as many bytes as fit.
    Blob {
        /// Index of the function.
        function: u32,
        /// First byte wanted.
        offset: u32,
    },
    /// Load an image for one function and scenario; it is mapped, not yet entered.
    Load {
        /// Index of the function.
        function: u32,
        /// What it will be reached by; an earlier image of the same scenario is superseded.
        scenario: Scenario,
        /// The image of `format::image`.
        image: &'a [u8],
    },
    /// Point a slot, or every slot that has this scenario loaded, at a scenario.
    Switch {
        /// Index of the function, or [`ALL_FUNCTIONS`].
        function: u32,
        /// Where to.
        scenario: Scenario,
    },
    /// Fault injection: all functions with loaded images, round and round, from the helper thread.
    Storm {
        /// For how long.
        duration_ms: u32,
        /// Pause between two rounds; 0 = none.
        pause_us: u32,
    },
    /// Counters and clocks.
    Work,
    /// Count the calls of one function, in every scenario by the same stub, or stop to.
    Count {
        /// Index of the function, or [`ALL_FUNCTIONS`].
        function: u32,
        /// Start or stop.
        enabled: bool,
    },
    /// The count of calls of one function.
    Calls {
        /// Index of the function.
        function: u32,
    },
    /// Note the arguments of the next calls of one function, or (`armed` false) stop and tell them.
    Capture {
        /// Index of the function.
        function: u32,
        /// Start, or stop and tell.
        armed: bool,
    },
    /// Every slot back to the base.
    Release,
    /// The daemon lives; without one for two seconds the runtime releases by itself.
    Heartbeat,
}

/// What a runtime answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The first frame on the socket.
    Hello(Hello<'a>),
    /// A part of the list of functions.
    Functions {
        /// How many there are in all.
        total: u32,
        /// Index of the first in this part.
        first: u32,
        /// The encoded part; see [`FunctionList`].
        list: FunctionList<'a>,
    },
    /// A part of a blob.
    Blob {
        /// Length of the whole blob.
        total_bytes: u32,
        /// This part.
        bytes: &'a [u8],
    },
    /// An image is mapped and sealed.
    Loaded {
        /// Where its entry is.
        address: u64,
        /// From the first check to the sealed mapping.
        load_ns: u64,
        /// Code and read-only data in use in this process.
        used_bytes: u64,
    },
    /// Slots were written.
    Switched {
        /// How many.
        functions: u32,
        /// For all of them together.
        switch_ns: u64,
    },
    /// A storm is over.
    Storm {
        /// Functions that took part.
        functions: u32,
        /// Slot stores.
        switches: u64,
        /// Slots that did not hold what was stored.
        failures: u64,
        /// How often every function went through all that is loaded for it and back to the base.
        rounds: u64,
        /// How long it took.
        elapsed_ms: u32,
    },
    /// Counters and clocks, read one after another.
    Work {
        /// The sum of `TIDEGATE_WORK`.
        work: u64,
        /// Whether the program ever counted any.
        counted: bool,
        /// The sum of counted calls.
        calls: u64,
        /// CPU time of the process less that of the helper thread.
        cpu_ns: u64,
        /// The boot clock.
        boot_ns: u64,
    },
    /// Calls of one function since counting began.
    Calls {
        /// How many.
        calls: u64,
    },
    /// The arguments of some calls, in no order.
    Captured {
        /// One [`CAPTURE_WORDS`] `u64` per call: rdi, rsi, rdx, rcx, r8, r9, the low halves of xmm0 to xmm7.
        calls: &'a [u8],
    },
    /// Done, nothing to tell.
    Done,
    /// Not done, and why.
    Refused(Reason),
}

/// The runtime introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The process, as it sees itself; the daemon compares it with the socket's credentials.
    pub process: u32,
    /// The helper thread.
    pub helper_thread: u32,
    /// How many functions have slots.
    pub functions: u32,
    /// Whether anything can be switched in this process.
    pub reason: Reason,
    /// Where the executable was loaded less where it was linked.
    pub load_bias: u64,
    /// The GNU build id, empty if there is none.
    pub build_id: &'a [u8],
    /// The path of the executable, cut at [`TEXT_LIMIT_BYTES`].
    pub executable: &'a str,
}

/// One function of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionEntry<'a> {
    /// Hash of the blob it was built with.
    pub hash: FunctionHash,
    /// Address of its base code in the process.
    pub address: u64,
    /// Bytes of its base code; 0 = not known.
    pub code_bytes: u32,
    /// Length of its blob.
    pub blob_bytes: u32,
    /// Where its arguments travel.
    pub arguments: ArgumentLayout,
    /// What its slot leads to.
    pub scenario: Scenario,
    /// Bit `1 << number` for each scenario that is loaded.
    pub loaded: u8,
    /// Why it is not switchable; [`Reason::None`] if it is.
    pub reason: Reason,
    /// Its linker name, cut at [`TEXT_LIMIT_BYTES`].
    pub name: &'a str,
}

const KIND_HELLO: u16 = 0x01;
const KIND_FUNCTIONS: u16 = 0x02;
const KIND_BLOB: u16 = 0x03;
const KIND_LOAD: u16 = 0x04;
const KIND_SWITCH: u16 = 0x05;
const KIND_STORM: u16 = 0x06;
const KIND_WORK: u16 = 0x07;
const KIND_COUNT: u16 = 0x08;
const KIND_CALLS: u16 = 0x09;
const KIND_RELEASE: u16 = 0x0a;
const KIND_HEARTBEAT: u16 = 0x0b;
const KIND_DONE: u16 = 0x0c;
const KIND_REFUSED: u16 = 0x0d;
const KIND_CAPTURE: u16 = 0x0e;
/// Replies carry the kind of their request with this bit set.
const REPLY: u16 = 0x100;
/// A request of the command line, not of a runtime: the body is the daemon's own format.
pub const KIND_CLIENT: u16 = 0x200;
/// The answer to it.
pub const KIND_CLIENT_REPLY: u16 = 0x300;

impl<'a> Request<'a> {
    /// Decodes the body of a frame.
    ///
    /// # Errors
    /// Any [`MessageError`]; nothing is read beyond `body`.
    pub fn decode(kind: u16, body: &'a [u8]) -> Result<Self, MessageError> {
        let mut fields = Fields { bytes: body };
        let request = match kind {
            KIND_FUNCTIONS => Self::Functions { first: fields.u32()? },
            KIND_BLOB => Self::Blob {
                function: fields.u32()?,
                offset: fields.u32()?,
            },
            KIND_LOAD => Self::Load {
                function: fields.u32()?,
                scenario: fields.scenario()?,
                image: fields.rest(),
            },
            KIND_SWITCH => Self::Switch {
                function: fields.u32()?,
                scenario: fields.scenario()?,
            },
            KIND_STORM => Self::Storm {
                duration_ms: fields.u32()?,
                pause_us: fields.u32()?,
            },
            KIND_WORK => Self::Work,
            KIND_COUNT => Self::Count {
                function: fields.u32()?,
                enabled: fields.flag()?,
            },
            KIND_CALLS => Self::Calls {
                function: fields.u32()?,
            },
            KIND_CAPTURE => Self::Capture {
                function: fields.u32()?,
                armed: fields.flag()?,
            },
            KIND_RELEASE => Self::Release,
            KIND_HEARTBEAT => Self::Heartbeat,
            other => return Err(MessageError::Kind(other)),
        };
        fields.end()?;
        Ok(request)
    }

    /// Writes the whole frame and returns its length.
    ///
    /// # Errors
    /// [`MessageError::BufferFull`].
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, MessageError> {
        let kind = match self {
            Self::Functions { .. } => KIND_FUNCTIONS,
            Self::Blob { .. } => KIND_BLOB,
            Self::Load { .. } => KIND_LOAD,
            Self::Switch { .. } => KIND_SWITCH,
            Self::Storm { .. } => KIND_STORM,
            Self::Work => KIND_WORK,
            Self::Count { .. } => KIND_COUNT,
            Self::Calls { .. } => KIND_CALLS,
            Self::Capture { .. } => KIND_CAPTURE,
            Self::Release => KIND_RELEASE,
            Self::Heartbeat => KIND_HEARTBEAT,
        };
        let mut frame = FrameWriter::new(buffer, kind)?;
        match *self {
            Self::Functions { first } => frame.u32(first)?,
            Self::Blob { function, offset } => {
                frame.u32(function)?;
                frame.u32(offset)?;
            }
            Self::Load {
                function,
                scenario,
                image,
            } => {
                frame.u32(function)?;
                frame.u8(scenario as u8)?;
                frame.bytes(image)?;
            }
            Self::Switch { function, scenario } => {
                frame.u32(function)?;
                frame.u8(scenario as u8)?;
            }
            Self::Storm {
                duration_ms,
                pause_us,
            } => {
                frame.u32(duration_ms)?;
                frame.u32(pause_us)?;
            }
            Self::Count { function, enabled } => {
                frame.u32(function)?;
                frame.u8(u8::from(enabled))?;
            }
            Self::Capture { function, armed } => {
                frame.u32(function)?;
                frame.u8(u8::from(armed))?;
            }
            Self::Calls { function } => frame.u32(function)?,
            Self::Work | Self::Release | Self::Heartbeat => {}
        }
        frame.finish()
    }

    /// Bytes that [`encode`](Self::encode) needs at most.
    pub fn encoded_bytes(&self) -> usize {
        match self {
            Self::Load { image, .. } => HEADER_BYTES + 8 + image.len(),
            _ => HEADER_BYTES + 16,
        }
    }
}

impl<'a> Reply<'a> {
    /// Decodes the body of a frame.
    ///
    /// # Errors
    /// Any [`MessageError`]; nothing is read beyond `body`.
    pub fn decode(kind: u16, body: &'a [u8]) -> Result<Self, MessageError> {
        if kind & REPLY == 0 {
            return Err(MessageError::Kind(kind));
        }
        let mut fields = Fields { bytes: body };
        let reply = match kind & !REPLY {
            KIND_HELLO => Self::Hello(Hello::read(&mut fields)?),
            KIND_FUNCTIONS => Self::Functions {
                total: fields.u32()?,
                first: fields.u32()?,
                list: FunctionList { bytes: fields.rest() },
            },
            KIND_BLOB => Self::Blob {
                total_bytes: fields.u32()?,
                bytes: fields.rest(),
            },
            KIND_LOAD => Self::Loaded {
                address: fields.u64()?,
                load_ns: fields.u64()?,
                used_bytes: fields.u64()?,
            },
            KIND_SWITCH => Self::Switched {
                functions: fields.u32()?,
                switch_ns: fields.u64()?,
            },
            KIND_STORM => Self::Storm {
                functions: fields.u32()?,
                switches: fields.u64()?,
                failures: fields.u64()?,
                rounds: fields.u64()?,
                elapsed_ms: fields.u32()?,
            },
            KIND_WORK => Self::Work {
                work: fields.u64()?,
                counted: fields.flag()?,
                calls: fields.u64()?,
                cpu_ns: fields.u64()?,
                boot_ns: fields.u64()?,
            },
            KIND_CALLS => Self::Calls { calls: fields.u64()? },
            KIND_CAPTURE => Self::Captured { calls: fields.rest() },
            KIND_DONE => Self::Done,
            KIND_REFUSED => Self::Refused(fields.reason()?),
            other => return Err(MessageError::Kind(other | REPLY)),
        };
        fields.end()?;
        Ok(reply)
    }

    /// Writes the whole frame and returns its length.
    ///
    /// # Errors
    /// [`MessageError::BufferFull`].
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, MessageError> {
        let mut frame = FrameWriter::new(buffer, self.kind() | REPLY)?;
        match *self {
            Self::Hello(hello) => hello.write(&mut frame)?,
            Self::Functions { total, first, list } => {
                frame.u32(total)?;
                frame.u32(first)?;
                frame.bytes(list.bytes)?;
            }
            Self::Blob { total_bytes, bytes } => {
                frame.u32(total_bytes)?;
                frame.bytes(bytes)?;
            }
            Self::Loaded {
                address,
                load_ns,
                used_bytes,
            } => {
                frame.u64(address)?;
                frame.u64(load_ns)?;
                frame.u64(used_bytes)?;
            }
            Self::Switched { functions, switch_ns } => {
                frame.u32(functions)?;
                frame.u64(switch_ns)?;
            }
            Self::Storm {
                functions,
                switches,
                failures,
                rounds,
                elapsed_ms,
            } => {
                frame.u32(functions)?;
                frame.u64(switches)?;
                frame.u64(failures)?;
                frame.u64(rounds)?;
                frame.u32(elapsed_ms)?;
            }
            Self::Work {
                work,
                counted,
                calls,
                cpu_ns,
                boot_ns,
            } => {
                frame.u64(work)?;
                frame.u8(u8::from(counted))?;
                frame.u64(calls)?;
                frame.u64(cpu_ns)?;
                frame.u64(boot_ns)?;
            }
            Self::Calls { calls } => frame.u64(calls)?,
            Self::Captured { calls } => frame.bytes(calls)?,
            Self::Done => {}
            Self::Refused(reason) => frame.u8(reason as u8)?,
        }
        frame.finish()
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Hello(_) => KIND_HELLO,
            Self::Functions { .. } => KIND_FUNCTIONS,
            Self::Blob { .. } => KIND_BLOB,
            Self::Loaded { .. } => KIND_LOAD,
            Self::Switched { .. } => KIND_SWITCH,
            Self::Storm { .. } => KIND_STORM,
            Self::Work { .. } => KIND_WORK,
            Self::Calls { .. } => KIND_CALLS,
            Self::Captured { .. } => KIND_CAPTURE,
            Self::Done => KIND_DONE,
            Self::Refused(_) => KIND_REFUSED,
        }
    }
}

impl<'a> Hello<'a> {
    fn read(fields: &mut Fields<'a>) -> Result<Self, MessageError> {
        Ok(Self {
            process: fields.u32()?,
            helper_thread: fields.u32()?,
            functions: fields.u32()?,
            reason: fields.reason()?,
            load_bias: fields.u64()?,
            build_id: fields.short_bytes()?,
            executable: fields.text()?,
        })
    }

    fn write(&self, frame: &mut FrameWriter<'_>) -> Result<(), MessageError> {
        frame.u32(self.process)?;
        frame.u32(self.helper_thread)?;
        frame.u32(self.functions)?;
        frame.u8(self.reason as u8)?;
        frame.u64(self.load_bias)?;
        frame.short_bytes(self.build_id)?;
        frame.text(self.executable)
    }
}

/// An encoded part of the list of functions; iterating decodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionList<'a> {
    bytes: &'a [u8],
}

impl<'a> FunctionList<'a> {
    /// The entries written by a [`FunctionListWriter`].
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Decodes one entry after another; ends after the first malformed one.
    pub fn iter(&self) -> FunctionEntries<'a> {
        FunctionEntries {
            fields: Fields { bytes: self.bytes },
        }
    }
}

impl<'a> IntoIterator for &FunctionList<'a> {
    type Item = Result<FunctionEntry<'a>, MessageError>;
    type IntoIter = FunctionEntries<'a>;

    fn into_iter(self) -> FunctionEntries<'a> {
        self.iter()
    }
}

/// Iterator of [`FunctionList`].
#[derive(Clone, Debug)]
pub struct FunctionEntries<'a> {
    fields: Fields<'a>,
}

impl<'a> Iterator for FunctionEntries<'a> {
    type Item = Result<FunctionEntry<'a>, MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fields.bytes.is_empty() {
            return None;
        }
        let entry = FunctionEntry::read(&mut self.fields);
        if entry.is_err() {
            self.fields.bytes = &[];
        }
        Some(entry)
    }
}

impl<'a> FunctionEntry<'a> {
    fn read(fields: &mut Fields<'a>) -> Result<Self, MessageError> {
        Ok(Self {
            hash: FunctionHash(fields.array()?),
            address: fields.u64()?,
            code_bytes: fields.u32()?,
            blob_bytes: fields.u32()?,
            arguments: ArgumentLayout(fields.u32()?),
            scenario: fields.scenario()?,
            loaded: fields.u8()?,
            reason: fields.reason()?,
            name: fields.text()?,
        })
    }
}

/// Fills a buffer with entries, whole ones only.
#[derive(Debug)]
pub struct FunctionListWriter<'b> {
    writer: Writer<'b>,
}

impl<'b> FunctionListWriter<'b> {
    /// Writes into `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            writer: Writer { buffer, length: 0 },
        }
    }

    /// Appends an entry; `false`, and nothing appended, if it does not fit.
    pub fn push(&mut self, entry: &FunctionEntry<'_>) -> bool {
        let before = self.writer.length;
        let fits = self.write(entry).is_ok();
        if !fits {
            self.writer.length = before;
        }
        fits
    }

    /// Bytes written.
    pub fn written_bytes(&self) -> usize {
        self.writer.length
    }

    fn write(&mut self, entry: &FunctionEntry<'_>) -> Result<(), MessageError> {
        self.writer.bytes(&entry.hash.0)?;
        self.writer.bytes(&entry.address.to_le_bytes())?;
        self.writer.bytes(&entry.code_bytes.to_le_bytes())?;
        self.writer.bytes(&entry.blob_bytes.to_le_bytes())?;
        self.writer.bytes(&entry.arguments.0.to_le_bytes())?;
        self.writer
            .bytes(&[entry.scenario as u8, entry.loaded, entry.reason as u8])?;
        self.writer.text(entry.name)
    }
}

/// Cuts a text to [`TEXT_LIMIT_BYTES`] at a character boundary.
pub fn cut_text(text: &str) -> &str {
    let mut end = text.len().min(TEXT_LIMIT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

/// Writes a frame around a body that this crate does not read ([`KIND_CLIENT`] and its reply).
///
/// # Errors
/// [`MessageError::BufferFull`] and [`MessageError::TooLong`].
pub fn encode_opaque(kind: u16, body: &[u8], buffer: &mut [u8]) -> Result<usize, MessageError> {
    let mut frame = FrameWriter::new(buffer, kind)?;
    frame.bytes(body)?;
    frame.finish()
}

//! The daemon's end of one runtime's control socket.
//!
//! Why so: one request at a time, each answered or timed out; while waiting for a slow answer the session sends
//! heartbeats, so that the runtime knows that somebody still wants what is switched.
//!
//! Not here: who may command whom, and what is loaded where.

use crate::VariantsError;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tidegate_format::FunctionHash;
use tidegate_format::arguments::ArgumentLayout;
use tidegate_format::message::{
    ALL_FUNCTIONS, CAPTURE_CALLS, CAPTURE_WORDS, HEADER_BYTES, Header, MessageError, Reason, Reply, Request,
};
use tidegate_format::scenario::Scenario;

/// The runtime puts the base back after 1.5 s of silence; three heartbeats fit in.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// A runtime that takes longer for anything but a storm is not waited for.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// A new connection introduces itself within this.
const HELLO_LIMIT: Duration = Duration::from_secs(1);
/// More functions than any executable has slots.
const FUNCTION_LIMIT: usize = 65_536;
/// The longest blob that is accepted from a process.
const BLOB_LIMIT_BYTES: u32 = 64 * 1024 * 1024;

/// Who is at the other end, by the kernel's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process.
    pub process: u32,
    /// User.
    pub user: u32,
    /// Group.
    pub group: u32,
}

/// How a process introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Process, user and group, by the socket's credentials.
    pub peer: Peer,
    /// The helper thread, as numbered inside the process's namespace.
    pub helper_thread: u32,
    /// How many functions have slots.
    pub functions: u32,
    /// Whether anything can be switched.
    pub reason: Reason,
    /// Where the executable was loaded less where it was linked.
    pub load_bias: u64,
    /// The GNU build id, empty if there is none.
    pub build_id: Vec<u8>,
    /// The executable's path, as the process sees it.
    pub executable: String,
}

/// One function of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Index in the process's list.
    pub index: u32,
    /// Its linker name.
    pub name: String,
    /// Identity of its blob.
    pub hash: FunctionHash,
    /// Address of its base code in the process.
    pub address: u64,
    /// Length of its blob.
    pub blob_bytes: u32,
    /// Where its arguments travel.
    pub arguments: ArgumentLayout,
    /// What its slot leads to.
    pub current: Scenario,
    /// What is loaded for it.
    pub loaded: Vec<Scenario>,
    /// Why it is not switchable; [`Reason::None`] if it is.
    pub reason: Reason,
}

/// A loaded image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Address of its entry.
    pub address: u64,
    /// From the first check to the sealed mapping.
    pub load_ns: u64,
    /// Code area in use in the process.
    pub used_bytes: u64,
}

/// What a storm did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StormReport {
    /// Functions that took part.
    pub functions: u32,
    /// Slot stores.
    pub switches: u64,
    /// Slots that did not hold what was stored.
    pub failures: u64,
    /// How often every function went through all that is loaded for it and back to the base.
    pub rounds: u64,
    /// How long it took.
    pub elapsed_ms: u32,
}

impl StormReport {
    /// Adds a later part of the same storm.
    pub fn add(&mut self, part: &Self) {
        self.functions = self.functions.max(part.functions);
        self.switches += part.switches;
        self.failures += part.failures;
        self.rounds += part.rounds;
        self.elapsed_ms += part.elapsed_ms;
    }
}

/// Counters and clocks of a process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkReading {
    /// The sum of `TIDEGATE_WORK`; `None` if the program never counted.
    pub work: Option<u64>,
    /// The sum of counted calls.
    pub calls: u64,
    /// CPU time of the process less that of the helper thread.
    pub cpu_ns: u64,
    /// The boot clock.
    pub boot_ns: u64,
}

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    /// Which message.
    pub kind: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// Reads one frame within `limit`, however slowly its bytes come.
///
/// # Errors
/// [`VariantsError::Socket`] (also on a timeout) and [`VariantsError::Message`].
pub fn read_frame(stream: &UnixStream, process: u32, limit: Duration) -> Result<Frame, VariantsError> {
    let end = Instant::now() + limit;
    let socket = |source| VariantsError::Socket { process, source };
    let mut header = [0; HEADER_BYTES];
    fill_until(stream, &mut header, end).map_err(socket)?;
    let header = Header::decode(header).map_err(|source| VariantsError::Message { process, source })?;
    let mut body = vec![0; header.body_bytes];
    fill_until(stream, &mut body, end).map_err(socket)?;
    Ok(Frame {
        kind: header.kind,
        body,
    })
}

fn fill_until(mut stream: &UnixStream, buffer: &mut [u8], end: Instant) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Process, user and group at the other end.
///
/// # Errors
/// [`VariantsError::Socket`].
pub fn peer_of(stream: &UnixStream) -> Result<Peer, VariantsError> {
    let credentials =
        rustix::net::sockopt::socket_peercred(stream).map_err(|error| VariantsError::Socket {
            process: 0,
            source: error.into(),
        })?;
    Ok(Peer {
        process: credentials.pid.as_raw_nonzero().get().unsigned_abs(),
        user: credentials.uid.as_raw(),
        group: credentials.gid.as_raw(),
    })
}

/// One connected runtime.
#[derive(Debug)]
pub struct Session {
    stream: UnixStream,
    info: ProcessInfo,
    buffer: Vec<u8>,
}

impl Session {
    /// Waits for the introduction on a fresh connection.
    ///
    /// # Errors
    /// [`VariantsError::Socket`], [`VariantsError::Message`], [`VariantsError::Answer`].
    pub fn accept(stream: UnixStream) -> Result<Self, VariantsError> {
        let peer = peer_of(&stream)?;
        let frame = read_frame(&stream, peer.process, HELLO_LIMIT)?;
        Self::from_hello(stream, peer, &frame)
    }

    /// As [`accept`](Self::accept), where the first frame was read already.
    ///
    /// # Errors
    /// [`VariantsError::Message`], [`VariantsError::Answer`].
    pub fn from_hello(stream: UnixStream, peer: Peer, frame: &Frame) -> Result<Self, VariantsError> {
        let process = peer.process;
        let reply = Reply::decode(frame.kind, &frame.body);
        let Reply::Hello(hello) = reply.map_err(|source| VariantsError::Message { process, source })? else {
            return Err(VariantsError::Answer {
                process,
                request: "hello",
            });
        };
        let info = ProcessInfo {
            peer,
            helper_thread: hello.helper_thread,
            functions: hello.functions,
            reason: hello.reason,
            load_bias: hello.load_bias,
            build_id: hello.build_id.to_vec(),
            executable: hello.executable.to_owned(),
        };
        Ok(Self {
            stream,
            info,
            buffer: Vec::new(),
        })
    }

    /// How the process introduced itself.
    pub fn info(&self) -> &ProcessInfo {
        &self.info
    }

    /// All functions.
    ///
    /// # Errors
    /// Those of the socket and the protocol.
    pub fn functions(&mut self) -> Result<Vec<FunctionInfo>, VariantsError> {
        let mut functions: Vec<FunctionInfo> = Vec::new();
        loop {
            let first = functions.len() as u32;
            let (total, mut part) =
                self.ask("functions", &Request::Functions { first }, |reply| match reply {
                    Reply::Functions {
                        total,
                        first: found,
                        list,
                    } if *found == first => Some((*total as usize, function_infos(first, *list))),
                    _ => None,
                })?;
            if part.is_empty() || functions.len() >= total.min(FUNCTION_LIMIT) {
                return Ok(functions);
            }
            functions.append(&mut part);
        }
    }

    /// The blob of a function, as it lies in the process.
    ///
    /// # Errors
    /// Those of the socket and the protocol; [`VariantsError::Refused`].
    pub fn blob(&mut self, function: u32) -> Result<Vec<u8>, VariantsError> {
        let mut blob = Vec::new();
        loop {
            let offset = blob.len() as u32;
            let request = Request::Blob { function, offset };
            let (total, part) = self.ask("blob", &request, |reply| match reply {
                Reply::Blob { total_bytes, bytes } => Some((*total_bytes, bytes.to_vec())),
                _ => None,
            })?;
            let is_empty = part.is_empty();
            blob.extend(part);
            if is_empty || blob.len() >= total.min(BLOB_LIMIT_BYTES) as usize {
                return Ok(blob);
            }
        }
    }

    /// Loads an image for one function.
    ///
    /// # Errors
    /// Those of the socket and the protocol; [`VariantsError::Refused`].
    pub fn load(&mut self, function: u32, scenario: Scenario, image: &[u8]) -> Result<Loaded, VariantsError> {
        self.ask(
            "load",
            &Request::Load {
                function,
                scenario,
                image,
            },
            |reply| match *reply {
                Reply::Loaded {
                    address,
                    load_ns,
                    used_bytes,
                } => Some(Loaded {
                    address,
                    load_ns,
                    used_bytes,
                }),
                _ => None,
            },
        )
    }

    /// Leads one function, or (`None`) all that have it loaded, to `scenario`. Gives the number of slots and the
    /// nanoseconds for all of them.
    ///
    /// # Errors
    /// Those of the socket and the protocol; [`VariantsError::Refused`].
    pub fn switch(&mut self, function: Option<u32>, scenario: Scenario) -> Result<(u32, u64), VariantsError> {
        let function = function.unwrap_or(ALL_FUNCTIONS);
        self.ask(
            "switch",
            &Request::Switch { function, scenario },
            |reply| match *reply {
                Reply::Switched { functions, switch_ns } => Some((functions, switch_ns)),
                _ => None,
            },
        )
    }

    /// Switches everything that is loaded back and forth, with a pause between two rounds.
    ///
    /// # Errors
    /// Those of the socket and the protocol; [`VariantsError::Refused`].
    pub fn storm(&mut self, duration: Duration, pause: Duration) -> Result<StormReport, VariantsError> {
        let duration_ms = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let request = Request::Storm {
            duration_ms,
            pause_us: pause.as_micros() as u32,
        };
        self.ask_within("storm", &request, duration + ANSWER_LIMIT, |reply| match *reply {
            Reply::Storm {
                functions,
                switches,
                failures,
                rounds,
                elapsed_ms,
            } => Some(StormReport {
                functions,
                switches,
                failures,
                rounds,
                elapsed_ms,
            }),
            _ => None,
        })
    }

    /// Reads counters and clocks.
    ///
    /// # Errors
    /// Those of the socket and the protocol.
    pub fn work(&mut self) -> Result<WorkReading, VariantsError> {
        self.ask("work", &Request::Work, |reply| match *reply {
            Reply::Work {
                work,
                counted,
                calls,
                cpu_ns,
                boot_ns,
            } => Some(WorkReading {
                work: counted.then_some(work),
                calls,
                cpu_ns,
                boot_ns,
            }),
            _ => None,
        })
    }

    /// Starts or stops counting the calls of one function, or (`None`) of all.
    ///
    /// # Errors
    /// Those of the socket and the protocol; [`VariantsError::Refused`].
    pub fn count(&mut self, function: Option<u32>, enabled: bool) -> Result<(), VariantsError> {
        let function = function.unwrap_or(ALL_FUNCTIONS);
        self.ask("count", &Request::Count { function, enabled }, done)
    }

    /// Calls of one function since counting began.
    ///
    /// # Errors
    /// Those of the socket and the protocol; [`VariantsError::Refused`].
    pub fn calls(&mut self, function: u32) -> Result<u64, VariantsError> {
        self.ask("calls", &Request::Calls { function }, |reply| match *reply {
            Reply::Calls { calls } => Some(calls),
            _ => None,
        })
    }

    /// Starts to note the arguments of the next calls of one function.
    ///
    /// # Errors
    /// Those of the socket and the protocol; [`VariantsError::Refused`].
    pub fn arm_capture(&mut self, function: u32) -> Result<(), VariantsError> {
        let request = Request::Capture {
            function,
            armed: true,
        };
        self.ask("capture", &request, done)
    }

    /// Stops it and gives what was noted.
    ///
    /// # Errors
    /// Those of the socket and the protocol; [`VariantsError::Refused`].
    pub fn take_capture(&mut self, function: u32) -> Result<Vec<Arguments>, VariantsError> {
        let request = Request::Capture {
            function,
            armed: false,
        };
        self.ask("capture", &request, |reply| match reply {
            Reply::Captured { calls } => Some(arguments_of(calls)),
            _ => None,
        })
    }

    /// Every slot back to the base.
    ///
    /// # Errors
    /// Those of the socket and the protocol.
    pub fn release(&mut self) -> Result<(), VariantsError> {
        self.ask("release", &Request::Release, done)
    }

    /// Says that the daemon lives, between two requests. Does not wait: whoever has read nothing for so long that no room
    /// is left must not hold up the heartbeats of others.
    ///
    /// # Errors
    /// Those of the socket, `WouldBlock` among them.
    pub fn heartbeat(&mut self) -> Result<(), VariantsError> {
        use rustix::net::{SendFlags, send};
        let process = self.info.peer.process;
        let length = self.encode(&Request::Heartbeat)?;
        let bytes = self.buffer.get(..length).unwrap_or(&[]);
        let sent = send(&self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        let source = match sent {
            Ok(count) if count == length => return Ok(()),
            Ok(_) => io::ErrorKind::WouldBlock.into(),
            Err(error) => error.into(),
        };
        Err(VariantsError::Socket { process, source })
    }

    /// Whether the process closed its end, or sent something that nobody asked for.
    pub fn is_closed(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&now)) != Ok(0)
    }

    fn ask<Out>(
        &mut self,
        name: &'static str,
        request: &Request<'_>,
        pick: impl Fn(&Reply<'_>) -> Option<Out>,
    ) -> Result<Out, VariantsError> {
        self.ask_within(name, request, ANSWER_LIMIT, pick)
    }

    fn ask_within<Out>(
        &mut self,
        name: &'static str,
        request: &Request<'_>,
        limit: Duration,
        pick: impl Fn(&Reply<'_>) -> Option<Out>,
    ) -> Result<Out, VariantsError> {
        self.send(request)?;
        self.wait_for_answer(limit)?;
        let process = self.info.peer.process;
        let frame = read_frame(&self.stream, process, ANSWER_LIMIT)?;
        let reply = Reply::decode(frame.kind, &frame.body);
        let reply = reply.map_err(|source| VariantsError::Message { process, source })?;
        if let Reply::Refused(reason) = reply {
            return Err(VariantsError::Refused { process, reason });
        }
        pick(&reply).ok_or(VariantsError::Answer {
            process,
            request: name,
        })
    }

    fn send(&mut self, request: &Request<'_>) -> Result<(), VariantsError> {
        let process = self.info.peer.process;
        let length = self.encode(request)?;
        let bytes = self.buffer.get(..length).unwrap_or(&[]);
        let sent = self
            .stream
            .set_write_timeout(Some(ANSWER_LIMIT))
            .and_then(|()| self.stream.write_all(bytes));
        sent.map_err(|source| VariantsError::Socket { process, source })
    }

    /// Puts the request into the buffer; gives its length.
    fn encode(&mut self, request: &Request<'_>) -> Result<usize, VariantsError> {
        let process = self.info.peer.process;
        self.buffer.resize(request.encoded_bytes(), 0);
        let length = request.encode(&mut self.buffer);
        length.map_err(|source| VariantsError::Message { process, source })
    }

    /// Waits until something can be read, with heartbeats in between.
    fn wait_for_answer(&mut self, limit: Duration) -> Result<(), VariantsError> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let process = self.info.peer.process;
        let socket = |source: io::Error| VariantsError::Socket { process, source };
        let end = Instant::now() + limit;
        let interval = Timespec {
            tv_sec: 0,
            tv_nsec: HEARTBEAT_INTERVAL.as_nanos() as i64,
        };
        loop {
            let ready = poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&interval));
            match ready {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(socket(error.into())),
            }
            if Instant::now() >= end {
                return Err(socket(io::ErrorKind::TimedOut.into()));
            }
            // Behind a long request there may be no room yet.
            self.send(&Request::Heartbeat)?;
        }
    }
}

/// The registers that the arguments of one call travel in: rdi, rsi, rdx, rcx, r8, r9, the low halves of xmm0 to xmm7.
pub type Arguments = [u64; CAPTURE_WORDS];

fn arguments_of(calls: &[u8]) -> Vec<Arguments> {
    let calls = calls.chunks_exact(8 * CAPTURE_WORDS).take(CAPTURE_CALLS);
    let words = calls.map(|call| {
        let mut words = [0; CAPTURE_WORDS];
        for (word, bytes) in words.iter_mut().zip(call.chunks_exact(8)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        words
    });
    words.collect()
}

fn done(reply: &Reply<'_>) -> Option<()> {
    matches!(reply, Reply::Done).then_some(())
}

fn function_infos(first: u32, list: tidegate_format::message::FunctionList<'_>) -> Vec<FunctionInfo> {
    let entries = list.iter().map_while(Result::<_, MessageError>::ok).zip(first..);
    let infos = entries.map(|(entry, index)| FunctionInfo {
        index,
        name: entry.name.to_owned(),
        hash: entry.hash,
        address: entry.address,
        blob_bytes: entry.blob_bytes,
        arguments: entry.arguments,
        current: entry.scenario,
        loaded: Scenario::ALL
            .into_iter()
            .filter(|scenario| entry.loaded >> scenario.number() & 1 == 1)
            .collect(),
        reason: entry.reason,
    });
    infos.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_format::message::Hello;

    #[test]
    fn a_heartbeat_does_not_wait_for_who_reads_nothing() {
        let (here, there) = UnixStream::pair().unwrap();
        let hello = Reply::Hello(Hello {
            process: std::process::id(),
            helper_thread: 0,
            functions: 0,
            reason: Reason::None,
            load_bias: 0,
            build_id: &[],
            executable: "app",
        });
        let mut bytes = vec![0; 1024];
        let length = hello.encode(&mut bytes).unwrap();
        (&there).write_all(&bytes[..length]).unwrap();
        let mut session = Session::accept(here).unwrap();
        session.heartbeat().unwrap();
        // Nobody has set a limit: had it waited, it would wait still.
        while session.heartbeat().is_ok() {}
        assert_eq!(session.stream.write_timeout().unwrap(), None);
    }
}

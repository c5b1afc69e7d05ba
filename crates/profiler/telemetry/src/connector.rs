//! Process events of the kernel (netlink, `CONFIG_PROC_EVENTS`): which processes came, changed or went.
//!
//! They spare most of the sweeps of /proc, and show processes between two of them. They need root in the
//! first user and process namespace; without it the sweep's interval is what a newcomer waits.
//! Threads are ignored. When the kernel had to drop events, the caller is told to sweep.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::{CONNECTOR, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::collections::BTreeSet;

const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const PROC_CN_MCAST_LISTEN: u32 = 1;
const NLMSG_DONE: u16 = 3;
const HEADER_BYTES: usize = 16;
const CONNECTOR_BYTES: usize = 20;
/// `what`, `cpu` and the timestamp before the data of an event.
const EVENT_BYTES: usize = 16;
const RECEIVE_BYTES: usize = 16 * 1024;

/// Enough for some 20,000 forks between two looks.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Messages taken in one look; a fork storm must not hold up the sample. What is left makes a sweep.
const MOST_MESSAGES: usize = 50_000;

const FORK: u32 = 1;
const EXEC: u32 = 2;
const USER: u32 = 4;
const EXIT: u32 = 0x8000_0000;

/// What happened to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProcessEvent {
    Changed(u32),
    Went(u32),
}

/// What one look at the socket said.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Came or changed; to be read from /proc.
    pub(crate) changed: BTreeSet<u32>,
    /// Went.
    pub(crate) went: Vec<u32>,
    /// Events were lost: sweep.
    pub(crate) lost: bool,
    /// Processes that came and went between two looks.
    pub(crate) short_lived: usize,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct ProcessEvents {
    socket: OwnedFd,
    buffer: Vec<u8>,
    pub(crate) seen: Seen,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// One netlink message from its header on; `None` for what is not a whole process's event.
fn parse(message: &[u8]) -> Option<ProcessEvent> {
    let connector = message.get(HEADER_BYTES..)?;
    if (word(connector, 0)?, word(connector, 4)?) != (CN_IDX_PROC, CN_VAL_PROC) {
        return None;
    }
    let event = connector.get(CONNECTOR_BYTES..)?;
    let data = event.get(EVENT_BYTES..)?;
    let (thread, process) = (word(data, 0)?, word(data, 4)?);
    match word(event, 0)? {
        FORK => {
            let (child_thread, child) = (word(data, 8)?, word(data, 12)?);
            (child_thread == child).then_some(ProcessEvent::Changed(child))
        }
        EXEC | USER => Some(ProcessEvent::Changed(process)),
        EXIT => (thread == process).then_some(ProcessEvent::Went(process)),
        _ => None,
    }
}

fn subscription() -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_BYTES + CONNECTOR_BYTES + 4);
    let length = (HEADER_BYTES + CONNECTOR_BYTES + 4) as u32;
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&NLMSG_DONE.to_ne_bytes());
    message.extend_from_slice(&[0; 2]);
    message.extend_from_slice(&0_u32.to_ne_bytes());
    message.extend_from_slice(&std::process::id().to_ne_bytes());
    for part in [CN_IDX_PROC, CN_VAL_PROC, 0, 0] {
        message.extend_from_slice(&part.to_ne_bytes());
    }
    message.extend_from_slice(&4_u16.to_ne_bytes());
    message.extend_from_slice(&[0; 2]);
    message.extend_from_slice(&PROC_CN_MCAST_LISTEN.to_ne_bytes());
    message
}

impl ProcessEvents {
    /// Subscribes; the error says why the kernel does not offer it.
    pub(crate) fn subscribe() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(CONNECTOR))?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, CN_IDX_PROC))?;
        // Only a bigger buffer is lost where this is refused.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER_BYTES);
        rustix::net::send(&socket, &subscription(), SendFlags::empty())?;
        Ok(Self {
            socket,
            buffer: vec![0; RECEIVE_BYTES],
            seen: Seen::default(),
        })
    }

    /// Takes all waiting events into `seen`.
    pub(crate) fn drain(&mut self) {
        for _ in 0..MOST_MESSAGES {
            match rustix::net::recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((got, _)) if got > 0 => self.take(got),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => self.seen.lost = true,
                _ => return,
            }
        }
        self.seen.lost = true;
    }

    fn take(&mut self, got: usize) {
        let mut rest = &self.buffer[..got.min(self.buffer.len())];
        while let Some(length) = word(rest, 0).map(|length| length as usize) {
            let Some(message) = rest.get(..length).filter(|_| length >= HEADER_BYTES) else {
                return;
            };
            match parse(message) {
                Some(ProcessEvent::Changed(pid)) => _ = self.seen.changed.insert(pid),
                Some(ProcessEvent::Went(pid)) => {
                    self.seen.short_lived += usize::from(self.seen.changed.remove(&pid));
                    self.seen.went.push(pid);
                }
                None => {}
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(what: u32, data: &[u32]) -> Vec<u8> {
        let mut bytes = subscription();
        bytes.truncate(HEADER_BYTES + CONNECTOR_BYTES);
        for part in [what, 0, 0, 0].iter().chain(data) {
            bytes.extend_from_slice(&part.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn whole_processes_count_and_threads_do_not() {
        assert_eq!(
            parse(&message(FORK, &[1, 1, 42, 42])),
            Some(ProcessEvent::Changed(42))
        );
        assert_eq!(parse(&message(FORK, &[1, 1, 43, 42])), None);
        assert_eq!(parse(&message(EXEC, &[42, 42])), Some(ProcessEvent::Changed(42)));
        assert_eq!(
            parse(&message(EXIT, &[42, 42, 0, 17])),
            Some(ProcessEvent::Went(42))
        );
        assert_eq!(parse(&message(EXIT, &[43, 42, 0, 17])), None);
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
        }
    }
}

//! Asking the kernel for its socket tables (netlink `sock_diag`): the conversation, without what the records mean.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::SOCK_DIAG;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

pub(crate) const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// A request for all records.
const DUMP: u16 = 0x301;
pub(crate) const HEADER_BYTES: usize = 16;
const RECEIVE_BYTES: usize = 32 * 1024;
/// Replies taken in one look; a table that grows while it is read must end.
const MOST_REPLIES: usize = 20_000;

/// A socket to the tables.
#[derive(Debug)]
pub(crate) struct Tables {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

pub(crate) fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<[u8; BYTES]> {
    bytes.get(at..at + BYTES)?.try_into().ok()
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_ne_bytes)
}

pub(crate) fn half(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_ne_bytes)
}

pub(crate) fn short(bytes: &[u8], at: usize) -> Option<u16> {
    number(bytes, at).map(u16::from_ne_bytes)
}

/// The attributes after the fixed part of a record: kind and value.
pub(crate) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, kind) = (usize::from(short(rest, 0)?), short(rest, 2)?);
        let value = rest.get(4..length.max(4))?;
        rest = rest.get(length.max(4).next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

impl Tables {
    /// Opens the socket.
    pub(crate) fn open() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG))?;
        Ok(Self {
            socket,
            buffer: vec![0; RECEIVE_BYTES],
            sequence: 0,
        })
    }

    /// Asks for all records that match `body` (the request after its netlink header) and hands each to `each`,
    /// without its header. What is left of an earlier answer is passed over.
    pub(crate) fn dump<const BODY: usize>(
        &mut self,
        body: [u8; BODY],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = HEADER_BYTES + BODY;
        let mut request = [0; 128];
        request[0..4].copy_from_slice(&(length as u32).to_ne_bytes());
        request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
        request[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        request[HEADER_BYTES..length].copy_from_slice(&body);
        rustix::net::send(&self.socket, &request[..length], SendFlags::empty())?;
        for _ in 0..MOST_REPLIES {
            let (got, _) = rustix::net::recv(&self.socket, &mut *self.buffer, RecvFlags::empty())?;
            let mut rest = self.buffer.get(..got).unwrap_or_default();
            while let (Some(length), Some(kind)) = (half(rest, 0), short(rest, 4)) {
                let length = length as usize;
                let Some(record) = rest.get(HEADER_BYTES..length) else {
                    return Err(Errno::BADMSG);
                };
                match kind {
                    _ if half(rest, 8) != Some(self.sequence) => {}
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(Errno::OPNOTSUPP),
                    _ => each(record),
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
        Err(Errno::OVERFLOW)
    }
}

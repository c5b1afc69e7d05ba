//! The control socket inside the app: guarded against being somebody else's by now, and never blocking for good.
//!
//! Why so: the app may close all descriptors and reuse their numbers, so the number is moved above 512 and its
//! device and inode are compared before each use. A daemon that stands still must not leave variants in
//! place, so every wait has a limit, after which the caller puts the base back.
//!
//! Not here: what the messages do.

use crate::sys::{self, Descriptor, EAGAIN, Readiness};
use tidegate_format::message::{HEADER_BYTES, Header};

/// Programs that number their descriptors rarely go beyond this.
const LOWEST_DESCRIPTOR: usize = 512;
/// With something switched, a daemon that is silent for so long counts as dead. It sends a heartbeat every
/// 500 ms; the promise is two seconds.
pub const SILENCE_LIMIT_MS: u32 = 1500;
/// With nothing switched, how often the helper looks around by itself.
const IDLE_LOOK_MS: u32 = 5000;

/// The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// A connected socket.
#[derive(Debug)]
pub struct Connection {
    descriptor: Descriptor,
    identity: (u64, u64),
}

impl Connection {
    /// Connects to the daemon at `path`, if one accepts there that may command us: root, or our own user.
    pub fn open(path: &[u8]) -> Option<Self> {
        let low = sys::connect_unix(path).ok()?;
        let trusted = sys::peer_user(low).is_ok_and(|user| user == 0 || user == sys::effective_user());
        if !trusted {
            sys::close(low);
            return None;
        }
        let descriptor = match sys::duplicate_above(low, LOWEST_DESCRIPTOR) {
            Ok(high) => {
                sys::close(low);
                high
            }
            // The limit of open files is below 512: stay where it is.
            Err(_) => low,
        };
        let identity = sys::identity(descriptor).ok()?;
        Some(Self { descriptor, identity })
    }

    /// As three numbers, descriptor first (never 0: that is the standard input).
    pub fn to_words(&self) -> [u64; 3] {
        [self.descriptor as u64, self.identity.0, self.identity.1]
    }

    /// Back from [`to_words`](Self::to_words).
    pub fn from_words([descriptor, device, inode]: [u64; 3]) -> Option<Self> {
        let descriptor = Descriptor::try_from(descriptor)
            .ok()
            .filter(|descriptor| *descriptor > 0)?;
        Some(Self {
            descriptor,
            identity: (device, inode),
        })
    }

    fn check(&self) -> Result<Descriptor, Lost> {
        let same = sys::identity(self.descriptor) == Ok(self.identity);
        if same { Ok(self.descriptor) } else { Err(Lost) }
    }

    /// Closes the socket unless the number is another's by now.
    pub fn close(&self) {
        if let Ok(descriptor) = self.check() {
            sys::close(descriptor);
        }
    }

    /// Whether the daemon has closed its end.
    pub fn is_closed(&self) -> bool {
        self.check().map_or(true, sys::is_closed)
    }

    /// Bytes that the daemon sent and that were not read yet.
    pub fn pending_bytes(&self) -> usize {
        self.check()
            .ok()
            .and_then(|descriptor| sys::pending_bytes(descriptor).ok())
            .unwrap_or(0)
    }

    /// Waits for bytes; calls `silent` each time the limit passes, which answers whether anything is switched
    /// still (then the short limit holds) or that the connection shall end.
    ///
    /// # Errors
    /// [`Lost`].
    pub fn wait(&self, silent: &mut impl FnMut(bool) -> Result<bool, Lost>) -> Result<(), Lost> {
        let mut touched = silent(false)?;
        loop {
            let limit = if touched { SILENCE_LIMIT_MS } else { IDLE_LOOK_MS };
            let ready = sys::wait(self.check()?, Readiness::Readable, limit).map_err(|_| Lost)?;
            if ready {
                return Ok(());
            }
            touched = silent(true)?;
        }
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// [`Lost`] at the end of the stream or on any error.
    pub fn fill(
        &self,
        buffer: &mut [u8],
        silent: &mut impl FnMut(bool) -> Result<bool, Lost>,
    ) -> Result<(), Lost> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match sys::read(self.check()?, rest) {
                Ok(0) => return Err(Lost),
                Ok(count) => filled += count,
                Err(EAGAIN) => self.wait(silent)?,
                Err(_) => return Err(Lost),
            }
        }
        Ok(())
    }

    /// Reads and checks a header.
    ///
    /// # Errors
    /// [`Lost`], also for another version of the protocol: whoever speaks it would not understand a refusal.
    pub fn header(&self, silent: &mut impl FnMut(bool) -> Result<bool, Lost>) -> Result<Header, Lost> {
        let mut bytes = [0; HEADER_BYTES];
        self.fill(&mut bytes, silent)?;
        Header::decode(bytes).map_err(|_| Lost)
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// [`Lost`], also when the daemon takes nothing for [`SILENCE_LIMIT_MS`].
    pub fn send(&self, bytes: &[u8]) -> Result<(), Lost> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            let descriptor = self.check()?;
            match sys::send(descriptor, rest) {
                Ok(count) => sent += count,
                Err(EAGAIN) if sys::wait(descriptor, Readiness::Writable, SILENCE_LIMIT_MS) == Ok(true) => {}
                Err(_) => return Err(Lost),
            }
        }
        Ok(())
    }
}

//! Network per app, from the kernel's socket statistics (netlink `sock_diag`).
//!
//! Every TCP connection tells its bytes and the v2 group that opened it; the increase of each since the
//! look before belongs to that group's app. Nothing is attached and no right is needed. It is a
//! lower bound: a connection that opens and closes between two looks is not seen, UDP has no byte
//! counts, and other network namespaces have socket tables of their own, so apps there are not measured.
//! Loopback is left out, since it is no interface's traffic.

use crate::netlink::{Tables, attributes, number, word};
use rustix::io::Errno;
use std::collections::HashMap;
use tidegate_types::BootTime;

const PROTOCOL_TCP: u8 = 6;
const FAMILIES: [u8; 2] = [2, 10];
/// Ask for the TCP information.
const WITH_INFO: u8 = 1 << (ATTRIBUTE_INFO - 1);
const ATTRIBUTE_INFO: u16 = 2;
const ATTRIBUTE_GROUP: u16 = 21;
/// Connections that carry or carried data: not listening, not half open, not waiting out their time.
const STATES: u32 = (1 << 1) | (1 << 2) | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 11);
/// Bytes of a request after its header, and of a record before its attributes.
const REQUEST_BYTES: usize = 56;
const RECORD_BYTES: usize = 72;
/// Offsets in the kernel's TCP information, which only ever grows at its end.
const INFO_ACKED: usize = 120;
const INFO_RECEIVED: usize = 128;
const INFO_SENT: usize = 200;

/// With more connections than this, tables are read less often, so that their cost per second is bounded.
const CONNECTIONS_PER_LOOK: usize = 4096;

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    cookie: u64,
    group: u64,
    sent: u64,
    received: u64,
    loopback: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    sent: u64,
    received: u64,
    look: u64,
}

/// Bytes of one group since the look before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// The reader.
#[derive(Debug)]
pub(crate) struct Sockets {
    tables: Tables,
    ledger: Ledger,
    last: Option<BootTime>,
    next_look: u64,
    looks: u64,
}

/// What is known of all connections, and what each group moved since the look before. Pure.
#[derive(Debug, Default)]
struct Ledger {
    known: HashMap<u64, Known>,
    traffic: HashMap<u64, Traffic>,
    look: u64,
}

impl Ledger {
    fn begin(&mut self) {
        self.look += 1;
        self.traffic
            .values_mut()
            .for_each(|traffic| *traffic = Traffic::default());
    }

    fn take(&mut self, connection: &Connection) {
        if connection.loopback {
            return;
        }
        let known = Known {
            sent: connection.sent,
            received: connection.received,
            look: self.look,
        };
        let before = self.known.insert(connection.cookie, known);
        // One that is new since the look before moved all its bytes in between.
        let (sent, received) = match before {
            Some(before) => (before.sent, before.received),
            None if self.look > 1 => (0, 0),
            None => (connection.sent, connection.received),
        };
        let traffic = self.traffic.entry(connection.group).or_default();
        traffic.sent += connection.sent.saturating_sub(sent);
        traffic.received += connection.received.saturating_sub(received);
    }

    fn end(&mut self) {
        let look = self.look;
        self.known.retain(|_, known| known.look == look);
    }
}

fn request(family: u8) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    bytes[0] = family;
    bytes[1] = PROTOCOL_TCP;
    bytes[2] = WITH_INFO;
    bytes[4..8].copy_from_slice(&STATES.to_ne_bytes());
    bytes
}

/// Whether a connection never leaves the host: to a loopback address, or to its own.
fn is_loopback(from: [u8; 16], to: [u8; 16], family: u8) -> bool {
    const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255];
    const V6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let v4 = family == FAMILIES[0] && to[0] == 127;
    let mapped = to[..12] == MAPPED && to[12] == 127;
    v4 || mapped || to == V6 || from == to
}

/// One record after its netlink header.
fn connection(record: &[u8]) -> Option<Connection> {
    let mut found = Connection {
        cookie: word(record, 44)?,
        group: 0,
        sent: 0,
        received: 0,
        loopback: is_loopback(number(record, 8)?, number(record, 24)?, *record.first()?),
    };
    let mut has_info = false;
    for (kind, value) in attributes(record.get(RECORD_BYTES..)?) {
        match kind {
            ATTRIBUTE_INFO => {
                found.received = word(value, INFO_RECEIVED)?;
                found.sent = word(value, INFO_SENT).or_else(|| word(value, INFO_ACKED))?;
                has_info = true;
            }
            ATTRIBUTE_GROUP => found.group = word(value, 0)?,
            _ => {}
        }
    }
    (has_info && found.group != 0).then_some(found)
}

impl Sockets {
    /// Opens the socket and reads the tables once; the error says why that cannot be done.
    pub(crate) fn open() -> Result<Self, String> {
        let mut sockets = Self {
            tables: Tables::open().map_err(|errno| errno.to_string())?,
            ledger: Ledger::default(),
            last: None,
            next_look: 0,
            looks: 0,
        };
        sockets.dump().map_err(|errno| errno.to_string())?;
        Ok(sockets)
    }

    /// Connections that were seen last.
    pub(crate) fn connections(&self) -> usize {
        self.ledger.known.len()
    }

    /// Reads the tables if it is their turn: seconds since the time before, for which [`Self::traffic`] then holds.
    pub(crate) fn look(&mut self, at: BootTime) -> Option<f64> {
        self.looks += 1;
        if self.looks < self.next_look {
            return None;
        }
        self.next_look = self.looks + 1 + (self.connections() / CONNECTIONS_PER_LOOK) as u64;
        let before = self.last.replace(at);
        self.dump().ok()?;
        before
            .map(|before| at.seconds_since(before))
            .filter(|seconds| *seconds > 0.0)
    }

    /// Forgets when it last looked, so that no rate spans a gap.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// What each group moved between the last two readings.
    pub(crate) fn traffic(&self) -> impl Iterator<Item = (u64, Traffic)> {
        self.ledger
            .traffic
            .iter()
            .map(|(group, traffic)| (*group, *traffic))
    }

    fn dump(&mut self) -> Result<(), Errno> {
        self.ledger.begin();
        for family in FAMILIES {
            let ledger = &mut self.ledger;
            self.tables.dump(request(family), |record| {
                if let Some(connection) = connection(record) {
                    ledger.take(&connection);
                }
            })?;
        }
        self.ledger.end();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(family: u8, to: [u8; 4], group: u64, sent: u64, received: u64) -> Vec<u8> {
        let mut bytes = vec![0; RECORD_BYTES];
        bytes[0] = family;
        bytes[8..12].copy_from_slice(&[10, 0, 0, 1]);
        bytes[24..28].copy_from_slice(&to);
        bytes[44..52].copy_from_slice(&77_u64.to_ne_bytes());
        let mut info = vec![0; INFO_SENT + 8];
        info[INFO_RECEIVED..INFO_RECEIVED + 8].copy_from_slice(&received.to_ne_bytes());
        info[INFO_SENT..INFO_SENT + 8].copy_from_slice(&sent.to_ne_bytes());
        for (kind, value) in [
            (ATTRIBUTE_INFO, info),
            (ATTRIBUTE_GROUP, group.to_ne_bytes().to_vec()),
        ] {
            bytes.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&value);
        }
        bytes
    }

    #[test]
    fn a_record_tells_its_group_and_bytes() {
        let found = connection(&record(2, [10, 0, 0, 2], 44, 5, 6)).expect("parses");
        assert_eq!(
            (found.cookie, found.group, found.sent, found.received),
            (77, 44, 5, 6)
        );
        assert!(!found.loopback);
        for to in [[127, 0, 0, 1], [10, 0, 0, 1]] {
            assert!(
                connection(&record(2, to, 44, 5, 6)).expect("parses").loopback,
                "{to:?}"
            );
        }
        assert_eq!(
            connection(&record(2, [10, 0, 0, 2], 0, 5, 6)),
            None,
            "no group is told"
        );
    }

    #[test]
    fn the_kernel_tells_a_connection_of_our_own() {
        use std::io::{Read, Write};
        const BYTES: usize = 12_345;
        let Ok(mut tables) = Tables::open() else {
            eprintln!("SKIP sockets::the_kernel_tells_a_connection_of_our_own: no socket tables");
            return;
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let mut near =
            std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
        let (mut far, _) = listener.accept().expect("accepts");
        near.write_all(&[1; BYTES]).expect("sends");
        far.read_exact(&mut [0; BYTES]).expect("receives");
        let (mut sent, mut received) = (0, 0);
        let mut look = |connection: &Connection| {
            assert_ne!(connection.group, 0);
            if connection.loopback {
                sent += usize::from(connection.sent == BYTES as u64);
                received += usize::from(connection.received == BYTES as u64);
            }
        };
        tables
            .dump(request(FAMILIES[0]), |record| {
                connection(record).iter().for_each(&mut look);
            })
            .expect("tells");
        assert_eq!((sent, received), (1, 1));
    }

    #[test]
    fn increases_belong_to_their_group() {
        let mut ledger = Ledger::default();
        let mut look = |connections: &[(u64, u64, u64)], expect: &[(u64, u64)]| {
            ledger.begin();
            for (cookie, group, sent) in connections {
                ledger.take(&Connection {
                    cookie: *cookie,
                    group: *group,
                    sent: *sent,
                    received: 0,
                    loopback: false,
                });
            }
            ledger.end();
            let mut moved: Vec<_> = ledger
                .traffic
                .iter()
                .map(|(group, traffic)| (*group, traffic.sent))
                .collect();
            moved.sort_unstable();
            assert_eq!(moved, expect);
        };
        look(&[(1, 7, 1000), (2, 8, 50)], &[(7, 0), (8, 0)]);
        look(&[(1, 7, 1500), (2, 8, 50), (3, 7, 40)], &[(7, 540), (8, 0)]);
        look(&[(1, 7, 1500)], &[(7, 0), (8, 0)]);
        look(&[(1, 7, 1500), (2, 8, 60)], &[(7, 0), (8, 60)]);
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = connection(&bytes);
        }
    }
}

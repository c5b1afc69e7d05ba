//! The socket tables: by netlink where it is offered, else as the text of `/proc/PID/net/tcp`.

use super::peers::{Endpoints, Tcp, Unix};
use crate::netlink::{Tables, attributes, half, number};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

const PROTOCOL_TCP: u8 = 6;
const FAMILY_UNIX: u8 = 1;
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const ESTABLISHED: u8 = 1;
const LISTENING: u8 = 10;
const STATES: u32 = (1 << ESTABLISHED) | (1 << LISTENING);
const TCP_REQUEST_BYTES: usize = 56;
const UNIX_REQUEST_BYTES: usize = 24;
const UNIX_RECORD_BYTES: usize = 16;
/// Ask for the names and the peers of unix sockets.
const UNIX_SHOW: u32 = 1 | 4;
const UNIX_NAME: u16 = 0;
const UNIX_PEER: u16 = 2;

/// Netlink, where it is offered.
#[derive(Debug)]
pub(super) struct NetTables {
    netlink: Option<Tables>,
    tells_unix_peers: bool,
}

impl NetTables {
    pub(super) fn new(netlink: bool) -> Self {
        Self {
            netlink: netlink.then(|| Tables::open().ok()).flatten(),
            tells_unix_peers: false,
        }
    }

    /// Whether the last reading told the peers of unix sockets.
    #[cfg(test)]
    pub(super) fn tells_unix_peers(&self) -> bool {
        self.tells_unix_peers
    }

    /// Adds the sockets of this process's network namespace, called `network`, and all unix sockets.
    pub(super) fn read_own(&mut self, proc_root: &Path, network: u64, endpoints: &mut Endpoints) {
        let told = self
            .netlink
            .as_mut()
            .is_some_and(|tables| dump_tcp(tables, network, endpoints).is_some());
        if !told {
            read_text(&proc_root.join("self"), network, endpoints);
        }
        if let Some(tables) = &mut self.netlink {
            self.tells_unix_peers = dump_unix(tables, endpoints).is_some();
        }
    }
}

fn dump_tcp(tables: &mut Tables, network: u64, endpoints: &mut Endpoints) -> Option<()> {
    let mut found = Vec::new();
    for family in [FAMILY_V4, FAMILY_V6] {
        let mut request = [0; TCP_REQUEST_BYTES];
        request[0] = family;
        request[1] = PROTOCOL_TCP;
        request[4..8].copy_from_slice(&STATES.to_ne_bytes());
        tables
            .dump(request, |record| found.extend(tcp_record(record, network)))
            .ok()?;
    }
    endpoints.tcp.append(&mut found);
    Some(())
}

/// A kernel's `inet_diag_msg`.
fn tcp_record(record: &[u8], network: u64) -> Option<Tcp> {
    let family = *record.first()?;
    let port = |at: usize| number(record, at).map(u16::from_be_bytes);
    let address = |at: usize| {
        let bytes: [u8; 16] = number(record, at)?;
        Some(match family {
            FAMILY_V4 => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
            _ => Ipv6Addr::from(bytes).to_canonical(),
        })
    };
    Some(Tcp {
        inode: half(record, 68)?.into(),
        listening: *record.get(1)? == LISTENING,
        local: (address(8)?, port(4)?),
        remote: (address(24)?, port(6)?),
        network,
    })
}

fn dump_unix(tables: &mut Tables, endpoints: &mut Endpoints) -> Option<()> {
    let mut request = [0; UNIX_REQUEST_BYTES];
    request[0] = FAMILY_UNIX;
    request[4..8].copy_from_slice(&STATES.to_ne_bytes());
    request[12..16].copy_from_slice(&UNIX_SHOW.to_ne_bytes());
    let mut found = Vec::new();
    tables
        .dump(request, |record| found.extend(unix_record(record)))
        .ok()?;
    endpoints.unix.append(&mut found);
    Some(())
}

/// A kernel's `unix_diag_msg`.
fn unix_record(record: &[u8]) -> Option<Unix> {
    let mut unix = Unix {
        inode: half(record, 4)?.into(),
        listening: *record.get(2)? == LISTENING,
        peer: None,
        name: None,
    };
    for (kind, value) in attributes(record.get(UNIX_RECORD_BYTES..)?) {
        match kind {
            UNIX_PEER => unix.peer = half(value, 0).map(u64::from),
            UNIX_NAME => unix.name = unix_name(value),
            _ => {}
        }
    }
    Some(unix)
}

/// A path ends at its zero; an abstract name begins with one and is written with `@`.
fn unix_name(value: &[u8]) -> Option<String> {
    let (sign, bytes) = match value.split_first()? {
        (0, rest) => ("@", rest),
        _ => ("", value),
    };
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let name = String::from_utf8_lossy(&bytes[..end]);
    (!name.is_empty()).then(|| format!("{sign}{name}"))
}

/// Adds the TCP sockets that the files of `process`/net tell.
pub(super) fn read_text(process: &Path, network: u64, endpoints: &mut Endpoints) {
    for file in ["net/tcp", "net/tcp6"] {
        let text = std::fs::read_to_string(process.join(file)).unwrap_or_default();
        endpoints
            .tcp
            .extend(text.lines().skip(1).filter_map(|line| tcp_line(line, network)));
    }
}

/// A line of `/proc/net/tcp` or `tcp6`.
pub(super) fn tcp_line(line: &str, network: u64) -> Option<Tcp> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = socket_address(words.next()?)?;
    let remote = socket_address(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    if state != ESTABLISHED && state != LISTENING {
        return None;
    }
    let inode = words.nth(5)?.parse().ok()?;
    Some(Tcp {
        inode,
        listening: state == LISTENING,
        local,
        remote,
        network,
    })
}

/// `0100007F:1F90`: words of four bytes in the order of the machine, then the port.
fn socket_address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = address.as_bytes().chunks(8).map(|digits| {
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.len() == 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    });
    let words = words.collect::<Option<Vec<[u8; 4]>>>()?;
    let address = match words.as_slice() {
        [word] => IpAddr::from(*word),
        [a, b, c, d] => {
            let mut bytes = [0; 16];
            for (place, word) in [a, b, c, d].into_iter().enumerate() {
                bytes[place * 4..place * 4 + 4].copy_from_slice(word);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_both_families_are_read() {
        let line = "   3: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 98765 1 0";
        let found = tcp_line(line, 5).expect("a socket");
        assert_eq!(found.local, (IpAddr::from([127, 0, 0, 1]), 8080));
        assert_eq!((found.inode, found.listening, found.network), (98765, false, 5));
        let line = "   0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 7 1";
        let found = tcp_line(line, 5).expect("a socket");
        assert_eq!(
            found.local.0,
            IpAddr::from([127, 0, 0, 1]),
            "a mapped address is a v4 one"
        );
        assert!(found.listening);
        let waiting = line.replace(" 0A ", " 06 ");
        assert_eq!(tcp_line(&waiting, 5), None);
    }

    #[test]
    fn names_of_unix_sockets() {
        assert_eq!(unix_name(b"/run/a.sock\0").as_deref(), Some("/run/a.sock"));
        assert_eq!(unix_name(b"\0bus").as_deref(), Some("@bus"));
        assert_eq!(unix_name(b"\0"), None);
        assert_eq!(unix_name(b""), None);
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), line in ".{0,120}") {
            let _ = tcp_record(&bytes, 0);
            let _ = unix_record(&bytes);
            let _ = tcp_line(&line, 0);
        }
    }
}

//! From sockets to calls: who listens is called. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use tidegate_types::{AppName, Dependency};

/// Address and port.
pub(super) type Address = (IpAddr, u16);

/// One TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tcp {
    pub(super) inode: u64,
    pub(super) listening: bool,
    pub(super) local: Address,
    pub(super) remote: Address,
    /// Its network namespace.
    pub(super) network: u64,
}

/// One unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unix {
    pub(super) inode: u64,
    pub(super) listening: bool,
    pub(super) peer: Option<u64>,
    pub(super) name: Option<String>,
}

/// Every socket that was seen.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    pub(super) tcp: Vec<Tcp>,
    pub(super) unix: Vec<Unix>,
}

/// A connection with a direction, by the inodes of its ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) caller: u64,
    pub(super) called: u64,
    pub(super) place: String,
}

/// A loopback address means another thing in each namespace.
fn scope(socket: &Tcp) -> u64 {
    if socket.local.0.is_loopback() {
        socket.network
    } else {
        0
    }
}

fn tcp_calls(sockets: &[Tcp]) -> Vec<Call> {
    let listening: HashSet<(u64, Address)> = sockets
        .iter()
        .filter(|socket| socket.listening)
        .map(|socket| (socket.network, socket.local))
        .collect();
    // Whoever listens at a port of a namespace, whatever the address: `::` takes v4, too.
    let anywhere: HashSet<(u64, u16)> = listening
        .iter()
        .filter(|(_, (address, _))| address.is_unspecified())
        .map(|(network, (_, port))| (*network, *port))
        .collect();
    let is_server = |socket: &Tcp| {
        listening.contains(&(socket.network, socket.local))
            || anywhere.contains(&(socket.network, socket.local.1))
    };
    let by_ends: HashMap<(u64, Address, Address), &Tcp> = sockets
        .iter()
        .filter(|socket| !socket.listening)
        .map(|socket| ((scope(socket), socket.local, socket.remote), socket))
        .collect();
    let servers = sockets
        .iter()
        .filter(|socket| !socket.listening && is_server(socket));
    servers
        .filter_map(|server| {
            let client = by_ends.get(&(scope(server), server.remote, server.local))?;
            Some(Call {
                caller: client.inode,
                called: server.inode,
                place: format!("tcp:{}", server.local.1),
            })
        })
        .collect()
}

fn unix_calls(sockets: &[Unix]) -> Vec<Call> {
    let listening: HashSet<&str> = sockets
        .iter()
        .filter(|socket| socket.listening)
        .filter_map(|socket| socket.name.as_deref())
        .collect();
    // A socket that was accepted carries the name that its listener was bound to.
    let accepted = sockets.iter().filter(|socket| !socket.listening);
    accepted
        .filter_map(|server| {
            let name = server.name.as_deref().filter(|name| listening.contains(name))?;
            Some(Call {
                caller: server.peer?,
                called: server.inode,
                place: format!("unix:{name}"),
            })
        })
        .collect()
}

/// Every connection both of whose ends are here.
pub(super) fn calls(endpoints: &Endpoints) -> Vec<Call> {
    let mut calls = tcp_calls(&endpoints.tcp);
    calls.extend(unix_calls(&endpoints.unix));
    calls
}

/// Who calls whom, once each, with the first place in order.
pub(super) fn edges(endpoints: &Endpoints, owners: &HashMap<u64, AppName>) -> Vec<Dependency> {
    let mut found: BTreeMap<(&AppName, &AppName), BTreeSet<String>> = BTreeMap::new();
    for call in calls(endpoints) {
        let ends = owners.get(&call.caller).zip(owners.get(&call.called));
        if let Some((caller, called)) = ends.filter(|(caller, called)| caller != called) {
            found.entry((caller, called)).or_default().insert(call.place);
        }
    }
    found
        .into_iter()
        .map(|((caller, called), places)| Dependency {
            upstream: caller.clone(),
            downstream: called.clone(),
            place: places.first().map_or("", String::as_str).into(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(inode: u64, listening: bool, local: (&str, u16), remote: (&str, u16), network: u64) -> Tcp {
        let address = |(text, port): (&str, u16)| (text.parse().expect("an address"), port);
        Tcp {
            inode,
            listening,
            local: address(local),
            remote: address(remote),
            network,
        }
    }

    fn check(endpoints: &Endpoints, expect: &[(&str, &str, &str)]) {
        let owners: HashMap<u64, AppName> = [(1, "web"), (2, "db"), (3, "db"), (4, "other")]
            .map(|(inode, name)| (inode, AppName::new(name)))
            .into();
        let found = edges(endpoints, &owners);
        let found: Vec<_> = found
            .iter()
            .map(|edge| (edge.upstream.as_str(), edge.downstream.as_str(), &*edge.place))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn who_listens_is_called_and_loopback_stays_in_its_namespace() {
        let tcp = vec![
            tcp(3, true, ("::", 5432), ("::", 0), 1),
            tcp(2, false, ("127.0.0.1", 5432), ("127.0.0.1", 40000), 1),
            tcp(1, false, ("127.0.0.1", 40000), ("127.0.0.1", 5432), 1),
            // The same numbers in another namespace are another connection.
            tcp(4, false, ("127.0.0.1", 40000), ("127.0.0.1", 5432), 2),
            // Nobody listens: no direction.
            tcp(1, false, ("10.0.0.1", 50000), ("10.0.0.1", 50001), 1),
            tcp(4, false, ("10.0.0.1", 50001), ("10.0.0.1", 50000), 1),
            // The other end is on another host.
            tcp(2, false, ("10.0.0.1", 5432), ("10.9.9.9", 40000), 1),
        ];
        let unix = Vec::new();
        check(&Endpoints { tcp, unix }, &[("web", "db", "tcp:5432")]);
    }

    #[test]
    fn a_unix_socket_with_the_listeners_name_was_accepted() {
        let unix = |inode, listening, peer, name: Option<&str>| Unix {
            inode,
            listening,
            peer,
            name: name.map(str::to_owned),
        };
        let sockets = vec![
            unix(3, true, None, Some("/run/db.sock")),
            unix(2, false, Some(1), Some("/run/db.sock")),
            unix(1, false, Some(2), None),
            // A pair that one program made for its child.
            unix(4, false, Some(1), None),
        ];
        let endpoints = Endpoints {
            tcp: Vec::new(),
            unix: sockets,
        };
        check(&endpoints, &[("web", "db", "unix:/run/db.sock")]);
    }
}

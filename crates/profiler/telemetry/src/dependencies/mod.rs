//! Which app calls which, seen in the kernel's socket tables.
//!
//! The two ends of a connection on this host are two sockets; who listens is called, the other calls. TCP sockets of
//! this network namespace and unix sockets come by netlink, those of other namespaces (containers) from
//! `/proc/PID/net/tcp`; `/proc/PID/fd` says whose each socket is. Connections to and from other hosts, UDP, and
//! connections that open and close between two readings are not seen: what is found is a lower bound. Without the
//! right to read other users' descriptors, only one's own are seen.
//!
//! It reads; nothing is attached. A reading takes some microseconds per descriptor, so it is done every few seconds
//! on a thread of the caller's, never by the sampler.

mod peers;
mod tables;

use peers::{Endpoints, edges};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use tables::NetTables;
use tidegate_types::{AppName, Dependency};

/// Whose process each number is.
pub type Members = BTreeMap<u32, AppName>;

/// Descriptors that are looked at in one reading; the next reading goes on behind them.
const MOST_DESCRIPTORS: usize = 100_000;
/// Network namespaces that are looked into besides the own one.
const MOST_NETWORKS: usize = 256;

/// Reads dependencies.
#[derive(Debug)]
pub struct DependencyReader {
    proc_root: PathBuf,
    tables: NetTables,
    /// Where the next reading of descriptors begins, where one reading cannot take them all.
    resume_after: Option<u32>,
    owners: HashMap<u64, AppName>,
}

impl DependencyReader {
    /// A reader of the host whose `/proc` is at `proc_root`. With `netlink` off, tables are read as text.
    pub fn new(proc_root: &Path, netlink: bool) -> Self {
        Self {
            proc_root: proc_root.to_owned(),
            tables: NetTables::new(netlink),
            resume_after: None,
            owners: HashMap::new(),
        }
    }

    /// Every call between `members` that is open now, sorted.
    pub fn read(&mut self, members: &Members) -> Vec<Dependency> {
        self.find_owners(members);
        let mut endpoints = Endpoints::default();
        let own = namespace(&self.proc_root, "self");
        self.tables
            .read_own(&self.proc_root, own.unwrap_or(0), &mut endpoints);
        let mut known: BTreeSet<u64> = own.into_iter().collect();
        for pid in members.keys() {
            let name = pid.to_string();
            let Some(network) = namespace(&self.proc_root, &name) else {
                continue;
            };
            if known.len() <= MOST_NETWORKS && known.insert(network) {
                tables::read_text(&self.proc_root.join(name), network, &mut endpoints);
            }
        }
        edges(&endpoints, &self.owners)
    }

    fn find_owners(&mut self, members: &Members) {
        let from = self.resume_after.take();
        if from.is_none() {
            self.owners.clear();
        }
        let mut left = MOST_DESCRIPTORS;
        let first = from.map_or(0, |pid| pid.saturating_add(1));
        for (pid, app) in members.range(first..) {
            let Ok(descriptors) = std::fs::read_dir(self.proc_root.join(pid.to_string()).join("fd")) else {
                continue;
            };
            for descriptor in descriptors.flatten() {
                left = left.saturating_sub(1);
                let inode = std::fs::read_link(descriptor.path())
                    .ok()
                    .and_then(|link| socket_inode(link.to_str()?));
                if let Some(inode) = inode {
                    self.owners.insert(inode, app.clone());
                }
            }
            if left == 0 {
                self.resume_after = Some(*pid);
                return;
            }
        }
    }
}

/// `socket:[123]` as 123.
fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The network namespace of a process, by the number in its link.
fn namespace(proc_root: &Path, process: &str) -> Option<u64> {
    let link = std::fs::read_link(proc_root.join(process).join("ns/net")).ok()?;
    link.to_str()?
        .strip_prefix("net:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Two containers on a bridge: each sees its own end only, in its own tables.
    #[test]
    fn the_two_ends_are_joined_across_namespaces() {
        let folder = tempfile::tempdir().expect("a folder");
        let process = |pid: u32, network: u64, inode: u64, table: &str| {
            let place = folder.path().join(pid.to_string());
            std::fs::create_dir_all(place.join("fd")).expect("made");
            std::fs::create_dir_all(place.join("ns")).expect("made");
            std::fs::create_dir_all(place.join("net")).expect("made");
            symlink(format!("net:[{network}]"), place.join("ns/net")).expect("linked");
            symlink(format!("socket:[{inode}]"), place.join("fd/3")).expect("linked");
            symlink("/dev/null", place.join("fd/0")).expect("linked");
            let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
            std::fs::write(place.join("net/tcp"), format!("{head}{table}")).expect("written");
        };
        process(
            10,
            7,
            100,
            "   0: 020011AC:9C40 030011AC:1538 01 00000000:00000000 00:00000000 00000000     0        0 100 1\n",
        );
        process(
            20,
            8,
            200,
            "   0: 00000000:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 199 1\n   1: 030011AC:1538 020011AC:9C40 01 00000000:00000000 00:00000000 00000000     0        0 200 1\n",
        );
        let members: Members = [(10, AppName::new("web")), (20, AppName::new("db"))].into();
        let found = DependencyReader::new(folder.path(), false).read(&members);
        let names: Vec<String> = found
            .iter()
            .map(|edge| format!("{} {} {}", edge.upstream, edge.downstream, edge.place))
            .collect();
        assert_eq!(names, ["web db tcp:5432"]);
    }

    #[test]
    fn the_kernel_tells_who_calls_whom_by_tcp_and_by_unix_sockets() {
        use std::os::unix::net::{UnixListener, UnixStream};
        let own = std::process::id();
        for netlink in [true, false] {
            let folder = tempfile::tempdir().expect("a folder");
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
            let port = listener.local_addr().expect("an address").port();
            let _near = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connects");
            let _far = listener.accept().expect("accepts");
            let path = folder.path().join("s.sock");
            let unix_listener = UnixListener::bind(&path).expect("binds");
            let _near = UnixStream::connect(&path).expect("connects");
            let _far = unix_listener.accept().expect("accepts");
            let mut reader = DependencyReader::new(Path::new("/proc"), netlink);
            reader.find_owners(&[(own, AppName::new("self"))].into());
            let mut endpoints = Endpoints::default();
            reader.tables.read_own(Path::new("/proc"), 1, &mut endpoints);
            // Both ends are ours, so there is no edge between apps; the ends themselves must be found.
            let calls = peers::calls(&endpoints);
            let tcp = calls.iter().any(|call| {
                call.place == format!("tcp:{port}")
                    && reader.owners.contains_key(&call.caller)
                    && reader.owners.contains_key(&call.called)
            });
            assert!(tcp, "netlink: {netlink}");
            let unix = calls
                .iter()
                .any(|call| call.place == format!("unix:{}", path.display()));
            if netlink && !reader.tables.tells_unix_peers() {
                eprintln!("SKIP the_kernel_tells_unix_peers: no unix_diag");
            } else {
                assert_eq!(unix, netlink, "only netlink tells the peers of unix sockets");
            }
            assert!(edges(&endpoints, &reader.owners).is_empty());
        }
    }
}

//! A server with demo data on a port and a socket of its own, and the least HTTP that reads its answers.

use crate::demo::{self, Demo, DemoBackend};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tidegate_dashboard::{Control, NoControl, ServeConfig, Server, Shared, serve};

/// The doors, and what is behind them.
pub(crate) struct Bed {
    pub(crate) server: Server,
    pub(crate) socket: PathBuf,
    pub(crate) shared: Shared,
    demo: Arc<Mutex<Demo>>,
    _folder: TempDir,
}

/// A bed whose demo has run for `seconds`.
pub(crate) fn bed(seconds: u32) -> Bed {
    bed_with(seconds, Arc::new(NoControl))
}

pub(crate) fn bed_with(seconds: u32, control: Arc<dyn Control>) -> Bed {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let (demo, shared) = demo::run(i64::try_from(now.as_millis()).expect("a moment"), seconds);
    let demo = Arc::new(Mutex::new(demo));
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    let config = ServeConfig {
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        socket: Some(socket.clone()),
    };
    let backend = Arc::new(DemoBackend(Arc::clone(&demo)));
    let server = serve(&config, shared.clone(), backend, control).expect("the doors open");
    Bed {
        server,
        socket,
        shared,
        demo,
        _folder: folder,
    }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// The value of the header called `name` (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Keeps the demo moving until it is dropped.
pub(crate) struct Moving {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Moving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the demo moved to its end");
        }
    }
}

impl Bed {
    /// One tick a second, as a daemon does, so that a slow browser does not find the demo stale.
    pub(crate) fn keep_moving(&self) -> Moving {
        let (stop, stopped) = channel::<()>();
        let (demo, shared) = (Arc::clone(&self.demo), self.shared.clone());
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let (view, sample) = demo.lock().expect("not poisoned").step();
                shared.publish(view, sample);
            }
        });
        Moving {
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.address().expect("a port").port()
    }

    /// `GET target` as the page itself would send it.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }

    /// Any request; a `Host` of this server is sent unless `headers` has one.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let host = format!("127.0.0.1:{}", self.port());
        let given = headers.iter().any(|(name, _)| *name == "Host");
        let own = (!given).then_some(("Host", host.as_str()));
        let lines: Vec<String> = own
            .iter()
            .chain(headers)
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let lines = lines.concat();
        let request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n{lines}\r\n");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).expect("connects");
        stream.write_all(request.as_bytes()).expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|digits| digits.parse().ok())
                .expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

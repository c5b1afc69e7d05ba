//! The serving side: runtimes and command lines come in, heartbeats go out.
//!
//! One thread accepts, one sends heartbeats to the processes that have something switched. A connection first says what
//! it is, on a thread of its own: a runtime stays, a command line is answered and goes.

use super::managed::Managed;
use super::{Options, Shared, Switchboard, lock};
use crate::error::at;
use crate::session::{self, ANSWER_LIMIT, Frame, HEARTBEAT_INTERVAL, Peer, Session};
use crate::{VariantsError, client};
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tidegate_format::message::{KIND_CLIENT, KIND_CLIENT_REPLY, encode_opaque};

/// More than any host runs; a flood of connections costs no more than this.
const CONNECTION_LIMIT: usize = 4096;
/// A new connection says within this what it is.
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(1);
/// How often the accepting thread looks whether it shall end.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(200);

/// The serving threads. Dropping it puts every process back to the base and removes the socket.
#[derive(Debug)]
pub struct Server {
    board: Switchboard,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds the socket and starts serving.
    ///
    /// # Errors
    /// [`VariantsError::File`]; `AddrInUse` where another daemon serves there.
    pub fn start(options: Options) -> Result<Self, VariantsError> {
        let listener = bind(&options.socket_path)?;
        let shared = Arc::new(Shared {
            options,
            processes: Mutex::default(),
            connections: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let (accepting, beating) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || accept_all(&accepting, &listener)),
            thread::spawn(move || beat(&beating)),
        ];
        Ok(Self {
            board: Switchboard { shared },
            threads,
        })
    }

    /// The handle that commands go through.
    pub fn board(&self) -> &Switchboard {
        &self.board
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.board.shared.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing more to give back.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn close(&self) {
        if self.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.release_all();
        lock(&self.processes).clear();
        let _ = fs::remove_file(&self.options.socket_path);
    }
}

fn bind(path: &Path) -> Result<UnixListener, VariantsError> {
    if UnixStream::connect(path).is_ok() {
        return Err(at(path)(io::ErrorKind::AddrInUse.into()));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(at(path))?;
    // Root serves everybody's processes; another user only their own.
    let mode = if rustix::process::geteuid().is_root() {
        0o666
    } else {
        0o600
    };
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))?;
    listener.set_nonblocking(true).map_err(at(path))?;
    Ok(listener)
}

fn accept_all(shared: &Arc<Shared>, listener: &UnixListener) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let interval = Timespec {
        tv_sec: 0,
        tv_nsec: ACCEPT_INTERVAL.as_nanos() as i64,
    };
    while !shared.closing.load(Ordering::Acquire) {
        let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&interval));
        let refused = loop {
            match listener.accept() {
                Ok((stream, _)) => receive(shared, stream),
                Err(error) => break error,
            }
        };
        // No descriptor is free, say: whoever waits is still there afterwards.
        if refused.kind() != io::ErrorKind::WouldBlock {
            thread::sleep(ACCEPT_INTERVAL);
        }
    }
}

/// Gives a connection its thread. Where none can be made it is closed: runtimes come again.
fn receive(shared: &Arc<Shared>, stream: UnixStream) {
    if shared.connections.load(Ordering::Relaxed) >= CONNECTION_LIMIT
        || stream.set_nonblocking(false).is_err()
        || stream.set_write_timeout(Some(ANSWER_LIMIT)).is_err()
    {
        return;
    }
    shared.connections.fetch_add(1, Ordering::Relaxed);
    let own = Arc::clone(shared);
    let started = thread::Builder::new().spawn(move || {
        // A connection that fails is closed by being dropped.
        let _ = greet(&own, stream);
        own.connections.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Finds out what a connection is: a runtime stays, a command line is answered.
fn greet(shared: &Arc<Shared>, stream: UnixStream) -> Result<(), VariantsError> {
    let peer = session::peer_of(&stream)?;
    let frame = session::read_frame(&stream, peer.process, FIRST_FRAME_LIMIT)?;
    if frame.kind == KIND_CLIENT {
        return answer_client(shared, &stream, peer, &frame);
    }
    let session = Session::from_hello(stream, peer, &frame)?;
    let managed = Managed::new(session);
    if !shared.closing.load(Ordering::Acquire) {
        lock(&shared.processes).insert(peer.process, Arc::new(Mutex::new(managed)));
    }
    Ok(())
}

fn answer_client(
    shared: &Arc<Shared>,
    stream: &UnixStream,
    peer: Peer,
    frame: &Frame,
) -> Result<(), VariantsError> {
    let board = Switchboard {
        shared: Arc::clone(shared),
    };
    let body = client::answer(&board, peer, &frame.body);
    let mut bytes = vec![0; body.len() + 16];
    let length =
        encode_opaque(KIND_CLIENT_REPLY, &body, &mut bytes).map_err(|source| VariantsError::Message {
            process: peer.process,
            source,
        })?;
    let reply = bytes.get(..length).unwrap_or(&[]);
    (&mut &*stream)
        .write_all(reply)
        .map_err(|source| VariantsError::Socket {
            process: peer.process,
            source,
        })
}

/// Heartbeats for processes that have something switched; forgets those whose socket closed.
fn beat(shared: &Shared) {
    while !shared.closing.load(Ordering::Acquire) {
        let processes: Vec<_> = lock(&shared.processes)
            .iter()
            .map(|(id, managed)| (*id, Arc::clone(managed)))
            .collect();
        for (process, managed) in processes {
            // Whoever holds the lock talks to the process right now, heartbeats included.
            let Ok(mut managed) = managed.try_lock() else {
                continue;
            };
            let lost =
                managed.session.is_closed() || (managed.touched && managed.session.heartbeat().is_err());
            drop(managed);
            if lost {
                lock(&shared.processes).remove(&process);
            }
        }
        thread::sleep(HEARTBEAT_INTERVAL);
    }
}

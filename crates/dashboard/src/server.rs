//! Opens the two doors and keeps them on a thread of their own.
//!
//! Binding happens in the caller, so that a port in use is an error with a remedy before the daemon says
//! that it runs; serving happens on one thread with a single-threaded runtime and a few helpers for what
//! blocks.

use crate::backend::{Backend, Control};
use crate::door::{Bounded, Peer};
use crate::guard;
use crate::routes::{self, Rooms};
use crate::shared::Shared;
use axum::http::StatusCode;
use axum::middleware;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tower_http::timeout::TimeoutLayer;

/// Threads for what blocks: a report must not keep a `pause` waiting.
const BLOCKING_THREADS: usize = 4;
/// A connection to the page on which nothing moves for so long is closed.
const IDLE: Duration = Duration::from_mins(1);
/// A reader that waits longer has left.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers under way may take when the daemon stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Where to serve.
#[derive(Clone, Debug, Default)]
pub struct ServeConfig {
    /// The page and the reading API; loopback only. `None` serves no TCP.
    pub listen: Option<SocketAddr>,
    /// The control socket; its folder must exist. `None` serves no socket.
    pub socket: Option<PathBuf>,
}

/// Why the doors did not open.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is not of this machine alone.
    #[error("{0} is not a loopback address; the page shows what runs here and is not for the network")]
    NotLoopback(SocketAddr),
    /// Another program has the port.
    #[error("port {} of {} is in use", .0.port(), .0.ip())]
    PortInUse(SocketAddr),
    /// The port cannot be had for another reason.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// The kernel's word.
        source: io::Error,
    },
    /// Another daemon answers at the socket.
    #[error("another tidegate answers at {}", .0.display())]
    AlreadyRunning(PathBuf),
    /// The socket cannot be made.
    #[error("cannot make the control socket {}", path.display())]
    Socket {
        /// Which path.
        path: PathBuf,
        /// The kernel's word.
        source: io::Error,
    },
    /// No thread or runtime could be made.
    #[error("cannot start the serving thread")]
    Thread(#[source] io::Error),
}

/// The open doors. Dropping it closes them.
#[derive(Debug)]
pub struct Server {
    address: Option<SocketAddr>,
    socket: Option<PathBuf>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Where the page is; with port 0 asked for, the port that the kernel chose.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Closes the doors, removes the socket's file and waits for answers under way, at most a second.
    pub fn stop(mut self) {
        self.close();
    }

    fn close(&mut self) {
        let _ = self.stop.send(true);
        if let Some(path) = self.socket.take() {
            let _ = fs::remove_file(path);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let opened = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    opened.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::PortInUse(address),
        _ => ServeError::Listen { address, source },
    })
}

/// A socket that nobody but its owner can open at any moment: it is made under another name, closed to
/// others, and only then takes its own. A dead daemon's file is replaced.
fn bind_socket(path: &Path) -> Result<UnixListener, ServeError> {
    if UnixStream::connect(path).is_ok() {
        return Err(ServeError::AlreadyRunning(path.to_owned()));
    }
    let mut making = path.as_os_str().to_owned();
    making.push(format!(".{}", std::process::id()));
    let making = PathBuf::from(making);
    let open = || {
        let _ = fs::remove_file(&making);
        let listener = UnixListener::bind(&making)?;
        fs::set_permissions(&making, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        fs::rename(&making, path)?;
        Ok(listener)
    };
    open().map_err(|source| ServeError::Socket {
        path: path.to_owned(),
        source,
    })
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve_tcp(listener: TcpListener, port: u16, rooms: Rooms, stop: watch::Receiver<bool>) {
    let router = routes::read_only(rooms)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            READ_TIMEOUT,
        ))
        .layer(middleware::from_fn_with_state(port, guard::only_own_pages))
        .layer(middleware::from_fn(guard::security_headers));
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        tracing::error!("the page's port was lost");
        return;
    };
    let door = Bounded::new(listener).ending_idle(IDLE);
    let served = axum::serve(door, router).with_graceful_shutdown(stopped(stop));
    if let Err(error) = served.await {
        tracing::error!(%error, "the page is no longer served");
    }
}

async fn serve_socket(listener: UnixListener, rooms: Rooms, stop: watch::Receiver<bool>) {
    let own_uid = rustix::process::geteuid().as_raw();
    let router = routes::read_and_act(rooms)
        .layer(middleware::from_fn_with_state(own_uid, guard::only_own_user))
        .layer(middleware::from_fn(guard::security_headers));
    let Ok(listener) = tokio::net::UnixListener::from_std(listener) else {
        tracing::error!("the control socket was lost");
        return;
    };
    let service = router.into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(Bounded::new(listener), service).with_graceful_shutdown(stopped(stop));
    if let Err(error) = served.await {
        tracing::error!(%error, "the control socket is no longer served");
    }
}

/// Opens the doors and serves on a thread of their own until the [`Server`] is stopped or dropped.
pub fn serve(
    config: &ServeConfig,
    shared: Shared,
    backend: Arc<dyn Backend>,
    control: Arc<dyn Control>,
) -> Result<Server, ServeError> {
    let tcp = config.listen.map(bind_tcp).transpose()?;
    let socket = config.socket.as_deref().map(bind_socket).transpose()?;
    let address = tcp.as_ref().and_then(|listener| listener.local_addr().ok());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("dashboard-help")
        .build()
        .map_err(ServeError::Thread)?;
    let (stop, stopping) = watch::channel(false);
    let rooms = Rooms {
        shared,
        backend,
        control,
    };
    let work = async move {
        let mut doors = Vec::new();
        if let (Some(listener), Some(address)) = (tcp, address) {
            let door = serve_tcp(listener, address.port(), rooms.clone(), stopping.clone());
            doors.push(tokio::spawn(door));
        }
        if let Some(listener) = socket {
            doors.push(tokio::spawn(serve_socket(listener, rooms, stopping.clone())));
        }
        stopped(stopping).await;
        for door in doors {
            let _ = tokio::time::timeout(STOP_TIMEOUT, door).await;
        }
    };
    let thread = std::thread::Builder::new()
        .name("dashboard".to_owned())
        .spawn(move || {
            runtime.block_on(work);
            runtime.shutdown_timeout(STOP_TIMEOUT);
        })
        .map_err(ServeError::Thread)?;
    Ok(Server {
        address,
        socket: config.socket.clone(),
        stop,
        thread: Some(thread),
    })
}

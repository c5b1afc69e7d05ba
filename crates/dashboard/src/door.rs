//! A door that no caller can crowd, and who came through it.
//!
//! Connections are bounded, so that no caller can take the daemon's descriptors, and where anybody may call, those on which
//! nothing moves are closed.

use crate::backend::Caller;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at one door: ten tabs of a browser, and room for the scrapers.
const MAX_CONNECTIONS: usize = 64;

/// A listener that lets in [`MAX_CONNECTIONS`] at a time; the others wait in the kernel's queue.
pub(crate) struct Bounded<L> {
    inner: L,
    room: Arc<Semaphore>,
    idle: Option<Duration>,
}

impl<L> Bounded<L> {
    pub(crate) fn new(inner: L) -> Self {
        Self {
            inner,
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            idle: None,
        }
    }

    /// As `self`, but a connection on which nothing moves for so long is closed.
    pub(crate) fn ending_idle(self, idle: Duration) -> Self {
        Self {
            idle: Some(idle),
            ..self
        }
    }
}

/// A connection that gives its place back when it closes.
pub(crate) struct Guest<S> {
    stream: S,
    patience: Option<Patience>,
    _place: Option<OwnedSemaphorePermit>,
}

/// How long nothing may move, and until when.
struct Patience {
    idle: Duration,
    end: Pin<Box<Sleep>>,
}

impl Patience {
    fn new(idle: Duration) -> Self {
        Self {
            idle,
            end: Box::pin(sleep(idle)),
        }
    }
}

impl<S> Guest<S> {
    /// Passes on what a read or a write gave. One that waits longer than the patience lasts fails.
    fn moved<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Some(patience) = &mut self.patience else {
            return poll;
        };
        if poll.is_ready() {
            let end = Instant::now() + patience.idle;
            patience.end.as_mut().reset(end);
            return poll;
        }
        let ended = patience.end.as_mut().poll(context);
        ended.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<L: Listener<Io: Unpin>> Listener for Bounded<L> {
    type Io = Guest<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed, so there is always a place in the end.
        let place = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, address) = self.inner.accept().await;
        let guest = Guest {
            stream,
            patience: self.idle.map(Patience::new),
            _place: place,
        };
        (guest, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guest<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.moved(context, poll)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guest<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.moved(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Who is at the other end; `None` where the kernel did not say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) Option<Caller>);

impl Connected<IncomingStream<'_, Bounded<tokio::net::UnixListener>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded<tokio::net::UnixListener>>) -> Self {
        let credentials = stream.io().stream.peer_cred().ok();
        Self(credentials.map(|credentials| Caller {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::net::UnixStream;

    #[test]
    fn a_silent_connection_is_closed_and_a_lively_one_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (near, far) = UnixStream::pair().unwrap();
            let mut guest = Guest {
                stream: near,
                patience: Some(Patience::new(Duration::from_millis(50))),
                _place: None,
            };
            let mut bytes = [0; 8];
            far.try_write(b"GET").unwrap();
            let mut buffer = ReadBuf::new(&mut bytes);
            poll_fn(|context| Pin::new(&mut guest).poll_read(context, &mut buffer))
                .await
                .unwrap();
            assert_eq!(buffer.filled(), b"GET");
            let silent = poll_fn(|context| Pin::new(&mut guest).poll_read(context, &mut buffer)).await;
            assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }
}

//! A door that no caller can crowd, and who came through it.
//!
//! Connections are bounded, so that no caller can take the daemon's descriptors.

use crate::backend::Caller;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at one door: ten tabs of a browser, and room for the scrapers.
const MAX_CONNECTIONS: usize = 64;

/// A listener that lets in [`MAX_CONNECTIONS`] at a time; the others wait in the kernel's queue.
pub(crate) struct Bounded<L> {
    inner: L,
    room: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    pub(crate) fn new(inner: L) -> Self {
        Self {
            inner,
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }
}

/// A connection that gives its place back when it closes.
pub(crate) struct Guest<S> {
    stream: S,
    _place: Option<OwnedSemaphorePermit>,
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
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guest<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
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

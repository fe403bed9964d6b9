//! One stream of a SPDY connection, to read and write like a socket.

use super::frame::{CANCEL, Frame};
use super::headers::Headers;
use super::session::{Fate, Queued, Shared};
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSemaphore;

/// One write becomes one frame of at most this many bytes.
const FRAME_BYTES: usize = 32 << 10;

/// A stream. Shutting it down ends our direction; dropping it ends both.
pub struct SpdyStream {
    id: u32,
    headers: Headers,
    data: mpsc::Receiver<Bytes>,
    unread: Bytes,
    fate: Arc<Fate>,
    shared: Arc<Shared>,
    room: PollSemaphore,
    finished: bool,
}

impl SpdyStream {
    pub(super) fn new(
        id: u32,
        headers: Headers,
        data: mpsc::Receiver<Bytes>,
        fate: Arc<Fate>,
        shared: Arc<Shared>,
    ) -> Self {
        let room = PollSemaphore::new(Arc::clone(&shared.room));
        SpdyStream { id, headers, data, unread: Bytes::new(), fate, shared, room, finished: false }
    }

    /// The value of the header `name` (lower case), as the peer sent it with the stream.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            // At most one such frame per stream, so it needs no room of its own.
            self.shared.queue(Queued::of(Frame::Data { id: self.id, fin: true, data: Bytes::new() }));
        }
    }
}

impl AsyncRead for SpdyStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.data.poll_recv(cx)) {
                Some(data) => self.unread = data,
                None if self.fate.broken.load(Ordering::Acquire) => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SpdyStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.finished || self.fate.unwanted.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let Some(room) = ready!(self.room.poll_acquire(cx)) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let length = bytes.len().min(FRAME_BYTES);
        let data = Bytes::copy_from_slice(&bytes[..length]);
        self.shared.queue(Queued::with_room(Frame::Data { id: self.id, fin: false, data }, room));
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's writer holds nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for SpdyStream {
    fn drop(&mut self) {
        self.finish();
        // Where the peer has not finished it learns that nobody listens any more.
        if self.shared.forget(self.id) {
            self.shared.queue(Queued::of(Frame::Reset { id: self.id, status: CANCEL }));
        }
    }
}

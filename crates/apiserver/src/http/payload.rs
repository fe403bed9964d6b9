//! Response bodies: whole, in chunks made as they are sent, or as a stream that ends when it ends.

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

pub enum Payload {
    Full(Bytes),
    Chunks(Box<dyn Iterator<Item = Bytes> + Send>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
    /// With something that lasts until the body was sent or given up.
    Held(Box<Payload>, Box<dyn Send>),
}

impl Payload {
    pub fn empty() -> Self {
        Payload::Full(Bytes::new())
    }

    pub fn holding(self, held: impl Send + 'static) -> Self {
        Payload::Held(Box::new(self), Box::new(held))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Payload::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Payload::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Payload::Chunks(chunks) => Poll::Ready(chunks.next().map(|chunk| Ok(Frame::data(chunk)))),
            Payload::Stream(stream) => stream.as_mut().poll_next(context).map_ok(Frame::data),
            Payload::Held(payload, _) => Pin::new(payload.as_mut()).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Payload::Full(bytes) => bytes.is_empty(),
            Payload::Held(payload, _) => payload.is_end_stream(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Payload::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Held(payload, _) => payload.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

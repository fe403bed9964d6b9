//! SPDY/3.1 as Kubernetes clients speak it: streams of bytes with headers over one connection.
//!
//! Written from the public draft (draft-mbelshe-httpbis-spdy-00 and the 3.1 notes). There is no
//! flow control in either direction, as in upstream's implementation: a peer that never grants
//! window would stop us, and one that never heeds it cannot be stopped. What bounds memory is
//! that a stream nobody reads stops the whole connection, and TCP then stops the peer.

mod frame;
mod headers;
mod session;
mod stream;

#[cfg(test)]
mod tests;

pub use headers::Headers;
pub use session::{CloseOnDrop, Closer, Role, Session, start};
pub use stream::SpdyStream;

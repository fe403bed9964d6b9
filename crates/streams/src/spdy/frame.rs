//! Frames on the wire: reading them with bounds, and writing them.

use super::headers::{Headers, Packer, Unpacker};
use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Data frames are read in pieces of this size, however long they are.
const PIECE: usize = 32 << 10;
/// Control frames may be this long: a header block, packed.
const CONTROL_LIMIT: usize = 32 << 10;
const HEAD: usize = 8;
const VERSION: u16 = 3;
const FLAG_FIN: u8 = 1;

/// Why a stream is reset (RST_STREAM status codes).
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const REFUSED_STREAM: u32 = 3;
pub(super) const CANCEL: u32 = 5;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const HEADERS: u16 = 8;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    SynStream {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    SynReply {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    Reset {
        id: u32,
        status: u32,
    },
    Ping(u32),
    GoAway {
        last: u32,
    },
    Headers {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    Data {
        id: u32,
        fin: bool,
        data: Bytes,
    },
    /// SETTINGS, WINDOW_UPDATE and unknown kinds: read over.
    Ignored,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("SPDY frame: {}", what.into()))
}

pub(super) struct FrameReader<R> {
    io: R,
    unpacker: Unpacker,
    /// Of a data frame being read in pieces: stream, FIN flag and the bytes that are left.
    data: Option<(u32, bool, usize)>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(io: R) -> Self {
        FrameReader { io, unpacker: Unpacker::new(), data: None }
    }

    /// The next frame, or piece of a data frame. None: the peer has ended the connection.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        if let Some((id, fin, left)) = self.data.take() {
            return self.data(id, fin, left).await.map(Some);
        }
        let mut head = [0; HEAD];
        if self.io.read(&mut head[..1]).await? == 0 {
            return Ok(None);
        }
        self.io.read_exact(&mut head[1..]).await?;
        let [a, b, c, d, flags, lengths @ ..] = head;
        let length = u32::from_be_bytes([0, lengths[0], lengths[1], lengths[2]]) as usize;
        let fin = flags & FLAG_FIN != 0;
        if a & 0x80 == 0 {
            return self.data(u32::from_be_bytes([a, b, c, d]), fin, length).await.map(Some);
        }
        let (version, kind) = (u16::from_be_bytes([a & 0x7f, b]), u16::from_be_bytes([c, d]));
        if version != VERSION {
            return Err(invalid(format!("version {version}")));
        }
        if length > CONTROL_LIMIT {
            return Err(invalid(format!("{length} bytes of control")));
        }
        let mut body = vec![0; length];
        self.io.read_exact(&mut body).await?;
        self.control(kind, fin, &body).map(Some)
    }

    async fn data(&mut self, id: u32, fin: bool, left: usize) -> io::Result<Frame> {
        let mut piece = vec![0; left.min(PIECE)];
        self.io.read_exact(&mut piece).await?;
        let left = left - piece.len();
        if left > 0 {
            self.data = Some((id, fin, left));
        }
        Ok(Frame::Data { id, fin: fin && left == 0, data: piece.into() })
    }

    fn control(&mut self, kind: u16, fin: bool, body: &[u8]) -> io::Result<Frame> {
        let number = |at: usize| {
            let bytes = body.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(|| invalid("cut short"))
        };
        let id = || number(0).map(|id| id & 0x7fff_ffff);
        let block = |at: usize| body.get(at..).ok_or_else(|| invalid("cut short"));
        Ok(match kind {
            // After the id: the associated stream, priority and slot, which say nothing here.
            SYN_STREAM => Frame::SynStream { id: id()?, fin, headers: self.unpacker.unpack(block(10)?)? },
            SYN_REPLY => Frame::SynReply { id: id()?, fin, headers: self.unpacker.unpack(block(4)?)? },
            HEADERS => Frame::Headers { id: id()?, fin, headers: self.unpacker.unpack(block(4)?)? },
            RST_STREAM => Frame::Reset { id: id()?, status: number(4)? },
            PING => Frame::Ping(number(0)?),
            GO_AWAY => Frame::GoAway { last: id()? },
            _ => Frame::Ignored,
        })
    }
}

pub(super) struct FrameWriter {
    packer: Packer,
}

impl FrameWriter {
    pub(super) fn new() -> io::Result<Self> {
        Ok(FrameWriter { packer: Packer::new()? })
    }

    /// Appends `frame` to `out`.
    pub(super) fn put(&mut self, frame: &Frame, out: &mut BytesMut) -> io::Result<()> {
        match frame {
            Frame::Data { id, fin, data } => {
                out.put_u32(*id);
                put_length(out, *fin, data.len());
                out.put_slice(data);
            }
            Frame::SynStream { id, fin, headers } => {
                let block = self.packer.pack(headers)?;
                put_control(out, SYN_STREAM, *fin, 10 + block.len());
                out.put_u32(*id);
                out.put_bytes(0, 6);
                out.put_slice(&block);
            }
            Frame::SynReply { id, fin, headers } | Frame::Headers { id, fin, headers } => {
                let kind = if matches!(frame, Frame::SynReply { .. }) { SYN_REPLY } else { HEADERS };
                let block = self.packer.pack(headers)?;
                put_control(out, kind, *fin, 4 + block.len());
                out.put_u32(*id);
                out.put_slice(&block);
            }
            Frame::Reset { id, status } => {
                put_control(out, RST_STREAM, false, 8);
                out.put_u32(*id);
                out.put_u32(*status);
            }
            Frame::Ping(id) => {
                put_control(out, PING, false, 4);
                out.put_u32(*id);
            }
            Frame::GoAway { last } => {
                put_control(out, GO_AWAY, false, 8);
                out.put_u32(*last);
                out.put_u32(0);
            }
            Frame::Ignored => {}
        }
        Ok(())
    }
}

fn put_control(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    put_length(out, fin, length);
}

/// Flags and a length of 24 bits; all that is written is far shorter.
fn put_length(out: &mut BytesMut, fin: bool, length: usize) {
    out.put_u8(if fin { FLAG_FIN } else { 0 });
    out.put_uint(length as u64, 3);
}

//! Streams as numbered channels, of a command or of forwarded ports: each message begins with the channel's number.
//!
//! One loop for both ends: it reads messages into pipes and pipes into messages. The base64 forms
//! are text: the number as a digit, the rest encoded.

use crate::LINGER;
use base::Clock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

pub(crate) const STDIN: u8 = 0;
pub(crate) const STDOUT: u8 = 1;
pub(crate) const STDERR: u8 = 2;
pub(crate) const ERROR: u8 = 3;
pub(crate) const RESIZE: u8 = 4;
/// From v5 on: the message's one other byte names a channel on which nothing more will come.
const CLOSE: u8 = 255;

/// A pipe holds as much before its writer waits; one message carries at most a part of it.
pub(crate) const PIPE: usize = 64 << 10;
const PIECE: usize = 16 << 10;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) base64: bool,
    /// The peer knows the close channel.
    pub(crate) half_close: bool,
}

impl Encoding {
    fn encode(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            let mut text = String::from(char::from(b'0' + channel));
            STANDARD.encode_string(data, &mut text);
            return Message::Text(text.into());
        }
        let mut message = Vec::with_capacity(1 + data.len());
        message.push(channel);
        message.extend_from_slice(data);
        Message::Binary(message.into())
    }

    /// None: not a message with data. The frame's own type does not matter: Python's client sends
    /// what somebody types as text.
    fn decode(self, message: Message) -> Option<(u8, Bytes)> {
        let data = match message {
            Message::Binary(data) => data,
            Message::Text(text) => text.into(),
            _ => return None,
        };
        let channel = *data.first()?;
        if self.base64 {
            return Some((channel.checked_sub(b'0')?, STANDARD.decode(&data[1..]).ok()?.into()));
        }
        Some((channel, data.slice(1..)))
    }
}

/// One end of a command's connection.
pub(crate) struct Ends {
    /// Where the data of each incoming channel goes.
    pub(crate) incoming: Vec<(u8, DuplexStream)>,
    /// Where the data of each outgoing channel comes from.
    pub(crate) outgoing: Vec<(u8, DuplexStream)>,
    /// For a server; a client speaks when it likes, and never ends the connection.
    pub(crate) serves: Option<Serves>,
}

/// How a server begins and ends. It ends once its outgoing channels have.
#[derive(Default)]
pub(crate) struct Serves {
    /// The first messages.
    pub(crate) first: Vec<(u8, Vec<u8>)>,
    /// The channel whose data is kept back to the end.
    pub(crate) last: Option<u8>,
}

/// A pipe: the end for the loop, and the one for the caller.
pub(crate) fn pipe() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(PIPE)
}

/// Moves data until the connection ends.
pub(crate) async fn run<T: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<T>,
    encoding: Encoding,
    ends: Ends,
    clock: Clock,
) -> io::Result<()> {
    let (sink, stream) = socket.split();
    let mut reading = std::pin::pin!(read(stream, encoding, ends.incoming));
    let writing = write(sink, encoding, ends.outgoing, ends.serves);
    tokio::select! {
        outcome = &mut reading => outcome,
        outcome = writing => {
            outcome?;
            // All is said; the peer ends the connection, or we do.
            clock.timeout(LINGER, reading).await.unwrap_or(Ok(()))
        }
    }
}

async fn read<T: AsyncRead + AsyncWrite + Unpin>(
    mut stream: SplitStream<WebSocketStream<T>>,
    encoding: Encoding,
    mut pipes: Vec<(u8, DuplexStream)>,
) -> io::Result<()> {
    while let Some(message) = stream.next().await {
        let Some((channel, data)) = encoding.decode(message.map_err(super::io_error)?) else { continue };
        if channel == CLOSE && encoding.half_close {
            pipes.retain(|(channel, _)| data.first() != Some(channel));
        } else if let Some((_, pipe)) = pipes.iter_mut().find(|(known, _)| *known == channel) {
            // Fails where nobody reads: that data is thrown away, as it is without a reader.
            let _ = pipe.write_all(&data).await;
        }
    }
    Ok(())
}

async fn write<T: AsyncRead + AsyncWrite + Unpin>(
    mut sink: SplitSink<WebSocketStream<T>, Message>,
    encoding: Encoding,
    pipes: Vec<(u8, DuplexStream)>,
    serves: Option<Serves>,
) -> io::Result<()> {
    for (channel, data) in serves.iter().flat_map(|serves| &serves.first) {
        sink.send(encoding.encode(*channel, data)).await.map_err(super::io_error)?;
    }
    let mut pieces = futures_util::stream::select_all(pipes.into_iter().map(|(channel, pipe)| pieces(channel, pipe)));
    let last = serves.as_ref().and_then(|serves| serves.last);
    let mut result = None;
    while let Some((channel, data)) = pieces.next().await {
        match data {
            Some(data) if Some(channel) == last => result = Some(encoding.encode(channel, &data)),
            Some(data) => sink.send(encoding.encode(channel, &data)).await.map_err(super::io_error)?,
            None if channel == STDIN && encoding.half_close => {
                sink.send(encoding.encode(CLOSE, &[channel])).await.map_err(super::io_error)?;
            }
            None => {}
        }
    }
    if serves.is_none() {
        return std::future::pending().await;
    }
    if let Some(result) = result {
        sink.send(result).await.map_err(super::io_error)?;
    }
    let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    sink.send(Message::Close(Some(normal))).await.map_err(super::io_error)
}

/// A pipe's data piece by piece, and None for its end.
fn pieces(channel: u8, pipe: DuplexStream) -> impl futures_util::Stream<Item = (u8, Option<Bytes>)> + Unpin {
    Box::pin(futures_util::stream::unfold(Some(pipe), move |pipe| async move {
        let mut pipe = pipe?;
        let mut piece = vec![0; PIECE];
        match pipe.read(&mut piece).await {
            Ok(read @ 1..) => {
                piece.truncate(read);
                Some(((channel, Some(Bytes::from(piece))), Some(pipe)))
            }
            _ => Some(((channel, None), None)),
        }
    }))
}

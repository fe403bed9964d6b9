//! A SPDY connection: hands incoming frames to their streams and writes what the streams queue.
//!
//! Reading and writing are two loops of one future, so that a peer that does not read cannot keep
//! us from reading. The future must be run by whoever starts the session.

use super::frame::{Frame, FrameReader, FrameWriter, PROTOCOL_ERROR, REFUSED_STREAM};
use super::headers::Headers;
use super::stream::SpdyStream;
use base::Clock;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Streams at a time; upstream's clients open five, or two per forwarded connection.
const MAX_STREAMS: usize = 512;
/// Pieces of data that wait to be read, per stream.
const STREAM_QUEUE: usize = 8;
/// Frames that wait to be written, all streams together.
const OUT_QUEUE: usize = 64;
/// After we have said good-bye the peer gets so long to end the connection.
const LINGER: Duration = Duration::from_secs(5);
/// As many bytes are gathered for one write to the socket.
const GATHER: usize = 64 << 10;

/// Who opened the connection: the client's streams have odd numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// A handle on the connection.
pub struct Session {
    shared: Arc<Shared>,
    incoming: mpsc::Receiver<SpdyStream>,
    next_id: tokio::sync::Mutex<u32>,
}

/// What the session, its streams and its loops share.
pub(super) struct Shared {
    streams: Mutex<BTreeMap<u32, Slot>>,
    /// Bounded by `room`, which every frame holds until it is written, but for the one or two with
    /// which a stream ends and the connection's own end.
    out: mpsc::UnboundedSender<Queued>,
    pub(super) room: Arc<Semaphore>,
    gone: CancellationToken,
}

/// The session's side of a stream.
struct Slot {
    /// None: the peer has finished.
    data: Option<mpsc::Sender<Bytes>>,
    /// Ours, and not answered yet.
    reply: Option<oneshot::Sender<()>>,
    fate: Arc<Fate>,
}

/// How the peer has ended a stream, other than by finishing it.
#[derive(Default)]
pub(super) struct Fate {
    /// Before it had sent everything: reading fails after what has come.
    pub(super) broken: AtomicBool,
    /// It reads no more: writing fails.
    pub(super) unwanted: AtomicBool,
}

impl Slot {
    fn end(&mut self) {
        self.fate.broken.store(self.data.is_some(), Ordering::Release);
        self.fate.unwanted.store(true, Ordering::Release);
        self.data = None;
        self.reply = None;
    }
}

/// What waits to be written.
pub(super) struct Queued {
    /// None: the end of the connection.
    frame: Option<Frame>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Queued {
    pub(super) fn of(frame: Frame) -> Self {
        Queued { frame: Some(frame), _room: None }
    }

    pub(super) fn with_room(frame: Frame, room: OwnedSemaphorePermit) -> Self {
        Queued { frame: Some(frame), _room: Some(room) }
    }
}

/// Starts a session on `io`; the future is the connection's life and must be run.
pub fn start<T>(io: T, role: Role, clock: Clock) -> (Session, impl Future<Output = io::Result<()>> + Send)
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let (out, queued) = mpsc::unbounded_channel();
    let (accept, incoming) = mpsc::channel(STREAM_QUEUE);
    let room = Arc::new(Semaphore::new(OUT_QUEUE));
    let shared = Arc::new(Shared { streams: Mutex::default(), out, room, gone: CancellationToken::new() });
    let next_id = tokio::sync::Mutex::new(if role == Role::Client { 1 } else { 2 });
    let session = Session { shared: Arc::clone(&shared), incoming, next_id };
    (session, run(io, role, clock, shared, accept, queued))
}

async fn run<T: AsyncRead + AsyncWrite + Send + 'static>(
    io: T,
    role: Role,
    clock: Clock,
    shared: Arc<Shared>,
    accept: mpsc::Sender<SpdyStream>,
    queued: mpsc::UnboundedReceiver<Queued>,
) -> io::Result<()> {
    let _end = EndOnDrop(Arc::clone(&shared));
    let (read, write) = tokio::io::split(io);
    let reading = read_loop(FrameReader::new(read), role, &shared, accept);
    let mut writing = std::pin::pin!(write_loop(write, queued, role));
    let mut reading = std::pin::pin!(reading);
    tokio::select! {
        outcome = &mut reading => outcome,
        outcome = &mut writing => {
            outcome?;
            // All is written. What the peer still sends is read over until it ends too: closing
            // earlier could take from it what it has not read.
            clock.timeout(LINGER, reading).await.unwrap_or(Ok(()))
        }
    }
}

/// However the connection ends, its streams learn it.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.room.close();
        shared.lock().values_mut().for_each(Slot::end);
        shared.gone.cancel();
    }
}

async fn write_loop<T: AsyncRead + AsyncWrite>(
    mut io: WriteHalf<T>,
    mut queued: mpsc::UnboundedReceiver<Queued>,
    role: Role,
) -> io::Result<()> {
    let mut writer = FrameWriter::new()?;
    let mut out = BytesMut::new();
    let mut ended = false;
    while !ended {
        let mut next = queued.recv().await;
        ended = next.is_none();
        let mut rooms = Vec::new();
        while let Some(Queued { frame, _room }) = next {
            rooms.push(_room);
            match frame {
                Some(frame) => writer.put(&frame, &mut out)?,
                None => {
                    let last = if role == Role::Server { 0x7fff_ffff } else { 0 };
                    writer.put(&Frame::GoAway { last }, &mut out)?;
                    ended = true;
                    break;
                }
            }
            next = if out.len() < GATHER { queued.try_recv().ok() } else { None };
        }
        io.write_all(&out).await?;
        io.flush().await?;
        out.clear();
    }
    io.shutdown().await
}

async fn read_loop<R: AsyncRead + Unpin>(
    mut frames: FrameReader<R>,
    role: Role,
    shared: &Arc<Shared>,
    accept: mpsc::Sender<SpdyStream>,
) -> io::Result<()> {
    let ours = |id: u32| (id % 2 == 1) == (role == Role::Client);
    while let Some(frame) = frames.next().await? {
        match frame {
            Frame::SynStream { id, fin, headers } => {
                if ours(id) || id == 0 {
                    shared.send(Frame::Reset { id, status: PROTOCOL_ERROR }).await;
                    continue;
                }
                let Some(stream) = shared.register(id, headers, None) else {
                    shared.send(Frame::Reset { id, status: REFUSED_STREAM }).await;
                    continue;
                };
                if fin {
                    shared.finished(id);
                }
                shared.send(Frame::SynReply { id, fin: false, headers: Headers::new() }).await;
                // Nobody accepts any more: dropping the stream tells the peer.
                let _ = accept.send(stream).await;
            }
            Frame::SynReply { id, fin, .. } => {
                if let Some(reply) = shared.lock().get_mut(&id).and_then(|slot| slot.reply.take()) {
                    let _ = reply.send(());
                }
                if fin {
                    shared.finished(id);
                }
            }
            Frame::Data { id, fin, data } => {
                let known = shared.lock().get(&id).map(|slot| (slot.reply.is_some(), slot.data.clone()));
                let (is_early, receiver) = known.unwrap_or_default();
                if is_early {
                    // Nobody can read it yet, and to wait for that would be to wait for ourselves.
                    shared.broken(id);
                    shared.send(Frame::Reset { id, status: PROTOCOL_ERROR }).await;
                    continue;
                }
                if let Some(receiver) = receiver
                    && !data.is_empty()
                {
                    // An unread stream holds up the connection: see the module.
                    let _ = receiver.send(data).await;
                }
                if fin {
                    shared.finished(id);
                }
            }
            Frame::Headers { id, fin: true, .. } => shared.finished(id),
            Frame::Reset { id, .. } => shared.broken(id),
            // One that the peer began comes back as it is; an answer to one of ours would not.
            Frame::Ping(id) if !ours(id) => shared.send(Frame::Ping(id)).await,
            Frame::Ping(_) | Frame::Headers { .. } | Frame::GoAway { .. } | Frame::Ignored => {}
        }
    }
    Ok(())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Slot>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn queue(&self, queued: Queued) {
        // Fails only once the connection is gone, which the stream learns on its own.
        let _ = self.out.send(queued);
    }

    async fn send(&self, frame: Frame) {
        if let Ok(room) = Arc::clone(&self.room).acquire_owned().await {
            self.queue(Queued::with_room(frame, room));
        }
    }

    /// None: there are too many streams, or one of this number, or the connection is gone.
    fn register(self: &Arc<Self>, id: u32, headers: Headers, reply: Option<oneshot::Sender<()>>) -> Option<SpdyStream> {
        let (data, received) = mpsc::channel(STREAM_QUEUE);
        let fate = Arc::new(Fate::default());
        let mut streams = self.lock();
        if streams.len() >= MAX_STREAMS || streams.contains_key(&id) || self.room.is_closed() {
            return None;
        }
        streams.insert(id, Slot { data: Some(data), reply, fate: Arc::clone(&fate) });
        drop(streams);
        Some(SpdyStream::new(id, headers, received, fate, Arc::clone(self)))
    }

    fn finished(&self, id: u32) {
        if let Some(slot) = self.lock().get_mut(&id) {
            slot.data = None;
        }
    }

    fn broken(&self, id: u32) {
        if let Some(slot) = self.lock().get_mut(&id) {
            slot.end();
        }
    }

    /// The stream is dropped. True: the peer does not know yet that it is over.
    pub(super) fn forget(&self, id: u32) -> bool {
        let slot = self.lock().remove(&id);
        slot.is_some_and(|slot| slot.data.is_some())
    }
}

impl Session {
    /// The next stream that the peer opens. None: the connection is over.
    pub async fn accept(&mut self) -> Option<SpdyStream> {
        self.incoming.recv().await
    }

    /// Opens a stream and waits until the peer has accepted it.
    ///
    /// # Errors
    /// The peer refused it, or the connection is over.
    pub async fn open(&self, headers: &[(&str, &str)]) -> io::Result<SpdyStream> {
        let headers: Headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (reply, replied) = oneshot::channel();
        let stream = {
            // Numbers must appear on the wire in their order.
            let mut next_id = self.next_id.lock().await;
            let id = *next_id;
            let stream = self.shared.register(id, Headers::new(), Some(reply));
            let stream = stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
            *next_id += 2;
            self.shared.send(Frame::SynStream { id, fin: false, headers }).await;
            stream
        };
        replied.await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(stream)
    }

    /// Ends the connection once all that is queued has been written.
    pub fn close(&self) {
        self.closer().close();
    }

    /// A handle that can end the connection and wait for its end.
    pub fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.shared))
    }
}

/// See [`Session::closer`].
#[derive(Clone)]
pub struct Closer(Arc<Shared>);

impl Closer {
    pub fn close(&self) {
        self.0.queue(Queued { frame: None, _room: None });
    }

    /// Waits until the connection is gone.
    pub async fn gone(&self) {
        self.0.gone.cancelled().await;
    }
}

/// Ends the connection when it is dropped, once all that is queued has been written.
pub struct CloseOnDrop(pub Closer);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

//! Fetches one layer and unpacks it as it arrives, going on where a broken connection ended.

use super::RegistryError;
use super::http::IDLE_LIMIT;
use super::session::Session;
use crate::compression;
use crate::digest::{Digest, HashingReader};
use crate::manifest::Descriptor;
use crate::store::{Store, StoreError, Work};
use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderValue, RANGE};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces between the network and the disk.
const QUEUE: usize = 64;
/// A layer whose manifest does not say how large it is.
const MAX_UNKNOWN: u64 = 64 << 30;

pub(super) async fn layer(
    session: &Session<'_>,
    store: &Arc<Store>,
    work: &Arc<Work>,
    blob: &Descriptor,
    diff_id: &Digest,
) -> Result<(), RegistryError> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let unpacking = {
        let (store, work, blob, diff_id) = (store.clone(), work.clone(), blob.digest.clone(), diff_id.clone());
        session.env.tasks.spawn_blocking(move || unpack(&store, &work, receiver, &blob, &diff_id))
    };
    let fetched = fetch(session, blob, sender).await;
    let unpacked = unpacking.await.map_err(|error| RegistryError::Interrupted(error.to_string()))?;
    // When the fetch failed, what the unpacking says of it is of no interest.
    fetched.and(unpacked)
}

/// Blocks.
fn unpack(
    store: &Store,
    work: &Work,
    receiver: mpsc::Receiver<Bytes>,
    blob: &Digest,
    diff_id: &Digest,
) -> Result<(), RegistryError> {
    let io = |error: io::Error| RegistryError::Store(StoreError::Layer(crate::layer::LayerError::Read(error)));
    let mut arriving = HashingReader::new(Arriving { receiver, current: Bytes::new() });
    let added = match compression::decompress(&mut arriving) {
        Ok(tar) => store.add_layer(work, diff_id, tar).map_err(RegistryError::Store),
        Err(error) => Err(io(error)),
    };
    io::copy(&mut arriving, &mut io::sink()).map_err(io)?;
    // Damage on the way is the better reason than what the damage looked like to the unpacking.
    let found = arriving.finish();
    if found != *blob {
        return Err(RegistryError::Digest { what: "layer".to_owned(), expected: blob.clone(), found });
    }
    added
}

/// What the network delivers, as a reader.
struct Arriving {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(bytes) => self.current = bytes,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

async fn fetch(session: &Session<'_>, blob: &Descriptor, sender: mpsc::Sender<Bytes>) -> Result<(), RegistryError> {
    let path = format!("blobs/{}", blob.digest);
    let limit = if blob.size == 0 { MAX_UNKNOWN } else { blob.size };
    let mut done = 0;
    let mut backoff = session.backoff();
    loop {
        let before = done;
        let mut headers = HeaderMap::new();
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={done}-"))
            && done > 0
        {
            headers.insert(RANGE, range);
        }
        let answer = session.ask(&Method::GET, &path, &headers).await?;
        match pour(session, answer, &sender, &mut done, limit).await {
            Err(error) if error.is_passing() => {
                if done > before {
                    backoff.reset();
                }
                if !session.wait(&mut backoff).await {
                    return Err(error);
                }
            }
            ended => return ended,
        }
    }
}

/// Passes a body on from byte `done`, keeping count.
async fn pour(
    session: &Session<'_>,
    answer: Response<Incoming>,
    sender: &mpsc::Sender<Bytes>,
    done: &mut u64,
    limit: u64,
) -> Result<(), RegistryError> {
    // A server without ranges starts over.
    let mut skip = if answer.status() == StatusCode::PARTIAL_CONTENT { 0 } else { *done };
    let mut body = answer.into_body();
    let broken = |why: String| RegistryError::Body { url: session.endpoint.base.clone(), why };
    loop {
        let frame = session.env.clock.timeout(IDLE_LIMIT, body.frame()).await;
        let frame = frame.map_err(|_| broken("i/o timeout".to_owned()))?;
        let Some(frame) = frame else { break };
        let Ok(mut bytes) = frame.map_err(|why| broken(why.to_string()))?.into_data() else { continue };
        let skipped = skip.min(bytes.len() as u64);
        skip -= skipped;
        bytes.advance(usize::try_from(skipped).unwrap_or(0));
        *done += bytes.len() as u64;
        if *done > limit {
            return Err(RegistryError::TooLarge { what: "layer".to_owned(), limit });
        }
        if sender.send(bytes).await.is_err() {
            // The unpacking ended early and says why.
            return Ok(());
        }
    }
    if *done < limit && limit != MAX_UNKNOWN {
        return Err(broken(format!("{done} of {limit} bytes")));
    }
    Ok(())
}

//! The way to a key service: gRPC over a unix socket, from a thread of its own, because values are
//! sealed and opened on the store's threads, which are no place for async code.

use super::messages::{Fields, Message};
use base::Clock;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Calls that may wait.
const WAITING: usize = 64;
const ANSWER_LIMIT: usize = 1 << 20;

/// What a service says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    pub version: String,
    pub healthz: String,
    pub key_id: String,
}

/// A key that a service has sealed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sealed {
    pub ciphertext: Vec<u8>,
    pub key_id: String,
    pub annotations: Vec<(String, Vec<u8>)>,
}

struct Job {
    method: &'static str,
    message: Vec<u8>,
    answer: SyncSender<Result<Bytes, String>>,
}

/// Calls one key service.
pub(super) struct Agent {
    jobs: SyncSender<Job>,
    limit: Duration,
}

impl Agent {
    /// # Errors
    /// The endpoint is no unix socket's, or there is no room for a thread.
    pub(super) fn start(name: &str, endpoint: &str, limit: Duration) -> Result<Self, String> {
        let path = endpoint.strip_prefix("unix://").filter(|path| path.starts_with(['/', '@']));
        let path = PathBuf::from(path.ok_or_else(|| format!("endpoint {endpoint:?}: must be a unix:///path"))?);
        let (jobs, waiting) = sync_channel(WAITING);
        base::tasks::thread(&format!("kms {name}"), move || serve(&path, limit, &waiting))
            .map_err(|error| error.to_string())?;
        Ok(Agent { jobs, limit })
    }

    pub(super) fn status(&self) -> Result<Health, String> {
        let answer = self.call("Status", Vec::new())?;
        let fields = Fields::read(&answer).ok_or("cannot read the key service's answer")?;
        Ok(Health { version: fields.text(1), healthz: fields.text(2), key_id: fields.text(3) })
    }

    pub(super) fn encrypt(&self, plain: &[u8], uid: &str) -> Result<Sealed, String> {
        let message = Message::default().bytes(1, plain).bytes(2, uid.as_bytes()).done();
        let answer = self.call("Encrypt", message)?;
        let fields = Fields::read(&answer).ok_or("cannot read the key service's answer")?;
        Ok(Sealed { ciphertext: fields.bytes(1).to_vec(), key_id: fields.text(2), annotations: fields.map(3) })
    }

    pub(super) fn decrypt(&self, sealed: &Sealed, uid: &str) -> Result<Vec<u8>, String> {
        let message = Message::default()
            .bytes(1, &sealed.ciphertext)
            .bytes(2, uid.as_bytes())
            .bytes(3, sealed.key_id.as_bytes())
            .map(4, &sealed.annotations)
            .done();
        let answer = self.call("Decrypt", message)?;
        Ok(Fields::read(&answer).ok_or("cannot read the key service's answer")?.bytes(1).to_vec())
    }

    fn call(&self, method: &'static str, message: Vec<u8>) -> Result<Bytes, String> {
        let (answer, answered) = sync_channel(1);
        self.jobs.try_send(Job { method, message, answer }).map_err(|error| match error {
            TrySendError::Full(_) => "too many calls wait for the key service".to_owned(),
            TrySendError::Disconnected(_) => "the key service's thread has ended".to_owned(),
        })?;
        // Those before this one may each take the whole time they have.
        let most = self.limit.saturating_mul(u32::try_from(WAITING).unwrap_or(u32::MAX));
        answered.recv_timeout(most).map_err(|_| "the key service does not answer".to_owned())?
    }
}

fn serve(path: &Path, limit: Duration, waiting: &Receiver<Job>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let clock = Clock::real();
    while let Ok(job) = waiting.recv() {
        let outcome = match &runtime {
            Ok(runtime) => runtime.block_on(async {
                let call = clock.timeout(limit, call(path, job.method, job.message)).await;
                call.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()))
            }),
            Err(error) => Err(error.to_string()),
        };
        // The asker may have given up.
        let _ = job.answer.send(outcome);
    }
}

async fn call(path: &Path, method: &str, message: Vec<u8>) -> Result<Bytes, String> {
    let text = |error: hyper::Error| error.to_string();
    let stream = tokio::net::UnixStream::connect(path).await;
    let stream = stream.map_err(|error| format!("dial unix {}: {error}", path.display()))?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(text)?;
    let request = http::Request::post(format!("http://localhost/v2.KeyManagementService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(framed(&message)))
        .map_err(|error| error.to_string())?;
    // Owns the sender: once it has its answer, the connection ends.
    let asked = async move {
        let response = sender.send_request(request).await.map_err(text)?;
        let headers = response.headers().clone();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let field = |name: &str| trailers.get(name).or_else(|| headers.get(name)).and_then(|value| value.to_str().ok());
        match field("grpc-status") {
            Some("0") => Ok(body.to_bytes()),
            status => {
                let (code, why) = (status.unwrap_or("2"), field("grpc-message").unwrap_or_default());
                Err(format!("rpc error: code = {code} desc = {why}"))
            }
        }
    };
    let (body, ended) = tokio::join!(asked, connection);
    if let (Err(why), Err(end)) = (&body, ended) {
        return Err(format!("{why}: {end}"));
    }
    let body: Bytes = body?;
    match body.get(5..) {
        Some(message) if body[0] == 0 => Ok(body.slice_ref(message)),
        _ => Err("cannot read the key service's answer".to_owned()),
    }
}

/// One message as gRPC frames it: not compressed, its length before it.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

//! Reading answers: bounded bodies, lists taken apart without parsing their items, watches line by
//! line, failures as Status.

use crate::{Error, Event, EventType, List, Watch};
use base::Clock;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use meta::{Reason, Status, StatusDetails};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// One object; servers refuse objects over 3 MB.
pub(super) const OBJECT_LIMIT: usize = 64 << 20;
/// A list without a limit of its own, as kubectl may ask for.
const LIST_LIMIT: usize = 1 << 30;
/// An object and its previous state fit well.
const LINE_LIMIT: usize = 32 << 20;
const FAILURE_LIMIT: usize = 1 << 20;
/// The longest silence within an answer that is not a watch.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// The body of an answer, read piece by piece.
pub struct Body {
    status: http::StatusCode,
    retry_after: Option<u32>,
    incoming: Incoming,
    clock: Clock,
}

/// What a body can be made of: a response, for its status too.
pub(super) trait Source {
    fn split(self) -> (http::StatusCode, Option<u32>, Incoming);
}

impl Source for Incoming {
    fn split(self) -> (http::StatusCode, Option<u32>, Incoming) {
        (http::StatusCode::OK, None, self)
    }
}

impl Source for http::Response<Incoming> {
    fn split(self) -> (http::StatusCode, Option<u32>, Incoming) {
        let header = self.headers().get(http::header::RETRY_AFTER);
        let retry_after = header.and_then(|value| value.to_str().ok()?.parse().ok());
        (self.status(), retry_after, self.into_body())
    }
}

impl Body {
    pub(super) fn new(source: impl Source, clock: Clock) -> Self {
        let (status, retry_after, incoming) = source.split();
        Body { status, retry_after, incoming, clock }
    }

    /// The next piece; None at the end. Waits as long as it takes.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            match self.incoming.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Some(Ok(data)),
                    _ => continue,
                },
                Err(error) => return Some(Err(super::connection_error(error))),
            }
        }
    }

    /// The whole body, at most `limit` bytes.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        let clock = self.clock.clone();
        loop {
            let piece = clock.timeout(SILENCE_LIMIT, self.next()).await;
            match piece.map_err(|_| Error::Connection("the answer stopped halfway".to_owned()))? {
                None => return Ok(whole.freeze()),
                Some(piece) => whole.extend_from_slice(&piece?),
            }
            if whole.len() > limit {
                return Err(Error::Decode(format!("the answer is longer than {limit} bytes")));
            }
        }
    }
}

pub(super) async fn list(body: Body) -> Result<List, Error> {
    split_list(&body.collect(LIST_LIMIT).await?)
}

/// Takes a list apart; its items share `body`.
pub(super) fn split_list(body: &Bytes) -> Result<List, Error> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        metadata: meta::status::ListMeta,
        #[serde(borrow, default)]
        items: Option<Vec<&'a RawValue>>,
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|error| Error::Decode(error.to_string()))?;
    let items = wire.items.unwrap_or_default();
    Ok(List {
        items: items.into_iter().map(|item| body.slice_ref(item.get().as_bytes())).collect(),
        resource_version: wire.metadata.resource_version,
        continue_token: Some(wire.metadata.continue_).filter(|token| !token.is_empty()),
        remaining: wire.metadata.remaining_item_count,
        metadata: Vec::new(),
    })
}

pub(super) fn watch(body: Body) -> Watch {
    let state = Some((body, BytesMut::new()));
    Box::pin(stream::unfold(state, |state| async {
        let (mut body, mut buffer) = state?;
        let next = next_event(&mut body, &mut buffer).await?;
        let ended = next.is_err();
        Some((next, (!ended).then_some((body, buffer))))
    }))
}

async fn next_event(body: &mut Body, buffer: &mut BytesMut) -> Option<Result<Event, Error>> {
    let mut searched = 0;
    loop {
        if let Some(end) = buffer[searched..].iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(searched + end + 1).freeze();
            searched = 0;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return Some(read_event(&line));
        }
        searched = buffer.len();
        if searched > LINE_LIMIT {
            return Some(Err(Error::Decode(format!("a watch event is longer than {LINE_LIMIT} bytes"))));
        }
        match body.next().await {
            Some(Ok(piece)) => buffer.extend_from_slice(&piece),
            Some(Err(error)) => return Some(Err(error)),
            None if buffer.is_empty() => return None,
            None => return Some(Err(Error::Connection("the watch broke off within an event".to_owned()))),
        }
    }
}

pub(super) fn read_event(line: &Bytes) -> Result<Event, Error> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(borrow)]
        object: &'a RawValue,
    }
    let wire: Wire = serde_json::from_slice(line).map_err(|error| Error::Decode(error.to_string()))?;
    let object = line.slice_ref(wire.object.get().as_bytes());
    match EventType::parse(&wire.kind) {
        Some(kind) => Ok(Event { kind, object, metadata: None }),
        None if wire.kind == "ERROR" => {
            let status: Status = serde_json::from_slice(&object).map_err(|error| Error::Decode(error.to_string()))?;
            Err(status.into())
        }
        None => Err(Error::Decode(format!("unknown watch event {:?}", wire.kind))),
    }
}

/// The Status of an answer that is none of success.
pub(super) async fn failure(body: Body) -> Error {
    let (code, retry_after) = (body.status, body.retry_after);
    match body.collect(FAILURE_LIMIT).await {
        Ok(text) => Error::from(read_failure(code, retry_after, &text)),
        Err(error) => error,
    }
}

pub(super) fn read_failure(code: http::StatusCode, retry_after: Option<u32>, text: &[u8]) -> Status {
    let mut status = match serde_json::from_slice::<Status>(text) {
        Ok(status) if status.status == "Failure" => status,
        _ => {
            let text = String::from_utf8_lossy(text);
            let told = text.trim();
            let reason = reason_of(code);
            let message = match (reason, told) {
                (Reason::Unauthorized, _) => "the server has asked for the client to provide credentials".to_owned(),
                (Reason::NotFound, _) => "the server could not find the requested resource".to_owned(),
                (_, "") => format!("the server responded with the status code {}", code.as_u16()),
                (_, told) => told.to_owned(),
            };
            Status::failure(reason, message).with_code(code.as_u16())
        }
    };
    if let Some(seconds) = retry_after {
        let details = status.details.get_or_insert_with(|| Box::new(StatusDetails::default()));
        details.retry_after_seconds = details.retry_after_seconds.max(seconds);
    }
    status
}

/// The reason that stands for a bare status code.
fn reason_of(code: http::StatusCode) -> Reason {
    match code.as_u16() {
        400 => Reason::BadRequest,
        401 => Reason::Unauthorized,
        403 => Reason::Forbidden,
        404 => Reason::NotFound,
        405 => Reason::MethodNotAllowed,
        406 => Reason::NotAcceptable,
        409 => Reason::Conflict,
        410 => Reason::Gone,
        413 => Reason::RequestEntityTooLarge,
        415 => Reason::UnsupportedMediaType,
        422 => Reason::Invalid,
        429 => Reason::TooManyRequests,
        500 => Reason::InternalError,
        503 => Reason::ServiceUnavailable,
        504 => Reason::Timeout,
        _ => Reason::Unknown,
    }
}

//! What surrounds the work on one request: its clock and identity, its seats, what is counted and
//! recorded of it, and the headers that tell of these.

use super::measure::Counted;
use super::path::{self, ResourcePath};
use super::payload::Payload;
use super::{Front, HttpRequest, HttpResponse};
use crate::flow::{Crowded, Pass};
use crate::server::Server;
use audit::Record;
use flowcontrol::Flow;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use meta::{Attributes, Reason, Status, StatusDetails, User};
use std::time::Duration;
use tokio::time::Instant;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
const MAX_AUDIT_ID: usize = 64;

/// One request, from its arrival to its answer.
pub struct Visit {
    pub started: Instant,
    pub audit_id: HeaderValue,
    pub pass: Pass,
    pub counted: Counted,
    pub record: Option<Box<Record>>,
    /// Why the answer is none, where that is known.
    pub failure: Option<Status>,
    /// Watches and streams: they have no time limit, and are recorded when they begin and end.
    pub long_running: bool,
}

impl Visit {
    pub fn begin(server: &Server, request: &HttpRequest, found: Option<&ResourcePath>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let verb = verb(request.method(), query, found);
        let subresource = found.and_then(|found| found.subresource.as_deref()).unwrap_or_default();
        Visit {
            started: server.env.clock.instant(),
            audit_id: audit_id(server, request.headers()),
            pass: Pass::default(),
            counted: Counted {
                row: None,
                verb: counted_verb(verb, request),
                scope: scope(found, verb),
                subresource: subresource.to_owned(),
            },
            record: None,
            failure: None,
            long_running: verb == "watch" || (found.is_some() && crate::connect::is_connection(subresource)),
        }
    }

    /// How long the request may take; None: as long as it lasts.
    ///
    /// # Errors
    /// The client named a time that is none.
    pub fn time_limit(&self, server: &Server, query: &str) -> Result<Option<Duration>, Status> {
        if self.long_running {
            return Ok(None);
        }
        let most = server.settings.limits.request_timeout;
        if !query.contains("timeout=") {
            return Ok(Some(most));
        }
        let asked = path::pairs(query).find(|(key, _)| key == "timeout").map(|(_, value)| value);
        let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Ok(Some(most)) };
        let limit =
            go_duration(&asked).ok_or_else(|| Status::bad_request("invalid timeout specified in the request URL"))?;
        Ok(Some(if limit.is_zero() { most } else { limit.min(most) }))
    }

    /// What the client is told instead of an object.
    pub fn record_failure(&mut self, status: &Status) {
        if let Some(record) = self.record.as_mut().filter(|record| record.wants_response()) {
            record.set_response(&serde_json::to_vec(status).unwrap_or_default().into());
        }
    }

    /// The answer, with headers, counted and recorded.
    pub fn end(self, front: &Front, response: HttpResponse, failure: Option<&Status>) -> HttpResponse {
        let Visit { started, audit_id, pass, counted, mut record, long_running, failure: own } = self;
        let failure = failure.or(own.as_ref());
        let (mut parts, mut body) = response.into_parts();
        let code = parts.status.as_u16();
        parts.headers.insert(AUDIT_ID, audit_id);
        if let Some(flow) = &pass.flow {
            add_flow(&mut parts.headers, flow);
        }
        if let (Payload::Stream(stream), true) = (&mut body, long_running) {
            // A watch: it has begun, and its seats are others'.
            drop(pass);
            if let Some(record) = &mut record {
                record.started(code);
            }
            let running = front.measure.long_running(&counted);
            let stream = std::mem::replace(stream, Box::pin(futures_util::stream::empty()));
            let drain = front.drain.clone();
            let stream = stream.take_until(Box::pin(async move { drain.begun().await }));
            body = Payload::Stream(Box::pin(stream)).holding((Ending(record, code), running));
            return HttpResponse::from_parts(parts, body);
        }
        let size = match &body {
            Payload::Full(bytes) => Some(bytes.len() as u64),
            _ => None,
        };
        let seconds = front.server.env.clock.instant().duration_since(started).as_secs_f64();
        front.measure.count(&counted, code, seconds, size);
        if let Some(record) = record {
            record.complete(code, failure);
        }
        if matches!(body, Payload::Chunks(_)) {
            // Made while it is sent.
            body = body.holding(pass);
        }
        HttpResponse::from_parts(parts, body)
    }
}

/// Records the end of a watch, whoever ended it.
struct Ending(Option<Box<Record>>, u16);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(record) = self.0.take() {
            record.complete(self.1, None);
        }
    }
}

fn add_flow(headers: &mut HeaderMap, flow: &Flow) {
    for (name, uid) in [(SCHEMA_UID, &flow.schema_uid), (LEVEL_UID, &flow.level_uid)] {
        if let Ok(uid) = HeaderValue::from_maybe_shared(uid.clone()) {
            headers.insert(name, uid);
        }
    }
}

/// Upstream's answer to those who find no seat.
pub fn crowded(crowded: &Crowded) -> HttpResponse {
    let text = "Too many requests, please try again later.\n";
    let mut response = super::respond::text_response(StatusCode::TOO_MANY_REQUESTS, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(crowded.retry_after));
    if let Some(flow) = &crowded.flow {
        add_flow(response.headers_mut(), flow);
    }
    response
}

/// Upstream's answer where the time was over.
pub fn too_late() -> Status {
    let message = "Timeout: request did not complete within the allotted timeout";
    Status::failure(Reason::Timeout, message).with_details(StatusDetails::default())
}

/// The client's own id for the request, or a new one.
fn audit_id(server: &Server, headers: &HeaderMap) -> HeaderValue {
    if let Some(given) = headers.get(AUDIT_ID).filter(|given| !given.is_empty() && given.len() <= MAX_AUDIT_ID) {
        return given.clone();
    }
    // Letters, digits and dashes.
    HeaderValue::try_from(server.env.rng.uuid()).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// As authorization names it.
pub fn verb(method: &Method, query: &str, found: Option<&ResourcePath>) -> &'static str {
    let lower = match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "",
    };
    let Some(found) = found else { return lower };
    match lower {
        "get" | "head" if found.subresource.is_none() && (found.watch || path::has_flag(query, "watch")) => "watch",
        "get" | "head" if found.name.is_some() => "get",
        "get" | "head" => "list",
        "post" => "create",
        "put" => "update",
        "delete" if found.name.is_none() => "deletecollection",
        other => other,
    }
}

/// What a request asks, from its line alone.
pub fn attributes<'a>(user: &'a User, request: &'a HttpRequest, found: Option<&'a ResourcePath>) -> Attributes<'a> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let verb = verb(request.method(), query, found);
    let Some(found) = found else { return Attributes::path(user, verb, path) };
    Attributes {
        version: &found.version,
        subresource: found.subresource.as_deref().unwrap_or_default(),
        namespace: found.namespace.as_deref().unwrap_or_default(),
        name: found.name.as_deref().unwrap_or_default(),
        ..Attributes::resource(user, verb, &found.group, &found.resource)
    }
}

fn counted_verb(verb: &str, request: &HttpRequest) -> &'static str {
    let subresource_connects = |request: &HttpRequest| request.headers().contains_key(header::UPGRADE);
    match verb {
        _ if subresource_connects(request) => "CONNECT",
        "get" | "head" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => {
            let kind = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
            if kind.starts_with(b"application/apply-patch") { "APPLY" } else { "PATCH" }
        }
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
}

fn scope(found: Option<&ResourcePath>, verb: &str) -> &'static str {
    match found {
        None => "",
        Some(found) if found.name.is_some() || verb == "create" => "resource",
        Some(found) if found.namespace.is_some() => "namespace",
        Some(_) => "cluster",
    }
}

/// As Go writes durations: `1m30s`, `500ms`, `1.5h`.
pub fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, millis) in [("1m30s", 90_000), ("500ms", 500), ("1.5h", 5_400_000), ("0", 0)] {
            assert_eq!(go_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(go_duration("5"), None);
        assert_eq!(go_duration("abc"), None);
    }

    #[test]
    fn verbs_are_those_of_authorization() {
        let pods = ResourcePath::parse("/api/v1/pods");
        let pod = ResourcePath::parse("/api/v1/namespaces/a/pods/b");
        assert_eq!(verb(&Method::GET, "limit=5&watch=true", pods.as_ref()), "watch");
        assert_eq!(verb(&Method::GET, "watch=0", pods.as_ref()), "list");
        assert_eq!(verb(&Method::GET, "", pod.as_ref()), "get");
        assert_eq!(verb(&Method::DELETE, "", pods.as_ref()), "deletecollection");
        assert_eq!(verb(&Method::POST, "", None), "post");
    }
}

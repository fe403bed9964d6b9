//! Requests of this process's own rooms to aggregated servers, without an HTTP request to pass on:
//! an autoscaler that asks for custom metrics, a collector that looks at another server's objects.
//!
//! Watches are refused: rooms watch what this server keeps itself.

use super::fetch::{Errand, fetch};
use super::{Aggregator, Remote, pass};
use crate::connect::endpoint;
use crate::server::Server;
use bytes::Bytes;
use client::{Request, Response, Verb};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use meta::{Reason, Status, User};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

impl Aggregator {
    /// One small GET in the name of a user.
    pub(super) async fn get(
        &self,
        tls: Arc<ClientConfig>,
        (host, port, server_name): (&str, u16, &str),
        user: &User,
        path: &str,
    ) -> Result<(StatusCode, Bytes), String> {
        let headers = headers(user, "application/json");
        let (method, body) = (Method::GET, Bytes::new());
        fetch(&self.env, Errand { tls, host, port, server_name, method, path, headers, body }).await
    }

    /// # Errors
    /// The Status to give the room.
    pub(crate) async fn ask(
        &self,
        server: &Server,
        remote: &Remote,
        user: &User,
        request: &Request,
    ) -> Result<Response, Status> {
        if !remote.is_available {
            return Err(pass::unavailable());
        }
        let unreachable =
            |why: String| Status::failure(Reason::ServiceUnavailable, format!("error trying to reach service: {why}"));
        let (host, port) =
            endpoint(server, &remote.namespace, &remote.service, remote.port).map_err(|_| pass::unavailable())?;
        let method = match request.verb {
            Verb::Get | Verb::List => Method::GET,
            Verb::Create => Method::POST,
            Verb::Update => Method::PUT,
            Verb::Patch(_) => Method::PATCH,
            Verb::Delete | Verb::DeleteCollection => Method::DELETE,
            Verb::Watch => return Err(Status::method_not_supported(&request.resource.group_resource(), "watch")),
        };
        let sent = match request.verb {
            Verb::Patch(kind) => kind.media_type(),
            _ => "application/json",
        };
        let path = client::https::path_and_query(request);
        let (tls, server_name) = (self.tls(remote).map_err(unreachable)?, remote.server_name());
        let errand = Errand {
            tls,
            host: &host,
            port,
            server_name: &server_name,
            method,
            path: &path,
            headers: headers(user, sent),
            body: request.body.clone(),
        };
        let (status, body) = fetch(&self.env, errand).await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        match request.verb {
            Verb::List => list(&body).map(Response::List),
            _ => Ok(Response::Object { body, created: status == StatusCode::CREATED }),
        }
    }
}

fn headers(user: &User, sent: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sent));
    pass::identify(&mut headers, user);
    headers
}

fn refusal(code: StatusCode, body: &[u8]) -> Status {
    if let Ok(status) = serde_json::from_slice::<Status>(body)
        && status.status == "Failure"
    {
        return status;
    }
    match code {
        StatusCode::NOT_FOUND => Status::no_such_path(),
        StatusCode::SERVICE_UNAVAILABLE => pass::unavailable(),
        _ => Status::failure(Reason::Unknown, String::from_utf8_lossy(body).into_owned()).with_code(code.as_u16()),
    }
}

fn list(body: &Bytes) -> Result<client::List, Status> {
    #[derive(Deserialize)]
    struct Whole<'b> {
        #[serde(default)]
        metadata: meta::status::ListMeta,
        #[serde(borrow, default)]
        items: Option<Vec<&'b RawValue>>,
    }
    let whole: Whole<'_> = serde_json::from_slice(body).map_err(Status::internal)?;
    let items = whole.items.unwrap_or_default();
    Ok(client::List {
        resource_version: whole.metadata.resource_version,
        continue_token: Some(whole.metadata.continue_).filter(|token| !token.is_empty()),
        remaining: whole.metadata.remaining_item_count,
        items: items.into_iter().map(|item| Bytes::copy_from_slice(item.get().as_bytes())).collect(),
        metadata: Vec::new(),
    })
}

//! Requests that are passed on: logs, exec, attach and port-forward to the node of a pod, and the
//! proxies of pods, services and nodes.
//!
//! The bytes of an upgraded connection go through untouched: nodes speak the client's protocols
//! themselves.

mod admit;
mod forward;
mod links;
mod logs;
mod target;

pub(crate) use forward::forward;
pub(crate) use target::{Target, Tls, endpoint, kubelet_address};

use crate::aggregate::fetch::{Errand, fetch};
use crate::http::{HttpRequest, HttpResponse, Payload};
use crate::server::Server;
use auth::Attributes;
use base::Env;
use meta::{Status, User};
use std::sync::Arc;

/// A request's path, taken apart.
pub struct Asked {
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    /// After `proxy/`.
    pub rest: String,
}

/// True for subresources that are handled here.
pub fn is_connection(subresource: &str) -> bool {
    matches!(subresource, "log" | "exec" | "attach" | "portforward" | "proxy")
}

/// The way to nodes and pods.
pub struct Connector {
    env: Env,
    /// Trusts the cluster's CA and shows the API server's client certificate to kubelets.
    tls: Arc<rustls::ClientConfig>,
}

impl Connector {
    pub fn new(env: Env, tls: Arc<rustls::ClientConfig>) -> Self {
        Connector { env, tls }
    }

    /// A small document of a kubelet.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn read(&self, host: &str, port: u16, path: &str) -> Result<String, String> {
        let errand = Errand {
            tls: self.tls.clone(),
            host,
            port,
            server_name: host,
            method: http::Method::GET,
            path,
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
        };
        let (status, body) = fetch(&self.env, errand).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() { Ok(text) } else { Err(format!("{status}: {text}")) }
    }

    pub(crate) async fn handle(
        &self,
        server: &Server,
        user: &User,
        asked: Asked,
        request: HttpRequest,
    ) -> Result<HttpResponse, Status> {
        let resource = server.resources.find("", "v1", &asked.resource).ok_or_else(Status::no_such_path)?;
        let known = resource.kind.subresource(&asked.subresource).ok_or_else(Status::no_such_path)?;
        let verb = verb(&asked.subresource, request.method());
        if !known.verbs.contains(&verb) {
            return Err(Status::method_not_supported(&resource.group_resource(), verb));
        }
        let attributes = Attributes {
            version: "v1",
            namespace: &asked.namespace,
            name: &asked.name,
            subresource: &asked.subresource,
            ..Attributes::resource(user, verb, "", &asked.resource)
        };
        server.authorize_attributes(&attributes)?;
        let query = request.uri().query().unwrap_or_default().to_owned();
        if let Some(answer) = redirect(&asked, &request) {
            return Ok(answer);
        }
        admit::admit(server, user, &resource, &asked, &query).await?;
        let target = target::find(server, &asked, &query)?;
        if asked.subresource == "log" && streams::proxy::check(&request).is_ok() {
            return logs::over_websocket(&self.env, &self.tls, target, request).await;
        }
        forward::forward(&self.env, &self.tls, target, request).await
    }
}

/// Relative links in a page work only if the path of what was proxied ends with a slash.
fn redirect(asked: &Asked, request: &HttpRequest) -> Option<HttpResponse> {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), http::Method::GET | http::Method::HEAD);
    let applies = asked.subresource == "proxy" && asked.rest.is_empty() && is_read && !path.ends_with('/');
    if !applies || request.headers().contains_key(http::header::UPGRADE) {
        return None;
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut answer = http::Response::new(Payload::empty());
    *answer.status_mut() = http::StatusCode::MOVED_PERMANENTLY;
    let location = http::HeaderValue::try_from(format!("{path}/{query}")).ok()?;
    answer.headers_mut().insert(http::header::LOCATION, location);
    Some(answer)
}

/// Opening a stream into a container is a create, whichever method carries it.
fn verb(subresource: &str, method: &http::Method) -> &'static str {
    match (subresource, method.as_str()) {
        ("exec" | "attach" | "portforward", _) | (_, "POST") => "create",
        (_, "PUT") => "update",
        (_, "PATCH") => "patch",
        (_, "DELETE") => "delete",
        _ => "get",
    }
}

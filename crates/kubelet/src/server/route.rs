//! From a request to its handler: path, who asks, whether they may.

use super::authenticate::Gate;
use super::{Body, access, exec, forward, logs, metrics, pods, text};
use crate::agent::Agent;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use meta::User;
use percent_encoding::percent_decode_str;
use std::sync::Arc;

/// The other end of a connection.
pub(super) struct Peer {
    /// By client certificate.
    pub user: Option<User>,
}

pub(super) type Query = Vec<(String, String)>;

pub(super) async fn answer(agent: &Arc<Agent>, gate: &Gate, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    if let Err(refusal) = check(gate, peer, &request).await {
        return refusal;
    }
    let path: Vec<String> = request.uri().path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let query = query(request.uri().query().unwrap_or(""));
    let get = request.method() == Method::GET || request.method() == Method::HEAD;
    match parts.as_slice() {
        ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] if get => text(StatusCode::OK, "ok"),
        ["pods"] if get => pods::list(agent, |_| true),
        ["runningpods"] if get => pods::list(agent, |uid| agent.view.pod(uid).running().next().is_some()),
        ["containerLogs", namespace, pod, container] if get => logs::answer(agent, namespace, pod, container, &query),
        ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
            exec::exec(agent, namespace, pod, container, &query, request).await
        }
        ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
            exec::attach(agent, namespace, pod, container, &query, request).await
        }
        ["run", namespace, pod, container] | ["run", namespace, pod, _, container]
            if request.method() == Method::POST =>
        {
            exec::run(agent, namespace, pod, container, &query).await
        }
        ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
            forward::answer(agent, namespace, pod, &query, request)
        }
        ["stats", "summary"] => metrics::summary(agent).await,
        ["metrics"] if get => text(StatusCode::OK, agent.env.metrics.render()),
        ["metrics", "resource"] if get => metrics::resource(agent).await,
        ["metrics", "cadvisor"] if get => metrics::cadvisor(agent).await,
        ["metrics", "probes"] if get => text(StatusCode::OK, ""),
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

async fn check(gate: &Gate, peer: &Peer, request: &Request<Incoming>) -> Result<(), Response<Body>> {
    let broken = |error: String| text(StatusCode::INTERNAL_SERVER_ERROR, error);
    let header = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim).filter(|token| !token.is_empty());
    let user = match (token, &peer.user) {
        (_, Some(user)) => Some(user.clone()),
        (Some(token), None) => gate.token(token).await.map_err(broken)?,
        (None, None) => None,
    };
    let Some(user) = user else { return Err(text(StatusCode::UNAUTHORIZED, "Unauthorized")) };
    let access = access::of(request.method(), request.uri().path());
    if gate.allows(&user, &access).await.map_err(broken)? {
        return Ok(());
    }
    let message = format!(
        "Forbidden (user={}, verb={}, resource=nodes, subresource(s)=[{}])",
        user.name,
        access.verb,
        access.subresources.join(" ")
    );
    Err(text(StatusCode::FORBIDDEN, message))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn query(text: &str) -> Query {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

pub(super) fn is_set(query: &Query, name: &str) -> bool {
    query.iter().any(|(key, value)| key == name && matches!(value.as_str(), "1" | "true"))
}

//! Finding pods and containers by what a path names, and listing them.

use super::{Body, full, text};
use crate::agent::Agent;
use crate::pod::PodRuntime;
use bytes::BytesMut;
use client::Item;
use http::{Response, StatusCode};
use std::sync::Arc;

/// The pods of the node as the API server knows them.
pub(super) fn list(agent: &Agent, keep: impl Fn(&str) -> bool) -> Response<Body> {
    let mut body = BytesMut::from(&br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#[..]);
    let mut first = true;
    let all = agent.pods.list().into_iter().map(|item| agent.statics.behind(&item).unwrap_or(item));
    for item in all.filter(|item| keep(&item.meta.uid)) {
        if !first {
            body.extend_from_slice(b",");
        }
        first = false;
        body.extend_from_slice(&item.bytes);
    }
    body.extend_from_slice(b"]}");
    full(StatusCode::OK, "application/json", body.freeze())
}

/// A pod with its share of the runtime.
type Found = (Arc<Item<()>>, PodRuntime);

/// # Errors
/// The answer to give where there is none.
pub(super) fn find(agent: &Agent, namespace: &str, name: &str) -> Result<Found, Box<Response<Body>>> {
    let item = agent.pods.get(namespace, name).ok_or_else(|| {
        Box::new(text(StatusCode::NOT_FOUND, format!("pod {:?} not found", format!("{namespace}/{name}"))))
    })?;
    let item = agent.statics.behind(&item).unwrap_or(item);
    let runtime = agent.view.pod(&item.meta.uid);
    Ok((item, runtime))
}

//! The parts of objects that have paths of their own. One file each, one line in [`ALL`]; those
//! that only open a connection to a node (log, exec, proxy, …) are in `crate::connect`.

mod approval;
mod binding;
mod eviction;
mod finalize;
mod pod_parts;
mod scale;
mod status;
mod token;

use crate::answer::Answer;
use crate::resources::Resource;
use crate::server::Server;
use crate::write::{Caller, Media};
use client::{BoxFuture, Request};
use meta::Status;
use std::sync::Arc;

/// Everything a subresource gets of its request.
pub(crate) struct Call<'a, 'c> {
    pub server: &'a Server,
    pub resource: &'a Arc<Resource>,
    pub request: &'a Request,
    pub media: Media,
    pub caller: &'a mut Caller<'c>,
}

type Handler = for<'a, 'c> fn(Call<'a, 'c>) -> BoxFuture<'a, Result<Answer, Status>>;

struct Row {
    name: &'static str,
    /// Plural resources it stands under; empty: all that have it.
    resources: &'static [&'static str],
    handle: Handler,
}

const ALL: &[Row] = &[
    Row { name: "status", resources: &[], handle: |call| Box::pin(status::handle(call)) },
    Row { name: "scale", resources: &[], handle: |call| Box::pin(scale::handle(call)) },
    Row { name: "binding", resources: &["pods"], handle: |call| Box::pin(binding::handle(call)) },
    Row { name: "eviction", resources: &["pods"], handle: |call| Box::pin(eviction::handle(call)) },
    Row {
        name: "ephemeralcontainers",
        resources: &["pods"],
        handle: |call| Box::pin(pod_parts::ephemeral_containers(call)),
    },
    Row { name: "resize", resources: &["pods"], handle: |call| Box::pin(pod_parts::resize(call)) },
    Row { name: "finalize", resources: &["namespaces"], handle: |call| Box::pin(finalize::handle(call)) },
    Row { name: "token", resources: &["serviceaccounts"], handle: |call| Box::pin(token::handle(call)) },
    Row {
        name: "approval",
        resources: &["certificatesigningrequests"],
        handle: |call| Box::pin(approval::handle(call)),
    },
];

pub(crate) async fn handle(
    server: &Server,
    resource: &Arc<Resource>,
    known: &kinds::Subresource,
    request: &Request,
    media: Media,
    caller: &mut Caller<'_>,
) -> Result<Answer, Status> {
    let plural = resource.kind.resource.as_ref();
    let row =
        ALL.iter().find(|row| row.name == known.name && (row.resources.is_empty() || row.resources.contains(&plural)));
    match row {
        Some(row) => (row.handle)(Call { server, resource, request, media, caller }).await,
        None => {
            Err(Status::failure(meta::Reason::MethodNotAllowed, format!("{plural}/{} is not served here", known.name)))
        }
    }
}

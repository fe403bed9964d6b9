//! `ephemeralcontainers` and `resize` of a Pod: the parts of its spec that have doors of their own.
//! Which part is whose, and what may become of it, the kind's strategy says.

use super::Call;
use crate::answer::Answer;
use crate::write::Part;
use client::Verb;
use meta::Status;

pub(super) async fn ephemeral_containers(call: Call<'_, '_>) -> Result<Answer, Status> {
    handle(call, Part::Sub("ephemeralcontainers")).await
}

pub(super) async fn resize(call: Call<'_, '_>) -> Result<Answer, Status> {
    handle(call, Part::Sub("resize")).await
}

async fn handle(call: Call<'_, '_>, part: Part) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    match request.verb {
        Verb::Update => server.update(resource, request, media, part, caller).await,
        Verb::Patch(patch) => server.patch(resource, request, patch, part, caller).await,
        _ => {
            let namespace = request.namespace.as_deref().unwrap_or_default();
            let object = server.get(resource, namespace, request.name.as_deref().unwrap_or_default())?;
            Ok(Answer::Object { object, created: false })
        }
    }
}

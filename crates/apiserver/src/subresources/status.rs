//! `status` of any kind: reads the object, changes nothing but its status.

use super::Call;
use crate::answer::Answer;
use crate::write::Part;
use client::Verb;
use meta::Status;

pub(super) async fn handle(call: Call<'_, '_>) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    match request.verb {
        Verb::Update => server.update(resource, request, media, Part::Status, caller).await,
        Verb::Patch(patch) => server.patch(resource, request, patch, Part::Status, caller).await,
        _ => {
            let namespace = request.namespace.as_deref().unwrap_or_default();
            let object = server.get(resource, namespace, request.name.as_deref().unwrap_or_default())?;
            Ok(Answer::Object { object, created: false })
        }
    }
}

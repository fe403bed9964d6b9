//! `approval` of a CertificateSigningRequest: its Approved and Denied conditions.

use super::Call;
use crate::answer::Answer;
use crate::write::Part;
use client::Verb;
use meta::Status;

pub(super) async fn handle(call: Call<'_, '_>) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    let part = Part::Sub("approval");
    match request.verb {
        Verb::Update => server.update(resource, request, media, part, caller).await,
        Verb::Patch(patch) => server.patch(resource, request, patch, part, caller).await,
        _ => {
            let object = server.get(resource, "", request.name.as_deref().unwrap_or_default())?;
            Ok(Answer::Object { object, created: false })
        }
    }
}

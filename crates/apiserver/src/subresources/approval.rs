//! `approval` of a CertificateSigningRequest: its Approved and Denied conditions.

use super::Call;
use crate::answer::Answer;
use crate::write::{Expected, Part, decode_object, patched};
use client::Verb;
use meta::Status;

pub(super) async fn handle(call: Call<'_, '_>) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    let name = request.name.as_deref().unwrap_or_default();
    let now = server.env.clock.now();
    let wanted = match request.verb {
        Verb::Update => Some(decode_object(resource, &request.body, media, &request.options, caller)?),
        Verb::Patch(_) => None,
        _ => return Ok(Answer::Object { object: server.get(resource, "", name)?, created: false }),
    };
    server
        .modify(resource, request, Part::Sub("approval"), caller, &mut |current, caller| {
            let current = current.ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
            let mut object = match (&wanted, request.verb) {
                (None, Verb::Patch(patch)) => {
                    patched(&Expected::of(resource), current, patch, &request.body, &request.options, caller)?
                }
                (wanted, _) => wanted.clone().unwrap_or_default(),
            };
            resource.strategy.prepare_status_update(&mut object, current, &caller.context(now, "approval"));
            Ok(Some(object))
        })
        .await
}

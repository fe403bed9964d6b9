//! `finalize` of a Namespace: the one door through which spec.finalizers change.

use super::Call;
use crate::answer::Answer;
use crate::write::{Part, decode_object};
use meta::Status;
use serde_json::Value;

pub(super) async fn handle(call: Call<'_, '_>) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    let wanted = decode_object(resource, &request.body, media, &request.options, caller)?;
    let finalizers = wanted.pointer("/spec/finalizers").cloned();
    let revision = wanted.pointer("/metadata/resourceVersion").cloned();
    let finalizers = &finalizers;
    server
        .modify(resource, request, Part::Sub("finalize"), caller, &mut |current, _| {
            let mut object = current.cloned().unwrap_or_default();
            if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
                match finalizers {
                    Some(list) => spec.insert("finalizers".to_owned(), list.clone()),
                    None => spec.remove("finalizers"),
                };
            }
            if let (Some(metadata), Some(revision)) = (object.get_mut("metadata"), &revision) {
                metadata["resourceVersion"] = revision.clone();
            }
            Ok(Some(object))
        })
        .await
}

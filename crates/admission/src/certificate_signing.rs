//! CertificateSigning: only who may sign for a signer puts a certificate into a request.

use crate::certificate_approval::{GROUP, may_act_for};
use crate::paths::text;
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(CertificateSigning)
}

struct CertificateSigning;

impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let (true, Some(old)) = (request.is(GROUP, "certificatesigningrequests/status"), request.old_object) else {
            return Ok(());
        };
        let failed = |object: &serde_json::Value| {
            let conditions = crate::paths::items(object, &["status", "conditions"]);
            conditions.iter().any(|condition| condition["type"] == "Failed")
        };
        let certificate = &["status", "certificate"];
        let unsigned = text(old, certificate) == text(&request.object, certificate);
        if unsigned && failed(old) == failed(&request.object) {
            return Ok(());
        }
        let signer = text(old, &["spec", "signerName"]);
        if may_act_for(lookup, request.user, "sign", signer) {
            return Ok(());
        }
        Err(request.forbid(&format!("user not permitted to sign requests with signerName {signer:?}")))
    }
}

//! CertificateApproval, CertificateSigning and ClusterTrustBundleAttest ask the same question: may this
//! user act for this signer? This file is the first of the three and holds the question.

use crate::paths::text;
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::{Status, User};

pub(crate) const GROUP: &str = "certificates.k8s.io";

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(CertificateApproval)
}

struct CertificateApproval;

impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let (true, Some(old)) = (request.is(GROUP, "certificatesigningrequests/approval"), request.old_object) else {
            return Ok(());
        };
        let signer = text(old, &["spec", "signerName"]);
        if may_act_for(lookup, request.user, "approve", signer) {
            return Ok(());
        }
        Err(request.forbid(&format!("user not permitted to approve requests with signerName {signer:?}")))
    }
}

/// By the signer's name, or by all of its domain (`example.com/*`).
pub(crate) fn may_act_for(lookup: &dyn Lookup, user: &User, verb: &str, signer: &str) -> bool {
    let allows = |name: &str| {
        let asked = meta::Attributes::resource(user, verb, GROUP, "signers");
        lookup.allows(&meta::Attributes { version: "*", ..asked.name(name) })
    };
    let domain = signer.split('/').next().unwrap_or_default();
    allows(signer) || allows(&format!("{domain}/*"))
}

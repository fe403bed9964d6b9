//! Signs what is approved.

use super::{OURS, Request, Signer};
use crate::action::{Action, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::queue::RETRY;
use client::{Cache, Key};
use meta::conditions::{self, Condition};
use meta::time;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub const SIGNING: Def = Def {
    name: "certificatesigningrequest-signing-controller",
    identity: "certificate-controller",
    component: "certificate-controller",
    workers: 5,
    retry: RETRY,
    build,
};

/// A year; a request may ask for less, but not for less than ten minutes.
const LIFETIME: Duration = Duration::from_secs(8760 * 3600);
const SHORTEST: Duration = Duration::from_secs(600);

struct Signing {
    requests: Arc<Cache<()>>,
    signer: Option<Arc<dyn Signer>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let requests = rig.cache::<()>(&resource::CERTIFICATE_REQUESTS);
    rig.on_itself(&requests);
    Box::new(Signing { requests, signer: rig.options.signer.clone() })
}

impl Room for Signing {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let (Some(item), Some(signer)) = (self.requests.get_key(key), &self.signer) else {
            return Ok(Plan::nothing());
        };
        let request: Request = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let ours = OURS.contains(&request.spec.signer_name.as_str());
        let over = !request.status.certificate.is_empty() || request.has("Failed");
        if !ours || over || !request.is_approved() {
            return Ok(Plan::nothing());
        }
        let (pem, usages) = (request.pem().map_err(RoomError::Other)?, request.usages());
        let status = match signer.check(&request.spec.signer_name, &pem, &usages) {
            Ok(_) => {
                let certificate = signer.sign(&pem, &usages, lifetime(&request), now).map_err(RoomError::Other)?;
                json!({"certificate": STANDARD.encode(certificate)})
            }
            Err(why) => json!({"conditions": failed(&request, &why, now)}),
        };
        Ok(Plan::of(vec![Action::status(&resource::CERTIFICATE_REQUESTS, key, status)]))
    }
}

fn lifetime(request: &Request) -> Duration {
    let asked = request.spec.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    asked.map_or(LIFETIME, |seconds| Duration::from_secs(seconds).clamp(SHORTEST, LIFETIME))
}

fn failed(request: &Request, why: &str, now: Timestamp) -> Value {
    let mut list = request.status.conditions.clone();
    let (kind, reason) = ("Failed", "SignerValidationFailure");
    conditions::set(&mut list, Condition { kind, status: "True", reason, message: why, observed_generation: 0 }, now);
    if let Some(condition) = list.as_array_mut().and_then(|list| list.last_mut()) {
        condition["lastUpdateTime"] = json!(time::format(now));
    }
    list
}

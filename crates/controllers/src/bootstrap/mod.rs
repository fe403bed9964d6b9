//! Bootstrap tokens: the Secrets end with their time ([`CLEANER`]), and while there are any, the
//! public description of the cluster is signed with them ([`SIGNER`]), so that a joining node can
//! believe it.

mod jws;
mod signer;
#[cfg(test)]
mod tests;

pub use signer::SIGNER;

use crate::action::{Action, Delete, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::queue::RETRY;
use client::{Cache, Key, Selection};
use meta::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

pub const CLEANER: Def = Def {
    name: "token-cleaner-controller",
    identity: "token-cleaner",
    component: "token-cleaner",
    workers: 1,
    retry: RETRY,
    build,
};

const TYPE: &str = "bootstrap.kubernetes.io/token";

/// The Secrets that hold bootstrap tokens.
fn tokens() -> Selection {
    Selection::all(resource::SECRETS).namespace("kube-system").fields(format!("type={TYPE}"))
}

#[derive(Debug, Clone, Deserialize)]
struct Secret {
    metadata: ObjectMeta,
    #[serde(default)]
    data: Value,
}

impl Secret {
    fn text(&self, field: &str) -> Option<String> {
        let bytes = STANDARD.decode(self.data[field].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// Some(None): it says something that is no time.
    fn expiration(&self) -> Option<Option<Timestamp>> {
        self.text("expiration").filter(|text| !text.is_empty()).map(|text| meta::time::parse(&text).ok())
    }

    /// A time that cannot be read is over: it was meant to end.
    fn is_over(&self, now: Timestamp) -> bool {
        self.expiration().is_some_and(|ends| ends.is_none_or(|ends| ends <= now))
    }
}

struct Cleaner {
    tokens: Arc<Cache<()>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let tokens = rig.cache_of::<()>(tokens());
    rig.on_itself(&tokens);
    Box::new(Cleaner { tokens })
}

impl Room for Cleaner {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.tokens.get_key(key) else { return Ok(Plan::nothing()) };
        let secret: Secret = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        match secret.expiration() {
            None | Some(None) => Ok(Plan::nothing()),
            Some(Some(ends)) if ends > now => {
                Ok(Plan::nothing().again(Duration::try_from(ends.duration_since(now)).ok()))
            }
            Some(Some(_)) => {
                Ok(Plan::of(vec![Action::Delete(vec![Delete::new(&resource::SECRETS, key, &secret.metadata.uid)])]))
            }
        }
    }
}

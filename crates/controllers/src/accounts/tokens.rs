//! Secrets of type `kubernetes.io/service-account-token`: filled for the account they name, deleted
//! with it. Where the old feature is switched on, every account is given one.

use crate::action::{Action, Create, Delete, Outcome, Plan, Update};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::queue::RETRY;
use client::{Cache, Item, Key, Projection, Selection};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Runs as the controller manager itself: filling in Secrets is more than any account may.
pub const TOKENS: Def = Def {
    name: "serviceaccount-token-controller",
    identity: "kube-controller-manager",
    component: "serviceaccount-token-controller",
    workers: 5,
    retry: RETRY,
    build,
};

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
pub(super) const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// Makes the tokens that do not end, as they stand in Secrets.
pub trait TokenIssuer: Send + Sync {
    /// A token of the account `namespace`/`account`, valid as long as the Secret is there.
    fn secret_token(&self, namespace: &str, secret: &str, account: &str, uid: &str) -> Result<String, String>;
}

/// Which account a token Secret is for.
pub(super) struct SecretView {
    pub account: String,
}

/// The Secrets that hold tokens.
pub(super) fn token_secrets() -> Selection {
    Selection::all(resource::SECRETS).fields(format!("type={TYPE}"))
}

const BY_ACCOUNT: &str = "account";

impl Projection for SecretView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Secret {
            metadata: meta::ObjectMeta,
        }
        let secret: Secret = serde_json::from_slice(object)?;
        Ok(SecretView { account: secret.metadata.annotations.get(ACCOUNT).cloned().unwrap_or_default() })
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        add(BY_ACCOUNT, Key::new(&item.meta.namespace, &item.view.account).as_str());
    }
}

#[derive(Debug, Deserialize)]
struct Secret {
    metadata: meta::ObjectMeta,
    #[serde(default)]
    data: Value,
}

struct Tokens {
    accounts: Arc<Cache<()>>,
    secrets: Arc<Cache<SecretView>>,
    issuer: Option<Arc<dyn TokenIssuer>>,
    root_ca: Option<String>,
    one_for_each: bool,
}

/// Keys are accounts.
fn build(rig: &Rig) -> Box<dyn Room> {
    let accounts = rig.cache::<()>(&resource::SERVICE_ACCOUNTS);
    let secrets = rig.cache_of::<SecretView>(token_secrets());
    rig.on_itself(&accounts);
    rig.on(&secrets, |change, queue| {
        let accounts = change.states().filter(|secret| !secret.view.account.is_empty());
        accounts.for_each(|secret| queue.add(Key::new(&secret.meta.namespace, &secret.view.account)));
    });
    Box::new(Tokens {
        accounts,
        secrets,
        issuer: rig.options.token_issuer.clone(),
        root_ca: rig.options.root_ca.clone(),
        one_for_each: rig.options.secret_for_each_account,
    })
}

impl Room for Tokens {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let Some(issuer) = &self.issuer else { return Ok(Plan::nothing()) };
        let secrets = self.secrets.by_index(BY_ACCOUNT, key.as_str());
        let Some(account) = self.accounts.get_key(key) else { return Ok(self.without_account(key, secrets)) };
        let mut actions = Vec::new();
        let mut good = 0;
        for item in &secrets {
            let unreadable = |why| RoomError::Decode { key: item.key.clone(), why };
            let secret: Secret = item.decode().map_err(unreadable)?;
            match secret.metadata.annotations.get(ACCOUNT_UID) {
                Some(uid) if *uid != account.meta.uid => actions.push(delete(item)),
                _ if secret.metadata.is_deleting() => {}
                _ => {
                    good += 1;
                    let token = |name: &str| issuer.secret_token(key.namespace(), name, key.name(), &account.meta.uid);
                    let missing = self.missing(&secret, key, &token).map_err(RoomError::Other)?;
                    if let Some(data) = missing {
                        let object: Value = item.decode().map_err(unreadable)?;
                        actions.push(fill(item.key.clone(), object, &account.meta.uid, data));
                    }
                }
            }
        }
        if good == 0 && self.one_for_each && !account.meta.is_deleting() {
            return self.make(key, &account, actions);
        }
        Ok(Plan::of(actions))
    }
}

impl Tokens {
    /// The account may be there though the cache does not show it yet: ask before deleting.
    fn without_account(&self, key: &Key, secrets: Vec<Arc<Item<SecretView>>>) -> Plan {
        if secrets.is_empty() {
            return Plan::nothing();
        }
        let read = Action::Read { resource: resource::SERVICE_ACCOUNTS, key: key.clone() };
        Plan::of(vec![read]).then(move |outcome: &Outcome| match outcome.reads.first() {
            Some(None) => Plan::of(secrets.iter().map(|secret| delete(secret)).collect()),
            _ => Plan::nothing(),
        })
    }

    /// What a token Secret lacks; None: nothing.
    fn missing(
        &self,
        secret: &Secret,
        account: &Key,
        token: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Option<Map<String, Value>>, String> {
        let mut data = Map::new();
        let mut add = |field: &str, text: &str| data.insert(field.to_owned(), json!(STANDARD.encode(text)));
        let lacks = |field: &str| secret.data[field].as_str().unwrap_or_default().is_empty();
        if let Some(pem) = &self.root_ca
            && secret.data["ca.crt"] != STANDARD.encode(pem)
        {
            add("ca.crt", pem);
        }
        if lacks("namespace") {
            add("namespace", account.namespace());
        }
        if lacks("token") {
            add("token", &token(&secret.metadata.name)?);
        }
        let marked = secret.metadata.annotations.contains_key(ACCOUNT_UID);
        Ok((!marked || !data.is_empty()).then_some(data))
    }

    /// Makes a Secret for the account and lists it there, as clusters did up to 1.23.
    fn make(&self, key: &Key, account: &Item<()>, mut actions: Vec<Action>) -> Result<Plan, RoomError> {
        let annotations = json!({ACCOUNT: key.name(), ACCOUNT_UID: account.meta.uid});
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "type": TYPE,
            "metadata": {"generateName": format!("{}-token-", key.name()), "annotations": annotations},
        });
        actions.push(Action::Create(vec![Create::new(&resource::SECRETS, key.namespace(), object)]));
        let standing: Value = account.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let key = key.clone();
        Ok(Plan::of(actions).then(move |outcome| {
            let made = outcome.written.last().filter(|_| outcome.failure.is_none());
            let made = made.and_then(|body| serde_json::from_slice::<Value>(body).ok());
            let Some(made) = made else { return Plan::nothing() };
            let mut listed = standing["secrets"].as_array().cloned().unwrap_or_default();
            listed.push(json!({"name": made["metadata"]["name"]}));
            let mut object = standing;
            object["secrets"] = json!(listed);
            let resource = resource::SERVICE_ACCOUNTS;
            Plan::of(vec![Action::Update(Update { resource, key, subresource: None, object })])
        }))
    }
}

/// Whole objects, as the manager's role allows updates but no patches.
fn fill(key: Key, mut object: Value, uid: &str, data: Map<String, Value>) -> Action {
    object["metadata"]["annotations"][ACCOUNT_UID] = json!(uid);
    for (field, value) in data {
        object["data"][field] = value;
    }
    Action::Update(Update { resource: resource::SECRETS, key, subresource: None, object })
}

fn delete<P>(secret: &Item<P>) -> Action {
    Action::Delete(vec![Delete::new(&resource::SECRETS, &secret.key, &secret.meta.uid)])
}

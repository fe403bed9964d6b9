//! Token Secrets that were made by themselves and that nobody has used for a year: first marked as
//! invalid, and after another year deleted.
//!
//! Only what an account lists and no pod speaks of is touched: Secrets that people made stay.

use super::tokens::{ACCOUNT_UID, SecretView, token_secrets};
use crate::action::{Action, Delete, Outcome, Patch, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::PodView;
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Item, Key};
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub const TOKEN_CLEANER: Def = Def {
    name: "legacy-serviceaccount-token-cleaner-controller",
    identity: "legacy-service-account-token-cleaner",
    component: "legacy-service-account-token-cleaner",
    workers: 1,
    retry: RETRY,
    build,
};

const PERIOD: Duration = Duration::from_secs(24 * 3600);
/// Upstream's `--legacy-service-account-token-clean-up-period`.
const UNUSED_FOR: SignedDuration = SignedDuration::from_hours(8760);
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// Where the API server says since when it notes the use of tokens.
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";

struct Cleaner {
    secrets: Arc<Cache<SecretView>>,
    accounts: Arc<Cache<()>>,
    pods: Arc<Cache<PodView>>,
}

/// There is one key: the whole cluster.
fn build(rig: &Rig) -> Box<dyn Room> {
    let secrets = rig.cache_of::<SecretView>(token_secrets());
    let accounts = rig.cache::<()>(&resource::SERVICE_ACCOUNTS);
    let pods = rig.cache::<PodView>(&resource::PODS);
    rig.queue.add(Key::new("", "cluster"));
    Box::new(Cleaner { secrets, accounts, pods })
}

impl Room for Cleaner {
    fn reconcile(&self, _key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let secrets = self.secrets.list();
        let steps = secrets.iter().filter_map(|secret| Some((secret, step(secret, now)?)));
        let steps: Vec<_> =
            steps.filter(|(secret, _)| self.was_made_for(secret) && !self.is_spoken_of(secret)).collect();
        let plan = Plan::nothing().again(Some(PERIOD));
        if steps.is_empty() {
            return Ok(plan);
        }
        let steps: Vec<Action> = steps.into_iter().map(|(_, step)| step).collect();
        let read = Action::Read { resource: resource::CONFIG_MAPS, key: Key::new("kube-system", TRACKING) };
        Ok(Plan { actions: vec![read], ..plan }.then(move |outcome| match is_tracked_long_enough(outcome, now) {
            true => Plan::of(steps),
            false => Plan::nothing(),
        }))
    }
}

impl Cleaner {
    /// Whether the account lists the Secret, as those were that came by themselves.
    fn was_made_for(&self, secret: &Item<SecretView>) -> bool {
        let account = self.accounts.get(&secret.meta.namespace, &secret.view.account);
        let uid = secret.meta.annotations.get(ACCOUNT_UID);
        let account = account.filter(|account| uid.is_none_or(|uid| *uid == account.meta.uid));
        let Some(account) = account.and_then(|account| account.decode::<Value>().ok()) else { return false };
        let mut listed = account["secrets"].as_array().into_iter().flatten();
        listed.any(|reference| reference["name"] == secret.meta.name.as_str())
    }

    /// Whether the name stands anywhere in what a pod of the namespace asks for. Pods name Secrets
    /// in many places; keeping one too many does no harm.
    fn is_spoken_of(&self, secret: &Item<SecretView>) -> bool {
        let pods = self.pods.list_in(&secret.meta.namespace);
        pods.iter().any(|pod| pod.decode::<Value>().map_or(true, |pod| has_text(&pod["spec"], &secret.meta.name)))
    }
}

fn has_text(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Array(items) => items.iter().any(|item| has_text(item, wanted)),
        Value::Object(fields) => fields.values().any(|field| has_text(field, wanted)),
        _ => false,
    }
}

/// Uses before the tracking began are not known of, nor is when in its first day it began.
fn is_tracked_long_enough(outcome: &Outcome, now: Timestamp) -> bool {
    let Some(Some(body)) = outcome.reads.first() else { return false };
    let map: Value = serde_json::from_slice(body).unwrap_or_default();
    let since = map["data"]["since"].as_str().and_then(|text| text.parse::<Date>().ok());
    since.and_then(|since| since.tomorrow().ok()).is_some_and(|since| since <= day(now - UNUSED_FOR))
}

fn day(time: Timestamp) -> Date {
    Offset::UTC.to_datetime(time).date()
}

/// What is to be done with a token Secret for its age alone; None: nothing.
fn step(secret: &Item<SecretView>, now: Timestamp) -> Option<Action> {
    let limit = now - UNUSED_FOR;
    let meta = &secret.meta;
    let made = meta.creation_timestamp.as_deref().and_then(|text| meta::time::parse(text).ok())?;
    let used = meta.labels.get(LAST_USED).map(|text| text.parse::<Date>());
    // A use that cannot be read may have been today's.
    let is_idle = used.is_none_or(|used| used.is_ok_and(|used| used < day(limit)));
    if meta.is_deleting() || made >= limit || !is_idle {
        return None;
    }
    match meta.labels.get(INVALID_SINCE).and_then(|text| text.parse::<Date>().ok()) {
        None => {
            // At this version: a use of just now must not be overlooked.
            let labels = json!({INVALID_SINCE: day(now).to_string()});
            let body = json!({"metadata": {"resourceVersion": meta.resource_version, "labels": labels}});
            Some(Action::Patch(Patch::merge(&resource::SECRETS, &secret.key, body)))
        }
        Some(since) if since >= day(limit) => None,
        Some(_) => {
            let delete = Delete::new(&resource::SECRETS, &secret.key, &meta.uid).at(&meta.resource_version);
            Some(Action::Delete(vec![delete]))
        }
    }
}

//! A stage for tests: one controller, the fake API server and simulated time.

use crate::rig::Def;
use crate::{Options, TokenIssuer, metrics, start_one};
use base::Env;
use client::fake::FakeApi;
use client::{Caches, Error, Item, Projection};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const PODS: GroupVersionResource = crate::kinds::resource::PODS;
pub const EVENTS: GroupVersionResource = GroupVersionResource::of("", "v1", "events");

pub struct Stage {
    pub env: Env,
    pub api: FakeApi,
}

impl Stage {
    /// The objects stand before the controller starts. Needs a paused runtime.
    pub async fn new(def: &'static Def, objects: &[(&GroupVersionResource, Value)]) -> Self {
        Self::with(&[def], objects).await
    }

    /// The same with several controllers.
    pub async fn with(defs: &[&'static Def], objects: &[(&GroupVersionResource, Value)]) -> Self {
        Self::tuned(defs, objects, |_| {}).await
    }

    /// The same with other options.
    pub async fn tuned(
        defs: &[&'static Def],
        objects: &[(&GroupVersionResource, Value)],
        tune: impl FnOnce(&mut Options),
    ) -> Self {
        let env = Env::simulated(7, "2026-01-01T00:00:00Z".parse().unwrap());
        let api = FakeApi::new();
        objects.iter().for_each(|(resource, object)| drop(api.put(resource, object.clone())));
        let mut options = Options::new(Caches::new(Arc::new(api.clone()), &env));
        options.root_ca = Some("PEM".to_owned());
        options.token_issuer = Some(Arc::new(Issuer));
        tune(&mut options);
        let options = Arc::new(options);
        let queues = metrics::AllQueues::register(&env.metrics);
        defs.iter().for_each(|def| start_one(&env, def, Arc::new(api.clone()), &options, &queues));
        let stage = Stage { env, api };
        stage.settle(1).await;
        stage
    }

    pub async fn settle(&self, seconds: u64) {
        self.env.clock.sleep(Duration::from_secs(seconds)).await;
    }

    /// Changes one object in place.
    pub fn edit(&self, resource: &GroupVersionResource, namespace: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.api.get(resource, namespace, name).expect("no such object");
        edit(&mut object);
        self.api.put(resource, object);
    }

    /// What a node does: takes in pods that have none and ends those being deleted; those that
    /// `becomes_ready` picks become ready.
    pub fn kubelet(&self, becomes_ready: impl Fn(&Value) -> bool) {
        for mut pod in self.api.all(&PODS) {
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            let namespace = pod["metadata"]["namespace"].as_str().unwrap().to_owned();
            if pod["metadata"]["deletionTimestamp"].is_string() {
                self.api.remove(&PODS, &namespace, &name);
            } else if pod["spec"]["nodeName"].is_null() {
                pod["spec"]["nodeName"] = json!("n1");
                self.api.put(&PODS, pod);
            } else if pod["status"]["phase"] != "Running" && becomes_ready(&pod) {
                let since = meta::time::format(self.env.clock.now());
                let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": since});
                pod["status"] = json!({"phase": "Running", "conditions": [ready]});
                self.api.put(&PODS, pod);
            }
        }
    }

    /// The writes so far, without those of Events.
    pub fn writes(&self) -> Vec<String> {
        let log = self.api.take_log();
        log.into_iter().filter(|line| !line.contains(" events ") && !line.starts_with("get ")).collect()
    }

    /// Reason and message of every Event.
    pub fn events(&self) -> Vec<String> {
        let events = self.api.all(&EVENTS);
        let text =
            |event: &Value| format!("{} {}", event["reason"].as_str().unwrap(), event["message"].as_str().unwrap());
        events.iter().map(text).collect()
    }

    /// Makes requests fail whose verb and resource (`create pods`) are these.
    pub fn refuse(&self, what: &'static str, error: Error) {
        self.api.fault(move |request| {
            let told = format!("{} {}", request.verb.as_str(), request.resource.resource);
            (told == what).then(|| error.clone())
        });
    }
}

pub fn item<P: Projection>(object: &Value) -> Arc<Item<P>> {
    Arc::new(Item::read(object.to_string().into()).unwrap())
}

struct Issuer;

impl TokenIssuer for Issuer {
    fn secret_token(&self, _namespace: &str, secret: &str, account: &str, _uid: &str) -> Result<String, String> {
        Ok(format!("token of {account} in {secret}"))
    }
}

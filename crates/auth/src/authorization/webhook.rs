//! The authorization webhook: asks another server by SubjectAccessReview, remembers what it said.

use super::{Calls, Counts, Skips};
use crate::authorizer::{Authorizer, Decision};
use crate::remote::{self, Remote};
use base::collections::HashMap;
use base::{Clock, Env, Timestamp};
use expressions::{Environment, PER_CALL_LIMIT, Program, Scope, Type};
use meta::Attributes;
use meta::fields::FieldSelector;
use meta::labels::Selector;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::warn;

/// As upstream: longer questions are not remembered.
const LONGEST_REMEMBERED: usize = 10_000;
const REMEMBERED_AT_MOST: usize = 8192;

/// Of the SubjectAccessReview that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V1beta1,
}

impl Version {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "v1" => Some(Version::V1),
            "v1beta1" => Some(Version::V1beta1),
            _ => None,
        }
    }
}

/// How one webhook is asked.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    pub kubeconfig: PathBuf,
    pub version: Version,
    pub timeout: Duration,
    /// How long a yes is remembered, and how long a no; zero: not at all.
    pub allowed_for: Duration,
    pub refused_for: Duration,
    /// A webhook that does not answer refuses; otherwise the next authorizer is asked.
    pub fails_closed: bool,
    /// It is asked only about what all of these hold for.
    pub conditions: Arc<Vec<Program>>,
}

pub struct Webhook {
    name: String,
    remote: Remote,
    options: WebhookOptions,
    kind: Type,
    counts: Counts,
    clock: Clock,
    remembered: Mutex<HashMap<[u8; 32], (Decision, Timestamp)>>,
}

impl Webhook {
    /// # Errors
    /// Its kubeconfig cannot be used.
    pub async fn open(name: &str, options: &WebhookOptions, counts: Counts, env: &Env) -> Result<Self, remote::Error> {
        Ok(Webhook {
            name: name.to_owned(),
            remote: Remote::open(&options.kubeconfig, options.timeout, env).await?,
            options: options.clone(),
            kind: request_type(),
            counts,
            clock: env.clock.clone(),
            remembered: Mutex::default(),
        })
    }

    fn remembered(&self, key: &[u8; 32]) -> Option<Decision> {
        let memory = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(key).filter(|(_, until)| self.clock.now() < *until).map(|(decision, _)| decision.clone())
    }

    fn remember(&self, key: [u8; 32], decision: &Decision) {
        let lasts = if decision.is_allowed() { self.options.allowed_for } else { self.options.refused_for };
        let now = self.clock.now();
        let Some(until) = jiff::SignedDuration::try_from(lasts).ok().and_then(|lasts| now.checked_add(lasts).ok())
        else {
            return;
        };
        let mut memory = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= REMEMBERED_AT_MOST {
            memory.retain(|_, (_, until)| now < *until);
        }
        if memory.len() < REMEMBERED_AT_MOST && until > now {
            memory.insert(key, (decision.clone(), until));
        }
    }

    /// Whether this webhook is to be asked; an error where nobody can tell.
    fn concerns(&self, spec: &Value) -> Result<bool, String> {
        let scope = Scope::new().json("request", spec, &self.kind);
        let mut failed = None;
        for condition in self.options.conditions.iter() {
            match condition.evaluate(&scope, PER_CALL_LIMIT).result {
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(_) => return Ok(false),
                Err(fault) => {
                    failed = Some(format!("cel evaluation error: expression {:?}: {fault}", condition.source()));
                }
            }
        }
        failed.map_or(Ok(true), Err)
    }

    fn failed(&self, why: &str) -> Decision {
        warn!(webhook = self.name, error = why, "authorization webhook failed");
        let reason: Arc<str> = why.into();
        match self.options.fails_closed {
            true => Decision::Deny { reason },
            false => Decision::NoOpinion { reason },
        }
    }

    fn count(&self, result: &str) {
        let labels = Calls { name: self.name.clone(), result: result.to_owned() };
        self.counts.calls.get_or_create(&labels).inc();
        if result != "success" && !self.options.fails_closed {
            self.counts.open.get_or_create(&labels).inc();
        }
    }

    fn ask(&self, spec: &Value) -> Result<Decision, String> {
        let (version, spec) = match self.options.version {
            Version::V1 => ("v1", spec.clone()),
            Version::V1beta1 => ("v1beta1", as_beta(spec.clone())),
        };
        let review = json!({
            "apiVersion": format!("authorization.k8s.io/{version}"),
            "kind": "SubjectAccessReview",
            "metadata": {"creationTimestamp": null},
            "spec": spec,
            "status": {"allowed": false},
        });
        let answer = self.remote.ask(&review);
        self.count(match &answer {
            Ok(_) => "success",
            Err(remote::Error::TooLate { .. }) => "timeout",
            Err(_) => "error",
        });
        let answer = answer.map_err(|error| error.to_string())?;
        let flag = |name: &str| answer["status"][name].as_bool().unwrap_or(false);
        let reason: Arc<str> = answer["status"]["reason"].as_str().unwrap_or_default().into();
        match (flag("denied"), flag("allowed")) {
            (true, true) => Err("webhook subject access review returned both allow and deny response".to_owned()),
            (true, false) => Ok(Decision::Deny { reason }),
            (false, true) => Ok(Decision::Allow { reason }),
            (false, false) => Ok(Decision::NoOpinion { reason }),
        }
    }
}

impl Authorizer for Webhook {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let spec = spec(attributes);
        let skips = || Skips { r#type: "Webhook".to_owned(), name: self.name.clone() };
        match self.concerns(&spec) {
            Ok(true) => {}
            Ok(false) => {
                self.counts.exclusions.get_or_create(&skips()).inc();
                return Decision::no_opinion("");
            }
            Err(why) => {
                self.counts.condition_errors.get_or_create(&skips()).inc();
                return self.failed(&why);
            }
        }
        let text = spec.to_string();
        let key = crate::authn::digest(&text);
        if let Some(decision) = self.remembered(&key) {
            return decision;
        }
        match self.ask(&spec) {
            Ok(decision) => {
                if text.len() < LONGEST_REMEMBERED {
                    self.remember(key, &decision);
                }
                decision
            }
            Err(why) => self.failed(&why),
        }
    }
}

/// The spec of a SubjectAccessReview (v1) for what is asked.
fn spec(asked: &Attributes<'_>) -> Value {
    let user = asked.user;
    let mut spec = json!({});
    let mut put = |name: &str, value: Value| {
        let empty = value.as_str() == Some("")
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty);
        if !empty {
            spec[name] = value;
        }
    };
    put("user", json!(user.name));
    put("uid", json!(user.uid));
    put("groups", json!(user.groups));
    put("extra", json!(user.extra));
    if asked.is_resource() {
        let mut about = serde_json::Map::new();
        for (name, value) in [
            ("namespace", asked.namespace),
            ("verb", asked.verb),
            ("group", asked.group),
            ("version", asked.version),
            ("resource", asked.resource),
            ("subresource", asked.subresource),
            ("name", asked.name),
        ] {
            if !value.is_empty() {
                about.insert(name.to_owned(), value.into());
            }
        }
        for (name, requirements) in
            [("fieldSelector", fields(asked.field_selector)), ("labelSelector", labels(asked.label_selector))]
        {
            if !requirements.is_empty() {
                about.insert(name.to_owned(), json!({"requirements": requirements}));
            }
        }
        spec["resourceAttributes"] = about.into();
    } else {
        spec["nonResourceAttributes"] = json!({"path": asked.path, "verb": asked.verb});
    }
    spec
}

/// A selector's requirements; none where it cannot be read: then the question is about all objects.
fn fields(selector: &str) -> Vec<Value> {
    let Ok(selector) = FieldSelector::parse(selector) else { return Vec::new() };
    let requirement = |term: &meta::fields::Term| {
        let operator = if term.negated { "NotIn" } else { "In" };
        json!({"key": term.field, "operator": operator, "values": [term.value]})
    };
    selector.terms().iter().map(requirement).collect()
}

fn labels(selector: &str) -> Vec<Value> {
    let Ok(selector) = Selector::parse(selector) else { return Vec::new() };
    let requirement = |one: &meta::labels::Requirement| {
        use meta::labels::Operator;
        let operator = match one.operator() {
            Operator::In | Operator::Equals | Operator::DoubleEquals => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            // Those that compare numbers have no word in a review.
            _ => return None,
        };
        let mut shown = json!({"key": one.key(), "operator": operator});
        if !one.values().is_empty() {
            shown["values"] = json!(one.values());
        }
        Some(shown)
    };
    selector.requirements().iter().filter_map(requirement).collect()
}

/// v1beta1 calls the groups `group`.
fn as_beta(mut spec: Value) -> Value {
    if let Some(spec) = spec.as_object_mut()
        && let Some(groups) = spec.remove("groups")
    {
        spec.insert("group".to_owned(), groups);
    }
    spec
}

/// The variable `request` of match conditions: the spec.
pub(super) fn request_type() -> Type {
    let text = || Type::STRING;
    let texts = || Type::list(Type::STRING);
    let requirement = |name| Type::object(name, [("key", text()), ("operator", text()), ("values", texts())]);
    let selector = |name, of| Type::object(name, [("rawSelector", text()), ("requirements", Type::list(of))]);
    let field_selector = selector("FieldSelectorAttributes", requirement("FieldSelectorRequirement"));
    let label_selector = selector("LabelSelectorAttributes", requirement("LabelSelectorRequirement"));
    let resource = Type::object(
        "ResourceAttributes",
        [
            ("namespace", text()),
            ("verb", text()),
            ("group", text()),
            ("version", text()),
            ("resource", text()),
            ("subresource", text()),
            ("name", text()),
            ("fieldSelector", field_selector),
            ("labelSelector", label_selector),
        ],
    );
    Type::object(
        "SubjectAccessReviewSpec",
        [
            ("resourceAttributes", resource),
            ("nonResourceAttributes", Type::object("NonResourceAttributes", [("path", text()), ("verb", text())])),
            ("user", text()),
            ("groups", texts()),
            ("extra", Type::map(text(), texts())),
            ("uid", text()),
        ],
    )
}

/// What match conditions may name.
pub(super) fn environment() -> Environment {
    Environment::new().with("request", request_type())
}

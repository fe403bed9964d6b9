//! Configurations, read once and ready to match.

use crate::cel::Conditions;
use crate::matching::{Constraint, text, texts};
use expressions::admission::Sight;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// One webhook of a configuration.
#[derive(Debug)]
pub(crate) struct Hook {
    /// Tells it from all others.
    pub id: String,
    pub name: String,
    pub constraint: Constraint,
    pub ignores_failure: bool,
    pub reinvoked: bool,
    /// `sideEffects`, as written.
    pub side_effects: String,
    pub limit: Duration,
    /// The version of AdmissionReview to speak; None: none that both know.
    pub version: Option<&'static str>,
    pub client: Client,
    pub conditions: Conditions,
}

#[derive(Debug)]
pub(crate) enum Client {
    Url { url: String, authorities: Vec<u8> },
    Service { namespace: String, name: String, port: u16, path: String, authorities: Vec<u8> },
}

/// The webhooks of a configuration, which passed validation; what cannot be read matches nothing.
pub(crate) fn read(resource: &str, configuration: &Value) -> Vec<Arc<Hook>> {
    let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
    let hooks = configuration["webhooks"].as_array().map_or(&[][..], Vec::as_slice);
    let read = |(at, hook): (usize, &Value)| {
        let id = format!("{resource}/{name}/{}/{at}", text(hook, "name"));
        Arc::new(hook_of(id, hook))
    };
    hooks.iter().enumerate().map(read).collect()
}

fn hook_of(id: String, hook: &Value) -> Hook {
    let versions = texts(&hook["admissionReviewVersions"]);
    let known = |version: &String| ["v1", "v1beta1"].into_iter().find(|known| known == version);
    Hook {
        id,
        name: text(hook, "name").to_owned(),
        constraint: Constraint::read(hook, "rules"),
        ignores_failure: text(hook, "failurePolicy") == "Ignore",
        reinvoked: text(hook, "reinvocationPolicy") == "IfNeeded",
        side_effects: text(hook, "sideEffects").to_owned(),
        limit: Duration::from_secs(hook["timeoutSeconds"].as_u64().unwrap_or(10).clamp(1, 30)),
        version: versions.iter().find_map(known),
        client: client_of(&hook["clientConfig"]),
        conditions: Conditions::read(hook, Sight { params: false, authorizer: true }, &[]),
    }
}

fn client_of(config: &Value) -> Client {
    use base64::Engine as _;
    let bundle = base64::engine::general_purpose::STANDARD.decode(text(config, "caBundle"));
    let authorities = bundle.unwrap_or_default();
    let service = &config["service"];
    if service.is_null() {
        return Client::Url { url: text(config, "url").to_owned(), authorities };
    }
    Client::Service {
        namespace: text(service, "namespace").to_owned(),
        name: text(service, "name").to_owned(),
        port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
        path: text(service, "path").to_owned(),
        authorities,
    }
}

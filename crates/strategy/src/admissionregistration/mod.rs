//! Webhook configurations, admission policies and their bindings.

mod expressions;
mod policies;
mod resources;
#[cfg(test)]
mod tests;

use crate::check;
use crate::declared::Declared;
use crate::tree::{default, default_text, items, items_mut, text};
use ::expressions::admission::Sight;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

const GROUP: &str = "admissionregistration.k8s.io";

pub const MUTATING_WEBHOOKS: Declared = Declared::new(GROUP, "MutatingWebhookConfiguration")
    .with_generation()
    .updated_with_revision()
    .defaults(|object| {
        webhook_defaults(object);
        for webhook in items_mut(object, "webhooks") {
            default_text(webhook, "reinvocationPolicy", "Never");
        }
    })
    .validates(webhooks);

pub const VALIDATING_WEBHOOKS: Declared = Declared::new(GROUP, "ValidatingWebhookConfiguration")
    .with_generation()
    .updated_with_revision()
    .defaults(webhook_defaults)
    .validates(webhooks);

pub const VALIDATING_POLICY: Declared = Declared::new(GROUP, "ValidatingAdmissionPolicy")
    .with_generation()
    .updated_with_revision()
    .defaults(policy_defaults)
    .validates(policies::validating);

pub const VALIDATING_POLICY_BINDING: Declared = Declared::new(GROUP, "ValidatingAdmissionPolicyBinding")
    .with_generation()
    .updated_with_revision()
    .defaults(binding_defaults)
    .validates(policies::validating_binding);

pub const MUTATING_POLICY: Declared = Declared::new(GROUP, "MutatingAdmissionPolicy")
    .with_generation()
    .updated_with_revision()
    .defaults(|policy| {
        policy_defaults(policy);
        if let Some(spec) = policy.get_mut("spec").filter(|spec| spec.is_object()) {
            default_text(spec, "reinvocationPolicy", "Never");
        }
    })
    .validates(policies::mutating);

pub const MUTATING_POLICY_BINDING: Declared = Declared::new(GROUP, "MutatingAdmissionPolicyBinding")
    .with_generation()
    .updated_with_revision()
    .defaults(binding_defaults)
    .validates(policies::mutating_binding);

const CONDITIONS: Sight = Sight { params: false, authorizer: true };

fn webhook_defaults(object: &mut Value) {
    for webhook in items_mut(object, "webhooks") {
        default_text(webhook, "failurePolicy", "Fail");
        default_text(webhook, "matchPolicy", "Equivalent");
        default(webhook, "namespaceSelector", json!({}));
        default(webhook, "objectSelector", json!({}));
        default(webhook, "timeoutSeconds", 10);
        if let Some(service) = webhook.pointer_mut("/clientConfig/service").filter(|service| service.is_object()) {
            default(service, "port", 443);
        }
        for rule in items_mut(webhook, "rules") {
            default_text(rule, "scope", "*");
        }
    }
}

fn policy_defaults(policy: &mut Value) {
    let Some(spec) = policy.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default_text(spec, "failurePolicy", "Fail");
    if let Some(constraints) = spec.get_mut("matchConstraints").filter(|constraints| constraints.is_object()) {
        match_defaults(constraints);
    }
}

fn binding_defaults(binding: &mut Value) {
    if let Some(resources) = binding.pointer_mut("/spec/matchResources").filter(|resources| resources.is_object()) {
        match_defaults(resources);
    }
}

fn match_defaults(resources: &mut Value) {
    default_text(resources, "matchPolicy", "Equivalent");
    default(resources, "namespaceSelector", json!({}));
    default(resources, "objectSelector", json!({}));
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in items_mut(resources, list) {
            default_text(rule, "scope", "*");
        }
    }
}

fn webhooks(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let before = old.map_or(&[][..], |old| items(old, "webhooks"));
    let mut names: Vec<&str> = Vec::new();
    for (at, webhook) in items(object, "webhooks").iter().enumerate() {
        let here = Path::new("webhooks").index(at);
        let name = text(webhook, "name");
        if check::required(errors, &here.child("name"), name) {
            let mut problems = meta::validation::dns1123_subdomain(name);
            if problems.is_empty() && name.split('.').count() < 3 {
                problems.push("should be a domain with at least three segments separated by dots".to_owned());
            }
            check::all(errors, &here.child("name"), name, problems);
        }
        if names.contains(&name) {
            errors.push(FieldError::duplicate(&here.child("name"), name));
        }
        names.push(name);
        self::webhook(webhook, &here, errors);
        // What was taken once is not compiled anew because something else changed.
        let same = before.iter().find(|other| other["name"] == webhook["name"]);
        if same.is_none_or(|other| other.get("matchConditions") != webhook.get("matchConditions")) {
            expressions::conditions(webhook, CONDITIONS, &here.child("matchConditions"), errors);
        }
    }
}

fn webhook(webhook: &Value, path: &Path, errors: &mut ErrorList) {
    let (versions, here) = (items(webhook, "admissionReviewVersions"), path.child("admissionReviewVersions"));
    if versions.is_empty() {
        errors.push(FieldError::required(&here, "must specify one of v1, v1beta1"));
    } else if !versions.iter().any(|version| version == "v1" || version == "v1beta1") {
        let why = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(&here, versions.to_vec(), why));
    }
    let here = path.child("sideEffects");
    match text(webhook, "sideEffects") {
        "" => errors.push(FieldError::required(&here, "must specify one of None, NoneOnDryRun")),
        effects => check::one_of(errors, &here, effects, &["None", "NoneOnDryRun"]),
    }
    if let Some(seconds) = webhook["timeoutSeconds"].as_i64().filter(|seconds| !(1..=30).contains(seconds)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), seconds, why));
    }
    for (at, rule) in items(webhook, "rules").iter().enumerate() {
        resources::rule(rule, &path.child("rules").index(at), errors);
    }
    check::label_selector(errors, &path.child("namespaceSelector"), &webhook["namespaceSelector"]);
    check::label_selector(errors, &path.child("objectSelector"), &webhook["objectSelector"]);
    let (config, here) = (&webhook["clientConfig"], path.child("clientConfig"));
    if config["url"].is_string() == config["service"].is_object() {
        errors.push(FieldError::required(&here, "exactly one of url or service is required"));
    }
    if let Some(url) = config["url"].as_str().filter(|url| !url.starts_with("https://")) {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let why = "'https' is the only allowed URL scheme; desired format: https://host[/path]";
        errors.push(FieldError::invalid(&here.child("url"), scheme, why));
    }
}

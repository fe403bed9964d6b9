//! Policies and their bindings.

use super::expressions::{conditions_in, expression};
use super::resources;
use crate::check;
use crate::tree::{items, text};
use ::expressions::admission::{Sight, environment};
use ::expressions::{Environment, JSON_PATCH, OBJECT, Type};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

/// Upstream's numbers.
const MAX_ANNOTATIONS: usize = 20;
const MAX_ANNOTATION_EXPRESSION: usize = 5 * 1024;
const REASONS: [&str; 4] = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
const EITHER: &str = "validations or auditAnnotations must contain at least one item";

pub fn validating(policy: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&policy["spec"], Path::new("spec"));
    // What was taken once is not judged anew because its labels changed.
    if old.is_some_and(|old| old.get("spec") == Some(spec)) {
        return;
    }
    let (environment, messages) = common(spec, &path, errors);
    let (validations, annotations) = (items(spec, "validations"), items(spec, "auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        errors.push(FieldError::required(&path.child("validations"), EITHER));
        errors.push(FieldError::required(&path.child("auditAnnotations"), EITHER));
        return;
    }
    for (at, one) in validations.iter().enumerate() {
        validation(one, &environment, &messages, &path.child("validations").index(at), errors);
    }
    let here = path.child("auditAnnotations");
    if annotations.len() > MAX_ANNOTATIONS {
        let why = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        errors.push(FieldError::invalid(&here, annotations.to_vec(), &why));
    }
    let mut keys: Vec<&str> = Vec::new();
    for (at, one) in annotations.iter().enumerate() {
        annotation(text(&policy["metadata"], "name"), one, &environment, &here.index(at), errors);
        let key = text(one, "key");
        if keys.contains(&key) {
            errors.push(FieldError::duplicate(&here.index(at).child("key"), key));
        }
        keys.push(key);
    }
}

pub fn mutating(policy: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&policy["spec"], Path::new("spec"));
    if old.is_some_and(|old| old.get("spec") == Some(spec)) {
        return;
    }
    let (environment, _) = common(spec, &path, errors);
    let policies = ["IfNeeded", "Never"];
    let reinvocation = text(spec, "reinvocationPolicy");
    check::required_one_of(errors, &path.child("reinvocationPolicy"), reinvocation, &policies);
    let here = path.child("mutations");
    let mutations = items(spec, "mutations");
    if mutations.is_empty() {
        errors.push(FieldError::required(&here, "mutations must contain at least one item"));
    }
    let environment = environment.building();
    for (at, one) in mutations.iter().enumerate() {
        mutation(one, &environment, &here.index(at), errors);
    }
}

/// What both sorts have. The environments are of expressions, and of those that say messages.
fn common(spec: &Value, path: &Path, errors: &mut ErrorList) -> (Environment, Environment) {
    check::required_one_of(errors, &path.child("failurePolicy"), text(spec, "failurePolicy"), &["Fail", "Ignore"]);
    let has_params = spec["paramKind"].is_object();
    if has_params {
        param_kind(&spec["paramKind"], &path.child("paramKind"), errors);
    }
    let here = path.child("matchConstraints");
    match spec["matchConstraints"].is_object() {
        true => {
            resources::matched(&spec["matchConstraints"], &here, errors);
            if items(&spec["matchConstraints"], "resourceRules").is_empty() {
                errors.push(FieldError::required(&here.child("resourceRules"), ""));
            }
        }
        false => errors.push(FieldError::required(&here, "")),
    }
    let sight = Sight { params: has_params, authorizer: true };
    let mutates = !items(spec, "mutations").is_empty();
    let mut environment = environment(sight);
    let mut messages = self::environment(Sight { authorizer: false, ..sight });
    for (at, variable) in items(spec, "variables").iter().enumerate() {
        let here = path.child("variables").index(at);
        let name = text(variable, "name");
        if name.trim().is_empty() {
            errors.push(FieldError::required(&here.child("name"), "name is not specified"));
        } else if !is_identifier(name) {
            errors.push(FieldError::invalid(&here.child("name"), name, "name is not a valid CEL identifier"));
        }
        let source = text(variable, "expression");
        let here = here.child("expression");
        let own = if mutates { environment.clone().building() } else { environment.clone() };
        let kind = expression(source, "expression is not specified", (&own, &[]), &here, errors);
        let name = format!("variables.{name}");
        environment.declare(&name, kind.clone().unwrap_or(Type::DYN));
        messages.declare(&name, kind.unwrap_or(Type::DYN));
    }
    conditions_in(spec, &environment, &path.child("matchConditions"), errors);
    (environment, messages)
}

fn is_identifier(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(is_word)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && ::expressions::escape(name).is_some_and(|escaped| escaped == name || name.contains("__"))
}

fn param_kind(kind: &Value, path: &Path, errors: &mut ErrorList) {
    let (version, here) = (text(kind, "apiVersion"), path.child("apiVersion"));
    if check::required(errors, &here, version) {
        match meta::GroupVersion::parse(version) {
            None => {
                let why = format!("unexpected GroupVersion string: {version}");
                errors.push(FieldError::invalid(&here, version, &why));
            }
            Some(parsed) => {
                if !parsed.group.is_empty() {
                    check::all(errors, &here, &*parsed.group, meta::validation::dns1123_subdomain(&parsed.group));
                }
                check::all(errors, &here, &*parsed.version, meta::validation::dns1035_label(&parsed.version));
            }
        }
    }
    let (name, here) = (text(kind, "kind"), path.child("kind"));
    if check::required(errors, &here, name) {
        for why in meta::validation::dns1035_label(&name.to_lowercase()) {
            let why = format!("may have mixed case, but should otherwise match: {why}");
            errors.push(FieldError::invalid(&here, name, &why));
        }
    }
}

fn validation(one: &Value, environment: &Environment, messages: &Environment, path: &Path, errors: &mut ErrorList) {
    let source = text(one, "expression");
    let wanted = (environment, &[Type::Bool][..]);
    expression(source, "expression is not specified", wanted, &path.child("expression"), errors);
    let (told, here) = (text(one, "messageExpression"), path.child("messageExpression"));
    if !told.is_empty() && told.trim().is_empty() {
        errors.push(FieldError::invalid(&here, told, "must be non-empty if specified"));
    } else if !told.is_empty() {
        expression(told, "", (messages, &[Type::STRING]), &here, errors);
    }
    let (message, here) = (text(one, "message"), path.child("message"));
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(&here, message, "message must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(&here, message, "message must not contain line breaks"));
    } else if source.trim().contains(['\n', '\r']) && message.trim().is_empty() {
        errors.push(FieldError::required(&here, "message must be specified if expression contains line breaks"));
    }
    check::one_of(errors, &path.child("reason"), text(one, "reason"), &REASONS);
}

fn annotation(policy: &str, one: &Value, environment: &Environment, path: &Path, errors: &mut ErrorList) {
    let (key, here) = (text(one, "key"), path.child("key"));
    if check::required(errors, &here, key) {
        check::all(errors, &here, key, meta::validation::qualified_name(&format!("{policy}/{key}")));
    }
    let (source, here) = (text(one, "valueExpression"), path.child("valueExpression"));
    if source.len() > MAX_ANNOTATION_EXPRESSION {
        errors.push(FieldError::too_long(&here, MAX_ANNOTATION_EXPRESSION));
        return;
    }
    let wanted = (environment, &[Type::STRING, Type::Null][..]);
    expression(source, "valueExpression is not specified", wanted, &here, errors);
}

fn mutation(one: &Value, environment: &Environment, path: &Path, errors: &mut ErrorList) {
    let kinds = ["ApplyConfiguration", "JSONPatch"];
    let patch_type = text(one, "patchType");
    check::required_one_of(errors, &path.child("patchType"), patch_type, &kinds);
    for (name, field, wanted) in [
        ("ApplyConfiguration", "applyConfiguration", Type::built(OBJECT)),
        ("JSONPatch", "jsonPatch", Type::list(Type::built(JSON_PATCH))),
    ] {
        let here = path.child(field);
        match (patch_type == name, one[field].is_object()) {
            (true, false) => {
                let why = format!("must be specified when patchType is {name}");
                errors.push(FieldError::required(&here, &why));
            }
            (true, true) => {
                let source = text(&one[field], "expression");
                expression(source, "", (environment, &[wanted]), &here.child("expression"), errors);
            }
            (false, true) if kinds.contains(&patch_type) => {
                let why = format!("must not be specified when patchType is {patch_type}");
                errors.push(FieldError::invalid(&here, one[field].clone(), &why));
            }
            (false, _) => {}
        }
    }
}

pub fn validating_binding(binding: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    mutating_binding(binding, old, errors);
    let here = Path::new("spec").child("validationActions");
    let actions: Vec<&str> = items(&binding["spec"], "validationActions").iter().filter_map(Value::as_str).collect();
    if actions.is_empty() {
        errors.push(FieldError::required(&here, "at least one validation action is required"));
    }
    for (at, action) in actions.iter().enumerate() {
        check::one_of(errors, &here.index(at), action, &["Audit", "Deny", "Warn"]);
        if actions[..at].contains(action) {
            errors.push(FieldError::duplicate(&here.index(at), *action));
        }
    }
    if actions.contains(&"Deny") && actions.contains(&"Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                   response and headers serves no purpose)";
        errors.push(FieldError::invalid(&here, binding["spec"]["validationActions"].clone(), why));
    }
}

pub fn mutating_binding(binding: &Value, _old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&binding["spec"], Path::new("spec"));
    let (policy, here) = (text(spec, "policyName"), path.child("policyName"));
    if check::required(errors, &here, policy) {
        check::all(errors, &here, policy, meta::validation::dns1123_subdomain(policy));
    }
    if spec["paramRef"].is_object() {
        param_ref(&spec["paramRef"], &path.child("paramRef"), errors);
    }
    if spec["matchResources"].is_object() {
        resources::matched(&spec["matchResources"], &path.child("matchResources"), errors);
    }
}

fn param_ref(given: &Value, path: &Path, errors: &mut ErrorList) {
    let (name, has_selector) = (text(given, "name"), given["selector"].is_object());
    if !name.is_empty() {
        check::all(errors, &path.child("name"), name, meta::validation::path_segment_name(name));
        if has_selector {
            errors.push(FieldError::forbidden(&path.child("name"), "name and selector are mutually exclusive"));
        }
    }
    if has_selector {
        check::label_selector(errors, &path.child("selector"), &given["selector"]);
        if !name.is_empty() {
            errors.push(FieldError::forbidden(&path.child("selector"), "name and selector are mutually exclusive"));
        }
    }
    if name.is_empty() && !has_selector {
        errors.push(FieldError::required(path, "one of name or selector must be specified"));
    }
    let (action, here) = (text(given, "parameterNotFoundAction"), path.child("parameterNotFoundAction"));
    match action {
        "" => errors.push(FieldError::required(&here, "")),
        action => check::one_of(errors, &here, action, &["Allow", "Deny"]),
    }
}

//! FlowSchema and PriorityLevelConfiguration.

use crate::check;
use crate::declared::Declared;
use crate::tree::{default, items, text};
use ::flowcontrol::{bootstrap, entropy_bits};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::{Value, json};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const MAX_PRECEDENCE: i64 = 10_000;
const MAX_QUEUES: i64 = 10_000_000;
/// Bits of a flow's hash that hands are dealt by.
const MAX_HASH_BITS: u32 = 60;
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const NAMESPACE_HINT: &str = "each member of this list must be '*' or a DNS-1123 label; ";

pub const FLOW_SCHEMA: Declared = Declared::new(GROUP, "FlowSchema")
    .with_status_alone()
    .with_generation()
    .updated_with_revision()
    .defaults(|schema| {
        if let Some(spec) = schema.get_mut("spec").filter(|spec| spec.is_object())
            && spec.get("matchingPrecedence").and_then(Value::as_i64).unwrap_or_default() == 0
        {
            spec["matchingPrecedence"] = 1000.into();
        }
    })
    .validates(validate_schema);

pub const PRIORITY_LEVEL: Declared = Declared::new(GROUP, "PriorityLevelConfiguration")
    .with_status_alone()
    .with_generation()
    .updated_with_revision()
    .defaults(priority_level)
    .validates(validate_level);

fn priority_level(level: &mut Value) {
    let Some(spec) = level.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    if let Some(exempt) = spec.get_mut("exempt").filter(|exempt| exempt.is_object()) {
        default(exempt, "nominalConcurrencyShares", 0);
        default(exempt, "lendablePercent", 0);
    } else if text(spec, "type") == "Exempt" {
        spec["exempt"] = json!({"nominalConcurrencyShares": 0, "lendablePercent": 0});
    }
    let Some(limited) = spec.get_mut("limited").filter(|limited| limited.is_object()) else { return };
    default(limited, "nominalConcurrencyShares", 30);
    default(limited, "lendablePercent", 0);
    let Some(queuing) = limited.pointer_mut("/limitResponse/queuing").filter(|queuing| queuing.is_object()) else {
        return;
    };
    for (field, number) in [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)] {
        if queuing.get(field).and_then(Value::as_i64).unwrap_or_default() == 0 {
            queuing[field] = number.into();
        }
    }
}

fn validate_schema(schema: &Value, _: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&schema["spec"], Path::new("spec"));
    let name = text(&schema["metadata"], "name");
    let precedence = spec["matchingPrecedence"].as_i64().unwrap_or_default();
    let here = path.child("matchingPrecedence");
    if precedence <= 0 {
        errors.push(FieldError::invalid(&here, precedence, "must be a positive value"));
    }
    if precedence > MAX_PRECEDENCE {
        errors.push(FieldError::invalid(&here, precedence, &format!("must not be greater than {MAX_PRECEDENCE}")));
    }
    if precedence == 1 && name != "exempt" {
        let why = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.push(FieldError::invalid(&here, precedence, why));
    }
    if let Some(method) = spec.get("distinguisherMethod").filter(|method| method.is_object()) {
        let (kind, here) = (text(method, "type"), path.child("distinguisherMethod").child("type"));
        if !["ByNamespace", "ByUser"].contains(&kind) {
            errors.push(FieldError::not_supported(&here, kind, &["ByNamespace", "ByUser"]));
        }
    }
    let level = text(&spec["priorityLevelConfiguration"], "name");
    let here = path.child("priorityLevelConfiguration").child("name");
    if level.is_empty() {
        errors.push(FieldError::required(&here, "must reference a priority level"));
    } else {
        check::all(errors, &here, level, validation::dns1123_subdomain(level));
    }
    for (at, rule) in items(spec, "rules").iter().enumerate() {
        validate_rule(rule, &path.child("rules").index(at), errors);
    }
    fixed("FlowSchema", name, spec, &path, errors);
    validate_conditions(&schema["status"], errors);
}

/// Mandatory objects are as they are.
fn fixed(kind: &str, name: &str, spec: &Value, path: &Path, errors: &mut ErrorList) {
    let is_other = |fixed: &Value| match kind {
        // Of the exempt level, upstream lets these two numbers differ.
        "PriorityLevelConfiguration" if name == "exempt" => spec["type"] != fixed["type"],
        _ => spec != fixed,
    };
    if bootstrap::fixed_spec(kind, name).is_some_and(|fixed| is_other(&fixed)) {
        let why = format!("spec of '{name}' must equal the fixed value");
        errors.push(FieldError::invalid(path, spec.clone(), &why));
    }
}

fn validate_rule(rule: &Value, path: &Path, errors: &mut ErrorList) {
    let subjects = items(rule, "subjects");
    if subjects.is_empty() {
        errors.push(FieldError::required(&path.child("subjects"), "subjects must contain at least one value"));
    }
    for (at, subject) in subjects.iter().enumerate() {
        validate_subject(subject, &path.child("subjects").index(at), errors);
    }
    let (resources, paths) = (items(rule, "resourceRules"), items(rule, "nonResourceRules"));
    if resources.is_empty() && paths.is_empty() {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, why));
    }
    for (at, rule) in resources.iter().enumerate() {
        validate_resources(rule, &path.child("resourceRules").index(at), errors);
    }
    for (at, rule) in paths.iter().enumerate() {
        validate_paths(rule, &path.child("nonResourceRules").index(at), errors);
    }
}

fn validate_subject(subject: &Value, path: &Path, errors: &mut ErrorList) {
    const KINDS: &[(&str, &str)] = &[("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = text(subject, "kind");
    let Some((_, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, &["Group", "ServiceAccount", "User"]));
        return;
    };
    let (body, here) = (&subject[*own], path.child(own));
    if body.is_null() {
        errors.push(FieldError::required(&here, &format!("{own} is required when subject kind is '{kind}'")));
    } else {
        let name = text(body, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&here.child("name"), ""));
        } else if *own == "serviceAccount" && name != "*" {
            check::all(errors, &here.child("name"), name, validation::dns1123_subdomain(name));
        }
        if *own == "serviceAccount" {
            let (namespace, here) = (text(body, "namespace"), here.child("namespace"));
            if namespace.is_empty() {
                errors.push(FieldError::required(&here, "must specify namespace for service account"));
            } else {
                check::all(errors, &here, namespace, validation::dns1123_label(namespace));
            }
        }
    }
    for (other, field) in KINDS.iter().filter(|(known, field)| *known != kind && !subject[*field].is_null()) {
        let why = format!("{field} is forbidden when subject kind is not '{other}'");
        errors.push(FieldError::forbidden(&path.child(field), &why));
    }
}

fn has_wildcard(list: &[Value]) -> bool {
    list.iter().any(|item| item == "*")
}

/// A list that says something; true where its members are to be looked at.
fn validate_list(rule: &Value, field: &str, path: &Path, empty: &str, others: &str, errors: &mut ErrorList) -> bool {
    let (list, here) = (items(rule, field), path.child(field));
    if list.is_empty() {
        errors.push(FieldError::required(&here, empty));
    } else if has_wildcard(list) {
        if list.len() > 1 {
            let why = format!("if '*' is present, must not specify other {others}");
            errors.push(FieldError::invalid(&here, rule[field].clone(), &why));
        }
    } else {
        return true;
    }
    false
}

fn validate_verbs(rule: &Value, path: &Path, errors: &mut ErrorList) {
    let is_plain = validate_list(rule, "verbs", path, "verbs must contain at least one value", "verbs", errors);
    let verbs = items(rule, "verbs");
    if is_plain && !verbs.iter().all(|verb| verb.as_str().is_some_and(|verb| VERBS.contains(&verb))) {
        errors.push(FieldError::not_supported(&path.child("verbs"), rule["verbs"].clone(), VERBS));
    }
}

fn validate_resources(rule: &Value, path: &Path, errors: &mut ErrorList) {
    validate_verbs(rule, path, errors);
    let empty = "resource rules must supply at least one api group";
    validate_list(rule, "apiGroups", path, empty, "api groups", errors);
    let empty = "resource rules must supply at least one resource";
    validate_list(rule, "resources", path, empty, "resources", errors);
    let is_cluster = rule["clusterScope"].as_bool().unwrap_or_default();
    if is_cluster && items(rule, "namespaces").is_empty() {
        return;
    }
    let empty = "resource rules that are not cluster scoped must supply at least one namespace";
    if !validate_list(rule, "namespaces", path, empty, "namespaces", errors) {
        return;
    }
    for (at, namespace) in items(rule, "namespaces").iter().enumerate() {
        let namespace = namespace.as_str().unwrap_or_default();
        let problems = validation::dns1123_label(namespace).into_iter().map(|why| format!("{NAMESPACE_HINT}{why}"));
        check::all(errors, &path.child("namespaces").index(at), namespace, problems.collect());
    }
}

fn validate_paths(rule: &Value, path: &Path, errors: &mut ErrorList) {
    validate_verbs(rule, path, errors);
    let (field, empty) = ("nonResourceURLs", "nonResourceURLs must contain at least one value");
    if !validate_list(rule, field, path, empty, "non-resource URLs", errors) {
        return;
    }
    for (at, url) in items(rule, field).iter().enumerate() {
        let url = url.as_str().unwrap_or_default();
        let stars = url.matches('*').count();
        let why = match url {
            "" => "must not be empty",
            "/" => continue,
            _ if !url.starts_with('/') => "must start with slash",
            _ if url.contains(' ') => "must not contain white-space",
            _ if url.contains("//") => "must not contain double slash",
            _ if stars > 1 || (stars == 1 && !url.ends_with("/*")) => "wildcard can only do suffix matching",
            _ => continue,
        };
        errors.push(FieldError::invalid(&path.child(field).index(at), url, why));
    }
}

fn validate_level(level: &Value, _: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&level["spec"], Path::new("spec"));
    let (name, kind) = (text(&level["metadata"], "name"), text(spec, "type"));
    if (name == "exempt") != (kind == "Exempt") {
        let why = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid(&path.child("type"), kind, why));
    }
    let (exempt, limited) = (&spec["exempt"], &spec["limited"]);
    match kind {
        "Exempt" => {
            if !limited.is_null() {
                let why = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(&path.child("limited"), why));
            }
            let here = path.child("exempt");
            if exempt.is_null() {
                errors.push(FieldError::required(&here, "must not be empty when type is Exempt"));
            } else {
                let shares = exempt["nominalConcurrencyShares"].as_i64().unwrap_or_default();
                if shares < 0 {
                    let here = here.child("nominalConcurrencyShares");
                    errors.push(FieldError::invalid(&here, shares, "must be a non-negative integer"));
                }
                validate_percent(exempt, "lendablePercent", &here, 100, errors);
            }
        }
        "Limited" => {
            if !exempt.is_null() {
                let why = "must be nil if the type is Limited";
                errors.push(FieldError::forbidden(&path.child("exempt"), why));
            }
            if limited.is_null() {
                let why = "must not be empty when type is Limited";
                errors.push(FieldError::required(&path.child("limited"), why));
            } else {
                validate_limited(limited, &path.child("limited"), errors);
            }
        }
        other => errors.push(FieldError::not_supported(&path.child("type"), other, &["Exempt", "Limited"])),
    }
    fixed("PriorityLevelConfiguration", name, spec, &path, errors);
    validate_conditions(&level["status"], errors);
}

fn validate_percent(object: &Value, field: &str, path: &Path, most: i64, errors: &mut ErrorList) {
    let Some(percent) = object[field].as_i64() else { return };
    if !(0..=most).contains(&percent) {
        let why = if most == 100 {
            "must be between 0 and 100, inclusive"
        } else {
            "if specified, must be a non-negative integer"
        };
        errors.push(FieldError::invalid(&path.child(field), percent, why));
    }
}

fn validate_limited(limited: &Value, path: &Path, errors: &mut ErrorList) {
    let shares = limited["nominalConcurrencyShares"].as_i64().unwrap_or_default();
    if shares < 0 {
        let here = path.child("nominalConcurrencyShares");
        errors.push(FieldError::invalid(&here, shares, "must be a non-negative integer"));
    }
    let (response, here) = (&limited["limitResponse"], path.child("limitResponse"));
    let queuing = &response["queuing"];
    match text(response, "type") {
        "Reject" if !queuing.is_null() => {
            let why = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(&here.child("queuing"), why));
        }
        "Reject" => {}
        "Queue" if queuing.is_null() => {
            let why = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(&here.child("queuing"), why));
        }
        "Queue" => validate_queuing(queuing, &here.child("queuing"), errors),
        other => errors.push(FieldError::not_supported(&here.child("type"), other, &["Queue", "Reject"])),
    }
    validate_percent(limited, "lendablePercent", path, 100, errors);
    validate_percent(limited, "borrowingLimitPercent", path, i64::MAX, errors);
}

fn validate_queuing(queuing: &Value, path: &Path, errors: &mut ErrorList) {
    let number = |field: &str| queuing[field].as_i64().unwrap_or_default();
    let (queues, hand, longest) = (number("queues"), number("handSize"), number("queueLengthLimit"));
    let mut wrong = |field: &str, value: i64, why: &str| {
        errors.push(FieldError::invalid(&path.child(field), value, why));
    };
    if longest <= 0 {
        wrong("queueLengthLimit", longest, "must be positive");
    }
    if queues <= 0 {
        wrong("queues", queues, "must be positive");
    } else if queues > MAX_QUEUES {
        wrong("queues", queues, &format!("must not be greater than {MAX_QUEUES}"));
    }
    if hand <= 0 {
        return wrong("handSize", hand, "must be positive");
    }
    if hand > queues {
        return wrong("handSize", hand, &format!("should not be greater than queues ({queues})"));
    }
    let (Ok(deck), Ok(cards)) = (u32::try_from(queues), u32::try_from(hand)) else { return };
    if cards > MAX_HASH_BITS || entropy_bits(deck, cards) > MAX_HASH_BITS {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HASH_BITS}"
        );
        wrong("handSize", hand, &why);
    }
}

fn validate_conditions(status: &Value, errors: &mut ErrorList) {
    let path = Path::new("status").child("conditions");
    let mut seen: Vec<&str> = Vec::new();
    for (at, condition) in items(status, "conditions").iter().enumerate() {
        let (kind, here) = (text(condition, "type"), path.index(at).child("type"));
        if seen.contains(&kind) {
            errors.push(FieldError::duplicate(&here, kind));
        }
        if kind.is_empty() {
            errors.push(FieldError::required(&here, "must not be empty"));
        }
        seen.push(kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;

    fn told(object: &Value) -> Vec<String> {
        let mut object = object.clone();
        let strategy = find(GROUP, text(&object, "kind"));
        strategy.default(&mut object);
        let mut errors = ErrorList::new();
        strategy.validate(&object, None, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_every_cluster_has_is_valid_and_needs_no_defaults() {
        for mut object in bootstrap::levels().chain(bootstrap::schemas()) {
            assert_eq!(told(&object), Vec::<String>::new(), "{object}");
            let before = object.clone();
            find(GROUP, text(&before, "kind")).default(&mut object);
            assert_eq!(object, before);
        }
    }

    #[test]
    fn mistakes_are_told_in_upstreams_words() {
        let schema = |spec: Value| json!({"kind": "FlowSchema", "metadata": {"name": "a"}, "spec": spec});
        let level =
            |spec: Value| json!({"kind": "PriorityLevelConfiguration", "metadata": {"name": "a"}, "spec": spec});
        let queuing = |queuing: Value| {
            level(json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}}))
        };
        for (object, message) in [
            (
                schema(json!({"matchingPrecedence": 1, "priorityLevelConfiguration": {"name": "x"}})),
                "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
            ),
            (
                schema(json!({})),
                "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            ),
            (
                schema(json!({"priorityLevelConfiguration": {"name": "x"}, "matchingPrecedence": 20000})),
                "spec.matchingPrecedence: Invalid value: 20000: must not be greater than 10000",
            ),
            (
                level(json!({"type": "Exempt"})),
                "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
            ),
            (level(json!({"type": "Limited"})), "spec.limited: Required value: must not be empty when type is Limited"),
            (
                queuing(json!({"queues": 4, "handSize": 8})),
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)",
            ),
            (
                queuing(json!({"queues": 512, "handSize": 8})),
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 \
              and handSize 8 should not be greater than 60",
            ),
        ] {
            assert_eq!(told(&object), [message], "{object}");
        }
        let mut mandatory = bootstrap::levels().nth(1).unwrap();
        mandatory["kind"] = "PriorityLevelConfiguration".into();
        mandatory["spec"]["limited"]["nominalConcurrencyShares"] = 7.into();
        assert!(told(&mandatory)[0].ends_with("spec of 'catch-all' must equal the fixed value"));
    }
}

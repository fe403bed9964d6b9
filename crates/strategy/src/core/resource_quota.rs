//! ResourceQuota: which names may be limited, and which scopes go with them.

use crate::check;
use crate::declared::Declared;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

pub const RESOURCE_QUOTA: Declared = Declared::new("", "ResourceQuota").validates(validate);

/// Names without a domain that a quota may limit.
const STANDARD: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// Counted in whole numbers.
const WHOLE: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

/// What a quota for pods of some scope may limit, of the standard names.
const COMPUTE: [&str; 7] = ["pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

fn validate(quota: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let path = Path::new("spec").child("hard");
    for (name, amount) in quota["spec"]["hard"].as_object().into_iter().flatten() {
        let here = path.key(name);
        check_name(name, &path, errors);
        check_amount(name, amount, &here, errors);
    }
    check_scopes(&quota["spec"], errors);
    let Some(old) = old else { return };
    let sorted = |of: &Value| {
        let mut scopes: Vec<String> =
            of["spec"]["scopes"].as_array().into_iter().flatten().map(ToString::to_string).collect();
        scopes.sort();
        scopes
    };
    if sorted(quota) != sorted(old) {
        let scopes = quota["spec"]["scopes"].clone();
        errors.push(FieldError::invalid(&Path::new("spec").child("scopes"), scopes, check::IMMUTABLE));
    }
}

fn check_name(name: &str, path: &Path, errors: &mut ErrorList) {
    let problems = meta::validation::qualified_name(name);
    if !problems.is_empty() {
        return check::all(errors, &path.key(name), name, problems);
    }
    let standard =
        STANDARD.contains(&name) || ["hugepages-", "requests.hugepages-"].iter().any(|start| name.starts_with(start));
    if !name.contains('/') && !standard {
        errors.push(FieldError::invalid(&path.key(name), name, "must be a standard resource for quota"));
    }
}

fn check_amount(name: &str, amount: &Value, here: &Path, errors: &mut ErrorList) {
    let Some(quantity) = check::quantity(amount) else { return };
    if quantity.is_negative() {
        errors.push(FieldError::invalid(here, amount.clone(), "must be greater than or equal to 0"));
    }
    let whole = WHOLE.contains(&name) || name.starts_with("count/");
    if whole && !quantity.is_whole() {
        errors.push(FieldError::invalid(here, amount.clone(), "must be an integer"));
    }
}

fn check_scopes(spec: &Value, errors: &mut ErrorList) {
    let hard: Vec<&String> = spec["hard"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
    let path = Path::new("spec").child("scopes");
    let mut seen: Vec<&str> = Vec::new();
    for scope in spec["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        check_scope(scope, &hard, &path, &spec["scopes"], errors);
        seen.push(scope);
    }
    check_pairs(&seen, &path, &spec["scopes"], errors);
    let path = Path::new("spec").child("scopeSelector").child("matchExpressions");
    let mut seen: Vec<&str> = Vec::new();
    let expressions = &spec["scopeSelector"]["matchExpressions"];
    for (at, expression) in expressions.as_array().into_iter().flatten().enumerate() {
        let here = path.index(at);
        let scope = expression["scopeName"].as_str().unwrap_or_default();
        check_scope(scope, &hard, &here.child("scopeName"), &expression["scopeName"], errors);
        check_expression(expression, scope, &here, errors);
        seen.push(scope);
    }
    check_pairs(&seen, &path, expressions, errors);
}

fn check_expression(expression: &Value, scope: &str, here: &Path, errors: &mut ErrorList) {
    let operator = expression["operator"].as_str().unwrap_or_default();
    let values = expression["values"].as_array().map_or(0, Vec::len);
    let by_name = matches!(scope, "PriorityClass" | "VolumeAttributesClass");
    if !by_name && operator != "Exists" {
        let why = "must be 'Exist' only operator when scope is any of ResourceQuotaScopeTerminating, \
                   ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort \
                   or ResourceQuotaScopeCrossNamespacePodAffinity";
        errors.push(FieldError::invalid(&here.child("operator"), operator, why));
    }
    match operator {
        "In" | "NotIn" if values == 0 => {
            let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(FieldError::required(&here.child("values"), why));
        }
        "Exists" | "DoesNotExist" if values > 0 => {
            let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errors.push(FieldError::invalid(&here.child("values"), expression["values"].clone(), why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => errors.push(FieldError::invalid(&here.child("operator"), operator, "not a valid selector operator")),
    }
}

fn check_scope(scope: &str, hard: &[&String], path: &Path, shown: &Value, errors: &mut ErrorList) {
    if !SCOPES.contains(&scope) {
        errors.push(FieldError::invalid(path, shown.clone(), "unsupported scope"));
    }
    let fits = |name: &str| match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ => COMPUTE.contains(&name),
    };
    for _ in hard.iter().filter(|name| STANDARD.contains(&name.as_str()) && !fits(name)) {
        errors.push(FieldError::invalid(path, shown.clone(), "unsupported scope applied to resource"));
    }
}

/// Scopes that exclude each other would match nothing.
fn check_pairs(seen: &[&str], path: &Path, shown: &Value, errors: &mut ErrorList) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| seen.contains(scope)) {
            errors.push(FieldError::invalid(path, shown.clone(), "conflicting scopes"));
        }
    }
}

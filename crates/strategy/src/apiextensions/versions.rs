//! The versions of a definition: one is stored, each has a schema, columns and subresources.

use super::{expressions, schema};
use crate::check;
use crate::custom::JsonPath;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

/// Fields that selectors may name, at most (upstream's number).
const MAX_SELECTABLE: usize = 8;

pub fn check(spec: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
    let versions = items(spec, "versions");
    let here = path.child("versions");
    if versions.is_empty() {
        errors.push(FieldError::required(&here, ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (at, version) in versions.iter().enumerate() {
        let name = text(version, "name");
        check::all(errors, &here.index(at).child("name"), name, validation::dns1035_label(name));
        if seen.contains(&name) {
            let why = "must contain unique version names";
            errors.push(FieldError::invalid(&here, Value::Array(versions.to_vec()), why));
        }
        seen.push(name);
    }
    let stored = versions.iter().filter(|version| version["storage"] == true).count();
    if stored != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(&here, Value::Array(versions.to_vec()), why));
    }
    // Upstream lifts what all versions share to the top, and names it there.
    let shared = |field: &str| versions.iter().all(|version| version.get(field) == versions[0].get(field));
    for (at, version) in versions.iter().enumerate() {
        let own = here.index(at);
        if at == 0 || !shared("schema") {
            let top = if shared("schema") { path.child("validation") } else { own.child("schema") };
            check_schema(version, before(old, version), &own, &top, errors);
        }
        if at == 0 || !shared("subresources") {
            let top = if shared("subresources") { path.child("subresources") } else { own.child("subresources") };
            check_scale(&version["subresources"]["scale"], &top.child("scale"), errors);
        }
        if at == 0 || !shared("additionalPrinterColumns") {
            let field = "additionalPrinterColumns";
            let top = if shared(field) { path.child(field) } else { own.child(field) };
            items(version, field)
                .iter()
                .enumerate()
                .for_each(|(at, column)| check_column(column, &top.index(at), errors));
        }
        check_selectable(version, &own.child("selectableFields"), errors);
        check_deprecation(version, &own, errors);
    }
    check_conversion(&spec["conversion"], &path.child("conversion"), errors);
}

/// The same version's schema as it was.
fn before<'o>(old: Option<&'o Value>, version: &Value) -> Option<&'o Value> {
    let same = items(old?, "versions").iter().find(|other| other["name"] == version["name"]);
    same?.pointer("/schema/openAPIV3Schema")
}

fn check_schema(version: &Value, old: Option<&Value>, own: &Path, top: &Path, errors: &mut ErrorList) {
    match version.pointer("/schema/openAPIV3Schema") {
        None | Some(Value::Null) => {
            let here = own.child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(&here, "schemas are required"));
        }
        Some(openapi) => {
            let mut own = ErrorList::new();
            schema::check(openapi, &top.child("openAPIV3Schema"), &mut own);
            // What was taken once stays good: a rule is not weighed anew because another version changed.
            if old != Some(openapi) {
                expressions::check(openapi, &top.child("openAPIV3Schema"), &mut own);
            }
            errors.append(&mut own);
        }
    }
}

fn check_scale(scale: &Value, path: &Path, errors: &mut ErrorList) {
    if !scale.is_object() {
        return;
    }
    for (field, roots, is_required) in [
        ("specReplicasPath", &[".spec."][..], true),
        ("statusReplicasPath", &[".status."], true),
        ("labelSelectorPath", &[".status.", ".spec."], false),
    ] {
        let value = text(scale, field);
        let here = path.child(field);
        if value.is_empty() {
            if is_required {
                errors.push(FieldError::required(&here, ""));
            }
        } else if JsonPath::parse(value).is_none_or(|path| path.fields().is_none()) {
            errors.push(FieldError::invalid(&here, value, "unable to parse json path"));
        } else if !roots.iter().any(|root| value.starts_with(root)) {
            let names: Vec<&str> = roots.iter().map(|root| root.trim_end_matches('.')).collect();
            let why = format!(
                "should be a json path under {}",
                if names.len() > 1 { "either .status or .spec" } else { names[0] }
            );
            errors.push(FieldError::invalid(&here, value, &why));
        }
    }
}

fn check_column(column: &Value, path: &Path, errors: &mut ErrorList) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = ["int32", "int64", "float", "double", "byte", "date", "date-time", "password"];
    check::required(errors, &path.child("name"), text(column, "name"));
    let kind = text(column, "type");
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must be one of boolean,date,integer,number,string"));
    } else if !TYPES.contains(&kind) {
        let why = "must be one of boolean,date,integer,number,string";
        errors.push(FieldError::invalid(&path.child("type"), kind, why));
    }
    let format = text(column, "format");
    if !format.is_empty() && !FORMATS.contains(&format) {
        let mut known = FORMATS;
        known.sort_unstable();
        let why = format!("must be one of {}", known.join(","));
        errors.push(FieldError::invalid(&path.child("format"), format, &why));
    }
    let json_path = text(column, "jsonPath");
    if json_path.is_empty() {
        errors.push(FieldError::required(&path.child("jsonPath"), ""));
    } else if JsonPath::parse(json_path).is_none() {
        errors.push(FieldError::invalid(&path.child("jsonPath"), json_path, "unable to parse json path"));
    }
}

fn check_selectable(version: &Value, path: &Path, errors: &mut ErrorList) {
    let fields = items(version, "selectableFields");
    if fields.len() > MAX_SELECTABLE {
        errors.push(FieldError::too_many(path, fields.len(), MAX_SELECTABLE));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let here = path.index(at).child("jsonPath");
        let json_path = text(field, "jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(&here, ""));
            continue;
        }
        if seen.contains(&json_path) {
            errors.push(FieldError::duplicate(&here, json_path));
        }
        seen.push(json_path);
        let parsed = JsonPath::parse(json_path).filter(|_| json_path.starts_with('.'));
        let Some(names) = parsed.as_ref().and_then(JsonPath::fields) else {
            errors.push(FieldError::invalid(&here, json_path, "is an invalid path: must be a simple path"));
            continue;
        };
        if names.first() == Some(&"metadata") {
            errors.push(FieldError::invalid(&here, json_path, "must not point to fields in metadata"));
            continue;
        }
        let openapi = &version["schema"]["openAPIV3Schema"];
        let found = names.iter().try_fold(openapi, |schema, name| schema.get("properties")?.get(*name));
        match found.map(|schema| text(schema, "type")) {
            None => errors.push(FieldError::invalid(
                &here,
                json_path,
                "is an invalid path: does not refer to a valid field",
            )),
            Some("string" | "boolean" | "integer") => {}
            Some(_) => {
                let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                           formats are allowed";
                errors.push(FieldError::invalid(&here, json_path, why));
            }
        }
    }
}

fn check_deprecation(version: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(warning) = version["deprecationWarning"].as_str() else { return };
    let here = path.child("deprecationWarning");
    if version["deprecated"] != true {
        errors.push(FieldError::invalid(&here, warning, "can only be set for deprecated versions"));
    }
    if warning.len() > 256 {
        errors.push(FieldError::too_long(&here, 256));
    } else if warning.is_empty() {
        errors.push(FieldError::invalid(&here, warning, "must not be empty"));
    }
    if warning.chars().any(char::is_control) {
        errors.push(FieldError::invalid(
            &here,
            warning,
            "must only contain printable UTF-8 characters; non-printable character found",
        ));
    }
}

fn check_conversion(conversion: &Value, path: &Path, errors: &mut ErrorList) {
    let strategy = text(conversion, "strategy");
    check::required_one_of(errors, &path.child("strategy"), strategy, &["None", "Webhook"]);
    let webhook = &conversion["webhook"];
    if strategy != "Webhook" {
        if webhook.is_object() {
            let why = "should not be set when strategy is not set to Webhook";
            errors.push(FieldError::forbidden(&path.child("webhook"), why));
        }
        return;
    }
    let client = &webhook["clientConfig"];
    let here = path.child("webhookClientConfig");
    if !client.is_object() {
        errors.push(FieldError::required(&here, "required when strategy is set to Webhook"));
    } else if client["url"].is_string() == client["service"].is_object() {
        errors.push(FieldError::required(&here, "exactly one of url or service is required"));
    }
    let versions = items(webhook, "conversionReviewVersions");
    let here = path.child("conversionReviewVersions");
    if versions.is_empty() {
        errors.push(FieldError::required(&here, ""));
    } else if !versions.iter().any(|version| *version == "v1" || *version == "v1beta1") {
        let why = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(&here, Value::Array(versions.to_vec()), why));
    }
}

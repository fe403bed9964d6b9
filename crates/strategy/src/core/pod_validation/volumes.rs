//! A pod's volumes: each named once, each from one source.

use super::env;
use crate::certificates::{check_signer_name, pod_request};
use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

const MAX_MODE: i64 = 0o777;
const SHORTEST_TOKEN: i64 = 600;
const HOST_PATHS: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

pub fn validate(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let mut names: Vec<&str> = Vec::new();
    for (at, volume) in items(spec, "volumes").iter().enumerate() {
        let (here, name) = (path.child("volumes").index(at), text(volume, "name"));
        if check::required(errors, &here.child("name"), name) {
            check::all(errors, &here.child("name"), name, validation::dns1123_label(name));
            if names.contains(&name) {
                errors.push(FieldError::duplicate(&here.child("name"), name));
            }
            names.push(name);
        }
        let mut sources =
            volume.as_object().into_iter().flatten().filter(|(field, one)| *field != "name" && !one.is_null());
        let Some((kind, first)) = sources.next() else {
            errors.push(FieldError::required(&here, "must specify a volume type"));
            continue;
        };
        for (more, _) in sources {
            errors.push(FieldError::forbidden(&here.child(more), "may not specify more than 1 volume type"));
        }
        source(kind, first, &here.child(kind), errors);
    }
}

fn source(kind: &str, source: &Value, path: &Path, errors: &mut ErrorList) {
    let mut required = |field: &str| {
        check::required(errors, &path.child(field), text(source, field));
    };
    match kind {
        "hostPath" => {
            required("path");
            no_backsteps(text(source, "path"), &path.child("path"), errors);
            check::one_of(errors, &path.child("type"), text(source, "type"), HOST_PATHS);
        }
        "emptyDir" if check::quantity(&source["sizeLimit"]).is_some_and(|size| size.is_negative()) => {
            let why = "SizeLimit field must be a valid resource quantity";
            errors.push(FieldError::forbidden(&path.child("sizeLimit"), why));
        }
        "secret" => {
            required("secretName");
            files(source, path, errors);
        }
        "configMap" => {
            required("name");
            files(source, path, errors);
        }
        "persistentVolumeClaim" => required("claimName"),
        "nfs" => {
            required("server");
            required("path");
            if !text(source, "path").is_empty() && !text(source, "path").starts_with('/') {
                let why = "must be an absolute path";
                errors.push(FieldError::invalid(&path.child("path"), text(source, "path"), why));
            }
        }
        "csi" => required("driver"),
        "downwardAPI" => {
            mode(source, "defaultMode", path, errors);
            downward(source, path, errors);
        }
        "projected" => {
            mode(source, "defaultMode", path, errors);
            projected(source, path, errors);
        }
        "ephemeral" if !source["volumeClaimTemplate"].is_object() => {
            errors.push(FieldError::required(&path.child("volumeClaimTemplate"), ""));
        }
        "image" => {
            let known = &["Always", "IfNotPresent", "Never"];
            check::one_of(errors, &path.child("pullPolicy"), text(source, "pullPolicy"), known);
        }
        _ => {}
    }
}

/// Keys made files, of ConfigMaps and Secrets.
fn files(source: &Value, path: &Path, errors: &mut ErrorList) {
    mode(source, "defaultMode", path, errors);
    for (at, item) in items(source, "items").iter().enumerate() {
        let here = path.child("items").index(at);
        check::required(errors, &here.child("key"), text(item, "key"));
        if check::required(errors, &here.child("path"), text(item, "path")) {
            descending(text(item, "path"), &here.child("path"), errors);
        }
        mode(item, "mode", &here, errors);
    }
}

fn downward(source: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, file) in items(source, "items").iter().enumerate() {
        let here = path.child("items").index(at);
        if check::required(errors, &here.child("path"), text(file, "path")) {
            descending(text(file, "path"), &here.child("path"), errors);
        }
        match (file["fieldRef"].is_object(), file["resourceFieldRef"].is_object()) {
            (true, true) => {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(&here, "resource", why));
            }
            (true, false) => env::field_ref(&file["fieldRef"], &here.child("fieldRef"), errors),
            (false, true) => {
                let reference = &file["resourceFieldRef"];
                let here = here.child("resourceFieldRef");
                check::required(errors, &here.child("containerName"), text(reference, "containerName"));
                check::required(errors, &here.child("resource"), text(reference, "resource"));
            }
            (false, false) => {
                let why = "one of fieldRef and resourceFieldRef is required";
                errors.push(FieldError::required(&here.child("fieldRef"), why));
            }
        }
        mode(file, "mode", &here, errors);
    }
}

fn projected(source: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, one) in items(source, "sources").iter().enumerate() {
        let here = path.child("sources").index(at);
        let mut kinds = one.as_object().into_iter().flatten().filter(|(_, one)| one.is_object());
        let Some((kind, first)) = kinds.next() else { continue };
        for (more, _) in kinds {
            errors.push(FieldError::forbidden(&here.child(more), "may not specify more than 1 volume type"));
        }
        let here = here.child(kind);
        match kind.as_str() {
            "secret" | "configMap" => {
                check::required(errors, &here.child("name"), text(first, "name"));
                files(first, &here, errors);
            }
            "downwardAPI" => downward(first, &here, errors),
            "serviceAccountToken" => {
                let seconds = first["expirationSeconds"].as_i64().unwrap_or(SHORTEST_TOKEN);
                if seconds < SHORTEST_TOKEN {
                    let why = "may not specify a duration less than 10 minutes";
                    errors.push(FieldError::invalid(&here.child("expirationSeconds"), seconds, why));
                }
                if check::required(errors, &here.child("path"), text(first, "path")) {
                    descending(text(first, "path"), &here.child("path"), errors);
                }
            }
            "clusterTrustBundle" => trust_bundle(first, &here, errors),
            "podCertificate" => pod_certificate(first, &here, errors),
            _ => {}
        }
    }
}

fn trust_bundle(source: &Value, path: &Path, errors: &mut ErrorList) {
    match (source["name"].as_str(), source["signerName"].as_str()) {
        (Some(_), Some(_)) => {
            errors.push(FieldError::invalid(path, source.clone(), "only one of name and signerName may be used"));
        }
        (Some(name), None) => {
            if name.is_empty() {
                errors.push(FieldError::required(&path.child("name"), "must be a valid object name"));
            }
            if source["labelSelector"].is_object() {
                let why = "labelSelector must be unset if name is specified";
                errors.push(FieldError::invalid(&path.child("labelSelector"), source["labelSelector"].clone(), why));
            }
        }
        (None, Some(signer)) => {
            check_signer_name(signer, &path.child("signerName"), errors);
            check::label_selector(errors, &path.child("labelSelector"), &source["labelSelector"]);
        }
        (None, None) => errors.push(FieldError::required(path, "either name or signerName must be specified")),
    }
    check::required(errors, &path.child("path"), text(source, "path"));
    own_path(text(source, "path"), &path.child("path"), errors);
}

const KEY_TYPES: &[&str] = &["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"];
const SHORTEST_CERTIFICATE: i64 = 3600;

fn pod_certificate(source: &Value, path: &Path, errors: &mut ErrorList) {
    let signer = text(source, "signerName");
    check_signer_name(signer, &path.child("signerName"), errors);
    if !KEY_TYPES.contains(&text(source, "keyType")) {
        errors.push(FieldError::not_supported(&path.child("keyType"), text(source, "keyType"), KEY_TYPES));
    }
    let longest = pod_request::longest(signer);
    if let Some(seconds) = source["maxExpirationSeconds"].as_i64() {
        let here = path.child("maxExpirationSeconds");
        let mut wrong = |why: String| errors.push(FieldError::invalid(&here, seconds, &why));
        if seconds < SHORTEST_CERTIFICATE {
            wrong(format!("if provided, maxExpirationSeconds must be >= {SHORTEST_CERTIFICATE}"));
        }
        if seconds > longest {
            wrong(format!("if provided, maxExpirationSeconds must be <= {longest}"));
        }
    }
    let files = ["credentialBundlePath", "keyPath", "certificateChainPath"];
    for field in files {
        own_path(text(source, field), &path.child(field), errors);
    }
    if files.iter().all(|field| text(source, field).is_empty()) {
        let why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        errors.push(FieldError::required(path, why));
    }
    pod_request::user_annotations(&source["userAnnotations"], &path.child("userAnnotations"), errors);
}

/// A path that stays below where it starts, and out of what the volume keeps for itself.
fn own_path(text: &str, path: &Path, errors: &mut ErrorList) {
    descending(text, path, errors);
    if text.starts_with("..") && text != ".." && !text.starts_with("../") {
        errors.push(FieldError::invalid(path, text, "must not start with '..'"));
    }
}

fn mode(source: &Value, field: &str, path: &Path, errors: &mut ErrorList) {
    if let Some(mode) = source[field].as_i64().filter(|mode| !(0..=MAX_MODE).contains(mode)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(&path.child(field), mode, why));
    }
}

/// A path that stays below where it starts.
pub fn descending(text: &str, path: &Path, errors: &mut ErrorList) {
    if text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must be a relative path"));
    }
    no_backsteps(text, path, errors);
}

fn no_backsteps(text: &str, path: &Path, errors: &mut ErrorList) {
    if text.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, text, "must not contain '..'"));
    }
}
